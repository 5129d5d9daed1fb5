//! The pushes of one transaction, decided one after the other over what was loaded.
//!
//! Protocol.md sections 4.2 to 4.6: which pushes are repeats, what each change may do over the earlier ones, and what
//! their clients are told once all of them are decided.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    ClientState, Outcome, Push, PushAnswer, PushHash, PushOutcome, PushRefusal, RememberedOutcome,
    Status,
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    decide::{self, Context, Decision, FieldOutcome},
    entry::{Entry, Marker, Membership},
    grant::{Grants, Identity},
    id::{ClientKey, DocumentId, DocumentKey, MutationId, UserId, Version},
    model::{DocumentType, Model},
    transaction::{Loaded, Reads, Writes},
    value::Timestamp,
};

/// A push with everything that does not depend on the store.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Who pushes.
    pub identity: Arc<Identity>,
    /// What the identity's claims give.
    pub claim_grants: Arc<Grants>,
    /// The push.
    pub push: Push,
    /// Its fingerprint.
    pub hash: PushHash,
}

impl PushRequest {
    fn client_key(&self) -> Option<ClientKey> {
        let client = self.push.client.as_ref()?;
        Some(ClientKey {
            user: self.identity.user.clone(),
            client: client.id.clone(),
        })
    }
}

/// What deciding these pushes has to load.
pub fn reads(requests: &[PushRequest]) -> Reads {
    let changes = requests.iter().flat_map(|request| &request.push.changes);
    Reads {
        keys: changes.filter_map(key_of).cloned().collect(),
        clients: requests
            .iter()
            .filter_map(PushRequest::client_key)
            .collect(),
        members: requests
            .iter()
            .map(|request| request.identity.user.clone())
            .collect(),
        expired: None,
    }
}

/// Decides the pushes in order; the answers stand in [`Writes::answers`].
pub fn decide(model: &Model, now: Timestamp, requests: &[PushRequest], loaded: &Loaded) -> Writes {
    let mut world = World::new(loaded);
    let decided: Vec<_> = requests
        .iter()
        .map(|request| push(model, now, &mut world, request))
        .collect();
    let answers = requests
        .iter()
        .zip(decided)
        .map(|(request, decided)| decided.map(|decided| world.answer(request, decided)))
        .collect();
    world.into_writes(now, answers)
}

/// A push's outcomes before the documents are attached.
struct Decided {
    verdicts: Vec<Verdict>,
    duplicate: bool,
    last: Option<MutationId>,
}

/// What became of one change.
#[derive(Debug, Clone)]
struct Verdict {
    status: Status,
    version: Option<Version>,
    fields: Option<Vec<FieldOutcome>>,
    error: Option<Rejection>,
}

impl Verdict {
    fn rejected(error: Rejection) -> Self {
        Self {
            status: Status::Rejected,
            version: None,
            fields: None,
            error: Some(error),
        }
    }

    /// Whether nothing of the change is in force.
    fn failed(&self) -> bool {
        matches!(self.status, Status::Conflict | Status::Rejected)
    }

    fn remembered(&self) -> RememberedOutcome {
        RememberedOutcome {
            status: self.status,
            version: self.version,
            error: self.error.clone(),
        }
    }

    fn replayed(outcome: &RememberedOutcome) -> Self {
        let RememberedOutcome {
            status,
            version,
            error,
        } = outcome.clone();
        Self {
            status,
            version,
            fields: None,
            error,
        }
    }
}

fn push(
    model: &Model,
    now: Timestamp,
    world: &mut World<'_>,
    request: &PushRequest,
) -> Result<Decided, PushRefusal> {
    let admission = admit(world, request)?;
    if let Admission::Repeat(verdicts, last) = admission {
        return Ok(Decided {
            verdicts,
            duplicate: true,
            last: Some(last),
        });
    }
    check_policy(model, &request.push)?;
    let before = request.push.atomic.then(|| world.changed.clone());
    let mut run = Run {
        model,
        now,
        request,
        world,
        dropped: HashSet::new(),
        grants: None,
    };
    let mut verdicts: Vec<Verdict> = request
        .push
        .changes
        .iter()
        .enumerate()
        .map(|(i, item)| run.change(i, item))
        .collect();
    if let Some(before) = before.filter(|_| verdicts.iter().any(Verdict::failed)) {
        world.changed = before;
        verdicts
            .iter_mut()
            .filter(|verdict| !verdict.failed())
            .for_each(abort);
    }
    let last = match admission {
        Admission::Numbered(first) => Some(world.remember(request, first, &verdicts)),
        _ => None,
    };
    Ok(Decided {
        verdicts,
        duplicate: false,
        last,
    })
}

