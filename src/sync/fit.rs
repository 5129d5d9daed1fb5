//! Whether what a store holds fits the model: asked when a gateway starts on a model it has not seen before.
//!
//! A required field that was added, or a type that changed, would otherwise fail the pages of every client.

use tidegate_core::{id::DocumentKey, model::Model, value::json};

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
            let document_type = model.document_type(entry.key.type_name.as_str());
            let Some((document_type, body)) = document_type.zip(entry.body.as_ref()) else {
                continue;
            };
            if let Err(error) = json::check_document(model, &document_type.fields, body) {
                misfits.count += 1;
                if misfits.named.len() < NAMED_MAX {
                    misfits.named.push((entry.key.clone(), error.to_string()));
                }
            }
        }
        progress(entries.len());
        match entries.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(misfits),
        }
    }
}
