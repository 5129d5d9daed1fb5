//! The test kit's store of maps, with the model, the clock and the users of a test.
//!
//! It has no rule of the protocol. It only provides what the core needs for a transaction or a page.

mod pages;

use std::{collections::HashMap, sync::Arc};

use tidegate_core::{
    change::BaseVersion,
    collect,
    entry::{Entry, FeedItem, ScopeState},
    generation::ModelState,
    grant::{Grants, Identity},
    id::{ClientId, ConflictId, DocumentKey, Epoch, MutationId, Scope, UserId},
    inbox::{InboxRecord, OpenConflict},
    membership::{self, Bounds},
    model::Model,
    push::{
        self, CommitRequest, Push, PushAnswer, PushClient, PushHash, PushRequest, Resolution,
        ResolutionHash, ResolveRequest, WebhookDecision,
    },
    transaction::{ForeignState, LoadBytesMax, Loaded, Reads, Writes},
    value::Timestamp,
};
use tidegate_testkit::store::State;

pub(crate) use self::pages::{Asked, Gateway, only};
use crate::{
    bench::identity,
    drafts::{Draft, key, model, start},
    senders::Sender,
};

/// The number of a user's clients whose last push is remembered.
pub(crate) const CLIENTS_MAX: usize = 20;

#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) model: Arc<Model>,
    pub(crate) state: State,
    /// All feed writes, in their order.
    pub(crate) log: Vec<FeedItem>,
    pub(crate) now: Timestamp,
    pub(crate) bounds: Arc<Bounds>,
    /// The most bytes of documents that a transaction loads.
    pub(crate) bytes_max: usize,
    /// The types that the store has numbered.
    pub(crate) models: ModelState,
    teams: HashMap<&'static str, Vec<&'static str>>,
}

impl Store {
    pub(crate) fn new(rule: &str) -> Self {
        Self::on(model(rule))
    }

    /// On a model of the test's own.
    pub(crate) fn of(model: Model) -> Self {
        Self::on(Arc::new(model))
    }

    fn on(model: Arc<Model>) -> Self {
        Self {
            models: ModelState::of(&model),
            model,
            state: State::new(Epoch::new("e1").expect("a short name")),
            log: Vec::new(),
            now: start(),
            bounds: Arc::default(),
            bytes_max: usize::MAX,
            teams: HashMap::new(),
        }
    }

