//! Reading off the async threads, and going on where the file was opened again meanwhile.
//!
//! After a write that failed redb refuses all work on an opening, reads too. What was read is in the file all the
//! same, so whoever reads notices nothing unless something was committed since. What is read is told in
//! [`super::view`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use tidegate_core::{
    entry::{Entry, ScopeState},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, Scope, UserId},
    inbox::InboxRecord,
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
};
use tokio::sync::mpsc;

use super::{
    file::{StoreFile, is_of_the_file},
    view::View,
    writer::{Job, ask, writer_gone},
};
use crate::store::{
    Entries, InboxRange, InboxScan, Scan, ScanRange, Snapshot, StoreError, ended_early,
};

/// How often one read is begun again. Each time a write has failed while it was under way.
const ATTEMPTS_MAX: usize = 20;

/// Opens views of the file.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) file: Arc<StoreFile>,
    /// Weak, because a snapshot that is held is no reason for the writer to go on.
    pub(super) jobs: mpsc::WeakSender<Job>,
}

impl Reader {
    /// What is committed now.
    pub(super) async fn view(&self) -> Result<View, StoreError> {
        let mut attempts = 0;
        loop {
            if self.file.has_failed() {
                self.wait_for_recovery().await?;
            }
            let file = Arc::clone(&self.file);
            let opened = off_the_async_threads(move || View::open(&file)).await;
            attempts += 1;
            if attempts == ATTEMPTS_MAX || !opened.as_ref().is_err_and(is_of_the_file) {
                return opened;
            }
        }
    }

    async fn wait_for_recovery(&self) -> Result<(), StoreError> {
        let jobs = self.jobs.upgrade().ok_or_else(writer_gone)?;
        ask(&jobs, |reply| Job::Recover { reply }).await
    }
}

/// A [`View`] that outlives the opening it was made on.
pub(super) struct EmbeddedSnapshot {
    view: Arc<View>,
    reader: Reader,
}

impl EmbeddedSnapshot {
    pub(super) async fn open(reader: Reader) -> Result<Self, StoreError> {
        let view = Arc::new(reader.view().await?);
        Ok(Self { view, reader })
    }

    async fn read<T: Send + 'static>(
        &mut self,
        read: impl Fn(&View) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let read = Arc::new(read);
        let mut attempts = 0;
        loop {
            let (view, reading) = (Arc::clone(&self.view), Arc::clone(&read));
            let answer = off_the_async_threads(move || reading(&view)).await;
            attempts += 1;
            match answer {
                Err(error) if attempts < ATTEMPTS_MAX && is_of_the_file(&error) => {
                    self.look_again(error).await?;
                }
                answer => return answer,
            }
        }
    }

    /// Takes another view of the same moment, if it is still to be had.
    async fn look_again(&mut self, error: StoreError) -> Result<(), StoreError> {
        let now = self.reader.view().await?;
        if now.commits != self.view.commits {
            return Err(error);
        }
        self.view = Arc::new(now);
        Ok(())
    }
}

/// Runs work that blocks; a read that was begun is finished even if nobody waits for it any more.
async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|ended| Err(ended_early(&ended)))
}
#[async_trait]
impl Snapshot for EmbeddedSnapshot {
    fn epoch(&self) -> &Epoch {
        &self.view.epoch
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
        self.read(move |view| view.entries(&keys, bytes_max)).await
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
        self.read(move |view| view.client(&key)).await
    }
}
