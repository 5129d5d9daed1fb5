//! Brings the feed in step with a new model: what must not wait until the store is served, and where no other service
//! writes, everything. It may be stopped and repeated, and several gateways may do it at once.
//!
//! Where other services write, the importer's scans do the rest.

use std::{collections::BTreeSet, sync::Arc};

use indexmap::IndexSet;
use tidegate_core::{
    entry::Entry,
    generation::ModelState,
    id::{DocumentKey, TypeName},
    model::Model,
    push,
    transaction::{Loaded, Writes},
};

use super::{
    Clock,
    commit::{commit_repeatedly, halved},
    is_urgent, walks,
};
use crate::store::{Store, StoreError, StoreState};

/// Stamps, by the model that leads the store, what its gateways wait for: documents that give other access, and those that
/// are withheld. In a store without an importer it also moves documents to their scopes. It writes nothing while another
/// model leads. Calls `progress` with the size of each batch. Returns how many entries were written.
///
/// # Errors
/// [`StoreError`]; what earlier transactions stamped stays so.
pub async fn bring_in_step(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    mut progress: impl FnMut(usize),
) -> Result<usize, StoreError> {
    let StoreState {
        standing, models, ..
    } = store.snapshot().await?.state().clone();
    let is_imported = store.collections().is_some();
    let due = due_types(model, &models, is_imported);
    if !standing.leads || due.is_empty() {
        return Ok(0);
    }
    let is_due = |entry: &Entry| {
        let is_due = match is_imported {
            true => is_urgent(model, entry),
            false => entry.body.is_some(),
        };
        is_due && due.contains(&entry.key.type_name)
    };
    let (mut stamped, mut walk) = (0, walks::Entries::of(store));
    while let Some(entries) = walk.next().await? {
        let waiting = entries.iter().filter(|entry| is_due(entry));
        let mut waiting: IndexSet<DocumentKey> = waiting.map(|entry| entry.key.clone()).collect();
        while !waiting.is_empty() {
            match stamp(model, store, clock, &waiting).await? {
                Some((written, left)) => {
                    stamped += written;
                    waiting = left;
                }
                None => return Ok(stamped),
            }
        }
        progress(entries.len());
    }
    let models = store.models();
    if !is_imported {
        for type_name in &due {
            models.moved(standing.term, type_name).await?;
        }
    }
    models.stamped(standing.term, &due).await?;
    Ok(stamped)
}

/// The types of which something is to be stamped here.
fn due_types(model: &Model, state: &ModelState, is_imported: bool) -> BTreeSet<TypeName> {
    let due = match is_imported {
        true => &state.unstamped,
        false => &state.moving,
    };
    let known = due.iter().filter(|name| model.stored_type(name).is_some());
    known.cloned().collect()
}

/// One transaction. Returns how many entries it wrote, and which documents it did not reach; `None` if the model does not
/// lead any more.
async fn stamp(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    keys: &IndexSet<DocumentKey>,
) -> Result<Option<(usize, IndexSet<DocumentKey>)>, StoreError> {
    let batch = |conflicts| {
        let attempted = halved(keys.len(), conflicts);
        let (model, clock) = (model.clone(), clock.clone());
        let decide = move |loaded: &Loaded| match loaded.standing.leads {
            true => {
                let writes = push::stamp_and_withhold(&model, clock(), loaded);
                (writes, Some((attempted, loaded.left_out.clone())))
            }
            false => (Writes::default(), None),
        };
        let attempted = keys.iter().take(attempted).cloned().collect();
        (push::stamp_reads(attempted, None), decide)
    };
    let (writes, reached) = commit_repeatedly(store, batch).await?;
    Ok(reached.map(|(attempted, left_out)| {
        let keys = keys.iter().enumerate();
        let left = keys.filter(|(i, key)| *i >= attempted || left_out.contains(*key));
        (
            writes.entries.len(),
            left.map(|(_, key)| key.clone()).collect(),
        )
    }))
}
