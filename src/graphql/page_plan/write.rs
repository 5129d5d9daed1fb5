//! From a page to the text of an answer. The changes are written by the store's own room; around them stands what is said
//! of the page.

use std::sync::Arc;

use async_graphql::{PathSegment, ServerError};
use serde::Serialize;
use tidegate_core::value::Timestamp;

use super::{PagePart, PageShape, RootPart};
use crate::{
    graphql::error::{Code, Failure},
    store::StoreError,
    sync::{Gap, Key, Page, PathPart, Projection},
};

/// What a change takes beside what is stored of its document: names, punctuation.
const CHANGE_BYTES: usize = 128;

impl PageShape {
    /// The answer that carries `page`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if what is stored cannot be read.
    pub(in crate::graphql) fn answer(
        &self,
        page: &Page,
        server_time: Timestamp,
    ) -> Result<Vec<u8>, StoreError> {
        let stored: usize = page.changes.iter().map(|item| item.bytes()).sum();
        let room = stored + CHANGE_BYTES * (page.changes.len() + 4);
        let mut text = Text {
            out: Vec::with_capacity(room),
            gaps: Vec::new(),
        };
        text.out.extend_from_slice(b"{\"data\":{");
        for (place, (key, part)) in self.root.iter().enumerate() {
            text.key(place, key.text());
            match part {
                RootPart::Literal(json) => text.out.extend_from_slice(json),
                RootPart::Page => text.page(&self.page, page, server_time)?,
            }
        }
        text.out.push(b'}');
        if !text.gaps.is_empty() {
            text.out.extend_from_slice(b",\"errors\":");
            let errors: Vec<ServerError> = text.gaps.iter().map(|gap| self.error(gap)).collect();
            text.json(&errors);
        }
        text.out.push(b'}');
        Ok(text.out)
    }

    fn error(&self, (key, index, gap): &Missing) -> ServerError {
        let failure = Failure::new(Code::Internal, "The gateway failed; its log says how.");
        let steps = gap.path.iter().map(|part| match part {
            PathPart::Key(key) => PathSegment::Field(key.to_string()),
            PathPart::Index(index) => PathSegment::Index(*index),
        });
        let around = [
            PathSegment::Field(self.key().to_owned()),
            PathSegment::Field(key.to_string()),
            PathSegment::Index(*index),
        ];
        ServerError {
            path: around.into_iter().chain(steps).collect(),
            ..failure.into_error().into_server_error(self.pos())
        }
    }
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
