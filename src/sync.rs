//! The service behind the GraphQL operations. It alone joins the core's rules with a store.
//!
//! It knows callers, pushes, pages and subscriptions. It knows neither GraphQL nor HTTP, and no particular store.

mod api_history;
mod change;
mod commit;
mod decline;
mod digests;
mod doctor;
mod erase;
mod error;
mod explain;
mod export;
mod grants;
mod import;
mod in_step;
mod inbox;
mod indexes;
mod lead;
mod lists;
mod live;
mod maintain;
mod measured;
mod page;
mod pull;
mod push;
mod settled;
mod survey;
mod unknown_apis;
mod walks;
mod webhooks;

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use tidegate_core::{
    checkpoint::KnownTypes,
    decide::DOCUMENT_BYTES_MAX,
    entry::Entry,
    generation::{ModelState, Standing},
    grant::{Grants, Identity},
    id::{ApiHash, ClientId, ClientKey, DocumentKey, Epoch, MutationId, Scope, UserId},
    membership::{Bounds, Memberships},
    model::Model,
    value::{Timestamp, document_bytes},
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    api_history::ApiHistory,
    commit::{CommitQueue, GroupCommitter, ScopeHeads},
    digests::ScopeCounter,
    grants::{GrantCache, UserMemberships},
    import::{ImportStatus, PushCounter},
    live::LiveFeed,
    maintain::rotate_epoch_under,
    settled::SettledStore,
    webhooks::WebhookAnswerCache,
};
pub use self::{
    change::{ChangeText, ChangeView, StoredChange},
    decline::DeclineRequest,
    digests::examine_digests,
    doctor::FeedExamination,
    erase::{Erased, Eraser},
    error::SyncError,
    explain::{DocumentState, Explainer, Explanation, Grant, Miss},
    export::Export,
    import::{EpochSource, ImportTask, Importer, ImporterState, PendingImport, pending_imports},
    in_step::bring_in_step,
    inbox::{InboxEntry, InboxPage, InboxRequest, SentResolution},
    indexes::IndexTask,
    lead::{ABSENT, LeadTask, LeadWatch},
    lists::{ListItem, ListPage, ListParent, ListRequest, ListWanted, Relatives, SentList},
    live::Start,
    maintain::{Collected, collect, rotate_epoch},
    page::Page,
    pull::PullRequest,
    push::SentPush,
    survey::{Accepted, ModelSurvey, OtherClients, SurveyResult, TypeSurvey, is_urgent},
};
use crate::{
    limits::Limits,
    lock::Mutex,
    metrics::Metrics,
    quota::{Account, Exhausted, Lease, Reservation},
    record::OperationRecord,
    store::{Snapshot, Store, StoreError},
    webhook::{WebhookConfig, Webhooks},
};

/// The source of the time. `app.rs` provides the real one.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long one request may wait for the store before the client gets an error that asks it to try again.
const STORE_DEADLINE: Duration = Duration::from_secs(30);

/// How many bytes of documents are read of the store at a time, where they are asked for by their keys.
const ROUND_BYTES_MAX: usize = 8 << 20;

/// What a subscription that waits takes besides its scopes, rounded up.
const SUBSCRIPTION_BYTES: usize = 10 << 10;

/// What a scope takes in a subscription besides its name, rounded up.
const SCOPE_BYTES: usize = 192;

/// How often the name of a scope is counted: the checkpoint of the request stays too, in base64.
const NAMES: usize = 3;

/// The caller of a request: an identity, and what its claims grant.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The caller's identity.
    pub identity: Arc<Identity>,
    claim_grants: Arc<Grants>,
    /// The API that the caller's app was made for, if it says so.
    pub(crate) api: Option<ApiHash>,
    /// The account for what is read for the caller; `None` counts nothing.
    account: Option<Account>,
    /// The record of the operation; `None` notes nothing.
    record: Option<Arc<OperationRecord>>,
}

impl Caller {
    /// Counts what is read for the caller.
    pub(crate) fn counted_on(self, account: Account) -> Self {
        Self {
            account: Some(account),
            ..self
        }
    }

