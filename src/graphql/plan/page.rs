//! `changesSince` and `changes`: from an operation to a shape, from a page to the text of its answer. The changes are
//! written by the store's own room; around them stands what is said of the page.

use std::sync::Arc;

use async_graphql::Value as GraphqlValue;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate_core::{model::Model, value::Timestamp};

use super::{
    Arguments,
    select::{self, Parts, RootPart, TYPENAME, fields, parts, quoted},
    text::{self, Text},
};
use crate::{
    graphql::{answer::Answer, error::Failure, pages, request::Asked},
    store::StoreError,
    sync::{Caller, Key, Page, Projection, PullRequest, Shown, StoredItem, SyncService},
};

/// What a change takes beside what is stored of its document: names, punctuation.
const CHANGE_BYTES: usize = 128;

/// An operation that asks for one page, or follows pages.
#[derive(Debug)]
pub(in crate::graphql) struct PagePlan {
    pub(super) look: Look,
    /// The arguments of its one field.
    pub(super) arguments: Arguments,
}

/// An operation without its arguments: all that is kept of it while it follows pages.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) shape: Arc<PageShape>,
    /// What it asks for, and where that is written.
    pub(super) asked: Arc<[Asked]>,
}

/// What the answer to an operation looks like. Operations that look alike share one, and with it what is written of an
/// item that goes to all of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PageShape {
    root: Parts<RootPart>,
    page: Parts<PagePart>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum PagePart {
    Literal(Box<[u8]>),
    Changes(Arc<Projection>),
    Checkpoint,
    HasMore,
    Reset,
    RevokedScopes,
    Epoch,
    ServerTime,
}

impl PageShape {
    /// The shape of an operation on the root type `root` that asks for `page`.
    pub(super) fn of(model: &Model, asked: &[Asked], root: &str, page: &str) -> Option<Self> {
        let (root, page) = select::root(asked, root, page)?;
        let page = parts(page, |field| page_part(model, field))?;
        Some(Self { root, page })
    }
}

fn page_part(model: &Model, field: &Asked) -> Option<PagePart> {
    Some(match field.name.as_str() {
        TYPENAME => PagePart::Literal(quoted("SyncPage")),
        "changes" => {
            let parts = parts(fields(field)?, |field| shown(model, field))?;
            PagePart::Changes(Arc::new(Projection { parts }))
        }
        "checkpoint" => PagePart::Checkpoint,
        "hasMore" => PagePart::HasMore,
        "reset" => PagePart::Reset,
        "revokedScopes" => PagePart::RevokedScopes,
        "epoch" => PagePart::Epoch,
        "serverTime" => PagePart::ServerTime,
        _ => return None,
    })
}

fn shown(model: &Model, field: &Asked) -> Option<Shown> {
    Some(match field.name.as_str() {
        TYPENAME => Shown::Literal(quoted("SyncChange")),
        "type" => Shown::Type,
        "documentId" => Shown::DocumentId,
        "kind" => Shown::Kind,
        "version" => Shown::Version,
        "scope" => Shown::Scope,
        "changedAt" => Shown::ChangedAt,
        "document" => Shown::Document(select::document(model, field)?),
        _ => return None,
    })
}

impl PagePlan {
    /// Answers a query.
    pub(super) async fn pull(self, sync: &SyncService, caller: &Caller) -> Answer {
        let page = async { Ok(sync.pull(caller, self.request(sync)?).await?) };
        self.look.answer(page.await, sync)
    }

    /// Answers a subscription: one answer for each page.
    pub(in crate::graphql) fn follow(
        self,
        sync: &Arc<SyncService>,
        caller: Caller,
    ) -> BoxStream<'static, Answer> {
        let request = match self.request(sync) {
            Ok(request) => request,
            Err(failure) => return stream::iter([self.look.answer(Err(failure), sync)]).boxed(),
        };
        let start = pages::start(|name| self.argument(name));
        let sync = Arc::clone(sync);
        let pages = Arc::clone(&sync).subscribe(caller, request, start);
        let look = self.look;
        let answers = pages.map(move |page| look.answer(page.map_err(Failure::from), &sync));
        answers.boxed()
    }

    fn request(&self, sync: &SyncService) -> Result<PullRequest, Failure> {
        pages::request(|name| self.argument(name), sync)
    }

    fn argument(&self, name: &str) -> Option<GraphqlValue> {
        self.arguments.get(name).cloned()
    }
}

impl Look {
    fn answer(&self, page: Result<Page, Failure>, sync: &SyncService) -> Answer {
        match page.and_then(|page| Ok(self.write(&page, sync.now())?)) {
            Ok(text) => Answer::Written(text),
            Err(failure) => text::failed(&self.asked, failure),
        }
    }

    /// The answer that carries `page`.
    fn write(&self, page: &Page, server_time: Timestamp) -> Result<Vec<u8>, StoreError> {
        let stored: usize = page.changes.iter().map(StoredItem::bytes).sum();
        let room = stored + CHANGE_BYTES * (page.changes.len() + 4);
        Text::answer(&self.asked, &self.shape.root, room, |text| {
            text.object(&self.shape.page, |text, key, part| {
                match part {
                    PagePart::Literal(json) => text.raw(json),
                    PagePart::Changes(projection) => return changes(text, key, projection, page),
                    PagePart::Checkpoint => text.json(&page.checkpoint.encode()),
                    PagePart::HasMore => text.json(&page.has_more),
                    PagePart::Reset => text.json(&page.reset),
                    PagePart::RevokedScopes => {
                        let scopes: Vec<&str> = page.revoked.iter().map(|it| it.as_str()).collect();
                        text.json(&scopes);
                    }
                    PagePart::Epoch => text.json(page.epoch().as_str()),
                    PagePart::ServerTime => text.json(&server_time.to_string()),
                }
                Ok(())
            })
        })
    }
}

fn changes(
    text: &mut Text,
    key: &Key,
    projection: &Arc<Projection>,
    page: &Page,
) -> Result<(), StoreError> {
    text.list(key, &page.changes, |text, item| {
        item.write_json(projection, &mut text.out, &mut text.gaps)
    })
}
