//! A store that shows other documents than it holds, and may fail when it reads single documents. So stored values do not
//! fit, and references cannot be loaded, without any code for it in the product.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tidegate_core::{
    checkpoint::TokenKey,
    entry::{Entry, FeedItem, Record, ScopeState},
    generation::{ModelState, Standing},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, Scope, ScopeNumber, Seq, UserId},
    inbox::{ClientChange, InboxRecord, OpenConflict},
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    transaction::Reads,
    value::{Document, Timestamp},
};

use crate::store::{
    ClientCount, Committed, DecideFn, Entries, InboxRange, InboxScan, Scan, ScanRange, Snapshot,
    Store, StoreError, StoredRecord, TailEvent, embedded::EmbeddedStore, models::Models,
};

pub(crate) struct Staged {
    pub(crate) inner: EmbeddedStore,
    pub(crate) stage: Arc<Stage>,
}

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

#[async_trait]
impl Store for Staged {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        self.inner.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(StagedSnapshot {
            inner: self.inner.snapshot().await?,
            stage: Arc::clone(&self.stage),
        }))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.inner.confirmed_head(scope).await
    }

    fn models(&self) -> Arc<dyn Models> {
        self.inner.models()
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        self.inner.tail()
    }
}

struct StagedSnapshot {
    inner: Box<dyn Snapshot>,
    stage: Arc<Stage>,
}

#[async_trait]
impl Snapshot for StagedSnapshot {
    fn epoch(&self) -> &Epoch {
        self.inner.epoch()
    }

    fn models(&self) -> &Arc<ModelState> {
        self.inner.models()
    }

    fn standing(&self) -> Standing {
        self.inner.standing()
    }

    fn token_key(&self) -> &TokenKey {
        self.inner.token_key()
    }

    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        self.inner.scopes_numbered(numbers).await
    }

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        self.inner.scopes(scopes).await
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        self.inner.user(user).await
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        self.inner.memberships(user, bounds).await
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        let scan = self.inner.scan(range).await?;
        let items = scan.decoded()?.into_iter();
        let items = items.map(|item| StoredRecord::encode(&self.stage.item(item)));
        Ok(Scan {
            items: items.collect::<Result<_, _>>()?,
            ..scan
        })
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        self.stage.reads.fetch_add(1, Ordering::Relaxed);
        if self.stage.is_down && self.stage.is_set.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("it is down".to_owned()));
        }
        let mut entries = self.inner.entries(keys, bytes_max).await?;
        for entry in entries.found.values_mut() {
            *entry = self.stage.shown(entry);
        }
        Ok(entries)
    }

    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.inner.walk(after, limit).await
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        self.inner.conflict(id).await
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        let scan = self.inner.conflicts(range).await?;
        let shown = scan.conflicts.iter();
        let shown = shown.map(|conflict| self.stage.conflict(conflict));
        Ok(InboxScan {
            conflicts: shown.collect(),
            ..scan
        })
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        self.inner.client(key).await
    }

    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        self.inner.clients_by_api(since, limit).await
    }
}
