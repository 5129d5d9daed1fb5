//! From a page to the text of an answer. The changes are written by the store's own room; around them stands what is said
//! of the page.

use std::sync::Arc;

use async_graphql::{PathSegment, ServerError};
use serde::Serialize;
use tidegate_core::value::Timestamp;

use super::{PagePart, PagePlan, RootPart};
use crate::{
    graphql::{
        error::Failure,
        request::{Asked, Below},
    },
    store::StoreError,
    sync::{Gap, GapReason, Key, Page, PathPart, Projection, StoredItem},
};

/// What a change takes beside what is stored of its document: names, punctuation.
const CHANGE_BYTES: usize = 128;

impl PagePlan {
    /// The answer that carries `page`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if what is stored cannot be read.
    pub(super) fn write(&self, page: &Page, server_time: Timestamp) -> Result<Vec<u8>, StoreError> {
        let stored: usize = page.changes.iter().map(StoredItem::bytes).sum();
        let room = stored + CHANGE_BYTES * (page.changes.len() + 4);
        let mut text = Text {
            out: Vec::with_capacity(room),
            gaps: Vec::new(),
        };
        text.out.extend_from_slice(b"{\"data\":{");
        for (place, (key, part)) in self.shape.root.iter().enumerate() {
            text.key(place, key.text());
            match part {
                RootPart::Literal(json) => text.out.extend_from_slice(json),
                RootPart::Page => text.page(&self.shape.page, page, server_time)?,
            }
        }
        text.out.push(b'}');
        if !text.gaps.is_empty() {
            text.out.extend_from_slice(b",\"errors\":");
            let gaps = std::mem::take(&mut text.gaps).into_iter();
            let errors: Vec<ServerError> = gaps.map(|missing| self.missing(missing)).collect();
            text.json(&errors);
        }
        text.out.push(b'}');
        Ok(text.out)
    }

    fn missing(&self, (key, index, gap): Missing) -> ServerError {
        let failure = match gap.reason {
            GapReason::NoValue => Failure::no_value(),
            GapReason::Misfit => Failure::misfit(),
        };
        let mut path = vec![PathPart::Key(key), PathPart::Index(index)];
        path.extend(gap.path);
        self.error(failure, &path)
    }

    /// An error of the page, or of what stands in it at `path`.
    pub(super) fn error(&self, failure: Failure, path: &[PathPart]) -> ServerError {
        let mut fields = self.asked.iter();
        let page = fields.find(|field| field.name != "__typename");
        let page = page.expect("a plan is made of a field");
        let mut at = page;
        let mut segments = vec![PathSegment::Field(page.key.to_string())];
        for part in path {
            segments.push(match part {
                PathPart::Key(key) => PathSegment::Field(key.to_string()),
                PathPart::Index(index) => PathSegment::Index(*index),
            });
            if let PathPart::Key(key) = part {
                at = below(at, key).unwrap_or(at);
            }
        }
        ServerError {
            path: segments,
            ..failure.into_error().into_server_error(at.pos)
        }
    }
}

/// The field of this key below another; where several types have one, the first.
fn below<'a>(field: &'a Asked, key: &str) -> Option<&'a Asked> {
    let fields: Vec<&Asked> = match &field.below {
        Below::Any(fields) => fields.iter().collect(),
        Below::ByType(types) => types.iter().flat_map(|(_, fields)| fields).collect(),
    };
    fields.into_iter().find(|field| *field.key == *key)
}

/// A gap, behind the key of the list of changes and the place in it.
type Missing = (Box<str>, usize, Gap);

struct Text {
    out: Vec<u8>,
    gaps: Vec<Missing>,
}

impl Text {
    fn page(
        &mut self,
        parts: &[(Key, PagePart)],
        page: &Page,
        server_time: Timestamp,
    ) -> Result<(), StoreError> {
        self.out.push(b'{');
        for (place, (key, part)) in parts.iter().enumerate() {
            self.key(place, key.text());
            match part {
                PagePart::Literal(json) => self.out.extend_from_slice(json),
                PagePart::Changes(projection) => self.changes(key, projection, page)?,
                PagePart::Checkpoint => self.json(&page.checkpoint.encode()),
                PagePart::HasMore => self.json(&page.has_more),
                PagePart::Reset => self.json(&page.reset),
                PagePart::RevokedScopes => {
                    let scopes: Vec<&str> = page.revoked.iter().map(|it| it.as_str()).collect();
                    self.json(&scopes);
                }
                PagePart::Epoch => self.json(page.epoch().as_str()),
                PagePart::ServerTime => self.json(&server_time.to_string()),
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn changes(
        &mut self,
        key: &Key,
        projection: &Arc<Projection>,
        page: &Page,
    ) -> Result<(), StoreError> {
        self.out.push(b'[');
        let mut gaps = Vec::new();
        for (index, item) in page.changes.iter().enumerate() {
            self.comma(index);
            item.write_json(projection, &mut self.out, &mut gaps)?;
            let missing = gaps.drain(..).map(|gap| (key.name().into(), index, gap));
            self.gaps.extend(missing);
        }
        self.out.push(b']');
        Ok(())
    }

    fn key(&mut self, place: usize, key: &[u8]) {
        self.comma(place);
        self.out.extend_from_slice(key);
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.out.push(b',');
        }
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        serde_json::to_writer(&mut self.out, value).expect("memory takes everything");
    }
}
