//! Why a verb could not be carried out, and what a store's failure becomes.

use thiserror::Error;
use tidegate_core::{
    checkpoint::CheckpointError, membership::DECLINED_MAX, model::FillError, push::PushRefusal,
    view::Unreadable,
};

use crate::{quota::Exhausted, store::StoreError};

/// Why a verb could not be carried out. Conflicts and rejected changes are no such reasons: they are outcomes.
#[derive(Debug, Clone, Error)]
pub enum SyncError {
    /// The store cannot be reached now.
    #[error("{0}")]
    Unavailable(String),
    /// The store cannot be written now; it can be read.
    #[error("{0}")]
    ReadOnly(String),
    /// The gateway lacks a right to its store.
    #[error("{0}")]
    NotPermitted(String),
    /// The store holds or was given what the gateway cannot handle. Trying again does not help.
    #[error("{0}")]
    Internal(String),
    /// The store did not answer in time, or too many requests wait for it.
    #[error("the store is busy")]
    Busy,
    /// The push was refused as a whole.
    #[error(transparent)]
    Push(#[from] PushRefusal),
    /// More changes than one push may carry.
    #[error("a push of {changes} changes is larger than {max}")]
    PushTooLarge {
        /// How many came.
        changes: usize,
        /// How many may come.
        max: usize,
    },
    /// A bound on a page that is out of bounds itself.
    #[error("{argument}: {limit} is not between 1 and {max}")]
    Limit {
        /// The argument it stands in.
        argument: &'static str,
        /// What was asked for.
        limit: i64,
        /// What may be asked for.
        max: usize,
    },
    /// The user would decline more givers than one may.
    #[error("more than {DECLINED_MAX} givers would be declined")]
    DeclinesFull,
    /// Not a place in the inbox.
    #[error("it is no cursor")]
    Cursor,
    /// Not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The token's claims open too many scopes.
    #[error("the token's claims cannot be turned into grants: {0}")]
    Grants(#[from] FillError),
    /// The application could not be asked in time about all changes of a push.
    #[error("too many questions wait for the application")]
    Crowded,
    /// What is held for the caller, or for everybody, leaves no room for what would be read.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The token ended while the answer was under way.
    #[error("the token has expired")]
    Expired,
}

impl SyncError {
    /// What a store's failure becomes that is in the log already.
    pub(super) fn of_logged(error: &StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::Unavailable(_)
            | StoreError::WriteConflict(_)
            | StoreError::InUse { .. } => Self::Unavailable(reason),
            StoreError::NotWritable(_) => Self::ReadOnly(reason),
            StoreError::NotPermitted(_) => Self::NotPermitted(reason),
            StoreError::Corrupt(_)
            | StoreError::Undecided(_)
            | StoreError::Refused(_)
            | StoreError::Unsuitable(_)
            | StoreError::OtherFormat { .. } => Self::Internal(reason),
        }
    }

    /// An internal failure is answered with a reference to the log, so it is logged.
    fn logged(self) -> Self {
        if let Self::Internal(reason) = &self {
            tracing::error!(error = reason, "a request failed in the gateway");
        }
        self
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::of_logged(&error).logged()
    }
}

impl From<Unreadable> for SyncError {
    fn from(error: Unreadable) -> Self {
        Self::Internal(error.to_string()).logged()
    }
}
