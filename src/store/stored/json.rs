//! A stored record as JSON text: one walk over its bytes, and out goes what the projection names.
//!
//! It reads as [`crate::store::codec`] writes, and shows values as `tidegate_core::value::json` does, to the byte.

use std::{fmt::Display, io::Write};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bson::spec::ElementType;
use serde::Serialize;
use tidegate_core::value::Timestamp;

use super::{
    projection::{
        FieldShape, Key, ObjectShape, Part, Projection, Shown, ShownDocument, ValueShape,
    },
    record::{Record, find},
};
use crate::store::codec::{
    CodecError, LEVELS_MAX, decode_decimal,
    walk::{Element, Elements},
};

/// What cannot be shown: it is null instead, or the nearest object or list around it that may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// From the item down to the value.
    pub path: Vec<PathPart>,
    /// Why.
    pub reason: GapReason,
}

/// Why a value cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// There is none, and one is required.
    NoValue,
    /// It is not of its field's type.
    Misfit,
}

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    /// To a part of an object, by its key.
    Key(Box<str>),
    /// To an item of a list.
    Index(usize),
}

/// Appends `record` to `out` as `projection` has it.
///
/// # Errors
/// [`CodecError`] when the bytes are no record; `out` then ends with a part of the text.
pub(super) fn write(
    record: &[u8],
    projection: &Projection,
    out: &mut Vec<u8>,
    gaps: &mut Vec<Gap>,
) -> Result<(), CodecError> {
    written(record, out, gaps, |writer| writer.item(&projection.parts))
}

/// Appends the document of `record` to `out`, as the part `key` of an object has it.
///
/// # Errors
/// As [`write()`].
pub(super) fn write_document(
    record: &[u8],
    key: &Key,
    shapes: &ShownDocument,
    out: &mut Vec<u8>,
    gaps: &mut Vec<Gap>,
) -> Result<(), CodecError> {
    written(record, out, gaps, |writer| writer.document(key, shapes))
}

fn written(
    record: &[u8],
    out: &mut Vec<u8>,
    gaps: &mut Vec<Gap>,
    write: impl FnOnce(&mut Writer<'_, '_>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let record = Record::read(record)?;
    let gaps_before = gaps.len();
    write(&mut Writer { record, out, gaps })?;
    for gap in &mut gaps[gaps_before..] {
        gap.path.reverse();
    }
    Ok(())
}

impl From<&Key> for PathPart {
    fn from(key: &Key) -> Self {
        Self::Key(key.name().into())
    }
}

impl From<usize> for PathPart {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Why a value was not written.
enum Trouble {
    Codec(CodecError),
    /// It cannot be shown; there is a gap for it.
    Null,
}

impl<E: Into<CodecError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Codec(error.into())
    }
}

struct Writer<'w, 'r> {
    record: Record<'r>,
    out: &'w mut Vec<u8>,
    /// Their paths begin at the value and lead outwards, as far as they have been walked.
    gaps: &'w mut Vec<Gap>,
}

