//! Whether what a store holds fits the model: asked when a gateway starts on a model it has not seen before.
//!
//! A required field that was added, or a type that changed, would otherwise fail the pages of every client; under a
//! changed `@scope` or `@grants`, what is stored would stay open to those whom the rule before named.

use std::collections::BTreeSet;

use tidegate_core::{
    entry::Entry,
    grant,
    id::{DocumentKey, TypeName},
    model::{DocumentType, Model},
    value::{Document, check},
};

use crate::store::{Store, StoreError};

/// How many documents are looked at at a time.
const BATCH: usize = 1_000;

/// How many misfits are named; the others are counted.
const NAMED_MAX: usize = 10;

/// What a store holds, held against a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The types of its entries, also those the model does not have.
    pub types: BTreeSet<TypeName>,
    /// How many documents do not fit.
    pub misfits: usize,
    /// The first of them, each with what is wrong.
    pub named: Vec<(DocumentKey, String)>,
}

/// Looks at every entry. `progress` is told how many each batch had.
///
/// # Errors
/// [`StoreError`].
pub async fn survey(
    model: &Model,
    store: &dyn Store,
    mut progress: impl FnMut(usize),
) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut after: Option<DocumentKey> = None;
    loop {
        // Each batch has a snapshot of its own: no store keeps one for as long as all of them may take.
        let mut snapshot = store.snapshot().await?;
        let entries = snapshot.walk(after.as_ref(), BATCH).await?;
        drop(snapshot);
        for entry in &entries {
            if !survey.types.contains(&entry.key.type_name) {
                survey.types.insert(entry.key.type_name.clone());
            }
            let Some(problem) = misfit(model, entry) else {
                continue;
            };
            survey.misfits += 1;
            if survey.named.len() < NAMED_MAX {
                survey.named.push((entry.key.clone(), problem));
            }
        }
        progress(entries.len());
        match entries.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(survey),
        }
    }
}

/// What is wrong with a stored document; of types the model no longer has, only that they must not go on to grant.
fn misfit(model: &Model, entry: &Entry) -> Option<String> {
    let document_type = model.document_type(entry.key.type_name.as_str());
    match (document_type, &entry.body) {
        (Some(document_type), Some(body)) => misfit_of_type(model, document_type, entry, body),
        (None, Some(_)) if entry.membership.is_some() => {
            Some("it gives access to a scope, and its type is gone".to_owned())
        }
        _ => None,
    }
}

fn misfit_of_type(
    model: &Model,
    document_type: &DocumentType,
    entry: &Entry,
    body: &Document,
) -> Option<String> {
    if let Err(error) = check::check_document(model, &document_type.fields, body) {
        return Some(error.to_string());
    }
    let scope = grant::scope_of(document_type, &entry.key.id, body);
    if !scope.is_ok_and(|scope| scope == entry.scope) {
        return Some("`@scope` would put it into another scope".to_owned());
    }
    if grant::membership_of(document_type, &entry.key.id, body) != entry.membership {
        return Some("`@grants` would give other access".to_owned());
    }
    None
}