    /// Says for which API the caller's app was made.
    pub(crate) fn with_api(self, api: Option<ApiHash>) -> Self {
        Self { api, ..self }
    }

    /// The caller of an operation of which something is noted.
    pub(crate) fn recorded_in(self, record: Arc<OperationRecord>) -> Self {
        Self {
            record: Some(record),
            ..self
        }
    }

    pub(crate) fn record(&self) -> Option<&Arc<OperationRecord>> {
        self.record.as_ref()
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Counts in advance the bytes that a read may reach.
    async fn reserve(&self, bytes: usize) -> Result<Option<Reservation>, SyncError> {
        match &self.account {
            Some(account) => Ok(Some(account.reserve(bytes).await?)),
            None => Ok(None),
        }
    }

    /// Counts what was read.
    fn lease(&self, bytes: usize) -> Result<Option<Arc<Lease>>, SyncError> {
        Ok(self.growing_lease(bytes)?.map(Arc::new))
    }

    /// Counts bytes that may become more.
    fn growing_lease(&self, bytes: usize) -> Result<Option<Lease>, Exhausted> {
        let lease = self.account.as_ref().map(|account| account.lease(bytes));
        lease.transpose()
    }

    /// Counts on `lease` what a subscription takes while it waits, with these bytes for its position.
    fn hold(&self, lease: &mut Option<Lease>, bytes: usize) -> Result<(), SyncError> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        let bytes = SUBSCRIPTION_BYTES + bytes;
        match lease {
            Some(lease) => lease.grow_to(bytes)?,
            None => *lease = Some(account.lease(bytes)?),
        }
        Ok(())
    }
}

/// What scopes take in a subscription that waits.
fn scopes_bytes<'s>(scopes: impl Iterator<Item = &'s Scope>) -> usize {
    let bytes = scopes.map(|scope| SCOPE_BYTES + NAMES * scope.as_str().len());
    bytes.sum()
}

/// Documents that were asked for by their keys.
#[derive(Debug)]
pub struct Documents {
    /// Those that exist and that the caller may see.
    pub found: Vec<Arc<Entry>>,
    /// Those that were not read, since those before them have too many bytes.
    pub left_out: BTreeSet<DocumentKey>,
    /// Counts those that were found, until the last copy is dropped.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// The content of `viewer`.
#[derive(Debug)]
pub struct Viewer {
    /// What the caller may see and change.
    pub grants: Arc<Grants>,
    given: Arc<UserMemberships>,
    /// The givers whose memberships the caller declines. A model without memberships has them too, from another time.
    pub declined: BTreeSet<UserId>,
    /// The last consumed mutation id of the client in question.
    pub last_mutation: Option<MutationId>,
    /// The store's epoch.
    pub epoch: Epoch,
    /// The types that are not completely imported.
    pub importing: Arc<[PendingImport]>,
}

impl Viewer {
    /// The caller's memberships, with their givers.
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
    /// The bounds on the scopes and memberships of a user.
    bounds: Arc<Bounds>,
    metrics: Arc<Metrics>,
    commits: CommitQueue,
    /// Counts the commits of pushes, for an importer that makes room for them.
    pushes: Arc<PushCounter>,
    imports: ImportStatus,
    apis: ApiHistory,
    counter: ScopeCounter,
    live: Arc<LiveFeed>,
    grants: Arc<GrantCache>,
    webhooks: Webhooks,
    webhook_answers: WebhookAnswerCache,
    /// The types of the model with their numbers, and the models of the store that have numbered them.
    known: Mutex<Option<(Arc<ModelState>, Arc<KnownTypes>)>>,
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
        Self::start_measured(model, store, clock, limits, webhooks, Metrics::new())
    }

