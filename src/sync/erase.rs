//! Erasing what a store keeps of a person or of documents. It works in transactions of a bounded size, while gateways run,
//! and may be stopped and repeated.

use std::{collections::BTreeSet, sync::Arc};

use indexmap::IndexSet;
use tidegate_core::{
    id::{ClientKey, ConflictId, DocumentKey, UserId},
    inbox::InboxRecord,
    membership::UserChange,
    model::Model,
    push::{self, Erasure},
    transaction::{Loaded, Reads, Writes},
};

use super::{
    Clock,
    commit::{commit_repeatedly, halved},
    walks,
};
use crate::store::{Store, StoreError};

/// The most records of a transaction.
const BATCH: usize = walks::STEP;

/// What erases. Without `writes` it only counts.
pub struct Eraser {
    /// The model in force.
    pub model: Arc<Model>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// Whether it erases.
    pub writes: bool,
}

/// What was erased, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Records of clients. Their last ids stay, under a code.
    pub clients: usize,
    /// Conflicts in the inbox, open and settled.
    pub conflicts: usize,
    /// Entries of the feed: of a person those that lose a name, otherwise those that lose their document.
    pub entries: usize,
    /// Users whom the person declined as givers of memberships.
    pub declined: usize,
}

/// How entries are rewritten, and how many were.
type Rewrite = Arc<dyn Fn(&Loaded) -> (Writes, usize) + Send + Sync>;

