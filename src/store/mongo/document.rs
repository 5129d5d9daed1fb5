//! The application's documents, read by the model. Fields that the model does not name are not read.
//!
//! A value that cannot be read is reported with its path, never converted. [`super::update`] writes documents.
//! Entries have a BSON of their own, in `store/codec`.

use std::slice;

use mongodb::bson::{RawDocument, error::Error, raw::RawBsonRef, spec::BinarySubtype};
use tidegate_core::{
    id::IdType,
    model::Scalar,
    transaction::Misfit,
    value::{
        DEPTH_MAX, Document, Timestamp, Value, date,
        fit::{self, ScalarFit},
        origin::Origin,
    },
    view::Seen,
};

use super::{
    layout::{self, FieldKind, FieldLayout, ModelLayout, id_to_text},
    legacy_uuids,
};
use crate::store::codec;

impl ModelLayout {
    /// Reads the fields that the model names.
    ///
    /// # Errors
    /// The path to a value that the model cannot hold, and what the value is.
    pub(super) fn read(
        &self,
        fields: &[FieldLayout],
        stored: &RawDocument,
    ) -> Result<Document, Misfit> {
        self.read_fields(fields, stored, 0)
    }

    /// Reads those of the fields that the model can hold.
    pub(super) fn read_what_fits(&self, fields: &[FieldLayout], stored: &RawDocument) -> Document {
        let fields = fields.iter();
        let readable = fields.filter_map(|field| self.read(slice::from_ref(field), stored).ok());
        readable.flatten().collect()
    }

    fn read_fields(
        &self,
        fields: &[FieldLayout],
        stored: &RawDocument,
        depth: usize,
    ) -> Result<Document, Misfit> {
        let mut document = Document::new();
        for field in fields {
            if let Some(raw) = field.find(stored).map_err(|_| unreadable())? {
                let value = match self.read_value(&field.holds, raw, depth + 1) {
                    Err(_) if field.nulls_misfits => continue,
                    value => value.map_err(|misfit| misfit.inside(&field.name))?,
                };
                document.insert(field.stored_as.as_str().to_owned(), value);
            }
        }
        Ok(document)
    }

    /// Reads one value.
    pub(super) fn read_value(
        &self,
        holds: &FieldKind,
        raw: RawBsonRef<'_>,
        depth: usize,
    ) -> Result<Value, Misfit> {
        if depth > DEPTH_MAX {
            return Err(misfit(bson_type(raw), "is nested too deeply"));
        }
        match (holds, raw) {
            (_, RawBsonRef::Null) => Ok(Value::Null),
            (FieldKind::Scalar(Scalar::Json), raw) => read_json(raw, depth),
            (FieldKind::Scalar(scalar), raw) => read_scalar(*scalar, raw),
            (FieldKind::Id(id_type), raw) => read_id(*id_type, raw),
            (FieldKind::Date(_), raw) => read_date(raw),
            (FieldKind::Embedded(name), RawBsonRef::Document(document)) => self
                .read_fields(self.embedded(name), document, depth)
                .map(Value::Object),
            (FieldKind::List(item), RawBsonRef::Array(array)) => {
                let values = array.into_iter().enumerate().map(|(i, raw)| {
                    let raw = raw.map_err(|_| unreadable())?;
                    self.read_value(item, raw, depth + 1)
                        .map_err(|misfit| misfit.at(i))
                });
                values.collect::<Result<_, _>>().map(Value::List)
            }
            (FieldKind::Embedded(_), other) => Err(mismatch(other, "a document")),
            (FieldKind::List(_), other) => Err(mismatch(other, "a list")),
        }
    }
}

impl FieldLayout {
    /// Whether documents have it under `name`.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let before = self.stored_before.as_ref();
        self.stored_as.as_str() == name || before.is_some_and(|before| before.as_str() == name)
    }

    /// Its value in a stored document, which may have it under its earlier name.
    pub(super) fn find<'d>(
        &self,
        stored: &'d RawDocument,
    ) -> Result<Option<RawBsonRef<'d>>, Error> {
        let found = stored.get(self.stored_as.as_str())?;
        match (&self.stored_before, found) {
            (Some(before), None) => stored.get(before.as_str()),
            _ => Ok(found),
        }
    }
}

impl ModelLayout {
    /// Whether two values are the same to the last bit in what the model names, and their items have the same marks.
    pub(super) fn is_identical(&self, holds: &FieldKind, a: &Value, b: &Value) -> bool {
        match (holds, a, b) {
            (FieldKind::List(item), Value::List(a), Value::List(b)) => {
                let mut pairs = a.iter().zip(b);
                a.len() == b.len() && pairs.all(|(a, b)| self.is_identical(item, a, b))
            }
            (FieldKind::Embedded(name), Value::Object(a), Value::Object(b)) => {
                Origin::of(a) == Origin::of(b) && self.say_the_same(self.embedded(name), a, b)
            }
            (_, a, b) => is_identical(a, b),
        }
    }

    /// Whether two documents are the same to the last bit in what the model names.
    pub(super) fn say_the_same(&self, fields: &[FieldLayout], a: &Document, b: &Document) -> bool {
        fields.iter().all(|field| {
            let name = field.stored_as.as_str();
            match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => self.is_identical(&field.holds, a, b),
                (a, b) => a.is_none() && b.is_none(),
            }
        })
    }
}

