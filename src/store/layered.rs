//! A store over an embedded one, for tests that count what is read of it, or show something else.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tidegate_core::{
    checkpoint::TokenKey,
    entry::{Entry, ScopeState},
    generation::{ModelState, Standing},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, Scope, ScopeNumber, Seq, UserId},
    inbox::InboxRecord,
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    transaction::Reads,
    value::Timestamp,
};

use super::{
    ClientCount, Committed, DecideFn, Entries, InboxRange, InboxScan, Scan, ScanRange, Snapshot,
    Store, StoreError, TailEvent, embedded::EmbeddedStore, models::Models,
};

/// What a test does about reads. By default it does nothing.
pub(crate) trait ReadLayer: Send + Sync + 'static {
    /// A snapshot is opened.
    fn opened(&self) {}

    /// The states of scopes are read.
    fn scopes(&self, _scopes: usize) {}

    /// The memberships of a user are read.
    fn memberships(&self) {}

    /// A part of a feed was read.
    fn scanned(&self, scan: Scan) -> Result<Scan, StoreError> {
        Ok(scan)
    }

    /// The head of a scope is read by a linearizable read.
    fn confirmed(&self) {}

    /// Documents were read by their keys.
    fn found(&self, entries: Entries) -> Result<Entries, StoreError> {
        Ok(entries)
    }

    /// A part of the inbox was read.
    fn inbox(&self, scan: InboxScan) -> InboxScan {
        scan
    }
}

/// The store.
pub(crate) struct LayeredStore<L> {
    pub(crate) inner: EmbeddedStore,
    pub(crate) layer: Arc<L>,
}

#[async_trait]
impl<L: ReadLayer> Store for LayeredStore<L> {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        self.inner.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.layer.opened();
        let (inner, layer) = (self.inner.snapshot().await?, Arc::clone(&self.layer));
        Ok(Box::new(LayeredSnapshot { inner, layer }))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.layer.confirmed();
        self.inner.confirmed_head(scope).await
    }

    fn models(&self) -> Arc<dyn Models> {
        self.inner.models()
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        self.inner.tail()
    }
}

struct LayeredSnapshot<L> {
    inner: Box<dyn Snapshot>,
    layer: Arc<L>,
}

#[async_trait]
impl<L: ReadLayer> Snapshot for LayeredSnapshot<L> {
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

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        self.layer.scopes(scopes.len());
        self.inner.scopes(scopes).await
    }

    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        self.inner.scopes_numbered(numbers).await
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        self.inner.user(user).await
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        self.layer.memberships();
        self.inner.memberships(user, bounds).await
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        self.layer.scanned(self.inner.scan(range).await?)
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        self.layer.found(self.inner.entries(keys, bytes_max).await?)
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
        Ok(self.layer.inbox(self.inner.conflicts(range).await?))
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
