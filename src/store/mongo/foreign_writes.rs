//! What others wrote past the gateway: application documents that differ from their entries.
//!
//! The core's `import` decides what to do about them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use mongodb::bson::RawDocumentBuf;
use tidegate_core::{entry::Entry, id::DocumentKey, transaction::ForeignState, value::Document};

use super::{
    document::is_identical,
    layout::{FieldLayout, ModelLayout, TypeLayout},
};

/// Compares the documents of `keys` with their entries.
pub(super) fn foreign<'k>(
    layout: &ModelLayout,
    keys: impl Iterator<Item = &'k DocumentKey>,
    entries: &HashMap<DocumentKey, Arc<Entry>>,
    documents: &HashMap<DocumentKey, RawDocumentBuf>,
) -> BTreeMap<DocumentKey, ForeignState> {
    let found = keys.filter_map(|key| {
        let document_type = layout.document_type(&key.type_name)?;
        let entry = entries.get(key).map(Arc::as_ref);
        let foreign = compare(layout, document_type, entry, documents.get(key))?;
        Some((key.clone(), foreign))
    });
    found.collect()
}

fn compare(
    layout: &ModelLayout,
    document_type: &TypeLayout,
    entry: Option<&Entry>,
    stored: Option<&RawDocumentBuf>,
) -> Option<ForeignState> {
    let Some(stored) = stored else {
        let expected = entry.is_some_and(|entry| entry.body.is_some() || entry.withheld);
        return expected.then_some(ForeignState::Gone);
    };
    let fields = &document_type.fields;
    let document = match layout.read(fields, stored) {
        Ok(document) => document,
        Err(misfit) => {
            let readable = layout.read_what_fits(fields, stored);
            return Some(ForeignState::Misfit { misfit, readable });
        }
    };
    let body = entry.and_then(|entry| entry.body.as_ref());
    let same = body.is_some_and(|body| say_the_same(fields, body, &document));
    (!same).then_some(ForeignState::Document(document))
}

/// Fields of an entry that the model no longer names do not count.
fn say_the_same(fields: &[FieldLayout], body: &Document, document: &Document) -> bool {
    fields.iter().all(|field| {
        let name = field.stored_as.as_str();
        match (body.get(name), document.get(name)) {
            (Some(said), Some(found)) => is_identical(said, found),
            (said, found) => said.is_none() && found.is_none(),
        }
    })
}
