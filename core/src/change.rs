//! One item of a push, as a client sent it and as the model reads it.
//!
//! Only its form is checked here. [`crate::decide`] decides whether it may be applied.

use serde::{Deserialize, Serialize};

use crate::{
    id::{DocumentKey, TypeName},
    value::{Document, Timestamp},
};

/// One change to one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The document.
    pub key: DocumentKey,
    /// What to do with it.
    pub action: Action,
    /// When the user made the edit; absent means now.
    pub changed_at: Option<Timestamp>,
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Action {
    /// Brings a document into being.
    Create {
        /// Every required field, and what else is known.
        document: Document,
        /// The version of the tombstone it replaces.
        base: Option<BaseVersion>,
    },
    /// Changes some of its fields.
    Update {
        /// The version the edit was made on.
        base: BaseVersion,
        /// The fields to write: absent = unchanged, null clears.
        set: Document,
        /// The fields' values as the client saw them.
        seen: Option<Document>,
    },
    /// Deletes it.
    Delete {
        /// The version the edit was made on.
        base: BaseVersion,
    },
}

/// The version an edit was made on: the document's version, or 0 for the client's own unanswered create, or -1 for
/// a version of another epoch (rules.md 4.4 and 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BaseVersion(pub i32);

impl BaseVersion {
    /// The client's own create, not yet answered.
    pub const OWN_CREATE: Self = Self(0);
    /// A version of another epoch: stale, and below every version.
    pub const OTHER_EPOCH: Self = Self(-1);
}

/// An item of a push: what it names, and its change or why it has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Submission {
    /// The type it names.
    pub type_name: TypeName,
    /// The id as the client wrote it.
    pub id: String,
    /// The change, or why it could not be read.
    pub change: Result<Change, Rejection>,
}

/// Why a change is REJECTED. It is final, and the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The stable code.
    pub code: RejectionCode,
    /// A sentence for people.
    pub message: String,
    /// The field it is about, as a path from the document.
    pub field: Option<String>,
}

impl Rejection {
    /// A rejection that is about no single field.
    pub fn new(code: RejectionCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
        }
    }

    /// The value of `field` cannot be stored.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::of_field(RejectionCode::InvalidValue, field, message)
    }

    /// A rejection about the value of `field`.
    pub fn of_field(code: RejectionCode, field: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: Some(field.to_owned()),
        }
    }
}

/// The codes of rejections; their names on the wire are the same in SCREAMING_SNAKE_CASE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionCode {
    /// There is no such document, or none the caller may see.
    NotFound,
    /// The caller's roles do not allow the change, or not that of a field.
    Forbidden,
    /// The id is out of bounds, or not in its canonical spelling.
    InvalidId,
    /// A value does not fit its field.
    InvalidValue,
    /// The fields do not make a scope.
    InvalidScope,
    /// The id belongs to a document out of the caller's sight.
    IdTaken,
    /// The base version is above the document's version.
    VersionUnknown,
    /// The document has had as many versions as a version number can count.
    VersionExhausted,
    /// Too many of the caller's changes to the document wait in the inbox already.
    InboxFull,
    /// The caller gives the user as many memberships as one may.
    MembershipsFull,
    /// Another change of the atomic push conflicted or was rejected.
    AtomicAborted,
    /// Clients no longer write what it names.
    Retired,
    /// Another document has the values that have to be unique.
    NotUnique,
    /// It cannot be proven which item of a list is which, and some hold what the model does not name.
    ItemUnidentified,
}

impl RejectionCode {
    /// Every code with what it means, for the schema and the documentation.
    pub const ALL: [(Self, &str, &str); 14] = [
        (
            Self::NotFound,
            "NOT_FOUND",
            "There is no such document, or none you may see.",
        ),
        (
            Self::Forbidden,
            "FORBIDDEN",
            "Your roles do not allow it, in the document's scope or in the one it would enter; `field` names the field, if it is about one.",
        ),
        (
            Self::InvalidId,
            "INVALID_ID",
            "The id is empty, too long, or not in its canonical spelling.",
        ),
        (
            Self::InvalidValue,
            "INVALID_VALUE",
            "A value does not fit its field; `field` names it.",
        ),
        (
            Self::InvalidScope,
            "INVALID_SCOPE",
            "The document's fields do not make a usable scope.",
        ),
        (
            Self::IdTaken,
            "ID_TAKEN",
            "The id belongs to a document you may not see; choose another.",
        ),
        (
            Self::VersionUnknown,
            "VERSION_UNKNOWN",
            "`baseVersion` is not a version the document has had.",
        ),
        (
            Self::VersionExhausted,
            "VERSION_EXHAUSTED",
            "The document has had 2147483647 versions; create it again under another id.",
        ),
        (
            Self::InboxFull,
            "INBOX_FULL",
            "So many of your changes to the document wait in the inbox that it keeps no more; resolve some first.",
        ),
        (
            Self::MembershipsFull,
            "MEMBERSHIPS_FULL",
            "You give this user 1,000 memberships already, and nobody gives one user more; end some first.",
        ),
        (
            Self::AtomicAborted,
            "ATOMIC_ABORTED",
            "The push was atomic, and another of its changes conflicted or was rejected.",
        ),
        (
            Self::Retired,
            "RETIRED",
            "The type, the field or the value is retired and takes no writes; `field` names the field.",
        ),
        (
            Self::NotUnique,
            "NOT_UNIQUE",
            "Another document has the same values in the fields of a `@unique`; the message names the fields, and `field` the first of them.",
        ),
        (
            Self::ItemUnidentified,
            "ITEM_UNIDENTIFIED",
            "Items of a list hold more than the API shows, and the change does not say which item is which; `field` names the list.",
        ),
    ];

    /// The code's name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(code, ..)| *code == self)
            .map_or("", |(_, name, _)| name)
    }
}
