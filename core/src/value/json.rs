//! Values as JSON: the form in clients' variables and in answers, read and written by the model's types.
//!
//! A value that a type cannot hold is refused with its path. A DateTime keeps milliseconds, and a Float is the nearest
//! number to its text. Everything else is kept exactly or refused.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Number, Value as Json};
use thiserror::Error;

use super::{DEPTH_MAX, Document, Value, date, unrepresentable::Unrepresentable};
use crate::model::{Field, FieldType, Model, Scalar, Shape};

/// Why a JSON value does not fit the model, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct JsonError {
    /// The path from the document, such as `lines[2].price`.
    pub path: String,
    /// What is wrong, in a sentence without its subject.
    pub problem: String,
}

impl JsonError {
    pub(crate) fn new(path: &str, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Reads the fields of a document or a patch, under their stored names. A field may be given by its earlier name. Names
/// that the model does not have are refused, absent fields stay absent, null stays null.
///
/// # Errors
/// The first [`JsonError`].
pub fn decode_fields(
    model: &Model,
    fields: &[Field],
    json: Map<String, Json>,
) -> Result<Document, JsonError> {
    decode_object(model, fields, json, "", 0)
}

/// Reads one value of the type `ty`; null is read whether or not `ty` is required.
///
/// # Errors
/// The first [`JsonError`].
pub fn decode(model: &Model, ty: &FieldType, json: Json, path: &str) -> Result<Value, JsonError> {
    decode_at(model, ty, json, path, 0)
}

/// Writes a value of the type `ty`.
pub fn encode(model: &Model, ty: &FieldType, value: &Value) -> Json {
    match (&ty.shape, value) {
        (Shape::List(item), Value::List(items)) => items
            .iter()
            .map(|value| encode(model, item, value))
            .collect(),
        (Shape::Embedded(name), Value::Object(document)) => {
            let fields = model.embedded_fields(name);
            Json::Object(encode_fields(model, fields, document))
        }
        (Shape::Scalar(Scalar::Json), value) => encode_json(value),
        (_, value) => encode_scalar(value),
    }
}

/// Writes the fields that are present and that the model has, under their names in the SDL.
pub fn encode_fields(model: &Model, fields: &[Field], document: &Document) -> Map<String, Json> {
    fields
        .iter()
        .filter_map(|field| {
            let value = document.get(&field.stored_as)?;
            Some((field.name.clone(), encode(model, &field.ty, value)))
        })
        .collect()
}

fn decode_object(
    model: &Model,
    fields: &[Field],
    json: Map<String, Json>,
    path: &str,
    depth: usize,
) -> Result<Document, JsonError> {
    let mut document = Document::new();
    for (name, json) in json {
        let field = fields
            .iter()
            .find(|field| field.is_called(&name))
            .ok_or_else(|| JsonError::new(&join(path, &name), "the model has no such field"))?;
        let path = join(path, &field.name);
        let value = decode_at(model, &field.ty, json, &path, depth + 1)?;
        if document.insert(field.stored_as.clone(), value).is_some() {
            let problem = "is given twice, by its present name and by its earlier one";
            return Err(JsonError::new(&path, problem));
        }
    }
    Ok(document)
}

fn decode_at(
    model: &Model,
    ty: &FieldType,
    json: Json,
    path: &str,
    depth: usize,
) -> Result<Value, JsonError> {
    check_depth(path, depth)?;
    match (&ty.shape, json) {
        (_, Json::Null) => Ok(Value::Null),
        (Shape::List(item), Json::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(i, json)| {
                let path = format!("{path}[{i}]");
                let value = decode_at(model, item, json, &path, depth + 1)?;
                if value.is_null() && item.required {
                    return Err(JsonError::new(&path, "must not be null"));
                }
                Ok(value)
            })
            .collect::<Result<_, _>>()
            .map(Value::List),
        (Shape::List(_), _) => Err(JsonError::new(path, "must be a list")),
        (Shape::Embedded(name), Json::Object(object)) => {
            let fields = model.embedded_fields(name);
            decode_object(model, fields, object, path, depth).map(Value::Object)
        }
        (Shape::Embedded(_), _) => Err(JsonError::new(path, "must be an object")),
        (Shape::Enum(name), json) => decode_enum(model, name, &json)
            .ok_or_else(|| JsonError::new(path, format!("must be a value of the enum {name}"))),
        (Shape::Scalar(Scalar::Json), json) => decode_json(json, path, depth),
        (Shape::Scalar(scalar), json) => {
            decode_scalar(*scalar, json).map_err(|problem| JsonError::new(path, problem))
        }
    }
}

fn decode_enum(model: &Model, name: &str, json: &Json) -> Option<Value> {
    let text = json.as_str()?;
    let known = model
        .enums
        .get(name)?
        .values
        .iter()
        .any(|value| value.name == text);
    known.then(|| Value::String(text.to_owned()))
}

fn decode_scalar(scalar: Scalar, json: Json) -> Result<Value, String> {
    match (scalar, json) {
        (Scalar::Id | Scalar::String, Json::String(text)) => decode_text(text),
        (Scalar::Id, Json::Number(number)) if number.is_i64() || number.is_u64() => {
            Ok(Value::String(number.to_string()))
        }
        (Scalar::Id | Scalar::String, _) => Err("must be a string".into()),
        (Scalar::Boolean, Json::Bool(value)) => Ok(Value::Bool(value)),
        (Scalar::Boolean, _) => Err("must be true or false".into()),
        (Scalar::Int | Scalar::Float, Json::String(text))
            if Unrepresentable::find(&text) == Some(Unrepresentable::Number) =>
        {
            Err("is a number beyond all 64-bit floats".into())
        }
        (Scalar::Int, Json::Number(number)) => whole(&number)
            .and_then(|number| i32::try_from(number).ok())
            .map(Value::Int)
            .ok_or_else(|| "must be a whole number of 32 bits; use Long for larger ones".into()),
        (Scalar::Int, _) => Err("must be a whole number".into()),
        (Scalar::Float, Json::Number(number)) => number
            .as_f64()
            .filter(|n| n.is_finite())
            .map(Value::Float)
            .ok_or_else(|| "must be a finite number".into()),
        (Scalar::Float, _) => Err("must be a number".into()),
        (Scalar::Date, Json::String(text)) if date::is_date(&text) => Ok(Value::String(text)),
        (Scalar::Date, _) => Err(DATE.into()),
        (Scalar::DateTime, Json::String(text)) => text
            .parse()
            .map(Value::DateTime)
            .map_err(|e: super::TimestampError| e.to_string()),
        (Scalar::DateTime, _) => Err(super::TimestampError.to_string()),
        (Scalar::Long, Json::String(text)) => canonical_long(&text).map(Value::Long),
        (Scalar::Long, Json::Number(number)) => {
            number.as_i64().map(Value::Long).ok_or_else(|| LONG.into())
        }
        (Scalar::Long, _) => Err(LONG.into()),
        (Scalar::Decimal, Json::String(text)) => text
            .parse()
            .map(Value::Decimal)
            .map_err(|e: super::DecimalError| e.to_string()),
        (Scalar::Decimal, _) => {
            Err("must be a decimal number in a string, such as \"12.50\"".into())
        }
        (Scalar::Bytes, Json::String(text)) => BASE64
            .decode(text)
            .map(Value::Bytes)
            .map_err(|_| BYTES.into()),
        (Scalar::Bytes, _) => Err(BYTES.into()),
        (Scalar::Json, _) => unreachable!("JSON is read by decode_json"),
    }
}

fn decode_text(text: String) -> Result<Value, String> {
    match Unrepresentable::find(&text) {
        Some(unheld) => Err(unheld.problem().to_owned()),
        None => Ok(Value::String(text)),
    }
}

const DATE: &str =
    "must be a day of the calendar between the years 0001 and 9999, such as \"2026-02-28\"";
const LONG: &str = "must be a whole number of 64 bits, as a string such as \"9007199254740993\"";
const BYTES: &str = "must be base64 (RFC 4648 section 4, with padding)";

fn canonical_long(text: &str) -> Result<i64, String> {
    text.parse::<i64>()
        .ok()
        .filter(|n| n.to_string() == text)
        .ok_or_else(|| LONG.into())
}

/// The integer a JSON number spells; `1.0` counts, as GraphQL's input coercion of Int has it.
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= f64::from(i32::MAX)).then_some(float as i64)
    })
}

