//! `changesSince` and `changes`: from an operation to a shape, from a page to the text of its answer.

use std::sync::Arc;

use async_graphql::Value as GraphqlValue;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate_core::{model::Model, value::Timestamp, view::RecordHead};

use super::{
    select::{self, Parts, RootPart, TYPENAME, fields, parts, quoted},
    text,
};
use crate::{
    graphql::{
        answer::Answer,
        error::Failure,
        pages::{self, KINDS},
        render::{Text, Written, document::ShownDocument},
        request::{ArgumentValues, SelectedField, Selection},
        results::name_of,
    },
    sync::{Caller, Page, PullRequest, StoredChange, SyncService},
};

/// What a change takes beside what is stored of its document: names, punctuation.
const CHANGE_BYTES: usize = 128;

/// An operation that asks for one page, or follows pages.
#[derive(Debug)]
pub(in crate::graphql) struct PagePlan {
    pub(super) look: Look,
    /// The arguments of its one field.
    pub(super) arguments: ArgumentValues,
}

/// An operation without its arguments: all that is kept of it while it follows pages.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) shape: Arc<PageShape>,
    /// What it asks for, and where that is written.
    pub(super) selection: Arc<Selection>,
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
    Changes(Arc<ChangePlan>),
    Checkpoint,
    HasMore,
    Reset,
    RevokedScopes,
    Epoch,
    ServerTime,
}

/// What is asked for of each change.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ChangePlan {
    parts: Parts<ChangePart>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum ChangePart {
    Literal(Box<[u8]>),
    Type,
    DocumentId,
    Kind,
    Version,
    Scope,
    ChangedAt,
    Document(ShownDocument),
}

impl PageShape {
    /// The shape of an operation that asks for `page`.
    pub(super) fn of(model: &Model, selection: &Selection, page: &str) -> Option<Self> {
        let (root, page) = select::root(selection, page)?;
        let page = parts(page, |field| page_part(model, field))?;
        Some(Self { root, page })
    }
}

fn page_part(model: &Model, field: &SelectedField) -> Option<PagePart> {
    Some(match field.name.as_str() {
        TYPENAME => PagePart::Literal(quoted("SyncPage")),
        "changes" => {
            let parts = parts(fields(field)?, |field| change_part(model, field))?;
            PagePart::Changes(Arc::new(ChangePlan { parts }))
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

fn change_part(model: &Model, field: &SelectedField) -> Option<ChangePart> {
    Some(match field.name.as_str() {
        TYPENAME => ChangePart::Literal(quoted("SyncChange")),
        "type" => ChangePart::Type,
        "documentId" => ChangePart::DocumentId,
        "kind" => ChangePart::Kind,
        "version" => ChangePart::Version,
        "scope" => ChangePart::Scope,
        "changedAt" => ChangePart::ChangedAt,
        "document" => ChangePart::Document(select::document(model, field)?),
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
        match page {
            Ok(page) => self.write(&page, sync.now()),
            Err(failure) => text::failed(&self.selection, failure),
        }
    }

    /// The answer that carries `page`.
    fn write(&self, page: &Page, server_time: Timestamp) -> Answer {
        let stored: usize = page.changes.iter().map(StoredChange::bytes).sum();
        let room = stored + CHANGE_BYTES * (page.changes.len() + 4);
        text::answer(&self.selection, &self.shape.root, room, |text| {
            text.object(&self.shape.page, |text, part| {
                match part {
                    PagePart::Literal(json) => text.raw(json),
                    PagePart::Changes(plan) => {
                        return text.list(&page.changes, |text, change| write(text, plan, change));
                    }
                    PagePart::Checkpoint => text.json(&page.checkpoint.encode()),
                    PagePart::HasMore => text.json(&page.has_more),
                    PagePart::Reset => text.json(&page.reset),
                    PagePart::RevokedScopes => {
                        let scopes: Vec<&str> = page.revoked.iter().map(|it| it.as_str()).collect();
                        text.json(&scopes);
                    }
                    PagePart::Epoch => text.json(page.epoch().as_str()),
                    PagePart::ServerTime => text.instant(server_time),
                }
                Ok(())
            })
        })
    }
}

/// Writes a change, or copies its text where another reader with the same plan has had it.
fn write(text: &mut Text, plan: &Arc<ChangePlan>, change: &StoredChange) -> Written {
    if let Some(known) = change.text(plan) {
        text.raw(&known);
        return Ok(());
    }
    let (begin, errors_before) = (text.out.len(), text.errors_len());
    let view = change.view()?;
    text.object(&plan.parts, |text, part| {
        match part {
            ChangePart::Literal(json) => text.raw(json),
            ChangePart::Type => text.string(view.type_name()),
            ChangePart::DocumentId => text.string(view.id()),
            ChangePart::Kind => text.json(name_of(&KINDS, &view.kind())),
            ChangePart::Version => text.json(&view.version().0),
            ChangePart::Scope => text.string(view.scope()),
            ChangePart::ChangedAt => text.instant(view.changed_at()),
            ChangePart::Document(shapes) => return text.document(&view, shapes),
        }
        Ok(())
    })?;
    if text.errors_len() == errors_before {
        change.keep_text(plan, &text.out[begin..]);
    }
    Ok(())
}
