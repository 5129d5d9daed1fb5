//! The service behind the verbs: the only room that joins the core's rules with a store.
//!
//! It knows callers, pushes, pages and subscriptions; it knows neither GraphQL nor HTTP, and no store in particular.

mod advise;
mod change;
mod commit;
mod decline;
mod error;
mod fit;
mod grants;
mod inbox;
mod live;
mod maintain;
mod pull;
mod push;

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use tidegate_core::{
    entry::Entry,
    grant::{Grants, Identity},
    id::{ClientId, ClientKey, DocumentKey, Epoch, MutationId, Scope},
    membership::{Bounds, Memberships},
    model::Model,
    value::Timestamp,
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    advise::Kept,
    commit::{CommitQueue, GroupCommitter, ScopeHeads},
    grants::{Given, GrantCache},
    live::Live,
};
pub use self::{
    change::{ChangeView, StoredChange},
    decline::DeclineRequest,
    error::SyncError,
    fit::{Survey, restamp, survey},
    inbox::{InboxEntry, InboxPage, InboxRequest},
    live::Start,
    maintain::{Collected, collect, rotate_epoch},
    pull::{Page, PullRequest},
};
use crate::{
    limits::Limits,
    quota::{Account, Lease, Reservation},
    store::{Snapshot, Store, StoreError},
    webhook::Webhooks,
};

/// Where the time comes from; `app.rs` owns the real one.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long one request may wait for the store before it is told to try again.
const STORE_DEADLINE: Duration = Duration::from_secs(30);

/// Who asks: an identity and what its claims give.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub identity: Arc<Identity>,
    claim_grants: Arc<Grants>,
    /// Where what is read for it is counted; `None` counts nothing.
    account: Option<Account>,
}

impl Caller {
    /// Counts what is read for the caller.
    pub(crate) fn counted_on(self, account: Account) -> Self {
        Self {
            account: Some(account),
            ..self
        }
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Counts what a read may come to.
    async fn reserve(&self, bytes: usize) -> Result<Option<Reservation>, SyncError> {
        match &self.account {
            Some(account) => Ok(Some(account.reserve(bytes).await?)),
            None => Ok(None),
        }
    }

    /// Counts what was read.
    fn lease(&self, bytes: usize) -> Result<Option<Arc<Lease>>, SyncError> {
        match &self.account {
            Some(account) => Ok(Some(Arc::new(account.lease(bytes)?))),
            None => Ok(None),
        }
    }
}

/// What `viewer` tells.
#[derive(Debug)]
pub struct Viewer {
    /// What the caller may see and change.
    pub grants: Arc<Grants>,
    given: Arc<Given>,
    /// The last mutation id consumed of the client asked about.
    pub last_mutation: Option<MutationId>,
    /// The store's epoch.
    pub epoch: Epoch,
}

impl Viewer {
    /// What the caller is given, and by whom.
    pub fn memberships(&self) -> &Memberships {
        &self.given.memberships
    }
}

/// The service.
pub struct SyncService {
    model: Arc<Model>,
    store: Arc<dyn Store>,
    clock: Clock,
    limits: Limits,
    /// What bounds the scopes and the memberships of a user.
    bounds: Arc<Bounds>,
    commits: CommitQueue,
    live: Arc<Live>,
    grants: Arc<GrantCache>,
    webhooks: Webhooks,
    kept: Kept,
}

impl SyncService {
    /// Starts the service on a store: its commit queue and its one follower of the store's tail.
    pub fn start(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        limits: Limits,
        webhooks: Webhooks,
    ) -> Arc<Self> {
        let grants = Arc::new(GrantCache::new());
        let heads = Arc::new(ScopeHeads::new());
        let live = Live::follow(store.as_ref(), &grants, &heads);
        let committer = GroupCommitter {
            model: model.clone(),
            store: store.clone(),
            clock: clock.clone(),
        };
        let commits = CommitQueue::start(committer, limits.push_queue_bytes, heads);
        Arc::new(Self {
            model,
            store,
            clock,
            bounds: Arc::new(Bounds::within(
                limits.body_bytes,
                limits.user_scopes,
                limits.services.clone(),
            )),
            limits,
            commits,
            live,
            grants,
            webhooks,
            kept: Kept::default(),
        })
    }

    /// The model it serves.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Server time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Turns a verified identity into a caller.
    ///
    /// # Errors
    /// [`SyncError::Grants`] when its claims open too many scopes.
    pub fn caller(&self, identity: Identity) -> Result<Caller, SyncError> {
        let claim_grants = Grants::of_claims_within(&self.model, &identity, &self.bounds)?;
        Ok(Caller {
            identity: Arc::new(identity),
            claim_grants: Arc::new(claim_grants),
            account: None,
        })
    }