    /// From now on the user's token names these teams.
    pub(crate) fn teams(&mut self, user: &'static str, teams: &[&'static str]) {
        self.teams.insert(user, teams.to_vec());
    }

    /// Another service writes a document, past the gateway.
    pub(crate) fn elsewhere(&mut self, document: &Draft) {
        let body = document.fields(&self.model);
        self.foreign(document.key(), ForeignState::Document(body));
    }

    /// Another service writes this, past the gateway.
    pub(crate) fn foreign(&mut self, key: DocumentKey, state: ForeignState) {
        self.state.foreign.insert(key, state);
    }

    /// Another service deletes a document, or its collection is missing.
    pub(crate) fn delete_elsewhere(&mut self, key: &DocumentKey) {
        self.state.foreign.insert(key.clone(), ForeignState::Gone);
    }

    /// An importer stamps these documents, a second after the last push.
    pub(crate) fn import(&mut self, keys: &[DocumentKey]) -> Writes {
        self.now = self.now.plus_ms(1_000);
        let (model, now) = (Arc::clone(&self.model), self.now);
        let reads = Reads {
            bytes_max: LoadBytesMax(self.bytes_max),
            ..push::stamp_reads(keys.iter().cloned().collect(), None)
        };
        self.commit(&reads, &|loaded| push::stamp(&model, now, loaded))
    }

    /// A start withholds those of these documents that do not fit the model.
    pub(crate) fn withhold(&mut self, keys: &[DocumentKey]) -> Writes {
        let (model, now) = (Arc::clone(&self.model), self.now);
        let reads = push::stamp_reads(keys.iter().cloned().collect(), None);
        self.commit(&reads, &|loaded| {
            push::stamp_and_withhold(&model, now, loaded)
        })
    }

    /// A document's present entry.
    pub(crate) fn entry(&self, key: &DocumentKey) -> Option<&Arc<Entry>> {
        self.state.entry(key)
    }

    /// The entry of a task.
    pub(crate) fn task(&self, id: &str) -> &Arc<Entry> {
        self.entry(&key("Task", id)).expect("the task has an entry")
    }

    /// All living entries.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.state.entries().filter(|entry| !entry.is_deleted())
    }

    /// The scopes in which a task left a marker.
    pub(crate) fn markers(&self, id: &str) -> Vec<&str> {
        let markers = self
            .state
            .markers()
            .filter(|(_, at)| *at == key("Task", id));
        markers.map(|(scope, _)| scope.as_str()).collect()
    }

    /// A scope's counters.
    pub(crate) fn scope(&self, scope: &str) -> ScopeState {
        self.state.scope(&Scope::new(scope).expect("a short name"))
    }

    /// One push in a transaction of its own.
    pub(crate) fn push(&mut self, sender: &Sender, changes: &[Draft]) -> PushAnswer {
        let mut answers = self.group(&[(sender, changes)]);
        answers.remove(0)
    }

    /// Several pushes in one transaction, a second after the last one.
    pub(crate) fn group(&mut self, pushes: &[(&Sender, &[Draft])]) -> Vec<PushAnswer> {
        self.now = self.now.plus_ms(1_000);
        let requests: Vec<CommitRequest> = pushes
            .iter()
            .map(|(sender, changes)| CommitRequest::Push(Arc::new(self.request(sender, changes))))
            .collect();
        self.transact(&requests)
    }

    fn transact(&mut self, requests: &[CommitRequest]) -> Vec<PushAnswer> {
        let (model, now) = (Arc::clone(&self.model), self.now);
        let reads = Reads {
            bytes_max: LoadBytesMax(self.bytes_max),
            ..push::reads(&model, requests)
        };
        let writes = self.commit(&reads, &|loaded| {
            push::decide(&model, now, requests, &[], loaded)
        });
        writes.answers
    }

    fn commit(&mut self, reads: &Reads, decide: &dyn Fn(&Loaded) -> Writes) -> Writes {
        let writes = self.state.decide(reads, decide);
        self.write(&writes);
        writes
    }

    pub(crate) fn write(&mut self, writes: &Writes) {
        self.log.extend(self.state.write(writes));
    }

    /// Declines what these users give to another, or accepts it again.
    pub(crate) fn decline(&mut self, user: &str, givers: &[&str], decline: bool) {
        let user = UserId::new(user).expect("a short name");
        let givers = givers
            .iter()
            .map(|it| UserId::new(it).expect("a short name"));
        let loaded = self.state.load(&Reads {
            users: [user.clone()].into(),
            ..Reads::default()
        });
        let (writes, declined) = membership::decline(&user, &givers.collect(), decline, &loaded);
        declined.expect("few givers");
        self.write(&writes);
    }

    /// The stamp of a user's memberships and declined givers.
    pub(crate) fn stamp(&self, user: &str) -> i64 {
        let user = UserId::new(user).expect("a short name");
        self.state.user(&user).stamp
    }

    /// A push that does not name the epoch of its versions.
    pub(crate) fn without_epoch(&mut self, sender: &Sender, changes: &[Draft]) -> PushAnswer {
        let mut request = self.request(sender, changes);
        request.push.epoch = None;
        self.transact(&[CommitRequest::Push(Arc::new(request))])
            .remove(0)
    }

    /// A push to which the application has answered.
    pub(crate) fn advised(
        &mut self,
        sender: &Sender,
        changes: &[Draft],
        decisions: &[WebhookDecision],
    ) -> PushAnswer {
        let mut request = self.request(sender, changes);
        request.webhook_decisions = decisions.to_vec();
        self.transact(&[CommitRequest::Push(Arc::new(request))])
            .remove(0)
    }

    /// The push of a reference client, to which the application has answered.
    pub(crate) fn take(
        &mut self,
        user: &str,
        push: &Push,
        decisions: &[WebhookDecision],
    ) -> PushAnswer {
        let mut request = self.request_of(user, push.clone());
        request.webhook_decisions = decisions.to_vec();
        self.transact(&[CommitRequest::Push(Arc::new(request))])
            .remove(0)
    }

    /// The only conflict that is open.
    pub(crate) fn conflict(&self) -> &OpenConflict {
        let open: Vec<_> = self.conflicts().collect();
        assert_eq!(open.len(), 1, "{open:#?}");
        open[0]
    }

    /// All conflicts that are open.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = &OpenConflict> {
        let open = self.state.conflicts().into_iter();
        open.map(Arc::as_ref)
    }

    /// Resolves a conflict, a second after the last push.
    pub(crate) fn resolve(
        &mut self,
        user: &'static str,
        conflict: &ConflictId,
        base: i32,
        resolution: Resolution,
    ) -> PushAnswer {
        self.now = self.now.plus_ms(1_000);
        let request = self.resolution(user, conflict, base, resolution);
        self.transact(&[request]).remove(0)
    }

    /// A push and then a resolution in one transaction.
    pub(crate) fn push_and_resolve(
        &mut self,
        push: (&Sender, &[Draft]),
        (user, conflict, base): (&'static str, &ConflictId, i32),
        resolution: Resolution,
    ) -> Vec<PushAnswer> {
        let push = CommitRequest::Push(Arc::new(self.request(push.0, push.1)));
        let resolve = self.resolution(user, conflict, base, resolution);
        self.transact(&[push, resolve])
    }

    /// Resolutions and then a push in one transaction. All resolutions leave the document as it is.
    pub(crate) fn resolve_and_push(
        &mut self,
        (user, conflicts, base): (&'static str, &[ConflictId], i32),
        push: (&Sender, &[Draft]),
    ) -> Vec<PushAnswer> {
        let push = CommitRequest::Push(Arc::new(self.request(push.0, push.1)));
        let resolve = |id| self.resolution(user, id, base, Resolution::Theirs);
        let mut requests: Vec<CommitRequest> = conflicts.iter().map(resolve).collect();
        requests.push(push);
        self.transact(&requests)
    }

    /// Resolutions of several conflicts in one transaction, each made on the second version of its document.
    pub(crate) fn resolve_together(
        &mut self,
        user: &'static str,
        conflicts: &[ConflictId],
        resolution: &Resolution,
    ) -> Vec<PushAnswer> {
        let conflicts = conflicts.iter();
        let requests: Vec<CommitRequest> = conflicts
            .map(|conflict| self.resolution(user, conflict, 2, resolution.clone()))
            .collect();
        self.transact(&requests)
    }

    fn resolution(
        &self,
        user: &'static str,
        conflict: &ConflictId,
        base: i32,
        resolution: Resolution,
    ) -> CommitRequest {
        let identity = identity(user, self.teams_of(user));
        let key = match self.state.inbox.get(conflict) {
            Some(InboxRecord::Open(open)) => open.key.clone(),
            Some(InboxRecord::Resolved(settled)) => settled.key.clone(),
            None => key("Task", "none"),
        };
        CommitRequest::Resolve(Arc::new(ResolveRequest {
            claim_grants: Arc::new(self.claims(&identity)),
            identity: Arc::new(identity),
            conflict: conflict.clone(),
            key,
            base: BaseVersion(base),
            hash: ResolutionHash::of(BaseVersion(base), &resolution),
            resolution,
        }))
    }

    fn request(&self, sender: &Sender, changes: &[Draft]) -> PushRequest {
        let epoch = sender
            .epoch
            .as_ref()
            .map(|epoch| Epoch::new(epoch).expect("a short name"));
        let push = Push {
            client: sender.client.as_ref().map(|client| PushClient {
                id: ClientId::new(client).expect("a short name"),
                first: sender.first.map(MutationId),
            }),
            changes: changes
                .iter()
                .map(|draft| draft.submission(&self.model))
                .collect(),
            atomic: sender.atomic,
            policy: sender.policy,
            epoch: epoch.or_else(|| sender.first.map(|_| self.state.epoch.clone())),
        };
        self.request_of(sender.user, push)
    }

    fn request_of(&self, user: &str, push: Push) -> PushRequest {
        let identity = identity(user, self.teams_of(user));
        PushRequest {
            claim_grants: Arc::new(self.claims(&identity)),
            identity: Arc::new(identity),
            hash: PushHash::of(&push),
            push,
            webhook_decisions: Vec::new(),
            clients_max: CLIENTS_MAX,
            api: None,
        }
    }

    /// Collects every tombstone and marker.
    pub(crate) fn collect(&mut self) {
        self.collect_where(|_| true);
    }

    /// Collects those of one scope, as if all others were younger.
    pub(crate) fn collect_only(&mut self, scope: &str) {
        self.collect_where(|item| item.record.scope().as_str() == scope);
    }

    fn collect_where(&mut self, is_old: impl Fn(&FeedItem) -> bool) {
        let mut loaded = self
            .state
            .load(&collect::reads(self.now.plus_ms(1), usize::MAX));
        loaded.expired.retain(is_old);
        loaded.idle.clear();
        self.write(&collect::decide(&loaded));
    }

    /// Collects all repeatable pushes of clients, as if the retention had passed since.
    pub(crate) fn collect_clients(&mut self) {
        let loaded = self
            .state
            .load(&collect::reads(self.now.plus_ms(1), usize::MAX));
        self.write(&collect::decide(&loaded));
    }

    /// Begins another epoch.
    pub(crate) fn rotate(&mut self, epoch: &str) {
        self.write(&collect::rotate(Epoch::new(epoch).expect("a short name")));
    }

    fn claims(&self, identity: &Identity) -> Grants {
        Grants::of_claims_within(&self.model, identity, &self.bounds).expect("few scopes")
    }

    pub(crate) fn grants(&self, user: &str) -> Grants {
        let identity = identity(user, self.teams_of(user));
        let memberships = self.state.memberships(&identity.user, &self.bounds);
        self.claims(&identity).with(&memberships)
    }

    fn teams_of(&self, user: &str) -> &[&'static str] {
        self.teams.get(user).map_or(&[], Vec::as_slice)
    }
}
