//! Lists of documents: which ones, in which order, and the ranges of indexes that find them.
//!
//! A condition comes to sets of values, and these to ranges. Each store reads ranges in its own way, and returns what
//! [`IndexRead::contains`] says.

mod condition;
mod cursor;
mod index;
mod interval;
mod key;
mod plan;
mod read;
mod reader;

use thiserror::Error;

pub use self::{
    condition::{BRANCHES_MAX, CONDITIONS_MAX, Column, Condition},
    cursor::{CursorError, KeyHash, ListCursor, ListPlace, QueryHash},
    index::{IndexDefinition, IndexedField, UniqueIndex, scope_bytes, value_of},
    interval::{IntervalSet, Range},
    key::{KeyPart, Rank},
    plan::{ListPlan, PlannedBranch},
    read::{IndexRead, NextColumn, RANGES_MAX},
    reader::{ListBounds, ListReader, ListedPage},
};

/// The most ranges of all reads of a query.
pub const ALL_RANGES_MAX: usize = 2_000;

/// What is asked of the documents of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Which of them.
    pub condition: Condition,
    /// By which columns they are ordered. The rest of the index and the id follow.
    pub order: Vec<Column>,
    /// Whether from the last value to the first.
    pub descending: bool,
}

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The model has no index that serves it. One of these fields would.
    #[error("no index serves it")]
    NotServed {
        /// The fields of the index.
        fields: Vec<Column>,
    },
    /// No index can serve it.
    #[error("{0}")]
    Unservable(&'static str),
    /// It is too large.
    #[error("it has more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most of it.
        max: usize,
    },
}
