//! A snapshot that shows something else than the one below it. What its layer does not touch is passed on.

#[cfg(test)]
pub(crate) mod store;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use tidegate_core::{
    digest::ScopeSums,
    entry::{Entry, ScopeState},
    id::{ClientId, ClientKey, ConflictId, DocumentKey, Scope, ScopeNumber, UserId},
    inbox::InboxRecord,
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    query::IndexRead,
    value::Timestamp,
};

use super::{
    ClientCount, ConflictWalk, Entries, InboxRange, InboxScan, Listed, Scan, ScanRange, Snapshot,
    StoreError, StoreState,
};

/// What becomes of what is read. By default it is shown as it is.
#[async_trait]
pub(crate) trait ReadLayer: Send + Sync {
    /// The states of scopes are read.
    fn scopes(&self, _scopes: usize) {}

    /// The memberships of a user are read.
    fn memberships(&self) {}

    /// A part of a feed was read.
    fn scanned(&self, scan: Scan) -> Result<Scan, StoreError> {
        Ok(scan)
    }

    /// A part of an index is read. Returns what is to be read instead.
    fn listing(&self, _read: &IndexRead) -> Option<IndexRead> {
        None
    }

    /// A part of an index was read.
    fn listed(&self, _read: &IndexRead, listed: Listed) -> Result<Listed, StoreError> {
        Ok(listed)
    }

    /// Documents were read by their keys.
    fn found(&self, entries: Entries) -> Result<Entries, StoreError> {
        Ok(entries)
    }

    /// A part of the inbox was read. The snapshot below may be asked for more.
    async fn inbox(
        &self,
        _below: &mut dyn Snapshot,
        _range: &InboxRange,
        scan: InboxScan,
    ) -> Result<InboxScan, StoreError> {
        Ok(scan)
    }
}

/// A snapshot with a layer over it.
pub(crate) struct LayeredSnapshot<L> {
    pub(crate) inner: Box<dyn Snapshot>,
    pub(crate) layer: Arc<L>,
}

#[async_trait]
impl<L: ReadLayer> Snapshot for LayeredSnapshot<L> {
    fn state(&self) -> &StoreState {
        self.inner.state()
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

    async fn sums(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, StoreError> {
        self.inner.sums(scopes).await
    }

    async fn count(&mut self, scope: &Scope) -> Result<ScopeSums, StoreError> {
        self.inner.count(scope).await
    }

    async fn list(&mut self, read: &IndexRead) -> Result<Listed, StoreError> {
        let instead = self.layer.listing(read);
        let listed = self.inner.list(instead.as_ref().unwrap_or(read)).await?;
        self.layer.listed(read, listed)
    }

    async fn scopes_after(
        &mut self,
        after: Option<&Scope>,
        limit: usize,
    ) -> Result<Vec<Scope>, StoreError> {
        self.inner.scopes_after(after, limit).await
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        self.inner.conflict(id).await
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        let scan = self.inner.conflicts(range).await?;
        self.layer.inbox(&mut *self.inner, range, scan).await
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        self.inner.client(key).await
    }

    async fn clients_of_user(
        &mut self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, StoreError> {
        self.inner.clients_of_user(user, after, limit).await
    }

    async fn walk_conflicts(
        &mut self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, StoreError> {
        self.inner.walk_conflicts(after, limit).await
    }

    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        self.inner.clients_by_api(since, limit).await
    }
}
