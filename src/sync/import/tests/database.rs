//! A database that another service writes to: collections of maps, with the feed of the test kit. It checks what an
//! importer saves, can fail or stop at any call, and forgets its history.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelRecord, Term},
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, TypeName},
    transaction::{Fence, ForeignState, Loaded, Reads},
    value::Document,
};
use tidegate_testkit::store::State;
use tokio::sync::watch;

use super::*;
use crate::{
    lock::Mutex,
    store::{
        Committed, DecideFn, Snapshot, TailEvent, WriteConflict,
        collections::{
            CollectionId, DocumentWalk, ForeignBatch, ForeignChange, ImportPosition,
            ImportProgress, ScanPhase, UnfitDocument, WalkPosition, WithheldPage,
        },
        models::Models,
    },
};

/// The number of writes that a batch of the stream has at most.
const BATCH: usize = 7;

#[derive(Clone)]
pub(super) struct Database(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    /// The number of writes so far. Streams wait for more.
    written: watch::Sender<usize>,
}

pub(super) struct Inner {
    pub(super) feed: State,
    pub(super) collections: BTreeMap<TypeName, Collection>,
    /// What others did, in order.
    log: Vec<ForeignChange>,
    /// What came before is lost.
    lost: usize,
    /// The number of this store.
    store: usize,
    pub(super) progress: ImportProgress,
    pub(super) lease: Option<Fence>,
    fences: i64,
    /// The saves so far.
    pub(super) saves: Vec<ImportProgress>,
    /// The documents of each commit.
    pub(super) stamps: Vec<Vec<DocumentKey>>,
    /// After so many calls, a further one never ends.
    pub(super) calls_left: usize,
    /// How long each call takes.
    pub(super) latency: Duration,
    /// How many commits meet a write conflict.
    pub(super) conflicts: usize,
    /// A document whose decision fails.
    pub(super) poison: Option<DocumentKey>,
}

#[derive(Default)]
pub(super) struct Collection {
    number: usize,
    pub(super) documents: BTreeMap<DocumentId, Document>,
}

impl Database {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::new(Inner {
                feed: State::new(Epoch::new("e1").unwrap()),
                collections: BTreeMap::new(),
                log: Vec::new(),
                lost: 0,
                store: 1,
                progress: ImportProgress::default(),
                lease: None,
                fences: 0,
                saves: Vec::new(),
                stamps: Vec::new(),
                calls_left: usize::MAX,
                latency: Duration::ZERO,
                conflicts: 0,
                poison: None,
            }),
            written: watch::Sender::new(0),
        }))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.inner.lock())
    }

    /// Another service writes a document, or deletes it.
    pub(super) fn write(&self, key: &DocumentKey, document: Option<Document>) {
        self.look(|inner| {
            let number = inner.log.len() + 1;
            let collection = inner.collections.entry(key.type_name.clone());
            let collection = collection.or_insert_with(|| Collection {
                number,
                ..Collection::default()
            });
            match document {
                Some(document) => drop(collection.documents.insert(key.id.clone(), document)),
                None => drop(collection.documents.remove(&key.id)),
            }
            inner.log.push(ForeignChange::Document(key.clone()));
        });
        self.wake();
    }

    /// Another service drops or renames a collection. What it held comes back with [`Database::bring`].
    pub(super) fn take(&self, type_name: &TypeName) -> Collection {
        let collection = self.look(|inner| {
            let change = ForeignChange::Collection(type_name.clone());
            inner.log.push(change);
            inner.collections.remove(type_name).unwrap()
        });
        self.wake();
        collection
    }

    /// A collection comes back under its name.
    pub(super) fn bring(&self, type_name: &TypeName, collection: Collection) {
        self.look(|inner| {
            inner.collections.insert(type_name.clone(), collection);
            let change = ForeignChange::Collection(type_name.clone());
            inner.log.push(change);
        });
        self.wake();
    }

    fn wake(&self) {
        let written = self.look(|inner| inner.log.len());
        self.0.written.send_replace(written);
    }

    /// What was written so far is not in the history any more.
    pub(super) fn lose_history(&self) {
        self.look(|inner| inner.lost = inner.log.len());
    }

    /// The store is replaced by another one with the same content.
    pub(super) fn replace(&self) {
        self.look(|inner| inner.store += 1);
    }

    /// A call to the store: it may be the one that never ends.
    async fn call(&self) {
        let ends = self.look(|inner| {
            let ends = inner.calls_left > 0;
            inner.calls_left = inner.calls_left.saturating_sub(1);
            ends
        });
        if !ends {
            std::future::pending::<()>().await;
        }
        let latency = self.look(|inner| inner.latency);
        match latency.is_zero() {
            true => tokio::task::yield_now().await,
            false => sleep(latency).await,
        }
    }
}

