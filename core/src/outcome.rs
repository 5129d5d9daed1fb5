//! What became of a change, in the words that the decision and the answer share.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// It was clean, and is in force.
    Applied,
    /// It was stale, and some or all of it is in force.
    Merged,
    /// It was stale, and none of it is in force.
    Conflict,
    /// It could never be applied.
    Rejected,
}

/// What became of one field of a stale change.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldOutcome {
    /// The field's name in the model.
    pub field: String,
    /// Its value as the client saw it, where it said so.
    pub base: Option<Value>,
    /// The client's value.
    pub mine: Option<Value>,
    /// The server's value.
    pub theirs: Option<Value>,
    /// The value now in force.
    pub result: Option<Value>,
    /// Whose value that is.
    pub taken: Taken,
}

/// Whose value was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taken {
    /// The client's.
    Mine,
    /// The server's.
    Theirs,
    /// Both were joined.
    Both,
}
