//! The pushes and resolutions of one transaction, decided in order over what was loaded.
//!
//! Rules.md sections 4.2 to 4.6: which pushes are repeats, what each change may do over the earlier ones, and what the
//! clients get once all are decided.

use std::{collections::HashSet, sync::Arc};

use super::{
    CommitRequest, Push, PushHash, PushRefusal,
    admit::{Admission, CURRENT_BYTES_MAX, admit, check_policy, current_bytes, last_id},
    attribution::blame,
    conflicts::ConflictDraft,
    overlay::{Duplicates, Savepoint, TransactionOverlay, key_of, other_model},
    resolve::resolve,
    results::{ChangeResult, PushResult},
    webhook::{self, WebhookDecision, WebhookQuestion},
};
use crate::{
    change::{Action, BaseVersion, Change, Rejection, RejectionCode, Submission},
    decide::{self, Decision, DecisionContext, WORK_MAX, Work},
    entry::Entry,
    grant::{Grants, Identity},
    id::{ApiHash, ClientKey, ConflictId, DocumentId, DocumentKey, MutationId, Version},
    inbox::PendingConflict,
    model::{DocumentType, Model, Policy},
    mutant::{Mutant, is_active},
    outcome::{FieldOutcome, Status},
    transaction::{DatabaseRefusal, Loaded, Writes},
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
    pub webhook_decisions: Vec<WebhookDecision>,
    /// The most clients of one user whose last push is remembered.
    pub clients_max: usize,
    /// The API that the sender's app was made for, if it says so.
    pub api: Option<ApiHash>,
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
/// left for another transaction and has no answer. A request whose documents, conflicts or client the load left out is
/// left too, together with the rest. If it is the first, it is too large. The client of the first one is always loaded.
pub fn decide(
    model: &Model,
    now: Timestamp,
    requests: &[CommitRequest],
    refusals: &[DatabaseRefusal],
    loaded: &Loaded,
) -> Writes {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    overlay.meet_duplicates(now, Duplicates::OfWhatIsStored);
    let blamed = blame(requests, refusals);
    let (mut decided, mut spent, mut copied) = (Vec::new(), 0, 0);
    for (i, request) in requests.iter().enumerate() {
        if i > 0 && overlay.lacks(model, request) {
            break;
        }
        let work = Work::of_a_push();
        decided.push(match request {
            CommitRequest::Push(request) => {
                let blamed = |change| blamed.get(&(i, change));
                push(model, now, &mut overlay, request, &blamed, &work)
            }
            CommitRequest::Resolve(request) => {
                resolve(model, now, &mut overlay, request, refusals, &work)
            }
        });
        let user = &request.identity().user;
        spent += work.spent() + overlay.memberships_of(user) * SCOPE_STEPS;
        copied += work.copied();
        if spent >= WORK_MAX || copied >= CURRENT_BYTES_MAX {
            break;
        }
    }
    let answers = requests
        .iter()
        .zip(decided)
        .map(|(request, decided)| decided.map(|decided| overlay.answer(request, decided)))
        .collect();
    overlay.into_writes(now, answers)
}

fn push<'r>(
    model: &'r Model,
    now: Timestamp,
    overlay: &mut TransactionOverlay<'_>,
    request: &'r PushRequest,
    blamed: &'r dyn Fn(usize) -> Option<&'r Rejection>,
    work: &'r Work,
) -> Result<PushResult, PushRefusal> {
    let admission = admit(model, overlay, request)?;
    if let Admission::Repeat(verdicts, last) = admission {
        return Ok(PushResult {
            verdicts,
            duplicate: true,
            last: Some(last),
        });
    }
    check_policy(model, &request.push)?;
    let types = request.push.changes.iter().map(|item| &item.type_name);
    overlay.refuse_other_shapes(model, types)?;
    overlay.refuse_held(model, request.push.changes.iter().filter_map(key_of))?;
    work.copies(current_bytes(model, overlay, request)?);
    let may_be_undone = request.push.atomic || may_ask_or_give(model, &request.push);
    let before = (may_be_undone || !overlay.leads()).then(|| overlay.savepoint());
    let mut run = PushDecider {
        model,
        now,
        request,
        overlay,
        blamed,
        work,
        dropped: HashSet::new(),
        grants: None,
        steps_of_grants: 0,
        details_left: DETAILS_BYTES_MAX,
        questions: Vec::new(),
        unreadable: None,
    };
    let mut verdicts: Vec<ChangeResult> = Vec::with_capacity(request.push.changes.len());
    for (i, item) in request.push.changes.iter().enumerate() {
        verdicts.push(run.change(i, item));
        if run.steps_of_grants > WORK_MAX && i > 0 {
            undo(overlay, before);
            return Err(PushRefusal::TooLarge { max: i });
        }
    }
    let (questions, unreadable) = (std::mem::take(&mut run.questions), run.unreadable.take());
    if !questions.is_empty() {
        undo(overlay, before);
        return Err(PushRefusal::NeedsWebhook(questions));
    }
    let failed = request.push.atomic && verdicts.iter().any(ChangeResult::failed);
    let refused = before.as_ref().filter(|_| !overlay.may_import_alone());
    let refused = refused.and_then(|before| match failed {
        true => overlay.taken_over_since(before),
        false => overlay.imported_alone(before),
    });
    if let Some(key) = unreadable.or(refused.cloned()) {
        undo(overlay, before);
        return Err(other_model(model, &key.type_name));
    }
    if let Some(before) = before.filter(|_| failed) {
        if !is_active(Mutant::AtomicHalf) {
            overlay.undo(before);
        }
        abort(overlay, request, &mut verdicts);
    }
    let last = match admission {
        Admission::Numbered(first) => Some(overlay.remember(request, first, &verdicts, now)),
        _ => None,
    };
    Ok(PushResult {
        verdicts,
        duplicate: false,
        last,
    })
}