impl Inner {
    pub(super) fn document(&self, key: &DocumentKey) -> Option<&Document> {
        let collection = self.collections.get(&key.type_name)?;
        collection.documents.get(&key.id)
    }

    /// What others made of a document, if the entry differs.
    fn foreign(&self, key: &DocumentKey) -> Option<ForeignState> {
        let entry = self.feed.entry(key);
        let is_expected = entry.is_some_and(|entry| entry.body.is_some() || entry.withheld);
        match self.document(key) {
            Some(document) if entry.and_then(|entry| entry.body.as_ref()) == Some(document) => None,
            Some(document) => Some(ForeignState::Document(document.clone())),
            None => is_expected.then_some(ForeignState::Gone),
        }
    }

    /// Whether the entry, or the record of a withheld document, says what the collection holds.
    pub(super) fn agrees(&self, key: &DocumentKey) -> bool {
        self.foreign(key).is_none() || self.feed.misfits.contains(key)
    }

    fn held(&self) -> BTreeSet<TypeName> {
        let types = self.progress.types.iter();
        let held = types.filter(|(name, record)| {
            let present = self.identity(name);
            record.collection.is_some() && record.collection != present && !record.accepts_deletes
        });
        held.map(|(name, _)| name.clone()).collect()
    }

    fn identity(&self, type_name: &TypeName) -> Option<CollectionId> {
        let collection = self.collections.get(type_name)?;
        Some(CollectionId(collection.number.to_string()))
    }

    fn is_deposed(&self, fence: Fence) -> bool {
        self.lease != Some(fence)
    }

    /// Asserts rules.md 8.2 and 8.3: what the saved progress calls done is stamped. What others wrote behind the saved
    /// position is still to come.
    fn check(&self, saved: &ImportProgress) {
        let index = saved.position.as_ref().map_or(0, index_of);
        let is_to_come = |key: &DocumentKey| {
            self.log[index..].iter().any(|change| match change {
                ForeignChange::Document(written) => written == key,
                ForeignChange::Collection(type_name) => *type_name == key.type_name,
            })
        };
        let is_passed_over = |key: &DocumentKey| self.poison.as_ref() == Some(key);
        let is_scanned = |key: &DocumentKey| {
            let record = saved.types.get(&key.type_name);
            record.is_some_and(|record| record.scan.is_some() || record.held.is_some())
        };
        for change in &self.log[self.lost.min(index)..index] {
            if let ForeignChange::Document(key) = change {
                let is_done =
                    self.agrees(key) || is_to_come(key) || is_scanned(key) || is_passed_over(key);
                assert!(is_done, "8.2: {key} is not stamped before {index}");
            }
        }
        for (type_name, record) in &saved.types {
            let Some(scan) = &record.scan else { continue };
            let Some(after) = &scan.after else { continue };
            let collection = self.collections.get(type_name).into_iter();
            let ids = collection.flat_map(|collection| collection.documents.keys());
            let passed = ids.filter(|id| {
                scan.phase != ScanPhase::Documents || id.as_str().as_bytes() <= after.0.as_slice()
            });
            for id in passed {
                let key = DocumentKey {
                    type_name: type_name.clone(),
                    id: id.clone(),
                };
                let is_done = self.agrees(&key) || is_to_come(&key) || is_passed_over(&key);
                assert!(is_done, "8.3: {key} is not stamped before the cursor");
            }
        }
    }
}

fn position(store: usize, index: usize) -> ImportPosition {
    ImportPosition(format!("{store} {index}").into_bytes())
}

fn parsed(position: &ImportPosition) -> (usize, usize) {
    let text = std::str::from_utf8(&position.0).unwrap();
    let (store, index) = text.split_once(' ').unwrap();
    (store.parse().unwrap(), index.parse().unwrap())
}

fn index_of(position: &ImportPosition) -> usize {
    parsed(position).1
}

