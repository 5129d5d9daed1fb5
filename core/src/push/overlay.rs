//! What a transaction loaded, and what its pushes have changed so far.

mod foreign;
mod other_model;
mod unique;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

pub(super) use self::{
    other_model::{Savepoint, other_model},
    unique::Duplicates,
};
use super::{
    ClientState, CommitRequest, Outcome, PushAnswer, PushOutcome, PushRequest,
    admit::last_id,
    results::{ChangeResult, PushResult},
};
use crate::{
    change::{Rejection, RejectionCode, Submission},
    entry::{Entry, Marker, Membership},
    grant::{Grants, Identity},
    id::{ClientKey, ConflictId, DocumentKey, MutationId, Scope, TypeName, UserId},
    import::Withheld,
    inbox::{InboxRecord, OpenConflict, PendingUsage, ResolvedConflict, UserAndDocument},
    membership::{self, Bounds, GIVEN_MAX, GiverAndUser, Memberships, UserChange},
    model::Model,
    mutant::{Mutant, is_active},
    transaction::{Loaded, Writes},
    unique::UniqueKey,
    value::Timestamp,
};

/// What was loaded, and what the pushes have changed so far.
pub(super) struct TransactionOverlay<'l> {
    model: &'l Model,
    pub(super) loaded: &'l Loaded,
    pub(super) changed: OverlayChanges,
    /// The loaded entries that the model reads otherwise than they are stored.
    fitted: BTreeMap<&'l DocumentKey, Arc<Entry>>,
    clients: BTreeMap<ClientKey, ClientState>,
    /// The entries that others' writes make. Changes meet them. One is written once it is taken over.
    imports: BTreeMap<&'l DocumentKey, Arc<Entry>>,
    taken_over: BTreeSet<&'l DocumentKey>,
    /// Documents that another service has made unfit for the model, and the reasons.
    withheld: BTreeMap<&'l DocumentKey, Withheld>,
    /// Of them, those that are withheld because another document has the value.
    duplicates: BTreeMap<&'l DocumentKey, UniqueKey>,
    /// The unique values to which others' writes come that are not withheld. They come before every change.
    claimed: BTreeMap<UniqueKey, &'l DocumentKey>,
    /// The pairs of giver and user whose documents have not been counted.
    uncounted: BTreeSet<GiverAndUser>,
    /// The unique values of which it was not looked up who has them.
    unheld: BTreeSet<UniqueKey>,
}

/// The part that an atomic push may have to undo.
#[derive(Debug, Clone, Default)]
pub(super) struct OverlayChanges {
    entries: BTreeMap<DocumentKey, Arc<Entry>>,
    /// The changed memberships of users of this transaction.
    memberships: HashMap<UserId, Arc<Memberships>>,
    /// How many more or fewer documents givers give than were counted.
    given: BTreeMap<GiverAndUser, isize>,
    inbox: BTreeMap<ConflictId, InboxRecord>,
    /// Who has the unique values that entries came to or left; `None` if nobody has.
    holders: BTreeMap<UniqueKey, Option<DocumentKey>>,
    /// How much of a share waits, if that changed.
    waiting: HashMap<UserAndDocument, PendingUsage>,
}

impl<'l> TransactionOverlay<'l> {
    /// The state as loaded, with others' writes, which came before every push.
    pub(super) fn new(model: &'l Model, now: Timestamp, loaded: &'l Loaded) -> Self {
        let mut overlay = Self {
            model,
            loaded,
            changed: OverlayChanges::default(),
            fitted: BTreeMap::new(),
            clients: BTreeMap::new(),
            imports: BTreeMap::new(),
            taken_over: BTreeSet::new(),
            withheld: BTreeMap::new(),
            duplicates: BTreeMap::new(),
            claimed: BTreeMap::new(),
            uncounted: BTreeSet::new(),
            unheld: BTreeSet::new(),
        };
        overlay.read_entries(model);
        overlay.meet_foreign_writes(model, now);
        overlay.meet_model(model, now);
        overlay.mark_items();
        overlay
    }

    /// Whether the load left out a document or a conflict that the request names, or its client.
    pub(super) fn lacks(&self, model: &Model, request: &CommitRequest) -> bool {
        let lacks_conflict = || {
            let mut conflicts = request.conflicts(model).into_iter();
            conflicts.any(|id| self.is_conflict_left_out(&id))
        };
        let client = request.as_push().and_then(PushRequest::client_key);
        client.is_some_and(|key| self.is_client_left_out(&key))
            || request.keys().any(|key| self.is_left_out(key))
            || (!self.loaded.conflicts_left_out.is_empty() && lacks_conflict())
    }

