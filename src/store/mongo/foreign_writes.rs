//! What others wrote past the gateway: application documents that differ from their entries.
//!
//! The core's `import` decides what to do about them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use mongodb::bson::RawDocumentBuf;
use tidegate_core::{
    entry::Entry,
    id::DocumentKey,
    transaction::ForeignState,
    value::{Document, fit::fit},
};

use super::layout::{ModelLayout, TypeLayout};

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
    let document = match layout.read_document(document_type, stored) {
        Ok(document) => document,
        Err(misfit) => {
            let readable = layout.read_what_fits(fields, stored);
            return Some(ForeignState::Misfit { misfit, readable });
        }
    };
    let body = entry.and_then(|entry| entry.body.as_ref());
    let same = body.is_some_and(|body| layout.read_alike(document_type, body, &document));
    (!same).then_some(ForeignState::Document(document))
}

impl ModelLayout {
    /// Whether the model reads an entry's body as it has read the document.
    fn read_alike(&self, document_type: &TypeLayout, body: &Document, document: &Document) -> bool {
        let TypeLayout {
            modelled, fields, ..
        } = document_type;
        match fit(&self.model, &modelled.fields, body) {
            Ok(fitted) => self.say_the_same(fields, fitted.as_ref().unwrap_or(body), document),
            Err(_) => false,
        }
    }
}