fn decode_json(json: Json, path: &str, depth: usize) -> Result<Value, JsonError> {
    check_depth(path, depth)?;
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(value) => Ok(Value::Bool(value)),
        Json::String(text) => decode_text(text).map_err(|problem| JsonError::new(path, problem)),
        Json::Number(number) => decode_json_number(&number).ok_or_else(|| {
            JsonError::new(path, "holds a number beyond 64 bits; send it as a string")
        }),
        Json::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(i, json)| decode_json(json, &format!("{path}[{i}]"), depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::List),
        Json::Object(object) => object
            .into_iter()
            .map(|(name, json)| {
                let path = join(path, &Unrepresentable::shown(&name));
                if let Some(unheld) = Unrepresentable::find(&name) {
                    return Err(JsonError::new(&path, unheld.problem()));
                }
                if name.contains('\0') {
                    return Err(JsonError::new(&path, "a name must not contain U+0000"));
                }
                Ok((name, decode_json(json, &path, depth + 1)?))
            })
            .collect::<Result<_, _>>()
            .map(Value::Object),
    }
}

/// Refuses a whole float of 2^64 and above, or of -2^63 and below: it may have been an integer whose last digits the
/// JSON reader dropped, and no digit may be lost silently.
fn decode_json_number(number: &Number) -> Option<Value> {
    const ABOVE_INTEGERS: f64 = 18_446_744_073_709_551_616.0;
    const BELOW_INTEGERS: f64 = -9_223_372_036_854_775_808.0;
    if let Some(integer) = number.as_i64() {
        return Some(Value::Long(integer));
    }
    let float = number.as_f64().filter(|float| float.is_finite())?;
    let exact = !number.is_u64() && float > BELOW_INTEGERS && float < ABOVE_INTEGERS;
    exact.then_some(Value::Float(float))
}

fn encode_json(value: &Value) -> Json {
    match value {
        Value::Long(number) => Json::from(*number),
        Value::List(items) => items.iter().map(encode_json).collect(),
        Value::Object(document) => document
            .iter()
            .map(|(name, value)| (name.clone(), encode_json(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => encode_scalar(other),
    }
}

fn encode_scalar(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => Json::from(*value),
        Value::Long(value) => Json::String(value.to_string()),
        Value::String(text) => Json::String(text.clone()),
        Value::DateTime(instant) => Json::String(instant.to_string()),
        Value::Decimal(decimal) => Json::String(decimal.to_string()),
        Value::Bytes(bytes) => Json::String(BASE64.encode(bytes)),
        Value::List(_) | Value::Object(_) => encode_json(value),
    }
}

fn check_depth(path: &str, depth: usize) -> Result<(), JsonError> {
    if depth > DEPTH_MAX {
        return Err(JsonError::new(
            path,
            format!("is nested deeper than {DEPTH_MAX} levels"),
        ));
    }
    Ok(())
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