    /// The first change of the push whose conflict was left out, if there is one.
    pub(super) fn first_without_conflict(
        &self,
        model: &Model,
        request: &PushRequest,
    ) -> Option<usize> {
        if self.loaded.conflicts_left_out.is_empty() {
            return None;
        }
        let mut repeated = request.repeated(model);
        let first = repeated.find(|(_, id)| self.is_conflict_left_out(id));
        first.map(|(index, _)| index)
    }

    pub(super) fn is_left_out(&self, key: &DocumentKey) -> bool {
        self.loaded.left_out.contains(key) && !is_active(Mutant::LeftOutIsAbsent)
    }

    fn is_client_left_out(&self, key: &ClientKey) -> bool {
        self.loaded.clients_left_out.contains(key) && !is_active(Mutant::LeftOutIsAbsent)
    }

    fn is_conflict_left_out(&self, id: &ConflictId) -> bool {
        self.loaded.conflicts_left_out.contains(id) && !is_active(Mutant::LeftOutIsAbsent)
    }

    /// The document as a change meets it, with others' writes.
    pub(super) fn current(&self, key: &DocumentKey) -> Option<Arc<Entry>> {
        let changed = self.changed.entries.get(key);
        let current = changed.or_else(|| self.imports.get(key));
        current.or_else(|| self.stored(key)).cloned()
    }

    /// The document as the transaction leaves it so far. A version that is not written is never shown.
    pub(super) fn entry(&self, key: &DocumentKey) -> Option<Arc<Entry>> {
        let changed = self.changed.entries.get(key);
        changed.or_else(|| self.stored(key)).cloned()
    }

    /// The document as it was stored, by the model.
    fn stored(&self, key: &DocumentKey) -> Option<&Arc<Entry>> {
        let fitted = self.fitted.get(key);
        fitted.or_else(|| self.loaded.entries.get(key))
    }

    pub(super) fn client(&self, key: &ClientKey) -> Option<&ClientState> {
        self.clients
            .get(key)
            .or_else(|| self.loaded.clients.get(key))
    }

    /// The number of a user's clients whose last push is remembered.
    pub(super) fn clients_of(&self, user: &UserId) -> usize {
        let is_new = |key: &&ClientKey| {
            let before = self.loaded.clients.get(key);
            key.user == *user && before.is_none_or(|before| before.at.is_none())
        };
        let before = self.loaded.clients_of.get(user).copied();
        before.unwrap_or_default() + self.clients.keys().filter(is_new).count()
    }

    fn memberships(&self, user: &UserId) -> Option<&Arc<Memberships>> {
        self.changed
            .memberships
            .get(user)
            .or_else(|| self.loaded.memberships.get(user))
    }

    /// How many memberships the user has.
    pub(super) fn memberships_of(&self, user: &UserId) -> usize {
        self.memberships(user)
            .map_or(0, |memberships| memberships.rows.len())
    }

    /// The grants of claims alone are shared, not copied: there may be thousands of scopes.
    pub(super) fn grants(&self, identity: &Identity, claimed: &Arc<Grants>) -> Arc<Grants> {
        let memberships = self.memberships(&identity.user);
        match memberships.filter(|memberships| !memberships.rows.is_empty()) {
            None => Arc::clone(claimed),
            Some(memberships) => Arc::new(Grants::clone(claimed).with(memberships)),
        }
    }

    /// Refuses a membership beyond what one giver may give one user. A count that is missing is noted and taken for
    /// zero: the store then decides again.
    pub(super) fn check_given(
        &mut self,
        bounds: &Bounds,
        entry: &Entry,
        before: Option<&Entry>,
    ) -> Result<(), Rejection> {
        let ended = before.and_then(|before| before.membership.as_ref());
        let begun = membership::signed(entry, ended);
        let Some(begun) = begun.as_ref().and_then(GiverAndUser::of) else {
            return Ok(());
        };
        let is_counted = ended.and_then(GiverAndUser::of).as_ref() == Some(&begun);
        if is_counted || bounds.services.contains(&begun.giver) {
            return Ok(());
        }
        let Some(counted) = self.loaded.given.get(&begun) else {
            self.uncounted.insert(begun);
            return Ok(());
        };
        let more = self.changed.given.get(&begun).copied().unwrap_or(0);
        if counted.saturating_add_signed(more) < GIVEN_MAX {
            return Ok(());
        }
        let message = format!(
            "you give this user {GIVEN_MAX} memberships already, and nobody gives one user more; end some first"
        );
        Err(Rejection::new(RejectionCode::MembershipsFull, message))
    }

