//! What of a push goes to the inbox: which changes may, under which id, and how much of one document (rules.md 4.11).
//!
//! [`crate::decide`] decides whether a change is left pending, and [`mod@super::resolve`] ends a conflict.

use super::{CommitRequest, PushRequest, overlay::TransactionOverlay};
use crate::{
    change::{Change, Rejection},
    entry::Entry,
    id::{ConflictId, Epoch, MutationId},
    inbox::{
        ConflictOrigin, InboxRecord, OpenConflict, PendingConflict, UserAndDocument, share_of,
    },
    model::{Model, Overlap, Policy},
    value::Timestamp,
};

impl CommitRequest {
    /// The conflicts that it resolves or may repeat.
    pub(super) fn conflicts(&self, model: &Model) -> Vec<ConflictId> {
        match self {
            Self::Push(request) => request.repeated(model).map(|(_, id)| id).collect(),
            Self::Resolve(request) => vec![request.conflict.clone()],
        }
    }
}

impl PushRequest {
    /// The shares of the inbox in which its conflicts would count.
    pub(super) fn shares(&self, model: &Model) -> impl Iterator<Item = UserAndDocument> {
        let changes = self.may_open_conflict(model);
        changes.map(|(_, change)| share_of(&change.key, &self.identity.user))
    }

    /// The conflicts that its changes may repeat, each with the index of its change. No change with a number is decided
    /// twice.
    pub(super) fn repeated(&self, model: &Model) -> impl Iterator<Item = (usize, ConflictId)> {
        let changes = self
            .may_open_conflict(model)
            .filter(|_| !self.is_numbered());
        changes.map(|(index, change)| (index, self.origin(None, change).id()))
    }

    fn is_numbered(&self) -> bool {
        let client = self.push.client.as_ref();
        client.is_some_and(|client| client.first.is_some())
    }

    /// The changes that may put something into the inbox, with their indexes.
    fn may_open_conflict(&self, model: &Model) -> impl Iterator<Item = (usize, &Change)> {
        let changes = self.push.changes.iter().enumerate();
        let changes = changes.filter_map(|(index, item)| Some((index, item.change.as_ref().ok()?)));
        changes.filter(|(_, change)| {
            let document_type = model.stored_type(&change.key.type_name);
            document_type.is_some_and(|ty| match self.policy(ty) {
                Policy::Manual => true,
                Policy::Merge | Policy::Webhook => ty.conflict.overlap == Overlap::Manual,
                Policy::ServerWins | Policy::ClientWins | Policy::LastWriteWins => false,
            })
        })
    }

    fn origin<'r>(
        &'r self,
        numbered: Option<(&'r Epoch, MutationId)>,
        change: &'r Change,
    ) -> ConflictOrigin<'r> {
        ConflictOrigin {
            user: &self.identity.user,
            client: self.push.client.as_ref().map(|client| &client.id),
            numbered,
            change,
        }
    }
}

/// The part of a change that is left pending, with its origin.
pub(super) struct ConflictDraft<'h> {
    pub(super) request: &'h PushRequest,
    pub(super) mutation: Option<MutationId>,
    pub(super) now: Timestamp,
    /// What the change met.
    pub(super) current: &'h Entry,
    pub(super) change: &'h Change,
    pub(super) pending: PendingConflict,
}

impl TransactionOverlay<'_> {
    /// Keeps it, unless it is kept already. Returns its conflict.
    pub(super) fn open_conflict(
        &mut self,
        draft: ConflictDraft<'_>,
    ) -> Result<ConflictId, Rejection> {
        let ConflictDraft {
            request,
            mutation,
            now,
            current,
            change,
            pending,
        } = draft;
        let numbered = mutation.map(|mutation| (&self.loaded.epoch, mutation));
        let id = request.origin(numbered, change).id();
        if self.is_open(&id, current, &pending) {
            return Ok(id);
        }
        let scopes = pending.enters.iter().chain([&current.scope]);
        self.open(OpenConflict {
            id: id.clone(),
            key: change.key.clone(),
            scope: current.scope.clone(),
            shown_in: scopes.cloned().collect(),
            opened_at: now,
            opened_by: request.identity.user.clone(),
            client: request.push.client.as_ref().map(|client| client.id.clone()),
            mutation,
            version: current.version,
            theirs: current.body.clone(),
            pending,
        })?;
        Ok(id)
    }

    /// Whether the same change was left pending before, and nothing relevant has changed since that conflict was settled.
    fn is_open(&self, id: &ConflictId, current: &Entry, pending: &PendingConflict) -> bool {
        match self.record(id) {
            None => false,
            Some(InboxRecord::Open(_)) => true,
            Some(InboxRecord::Resolved(settled)) => {
                settled.outcome.version >= Some(pending.changed_in(current))
            }
        }
    }
}
