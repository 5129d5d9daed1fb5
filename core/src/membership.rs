//! The memberships of a user: which of them count, who gave them, and how many one giver may give.
//!
//! [`crate::grant`] reads what a document gives. Documents and claims are not known here.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    entry::{Entry, Membership},
    id::{DocumentKey, UserId},
    mutant::{Mutant, is_active},
    transaction::{Loaded, Writes},
};

/// The most scopes of one user, by claims and memberships together.
pub const SCOPES_MAX: usize = 10_000;

/// The most bytes of the names of one user's scopes.
pub const SCOPE_TEXT_MAX: usize = 512 << 10;

/// The bytes of a scope in a checkpoint beside its name: a length, a seq and a start of 2^34 at most take 12, and a few
/// are spare.
pub const POSITION_BYTES: usize = 16;

/// The most documents by which one giver gives memberships to one user.
pub const GIVEN_MAX: usize = 1_000;

/// The most memberships of one user that are read.
pub const ROWS_MAX: usize = 20_000;

/// The most givers that one user declines.
pub const DECLINED_MAX: usize = 1_000;

/// The bounds on the grants of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The most scopes.
    pub scopes: usize,
    /// The most bytes of their names.
    pub text_bytes: usize,
    /// Users that may give any number of memberships.
    pub services: BTreeSet<UserId>,
}

impl Bounds {
    /// Bounds whose checkpoints fit into requests of `body_bytes`. In base64 a byte takes 4/3 bytes: the names take two
    /// thirds of a request at most, the positions less than a quarter.
    pub fn within(body_bytes: usize, scopes: usize, services: BTreeSet<UserId>) -> Self {
        Self {
            scopes: scopes.min(body_bytes / 104),
            text_bytes: SCOPE_TEXT_MAX.min(body_bytes / 2),
            services,
        }
    }

    /// The most bytes of all positions of a checkpoint, over all its tracks.
    pub fn positions_bytes(&self) -> usize {
        self.text_bytes + self.scopes * POSITION_BYTES
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            scopes: SCOPES_MAX,
            text_bytes: SCOPE_TEXT_MAX,
            services: BTreeSet::new(),
        }
    }
}

/// A giver, and the user to whom it gives memberships.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GiverAndUser {
    /// The user who gives.
    pub giver: UserId,
    /// The user who receives.
    pub user: UserId,
}

impl GiverAndUser {
    /// The giver and the user of a membership; none for a write by another service.
    pub fn of(membership: &Membership) -> Option<Self> {
        Some(Self {
            giver: membership.giver.clone()?,
            user: membership.user.clone(),
        })
    }
}

/// What is kept of a user beside the documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserState {
    /// Counts the changes of the user's memberships and of `declined`.
    pub stamp: i64,
    /// The givers whose memberships do not count.
    pub declined: BTreeSet<UserId>,
}

/// A commit's change of a [`UserState`]. The stamp rises with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// The givers declined from now on, if they change.
    pub declined: Option<BTreeSet<UserId>>,
}

/// The memberships of a user at one moment, without those of declined givers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memberships {
    /// The user's state at that moment.
    pub state: UserState,
    /// By the document that gives them, [`ROWS_MAX`] at most.
    pub rows: BTreeMap<DocumentKey, Membership>,
}

impl Memberships {
    /// Adds a membership, unless its giver is declined.
    pub fn insert(&mut self, key: DocumentKey, membership: Membership) {
        let giver = membership.giver.as_ref();
        let is_declined = giver.is_some_and(|giver| self.state.declined.contains(giver));
        if !is_declined || is_active(Mutant::DeclinedCounts) {
            self.rows.insert(key, membership);
        }
    }

    /// All of them in the order in which they count: the oldest first, then by type and id.
    pub fn oldest_first(&self) -> Vec<(&DocumentKey, &Membership)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(_, membership)| membership.since);
        rows
    }
}

/// The givers that a user declines; `None` if they would be too many.
pub type Declined = Option<BTreeSet<UserId>>;

/// Declines these givers, or accepts them again. Returns what to write, and whom the user then declines.
pub fn decline(
    user: &UserId,
    givers: &BTreeSet<UserId>,
    decline: bool,
    loaded: &Loaded,
) -> (Writes, Declined) {
    let before = loaded.users.get(user).cloned().unwrap_or_default().declined;
    let declined: BTreeSet<UserId> = match decline {
        true => before.union(givers).cloned().collect(),
        false => before.difference(givers).cloned().collect(),
    };
    let mut writes = Writes::default();
    // A user who already declines too many may still accept some again.
    if decline && declined.len() > DECLINED_MAX {
        return (writes, None);
    }
    if declined != before {
        let change = UserChange {
            declined: Some(declined.clone()),
        };
        writes.users.insert(user.clone(), change);
    }
    (writes, Some(declined))
}

/// Whether both give the same user the same role, or neither gives any. The giver does not count.
pub fn open_the_same(one: Option<&Membership>, other: Option<&Membership>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.names_as(other) && one.role == other.role,
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Membership {
    fn names_as(&self, other: &Self) -> bool {
        (&self.user, &self.scope) == (&other.user, &other.scope)
    }
}

/// The entry's membership with its giver and time. They stay as before if it names the same user and scope.
pub(crate) fn signed(entry: &Entry, before: Option<&Membership>) -> Option<Membership> {
    let mut membership = entry.membership.clone()?;
    (membership.giver, membership.since) = match before {
        Some(before) if before.names_as(&membership) => (before.giver.clone(), before.since),
        _ => {
            let writer = entry.writers.get(&entry.version);
            (writer.and_then(|writer| writer.user.clone()), entry.at)
        }
    };
    Some(membership)
}