impl<'r> Writer<'_, 'r> {
    fn item(&mut self, parts: &[(Key, Shown)]) -> Result<(), CodecError> {
        self.out.push(b'{');
        for (place, (key, shown)) in parts.iter().enumerate() {
            self.key(place, key);
            match shown {
                Shown::Literal(json) => self.out.extend_from_slice(json),
                Shown::Type => self.text(self.record.type_name),
                Shown::DocumentId => self.text(self.record.id),
                Shown::Kind => self.text(self.record.kind()),
                Shown::Version => self.number(self.record.version),
                Shown::Scope => self.text(self.record.scope),
                Shown::ChangedAt => self.instant(self.record.at),
                Shown::Document(shapes) => self.document(key, shapes)?,
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn document(&mut self, key: &Key, shapes: &ShownDocument) -> Result<(), CodecError> {
        let body = self.record.body.filter(|_| !self.record.left);
        let Some(body) = body else {
            self.null();
            return Ok(());
        };
        let Some(shape) = shapes.get(self.record.type_name) else {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        };
        let written = self.inside(key, false, |writer| writer.object(body, shape, 0));
        match written {
            Err(Trouble::Codec(error)) => Err(error),
            Ok(()) | Err(Trouble::Null) => Ok(()),
        }
    }

    fn object(&mut self, raw: &'r [u8], shape: &ObjectShape, depth: usize) -> Result<(), Trouble> {
        if depth > LEVELS_MAX {
            return Err(CodecError::Depth.into());
        }
        let found = find(raw, shape)?;
        self.out.push(b'{');
        for (place, ((key, part), slot)) in shape.parts.iter().zip(&shape.slots).enumerate() {
            self.key(place, key);
            match part {
                Part::Literal(json) => self.out.extend_from_slice(json),
                Part::Id => self.text(self.record.id),
                Part::Version => self.number(self.record.version),
                Part::Scope => self.text(self.record.scope),
                Part::ChangedAt => self.instant(self.record.at),
                Part::Field(field) => {
                    let element = found[*slot].as_ref();
                    self.inside(key, field.required, |writer| {
                        writer.field(element, field, depth)
                    })?;
                }
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn field(
        &mut self,
        element: Option<&Element<'r>>,
        field: &FieldShape,
        depth: usize,
    ) -> Result<(), Trouble> {
        let held = element.filter(|element| element.kind != ElementType::Null);
        match (held, &field.default) {
            (Some(element), _) => self.value(element, &field.shape, depth + 1),
            (None, Some(default)) => {
                self.out.extend_from_slice(default);
                Ok(())
            }
            (None, None) => self.nothing(field.required),
        }
    }

    fn value(
        &mut self,
        element: &Element<'r>,
        shape: &ValueShape,
        depth: usize,
    ) -> Result<(), Trouble> {
        match (shape, element.kind) {
            (ValueShape::List { item, required }, ElementType::Array) => {
                self.list(element.value, item, *required, depth)
            }
            (ValueShape::Embedded(shape), ElementType::EmbeddedDocument) => {
                self.object(element.value, shape, depth)
            }
            (ValueShape::Json, _) => Ok(self.free(element, depth)?),
            (shape, _) if fits(shape, element)? => Ok(self.scalar(element)?),
            _ => Err(self.gap(GapReason::Misfit)),
        }
    }

    fn list(
        &mut self,
        items: &'r [u8],
        shape: &ValueShape,
        required: bool,
        depth: usize,
    ) -> Result<(), Trouble> {
        if depth > LEVELS_MAX {
            return Err(CodecError::Depth.into());
        }
        self.out.push(b'[');
        for (place, item) in Elements::of(items)?.enumerate() {
            self.comma(place);
            let item = item?;
            self.inside(place, required, |writer| match item.kind {
                ElementType::Null => writer.nothing(required),
                _ => writer.value(&item, shape, depth + 1),
            })?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Writes what stands at `step`. What cannot be shown is left out as far as null may be shown.
    fn inside<S: Copy + Into<PathPart>>(
        &mut self,
        step: S,
        required: bool,
        write: impl FnOnce(&mut Self) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let (begin, gaps_before) = (self.out.len(), self.gaps.len());
        let written = write(self);
        for gap in &mut self.gaps[gaps_before..] {
            gap.path.push(step.into());
        }
        match written {
            Err(Trouble::Null) if !required => {
                self.out.truncate(begin);
                self.null();
                Ok(())
            }
            written => written,
        }
    }

    /// Null, where a value is expected.
    fn nothing(&mut self, required: bool) -> Result<(), Trouble> {
        if required {
            return Err(self.gap(GapReason::NoValue));
        }
        self.null();
        Ok(())
    }

    fn gap(&mut self, reason: GapReason) -> Trouble {
        let path = Vec::new();
        self.gaps.push(Gap { path, reason });
        Trouble::Null
    }

    fn scalar(&mut self, element: &Element<'r>) -> Result<(), CodecError> {
        let no_value = CodecError::Type(element.kind);
        match element.kind {
            ElementType::Null => self.null(),
            ElementType::Boolean if element.is_true() => self.out.extend_from_slice(b"true"),
            ElementType::Boolean => self.out.extend_from_slice(b"false"),
            ElementType::Int32 => self.number(element.int32().ok_or(no_value)?),
            ElementType::Double => self.number(element.double().ok_or(no_value)?),
            ElementType::String => self.text(element.text()?),
            ElementType::Int64 => self.quoted(element.int64().ok_or(no_value)?),
            ElementType::DateTime => {
                let ms = element.date_ms().ok_or(no_value)?;
                self.instant(Timestamp::from_ms(ms)?);
            }
            ElementType::Decimal128 => {
                self.quoted(decode_decimal(element.decimal().ok_or(no_value)?)?);
            }
            ElementType::Binary => {
                self.quoted(BASE64.encode(element.binary().ok_or(no_value)?));
            }
            _ => return Err(no_value),
        }
        Ok(())
    }

    /// Inside the scalar JSON.
    fn free(&mut self, element: &Element<'r>, depth: usize) -> Result<(), CodecError> {
        if depth > LEVELS_MAX {
            return Err(CodecError::Depth);
        }
        match (element.kind, element.int64()) {
            (_, Some(long)) => self.number(long),
            (ElementType::Array, _) => {
                self.out.push(b'[');
                for (place, item) in Elements::of(element.value)?.enumerate() {
                    self.comma(place);
                    self.free(&item?, depth + 1)?;
                }
                self.out.push(b']');
            }
            (ElementType::EmbeddedDocument, _) => {
                self.out.push(b'{');
                for (place, field) in Elements::of(element.value)?.enumerate() {
                    let field = field?;
                    self.comma(place);
                    self.text(field.name()?);
                    self.out.push(b':');
                    self.free(&field, depth + 1)?;
                }
                self.out.push(b'}');
            }
            _ => return self.scalar(element),
        }
        Ok(())
    }

    fn key(&mut self, place: usize, key: &Key) {
        self.comma(place);
        self.out.extend_from_slice(key.text());
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.out.push(b',');
        }
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    fn number(&mut self, number: impl Serialize) {
        self.serialize(&number);
    }

    fn text(&mut self, text: &str) {
        let escaped = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
        // Over all bytes, be it found early or not: so it is done for many of them at once.
        if text.as_bytes().iter().filter(|byte| escaped(byte)).count() > 0 {
            return self.serialize(text);
        }
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    fn instant(&mut self, at: Timestamp) {
        self.quoted(at);
    }

    /// Text that needs no escapes.
    fn quoted(&mut self, text: impl Display) {
        write!(self.out, "\"{text}\"").expect("memory takes everything");
    }

    fn serialize(&mut self, value: &(impl Serialize + ?Sized)) {
        serde_json::to_writer(&mut *self.out, value).expect("memory takes everything");
    }
}

/// Whether a value that is no list and no object is of its field's type.
fn fits(shape: &ValueShape, element: &Element<'_>) -> Result<bool, CodecError> {
    Ok(match (shape, element.kind) {
        (ValueShape::Int | ValueShape::Float, ElementType::Int32)
        | (ValueShape::Float, ElementType::Double)
        | (ValueShape::Boolean, ElementType::Boolean) => true,
        (ValueShape::Enum(values), ElementType::String) => values.contains(element.text()?),
        (ValueShape::Text, kind) => matches!(
            kind,
            ElementType::String
                | ElementType::Int64
                | ElementType::DateTime
                | ElementType::Decimal128
                | ElementType::Binary
        ),
        _ => false,
    })
}
