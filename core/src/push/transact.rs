//! The pushes and resolutions of one transaction, decided in order over what was loaded.
//!
//! Rules.md sections 4.2 to 4.6: which pushes are repeats, what each change may do over the earlier ones, and what the
//! clients get once all are decided.

use std::{collections::HashSet, sync::Arc};

use super::{
    CommitRequest, Push, PushHash, PushRefusal,
    admit::{Admission, MET_BYTES_MAX, admit, check_policy, last_id, met_bytes},
    advice::{self, Advice, Question},
    blame::blame,
    holding::Holding,
    resolve::resolve,
    verdict::{Decided, Verdict},
    world::{World, key_of},
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    decide::{self, Context, Decision, WORK_MAX, Work},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ClientKey, ConflictId, DocumentId, DocumentKey, MutationId, Version},
    inbox::Held,
    model::{DocumentType, Model, Policy},
    mutant::{Mutant, breaks},
    outcome::{FieldOutcome, Status},
    transaction::{Loaded, Refusal, Writes},
    value::Timestamp,
};

/// The most bytes of field details in the answer to a push. Without it, a thousand edits of one large text would each
/// carry the server's text twice.
const DETAILS_BYTES_MAX: usize = 8 << 20;

/// The steps of work to find that a user may see or change a scope.
const SCOPE_STEPS: usize = 32;

/// A push with everything that does not depend on the store.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The pushing user.
    pub identity: Arc<Identity>,
    /// What the identity's claims give.
    pub claim_grants: Arc<Grants>,
    /// The push.
    pub push: Push,
    /// Its fingerprint.
    pub hash: PushHash,
    /// The application's answers about its changes.
    pub advice: Vec<Advice>,
    /// The most clients of one user whose last push is remembered.
    pub clients_max: usize,
}

impl PushRequest {
    pub(super) fn client_key(&self) -> Option<ClientKey> {
        let client = self.push.client.as_ref()?;
        Some(ClientKey {
            user: self.identity.user.clone(),
            client: client.id.clone(),
        })
    }

    pub(super) fn policy(&self, document_type: &DocumentType) -> Policy {
        self.push.policy.unwrap_or(document_type.conflict.policy)
    }
}

/// Decides the requests in order; [`Writes::answers`] has the answers. `refusals` are the database's answers to earlier
/// attempts: the changes to blame for them are rejected. Once requests have taken much work or copied much, the rest is
/// left for another transaction and has no answer. A request that names documents or conflicts which the load left out
/// is left too, together with the rest. If it is the first, it is too large.
pub fn decide(
    model: &Model,
    now: Timestamp,
    requests: &[CommitRequest],
    refusals: &[Refusal],
    loaded: &Loaded,
) -> Writes {
    let mut world = World::new(model, now, loaded);
    let blamed = blame(requests, refusals);
    let (mut decided, mut spent, mut copied) = (Vec::new(), 0, 0);
    for (i, request) in requests.iter().enumerate() {
        if i > 0 && world.lacks(model, request) {
            break;
        }
        let work = Work::of_a_push();
        decided.push(match request {
            CommitRequest::Push(request) => {
                let blamed = |change| blamed.get(&(i, change));
                push(model, now, &mut world, request, &blamed, &work)
            }
            CommitRequest::Resolve(request) => {
                resolve(model, now, &mut world, request, refusals, &work)
            }
        });
        let user = &request.identity().user;
        spent += work.spent() + world.memberships_of(user) * SCOPE_STEPS;
        copied += work.copied();
        if spent >= WORK_MAX || copied >= MET_BYTES_MAX {
            break;
        }
    }
    let answers = requests
        .iter()
        .zip(decided)
        .map(|(request, decided)| decided.map(|decided| world.answer(request, decided)))
        .collect();
    world.into_writes(now, answers)
}

fn push<'r>(
    model: &'r Model,
    now: Timestamp,
    world: &mut World<'_>,
    request: &'r PushRequest,
    blamed: &'r dyn Fn(usize) -> Option<&'r Rejection>,
    work: &'r Work,
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
    work.copies(met_bytes(model, world, request)?);
    let may_be_undone = request.push.atomic || may_ask_or_give(model, &request.push);
    let before = may_be_undone.then(|| world.changed.clone());
    let mut run = Run {
        model,
        now,
        request,
        world,
        blamed,
        work,
        dropped: HashSet::new(),
        grants: None,
        steps_of_grants: 0,
        details_left: DETAILS_BYTES_MAX,
        questions: Vec::new(),
    };
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(request.push.changes.len());
    for (i, item) in request.push.changes.iter().enumerate() {
        verdicts.push(run.change(i, item));
        if run.steps_of_grants > WORK_MAX && i > 0 {
            world.undo(before.unwrap_or_default());
            return Err(PushRefusal::TooLarge { max: i });
        }
    }
    let questions = std::mem::take(&mut run.questions);
    if !questions.is_empty() {
        world.undo(before.unwrap_or_default());
        return Err(PushRefusal::Asks(questions));
    }
    let failed = request.push.atomic && verdicts.iter().any(Verdict::failed);
    if let Some(before) = before.filter(|_| failed) {
        if !breaks(Mutant::AtomicHalf) {
            world.undo(before);
        }
        abort(world, request, &mut verdicts);
    }
    let last = match admission {
        Admission::Numbered(first) => Some(world.remember(request, first, &verdicts, now)),
        _ => None,
    };
    Ok(Decided {
        verdicts,
        duplicate: false,
        last,
    })
}

