//! What other services do to the application's collections, and what the gateways keep of following it (rules.md
//! section 8). [`access`](super::access) lets the gateways' importers reach it.
//!
//! The documents themselves are in [`super::documents`].

mod services;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tidegate::store::collections::{
    CollectionId, ForeignBatch, ForeignChange, ImportPosition, ImportProgress,
};
use tidegate_core::{
    id::{DocumentKey, TypeName},
    transaction::{Fence, Writes},
    unique::UniqueKey,
    value::Document,
};
use tidegate_testkit::store::State;
use tokio::{sync::Notify, time::Instant};

use super::{Inner, documents::Documents};
use crate::people::{self, Edition};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(6);

/// How long after a write its event may come. Within it pushes meet what no importer has seen.
const EVENT_DELAYS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(8),
    Duration::from_secs(1),
];

/// The collections beside their documents, what others wrote to them, and how far that is imported.
#[derive(Clone)]
pub(super) struct Collections {
    /// Another number after each restore. A position of another store is not followed.
    store: u32,
    /// What others wrote, each with the time of its event.
    log: VecDeque<Event>,
    /// How many writes came before the log. Their events are lost.
    unseen: u64,
    arrivals: Arc<Notify>,
    lease: Lease,
    pub(super) progress: ImportProgress,
    pub(super) present: BTreeMap<TypeName, CollectionId>,
    /// How many collections were ever made.
    made: u32,
    /// The documents of collections that were dropped, until they are brought back or an operator accepts the deletes.
    pub(super) dropped: BTreeMap<TypeName, BTreeMap<DocumentKey, Document>>,
    /// Types whose collection was dropped after it was imported. Nobody has made it again, or accepted the deletes.
    pub(super) lost: BTreeSet<TypeName>,
    /// The documents that are withheld because another one has this value.
    duplicates: BTreeMap<DocumentKey, UniqueKey>,
    /// Those of them whose value was left since.
    freed: BTreeSet<DocumentKey>,
}

/// Something that was written to a collection.
#[derive(Clone)]
struct Event {
    due: Instant,
    change: ForeignChange,
    /// The model of the gateway that wrote it, if one did.
    by: Option<Edition>,
}

#[derive(Clone)]
struct Lease {
    fence: Fence,
    holder: Option<usize>,
    until: Instant,
}

impl Collections {
    pub(super) fn new() -> Self {
        let mut collections = Self {
            store: 1,
            log: VecDeque::new(),
            unseen: 0,
            arrivals: Arc::default(),
            lease: Lease {
                fence: Fence(0),
                holder: None,
                until: Instant::now(),
            },
            progress: ImportProgress::default(),
            present: BTreeMap::new(),
            made: 0,
            dropped: BTreeMap::new(),
            lost: BTreeSet::new(),
            duplicates: BTreeMap::new(),
            freed: BTreeSet::new(),
        };
        for type_name in people::types() {
            collections.make(type_name);
        }
        collections
    }

    fn make(&mut self, type_name: TypeName) {
        self.made += 1;
        let id = CollectionId(format!("collection {}", self.made));
        self.lost.remove(&type_name);
        self.present.insert(type_name, id);
    }

    /// The types whose collection is another one than was imported, or is missing.
    pub(super) fn held(&self) -> BTreeSet<TypeName> {
        let records = self.progress.types.iter();
        let held = records.filter(|(name, record)| {
            let imported = record.collection.as_ref();
            imported.is_some() && imported != self.present.get(*name)
        });
        held.map(|(name, _)| name.clone()).collect()
    }

    /// The gateway that imports.
    pub(super) fn holder(&self) -> Option<usize> {
        self.lease.holder
    }

    /// A gateway of the leading model renews the lease, or takes it.
    pub(super) fn take_lease(&mut self, held: Option<Fence>, by: usize) -> Option<Fence> {
        let now = Instant::now();
        let is_own = held == Some(self.lease.fence) && self.lease.holder == Some(by);
        if !is_own && self.lease.holder.is_some() && now < self.lease.until {
            return None;
        }
        if !is_own {
            self.lease.fence.0 += 1;
            self.lease.holder = Some(by);
        }
        self.lease.until = now + LEASE;
        Some(self.lease.fence)
    }

    pub(super) fn is_deposed(&self, held: Fence) -> bool {
        self.lease.fence != held
    }

    pub(super) fn renew(&mut self) {
        self.lease.until = Instant::now() + LEASE;
    }

    /// Ends the lease of any holder.
    pub(super) fn depose(&mut self) {
        self.lease.holder = None;
        self.lease.fence.0 += 1;
    }

    pub(super) fn release(&mut self, held: Fence) {
        if !self.is_deposed(held) {
            self.depose();
        }
    }

    /// Others did this. Events come in the order of the writes.
    fn note(&mut self, change: ForeignChange, delay: Duration) {
        self.log_event(change, None, Instant::now() + delay);
    }

    /// A gateway with this model wrote a document.
    pub(super) fn note_commit(&mut self, key: DocumentKey, by: Option<Edition>) {
        self.log_event(ForeignChange::Document(key), by, Instant::now());
    }

    /// A commit leaves values that documents wait for, and records which ones wait.
    pub(super) fn note_duplicates(&mut self, writes: &Writes) {
        let left = self.duplicates.iter();
        let left = left.filter(|(_, value)| writes.freed.contains(*value));
        self.freed.extend(left.map(|(key, _)| key.clone()));
        for key in writes.misfits.keys() {
            self.duplicates.remove(key);
            self.freed.remove(key);
        }
        self.duplicates.extend(writes.duplicates.clone());
    }

