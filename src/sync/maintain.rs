//! Work on a store that is nobody's push: collecting old tombstones, beginning a new epoch.

use std::sync::Arc;

use tidegate_core::{
    collect,
    id::Epoch,
    transaction::{Loaded, Reads},
    value::Timestamp,
};

use super::commit::{commit_repeatedly, halved};
use crate::store::{Decide, Store, StoreError};

/// The most tombstones and markers one transaction collects, the most settled conflicts, and the most clients whose last
/// push is forgotten.
const BATCH: usize = 1_000;

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Tombstones, markers and settled conflicts taken away, and clients whose last push was forgotten.
    pub records: usize,
}

/// Takes away all tombstones, markers and settled conflicts older than `before`, in transactions of a bounded size; safe to stop and to
/// repeat. `progress` is told how many each transaction took.
///
/// # Errors
/// [`StoreError`]; what earlier transactions took stays taken.
pub async fn collect(
    store: &dyn Store,
    before: Timestamp,
    mut progress: impl FnMut(usize),
) -> Result<Collected, StoreError> {
    let mut total = Collected::default();
    loop {
        let batch = |conflicts| {
            let reads = collect::reads(before, halved(BATCH, conflicts));
            (reads, Arc::new(collect::decide) as Arc<Decide>)
        };
        let writes = commit_repeatedly(store, batch).await?;
        let records = writes.collected.len() + writes.forgotten.len() + writes.clients.len();
        if records == 0 {
            return Ok(total);
        }
        total.records += records;
        progress(records);
    }
}

/// Begins a new epoch: every client resets and compares what it holds with what is there.
///
/// # Errors
/// [`StoreError`]; then the old epoch stands.
pub async fn rotate_epoch(store: &dyn Store, epoch: Epoch) -> Result<(), StoreError> {
    let decide: Arc<Decide> = Arc::new(move |_: &Loaded| collect::rotate(epoch.clone()));
    let rotation = |_| (Reads::default(), Arc::clone(&decide));
    commit_repeatedly(store, rotation).await.map(drop)
}
