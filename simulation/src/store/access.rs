//! One gateway's access to the store: each call may be held or failed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use futures_executor::block_on;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate::store::{
    ClientCount, Committed, ConflictWalk, DecideFn, Entries, InboxRange, InboxScan, Scan,
    ScanRange, Snapshot, Store, StoreError, StoreState, StoredRecord, TailEvent,
    collections::Collections, models::Models,
};
use tidegate_core::{
    checkpoint::TokenKey,
    digest::ScopeSums,
    entry::{Entry, ScopeState},
    id::{ClientId, ClientKey, ConflictId, DocumentKey, Scope, ScopeNumber, Seq, UserId},
    inbox::{InboxPosition, InboxRecord},
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    transaction::{LoadBytesMax, Reads},
    value::Timestamp,
};
use tidegate_testkit::store::{Range, State};
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{Committer, Held, Passage, SimStore, StoreFault, file::File};
use crate::people::Edition;

/// One gateway's way to the store.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) store: Arc<SimStore>,
    pub(crate) gateway: usize,
    /// Its model.
    pub(crate) edition: Edition,
    /// Whether its calls may be held. A client that numbers nothing cannot ask again for the outcome of a push that
    /// failed.
    pub(crate) may_fail: bool,
    /// Whether the gateway's importer makes the calls.
    pub(crate) imports: bool,
}

impl Access {
    /// Continues at once, or when the call is released.
    pub(super) async fn pass(&self) -> Result<(), StoreError> {
        // A store that does IO lets other tasks run. A reader of this one in a loop must do so too.
        tokio::task::consume_budget().await;
        let held = if self.may_fail { self.hold() } else { None };
        let Some(held) = held else {
            return Ok(());
        };
        match held.await {
            Ok(Passage::Free) => Ok(()),
            Ok(Passage::Fails) | Err(_) => Err(StoreError::Unavailable("it is gone".to_owned())),
        }
    }

    fn hold(&self) -> Option<oneshot::Receiver<Passage>> {
        let mut inner = self.store.lock();
        let stands = self.imports && inner.importers_stand;
        let holds = match self.imports {
            true => &mut inner.importer_holds,
            false => &mut inner.holds,
        };
        let due = holds.iter().position(|calls| *calls == 0);
        holds
            .iter_mut()
            .for_each(|calls| *calls = calls.saturating_sub(1));
        match due {
            Some(due) => drop(holds.swap_remove(due)),
            None if stands => {}
            None => return None,
        }
        let (resume, held) = oneshot::channel();
        let gateway = self.gateway;
        inner.held.push(Held { gateway, resume });
        Some(held)
    }
}

#[async_trait]
impl Store for Access {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        self.pass().await?;
        let by = Committer {
            gateway: self.gateway,
            edition: self.edition,
        };
        let writes = self.store.lock().commit(&reads, &decide, Some(by))?;
        // It is written now, whatever happens to the answer (rules.md 5.2).
        self.pass().await?;
        Ok(writes.into())
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.pass().await?;
        let inner = self.store.lock();
        let state = inner.now();
        let models = &state.models.state;
        Ok(Box::new(View {
            access: self.clone(),
            said: StoreState {
                epoch: state.epoch.clone(),
                standing: models.standing(inner.generation(self.gateway, self.edition)),
                models: Arc::clone(models),
                token_key: TokenKey([7; 32]),
            },
            state,
            broken: inner.broken,
            file: inner.file.as_ref().map(File::snapshot),
        }))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.pass().await?;
        let inner = self.store.lock();
        let head = inner.now().scope(scope).head;
        Ok(inner
            .file
            .as_ref()
            .map_or(head, |file| file.confirmed_head(scope)))
    }

    fn collections(&self) -> Option<Arc<dyn Collections>> {
        let is_alone = self.store.lock().file.is_some();
        (!is_alone).then(|| Arc::new(self.clone()) as Arc<dyn Collections>)
    }

    fn models(&self) -> Arc<dyn Models> {
        Arc::new(self.clone())
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        let events = self.store.lock().tails[self.gateway].open();
        let restart = stream::iter([TailEvent::Restart]);
        restart.chain(UnboundedReceiverStream::new(events)).boxed()
    }
}

struct View {
    access: Access,
    state: Arc<State>,
    /// What the store says of itself.
    said: StoreState,
    broken: Option<StoreFault>,
    /// The same moment in the file.
    file: Option<Box<dyn Snapshot>>,
}

