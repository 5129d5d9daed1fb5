//! Stored documents under the present model: the one reader of the feed's bodies and of the application's documents.
//!
//! A value of another type is taken over where nothing of it is lost. Constraints are not checked here, and what the model
//! does not name stays as it is. A field that shows misfits as null is absent where its value does not fit.

use std::slice;

use super::{DEPTH_MAX, Document, Value, date};
use crate::{
    model::{Field, FieldType, Model, Scalar, Shape},
    transaction::Misfit,
    view::{Seen, ValueRef},
};

/// A stored document by the present model, with what the model does not name. `None` if it is the same.
///
/// # Errors
/// The first value that does not fit, or a required field without a value.
pub fn fit(
    model: &Model,
    fields: &[Field],
    document: &Document,
) -> Result<Option<Document>, Misfit> {
    Reader {
        model,
        is_whole: true,
    }
    .fields(fields, document, 0)
}

/// The same of some fields of a document: any may be absent or null.
///
/// # Errors
/// The first value that does not fit.
pub fn fit_some(
    model: &Model,
    fields: &[Field],
    document: &Document,
) -> Result<Option<Document>, Misfit> {
    Reader {
        model,
        is_whole: false,
    }
    .fields(fields, document, 0)
}

/// Why the value of a field is shown as null, if it is because it does not fit.
pub fn unfit_as_null(model: &Model, field: &Field, document: &Document) -> Option<Misfit> {
    if !field.nulls_misfits {
        return None;
    }
    let strict = Field {
        nulls_misfits: false,
        ..field.clone()
    };
    fit(model, slice::from_ref(&strict), document).err()
}

/// The document without the fields that are shown as null because they do not fit; `None` if there are none. Each is looked
/// at by itself, so that the others need not fit.
pub fn without_unfit(model: &Model, fields: &[Field], document: &Document) -> Option<Document> {
    let unfit = fields.iter();
    let mut unfit = unfit
        .filter(|field| unfit_as_null(model, field, document).is_some())
        .peekable();
    unfit.peek()?;
    let mut shown = document.clone();
    for field in unfit {
        shown.remove(&field.stored_as);
        let earlier = field.earlier_name(fields);
        earlier.map(|earlier| shown.remove(earlier));
    }
    Some(shown)
}

/// How a value meets a scalar.
#[derive(Debug, PartialEq)]
pub enum ScalarFit {
    /// It is one of its values.
    Same,
    /// It stands for this value, and loses nothing by it.
    Widened(Value),
    /// It is none of its values. This one would be.
    Unfit(&'static str),
}

/// How `seen` meets `scalar`, which is not JSON: that holds anything, and has no widenings of its own.
///
/// Whole numbers become Int, Long, Float and ID as far as these hold them exactly. ID, String and enums are all text.
pub fn fit_scalar(scalar: Scalar, seen: &Seen<'_>) -> ScalarFit {
    use ScalarFit::{Same, Unfit, Widened};
    match (scalar, seen) {
        (Scalar::Id | Scalar::String, Seen::Text(_))
        | (Scalar::Boolean, Seen::Bool(_))
        | (Scalar::Int, Seen::Int(_))
        | (Scalar::Long, Seen::Long(_))
        | (Scalar::Float, Seen::Float(_))
        | (Scalar::DateTime, Seen::Instant(_))
        | (Scalar::Decimal, Seen::Decimal(_))
        | (Scalar::Bytes, Seen::Bytes(_))
        | (Scalar::Json, _) => return Same,
        (Scalar::Date, Seen::Text(text)) if date::is_date(text) => return Same,
        _ => {}
    }
    let widened = whole_number(seen).and_then(|whole| match scalar {
        Scalar::Id => Some(Value::String(whole.to_string())),
        Scalar::Int => i32::try_from(whole).ok().map(Value::Int),
        Scalar::Long => Some(Value::Long(whole)),
        Scalar::Float if whole.unsigned_abs() <= EXACT_MAX => Some(Value::Float(whole as f64)),
        _ => None,
    });
    widened.map_or_else(|| Unfit(expected(scalar)), Widened)
}

/// Up to this number, doubles distinguish all neighbouring whole numbers.
const EXACT_MAX: u64 = 1 << 53;

/// The whole number that a number of any type stands for. Negative zero is none: its sign would be lost.
pub fn whole_number(seen: &Seen<'_>) -> Option<i64> {
    match *seen {
        Seen::Int(number) => Some(number.into()),
        Seen::Long(number) => Some(number),
        Seen::Float(number) => {
            let is_whole = number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64;
            let is_negative_zero = number == 0.0 && number.is_sign_negative();
            (is_whole && !is_negative_zero).then_some(number as i64)
        }
        _ => None,
    }
}

/// The values of a scalar, in words for messages.
const fn expected(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Id | Scalar::String => "a string",
        Scalar::Boolean => "a boolean",
        Scalar::Int => "a whole number of 32 bits",
        Scalar::Long => "a whole number of 64 bits",
        Scalar::Float => "a finite number that a double holds",
        Scalar::Date => "a day of the calendar between the years 0001 and 9999",
        Scalar::DateTime => "a date between the years 0000 and 9999",
        Scalar::Decimal => "a Decimal128",
        Scalar::Bytes => "binary data of subtype 0",
        Scalar::Json => "a value that JSON has",
    }
}

/// Why a value does not fit: its type by MongoDB's name, and what should be there.
pub fn mismatch(found: &str, expected: &str) -> Misfit {
    misfit(found, format!("is {found}, and not {expected}"))
}