    pub(super) fn write(&mut self, mut entry: Entry, before: Option<&Entry>) {
        let ended = before.and_then(|before| before.membership.as_ref());
        entry.membership = membership::signed(&entry, ended);
        self.put(entry, before);
    }

    /// Writes an entry whose membership already names its giver.
    pub(super) fn put(&mut self, entry: Entry, before: Option<&Entry>) {
        let ended = before.and_then(|before| before.membership.as_ref());
        if let Some(ended) = ended {
            self.user_memberships(&ended.user).rows.remove(&entry.key);
            self.count(ended, -1);
        }
        if let Some(begun) = &entry.membership {
            self.user_memberships(&begun.user)
                .insert(entry.key.clone(), begun.clone());
            self.count(begun, 1);
        }
        self.hold(&entry);
        self.changed
            .entries
            .insert(entry.key.clone(), Arc::new(entry));
    }

    fn count(&mut self, membership: &Membership, more: isize) {
        if let Some(giving) = GiverAndUser::of(membership) {
            *self.changed.given.entry(giving).or_default() += more;
        }
    }

    fn user_memberships(&mut self, user: &UserId) -> &mut Memberships {
        let loaded = &self.loaded.memberships;
        let memberships = self.changed.memberships.entry(user.clone());
        Arc::make_mut(memberships.or_insert_with(|| loaded.get(user).cloned().unwrap_or_default()))
    }

    /// The inbox's record of a conflict, if it was loaded or decided.
    pub(super) fn record(&self, id: &ConflictId) -> Option<&InboxRecord> {
        self.changed
            .inbox
            .get(id)
            .or_else(|| self.loaded.inbox.get(id))
    }

    /// Keeps a conflict, unless too much of its document and user waits already.
    pub(super) fn open(&mut self, open: OpenConflict) -> Result<(), Rejection> {
        let (changed, loaded, share) = (&mut self.changed, self.loaded, open.share());
        let waits = changed.waiting.get(&share);
        let waits = waits.or_else(|| loaded.waiting.get(&share)).copied();
        let next = waits.unwrap_or_default().with(&open).ok_or_else(|| {
            let message = "so many of your changes to the document wait in the inbox that it keeps no more; resolve some first";
            Rejection::new(RejectionCode::InboxFull, message)
        })?;
        changed.waiting.insert(share, next);
        self.put_record(InboxRecord::Open(Arc::new(open)));
        Ok(())
    }

    /// Settles an open conflict. It leaves its place to the next one.
    pub(super) fn settle(&mut self, open: &OpenConflict, settlement: ResolvedConflict) {
        let share = open.share();
        let waits = self.changed.waiting.get(&share);
        let waits = waits.or_else(|| self.loaded.waiting.get(&share));
        if let Some(waits) = waits.copied() {
            self.changed.waiting.insert(share, waits.without(open));
        }
        self.put_record(InboxRecord::Resolved(Arc::new(settlement)));
    }

    fn put_record(&mut self, record: InboxRecord) {
        self.changed.inbox.insert(record.id().clone(), record);
    }

    /// Remembers the push and returns the last id it consumed.
    pub(super) fn remember(
        &mut self,
        request: &PushRequest,
        first: MutationId,
        verdicts: &[ChangeResult],
        now: Timestamp,
    ) -> MutationId {
        let last = last_id(first, verdicts.len()).unwrap_or(first);
        if let Some(key) = request.client_key() {
            let outcomes = verdicts.iter().map(ChangeResult::remembered).collect();
            self.clients.insert(
                key,
                ClientState {
                    last,
                    first,
                    hash: request.hash,
                    outcomes,
                    at: Some(now),
                    api: request.api,
                },
            );
        }
        last
    }