    /// Whether the store answers, and pushes and subscriptions are served.
    ///
    /// # Errors
    /// As the store has it; [`SyncError::Busy`] when a task of the service has ended, which a restart mends.
    pub async fn ready(&self) -> Result<(), SyncError> {
        if !self.commits.is_served() || !self.live.is_followed() {
            return Err(SyncError::Busy);
        }
        in_time(self.store.snapshot()).await.map(drop)
    }

    /// The documents of `keys` that are alive and that the caller may see.
    ///
    /// # Errors
    /// What the store's failure becomes, or [`SyncError::Busy`].
    pub async fn documents(
        &self,
        caller: &Caller,
        keys: &BTreeSet<DocumentKey>,
    ) -> Result<Vec<Arc<Entry>>, SyncError> {
        in_time(async {
            let (mut snapshot, grants) = self.look(caller, &BTreeSet::new()).await?;
            let mut found = snapshot.entries(keys).await?;
            found.retain(|_, entry| !entry.is_deleted() && grants.can_read(&entry.scope));
            Ok(found.into_values().collect())
        })
        .await
    }

    /// What the caller may do, and how far the gateway has followed one of its clients.
    ///
    /// # Errors
    /// What the store's failure becomes, or [`SyncError::Busy`].
    pub async fn viewer(
        &self,
        caller: &Caller,
        client: Option<ClientId>,
    ) -> Result<Viewer, SyncError> {
        in_time(async {
            let (mut snapshot, given) = self.look_at_given(caller, &BTreeSet::new()).await?;
            let state = match client {
                Some(client) => {
                    let user = caller.identity.user.clone();
                    snapshot.client(&ClientKey { user, client }).await?
                }
                None => None,
            };
            let last_mutation = state.map(|state| state.last);
            Ok(Viewer {
                grants: given.with(&caller.claim_grants),
                given,
                last_mutation,
                epoch: snapshot.epoch().clone(),
            })
        })
        .await
    }

    /// What the caller may do now.
    async fn grants(&self, caller: &Caller) -> Result<Arc<Grants>, SyncError> {
        let (_, grants) = in_time(self.look(caller, &BTreeSet::new())).await?;
        Ok(grants)
    }

    /// A snapshot, and what the caller may do at its moment.
    async fn look(
        &self,
        caller: &Caller,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(Box<dyn Snapshot>, Arc<Grants>), StoreError> {
        let (snapshot, given) = self.look_at_given(caller, scopes).await?;
        Ok((snapshot, given.with(&caller.claim_grants)))
    }

    /// A snapshot that knows these scopes, and what the caller is given at its moment.
    async fn look_at_given(
        &self,
        caller: &Caller,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(Box<dyn Snapshot>, Arc<Given>), StoreError> {
        let user = &caller.identity.user;
        if !self.model.has_memberships() {
            let snapshot = self.store.snapshot_of(scopes, None).await?;
            return Ok((snapshot, Arc::new(Given::new(Memberships::default()))));
        }
        let generation = self.grants.generation();
        let mut snapshot = self.store.snapshot_of(scopes, Some(user)).await?;
        let stamp = snapshot.user(user).await?.stamp;
        if let Some(given) = self.grants.get(user, stamp) {
            return Ok((snapshot, given));
        }
        let _turn = self.grants.turn(user).await;
        if let Some(given) = self.grants.get(user, stamp) {
            return Ok((snapshot, given));
        }
        let read = snapshot.memberships(user, &self.bounds).await?;
        let given = Arc::new(Given::new(read));
        self.grants.put(user, &given, generation);
        Ok((snapshot, given))
    }
}

/// Reads in a task of its own, which ends with the future. A subscription is not polled while its client takes nothing, and a
/// read that stands still keeps a connection to the store and the bytes reserved for it.
async fn in_own_task<T: Send + 'static>(
    reading: impl Future<Output = Result<T, SyncError>> + Send + 'static,
) -> Result<T, SyncError> {
    let task = AbortOnDropHandle::new(tokio::spawn(reading));
    let ended = SyncError::Internal("a read of a subscription ended early".to_owned());
    task.await.unwrap_or(Err(ended))
}

/// Bounds how long a request may wait for the store.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, SyncError> {
    match tokio::time::timeout(STORE_DEADLINE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(SyncError::Busy),
    }
}

#[cfg(test)]
mod tests;
