//! Walks over what a store holds, in steps. Each step is read from a snapshot of its own, so a walk may last.

use std::sync::Arc;

use tidegate_core::{
    entry::Entry,
    id::{ClientId, ClientKey, ConflictId, DocumentKey, UserId},
    inbox::InboxRecord,
    push::ClientState,
};

use crate::store::{ConflictWalk, Store, StoreError};

/// The most records of a step.
pub(super) const STEP: usize = 500;

/// All clients of a user that have a state.
pub(super) struct Clients<'s> {
    store: &'s dyn Store,
    user: &'s UserId,
    after: Option<ClientId>,
}

impl<'s> Clients<'s> {
    pub(super) fn of(store: &'s dyn Store, user: &'s UserId) -> Self {
        Self {
            store,
            user,
            after: None,
        }
    }

    /// The next ones; `None` at the end.
    pub(super) async fn next(
        &mut self,
    ) -> Result<Option<Vec<(ClientKey, ClientState)>>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let step = snapshot.clients_of_user(self.user, self.after.as_ref(), STEP);
        let step = step.await?;
        let Some((last, _)) = step.last() else {
            return Ok(None);
        };
        self.after = Some(last.client.clone());
        Ok(Some(step))
    }
}

/// The whole inbox.
pub(super) struct Conflicts<'s> {
    store: &'s dyn Store,
    after: Option<ConflictId>,
}

impl<'s> Conflicts<'s> {
    pub(super) fn of(store: &'s dyn Store) -> Self {
        Self { store, after: None }
    }

    /// The next ones that can be read; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<InboxRecord>>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let step = snapshot.walk_conflicts(self.after.as_ref(), STEP).await?;
        let ConflictWalk { records, next } = step;
        let is_end = next.is_none();
        self.after = next;
        Ok((!is_end).then_some(records))
    }
}

/// All entries of the feed.
pub(super) struct Entries<'s> {
    store: &'s dyn Store,
    after: Option<DocumentKey>,
}

impl<'s> Entries<'s> {
    pub(super) fn of(store: &'s dyn Store) -> Self {
        Self { store, after: None }
    }

    /// The next ones; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Arc<Entry>>>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let step = snapshot.walk(self.after.as_ref(), STEP).await?;
        let Some(last) = step.last() else {
            return Ok(None);
        };
        self.after = Some(last.key.clone());
        Ok(Some(step))
    }
}