impl Eraser {
    /// Erases what names a person: clients, conflicts of the person's changes, the author of versions, and the fields in
    /// which the gateway keeps users. Documents stay as they are otherwise. `progress` gets the number of entries that each step passes.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub async fn person(
        &self,
        user: &UserId,
        mut progress: impl FnMut(usize),
    ) -> Result<Erased, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let erasure = Arc::new(Erasure {
            user: user.clone(),
            secret: snapshot.state().token_key.clone(),
        });
        let declined = snapshot.user(user).await?.declined.len();
        drop(snapshot);
        if declined > 0 && self.writes {
            self.decline_nobody(user).await?;
        }
        let is_of = |record: &InboxRecord| erasure.is_in_conflict(record);
        Ok(Erased {
            clients: self.clients(&erasure).await?,
            conflicts: self.conflicts(is_of).await?,
            entries: self.entries(&erasure, &mut progress).await?,
            declined,
        })
    }

    /// Deletes documents, in the application's collections too, and what the inbox has of them. Their tombstones name
    /// nobody.
    ///
    /// # Errors
    /// [`StoreError`]; what was erased before stays erased.
    pub async fn documents(&self, keys: &BTreeSet<DocumentKey>) -> Result<Erased, StoreError> {
        let is_of = |record: &InboxRecord| {
            keys.contains(match record {
                InboxRecord::Open(open) => &open.key,
                InboxRecord::Resolved(settled) => &settled.key,
            })
        };
        let (model, clock) = (Arc::clone(&self.model), Arc::clone(&self.clock));
        let empty: Rewrite = Arc::new(move |loaded| push::erase_documents(&model, clock(), loaded));
        Ok(Erased {
            entries: self.rewrite(keys.iter().cloned().collect(), &empty).await?,
            conflicts: self.conflicts(is_of).await?,
            ..Erased::default()
        })
    }

    async fn decline_nobody(&self, user: &UserId) -> Result<(), StoreError> {
        let reads = Reads {
            users: BTreeSet::from([user.clone()]),
            ..Reads::default()
        };
        let change = UserChange {
            declined: Some(BTreeSet::new()),
        };
        let writes = Writes {
            users: [(user.clone(), change)].into(),
            ..Writes::default()
        };
        self.commit(&reads, &writes).await
    }

    async fn clients(&self, erasure: &Arc<Erasure>) -> Result<usize, StoreError> {
        let mut clients = walks::Clients::of(&*self.store, &erasure.user);
        let mut count = 0;
        while let Some(step) = clients.next().await? {
            count += step.len();
            if self.writes {
                let keys = step.into_iter().map(|(key, _)| key).collect();
                self.forget_clients(keys, erasure).await?;
            }
        }
        Ok(count)
    }

    async fn forget_clients(
        &self,
        mut waiting: IndexSet<ClientKey>,
        erasure: &Arc<Erasure>,
    ) -> Result<(), StoreError> {
        while !waiting.is_empty() {
            let batch = |conflicts| {
                let size = halved(waiting.len(), conflicts);
                let clients: IndexSet<ClientKey> = waiting.iter().take(size).cloned().collect();
                let reads = Reads {
                    clients: clients.clone(),
                    ..Reads::default()
                };
                let erasure = Arc::clone(erasure);
                let forget = move |loaded: &Loaded| {
                    let done = clients.iter();
                    let done = done.filter(|key| !loaded.clients_left_out.contains(*key));
                    let done: BTreeSet<ClientKey> = done.cloned().collect();
                    (erasure.forget_clients(loaded), done)
                };
                (reads, forget)
            };
            let (_, done) = commit_repeatedly(self.store.as_ref(), batch).await?;
            waiting.retain(|key| !done.contains(key));
        }
        Ok(())
    }

    async fn conflicts(
        &self,
        is_erased: impl Fn(&InboxRecord) -> bool,
    ) -> Result<usize, StoreError> {
        let mut conflicts = walks::Conflicts::of(&*self.store);
        let mut count = 0;
        while let Some(step) = conflicts.next().await? {
            let erased = step.iter().filter(|record| is_erased(record));
            let erased: Vec<ConflictId> = erased.map(|record| record.id().clone()).collect();
            count += erased.len();
            if self.writes && !erased.is_empty() {
                let writes = Writes {
                    conflicts_removed: erased,
                    ..Writes::default()
                };
                self.commit(&Reads::default(), &writes).await?;
            }
        }
        Ok(count)
    }

    async fn entries(
        &self,
        erasure: &Arc<Erasure>,
        progress: &mut impl FnMut(usize),
    ) -> Result<usize, StoreError> {
        let (model, clock) = (Arc::clone(&self.model), Arc::clone(&self.clock));
        let author = Arc::clone(erasure);
        let strike: Rewrite = Arc::new(move |loaded| author.strike(&model, clock(), loaded));
        let mut entries = walks::Entries::of(&*self.store);
        let mut count = 0;
        while let Some(step) = entries.next().await? {
            progress(step.len());
            let named = step
                .iter()
                .filter(|entry| erasure.is_in_entry(&self.model, entry));
            let named = named.map(|entry| entry.key.clone()).collect();
            count += self.rewrite(named, &strike).await?;
        }
        Ok(count)
    }

    /// Rewrites the entries of these documents in as many transactions as it takes.
    async fn rewrite(
        &self,
        mut waiting: IndexSet<DocumentKey>,
        rewrite: &Rewrite,
    ) -> Result<usize, StoreError> {
        let (writes, mut count) = (self.writes, 0);
        while !waiting.is_empty() {
            let batch = |conflicts| {
                let size = halved(waiting.len().min(BATCH), conflicts);
                let keys: IndexSet<DocumentKey> = waiting.iter().take(size).cloned().collect();
                let reads = push::stamp_reads(keys.clone(), None);
                let rewrite = Arc::clone(rewrite);
                let decide = move |loaded: &Loaded| {
                    let (rewritten, changed) = rewrite(loaded);
                    let done = keys.iter().filter(|key| !loaded.left_out.contains(*key));
                    let note = (done.cloned().collect::<BTreeSet<_>>(), changed);
                    match writes {
                        true => (rewritten, note),
                        false => (Writes::default(), note),
                    }
                };
                (reads, decide)
            };
            let (_, (done, changed)) = commit_repeatedly(self.store.as_ref(), batch).await?;
            waiting.retain(|key| !done.contains(key));
            count += changed;
        }
        Ok(count)
    }

    async fn commit(&self, reads: &Reads, writes: &Writes) -> Result<(), StoreError> {
        let work = |_| {
            let writes = writes.clone();
            (reads.clone(), move |_: &Loaded| (writes.clone(), ()))
        };
        commit_repeatedly(self.store.as_ref(), work).await.map(drop)
    }
}
