//! A store that shows other documents than it holds, and may fail when it reads single documents. So stored values do not
//! fit, and references cannot be loaded, without any code for it in the product.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::DocumentKey,
    inbox::{ClientChange, OpenConflict},
    query::IndexRead,
    value::Document,
};

use crate::store::{
    Entries, InboxRange, InboxScan, Listed, Scan, Snapshot, StoreError, StoredRecord,
    layered::{
        ReadLayer,
        store::{LayeredStore, StoreLayer},
    },
};

pub(crate) type Staged = LayeredStore<Stage>;

#[derive(Default)]
pub(crate) struct Stage {
    /// The content shown for these documents.
    pub(crate) bodies: HashMap<DocumentKey, Document>,
    /// Base, mine and theirs of these documents' conflicts.
    pub(crate) sides: HashMap<DocumentKey, [Document; 3]>,
    /// Whether the stage is set. Until then the store shows what it holds.
    pub(crate) is_set: AtomicBool,
    /// Whether reads of single documents fail then.
    pub(crate) is_down: bool,
    /// How often documents were read by their keys.
    pub(crate) reads: AtomicUsize,
    /// How often parts of indexes were read.
    pub(crate) listed: AtomicUsize,
}

impl Stage {
    fn shown(&self, entry: &Arc<Entry>) -> Arc<Entry> {
        match self.bodies.get(&entry.key) {
            Some(body) if self.is_set.load(Ordering::Relaxed) && entry.body.is_some() => {
                Arc::new(Entry {
                    body: Some(body.clone()),
                    ..Entry::clone(entry)
                })
            }
            _ => Arc::clone(entry),
        }
    }

    fn conflict(&self, conflict: &Arc<OpenConflict>) -> Arc<OpenConflict> {
        let Some([base, mine, theirs]) = self.sides.get(&conflict.key).cloned() else {
            return Arc::clone(conflict);
        };
        let mut shown = OpenConflict::clone(conflict);
        shown.pending.base = Some(base);
        shown.pending.mine = ClientChange::Changed(mine);
        shown.theirs = Some(theirs);
        Arc::new(shown)
    }

    fn item(&self, item: FeedItem) -> FeedItem {
        match &item.record {
            Record::Entry(entry) => FeedItem {
                record: Record::Entry(self.shown(entry)),
                ..item
            },
            Record::Marker(_) => item,
        }
    }
}

impl StoreLayer for Stage {}

#[async_trait]
impl ReadLayer for Stage {
    fn scanned(&self, scan: Scan) -> Result<Scan, StoreError> {
        let items = scan.decoded()?.into_iter();
        let items = items.map(|item| StoredRecord::encode(&self.item(item)));
        Ok(Scan {
            items: items.collect::<Result<_, _>>()?,
            ..scan
        })
    }

    fn listed(&self, _read: &IndexRead, listed: Listed) -> Result<Listed, StoreError> {
        self.listed.fetch_add(1, Ordering::Relaxed);
        Ok(listed)
    }

    fn found(&self, mut entries: Entries) -> Result<Entries, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_down && self.is_set.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("it is down".to_owned()));
        }
        for entry in entries.found.values_mut() {
            *entry = self.shown(entry);
        }
        Ok(entries)
    }

    async fn inbox(
        &self,
        _below: &mut dyn Snapshot,
        _range: &InboxRange,
        mut scan: InboxScan,
    ) -> Result<InboxScan, StoreError> {
        for conflict in &mut scan.conflicts {
            *conflict = self.conflict(conflict);
        }
        Ok(scan)
    }
}