    /// The same, for a gateway whose metrics are read.
    pub(crate) fn start_measured(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        limits: Limits,
        webhooks: Webhooks,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let store = SettledStore::over(Arc::clone(&model), store);
        let grants = Arc::new(GrantCache::new());
        let heads = Arc::new(ScopeHeads::new());
        let live = LiveFeed::follow(store.as_ref(), &grants, &heads);
        let committer = GroupCommitter {
            model: model.clone(),
            store: store.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            last: Arc::default(),
        };
        let pushes = Arc::new(PushCounter::default());
        let counter = Arc::clone(&pushes);
        let commits = CommitQueue::start(committer, limits.push_queue_bytes, heads, counter);
        let service = Arc::new(Self {
            counter: ScopeCounter::of(Arc::clone(&store)),
            model,
            store,
            clock,
            bounds: Arc::new(Bounds::within(
                limits.body_bytes,
                limits.user_scopes,
                limits.services.clone(),
            )),
            limits,
            metrics,
            commits,
            pushes,
            imports: ImportStatus::default(),
            apis: ApiHistory::default(),
            live,
            grants,
            webhooks,
            webhook_answers: WebhookAnswerCache::default(),
            known: Mutex::default(),
        });
        service.measure();
        service
    }

    /// The importer that runs beside the service; `None` if no other service can write to the store.
    pub fn importer(&self, new_epoch: EpochSource) -> Option<Importer> {
        self.imports.begin();
        Importer::beside_pushes(
            Arc::clone(&self.model),
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            new_epoch,
            Arc::clone(&self.pushes),
            Arc::clone(&self.metrics),
        )
    }

    /// The types that are not completely imported.
    async fn importing(&self) -> Result<Arc<[PendingImport]>, StoreError> {
        match self.store.collections() {
            Some(collections) => self.imports.pending(&self.model, &*collections).await,
            None => Ok(Arc::default()),
        }
    }

