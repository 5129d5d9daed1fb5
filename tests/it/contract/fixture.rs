//! Records to write and short queries, for the promises.
//!
//! [`change`] stands for the core, so that feeds look as they do in use. It knows no conflicts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tidegate::store::{DecideFn, Scan, ScanRange, Snapshot, Store, StoreError};
use tidegate_core::{
    entry::{Entry, FeedItem, Marker, Record, ScopeState, Writer},
    id::{ClientId, DocumentId, DocumentKey, MutationId, Scope, Seq, TypeName, UserId, Version},
    transaction::{Loaded, Reads, Writes},
    value::{Document, Timestamp, Value},
};
use tokio::time::sleep;

pub(crate) fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn task(id: &str) -> DocumentKey {
    key("Task", id)
}

pub(crate) fn key(type_name: &str, id: &str) -> DocumentKey {
    DocumentKey {
        type_name: TypeName::new(type_name).unwrap(),
        id: DocumentId::new(id).unwrap(),
    }
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

/// A living entry with everything that an entry can have, except a membership.
pub(crate) fn entry(key: &DocumentKey, scope: &Scope, version: i32) -> Entry {
    let writer = Writer {
        user: Some(user("alice")),
        client: Some(ClientId::new("phone").unwrap()),
        edited_at: at(i64::from(version)),
        mutation: Some(MutationId(version)),
    };
    let title = Value::String(format!("{key} in version {version}"));
    Entry {
        key: key.clone(),
        scope: scope.clone(),
        version: Version(version),
        began: Version(1),
        run: Version(version),
        field_versions: BTreeMap::from([("title".to_owned(), Version(version))]),
        writers: BTreeMap::from([(Version(version), writer)]),
        body: Some(Document::from([("title".to_owned(), title)])),
        at: at(i64::from(version)),
        membership: None,
        withheld: false,
    }
}

pub(crate) fn tombstone(key: &DocumentKey, scope: &Scope, version: i32) -> Entry {
    Entry {
        body: None,
        ..entry(key, scope, version)
    }
}

pub(crate) fn marker(key: &DocumentKey, scope: &Scope, version: i32) -> Marker {
    Marker {
        key: key.clone(),
        scope: scope.clone(),
        version: Version(version),
        at: at(i64::from(version)),
    }
}

pub(crate) fn entries(entries: impl IntoIterator<Item = Entry>) -> Writes {
    Writes {
        entries: entries.into_iter().map(Arc::new).collect(),
        ..Writes::default()
    }
}

/// The next version of a document, in `target`, or its deletion; nothing if there is nothing to delete.
pub(crate) fn change(loaded: &Loaded, key: &DocumentKey, target: Option<&Scope>) -> Writes {
    let before = loaded.entries.get(key);
    let version = before.map_or(0, |entry| entry.version.0) + 1;
    match (before, target) {
        (None, None) => Writes::default(),
        (Some(before), None) => entries([tombstone(key, &before.scope, version)]),
        (None, Some(target)) => entries([entry(key, target, version)]),
        (Some(before), Some(target)) => {
            let mut writes = entries([entry(key, target, version)]);
            if before.scope != *target {
                writes.markers.push(marker(key, &before.scope, version));
                writes.markers_removed.push((target.clone(), key.clone()));
            }
            writes
        }
    }
}

/// Commits writes that do not depend on the store.
pub(crate) async fn write(store: &dyn Store, writes: Writes) {
    try_write(store, writes).await.unwrap();
}

pub(crate) async fn try_write(store: &dyn Store, writes: Writes) -> Result<Writes, StoreError> {
    let decide = move |_: &Loaded| writes.clone();
    commit(store, Reads::default(), Arc::new(decide)).await
}

/// Commits, and repeats after each write conflict.
pub(crate) async fn commit(
    store: &dyn Store,
    reads: Reads,
    decide: Arc<DecideFn>,
) -> Result<Writes, StoreError> {
    loop {
        match store.commit(reads.clone(), Arc::clone(&decide)).await {
            Err(StoreError::WriteConflict(conflict)) => sleep(conflict.backoff).await,
            done => return done.map(|committed| committed.writes),
        }
    }
}

/// Commits [`change`].
pub(crate) async fn write_change(store: &dyn Store, key: &DocumentKey, target: Option<&Scope>) {
    let reads = Reads {
        keys: [key.clone()].into(),
        ..Reads::default()
    };
    let (key, target) = (key.clone(), target.cloned());
    let decide = move |loaded: &Loaded| change(loaded, &key, target.as_ref());
    commit(store, reads, Arc::new(decide)).await.unwrap();
}

/// What a commit would load now.
pub(crate) async fn load(store: &dyn Store, reads: Reads) -> Loaded {
    let seen = Arc::new(Mutex::new(None));
    let show = Arc::clone(&seen);
    let decide = move |loaded: &Loaded| {
        *show.lock().unwrap() = Some(loaded.clone());
        Writes::default()
    };
    store.commit(reads, Arc::new(decide)).await.unwrap();
    seen.lock().unwrap().take().unwrap()
}

/// All of a scope.
pub(crate) fn whole(scope: &Scope) -> ScanRange {
    ScanRange {
        scope: scope.clone(),
        types: None,
        removals: true,
        after: Seq::START,
        through: Seq(i64::MAX),
        items_max: 10_000,
        bytes_max: usize::MAX,
    }
}

pub(crate) async fn scan(store: &dyn Store, range: &ScanRange) -> Scan {
    let mut snapshot = store.snapshot().await.unwrap();
    snapshot.scan(range).await.unwrap()
}

pub(crate) async fn feed(store: &dyn Store, scope: &Scope) -> Vec<FeedItem> {
    let scan = scan(store, &whole(scope)).await;
    assert!(scan.complete);
    scan.decoded().unwrap()
}

pub(crate) async fn state(snapshot: &mut dyn Snapshot, scope: &Scope) -> ScopeState {
    let asked = BTreeSet::from([scope.clone()]);
    snapshot.scopes(&asked).await.unwrap()[scope]
}

pub(crate) async fn get(store: &dyn Store, key: &DocumentKey) -> Option<Arc<Entry>> {
    let mut snapshot = store.snapshot().await.unwrap();
    let read = snapshot.entries(&BTreeSet::from([key.clone()]), 0).await;
    read.unwrap().found.remove(key)
}

pub(crate) fn seqs(items: &[FeedItem]) -> Vec<i64> {
    items.iter().map(|item| item.seq.0).collect()
}

/// The seqs of what a scan found.
pub(crate) fn scanned(scan: &Scan) -> Vec<i64> {
    scan.items.iter().map(|item| item.seq.0).collect()
}

pub(crate) fn item(seq: i64, entry: Entry) -> FeedItem {
    FeedItem {
        seq: Seq(seq),
        record: Record::Entry(Arc::new(entry)),
    }
}

pub(crate) fn marker_item(seq: i64, marker: Marker) -> FeedItem {
    FeedItem {
        seq: Seq(seq),
        record: Record::Marker(marker),
    }
}