fn abort(verdict: &mut Verdict) {
    let message = "another change of this atomic push conflicted or was rejected";
    *verdict = Verdict::rejected(Rejection::new(RejectionCode::AtomicAborted, message));
}

/// How a push stands to what is remembered of its client.
enum Admission {
    /// It carries no mutation ids: nothing is remembered.
    Unnumbered,
    /// It begins at the next id.
    Numbered(MutationId),
    /// It was answered before.
    Repeat(Vec<Verdict>, MutationId),
}

/// Protocol.md 4.2 and 4.4: a repeat is known before the epoch is compared.
fn admit(world: &World<'_>, request: &PushRequest) -> Result<Admission, PushRefusal> {
    let push = &request.push;
    let numbered = push.client.as_ref().and_then(|client| client.first);
    let Some(first) = numbered.filter(|_| !push.changes.is_empty()) else {
        check_epoch(world, push)?;
        return Ok(Admission::Unnumbered);
    };
    last_id(first, push.changes.len()).ok_or(PushRefusal::MutationIdRange)?;
    let state = request.client_key().and_then(|key| world.client(&key));
    let last = state.map_or(MutationId(0), |state| state.last);
    if first <= last {
        let state = state.filter(|state| state.first == first && state.hash == request.hash);
        let state = state.ok_or(PushRefusal::MutationIdReused)?;
        let verdicts = state.outcomes.iter().map(Verdict::replayed).collect();
        return Ok(Admission::Repeat(verdicts, state.last));
    }
    if push.epoch.is_none() {
        return Err(PushRefusal::EpochRequired);
    }
    check_epoch(world, push)?;
    if first.0 != last.0 + 1 {
        return Err(PushRefusal::MutationIdGap {
            expected: MutationId(last.0 + 1),
        });
    }
    Ok(Admission::Numbered(first))
}

