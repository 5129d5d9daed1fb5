//! Whether what a store holds fits the model: asked when a gateway starts on a model it has not seen before.
//!
//! A required field that was added, or a type that changed, would otherwise fail the pages of every client; under a
//! changed `@scope` or `@grants`, what is stored would stay open to those whom the rule before named.

use tidegate_core::{
    entry::Entry,
    grant,
    id::DocumentKey,
    model::{DocumentType, Model},
    value::{Document, check},
};

use crate::store::{Store, StoreError};

/// How many documents are looked at at a time.
const BATCH: usize = 1_000;

/// How many misfits are named; the others are counted.
const NAMED_MAX: usize = 10;

/// The documents that do not fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// How many there are.
    pub count: usize,
    /// The first of them, each with what is wrong.
    pub named: Vec<(DocumentKey, String)>,
}

/// Looks at every document of the model's types. `progress` is told how many each batch had.
///
/// # Errors
/// [`StoreError`].
pub async fn misfits(
    model: &Model,
    store: &dyn Store,
    mut progress: impl FnMut(usize),
) -> Result<Misfits, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut misfits = Misfits::default();
    let mut after: Option<DocumentKey> = None;
    loop {
        let entries = snapshot.walk(after.as_ref(), BATCH).await?;
        for entry in &entries {
            let Some(problem) = misfit(model, entry) else {
                continue;
            };
            misfits.count += 1;
            if misfits.named.len() < NAMED_MAX {
                misfits.named.push((entry.key.clone(), problem));
            }
        }
        progress(entries.len());
        match entries.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(misfits),
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