/// Why a text is not of an enum.
pub fn not_of_enum(name: &str) -> Misfit {
    misfit("string", format!("is no value of the enum {name}"))
}

fn misfit(found: &str, problem: impl Into<String>) -> Misfit {
    Misfit {
        path: String::new(),
        found: found.to_owned(),
        problem: problem.into(),
    }
}

/// Reads documents. Each method returns `None` for what stays as it is.
struct Reader<'m> {
    model: &'m Model,
    /// Whether required fields must have a value.
    is_whole: bool,
}

impl Reader<'_> {
    fn fields(
        &self,
        fields: &[Field],
        document: &Document,
        depth: usize,
    ) -> Result<Option<Document>, Misfit> {
        let mut next = None;
        for field in fields {
            let before = field.earlier_name(fields);
            let before = before.filter(|before| document.contains_key(*before));
            let moved = before.filter(|_| !document.contains_key(&field.stored_as));
            let name = moved.unwrap_or(&field.stored_as);
            let fitted = match document.get(name) {
                None | Some(Value::Null) => self.absent(field, document.get(name)),
                Some(value) => self.value(&field.ty, value, depth + 1),
            };
            let is_null = fitted.is_err() && field.nulls_misfits;
            let fitted = match fitted {
                Err(_) if is_null => None,
                fitted => fitted.map_err(|misfit| misfit.inside(&field.name))?,
            };
            if let Some(before) = before {
                let next: &mut Document = next.get_or_insert_with(|| document.clone());
                let value = next.remove(before);
                if moved.is_some() {
                    next.extend(value.map(|value| (field.stored_as.clone(), value)));
                }
            }
            if let Some(value) = fitted {
                let next = next.get_or_insert_with(|| document.clone());
                next.insert(field.stored_as.clone(), value);
            } else if is_null {
                let next = next.get_or_insert_with(|| document.clone());
                next.remove(&field.stored_as);
            }
        }
        Ok(next)
    }

    fn absent(&self, field: &Field, found: Option<&Value>) -> Result<Option<Value>, Misfit> {
        match field.ty.required && !field.has_literal_default() && self.is_whole {
            true => Err(misfit(
                found.map_or("missing", Value::bson_type),
                "is required and has no value",
            )),
            false => Ok(None),
        }
    }

    fn value(&self, ty: &FieldType, value: &Value, depth: usize) -> Result<Option<Value>, Misfit> {
        if depth > DEPTH_MAX {
            return Err(misfit(value.bson_type(), "is nested too deeply"));
        }
        match (&ty.shape, value) {
            (_, Value::Null) if ty.required => Err(misfit("null", "must not be null")),
            (_, Value::Null) => Ok(None),
            (Shape::List(item), Value::List(items)) => {
                each(items, |value| self.value(item, value, depth + 1))
            }
            (Shape::Embedded(name), Value::Object(document)) => {
                let fields = self.model.embedded_fields(name);
                let fitted = self.fields(fields, document, depth)?;
                Ok(fitted.map(Value::Object))
            }
            (Shape::Enum(name), Value::String(text)) => {
                let mut values = self
                    .model
                    .enums
                    .get(name)
                    .into_iter()
                    .flat_map(|it| &it.values);
                match values.any(|known| known.name == *text) {
                    true => Ok(None),
                    false => Err(not_of_enum(name)),
                }
            }
            (Shape::Scalar(Scalar::Json), value) => json(value, depth),
            (Shape::Scalar(scalar), value) => {
                match fit_scalar(*scalar, &ValueRef::Value(value).seen()) {
                    ScalarFit::Same => Ok(None),
                    ScalarFit::Widened(value) => Ok(Some(value)),
                    ScalarFit::Unfit(expected) => Err(mismatch(value.bson_type(), expected)),
                }
            }
            (Shape::Enum(_), value) => Err(mismatch(value.bson_type(), "a string")),
            (Shape::Embedded(_), value) => Err(mismatch(value.bson_type(), "a document")),
            (Shape::List(_), value) => Err(mismatch(value.bson_type(), "a list")),
        }
    }
}

/// The scalar JSON has 64-bit integers alone, and no dates, decimals or bytes.
fn json(value: &Value, depth: usize) -> Result<Option<Value>, Misfit> {
    if depth > DEPTH_MAX {
        return Err(misfit(value.bson_type(), "is nested too deeply"));
    }
    match value {
        Value::Int(number) => Ok(Some(Value::Long((*number).into()))),
        Value::Null | Value::Bool(_) | Value::Long(_) | Value::Float(_) | Value::String(_) => {
            Ok(None)
        }
        Value::List(items) => each(items, |value| json(value, depth + 1)),
        Value::Object(document) => {
            let mut next = None;
            for (name, value) in document {
                let fitted = json(value, depth + 1).map_err(|misfit| misfit.inside(name))?;
                if let Some(value) = fitted {
                    let next: &mut Document = next.get_or_insert_with(|| document.clone());
                    next.insert(name.clone(), value);
                }
            }
            Ok(next.map(Value::Object))
        }
        Value::DateTime(_) | Value::Decimal(_) | Value::Bytes(_) => {
            Err(mismatch(value.bson_type(), expected(Scalar::Json)))
        }
    }
}

fn each(
    items: &[Value],
    fit: impl Fn(&Value) -> Result<Option<Value>, Misfit>,
) -> Result<Option<Value>, Misfit> {
    let mut next = None;
    for (i, value) in items.iter().enumerate() {
        if let Some(value) = fit(value).map_err(|misfit| misfit.at(i))? {
            next.get_or_insert_with(|| items.to_vec())[i] = value;
        }
    }
    Ok(next.map(Value::List))
}
