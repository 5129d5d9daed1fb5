//! The result of a change, for the decision and the answer alike.

use serde::{Deserialize, Serialize};

use crate::{
    model::{MergeStrategy, Overlap},
    value::Value,
};

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// It was clean and is applied.
    Applied,
    /// It was stale, and some or all of it is applied.
    Merged,
    /// It was stale, and none of it is applied.
    Conflict,
    /// It can never be applied.
    Rejected,
}

/// The result for one field of a stale change.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldOutcome {
    /// The field's stored name.
    pub field: String,
    /// Its value as the client saw it, if the client said so.
    pub base: Option<Value>,
    /// The client's value.
    pub mine: Option<Value>,
    /// The server's value.
    pub theirs: Option<Value>,
    /// The resulting value.
    pub result: Option<Value>,
    /// Whose value that is.
    pub taken: Taken,
    /// The rule that decided.
    pub rule: Rule,
}

impl FieldOutcome {
    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let values = [&self.base, &self.mine, &self.theirs, &self.result];
        values.into_iter().flatten().map(Value::bytes).sum()
    }
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

/// The rule by which a field was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nobody else changed the field, or changed it to the same value.
    NoOverlap,
    /// The server wins.
    Server,
    /// The client wins.
    Client,
    /// The later edit wins.
    Latest,
    /// Differences are added.
    Counter,
    /// What was added and removed is added and removed.
    Set,
    /// Sentences are joined.
    Text,
    /// What either side added to a list, removed, edited and moved holds.
    Items,
    /// The larger value wins.
    Max,
    /// The smaller value wins.
    Min,
    /// Each field of an embedded document is settled separately.
    Nested,
    /// A person will resolve it; until then the server's value stays.
    Manual,
    /// The application's webhook has decided.
    Webhook,
}

impl From<MergeStrategy> for Rule {
    fn from(strategy: MergeStrategy) -> Self {
        match strategy {
            MergeStrategy::Server => Self::Server,
            MergeStrategy::Client => Self::Client,
            MergeStrategy::Latest => Self::Latest,
            MergeStrategy::Counter => Self::Counter,
            MergeStrategy::Set => Self::Set,
            MergeStrategy::Max => Self::Max,
            MergeStrategy::Min => Self::Min,
            MergeStrategy::Text => Self::Text,
            MergeStrategy::Items => Self::Items,
        }
    }
}

impl From<Overlap> for Rule {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::ServerWins => Self::Server,
            Overlap::ClientWins => Self::Client,
            Overlap::LastWriteWins => Self::Latest,
            Overlap::Manual => Self::Manual,
        }
    }
}
