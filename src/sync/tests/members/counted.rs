//! A store that counts what is read of it.

use std::{collections::HashMap, sync::atomic::AtomicUsize};

use tidegate_core::{
    checkpoint::TokenKey,
    entry::ScopeState,
    generation::{ModelState, Standing},
    id::{ConflictId, ScopeNumber},
    inbox::InboxRecord,
    membership::UserState,
    push::ClientState,
    value::Timestamp,
};

use super::*;
use crate::store::{ClientCount, Committed, Entries, InboxRange, InboxScan, Scan, ScanRange};

pub(in crate::sync::tests) struct CountingStore {
    pub(in crate::sync::tests) inner: EmbeddedStore,
    pub(in crate::sync::tests) counts: Arc<Counts>,
}

struct CountedSnapshot {
    inner: Box<dyn Snapshot>,
    counts: Arc<Counts>,
}

#[derive(Default)]
pub(in crate::sync::tests) struct Counts {
    pub(in crate::sync::tests) snapshots: AtomicUsize,
    /// Reads of the memberships of a user.
    pub(in crate::sync::tests) memberships: AtomicUsize,
    /// Scopes whose states were read.
    pub(in crate::sync::tests) scopes: AtomicUsize,
    pub(in crate::sync::tests) scans: AtomicUsize,
    /// The bytes of the documents that each read of entries found.
    pub(in crate::sync::tests) entry_bytes: Mutex<Vec<usize>>,
}

#[async_trait]
impl Snapshot for CountedSnapshot {
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
        self.counts.scopes.fetch_add(scopes.len(), Ordering::SeqCst);
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
        self.counts.memberships.fetch_add(1, Ordering::SeqCst);
        self.inner.memberships(user, bounds).await
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        self.counts.scans.fetch_add(1, Ordering::SeqCst);
        self.inner.scan(range).await
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        let read = self.inner.entries(keys, bytes_max).await?;
        let bodies = read.found.values().filter_map(|entry| entry.body.as_ref());
        let bytes = bodies.map(document_bytes).sum();
        self.counts.entry_bytes.lock().unwrap().push(bytes);
        Ok(read)
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
        self.inner.conflicts(range).await
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

#[async_trait]
impl Store for CountingStore {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        self.inner.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.counts.snapshots.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(CountedSnapshot {
            inner: self.inner.snapshot().await?,
            counts: Arc::clone(&self.counts),
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
