//! The text of an answer while it is written: objects and lists of parts, and the errors that explain its nulls.

use async_graphql::{PathSegment, Response, ServerError};
use serde::Serialize;

use super::select::RootPart;
use crate::{
    graphql::{
        answer::Answer,
        error::Failure,
        request::{Asked, Below},
    },
    store::StoreError,
    sync::{Gap, GapReason, Key, PathPart},
};

/// JSON, as far as it is written.
#[derive(Default)]
pub(super) struct Text {
    pub(super) out: Vec<u8>,
    /// What could not be shown, by its path from the item that is written.
    pub(super) gaps: Vec<Gap>,
    /// What could not be shown of items before, by its path from the operation's field.
    missing: Vec<Gap>,
}

impl Text {
    /// The answer to an operation whose root has these parts; `field` writes what stands in its one field.
    ///
    /// # Errors
    /// Those of `field`; there is no answer then.
    pub(super) fn answer(
        asked: &[Asked],
        root: &[(Key, RootPart)],
        room: usize,
        field: impl Fn(&mut Self) -> Result<(), StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut text = Self {
            out: Vec::with_capacity(room),
            ..Self::default()
        };
        text.raw(b"{\"data\":");
        text.object(root, |text, _, part| match part {
            RootPart::Literal(json) => {
                text.raw(json);
                Ok(())
            }
            RootPart::Field => field(text),
        })?;
        if !text.missing.is_empty() {
            text.raw(b",\"errors\":");
            let missing = std::mem::take(&mut text.missing).into_iter();
            let errors: Vec<ServerError> = missing.map(|gap| explained(asked, gap)).collect();
            text.json(&errors);
        }
        text.raw(b"}");
        Ok(text.out)
    }

    /// An object with these parts; `part` writes what stands in each.
    pub(super) fn object<P>(
        &mut self,
        parts: &[(Key, P)],
        part: impl Fn(&mut Self, &Key, &P) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.raw(b"{");
        for (place, (key, of)) in parts.iter().enumerate() {
            self.comma(place);
            self.raw(key.text());
            part(self, key, of)?;
        }
        self.raw(b"}");
        Ok(())
    }

    /// The list that stands under `key` in the operation's field; `item` writes each.
    pub(super) fn list<I>(
        &mut self,
        key: &Key,
        items: &[I],
        item: impl Fn(&mut Self, &I) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.raw(b"[");
        for (index, of) in items.iter().enumerate() {
            self.comma(index);
            item(self, of)?;
            for gap in self.gaps.drain(..) {
                let mut path = vec![key.into(), PathPart::Index(index)];
                path.extend(gap.path);
                self.missing.push(Gap { path, ..gap });
            }
        }
        self.raw(b"]");
        Ok(())
    }

    pub(super) fn raw(&mut self, json: &[u8]) {
        self.out.extend_from_slice(json);
    }

    pub(super) fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        serde_json::to_writer(&mut self.out, value).expect("memory takes everything");
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.out.push(b',');
        }
    }
}

/// The answer to an operation whose field failed: it must not be null, and so there is no data at all.
pub(super) fn failed(asked: &[Asked], failure: Failure) -> Answer {
    let error = error(asked, failure, &[]);
    Answer::Executed(Box::new(Response::from_errors(vec![error])))
}

fn explained(asked: &[Asked], gap: Gap) -> ServerError {
    let failure = match gap.reason {
        GapReason::NoValue => Failure::no_value(),
        GapReason::Misfit => Failure::misfit(),
    };
    error(asked, failure, &gap.path)
}

/// An error of the operation's field, or of what stands in it at `path`.
fn error(asked: &[Asked], failure: Failure, path: &[PathPart]) -> ServerError {
    let mut fields = asked.iter();
    let field = fields.find(|field| field.name != "__typename");
    let mut at = field.expect("a plan is made of a field");
    let mut segments = vec![PathSegment::Field(at.key.to_string())];
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

/// The field of this key below another; where several types have one, the first.
fn below<'a>(field: &'a Asked, key: &str) -> Option<&'a Asked> {
    let fields: Vec<&Asked> = match &field.below {
        Below::Any(fields) => fields.iter().collect(),
        Below::ByType(types) => types.iter().flat_map(|(_, fields)| fields).collect(),
    };
    fields.into_iter().find(|field| *field.key == *key)
}
