//! What `@unique` of a type says.
//!
//! [`crate::unique`] makes the keys of documents by it.

/// One `@unique`: no two documents have the same values in these fields. A document that lacks one of them has no such values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueRule {
    /// The stored names of the fields.
    pub fields: Vec<String>,
    /// Which documents it compares.
    pub within: UniqueWithin,
}

/// Which documents a `@unique` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UniqueWithin {
    /// Those of each scope.
    Scope,
    /// Those of the type in all scopes.
    All,
}
