//! The application's documents, read by the model. Fields that the model does not name are not read.
//!
//! A value that cannot be read is reported with its path, never converted. [`super::update`] writes documents.
//! Entries have a BSON of their own, in `store/codec`.

use std::slice;

use mongodb::bson::{RawDocument, raw::RawBsonRef, spec::BinarySubtype};
use tidegate_core::{
    id::IdType,
    model::Scalar,
    transaction::Misfit,
    value::{DEPTH_MAX, Document, Timestamp, Value},
};

use super::layout::{FieldKind, FieldLayout, ModelLayout, id_to_text, whole_number};
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
            let found = stored
                .get(field.stored_as.as_str())
                .map_err(|_| unreadable())?;
            if let Some(raw) = found {
                let value = self
                    .read_value(&field.holds, raw, depth + 1)
                    .map_err(|misfit| misfit.inside(&field.name))?;
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
            (FieldKind::Reference(id_type), raw) => read_reference(*id_type, raw),
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

/// Whether two values are the same to the last bit. `==` treats -0.0 and 0.0 as equal.
pub(super) fn is_identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_identical(a, b))
        }
        (Value::Object(a), Value::Object(b)) => is_identical_document(a, b),
        (a, b) => a == b,
    }
}

fn is_identical_document(a: &Document, b: &Document) -> bool {
    let mut pairs = a.iter().zip(b);
    a.len() == b.len()
        && pairs.all(|((name_a, a), (name_b, b))| name_a == name_b && is_identical(a, b))
}

fn read_scalar(scalar: Scalar, raw: RawBsonRef<'_>) -> Result<Value, Misfit> {
    let expected = match scalar {
        Scalar::Id | Scalar::String => match raw {
            RawBsonRef::String(text) => return Ok(Value::String(text.to_owned())),
            _ => "a string",
        },
        Scalar::Boolean => match raw {
            RawBsonRef::Boolean(bool) => return Ok(Value::Bool(bool)),
            _ => "a boolean",
        },
        Scalar::Int => match whole_number(raw).and_then(|number| i32::try_from(number).ok()) {
            Some(number) => return Ok(Value::Int(number)),
            None => "a whole number of 32 bits",
        },
        Scalar::Long => match whole_number(raw) {
            Some(number) => return Ok(Value::Long(number)),
            None => "a whole number of 64 bits",
        },
        Scalar::Float => match float(raw) {
            Some(number) => return Ok(Value::Float(number)),
            None => "a finite number that a double holds",
        },
        Scalar::DateTime => match instant(raw) {
            Some(at) => return Ok(Value::DateTime(at)),
            None => "a date between the years 0000 and 9999",
        },
        Scalar::Decimal => match raw {
            RawBsonRef::Decimal128(decimal) => {
                let decimal = codec::decode_decimal(decimal);
                return decimal
                    .map(Value::Decimal)
                    .map_err(|_| misfit("decimal", "is not a finite number"));
            }
            _ => "a Decimal128",
        },
        Scalar::Bytes => match raw {
            RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Generic => {
                return Ok(Value::Bytes(binary.bytes.to_vec()));
            }
            _ => "binary data of subtype 0",
        },
        Scalar::Json => return read_json(raw, 0),
    };
    Err(mismatch(raw, expected))
}

fn float(raw: RawBsonRef<'_>) -> Option<f64> {
    match raw {
        RawBsonRef::Double(number) => number.is_finite().then_some(number),
        RawBsonRef::Int32(number) => Some(number.into()),
        RawBsonRef::Int64(number) => {
            let float = number as f64;
            (number.unsigned_abs() <= 1 << 53).then_some(float)
        }
        _ => None,
    }
}

fn instant(raw: RawBsonRef<'_>) -> Option<Timestamp> {
    let date = raw.as_datetime()?;
    Timestamp::from_ms(date.timestamp_millis()).ok()
}

/// A value that is no id of the target may still be text, since clients may write any text.
fn read_reference(id_type: IdType, raw: RawBsonRef<'_>) -> Result<Value, Misfit> {
    let text = match raw {
        RawBsonRef::String(text) => Some(text.to_owned()),
        raw => id_to_text(id_type, raw),
    };
    text.map(Value::String)
        .ok_or_else(|| mismatch(raw, "an id of the type it refers to"))
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
    let found = bson_type(found);
    misfit(found, format!("is {found}, and not {expected}"))
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
