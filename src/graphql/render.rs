//! The text of an answer in progress: positions, the nulls in place of what cannot be shown, and the errors that
//! explain them (sections 6.4.3 and 6.4.4 of the GraphQL specification).
//!
//! The content of an answer is not known here. [`document`] writes documents.

pub(super) mod document;
pub(super) mod load;

use std::{fmt::Display, io::Write};

use async_graphql::{PathSegment, Pos, ServerError};
use serde::Serialize;
use tidegate_core::{transaction::Misfit, value::Timestamp};

use self::load::Hole;
use super::{
    error::ClientError,
    request::{SelectedField, SubSelection},
};

/// The JSON written so far.
#[derive(Default)]
pub(super) struct Text {
    pub(super) out: Vec<u8>,
    errors: Vec<FieldError>,
    holes: Vec<Hole>,
}

/// Why a position has no value.
pub(super) enum RenderStop {
    /// It is null, which an error already explains.
    Null,
    /// The document that it is in cannot be shown, for this reason.
    Misfit(Box<Misfit>),
}

/// The result of writing a position.
pub(super) type RenderResult = Result<(), RenderStop>;

/// An error of a position.
struct FieldError {
    failure: ClientError,
    /// The steps from the position outwards, as far as the enclosing positions have ended.
    steps: Vec<PathStep>,
}

/// A length of the text to return to.
pub(super) struct Mark {
    out: usize,
    errors: usize,
    holes: usize,
}

/// A step from a position to one inside it.
#[derive(Clone)]
pub(super) enum PathStep {
    /// To a field, by its response key.
    Key(Box<str>),
    /// To an item of a list.
    Index(usize),
    /// To the object of a position that may hold several types. It is no part of the error's path.
    Type(Box<str>),
}

/// The response key of a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(Box<[u8]>);

impl Key {
    /// The key `name`, which is a GraphQL name and needs no escapes.
    pub(super) fn new(name: &str) -> Self {
        Self(format!("\"{name}\":").into_bytes().into())
    }

    pub(super) fn name(&self) -> &str {
        let name = &self.0[1..self.0.len() - 2];
        std::str::from_utf8(name).expect("it was made of text")
    }

    /// Appends it as JSON, with its colon.
    pub(super) fn append_to(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(&self.0);
    }
}

impl From<&Key> for PathStep {
    fn from(key: &Key) -> Self {
        Self::Key(key.name().into())
    }
}

impl From<usize> for PathStep {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// An object with these parts; `part` writes the value of each.
    pub(super) fn object<P>(
        &mut self,
        parts: &[(Key, P)],
        part: impl Fn(&mut Self, &Key, &P) -> RenderResult,
    ) -> RenderResult {
        self.raw(b"{");
        for (place, (key, of)) in parts.iter().enumerate() {
            self.key(place, key);
            part(self, key, of)?;
        }
        self.raw(b"}");
        Ok(())
    }

    /// A list of items that are not null; `item` writes each.
    pub(super) fn list<I>(
        &mut self,
        items: impl IntoIterator<Item = I>,
        item: impl Fn(&mut Self, I) -> RenderResult,
    ) -> RenderResult {
        self.raw(b"[");
        for (index, of) in items.into_iter().enumerate() {
            self.comma(index);
            self.position(index, true, |text| item(text, of))?;
        }
        self.raw(b"]");
        Ok(())
    }

    /// Writes the value at `step`. If it cannot be shown, writes null, if null is allowed.
    pub(super) fn position<S: Copy + Into<PathStep>>(
        &mut self,
        step: S,
        required: bool,
        write: impl FnOnce(&mut Self) -> RenderResult,
    ) -> RenderResult {
        let begin = self.mark();
        let written = write(self);
        for steps in self.steps_since(&begin) {
            steps.push(step.into());
        }
        match written {
            Err(RenderStop::Null) if !required => {
                self.out.truncate(begin.out);
                self.holes.truncate(begin.holes);
                self.null();
                Ok(())
            }
            written => written,
        }
    }

    /// Null in place of an object.
    pub(super) fn nothing(&mut self) -> RenderResult {
        self.null();
        Ok(())
    }

