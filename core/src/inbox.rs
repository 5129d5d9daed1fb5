//! The inbox: changes that a policy leaves to a person, kept until they are resolved.
//!
//! [`crate::decide`] decides what goes in, and [`crate::push`] how it is resolved. A store keeps it.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    change::Change,
    decide::{DOCUMENT_BYTES_MAX, field_version},
    entry::Entry,
    grant::{self, Grants},
    id::{ClientId, ConflictId, DocumentKey, Epoch, MutationId, Scope, UserId, Version},
    model::{Model, RoleSet},
    mutant::{Mutant, is_active},
    push::{RememberedOutcome, ResolutionHash},
    value::{Document, Timestamp, document_bytes, fit::fit},
};

/// The most pending conflicts of one document and user. All users together have no bound, because one user could use it
/// up for the next.
pub const PENDING_MAX: usize = 100;

/// The most bytes of the conflicts of one document and user together. Each keeps the document it met, so a thousand
/// edits of a few bytes would keep it a thousand times. The largest conflict has three sides and fits.
pub const PENDING_BYTES_MAX: usize = 4 * DOCUMENT_BYTES_MAX;

/// One user's part of the pending conflicts of one document.
pub type UserAndDocument = (DocumentKey, UserId);

/// The part of the inbox to which conflicts of this user and document count.
pub(crate) fn share_of(key: &DocumentKey, user: &UserId) -> UserAndDocument {
    if is_active(Mutant::InboxShared) {
        let everybody = UserId::new("everybody").expect("a short name");
        return (key.clone(), everybody);
    }
    (key.clone(), user.clone())
}

/// A change that waits for a person to resolve it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenConflict {
    /// Its identity.
    pub id: ConflictId,
    /// The document.
    pub key: DocumentKey,
    /// The scope of the document. A store updates it when the document moves.
    pub scope: Scope,
    /// The scopes whose contents it showed when it was opened.
    pub shown_in: BTreeSet<Scope>,
    /// When the gateway opened it.
    pub opened_at: Timestamp,
    /// The user who made the change.
    pub opened_by: UserId,
    /// The client that made it, if it named itself.
    pub client: Option<ClientId>,
    /// The change's mutation id, if it had one.
    pub mutation: Option<MutationId>,
    /// The version the change met.
    pub version: Version,
    /// What the change wanted, and what its client had seen.
    pub pending: PendingConflict,
    /// The document it met; `None` if that had been deleted.
    pub theirs: Option<Document>,
}

impl OpenConflict {
    /// Whether a user with these grants may resolve it, and so see it. If the model lacks its type or has retired it, no
    /// user may.
    pub fn is_open_to(&self, model: &Model, grants: &Grants) -> bool {
        model.is_in_use(&self.key.type_name)
            && self.is_settled_by(model, grants)
            && self.shows_only_readable(model, grants)
    }

    /// Whether the user may update or delete the document. Its owner is the one that the document names which the change met,
    /// or if that had been deleted, the change.
    fn is_settled_by(&self, model: &Model, grants: &Grants) -> bool {
        let document_type = model.stored_type(&self.key.type_name);
        let Some((rights, user)) = document_type.map(|it| &it.rights).zip(grants.user()) else {
            return false;
        };
        let held = grants.roles(&self.scope);
        let document = self
            .theirs
            .as_ref()
            .or_else(|| self.pending.mine.document());
        let owns = document.is_some_and(|it| rights.owns(user, &self.key.id, it));
        let resolving = rights.resolving();
        grants.can_read(&self.scope)
            && (held.meets(resolving) || owns && resolving.meets(RoleSet::OWNER))
    }

    /// Whether the user may read the document that the change met, and that document with the change, where the model puts
    /// them. It may be a later model than the one under which the conflict was opened. What makes no scope by itself is
    /// where it was then.
    fn shows_only_readable(&self, model: &Model, grants: &Grants) -> bool {
        let Some(document_type) = model.stored_type(&self.key.type_name) else {
            return false;
        };
        let scope_of = |document: &Document| {
            let fitted = fit(model, &document_type.fields, document);
            let fitted = fitted.ok().flatten();
            let document = fitted.as_ref().unwrap_or(document);
            grant::scope_of(document_type, &self.key.id, document).ok()
        };
        let theirs_readable = self.theirs.as_ref().is_none_or(|theirs| {
            let scope = scope_of(theirs);
            scope.is_some_and(|scope| grants.can_read(&scope))
        });
        let wanted_readable = self.pending.mine.document().is_none_or(|mine| {
            let mut wanted = self.theirs.clone().unwrap_or_default();
            wanted.extend(mine.clone());
            match scope_of(&wanted) {
                Some(scope) => grants.can_read(&scope),
                None => self.shown_in.iter().all(|scope| grants.can_read(scope)),
            }
        });
        theirs_readable && wanted_readable
    }