/// Whether the push may ask the application, or write memberships.
fn may_ask_or_give(model: &Model, push: &Push) -> bool {
    let types = push.changes.iter().map(|item| item.type_name.as_str());
    let mut types = types.filter_map(|name| model.document_type(name));
    push.policy == Some(Policy::Webhook)
        || types.any(|ty| ty.conflict.policy == Policy::Webhook || ty.membership.is_some())
}

/// Leaves nothing of an atomic push to a person: it applies whole, or not at all. The failed changes keep their
/// outcomes, the others are rejected, and no outcome names a version that was undone.
fn abort(world: &World<'_>, request: &PushRequest, verdicts: &mut [Verdict]) {
    let grants = world.grants(&request.identity, &request.claim_grants);
    for (item, verdict) in request.push.changes.iter().zip(verdicts) {
        if !verdict.failed() {
            let message = "another change of this atomic push conflicted or was rejected";
            *verdict = Verdict::rejected(Rejection::new(RejectionCode::AtomicAborted, message));
        }
        verdict.inbox = None;
        let entry = key_of(item).and_then(|key| world.entry(key));
        let stands = entry
            .filter(|entry| grants.can_read(&entry.scope))
            .map(|entry| entry.version);
        if verdict.version != stands {
            verdict.version = stands;
            verdict.fields = None;
        }
    }
}

