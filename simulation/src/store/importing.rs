//! What an importer needs of the store. Each call may be held or failed, and the parts of a walk are short.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate::store::{
    StoreError,
    collections::{
        CollectionId, Collections, DocumentWalk, FollowError, ForeignBatch, ImportPosition,
        ImportProgress, UnfitDocument, WalkPosition, WithheldPage,
    },
};
use tidegate_core::{
    id::{DocumentId, DocumentKey, TypeName},
    transaction::Fence,
};
use tokio::time::timeout_at;

use super::{
    Access, StoreFault,
    foreign::{Events, Unfollowed, keys_of},
};

#[async_trait]
impl Collections for Access {
    async fn lease(&self, held: Option<Fence>) -> Result<Option<Fence>, StoreError> {
        self.pass().await?;
        let mut inner = self.store.lock();
        let leads = inner.generation(self.gateway, self.edition) == inner.now().models.state.lead;
        let lease = leads.then(|| inner.collections.take_lease(held, self.gateway));
        Ok(lease.flatten())
    }

    async fn release(&self, held: Fence) -> Result<(), StoreError> {
        self.store.lock().collections.release(held);
        Ok(())
    }

    async fn progress(&self) -> Result<ImportProgress, StoreError> {
        self.pass().await?;
        Ok(self.store.lock().collections.progress.clone())
    }

    async fn save(&self, held: Fence, changes: &ImportProgress) -> Result<(), StoreError> {
        self.pass().await?;
        {
            let mut inner = self.store.lock();
            if inner.collections.is_deposed(held) {
                return Err(StoreError::Deposed);
            }
            let progress = &mut inner.collections.progress;
            if changes.position.is_some() {
                progress.position.clone_from(&changes.position);
            }
            for (type_name, record) in &changes.types {
                let saved = progress.types.entry(type_name.clone()).or_default();
                let is_settled = record.scan.is_none() && record.held.is_none();
                let accepts_deletes = saved.accepts_deletes && !is_settled;
                saved.clone_from(record);
                saved.accepts_deletes = accepts_deletes;
            }
            inner.note_held();
        }
        // It is saved now, whatever happens to the answer.
        self.pass().await
    }

    async fn accept_deletes(&self, _: &TypeName) -> Result<(), StoreError> {
        self.store.accept_deletes();
        Ok(())
    }

    async fn identities(&self) -> Result<BTreeMap<TypeName, CollectionId>, StoreError> {
        self.pass().await?;
        let inner = self.store.lock();
        let mut present = inner.collections.present.clone();
        let model = inner.model(self.edition);
        present.retain(|name, _| model.document_type(name.as_str()).is_some());
        Ok(present)
    }

    async fn follow(
        &self,
        from: Option<&ImportPosition>,
    ) -> Result<BoxStream<'static, Result<ForeignBatch, FollowError>>, FollowError> {
        self.pass().await?;
        let begin = self.store.lock().collections.number(from);
        let begin = begin.map_err(FollowError::from)?;
        let begin = Some((self.clone(), begin, true));
        let batches = stream::unfold(begin, |from| async {
            let (access, number, may_be_empty) = from?;
            let found = access.next_batch(number, may_be_empty).await;
            let next = found.as_ref().ok().map(|events| events.next);
            let batch = found.map(|events| events.batch).map_err(FollowError::from);
            Some((batch, next.map(|next| (access, next, false))))
        });
        Ok(batches.boxed())
    }

    async fn documents(
        &self,
        type_name: &TypeName,
        after: Option<&WalkPosition>,
        _: usize,
    ) -> Result<DocumentWalk, StoreError> {
        self.pass().await?;
        let documents = self.store.lock().documents();
        let keys = keys_of(&documents, type_name).into_iter();
        let mut keys = behind(keys, after.map(|after| after.0.as_slice()));
        keys.truncate(1);
        // Only the next part shows whether this was the last document.
        let next = keys.first();
        let next = next.map(|key| WalkPosition(key.id.as_str().into()));
        Ok(DocumentWalk {
            passed: keys.len() as u64,
            keys,
            next,
        })
    }

    async fn expected(
        &self,
        type_name: &TypeName,
        after: Option<&DocumentId>,
        _: usize,
    ) -> Result<Vec<DocumentKey>, StoreError> {
        self.pass().await?;
        let state = self.store.now();
        let entries = state.entries().filter(|entry| {
            entry.key.type_name == *type_name && (entry.body.is_some() || entry.withheld)
        });
        let keys = entries.map(|entry| entry.key.clone());
        let mut keys = behind(keys, after.map(|id| id.as_str().as_bytes()));
        keys.truncate(1);
        Ok(keys)
    }

    async fn missing(&self, keys: &[DocumentKey]) -> Result<Vec<DocumentKey>, StoreError> {
        self.pass().await?;
        let documents = self.store.lock().documents();
        let missing = keys.iter().filter(|key| !documents.contains_key(*key));
        Ok(missing.cloned().collect())
    }

    async fn unfit(&self, _: &[DocumentKey]) -> Result<Vec<UnfitDocument>, StoreError> {
        self.pass().await?;
        Ok(Vec::new())
    }

    async fn count(&self, type_name: &TypeName) -> Result<u64, StoreError> {
        self.pass().await?;
        let documents = self.store.lock().documents();
        Ok(keys_of(&documents, type_name).len() as u64)
    }

    /// It is never held: an importer asks every second, and holds are meant for what it does.
    async fn freed(&self, all: bool, limit: usize) -> Result<Vec<DocumentKey>, StoreError> {
        let mut freed = self.store.lock().collections.freed(all);
        freed.truncate(limit);
        Ok(freed)
    }

    async fn withheld(
        &self,
        _: Option<&WalkPosition>,
        _: usize,
    ) -> Result<WithheldPage, StoreError> {
        Ok(WithheldPage::default())
    }
}

impl Access {
    /// What others wrote, and gateways of other models (rules.md 9.4).
    fn events(&self, number: u64) -> Result<Events, Unfollowed> {
        let inner = self.store.lock();
        let leaves_out_all = inner.broken == Some(StoreFault::OthersUnheard);
        let is_left_out = |by| leaves_out_all || by == self.edition;
        inner.collections.events(number, is_left_out)
    }

    /// Waits for others' writes, unless an empty batch will do.
    async fn next_batch(&self, number: u64, may_be_empty: bool) -> Result<Events, Unfollowed> {
        loop {
            let events = self.events(number)?;
            if may_be_empty || !events.batch.writes.is_empty() {
                return Ok(events);
            }
            let arrival = events.arrivals.notified();
            match events.due {
                Some(due) => drop(timeout_at(due, arrival).await),
                None => arrival.await,
            }
        }
    }
}

impl From<Unfollowed> for FollowError {
    fn from(reason: Unfollowed) -> Self {
        let text = format!("{reason:?}");
        match reason {
            Unfollowed::Lost => Self::Lost(text),
            Unfollowed::OtherStore => Self::Replaced(text),
        }
    }
}

/// The documents behind an id.
fn behind(keys: impl Iterator<Item = DocumentKey>, id: Option<&[u8]>) -> Vec<DocumentKey> {
    keys.filter(|key| id.is_none_or(|id| key.id.as_str().as_bytes() > id))
        .collect()
}