#[async_trait]
impl Store for Database {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        self.call().await;
        self.look(|inner| {
            if reads.lease.is_some_and(|fence| inner.is_deposed(fence)) {
                return Err(StoreError::Deposed);
            }
            if inner
                .poison
                .as_ref()
                .is_some_and(|key| reads.keys.contains(key))
            {
                return Err(StoreError::DecisionFailed("poison".to_owned()));
            }
            let mut loaded: Loaded = inner.feed.load(&reads);
            let keys = reads
                .keys
                .iter()
                .filter(|key| !loaded.left_out.contains(*key));
            let foreign = keys.filter_map(|key| Some((key.clone(), inner.foreign(key)?)));
            loaded.foreign = foreign.collect();
            loaded.held = inner.held();
            let writes = decide(&loaded);
            if inner.conflicts > 0 {
                inner.conflicts -= 1;
                return Err(StoreError::WriteConflict(WriteConflict {
                    heads: BTreeMap::new(),
                    backoff: Duration::from_millis(5),
                }));
            }
            inner.feed.write(&writes);
            for (key, misfit) in &writes.misfits {
                match misfit {
                    Some(_) => drop(inner.feed.misfits.insert(key.clone())),
                    None => drop(inner.feed.misfits.remove(key)),
                }
            }
            inner.stamps.push(reads.keys.into_iter().collect());
            Ok(writes.into())
        })
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Err(StoreError::Unavailable("nobody reads".to_owned()))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        Ok(self.look(|inner| inner.feed.scope(scope).head))
    }

    fn collections(&self) -> Option<Arc<dyn Collections>> {
        Some(Arc::new(self.clone()))
    }

    fn models(&self) -> Arc<dyn Models> {
        Arc::new(self.clone())
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        stream::pending().boxed()
    }
}

#[async_trait]
impl Models for Database {
    async fn record(&self) -> Result<ModelRecord, StoreError> {
        self.call().await;
        Ok(self.look(|inner| ModelRecord::clone(&inner.feed.models)))
    }

    async fn register(&self, text: &str, api_hash: &str) -> Result<Generation, StoreError> {
        self.call().await;
        Ok(self.look(|inner| inner.feed.register(text, api_hash)))
    }