    /// The present length.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            out: self.out.len(),
            errors: self.errors.len(),
            holes: self.holes.len(),
        }
    }

    /// Removes everything since `begin`.
    pub(super) fn rewind(&mut self, begin: &Mark) {
        self.out.truncate(begin.out);
        self.errors.truncate(begin.errors);
        self.holes.truncate(begin.holes);
    }

    /// Continues with `next`, whose holes are filled.
    pub(super) fn append(&mut self, mut next: Self) {
        self.out.append(&mut next.out);
        self.errors.append(&mut next.errors);
    }

    /// The text since `begin`, if it has neither errors nor holes.
    pub(super) fn whole_since(&self, begin: &Mark) -> Option<&[u8]> {
        let is_whole = self.errors.len() == begin.errors && self.holes.len() == begin.holes;
        is_whole.then(|| &self.out[begin.out..])
    }

    /// The steps of the errors and the holes since `begin`, as far as they are known.
    fn steps_since(&mut self, begin: &Mark) -> impl Iterator<Item = &mut Vec<PathStep>> {
        let errors = self.errors[begin.errors..].iter_mut();
        let holes = self.holes[begin.holes..].iter_mut();
        let errors = errors.map(|error| &mut error.steps);
        errors.chain(holes.map(|hole| &mut hole.steps))
    }

    /// Records an error for this position.
    pub(super) fn fail(&mut self, failure: ClientError) -> RenderStop {
        self.errors.push(FieldError {
            failure,
            steps: Vec::new(),
        });
        RenderStop::Null
    }

    /// The failures so far.
    pub(super) fn failures(&self) -> impl Iterator<Item = &ClientError> {
        self.errors.iter().map(|error| &error.failure)
    }

    /// The errors of an operation with these fields, in order.
    pub(super) fn take_errors(&mut self, asked: &[SelectedField]) -> Vec<ServerError> {
        let errors = std::mem::take(&mut self.errors).into_iter();
        errors.map(|error| located(asked, error)).collect()
    }

    pub(super) fn key(&mut self, place: usize, key: &Key) {
        self.comma(place);
        self.raw(&key.0);
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.out.push(b',');
        }
    }

    pub(super) fn raw(&mut self, json: &[u8]) {
        self.out.extend_from_slice(json);
    }

    pub(super) fn null(&mut self) {
        self.raw(b"null");
    }

    pub(super) fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        serde_json::to_writer(&mut self.out, value).expect("memory takes everything");
    }

    /// A list of texts.
    pub(super) fn strings<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        self.raw(b"[");
        for (place, text) in texts.enumerate() {
            self.comma(place);
            self.string(text);
        }
        self.raw(b"]");
    }

    pub(super) fn string(&mut self, text: &str) {
        let escaped = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
        // It checks all bytes without stopping early, so that the compiler can check many at once.
        if text.as_bytes().iter().filter(|byte| escaped(byte)).count() > 0 {
            return self.json(text);
        }
        self.out.push(b'"');
        self.raw(text.as_bytes());
        self.out.push(b'"');
    }

    pub(super) fn instant(&mut self, at: Timestamp) {
        self.quoted(at);
    }

    /// Text that needs no escapes.
    fn quoted(&mut self, text: impl Display) {
        write!(self.out, "\"{text}\"").expect("memory takes everything");
    }
}

/// An error with its path and the place of its field in the document.
fn located(asked: &[SelectedField], error: FieldError) -> ServerError {
    let (mut fields, mut below, mut pos) = (asked, None, Pos::default());
    let mut path = Vec::with_capacity(error.steps.len());
    for step in error.steps.into_iter().rev() {
        match step {
            PathStep::Index(index) => path.push(PathSegment::Index(index)),
            PathStep::Type(name) => fields = below.map_or(fields, |below| fields_of(below, &name)),
            PathStep::Key(key) => {
                if let Some(field) = fields.iter().find(|field| *field.key == *key) {
                    fields = fields_of(&field.below, "");
                    (below, pos) = (Some(&field.below), field.position.0);
                }
                path.push(PathSegment::Field(key.into()));
            }
        }
    }
    let error = error.failure.into_error().into_server_error(pos);
    ServerError { path, ..error }
}

/// The fields selected of objects of the type `name`.
pub(super) fn fields_of<'a>(below: &'a SubSelection, name: &str) -> &'a [SelectedField] {
    match below {
        SubSelection::Leaf => &[],
        SubSelection::Any(fields) => fields,
        SubSelection::ByType(types) => types
            .iter()
            .find(|(of, _)| of == name)
            .map_or(&[], |(_, fields)| fields),
    }
}

#[cfg(test)]
mod tests;