fn check_epoch(world: &World<'_>, push: &Push) -> Result<(), PushRefusal> {
    let epoch = &world.loaded.epoch;
    match &push.epoch {
        Some(named) if named != epoch => Err(PushRefusal::EpochChanged {
            epoch: epoch.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_policy(model: &Model, push: &Push) -> Result<(), PushRefusal> {
    let Some(policy) = push.policy else {
        return Ok(());
    };
    let forbids = |name: &&crate::id::TypeName| {
        model
            .document_type(name.as_str())
            .is_none_or(|document_type| {
                let rule = &document_type.conflict;
                rule.policy != policy && !rule.client_may_choose.contains(&policy)
            })
    };
    match push
        .changes
        .iter()
        .map(|item| &item.type_name)
        .find(forbids)
    {
        Some(type_name) => Err(PushRefusal::PolicyNotAllowed {
            type_name: type_name.clone(),
        }),
        None => Ok(()),
    }
}

/// The id of the last of `count` changes, at least one; `None` where ids cannot be counted. The very last id is
/// never given out, so that a next one can always be named.
fn last_id(first: MutationId, count: usize) -> Option<MutationId> {
    let count = i32::try_from(count).ok()?;
    let last = first.0.checked_add(count - 1)?;
    (first.0 >= 1 && last < i32::MAX).then_some(MutationId(last))
}

fn key_of(item: &Submission) -> Option<&DocumentKey> {
    item.change.as_ref().ok().map(|change| &change.key)
}

/// One push on its way through its changes.
struct Run<'r, 'w, 'l> {
    model: &'r Model,
    now: Timestamp,
    request: &'r PushRequest,
    world: &'w mut World<'l>,
    /// Documents whose create failed: what the client queued on top of it must not meet another document.
    dropped: HashSet<DocumentKey>,
    /// What the identity may do now; `None` after a membership changed.
    grants: Option<Arc<Grants>>,
}

impl Run<'_, '_, '_> {
    fn change(&mut self, index: usize, item: &Submission) -> Verdict {
        let change = match &item.change {
            Ok(change) => change,
            Err(rejection) => {
                self.drop_unreadable(item);
                return Verdict::rejected(rejection.clone());
            }
        };
        let Some(document_type) = self.model.document_type(change.key.type_name.as_str()) else {
            let message = "the model has no such type";
            return Verdict::rejected(Rejection::new(RejectionCode::InvalidValue, message));
        };
        let entry = self.world.entry(&change.key);
        if self.depends_on_dropped(change) {
            let version = self.visible_version(entry.as_deref());
            return Verdict {
                status: Status::Conflict,
                version,
                fields: None,
                error: None,
            };
        }
        let verdict = self.decide(index, document_type, entry, change);
        if matches!(change.action, Action::Create { .. }) {
            if verdict.failed() {
                self.dropped.insert(change.key.clone());
            } else {
                self.dropped.remove(&change.key);
            }
        }
        verdict
    }

    /// What is refused at first sight does not say whether it was a create. Where the caller sees no document, a later
    /// change of its own unanswered create can only mean this one.
    fn drop_unreadable(&mut self, item: &Submission) {
        let Ok(id) = DocumentId::new(&item.id) else {
            return;
        };
        let key = DocumentKey {
            type_name: item.type_name.clone(),
            id,
        };
        let entry = self.world.entry(&key);
        if self.visible_version(entry.as_deref()).is_none() {
            self.dropped.insert(key);
        }
    }

    fn depends_on_dropped(&self, change: &Change) -> bool {
        let on_own_create = match change.action {
            Action::Create { .. } => false,
            Action::Update { base, .. } | Action::Delete { base } => {
                base == BaseVersion::OWN_CREATE
            }
        };
        on_own_create && self.dropped.contains(&change.key)
    }

    fn decide(
        &mut self,
        index: usize,
        document_type: &DocumentType,
        entry: Option<Arc<Entry>>,
        change: &Change,
    ) -> Verdict {
        let request = self.request;
        let grants = self.grants();
        let client = request.push.client.as_ref();
        let mutation = client
            .and_then(|client| client.first)
            .and_then(|first| last_id(first, index + 1));
        let context = Context {
            model: self.model,
            document_type,
            policy: request.push.policy.unwrap_or(document_type.conflict.policy),
            identity: &request.identity,
            grants: &grants,
            client: client.map(|client| &client.id),
            mutation,
            now: self.now,
            version_floor: self.world.loaded.version_floor,
        };
        match decide::decide(&context, entry.as_deref(), change) {
            Decision::Write {
                status,
                entry: written,
                fields,
            } => {
                let version = Some(written.version);
                self.write(*written, entry.as_deref());
                Verdict {
                    status,
                    version,
                    fields,
                    error: None,
                }
            }
            Decision::Keep { status, fields } => {
                let version = entry.map(|entry| entry.version);
                Verdict {
                    status,
                    version,
                    fields,
                    error: None,
                }
            }
            Decision::Reject(error) => {
                let version = self.visible_version(entry.as_deref());
                Verdict {
                    version,
                    ..Verdict::rejected(error)
                }
            }
        }
    }

    fn write(&mut self, written: Entry, before: Option<&Entry>) {
        if written.membership.is_some() || before.is_some_and(|entry| entry.membership.is_some()) {
            self.grants = None;
        }
        self.world.write(Arc::new(written), before);
    }

    fn visible_version(&mut self, entry: Option<&Entry>) -> Option<Version> {
        let entry = entry?;
        self.grants()
            .can_read(&entry.scope)
            .then_some(entry.version)
    }

    fn grants(&mut self) -> Arc<Grants> {
        let grants = self
            .grants
            .get_or_insert_with(|| self.world.grants(self.request));
        Arc::clone(grants)
    }
}

/// What was loaded, and what the pushes so far have made of it.
struct World<'l> {
    loaded: &'l Loaded,
    changed: Changed,
    clients: BTreeMap<ClientKey, ClientState>,
}

/// The part that an atomic push may have to give back.
#[derive(Debug, Clone, Default)]
struct Changed {
    entries: BTreeMap<DocumentKey, Arc<Entry>>,
    /// The memberships of users of this transaction, where they changed.
    memberships: HashMap<UserId, BTreeMap<DocumentKey, Membership>>,
}

impl<'l> World<'l> {
    fn new(loaded: &'l Loaded) -> Self {
        Self {
            loaded,
            changed: Changed::default(),
            clients: BTreeMap::new(),
        }
    }

    fn entry(&self, key: &DocumentKey) -> Option<Arc<Entry>> {
        self.changed
            .entries
            .get(key)
            .or_else(|| self.loaded.entries.get(key))
            .cloned()
    }

    fn client(&self, key: &ClientKey) -> Option<&ClientState> {
        self.clients
            .get(key)
            .or_else(|| self.loaded.clients.get(key))
    }

    fn memberships(&self, user: &UserId) -> Option<&BTreeMap<DocumentKey, Membership>> {
        self.changed
            .memberships
            .get(user)
            .or_else(|| self.loaded.memberships.get(user))
    }

    /// What claims alone give is shared, not copied: there may be thousands of scopes.
    fn grants(&self, request: &PushRequest) -> Arc<Grants> {
        let memberships = self.memberships(&request.identity.user);
        match memberships.filter(|memberships| !memberships.is_empty()) {
            None => Arc::clone(&request.claim_grants),
            Some(memberships) => {
                let claimed = Grants::clone(&request.claim_grants);
                Arc::new(claimed.with(memberships.values()))
            }
        }
    }

    fn write(&mut self, entry: Arc<Entry>, before: Option<&Entry>) {
        if let Some(ended) = before.and_then(|before| before.membership.as_ref()) {
            self.user_memberships(&ended.user).remove(&entry.key);
        }
        if let Some(membership) = &entry.membership {
            self.user_memberships(&membership.user)
                .insert(entry.key.clone(), membership.clone());
        }
        self.changed.entries.insert(entry.key.clone(), entry);
    }

    fn user_memberships(&mut self, user: &UserId) -> &mut BTreeMap<DocumentKey, Membership> {
        let loaded = &self.loaded.memberships;
        self.changed
            .memberships
            .entry(user.clone())
            .or_insert_with(|| loaded.get(user).cloned().unwrap_or_default())
    }

    /// Remembers the push and returns the last id it consumed.
    fn remember(
        &mut self,
        request: &PushRequest,
        first: MutationId,
        verdicts: &[Verdict],
    ) -> MutationId {
        let last = last_id(first, verdicts.len()).unwrap_or(first);
        if let Some(key) = request.client_key() {
            let outcomes = verdicts.iter().map(Verdict::remembered).collect();
            self.clients.insert(
                key,
                ClientState {
                    last,
                    first,
                    hash: request.hash,
                    outcomes,
                },
            );
        }
        last
    }

    /// Attaches the documents: what the transaction leaves, readable under the grants it leaves (protocol.md 4.3).
    fn answer(&self, request: &PushRequest, decided: Decided) -> PushOutcome {
        let grants = self.grants(request);
        let numbered = request.push.client.as_ref().and_then(|client| client.first);
        let outcomes = request
            .push
            .changes
            .iter()
            .zip(decided.verdicts)
            .enumerate()
            .map(|(i, (item, verdict))| {
                let entry = key_of(item).and_then(|key| self.entry(key));
                let document =
                    entry.filter(|entry| !entry.is_deleted() && grants.can_read(&entry.scope));
                Outcome {
                    type_name: item.type_name.clone(),
                    id: item.id.clone(),
                    mutation: numbered.and_then(|first| last_id(first, i + 1)),
                    status: verdict.status,
                    version: verdict.version,
                    conflict: verdict.fields.filter(|_| document.is_some()),
                    document,
                    error: verdict.error,
                }
            })
            .collect();
        PushOutcome {
            outcomes,
            duplicate: decided.duplicate,
            last_mutation_id: decided.last,
        }
    }

    /// What has to be written: each changed entry once, a marker where it left a scope.
    fn into_writes(self, now: Timestamp, answers: Vec<PushAnswer>) -> Writes {
        let loaded = self.loaded;
        let mut writes = Writes {
            clients: self.clients.into_iter().collect(),
            answers,
            ..Writes::default()
        };
        for entry in self.changed.entries.into_values() {
            let scope_before = loaded.entries.get(&entry.key).map(|before| &before.scope);
            if scope_before != Some(&entry.scope) {
                writes
                    .markers_removed
                    .push((entry.scope.clone(), entry.key.clone()));
            }
            if let Some(left) = scope_before.filter(|left| **left != entry.scope) {
                writes.markers.push(Marker {
                    key: entry.key.clone(),
                    scope: left.clone(),
                    version: entry.version,
                    at: now,
                });
            }
            writes.entries.push(entry);
        }
        writes
    }
}