    /// The documents whose value was left, or all that wait for one.
    pub(super) fn freed(&mut self, all: bool) -> Vec<DocumentKey> {
        if all {
            self.freed.extend(self.duplicates.keys().cloned());
        }
        self.freed.iter().cloned().collect()
    }

    fn log_event(&mut self, change: ForeignChange, by: Option<Edition>, due: Instant) {
        let due = self.log.back().map_or(due, |last| due.max(last.due));
        self.log.push_back(Event { due, change, by });
        self.arrivals.notify_waiters();
    }

    fn end(&self) -> u64 {
        self.unseen + self.log.len() as u64
    }

    pub(super) fn place(&self, number: u64) -> ImportPosition {
        ImportPosition(format!("{} {number}", self.store).into_bytes())
    }

    /// The number of a position, or why it cannot be followed.
    pub(super) fn number(&self, position: Option<&ImportPosition>) -> Result<u64, Unfollowed> {
        let Some(ImportPosition(bytes)) = position else {
            return Ok(self.end());
        };
        let text = std::str::from_utf8(bytes).expect("positions are texts");
        let (store, number) = text.split_once(' ').expect("positions have two parts");
        if store != self.store.to_string() {
            return Err(Unfollowed::OtherStore);
        }
        let number = number.parse().expect("positions have numbers");
        if number < self.unseen {
            return Err(Unfollowed::Lost);
        }
        Ok(number)
    }

    /// The events from a number on that have come, without the commits of gateways that are left out by their models.
    /// Without one: what to wait for.
    pub(super) fn events(
        &self,
        from: u64,
        is_left_out: impl Fn(Edition) -> bool,
    ) -> Result<Events, Unfollowed> {
        let skipped = from.checked_sub(self.unseen).ok_or(Unfollowed::Lost)?;
        let skipped = usize::try_from(skipped).expect("histories are short");
        let waiting = self.log.iter().skip(skipped);
        let now = Instant::now();
        let come = waiting.clone().take_while(|event| event.due <= now);
        let next = from + come.clone().count() as u64;
        let others = come.filter(|event| !event.by.is_some_and(&is_left_out));
        let writes = others.map(|event| event.change.clone()).collect();
        Ok(Events {
            batch: ForeignBatch {
                position: self.place(next),
                writes,
            },
            next,
            due: waiting.map(|event| event.due).find(|due| *due > now),
            arrivals: Arc::clone(&self.arrivals),
        })
    }
}

/// Why a position cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfollowed {
    Lost,
    OtherStore,
}

/// The events after a position.
pub(super) struct Events {
    pub(super) batch: ForeignBatch,
    pub(super) next: u64,
    /// When the next one comes, if it is known.
    pub(super) due: Option<Instant>,
    pub(super) arrivals: Arc<Notify>,
}

/// The documents of a type, in the order of their ids.
pub(super) fn keys_of(documents: &Documents, type_name: &TypeName) -> BTreeSet<DocumentKey> {
    let keys = documents.keys().filter(|key| key.type_name == *type_name);
    keys.cloned().collect()
}

impl Inner {
    /// A moment that others make.
    fn elsewhere(&mut self, make: impl FnOnce(&mut Self, &mut Documents)) {
        if self.file.is_some() {
            return;
        }
        let mut documents = Documents::clone(&self.documents());
        make(self, &mut documents);
        self.add_moment(State::clone(&self.now()), Arc::new(documents));
    }

    fn note(&mut self, change: ForeignChange) {
        let delay = self.random.one_of(&EVENT_DELAYS);
        self.collections.note(change, delay);
    }

    fn make(&mut self, type_name: &TypeName) {
        self.collections.make(type_name.clone());
        self.note(ForeignChange::Collection(type_name.clone()));
    }

    /// The present moment, after something happened that was no commit.
    pub(super) fn add_moment(&mut self, state: State, documents: Arc<Documents>) {
        let moment = self.moment_of(state, documents);
        self.moments.push(moment);
    }

    /// After the importer's progress changed.
    pub(super) fn note_held(&mut self) {
        let now = self.now();
        if now.held != self.collections.held() {
            self.add_moment(State::clone(&now), self.documents());
        }
    }

    /// A push that writes the first document of a type makes its collection, as MongoDB does.
    pub(super) fn make_for(&mut self, documents: &Documents) {
        for type_name in people::types() {
            let is_missing = !self.collections.present.contains_key(&type_name);
            if is_missing && !keys_of(documents, &type_name).is_empty() {
                self.collections.make(type_name);
            }
        }
    }

    /// The collections as they were backed up, in another store: each is another collection now.
    pub(super) fn restore_collections(&mut self, backup: Collections) {
        let store = self.collections.store + 1;
        let made = self.collections.made;
        let present: Vec<TypeName> = backup.present.keys().cloned().collect();
        self.collections = Collections {
            store,
            made,
            log: VecDeque::new(),
            unseen: 0,
            lease: Lease {
                holder: None,
                ..self.collections.lease.clone()
            },
            arrivals: Arc::clone(&self.collections.arrivals),
            ..backup
        };
        present
            .into_iter()
            .for_each(|name| self.collections.make(name));
        self.collections.arrivals.notify_waiters();
    }
}
