//! The sync state of a document, and the marker that stays when it leaves a scope.
//!
//! [`crate::decide`] has the rules that change entries. Each store decides how it keeps them.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ClientId, DocumentKey, MutationId, Scope, ScopeNumber, Seq, UserId, Version},
    model::Role,
    value::{Document, Timestamp},
};

/// The sync state of one document (rules.md 3.2). Its seq is in the [`FeedItem`] that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The document.
    pub key: DocumentKey,
    /// The scope it is in.
    pub scope: Scope,
    /// How often it was changed.
    pub version: Version,
    /// `k`: the version at which this incarnation began; a re-creation begins one.
    pub began: Version,
    /// `r`: the version at which the present uninterrupted run of one writer began.
    pub run: Version,
    /// `f`: the version that last wrote each field.
    pub field_versions: BTreeMap<String, Version>,
    /// `w`: who wrote the versions named in `field_versions`, `began` and `version`.
    pub writers: BTreeMap<Version, Writer>,
    /// The document. A tombstone or a withheld document has none.
    pub body: Option<Document>,
    /// Another service wrote what the model cannot hold: no client sees the document until it fits again.
    pub withheld: bool,
    /// Server time of the last change: retention counts from it, and clients see it as `syncChangedAt`.
    pub at: Timestamp,
    /// What the document grants, if its type is one of memberships and it is living.
    pub membership: Option<Membership>,
}

impl Entry {
    /// Whether there is no document to show: this is a tombstone, or withheld.
    pub fn is_deleted(&self) -> bool {
        self.body.is_none()
    }
}

/// Who made a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The user; `None` for a foreign write, whose author is unknown.
    pub user: Option<UserId>,
    /// The client, if it named itself; an anonymous writer never equals another (rules.md 4.7).
    pub client: Option<ClientId>,
    /// When the edit was made (rules.md 4.9).
    pub edited_at: Timestamp,
    /// The change's mutation id, if it had one.
    pub mutation: Option<MutationId>,
}

impl Writer {
    /// The order of edits: by time, then by client id, mutation id and user. So ties are settled the same in whichever
    /// order the edits arrive.
    pub(crate) fn order(&self) -> impl Ord {
        let Self {
            user,
            client,
            edited_at,
            mutation,
        } = self;
        (edited_at, client, mutation, user)
    }
}

/// What a document gives to a user (`@grants`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The user who gets it.
    pub user: UserId,
    /// The scope it opens.
    pub scope: Scope,
    /// The access that it gives.
    pub role: Role,
    /// Who wrote the version that last set user or scope; none if another service wrote it.
    pub giver: Option<UserId>,
    /// Server time of that version.
    pub since: Timestamp,
}

/// The record that stays in a scope when a document leaves it for another (rules.md 3.3).
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// The document that left.
    pub key: DocumentKey,
    /// The scope it left.
    pub scope: Scope,
    /// Its version there: that of the change that moved it.
    pub version: Version,
    /// Server time of the move.
    pub at: Timestamp,
}

/// An entry or a marker.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A document's state.
    Entry(Arc<Entry>),
    /// A document's absence.
    Marker(Marker),
}

impl Record {
    /// The document of the record.
    pub fn key(&self) -> &DocumentKey {
        match self {
            Self::Entry(entry) => &entry.key,
            Self::Marker(marker) => &marker.key,
        }
    }

    /// The scope in whose feed it stands.
    pub fn scope(&self) -> &Scope {
        match self {
            Self::Entry(entry) => &entry.scope,
            Self::Marker(marker) => &marker.scope,
        }
    }

    /// The version of the record.
    pub fn version(&self) -> Version {
        match self {
            Self::Entry(entry) => entry.version,
            Self::Marker(marker) => marker.version,
        }
    }

    /// Server time of the change.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Entry(entry) => entry.at,
            Self::Marker(marker) => marker.at,
        }
    }

    /// Whether `collect` may remove it once it is old: a tombstone or a marker.
    pub fn is_collectable(&self) -> bool {
        match self {
            Self::Entry(entry) => entry.is_deleted(),
            Self::Marker(_) => true,
        }
    }
}

/// One write of a scope's feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedItem {
    /// Its position in the feed of [`Record::scope`].
    pub seq: Seq,
    /// The record.
    pub record: Record,
}

/// A scope's counters and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeState {
    /// The last seq allocated.
    pub head: Seq,
    /// Tombstones and markers at or below it have been collected.
    pub floor: Seq,
    /// Its number. A scope that was never written has none.
    pub number: Option<ScopeNumber>,
}