/// One push during the decision of its changes.
struct Run<'r, 'w, 'l> {
    model: &'r Model,
    now: Timestamp,
    request: &'r PushRequest,
    world: &'w mut World<'l>,
    /// Why the database refused a change, if it did.
    blamed: &'r dyn Fn(usize) -> Option<&'r Rejection>,
    /// The work that merges may still take.
    work: &'r Work,
    /// Documents whose create failed. Later changes that the client queued for them must not meet another document.
    dropped: HashSet<DocumentKey>,
    /// What the identity may do now; `None` after a membership of it changed.
    grants: Option<Arc<Grants>>,
    /// The steps that it has taken to find again what the identity may do.
    steps_of_grants: usize,
    /// The bytes of field details that are left.
    details_left: usize,
    /// The questions that the application has to answer before any part of the push applies.
    questions: Vec<Question>,
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
        if self.depends_on_dropped(change) {
            let version = self.visible_version(&change.key);
            return Verdict::of(Status::Conflict, version, None);
        }
        let mut verdict = self.decide(index, document_type, change);
        self.shorten(&mut verdict);
        if matches!(change.action, Action::Create { .. }) {
            if verdict.failed() {
                self.dropped.insert(change.key.clone());
            } else {
                self.dropped.remove(&change.key);
            }
        }
        verdict
    }

    fn shorten(&mut self, verdict: &mut Verdict) {
        let fields = verdict.fields.iter().flatten();
        let bytes: usize = fields.map(FieldOutcome::bytes).sum();
        match self.details_left.checked_sub(bytes) {
            Some(left) => self.details_left = left,
            None => verdict.fields = None,
        }
    }

    /// A change that cannot be read does not say whether it was a create. If the caller sees no document, a later
    /// change of its own unanswered create can only mean this one.
    fn drop_unreadable(&mut self, item: &Submission) {
        let Ok(id) = DocumentId::new(&item.id) else {
            return;
        };
        let key = DocumentKey {
            type_name: item.type_name.clone(),
            id,
        };
        if self.visible_version(&key).is_none() {
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

    fn decide(&mut self, index: usize, document_type: &DocumentType, change: &Change) -> Verdict {
        let met = self.world.met(&change.key);
        let mut decision = self.judge(index, document_type, met.as_deref(), change);
        let before = self.world.entry(&change.key);
        let imports = self.is_allowed(met.as_deref(), &decision) || breaks(Mutant::ImportsAnyway);
        if imports && self.world.take_over(&change.key) {
            self.forget_grants(before.as_deref(), met.as_deref());
            decision = self.judge(index, document_type, met.as_deref(), change);
        }
        let decision = match (decision, (self.blamed)(index)) {
            (Decision::Write { .. }, Some(rejection)) => Decision::Reject(rejection.clone()),
            (Decision::Ask(held), _) => {
                self.ask(index, document_type, met, held);
                return Verdict::of(Status::Conflict, None, None);
            }
            (decision, _) => decision,
        };
        let mutation = self.mutation(index);
        self.carry_out(mutation, met.as_deref(), change, decision)
            .unwrap_or_else(|rejection| Verdict {
                version: self.visible_version(&change.key),
                ..Verdict::rejected(rejection)
            })
    }

    /// Whether the change passes rules.md 4.6: in the scope that its document is in, and in the one it would enter.
    fn is_allowed(&mut self, met: Option<&Entry>, decision: &Decision) -> bool {
        let may_write = met.is_some_and(|met| self.grants().can_write(&met.scope));
        let is_forbidden = matches!(
            decision,
            Decision::Reject(rejection) if rejection.code == RejectionCode::Forbidden
        );
        may_write && !is_forbidden
    }

    fn mutation(&self, index: usize) -> Option<MutationId> {
        let first = self.request.push.client.as_ref()?.first?;
        last_id(first, index + 1)
    }

    fn judge(
        &mut self,
        index: usize,
        document_type: &DocumentType,
        met: Option<&Entry>,
        change: &Change,
    ) -> Decision {
        let request = self.request;
        let grants = self.grants();
        let client = request.push.client.as_ref();
        let context = Context {
            model: self.model,
            document_type,
            policy: request.policy(document_type),
            identity: &request.identity,
            grants: &grants,
            client: client.map(|client| &client.id),
            mutation: self.mutation(index),
            now: self.now,
            version_floor: self.world.loaded.version_floor,
            work: self.work,
        };
        match self.world.withheld(&change.key) {
            Some(problem) => Decision::Reject(decide::withheld(&context, met, change, problem)),
            None => advice::decide(&context, met, change, request.advice_on(index, met)),
        }
    }

    fn carry_out(
        &mut self,
        mutation: Option<MutationId>,
        met: Option<&Entry>,
        change: &Change,
        decision: Decision,
    ) -> Result<Verdict, Rejection> {
        let atomic = self.request.push.atomic;
        let version = met.map(|entry| entry.version);
        match decision {
            // It applies whole or not at all, so that nothing of it may wait in the inbox (rules.md 4.11).
            Decision::Write {
                held: Some(_),
                fields,
                ..
            }
            | Decision::Keep {
                held: Some(_),
                fields,
                ..
            } if atomic => Ok(Verdict::of(Status::Conflict, version, fields)),
            Decision::Write {
                status,
                entry: written,
                fields,
                held,
            } => {
                let bounds = self.request.claim_grants.bounds();
                self.world.check_given(bounds, &written, met)?;
                let inbox = self.hold(mutation, met, change, held)?;
                let version = Some(written.version);
                self.write(*written, met);
                Ok(Verdict {
                    inbox,
                    ..Verdict::of(status, version, fields)
                })
            }
            Decision::Keep {
                status,
                fields,
                held,
            } => Ok(Verdict {
                inbox: self.hold(mutation, met, change, held)?,
                ..Verdict::of(status, version, fields)
            }),
            Decision::Ask(_) => Ok(Verdict::of(Status::Conflict, version, None)),
            Decision::Reject(rejection) => Err(rejection),
        }
    }

    /// Keeps the part of a change that was held back, if any. Returns its conflict.
    fn hold(
        &mut self,
        mutation: Option<MutationId>,
        met: Option<&Entry>,
        change: &Change,
        held: Option<Held>,
    ) -> Result<Option<ConflictId>, Rejection> {
        let (Some(met), Some(held)) = (met, held) else {
            return Ok(None);
        };
        let holding = Holding {
            request: self.request,
            mutation,
            now: self.now,
            met,
            change,
            held,
        };
        self.world.hold(holding).map(Some)
    }

    fn ask(
        &mut self,
        change: usize,
        document_type: &DocumentType,
        met: Option<Arc<Entry>>,
        held: Held,
    ) {
        if let (Some(webhook), Some(met)) = (&document_type.conflict.webhook, met) {
            self.questions.push(Question {
                change,
                webhook: webhook.clone(),
                met,
                held,
            });
        }
    }

    fn write(&mut self, written: Entry, before: Option<&Entry>) {
        self.forget_grants(before, Some(&written));
        self.world.write(written, before);
    }

    /// Drops the cached grants of the user, if one of the entries gives the user a membership. Other users' memberships
    /// cost nothing. Finding the grants again counts as work.
    fn forget_grants(&mut self, before: Option<&Entry>, after: Option<&Entry>) {
        let entries = before.into_iter().chain(after);
        let mut memberships = entries.filter_map(|entry| entry.membership.as_ref());
        let user = &self.request.identity.user;
        if memberships.any(|membership| membership.user == *user)
            && let Some(grants) = self.grants.take()
        {
            let steps = grants.scopes().len() * SCOPE_STEPS;
            self.work.spend(steps);
            self.steps_of_grants += steps;
        }
    }

    /// The version that the document has, if the caller may see it.
    fn visible_version(&mut self, key: &DocumentKey) -> Option<Version> {
        let entry = self.world.entry(key)?;
        self.grants()
            .can_read(&entry.scope)
            .then_some(entry.version)
    }

    fn grants(&mut self) -> Arc<Grants> {
        let (request, world) = (self.request, &self.world);
        let found = || world.grants(&request.identity, &request.claim_grants);
        Arc::clone(self.grants.get_or_insert_with(found))
    }
}
