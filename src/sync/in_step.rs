//! Brings the feed in step with a new model before anything is served: documents that move, give other access, or are
//! withheld. It may be stopped and repeated.
//!
//! Where other services write, only what must not wait is done here. The importer's scans do the rest.

use std::{collections::HashSet, sync::Arc, time::Duration};

use indexmap::IndexSet;
use tidegate_core::{
    entry::Entry,
    generation::ModelState,
    id::DocumentKey,
    model::Model,
    push,
    transaction::{Fence, Loaded},
};
use tokio::time::sleep;

use super::{
    Clock,
    commit::{commit_repeatedly, halved},
};
use crate::{
    lock::Mutex,
    store::{DecideFn, Store, StoreError, collections::Collections},
};

/// The number of entries that are looked at a time, and stamped in one transaction.
const BATCH: usize = 500;

/// How often a gateway looks whether another one has stamped what is due, or has given its lease back.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Stamps every entry that `is_due`. Calls `progress` with the size of each batch. Returns how many were written. It ends
/// early if another model takes the lead.
///
/// # Errors
/// [`StoreError`]; what earlier transactions stamped stays so.
pub async fn bring_in_step(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    is_due: impl Fn(&ModelState, &Entry) -> bool + Send + Sync,
    mut progress: impl FnMut(usize),
) -> Result<usize, StoreError> {
    let mut lease = StampLease::new(store);
    let (mut stamped, mut after) = (0, None::<DocumentKey>);
    'batches: loop {
        let mut snapshot = store.snapshot().await?;
        if !snapshot.standing().leads {
            break;
        }
        let state = Arc::clone(snapshot.models());
        let entries = snapshot.walk(after.as_ref(), BATCH).await?;
        drop(snapshot);
        let due = entries.iter().filter(|entry| is_due(&state, entry));
        let mut waiting: IndexSet<DocumentKey> = due.map(|entry| entry.key.clone()).collect();
        while !waiting.is_empty() {
            if !lease.renew().await? {
                waiting = lease.without_held(waiting).await?;
                if waiting.is_empty() {
                    break;
                }
                // A gateway of this model stamps or imports. What it has stamped is due no more.
                sleep(LOOK_EVERY).await;
                continue 'batches;
            }
            match stamp(model, store, clock, &waiting, lease.fence).await {
                Ok((written, left)) => {
                    stamped += written;
                    waiting = left;
                }
                Err(StoreError::Deposed) => {
                    lease.fence = None;
                    continue 'batches;
                }
                Err(error) => return Err(error),
            }
        }
        progress(entries.len());
        match entries.last() {
            Some(last) => after = Some(last.key.clone()),
            None => break,
        }
    }
    lease.release().await?;
    Ok(stamped)
}

/// One transaction. Returns how many entries it wrote, and which documents it did not reach.
async fn stamp(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    keys: &IndexSet<DocumentKey>,
    fence: Option<Fence>,
) -> Result<(usize, IndexSet<DocumentKey>), StoreError> {
    let unreached = Arc::new(Mutex::new((0, HashSet::new())));
    let batch = |conflicts| {
        let attempted = halved(keys.len(), conflicts);
        let (model, clock, noted) = (model.clone(), clock.clone(), unreached.clone());
        let decide: Arc<DecideFn> = Arc::new(move |loaded: &Loaded| {
            *noted.lock() = (attempted, loaded.left_out.clone());
            push::stamp_and_withhold(&model, clock(), loaded)
        });
        let attempted = keys.iter().take(attempted).cloned().collect();
        (push::stamp_reads(attempted, fence), decide)
    };
    let written = commit_repeatedly(store, batch).await?.entries.len();
    let (attempted, left_out) = std::mem::take(&mut *unreached.lock());
    let keys = keys.iter().enumerate();
    let left = keys.filter(|(i, key)| *i >= attempted || left_out.contains(*key));
    Ok((written, left.map(|(_, key)| key.clone()).collect()))
}

/// The importer's lease, which keeps other gateways from stamping meanwhile.
struct StampLease {
    collections: Option<Arc<dyn Collections>>,
    fence: Option<Fence>,
}

impl StampLease {
    fn new(store: &dyn Store) -> Self {
        Self {
            collections: store.collections(),
            fence: None,
        }
    }

    /// Whether this gateway may stamp now. A store without an importer has no lease.
    async fn renew(&mut self) -> Result<bool, StoreError> {
        let Some(collections) = &self.collections else {
            return Ok(true);
        };
        self.fence = collections.lease(self.fence).await?;
        Ok(self.fence.is_some())
    }

    /// The documents of types that are not held. Nobody stamps the others until their collection is back.
    async fn without_held(
        &self,
        mut keys: IndexSet<DocumentKey>,
    ) -> Result<IndexSet<DocumentKey>, StoreError> {
        if let Some(collections) = &self.collections {
            let types = collections.progress().await?.types;
            keys.retain(|key| {
                let import = types.get(&key.type_name);
                import.is_none_or(|import| import.held.is_none())
            });
        }
        Ok(keys)
    }

    async fn release(self) -> Result<(), StoreError> {
        match self.collections.zip(self.fence) {
            Some((collections, fence)) => collections.release(fence).await,
            None => Ok(()),
        }
    }
}