/// Whether two values are the same to the last bit. `==` treats -0.0 and 0.0 as equal.
fn is_identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_identical(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut pairs = a.iter().zip(b);
            let same = |(name_a, a), (name_b, b)| name_a == name_b && is_identical(a, b);
            a.len() == b.len() && pairs.all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

fn read_scalar(scalar: Scalar, raw: RawBsonRef<'_>) -> Result<Value, Misfit> {
    let seen = seen(raw)?;
    let unfit = |expected: &str| match layout::text_type(raw) {
        Some(id_type) if matches!(scalar, Scalar::Id | Scalar::String) => {
            mismatch(raw, &format!("{expected}; @bson(type: {id_type}) reads it"))
        }
        _ => mismatch(raw, expected),
    };
    match fit::fit_scalar(scalar, seen.as_ref().unwrap_or(&Seen::Null)) {
        ScalarFit::Same => seen.and_then(Seen::scalar).ok_or_else(unreadable),
        ScalarFit::Widened(value) => Ok(value),
        ScalarFit::Unfit(expected) => Err(unfit(expected)),
    }
}

/// A scalar as readers see it. Types that no scalar has are none.
fn seen(raw: RawBsonRef<'_>) -> Result<Option<Seen<'_>>, Misfit> {
    Ok(Some(match raw {
        RawBsonRef::Boolean(bool) => Seen::Bool(bool),
        RawBsonRef::Int32(number) => Seen::Int(number),
        RawBsonRef::Int64(number) => Seen::Long(number),
        RawBsonRef::Double(number) if number.is_finite() => Seen::Float(number),
        RawBsonRef::String(text) => Seen::Text(text),
        RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Generic => {
            Seen::Bytes(binary.bytes)
        }
        RawBsonRef::Decimal128(decimal) => {
            let decimal = codec::decode_decimal(decimal);
            Seen::Decimal(decimal.map_err(|_| misfit("decimal", "is not a finite number"))?)
        }
        raw => return Ok(instant(raw).map(Seen::Instant)),
    }))
}

fn instant(raw: RawBsonRef<'_>) -> Option<Timestamp> {
    let date = raw.as_datetime()?;
    Timestamp::from_ms(date.timestamp_millis()).ok()
}

/// Text is read too: other writers may store ids as texts, and clients may write any text as a reference.
fn read_id(id_type: IdType, raw: RawBsonRef<'_>) -> Result<Value, Misfit> {
    let text = match raw {
        RawBsonRef::String(text) => Some(text.to_owned()),
        raw => id_to_text(id_type, raw),
    };
    match text {
        Some(text) => Ok(Value::String(text)),
        None => read_scalar(Scalar::Id, raw)
            .map_err(|_| mismatch(raw, &format!("stored as its @bson type, {id_type}"))),
    }
}

/// A date with a time of day is an instant, and no day.
fn read_date(raw: RawBsonRef<'_>) -> Result<Value, Misfit> {
    match instant(raw).map(date::beginning_at) {
        Some(Some(day)) => Ok(Value::String(day)),
        Some(None) => Err(misfit(
            "date",
            "is no midnight in UTC of the years 0001 to 9999",
        )),
        None => read_scalar(Scalar::Date, raw),
    }
}

fn read_json(raw: RawBsonRef<'_>, depth: usize) -> Result<Value, Misfit> {
    if depth > DEPTH_MAX {
        return Err(misfit(bson_type(raw), "is nested too deeply"));
    }
    Ok(match raw {
        RawBsonRef::Null => Value::Null,
        RawBsonRef::Boolean(bool) => Value::Bool(bool),
        RawBsonRef::Int32(number) => Value::Long(number.into()),
        RawBsonRef::Int64(number) => Value::Long(number),
        RawBsonRef::Double(number) if number.is_finite() => Value::Float(number),
        RawBsonRef::String(text) => Value::String(text.to_owned()),
        RawBsonRef::Array(items) => {
            let values = items.into_iter().enumerate().map(|(i, raw)| {
                let raw = raw.map_err(|_| unreadable())?;
                read_json(raw, depth + 1).map_err(|misfit| misfit.at(i))
            });
            Value::List(values.collect::<Result<_, _>>()?)
        }
        RawBsonRef::Document(document) => {
            let fields = document.iter().map(|element| {
                let (name, raw) = element.map_err(|_| unreadable())?;
                let name = name.as_str().to_owned();
                let value = read_json(raw, depth + 1).map_err(|misfit| misfit.inside(&name))?;
                Ok((name, value))
            });
            Value::Object(fields.collect::<Result<_, _>>()?)
        }
        other => return Err(mismatch(other, "a value that JSON has")),
    })
}

/// A value that is not what the model holds there.
fn mismatch(found: RawBsonRef<'_>, expected: &str) -> Misfit {
    match legacy_uuids::is_legacy_uuid(found) {
        true => misfit(bson_type(found), legacy_uuids::PROBLEM),
        false => fit::mismatch(bson_type(found), expected),
    }
}

fn unreadable() -> Misfit {
    misfit("unknown", "is not readable")
}

fn misfit(found: &str, problem: impl Into<String>) -> Misfit {
    Misfit {
        path: String::new(),
        found: found.to_owned(),
        problem: problem.into(),
    }
}

/// MongoDB's name for the type of a value.
pub(super) fn bson_type(value: RawBsonRef<'_>) -> &'static str {
    codec::type_name(value.element_type())
}