fn undo<'l>(overlay: &mut TransactionOverlay<'l>, before: Option<Savepoint<'l>>) {
    if let Some(before) = before {
        overlay.undo(before);
    }
}

/// Whether the push may ask the application, or write memberships.
fn may_ask_or_give(model: &Model, push: &Push) -> bool {
    let types = push.changes.iter().map(|item| &item.type_name);
    let mut types = types.filter_map(|name| model.stored_type(name));
    push.policy == Some(Policy::Webhook)
        || types.any(|ty| ty.conflict.policy == Policy::Webhook || ty.membership.is_some())
}

/// Leaves nothing of an atomic push to a person: it applies whole, or not at all. The failed changes keep their
/// outcomes, the others are rejected, and no outcome names a version that was undone.
fn abort(overlay: &TransactionOverlay<'_>, request: &PushRequest, verdicts: &mut [ChangeResult]) {
    let grants = overlay.grants(&request.identity, &request.claim_grants);
    for (item, change_result) in request.push.changes.iter().zip(verdicts) {
        if !change_result.failed() {
            let message = "another change of this atomic push conflicted or was rejected";
            *change_result =
                ChangeResult::rejected(Rejection::new(RejectionCode::AtomicAborted, message));
        }
        change_result.inbox = None;
        let entry = key_of(item).and_then(|key| overlay.entry(key));
        let stands = entry
            .filter(|entry| grants.can_read(&entry.scope))
            .map(|entry| entry.version);
        if change_result.version != stands {
            change_result.version = stands;
            change_result.fields = None;
        }
    }
}

/// One push during the decision of its changes.
struct PushDecider<'r, 'w, 'l> {
    model: &'r Model,
    now: Timestamp,
    request: &'r PushRequest,
    overlay: &'w mut TransactionOverlay<'l>,
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
    questions: Vec<WebhookQuestion>,
    /// A document that another model leads about and this one cannot read, and that the caller may write.
    unreadable: Option<DocumentKey>,
}

