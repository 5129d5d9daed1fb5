//! The documents of the application's collections as they are stored, and what the gateways of each model make of them.
//!
//! A model names some fields of a document. Its gateways read these and write these, and leave the others as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate_core::{
    entry::Entry,
    id::DocumentKey,
    model::{DocumentType, Field, FieldType, Model, Shape},
    transaction::ForeignState,
    value::{Document, Value, fit::fit},
};
use tidegate_testkit::store::State;

use super::marks::Marked;

/// All documents, with what no model names.
pub(crate) type Documents = BTreeMap<DocumentKey, Document>;

/// What differs from its entry, as a gateway with this model reads both.
pub(crate) fn differences(
    model: &Model,
    documents: &Documents,
    state: &State,
) -> BTreeMap<DocumentKey, ForeignState> {
    let entries = state.entries().map(|entry| &entry.key);
    let keys: BTreeSet<&DocumentKey> = entries.chain(documents.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let document_type = model.document_type(key.type_name.as_str())?;
        let entry = state.entry(key).map(AsRef::as_ref);
        let foreign = difference(model, document_type, documents.get(key), entry)?;
        Some((key.clone(), foreign))
    });
    differing.collect()
}

fn difference(
    model: &Model,
    document_type: &DocumentType,
    stored: Option<&Document>,
    entry: Option<&Entry>,
) -> Option<ForeignState> {
    let Some(stored) = stored else {
        let is_expected = entry.is_some_and(|entry| entry.body.is_some() || entry.withheld);
        return is_expected.then_some(ForeignState::Gone);
    };
    let fields = &document_type.fields;
    let found = named(model, fields, stored);
    if let Err(misfit) = fit(model, fields, &found) {
        let readable = found;
        return Some(ForeignState::Misfit { misfit, readable });
    }
    let body = entry.and_then(|entry| entry.body.as_ref());
    let is_same = body.is_some_and(|body| named(model, fields, body) == found);
    (!is_same).then_some(ForeignState::Document(found))
}

/// The part of a document that a model names, in embedded documents and lists too.
pub(crate) fn named(model: &Model, fields: &[Field], document: &Document) -> Document {
    let value = |field: &Field| {
        let value = document.get(&field.stored_as)?;
        Some(named_value(model, &field.ty, value))
    };
    let fields = fields.iter();
    let named = fields.filter_map(|field| Some((field.stored_as.clone(), value(field)?)));
    named.collect()
}

fn named_value(model: &Model, ty: &FieldType, value: &Value) -> Value {
    match (&ty.shape, value) {
        (Shape::Embedded(of), Value::Object(inside)) => {
            Value::Object(named(model, model.embedded_fields(of), inside))
        }
        (Shape::List(item), Value::List(items)) => {
            let items = items.iter().map(|value| named_value(model, item, value));
            Value::List(items.collect())
        }
        (_, value) => value.clone(),
    }
}

/// What the model does not name of a document itself.
pub(crate) fn others<'d>(
    fields: &[Field],
    document: &'d Document,
) -> impl Iterator<Item = (&'d String, &'d Value)> {
    let is_named = |name: &String| fields.iter().any(|field| field.stored_as == *name);
    document.iter().filter(move |(name, _)| !is_named(name))
}

/// A document that a service made of the one before, with what the model does not name. An item of a list is the one
/// before that has its key, or that is equal to it.
pub(crate) fn over(
    model: &Model,
    fields: &[Field],
    before: &Document,
    mut after: Document,
) -> Document {
    for (name, value) in others(fields, before) {
        after.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for field in fields {
        let name = &field.stored_as;
        if let Some((before, value)) = before.get(name).zip(after.get_mut(name)) {
            put_over(model, &field.ty, field.key.as_deref(), before, value);
        }
    }
    after
}

fn put_over(model: &Model, ty: &FieldType, key: Option<&str>, before: &Value, after: &mut Value) {
    match (&ty.shape, before, after) {
        (Shape::Embedded(of), Value::Object(before), Value::Object(after)) => {
            let made = std::mem::take(after);
            *after = over(model, model.embedded_fields(of), before, made);
        }
        (Shape::List(item), Value::List(before), Value::List(after)) => {
            let mut left: Vec<&Value> = before.iter().collect();
            for value in after {
                let named = identity(model, item, key, value);
                let is_it = |before: &&Value| identity(model, item, key, before) == named;
                if let Some(origin) = left.iter().position(is_it) {
                    put_over(model, item, None, left.remove(origin), value);
                }
            }
        }
        _ => {}
    }
}

/// What is equal for an item of a list before and after an edit.
pub(crate) fn identity(model: &Model, item: &FieldType, key: Option<&str>, value: &Value) -> Value {
    let key = match (value, key) {
        (Value::Object(document), Some(key)) => document.get(key).cloned(),
        _ => None,
    };
    key.unwrap_or_else(|| named_value(model, item, value))
}

/// What a gateway with this model wrote to the feed, in the collections too. The entries have the marks of what they were
/// decided over.
pub(super) fn write(model: &Model, documents: &mut Documents, written: &[Arc<Entry>]) {
    for entry in written {
        let document_type = model.document_type(entry.key.type_name.as_str());
        match (&entry.body, document_type) {
            (Some(body), Some(document_type)) => {
                let stored = documents.entry(entry.key.clone()).or_default();
                let fields = &document_type.fields;
                let kept = Marked::of(model, fields, stored);
                *stored = kept.written(fields, body, Some(stored));
            }
            // A withheld document stays as others made it.
            (None, Some(_)) if !entry.withheld => drop(documents.remove(&entry.key)),
            _ => {}
        }
    }
}
