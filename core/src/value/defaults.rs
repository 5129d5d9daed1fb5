//! The literal defaults of fields that an input leaves out. Defaults over claims are filled in when a create is decided.

use super::{Document, Value};
use crate::model::{DefaultValue, Field, Model, Shape};

/// Fills in the defaults of the fields that clients may set, and those inside embedded documents.
pub fn fill(model: &Model, fields: &[Field], document: &mut Document) {
    for field in fields.iter().filter(|field| !field.read_only) {
        if let Some(DefaultValue::Literal(default)) = &field.default {
            let entry = document.entry(field.stored_as.clone());
            entry.or_insert_with(|| default.clone());
        }
    }
    fill_inside(model, fields, document);
}

/// Fills in those inside embedded documents alone.
pub fn fill_inside(model: &Model, fields: &[Field], document: &mut Document) {
    for field in fields {
        if let Some(value) = document.get_mut(&field.stored_as) {
            fill_value(model, &field.ty.shape, value);
        }
    }
}

fn fill_value(model: &Model, shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::List(item), Value::List(items)) => {
            for value in items {
                fill_value(model, &item.shape, value);
            }
        }
        (Shape::Embedded(name), Value::Object(document)) => {
            fill(model, model.embedded_fields(name), document);
        }
        _ => {}
    }
}