    /// The model that the service serves.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The source of the time.
    pub(crate) fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
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
            api: None,
            account: None,
            record: None,
        })
    }

    /// Whether the store answers, and pushes and subscriptions are served. Returns how the gateway's model stands.
    ///
    /// # Errors
    /// A store's failure, or [`SyncError::Busy`] when a task of the service has ended, which only a restart repairs.
    pub async fn ready(&self) -> Result<Standing, SyncError> {
        if !self.commits.is_served() || !self.live.is_followed() {
            return Err(SyncError::Busy);
        }
        self.standing().await
    }

    /// How the gateway's model stands beside the one in force.
    ///
    /// # Errors
    /// A store's failure.
    pub(crate) async fn standing(&self) -> Result<Standing, SyncError> {
        let snapshot = in_time(self.store.snapshot()).await?;
        Ok(snapshot.state().standing)
    }

    /// Signs questions to webhooks with the secrets of this configuration from now on.
    pub(crate) fn reload_webhook_secrets(&self, config: &WebhookConfig) {
        self.webhooks.reload_secrets(config);
    }

    /// The documents of `keys` that are alive and that the caller may see, until they have more than `bytes_max`. They are
    /// read in rounds, so that what the caller may not see is not held beyond its round.
    ///
    /// # Errors
    /// What the store's failure becomes, [`SyncError::Busy`] or [`SyncError::Exhausted`].
    pub async fn documents(
        &self,
        caller: &Caller,
        keys: BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Documents, SyncError> {
        let round_bytes = keys.len().saturating_mul(DOCUMENT_BYTES_MAX);
        let round_bytes = round_bytes.min(ROUND_BYTES_MAX + DOCUMENT_BYTES_MAX);
        let _reserved = caller.reserve(round_bytes).await?;
        let (mut snapshot, grants) = in_time(self.read_snapshot(caller, &BTreeSet::new())).await?;
        let mut lease = caller.growing_lease(0)?;
        let (mut found, mut left_out, mut bytes) = (Vec::new(), keys, 0);
        while !left_out.is_empty() && bytes <= bytes_max {
            let mut read = in_time(snapshot.entries(&left_out, ROUND_BYTES_MAX)).await?;
            let is_shown = |entry: &Entry| {
                !entry.is_deleted()
                    && grants.can_read(&entry.scope)
                    && self.model.is_in_use(&entry.key.type_name)
            };
            read.found.retain(|_, entry| is_shown(entry));
            let bodies = read.found.values().filter_map(|entry| entry.body.as_ref());
            bytes += bodies.map(document_bytes).sum::<usize>();
            if let Some(lease) = &mut lease {
                lease.grow_to(bytes)?;
            }
            found.extend(read.found.into_values());
            left_out = read.left_out;
        }
        Ok(Documents {
            found,
            left_out,
            lease: lease.map(Arc::new),
        })
    }

    /// What the caller may do, and the last mutation id of one of its clients.
    ///
    /// # Errors
    /// The error of a store's failure, or [`SyncError::Busy`].
    pub async fn viewer(
        &self,
        caller: &Caller,
        client: Option<ClientId>,
    ) -> Result<Viewer, SyncError> {
        in_time(async {
            let (mut snapshot, given) = self.read_grants(caller, &BTreeSet::new()).await?;
            let user = &caller.identity.user;
            let declined = snapshot.user(user).await?.declined;
            let state = match client {
                Some(client) => {
                    let user = user.clone();
                    snapshot.client(&ClientKey { user, client }).await?
                }
                None => None,
            };
            let last_mutation = state.map(|state| state.last);
            Ok::<_, StoreError>(Viewer {
                grants: given.with(&caller.claim_grants),
                given,
                declined,
                last_mutation,
                epoch: snapshot.state().epoch.clone(),
                importing: self.importing().await?,
            })
        })
        .await
    }

    /// What the caller may do now.
    async fn grants(&self, caller: &Caller) -> Result<Arc<Grants>, SyncError> {
        let (_, grants) = in_time(self.read_snapshot(caller, &BTreeSet::new())).await?;
        Ok(grants)
    }

    /// A snapshot, and what the caller may do at its moment.
    async fn read_snapshot(
        &self,
        caller: &Caller,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(Box<dyn Snapshot>, Arc<Grants>), StoreError> {
        let (snapshot, given) = self.read_grants(caller, scopes).await?;
        Ok((snapshot, given.with(&caller.claim_grants)))
    }

    /// A snapshot with the states of these scopes, and what the caller is given at its moment.
    async fn read_grants(
        &self,
        caller: &Caller,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(Box<dyn Snapshot>, Arc<UserMemberships>), StoreError> {
        let user = &caller.identity.user;
        if !self.model.has_memberships() {
            let snapshot = self.store.snapshot_with_heads(scopes, None).await?;
            return Ok((
                snapshot,
                Arc::new(UserMemberships::new(Memberships::default())),
            ));
        }
        let generation = self.grants.generation();
        let mut snapshot = self.store.snapshot_with_heads(scopes, Some(user)).await?;
        let stamp = snapshot.user(user).await?.stamp;
        if let Some(given) = self.grants.get(user, stamp) {
            return Ok((snapshot, given));
        }
        let _turn = self.grants.turn(user).await;
        if let Some(given) = self.grants.get(user, stamp) {
            return Ok((snapshot, given));
        }
        let read = snapshot.memberships(user, &self.bounds).await?;
        let given = Arc::new(UserMemberships::new(read));
        self.grants.put(user, &given, generation);
        Ok((snapshot, given))
    }
}

/// Runs a read in a task of its own, which ends with the future. A subscription is not polled while its client receives
/// nothing. A read inside it would stand still, and keep a connection to the store and its reserved bytes.
async fn in_own_task<T: Send + 'static>(
    reading: impl Future<Output = Result<T, SyncError>> + Send + 'static,
) -> Result<T, SyncError> {
    let task = AbortOnDropHandle::new(tokio::spawn(reading));
    let ended = SyncError::Internal("a read of a subscription ended early".to_owned());
    task.await.unwrap_or(Err(ended))
}

/// Bounds how long a request may wait for the store.
async fn in_time<T, E: Into<SyncError>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, SyncError> {
    match tokio::time::timeout(STORE_DEADLINE, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(SyncError::Busy),
    }
}

#[cfg(test)]
mod tests;
