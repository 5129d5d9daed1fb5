//! A store that counts what is read of it.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::store::{
    Entries, Scan,
    layered::{
        ReadLayer,
        store::{LayeredStore, StoreLayer},
    },
};

pub(in crate::sync::tests) type CountingStore = LayeredStore<Counts>;

#[derive(Default)]
pub(in crate::sync::tests) struct Counts {
    pub(in crate::sync::tests) snapshots: AtomicUsize,
    /// Reads of the memberships of a user.
    pub(in crate::sync::tests) memberships: AtomicUsize,
    /// Scopes whose states were read.
    pub(in crate::sync::tests) scopes: AtomicUsize,
    pub(in crate::sync::tests) scans: AtomicUsize,
    /// Linearizable reads of heads.
    pub(in crate::sync::tests) confirmed: AtomicUsize,
    /// The bytes of the documents that each read of entries found.
    pub(in crate::sync::tests) entry_bytes: Mutex<Vec<usize>>,
}

impl StoreLayer for Counts {
    fn opened(&self) {
        self.snapshots.fetch_add(1, Ordering::SeqCst);
    }

    fn confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::SeqCst);
    }
}

impl ReadLayer for Counts {
    fn scopes(&self, scopes: usize) {
        self.scopes.fetch_add(scopes, Ordering::SeqCst);
    }

    fn memberships(&self) {
        self.memberships.fetch_add(1, Ordering::SeqCst);
    }

    fn scanned(&self, scan: Scan) -> Result<Scan, StoreError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        Ok(scan)
    }

    fn found(&self, entries: Entries) -> Result<Entries, StoreError> {
        let bodies = entries.found.values();
        let bodies = bodies.filter_map(|entry| entry.body.as_ref());
        let bytes = bodies.map(document_bytes).sum();
        self.entry_bytes.lock().unwrap().push(bytes);
        Ok(entries)
    }
}
