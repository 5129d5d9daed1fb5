//! The documents of the application's collections as they are stored, and what the gateways of each model make of them.
//!
//! A model names some fields of a document. Its gateways read these and write these, and leave the others as they are.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::DocumentKey,
    model::{DocumentType, Field, Model, Shape},
    transaction::ForeignState,
    value::{Document, Value, fit::fit},
};
use tidegate_testkit::store::State;

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

/// The part of a document that a model names, in embedded documents too.
pub(crate) fn named(model: &Model, fields: &[Field], document: &Document) -> Document {
    let value = |field: &Field| match (&field.ty.shape, document.get(&field.stored_as)?) {
        (Shape::Embedded(of), Value::Object(inside)) => {
            let inside = named(model, model.embedded_fields(of), inside);
            Some(Value::Object(inside))
        }
        (_, value) => Some(value.clone()),
    };
    let fields = fields.iter();
    let named = fields.filter_map(|field| Some((field.stored_as.clone(), value(field)?)));
    named.collect()
}

/// A document that a model made of the one before, which keeps what the model does not name.
pub(crate) fn over(
    model: &Model,
    fields: &[Field],
    before: &Document,
    mut after: Document,
) -> Document {
    for (name, before) in before {
        let field = fields.iter().find(|field| field.stored_as == *name);
        let Some(field) = field else {
            after.entry(name.clone()).or_insert_with(|| before.clone());
            continue;
        };
        if let (Shape::Embedded(of), Value::Object(before), Some(Value::Object(inside))) =
            (&field.ty.shape, before, after.get_mut(name))
        {
            let made = std::mem::take(inside);
            *inside = over(model, model.embedded_fields(of), before, made);
        }
    }
    after
}

/// What a gateway with this model wrote to the feed, in the collections too.
pub(super) fn write(model: &Model, documents: &mut Documents, written: &[FeedItem]) {
    for item in written {
        // A withheld document stays as others made it.
        let Record::Entry(entry) = &item.record else {
            continue;
        };
        let document_type = model.document_type(entry.key.type_name.as_str());
        match (&entry.body, document_type) {
            (Some(body), Some(document_type)) => {
                let stored = documents.entry(entry.key.clone()).or_default();
                let fields = &document_type.fields;
                *stored = over(model, fields, stored, named(model, fields, body));
            }
            (None, Some(_)) if !entry.withheld => drop(documents.remove(&entry.key)),
            _ => {}
        }
    }
}