impl PushDecider<'_, '_, '_> {
    fn change(&mut self, index: usize, item: &Submission) -> ChangeResult {
        let change = match &item.change {
            Ok(change) => change,
            Err(rejection) => {
                self.drop_unreadable(item);
                return ChangeResult::rejected(rejection.clone());
            }
        };
        let Some(document_type) = self.model.stored_type(&change.key.type_name) else {
            let message = "the model has no such type";
            return ChangeResult::rejected(Rejection::new(RejectionCode::InvalidValue, message));
        };
        if self.depends_on_dropped(change) {
            let version = self.visible_version(&change.key);
            return ChangeResult::of(Status::Conflict, version, None);
        }
        let mut change_result = self.decide(index, document_type, change);
        self.limit_details(&mut change_result);
        if matches!(change.action, Action::Create { .. }) {
            if change_result.failed() {
                self.dropped.insert(change.key.clone());
            } else {
                self.dropped.remove(&change.key);
            }
        }
        change_result
    }

    fn limit_details(&mut self, change_result: &mut ChangeResult) {
        let fields = change_result.fields.iter().flatten();
        let bytes: usize = fields.map(FieldOutcome::bytes).sum();
        match self.details_left.checked_sub(bytes) {
            Some(left) => self.details_left = left,
            None => change_result.fields = None,
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

    fn decide(
        &mut self,
        index: usize,
        document_type: &DocumentType,
        change: &Change,
    ) -> ChangeResult {
        let current = self.overlay.current(&change.key);
        let mut decision = self.judge(index, document_type, current.as_deref(), change);
        let before = self.overlay.entry(&change.key);
        let imports = self.is_allowed(document_type, current.as_deref(), &decision)
            || is_active(Mutant::ImportsAnyway);
        if imports && self.overlay.take_over(&change.key) {
            self.forget_grants(before.as_deref(), current.as_deref());
            decision = self.judge(index, document_type, current.as_deref(), change);
        }
        let decision = match (decision, (self.blamed)(index)) {
            (Decision::Write { .. }, Some(rejection)) => Decision::Reject(rejection.clone()),
            (Decision::NeedsWebhook(pending), _) => {
                self.ask(index, document_type, current, pending);
                return ChangeResult::of(Status::Conflict, None, None);
            }
            (decision, _) => decision,
        };
        let mutation = self.mutation(index);
        self.apply_decision(mutation, current.as_deref(), change, decision)
            .unwrap_or_else(|rejection| ChangeResult {
                version: self.visible_version(&change.key),
                ..ChangeResult::rejected(rejection)
            })
    }

    /// Whether the change passes rules.md 4.6 and 4.14: in the scope that its document is in, and in the one it would enter.
    fn is_allowed(
        &mut self,
        document_type: &DocumentType,
        current: Option<&Entry>,
        decision: &Decision,
    ) -> bool {
        let changing = document_type.rights.changing();
        let may_write = current.is_some_and(|current| {
            let grants = self.grants();
            grants.can_read(&current.scope) && grants.may_some(&current.scope, changing)
        });
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
        current: Option<&Entry>,
        change: &Change,
    ) -> Decision {
        let request = self.request;
        let grants = self.grants();
        let client = request.push.client.as_ref();
        let context = DecisionContext {
            model: self.model,
            document_type,
            policy: request.policy(document_type),
            identity: &request.identity,
            grants: &grants,
            client: client.map(|client| &client.id),
            mutation: self.mutation(index),
            now: self.now,
            last_at: current.map(|entry| entry.at),
            version_floor: self.overlay.loaded.version_floor,
            work: self.work,
        };
        match self.overlay.withheld(&change.key) {
            Some(withheld) => {
                let rejection = decide::withheld(&context, withheld, change);
                let may_write = rejection.code == RejectionCode::InvalidValue;
                if may_write && !self.overlay.may_import_alone() {
                    self.unreadable = Some(change.key.clone());
                }
                Decision::Reject(rejection)
            }
            None => webhook::decide(&context, current, change, request.advice_on(index, current)),
        }
    }

    fn apply_decision(
        &mut self,
        mutation: Option<MutationId>,
        current: Option<&Entry>,
        change: &Change,
        decision: Decision,
    ) -> Result<ChangeResult, Rejection> {
        let atomic = self.request.push.atomic;
        let version = current.map(|entry| entry.version);
        match decision {
            // It applies whole or not at all, so that nothing of it may wait in the inbox (rules.md 4.11).
            Decision::Write {
                pending: Some(_),
                fields,
                ..
            }
            | Decision::Keep {
                pending: Some(_),
                fields,
                ..
            } if atomic => Ok(ChangeResult::of(Status::Conflict, version, fields)),
            Decision::Write {
                status,
                entry: written,
                fields,
                pending,
            } => {
                let bounds = self.request.claim_grants.bounds();
                self.overlay.check_given(bounds, &written, current)?;
                self.overlay.check_unique(&written)?;
                let inbox = self.open_conflict(mutation, current, change, pending)?;
                let version = Some(written.version);
                self.write(*written, current);
                Ok(ChangeResult {
                    inbox,
                    ..ChangeResult::of(status, version, fields)
                })
            }
            Decision::Keep {
                status,
                fields,
                pending,
            } => Ok(ChangeResult {
                inbox: self.open_conflict(mutation, current, change, pending)?,
                ..ChangeResult::of(status, version, fields)
            }),
            Decision::NeedsWebhook(_) => Ok(ChangeResult::of(Status::Conflict, version, None)),
            Decision::Reject(rejection) => Err(rejection),
        }
    }

    /// Keeps the part of a change that was left pending, if any. Returns its conflict.
    fn open_conflict(
        &mut self,
        mutation: Option<MutationId>,
        current: Option<&Entry>,
        change: &Change,
        pending: Option<PendingConflict>,
    ) -> Result<Option<ConflictId>, Rejection> {
        let (Some(current), Some(pending)) = (current, pending) else {
            return Ok(None);
        };
        let draft = ConflictDraft {
            request: self.request,
            mutation,
            now: self.now,
            current,
            change,
            pending,
        };
        self.overlay.open_conflict(draft).map(Some)
    }

    fn ask(
        &mut self,
        change: usize,
        document_type: &DocumentType,
        current: Option<Arc<Entry>>,
        pending: PendingConflict,
    ) {
        if let (Some(webhook), Some(current)) = (&document_type.conflict.webhook, current) {
            self.questions.push(WebhookQuestion {
                change,
                webhook: webhook.clone(),
                current,
                pending,
            });
        }
    }

    fn write(&mut self, written: Entry, before: Option<&Entry>) {
        self.forget_grants(before, Some(&written));
        self.overlay.write(written, before);
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
        let entry = self.overlay.entry(key)?;
        self.grants()
            .can_read(&entry.scope)
            .then_some(entry.version)
    }

    fn grants(&mut self) -> Arc<Grants> {
        let (request, overlay) = (self.request, &self.overlay);
        let found = || overlay.grants(&request.identity, &request.claim_grants);
        Arc::clone(self.grants.get_or_insert_with(found))
    }
}
