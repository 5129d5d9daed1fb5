//! The model that is drawn, before it is text.

use std::collections::BTreeMap;

use tidegate_core::id::IdType;

use super::values::IdValue;

/// A synced or an embedded type.
#[derive(Debug)]
pub(super) struct TypeDraft {
    pub(super) name: String,
    /// `None` of an embedded type.
    pub(super) collection: Option<CollectionDraft>,
    pub(super) fields: Vec<FieldDraft>,
    /// What documents have and the model does not, in sentences.
    pub(super) left_out: Vec<String>,
}

/// Where the documents of a synced type are.
#[derive(Debug)]
pub(super) struct CollectionDraft {
    pub(super) name: String,
    pub(super) id_type: IdType,
    pub(super) singular: Option<String>,
    pub(super) plural: Option<String>,
    /// What was read of it, and what is to be known about its ids.
    pub(super) notes: Vec<String>,
    pub(super) scope: ScopeDraft,
    pub(super) version_field: Option<String>,
    pub(super) updated_at_field: Option<String>,
}

/// Who sees the documents of a type.
#[derive(Debug, Default)]
pub(super) enum ScopeDraft {
    #[default]
    Undecided,
    /// A question to the reader, with fields that may be meant.
    Ambiguous(Vec<String>),
    /// The template, the noun in it, and why.
    Proposed {
        noun: &'static str,
        template: String,
        reason: String,
    },
}

/// A field, or a reference by it.
#[derive(Debug)]
pub(super) struct FieldDraft {
    pub(super) name: String,
    pub(super) stored_as: String,
    pub(super) holds: Holds,
    pub(super) required: bool,
    pub(super) notes: Vec<String>,
    /// Values that may be ids of other documents, in lists too.
    pub(super) ids: Vec<IdValue>,
    /// Whether every value fits.
    pub(super) is_whole: bool,
    pub(super) reference: Option<ReferenceDraft>,
    pub(super) read_only: bool,
    /// What the gateway keeps in it.
    pub(super) server: Option<&'static str>,
}

/// A field that shows the document whose id another field holds.
#[derive(Debug)]
pub(super) struct ReferenceDraft {
    pub(super) name: String,
    pub(super) target: String,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    Scalar(&'static str),
    /// An id that is stored as this type. One that a reference uses is stored as the other type says.
    Id(IdType),
    /// An enum or an embedded type.
    Named(String),
    List(Box<ListDraft>),
}

/// What a list holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListDraft {
    pub(super) item: Holds,
    pub(super) has_nulls: bool,
    /// The field that identifies its items.
    pub(super) key: Option<String>,
}

/// An enum with its values and how often each was found.
#[derive(Debug)]
pub(super) struct EnumDraft {
    pub(super) name: String,
    pub(super) values: BTreeMap<String, u64>,
}