    /// The part of the inbox to which it counts.
    pub fn share(&self) -> UserAndDocument {
        share_of(&self.key, &self.opened_by)
    }

    /// About how many bytes a store needs for it.
    pub fn bytes(&self) -> usize {
        let sides = [
            self.pending.mine.document(),
            self.pending.base.as_ref(),
            self.theirs.as_ref(),
        ];
        sides.into_iter().flatten().map(document_bytes).sum()
    }
}

/// How much of a share waits in the inbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingUsage {
    /// Open conflicts.
    pub conflicts: usize,
    /// Their bytes, as [`OpenConflict::bytes`] counts them.
    pub bytes: usize,
}

impl PendingUsage {
    /// With one more conflict; `None` if it does not fit.
    pub(crate) fn with(self, open: &OpenConflict) -> Option<Self> {
        let next = Self {
            conflicts: self.conflicts + 1,
            bytes: self.bytes.saturating_add(open.bytes()),
        };
        let fits = next.conflicts <= PENDING_MAX && next.bytes <= PENDING_BYTES_MAX;
        (fits || is_active(Mutant::InboxUnbounded)).then_some(next)
    }

    /// Without one of the conflicts.
    pub(crate) fn without(self, open: &OpenConflict) -> Self {
        Self {
            conflicts: self.conflicts.saturating_sub(1),
            bytes: self.bytes.saturating_sub(open.bytes()),
        }
    }
}

/// The part of a change that is left pending.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingConflict {
    /// The stored names of the fields in question, none for a delete.
    pub fields: Vec<String>,
    /// What the client saw in them, if it said so.
    pub base: Option<Document>,
    /// What the client wanted.
    pub mine: ClientChange,
    /// The scope the document would be in, if that is known.
    pub enters: Option<Scope>,
}

impl PendingConflict {
    /// The version that last changed the fields in question, or the document if the fields are unknown or gone.
    pub(crate) fn changed_in(&self, entry: &Entry) -> Version {
        let fields = self.fields.iter().map(|field| field_version(entry, field));
        let whole = entry.is_deleted() || self.fields.is_empty();
        fields.max().filter(|_| !whole).unwrap_or(entry.version)
    }
}

/// What a client wanted to do with a document.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientChange {
    /// To create it, whole.
    Created(Document),
    /// To write these fields.
    Changed(Document),
    /// To delete it.
    Deleted,
}

impl ClientChange {
    /// The fields with the client's values.
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Created(document) | Self::Changed(document) => Some(document),
            Self::Deleted => None,
        }
    }
}

/// What is kept of a resolved conflict, so that a repeated resolution does nothing twice.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedConflict {
    /// Its identity.
    pub id: ConflictId,
    /// The document.
    pub key: DocumentKey,
    /// The user who resolved it.
    pub user: UserId,
    /// The fingerprint of the resolution.
    pub hash: ResolutionHash,
    /// The answer to the resolution.
    pub outcome: RememberedOutcome,
    /// Server time of the resolution.
    pub at: Timestamp,
}

/// What a store keeps of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub enum InboxRecord {
    /// It waits.
    Open(Arc<OpenConflict>),
    /// It was resolved.
    Resolved(Arc<ResolvedConflict>),
}

impl InboxRecord {
    /// The identity of the conflict.
    pub fn id(&self) -> &ConflictId {
        match self {
            Self::Open(open) => &open.id,
            Self::Resolved(settled) => &settled.id,
        }
    }
}

/// A reader's position in the inbox: after this conflict. Conflicts are ordered by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InboxPosition {
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The conflict.
    pub id: ConflictId,
}

impl From<&OpenConflict> for InboxPosition {
    fn from(open: &OpenConflict) -> Self {
        Self {
            opened_at: open.opened_at,
            id: open.id.clone(),
        }
    }
}

/// The inputs of a conflict's id. The same change gives the same conflict: a decision that runs again opens no second
/// one, nor does a client that numbers nothing and sends the change again.
#[derive(Serialize)]
pub(crate) struct ConflictOrigin<'a> {
    pub(crate) user: &'a UserId,
    pub(crate) client: Option<&'a ClientId>,
    /// The epoch that numbered it, and its number. A change without a number is identified by its content.
    pub(crate) numbered: Option<(&'a Epoch, MutationId)>,
    pub(crate) change: &'a Change,
}

impl ConflictOrigin<'_> {
    pub(crate) fn id(&self) -> ConflictId {
        let bytes = serde_json::to_vec(self)
            .expect("changes hold string keys and finite numbers, which JSON can write");
        let digest = Sha256::digest(&bytes);
        let text: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
        ConflictId::new(&text).expect("32 digits are a name")
    }
}