impl View {
    /// The state that a store reads which breaks its promise of one moment.
    fn later(&self, fault: StoreFault) -> Arc<State> {
        if self.broken == Some(fault) {
            self.access.store.now()
        } else {
            Arc::clone(&self.state)
        }
    }
}

#[async_trait]
impl Snapshot for View {
    fn state(&self) -> &StoreState {
        &self.said
    }

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.scopes(scopes));
        }
        let (floors, heads) = (
            Arc::clone(&self.state),
            self.later(StoreFault::FloorReadFirst),
        );
        let state = |scope: &Scope| ScopeState {
            head: heads.scope(scope).head,
            floor: floors.scope(scope).floor,
            number: heads.scope(scope).number,
        };
        self.state = heads.clone();
        Ok(scopes
            .iter()
            .map(|scope| (scope.clone(), state(scope)))
            .collect())
    }

    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.scopes_numbered(numbers));
        }
        Ok(self.state.scopes_numbered(numbers))
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.user(user));
        }
        Ok(self.state.user(user))
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.memberships(user, bounds));
        }
        Ok(self.state.memberships(user, bounds))
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.scan(range));
        }
        let state = self.later(StoreFault::TwoSnapshots);
        let mut items = state.scan(Range {
            scope: &range.scope,
            types: range.types.as_ref(),
            removals: range.removals,
            after: range.after,
            through: range.through,
        });
        let complete = items.len() <= range.items_max;
        items.truncate(range.items_max);
        // Each record counts one byte, so that small byte caps cut pages short.
        let fitting = range.bytes_max.max(1);
        let complete = complete && items.len() <= fitting;
        items.truncate(fitting);
        let stored = items.iter().map(StoredRecord::encode);
        Ok(Scan {
            bytes: items.len(),
            items: stored.collect::<Result<_, _>>()?,
            complete,
        })
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.entries(keys, bytes_max));
        }
        let loaded = self.state.load(&Reads {
            keys: keys.iter().cloned().collect(),
            bytes_max: LoadBytesMax(bytes_max),
            ..Reads::default()
        });
        Ok(Entries {
            found: loaded.entries,
            left_out: loaded.left_out.into_iter().collect(),
        })
    }

    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        if let Some(file) = &mut self.file {
            return block_on(file.walk(after, limit));
        }
        let entries = self.state.entries();
        let above = entries.filter(|entry| after.is_none_or(|after| entry.key > *after));
        Ok(above.take(limit).cloned().collect())
    }

    async fn sums(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.sums(scopes));
        }
        let sums = |scope: &Scope| Some((scope.clone(), self.state.sums.get(scope)?.clone()));
        Ok(scopes.iter().filter_map(sums).collect())
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        self.access.pass().await?;
        Ok(self.state.inbox.get(id).cloned())
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        self.access.pass().await?;
        let open = self.state.conflicts().into_iter().filter(|open| {
            let after = range.after.as_ref();
            range.scopes.contains(&open.scope)
                && after.is_none_or(|after| *after < InboxPosition::from(open.as_ref()))
        });
        let mut scan = InboxScan::default();
        for open in open {
            if !scan.take(range, Arc::clone(open)) {
                break;
            }
        }
        Ok(scan)
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.client(key));
        }
        Ok(self.state.client(key).cloned())
    }

    async fn clients_of_user(
        &mut self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.clients_of_user(user, after, limit));
        }
        let clients = self.state.clients_named(user);
        let behind = clients.filter(|(key, _)| after.is_none_or(|after| key.client > *after));
        let behind = behind.map(|(key, state)| (key.clone(), state.clone()));
        Ok(behind.take(limit).collect())
    }

    async fn walk_conflicts(
        &mut self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.walk_conflicts(after, limit));
        }
        let records = self.state.inbox.values();
        let behind = records.filter(|record| after.is_none_or(|after| record.id() > after));
        let records: Vec<InboxRecord> = behind.take(limit).cloned().collect();
        let next = records.last().map(|record| record.id().clone());
        Ok(ConflictWalk { records, next })
    }

    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError> {
        self.access.pass().await?;
        if let Some(file) = &mut self.file {
            return block_on(file.clients_by_api(since, limit));
        }
        let pushed = self
            .state
            .clients()
            .filter(|client| client.at >= Some(since));
        let mut count = ClientCount::default();
        for client in pushed {
            if !count.add(client.api, limit) {
                break;
            }
        }
        Ok(count)
    }
}
