//! Reading off the async threads, and continuing after the file was opened again.
//!
//! After a failed write redb refuses all work on an opening, reads too. The data that was read is still in the file, so
//! readers notice nothing unless something was committed since. [`super::view`] does the reading itself.

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
use tokio::sync::mpsc;

use super::{
    file::{StoreFile, is_of_the_file},
    sums,
    view::ReadView,
    writer::{WriterJob, WriterThread, ask, writer_gone},
};
use crate::store::{
    ClientCount, ConflictWalk, Entries, InboxRange, InboxScan, Listed, Scan, ScanRange, Snapshot,
    StoreError, StoreState, ended_early,
};

/// How often one read is attempted. Each attempt after the first follows a write that failed meanwhile.
const ATTEMPTS_MAX: usize = 20;

/// Opens views of the file.
#[derive(Clone)]
pub(super) struct SnapshotOpener {
    pub(super) file: Arc<StoreFile>,
    /// Weak, so that an open snapshot does not keep the writer alive.
    pub(super) jobs: mpsc::WeakSender<WriterJob>,
}

impl SnapshotOpener {
    /// A view of what is committed now.
    pub(super) async fn view(&self) -> Result<ReadView, StoreError> {
        let mut attempts = 0;
        loop {
            if self.file.has_failed() {
                self.wait_for_recovery().await?;
            }
            let file = Arc::clone(&self.file);
            let opened = off_the_async_threads(move || ReadView::open(&file)).await;
            attempts += 1;
            if attempts == ATTEMPTS_MAX || !opened.as_ref().is_err_and(is_of_the_file) {
                return opened;
            }
        }
    }

    async fn wait_for_recovery(&self) -> Result<(), StoreError> {
        let jobs = self.jobs.upgrade().ok_or_else(writer_gone)?;
        ask(&jobs, WriterThread::recover).await
    }
}

/// A [`ReadView`] that outlives the opening it was made on.
pub(super) struct EmbeddedSnapshot {
    view: Arc<ReadView>,
    reader: SnapshotOpener,
}

impl EmbeddedSnapshot {
    pub(super) async fn open(reader: SnapshotOpener) -> Result<Self, StoreError> {
        let view = Arc::new(reader.view().await?);
        Ok(Self { view, reader })
    }

    async fn read<T: Send + 'static>(
        &mut self,
        read: impl Fn(&ReadView) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let read = Arc::new(read);
        let mut attempts = 0;
        loop {
            let (view, reading) = (Arc::clone(&self.view), Arc::clone(&read));
            let answer = off_the_async_threads(move || reading(&view)).await;
            attempts += 1;
            match answer {
                Err(error) if attempts < ATTEMPTS_MAX && is_of_the_file(&error) => {
                    self.reopen_view(error).await?;
                }
                answer => return answer,
            }
        }
    }

    /// Takes another view of the same moment, if that moment is still the last.
    async fn reopen_view(&mut self, error: StoreError) -> Result<(), StoreError> {
        let now = self.reader.view().await?;
        if now.commits != self.view.commits {
            return Err(error);
        }
        self.view = Arc::new(now);
        Ok(())
    }
}

/// Runs blocking work. A read that has begun runs to its end even if the caller has gone.
pub(super) async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|ended| Err(ended_early(&ended)))
}
#[async_trait]
impl Snapshot for EmbeddedSnapshot {
    fn state(&self) -> &StoreState {
        &self.view.state
    }

    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        let numbers = numbers.clone();
        self.read(move |view| view.scopes_numbered(&numbers)).await
    }

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        let scopes = scopes.clone();
        self.read(move |view| view.scopes(&scopes)).await
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        let user = user.clone();
        self.read(move |view| view.user(&user)).await
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        let (user, bounds) = (user.clone(), bounds.clone());
        self.read(move |view| view.memberships(&user, &bounds))
            .await
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        let range = range.clone();
        self.read(move |view| view.scan(&range)).await
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        let keys = keys.clone();
        self.read(move |view| view.readable_entries(&keys, bytes_max))
            .await
    }

    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let after = after.cloned();
        self.read(move |view| view.walk(after.as_ref(), limit))
            .await
    }

    async fn sums(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, StoreError> {
        let scopes = scopes.clone();
        self.read(move |view| view.sums(&scopes)).await
    }

    async fn count(&mut self, scope: &Scope) -> Result<ScopeSums, StoreError> {
        let scope = scope.clone();
        self.read(move |view| view.watched(|file| sums::count(file, &scope)))
            .await
    }

    async fn list(&mut self, read: &IndexRead) -> Result<Listed, StoreError> {
        let read = read.clone();
        self.read(move |view| view.list(&read)).await
    }

    async fn scopes_after(
        &mut self,
        after: Option<&Scope>,
        limit: usize,
    ) -> Result<Vec<Scope>, StoreError> {
        let after = after.cloned();
        self.read(move |view| view.watched(|file| sums::scopes_after(file, after.as_ref(), limit)))
            .await
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        let id = id.clone();
        self.read(move |view| view.conflict(&id)).await
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        let range = range.clone();
        self.read(move |view| view.conflicts(&range)).await
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        let key = key.clone();
        self.read(move |view| Ok(view.clients([&key], 0)?.found.remove(&key)))
            .await
    }

    async fn clients_of_user(
        &mut self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, StoreError> {
        let (user, after) = (user.clone(), after.cloned());
        self.read(move |view| view.clients_of_user(&user, after.as_ref(), limit))
            .await
    }

    async fn walk_conflicts(
        &mut self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, StoreError> {
        let after = after.cloned();
        self.read(move |view| view.walk_conflicts(after.as_ref(), limit))
            .await
    }

    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        self.read(move |view| view.clients_by_api(since, limit))
            .await
    }
}