    /// Attaches the documents: what the transaction leaves, readable under the grants it leaves (rules.md 4.3).
    pub(super) fn answer(&self, request: &CommitRequest, decided: PushResult) -> PushOutcome {
        let grants = self.grants(request.identity(), request.claim_grants());
        let outcomes = match request {
            CommitRequest::Push(request) => {
                let numbered = request.push.client.as_ref().and_then(|client| client.first);
                let items = request.push.changes.iter().zip(decided.verdicts);
                let outcomes = items.enumerate().map(|(i, (item, change_result))| Outcome {
                    mutation: numbered.and_then(|first| last_id(first, i + 1)),
                    ..self.outcome(
                        &item.type_name,
                        &item.id,
                        key_of(item),
                        &grants,
                        change_result,
                    )
                });
                outcomes.collect()
            }
            CommitRequest::Resolve(request) => {
                let key = &request.key;
                let outcome = |change_result| {
                    self.outcome(
                        &key.type_name,
                        key.id.as_str(),
                        Some(key),
                        &grants,
                        change_result,
                    )
                };
                decided.verdicts.into_iter().map(outcome).collect()
            }
        };
        PushOutcome {
            outcomes,
            duplicate: decided.duplicate,
            last_mutation_id: decided.last,
        }
    }

    fn outcome(
        &self,
        type_name: &TypeName,
        id: &str,
        key: Option<&DocumentKey>,
        grants: &Grants,
        change_result: ChangeResult,
    ) -> Outcome {
        let entry = key.and_then(|key| self.entry(key));
        let document = entry.filter(|entry| {
            !entry.is_deleted()
                && shows(grants, &entry.scope)
                && self.model.is_in_use(&entry.key.type_name)
        });
        Outcome {
            type_name: type_name.clone(),
            id: id.to_owned(),
            mutation: None,
            status: change_result.status,
            version: change_result.version,
            conflict: change_result.fields.filter(|_| document.is_some()),
            document,
            error: change_result.error,
            inbox: change_result.inbox,
        }
    }

    /// What has to be written: each changed entry once, a marker where it left a scope.
    pub(super) fn into_writes(self, now: Timestamp, answers: Vec<PushAnswer>) -> Writes {
        let loaded = self.loaded;
        let imports_alone = self.imports_alone();
        let (vacating, freed) = (self.vacating(), self.freed());
        let records = self.changed.inbox.values();
        let inbox = records
            .map(|record| self.with_final_scope(record))
            .collect();
        let mut writes = Writes {
            clients: self.clients.into_iter().collect(),
            vacating,
            freed,
            unheld: self.unheld,
            uncounted: self.uncounted,
            imports_alone,
            answers,
            ..Writes::default()
        };
        for entry in self.changed.entries.into_values() {
            let before = loaded.entries.get(&entry.key);
            let before = before.and_then(|before| before.membership.as_ref());
            if before != entry.membership.as_ref() {
                let before = before.filter(|_| !is_active(Mutant::LoserUnstamped));
                let users = before.into_iter().chain(&entry.membership);
                let users = users.map(|membership| membership.user.clone());
                writes
                    .users
                    .extend(users.map(|user| (user, UserChange::default())));
            }
            let scope_before = loaded.entries.get(&entry.key).map(|before| &before.scope);
            if scope_before != Some(&entry.scope) {
                writes
                    .markers_removed
                    .push((entry.scope.clone(), entry.key.clone()));
            }
            let revived = loaded
                .entries
                .get(&entry.key)
                .is_some_and(|before| before.is_deleted());
            let unmarked = revived && is_active(Mutant::MarkerMissing);
            if let Some(left) = scope_before.filter(|left| **left != entry.scope && !unmarked) {
                writes.markers.push(Marker {
                    key: entry.key.clone(),
                    scope: left.clone(),
                    version: entry.version,
                    at: now,
                });
            }
            let before = loaded.entries.get(&entry.key);
            let entry = foreign::with_unfit_values(self.model, before, entry);
            writes.entries.push(entry);
        }
        writes.inbox = inbox;
        writes
    }
}

impl TransactionOverlay<'_> {
    /// A conflict belongs to the scope that its document is in at the end of the transaction.
    fn with_final_scope(&self, record: &InboxRecord) -> InboxRecord {
        match record {
            InboxRecord::Open(open) => {
                let mut open = OpenConflict::clone(open);
                if let Some(entry) = self.entry(&open.key) {
                    open.scope = entry.scope.clone();
                }
                InboxRecord::Open(Arc::new(open))
            }
            settled @ InboxRecord::Resolved(_) => settled.clone(),
        }
    }
}

fn shows(grants: &Grants, scope: &Scope) -> bool {
    grants.can_read(scope) || is_active(Mutant::OutcomeShowsAll)
}

/// The document of a change, if it could be read.
pub(super) fn key_of(item: &Submission) -> Option<&DocumentKey> {
    item.change.as_ref().ok().map(|change| &change.key)
}
