//! The documents of the application's collections as they are stored, and what the gateways of each model make of them.
//!
//! A model names some fields of a document. Its gateways read these and write these, and leave the others as they are.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::DocumentKey,
    model::{DocumentType, Model},
    transaction::ForeignState,
    value::{Document, fit::fit},
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
    let found = named(document_type, stored);
    if let Err(misfit) = fit(model, &document_type.fields, &found) {
        let readable = found;
        return Some(ForeignState::Misfit { misfit, readable });
    }
    let body = entry.and_then(|entry| entry.body.as_ref());
    let is_same = body.is_some_and(|body| named(document_type, body) == found);
    (!is_same).then_some(ForeignState::Document(found))
}

/// The fields that a type names.
pub(crate) fn named(document_type: &DocumentType, document: &Document) -> Document {
    let names = document_type.fields.iter().map(|field| &field.stored_as);
    names
        .filter_map(|name| Some((name.clone(), document.get(name)?.clone())))
        .collect()
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
                for field in &document_type.fields {
                    stored.remove(&field.stored_as);
                }
                stored.extend(named(document_type, body));
            }
            (None, Some(_)) if !entry.withheld => drop(documents.remove(&entry.key)),
            _ => {}
        }
    }
}
