//! Restamps entries of an earlier version, which did not escape the values in scopes. It may be stopped and repeated, and
//! two gateways may do it at once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tidegate_core::{
    entry::Entry,
    id::{DocumentKey, Scope},
    model::Model,
    push,
    transaction::{Loaded, Reads},
};

use super::{
    Clock,
    commit::{commit_repeatedly, halved},
};
use crate::store::{DecideFn, InboxRange, Store, StoreError, WALK_BYTES_MAX};

/// The number of entries that are looked at a time, and restamped in one transaction.
const BATCH: usize = 500;

/// Restamps every entry that needs it, and its conflicts. Calls `progress` with the size of each batch. Returns how many
/// were restamped.
///
/// # Errors
/// [`StoreError`]; what earlier transactions restamped stays so.
pub async fn restamp(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    mut progress: impl FnMut(usize),
) -> Result<usize, StoreError> {
    let mut total = 0;
    let mut after: Option<DocumentKey> = None;
    loop {
        // Each batch has a snapshot of its own, since no store keeps one for as long as all batches may take.
        let mut snapshot = store.snapshot().await?;
        let entries = snapshot.walk(after.as_ref(), BATCH).await?;
        drop(snapshot);
        let unescaped = entries.iter().filter(|it| push::is_unescaped(model, it));
        let unescaped: Vec<&Arc<Entry>> = unescaped.collect();
        if !unescaped.is_empty() {
            let scopes = unescaped.iter().map(|entry| entry.scope.clone());
            restamp_conflicts(model, store, scopes.collect()).await?;
            let unescaped = unescaped.iter().map(|entry| entry.key.clone()).collect();
            let (restamped, all_had_room) = restamp_all(model, store, clock, unescaped).await?;
            total += restamped;
            if restamped > 0 || !all_had_room {
                // The same batch again, in its present state.
                continue;
            }
        }
        progress(entries.len());
        match entries.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return Ok(total),
        }
    }
}

/// Restamps these entries, as far as a transaction has room for them. Returns how many, and whether all had room.
async fn restamp_all(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    keys: BTreeSet<DocumentKey>,
) -> Result<(usize, bool), StoreError> {
    let (model, clock) = (Arc::clone(model), Arc::clone(clock));
    let all_had_room = Arc::new(AtomicBool::new(true));
    let had_room = Arc::clone(&all_had_room);
    let decide: Arc<DecideFn> = Arc::new(move |loaded: &Loaded| {
        had_room.store(loaded.left_out.is_empty(), Ordering::Relaxed);
        push::restamp(&model, clock(), loaded)
    });
    let batch = |conflicts| {
        let attempted = keys.iter().take(halved(keys.len(), conflicts)).cloned();
        let reads = push::stamp_reads(attempted.collect(), None);
        (reads, Arc::clone(&decide))
    };
    let restamped = commit_repeatedly(store, batch).await?.entries.len();
    Ok((restamped, all_had_room.load(Ordering::Relaxed)))
}

/// Restamps the conflicts of documents that move, so that they move too.
async fn restamp_conflicts(
    model: &Arc<Model>,
    store: &dyn Store,
    scopes: BTreeSet<Scope>,
) -> Result<(), StoreError> {
    let mut range = InboxRange {
        scopes,
        after: None,
        items_max: BATCH,
        bytes_max: WALK_BYTES_MAX,
    };
    loop {
        let scan = store.snapshot().await?.conflicts(&range).await?;
        let unescaped = scan
            .conflicts
            .iter()
            .filter(|open| push::is_unescaped_conflict(model, open));
        let reads = Reads {
            inbox: unescaped.map(|open| open.id.clone()).collect(),
            ..Reads::default()
        };
        if !reads.inbox.is_empty() {
            let model = Arc::clone(model);
            let decide: Arc<DecideFn> =
                Arc::new(move |loaded: &Loaded| push::restamp_conflicts(&model, loaded));
            commit_repeatedly(store, |_| (reads.clone(), Arc::clone(&decide))).await?;
        }
        match scan.end.filter(|_| scan.has_more) {
            Some(end) => range.after = Some(end),
            None => return Ok(()),
        }
    }
}
