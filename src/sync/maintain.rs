//! Maintenance of a store: collecting old tombstones, and beginning a new epoch.

use tidegate_core::{
    collect,
    id::Epoch,
    transaction::{Fence, Loaded, Reads},
    value::Timestamp,
};

use super::commit::{commit_repeatedly, halved};
use crate::store::{Store, StoreError};

/// The most tombstones and markers that one transaction collects, and the most settled conflicts, and the most clients
/// whose last push it removes.
const BATCH: usize = 1_000;

/// The result of a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// The number of removed tombstones, markers and settled conflicts, and of clients whose last push was removed.
    pub records: usize,
}

/// Removes all tombstones, markers and settled conflicts older than `before`, in transactions of a bounded size. It may
/// be stopped and repeated. `progress` gets the number of each transaction.
///
/// # Errors
/// [`StoreError`]; what earlier transactions removed stays removed.
pub async fn collect(
    store: &dyn Store,
    before: Timestamp,
    mut progress: impl FnMut(usize),
) -> Result<Collected, StoreError> {
    let mut total = Collected::default();
    loop {
        let batch = |conflicts| {
            let reads = collect::reads(before, halved(BATCH, conflicts));
            (reads, |loaded: &Loaded| (collect::decide(loaded), ()))
        };
        let (writes, ()) = commit_repeatedly(store, batch).await?;
        let records =
            writes.collected.len() + writes.resolutions_removed.len() + writes.clients.len();
        if records == 0 {
            return Ok(total);
        }
        total.records += records;
        progress(records);
    }
}

/// Begins a new epoch. Every client resets and compares its documents with the store's.
///
/// # Errors
/// [`StoreError`]; then the old epoch stays.
pub async fn rotate_epoch(store: &dyn Store, epoch: Epoch) -> Result<(), StoreError> {
    rotate_epoch_under(store, epoch, None).await
}

/// The same under an importer's lease: nothing is written if another gateway holds it by now.
pub(super) async fn rotate_epoch_under(
    store: &dyn Store,
    epoch: Epoch,
    lease: Option<Fence>,
) -> Result<(), StoreError> {
    let reads = Reads {
        lease,
        ..Reads::default()
    };
    let rotation = |_| {
        let epoch = epoch.clone();
        let rotate = move |_: &Loaded| (collect::rotate(epoch.clone()), ());
        (reads.clone(), rotate)
    };
    commit_repeatedly(store, rotation).await.map(drop)
}