    async fn take_lead(&self, change: &LeadChange) -> Result<bool, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            let leads = inner.feed.take_lead(change);
            if leads {
                inner.lease = None;
                inner.progress.mark_scans(&change.scans);
            }
            leads
        }))
    }

    async fn moved(&self, term: Term, type_name: &TypeName) -> Result<(), StoreError> {
        self.call().await;
        self.look(|inner| inner.feed.moved(term, type_name));
        Ok(())
    }

    async fn stamped(&self, term: Term, types: &BTreeSet<TypeName>) -> Result<(), StoreError> {
        self.call().await;
        self.look(|inner| inner.feed.stamped(term, types));
        Ok(())
    }

    async fn serve_as(&self, generation: Generation) -> Result<(), StoreError> {
        self.look(|inner| inner.feed.serving = generation);
        Ok(())
    }

    async fn has_later(&self, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[async_trait]
impl Collections for Database {
    async fn lease(&self, held: Option<Fence>) -> Result<Option<Fence>, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            if inner.lease.is_none() {
                inner.fences += 1;
                inner.lease = Some(Fence(inner.fences));
                return inner.lease;
            }
            inner.lease.filter(|_| inner.lease == held)
        }))
    }

    async fn release(&self, held: Fence) -> Result<(), StoreError> {
        self.look(|inner| inner.lease = inner.lease.filter(|lease| *lease != held));
        Ok(())
    }

    async fn progress(&self) -> Result<ImportProgress, StoreError> {
        self.call().await;
        Ok(self.look(|inner| inner.progress.clone()))
    }

    async fn save(&self, held: Fence, changes: &ImportProgress) -> Result<(), StoreError> {
        self.call().await;
        self.look(|inner| {
            if inner.is_deposed(held) {
                return Err(StoreError::Deposed);
            }
            let mut saved = inner.progress.clone();
            saved.position = changes.position.clone().or(saved.position);
            for (name, record) in &changes.types {
                let mut record = record.clone();
                let before = inner.progress.types.get(name);
                let is_settled = record.scan.is_none() && record.held.is_none();
                let accepted = before.is_some_and(|before| before.accepts_deletes);
                record.accepts_deletes = accepted && !is_settled;
                saved.types.insert(name.clone(), record);
            }
            inner.check(&saved);
            inner.progress = saved;
            inner.saves.push(changes.clone());
            Ok(())
        })
    }

    async fn accept_deletes(&self, type_name: &TypeName) -> Result<(), StoreError> {
        self.look(|inner| {
            let record = inner.progress.types.entry(type_name.clone()).or_default();
            record.accepts_deletes = record.held.is_some();
        });
        Ok(())
    }

    async fn identities(&self) -> Result<BTreeMap<TypeName, CollectionId>, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            let names = inner.collections.keys();
            let named = names.filter_map(|name| Some((name.clone(), inner.identity(name)?)));
            named.collect()
        }))
    }

    async fn follow(
        &self,
        from: Option<&ImportPosition>,
    ) -> Result<BoxStream<'static, Result<ForeignBatch, FollowError>>, FollowError> {
        self.call().await;
        let (store, lost, now) = self.look(|inner| (inner.store, inner.lost, inner.log.len()));
        let begins = match from.map(parsed) {
            Some((of, _)) if of != store => {
                return Err(FollowError::Replaced("another store".to_owned()));
            }
            Some((_, index)) if index < lost => {
                return Err(FollowError::Lost("too old".to_owned()));
            }
            Some((_, index)) => index,
            None => now,
        };
        let database = self.clone();
        let written = self.0.written.subscribe();
        let begin = (database, written, begins, true);
        let batches = stream::unfold(
            begin,
            |(database, mut written, index, is_first)| async move {
                if !is_first {
                    written.wait_for(|written| *written > index).await.unwrap();
                }
                let batch = database.look(|inner| {
                    if index < inner.lost {
                        return Err(FollowError::Lost("it went too far".to_owned()));
                    }
                    let writes: Vec<_> = inner.log[index..].iter().take(BATCH).cloned().collect();
                    Ok(ForeignBatch {
                        position: position(inner.store, index + writes.len()),
                        writes,
                    })
                });
                let next = batch
                    .as_ref()
                    .map_or(index, |batch| index_of(&batch.position));
                Some((batch, (database, written, next, false)))
            },
        );
        Ok(batches.boxed())
    }

    async fn documents(
        &self,
        type_name: &TypeName,
        after: Option<&WalkPosition>,
        limit: usize,
    ) -> Result<DocumentWalk, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            let collection = inner.collections.get(type_name).into_iter();
            let ids = collection.flat_map(|collection| collection.documents.keys());
            let behind = |id: &&DocumentId| {
                after.is_none_or(|after| id.as_str().as_bytes() > after.0.as_slice())
            };
            let ids = ids.filter(behind).take(limit.min(40)).cloned();
            let keys = ids.map(|id| DocumentKey {
                type_name: type_name.clone(),
                id,
            });
            let keys: Vec<_> = keys.collect();
            DocumentWalk {
                passed: keys.len() as u64,
                next: keys
                    .last()
                    .map(|last| WalkPosition(last.id.as_str().into())),
                keys,
            }
        }))
    }

    async fn expected(
        &self,
        type_name: &TypeName,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<DocumentKey>, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            let entries = inner.feed.entries();
            let expected = entries.filter(|entry| {
                entry.key.type_name == *type_name
                    && (entry.body.is_some() || entry.withheld)
                    && after.is_none_or(|after| entry.key.id > *after)
            });
            let keys = expected.map(|entry| entry.key.clone());
            keys.take(limit).collect()
        }))
    }

    async fn missing(&self, keys: &[DocumentKey]) -> Result<Vec<DocumentKey>, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            let missing = keys.iter().filter(|key| inner.document(key).is_none());
            missing.cloned().collect()
        }))
    }

    async fn unfit(&self, _: &[DocumentKey]) -> Result<Vec<UnfitDocument>, StoreError> {
        self.call().await;
        Ok(Vec::new())
    }

    async fn count(&self, type_name: &TypeName) -> Result<u64, StoreError> {
        self.call().await;
        Ok(self.look(|inner| {
            let collection = inner.collections.get(type_name);
            collection.map_or(0, |collection| collection.documents.len() as u64)
        }))
    }

    async fn withheld(
        &self,
        _after: Option<&WalkPosition>,
        _limit: usize,
    ) -> Result<WithheldPage, StoreError> {
        Ok(WithheldPage::default())
    }
}
