//! The part of stored values that the model names: how it is compared, and how it is written without the loss of the rest.
//!
//! Another model may name the rest: a newer gateway's, or that of a service which writes the same documents.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
};

use super::{Document, Value};
use crate::{
    model::{Field, FieldType, Model, Shape},
    mutant::{Mutant, is_active},
};

/// Whether two values are equal as a client sees them: only what the model names counts, and an absent field equals a
/// null one.
pub fn same(model: &Model, ty: &FieldType, a: Option<&Value>, b: Option<&Value>) -> bool {
    let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
    match (&ty.shape, a, b) {
        (Shape::List(item), Value::List(a), Value::List(b)) => {
            let mut pairs = a.iter().zip(b);
            a.len() == b.len() && pairs.all(|(a, b)| same(model, item, Some(a), Some(b)))
        }
        (Shape::Embedded(name), Value::Object(a), Value::Object(b)) => {
            let mut fields = model.embedded_fields(name).iter();
            fields.all(|field| {
                let name = &field.stored_as;
                same(model, &field.ty, a.get(name), b.get(name))
            })
        }
        (_, a, b) => a == b,
    }
}

/// Puts what `before` holds and the model does not name into `after`, in embedded documents and lists too.
pub fn keep_others(model: &Model, fields: &[Field], before: &Document, after: &mut Document) {
    if is_active(Mutant::OthersDropped) {
        return;
    }
    for (name, value) in before {
        if !is_named(fields, name) && !after.contains_key(name) {
            after.insert(name.clone(), value.clone());
        }
    }
    for field in fields {
        let before = before.get(&field.stored_as);
        if let Some((before, after)) = before.zip(after.get_mut(&field.stored_as)) {
            keep_others_inside(model, &field.ty, before, after);
        }
    }
}

/// The same for one value.
pub fn keep_others_inside(model: &Model, ty: &FieldType, before: &Value, after: &mut Value) {
    match (&ty.shape, before, after) {
        (Shape::Embedded(name), Value::Object(before), Value::Object(after)) => {
            keep_others(model, model.embedded_fields(name), before, after);
        }
        (Shape::List(item), Value::List(before), Value::List(after)) => {
            keep_in_items(model, item, before, after);
        }
        _ => {}
    }
}

/// An item that is still there keeps what others put into it, wherever it moves. A changed item keeps it only if the list
/// has its old length: then it is taken to be the item at that position.
fn keep_in_items(model: &Model, item: &FieldType, before: &[Value], after: &mut [Value]) {
    if !before.iter().any(|value| has_others(model, item, value)) {
        return;
    }
    let has_old_length = before.len() == after.len();
    let mut left: HashMap<String, VecDeque<usize>> = HashMap::new();
    for (i, value) in before.iter().enumerate() {
        left.entry(spelled(model, item, value))
            .or_default()
            .push_back(i);
    }
    let origins = after.iter().map(|value| {
        let there = left.get_mut(&spelled(model, item, value));
        there.and_then(VecDeque::pop_front)
    });
    let origins: Vec<Option<usize>> = origins.collect();
    let mut is_gone = vec![true; before.len()];
    for origin in origins.iter().flatten() {
        is_gone[*origin] = false;
    }
    for (i, (value, origin)) in after.iter_mut().zip(origins).enumerate() {
        let there = || (has_old_length && is_gone[i]).then_some(i);
        if let Some(origin) = origin.or_else(there) {
            keep_others_inside(model, item, &before[origin], value);
        }
    }
}

/// Whether a value holds anything that the model does not name.
fn has_others(model: &Model, ty: &FieldType, value: &Value) -> bool {
    match (&ty.shape, value) {
        (Shape::Embedded(name), Value::Object(document)) => {
            let fields = model.embedded_fields(name);
            document.iter().any(|(name, value)| {
                let field = fields.iter().find(|field| field.stored_as == *name);
                field.is_none_or(|field| has_others(model, &field.ty, value))
            })
        }
        (Shape::List(item), Value::List(items)) => {
            items.iter().any(|value| has_others(model, item, value))
        }
        _ => false,
    }
}

fn is_named(fields: &[Field], name: &str) -> bool {
    let is_name =
        |field: &Field| field.stored_as == name || field.earlier_name(fields) == Some(name);
    fields.iter().any(is_name)
}

/// A text that is equal for values that are the [`same`].
fn spelled(model: &Model, ty: &FieldType, value: &Value) -> String {
    let mut text = String::new();
    spell(model, ty, value, &mut text);
    text
}

fn spell(model: &Model, ty: &FieldType, value: &Value, text: &mut String) {
    match (&ty.shape, value) {
        (Shape::Embedded(name), Value::Object(document)) => {
            text.push('{');
            for (i, field) in model.embedded_fields(name).iter().enumerate() {
                let value = document.get(&field.stored_as);
                if let Some(value) = value.filter(|value| !value.is_null()) {
                    write!(text, "{i}:").expect("memory takes everything");
                    spell(model, &field.ty, value, text);
                }
            }
            text.push('}');
        }
        (Shape::List(item), Value::List(items)) => {
            text.push('[');
            for value in items {
                spell(model, item, value, text);
                text.push(',');
            }
            text.push(']');
        }
        (_, value) => write!(text, "{value:?}").expect("memory takes everything"),
    }
}
