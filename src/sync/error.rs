//! Why an operation failed, and the error of each store's failure.

use thiserror::Error;
use tidegate_core::{
    checkpoint::CheckpointError, membership::DECLINED_MAX, model::FillError, push::PushRefusal,
};

use crate::{quota::Exhausted, store::StoreError};

/// Why an operation failed. Conflicts and rejected changes are outcomes, no errors.
#[derive(Debug, Clone, Error)]
pub enum SyncError {
    /// The store cannot be reached now.
    #[error("{0}")]
    Unavailable(String),
    /// The store can be read, but not written now.
    #[error("{0}")]
    ReadOnly(String),
    /// The gateway lacks a right to its store.
    #[error("{0}")]
    NotPermitted(String),
    /// The store holds, or was given, what the gateway cannot handle. Trying again does not help.
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
        /// The number of changes sent.
        changes: usize,
        /// The most that one push may carry.
        max: usize,
    },
    /// An argument that bounds a page is itself out of bounds.
    #[error("{argument}: {limit} is not between 1 and {max}")]
    Limit {
        /// The name of the argument.
        argument: &'static str,
        /// Its value.
        limit: i64,
        /// The largest value allowed.
        max: usize,
    },
    /// The user would decline more givers than allowed.
    #[error("more than {DECLINED_MAX} givers would be declined")]
    DeclinesFull,
    /// No index of the model serves the list. The message says which one would.
    #[error("{0}")]
    NotIndexed(String),
    /// The list has too many conditions, or would read too many ranges. The message says of what.
    #[error("{0}")]
    ListTooLarge(String),
    /// An index that the list needs is being built.
    #[error("an index is being built")]
    IndexBuilding,
    /// The text is no cursor of the list.
    #[error("it is no cursor")]
    Cursor,
    /// The text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The token's claims open too many scopes.
    #[error("the token's claims cannot be turned into grants: {0}")]
    Grants(#[from] FillError),
    /// The application could not be asked in time about all changes of a push.
    #[error("too many questions wait for the application")]
    Crowded,
    /// The bytes held for the caller, or for all users, leave no room for what would be read.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The token expired while the answer was being sent.
    #[error("the token has expired")]
    Expired,
}

impl SyncError {
    /// The error of a store's failure that is already logged.
    pub(super) fn of_logged(error: &StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::Unavailable(_)
            | StoreError::WriteConflict(_)
            | StoreError::Deposed
            | StoreError::ValueTaken
            | StoreError::InUse { .. } => Self::Unavailable(reason),
            StoreError::IndexBuilding => Self::IndexBuilding,
            StoreError::NotWritable(_) => Self::ReadOnly(reason),
            StoreError::NotPermitted(_) => Self::NotPermitted(reason),
            StoreError::Corrupt(_)
            | StoreError::DecisionFailed(_)
            | StoreError::Refused(_)
            | StoreError::Unsuitable(_)
            | StoreError::OtherFormat { .. } => Self::Internal(reason),
        }
    }

    /// The kind of the failure, as metrics name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::ReadOnly(_) => "read_only",
            Self::NotPermitted(_) => "not_permitted",
            Self::Internal(_) => "internal",
            Self::Busy => "busy",
            Self::Push(refusal) => refusal_kind(refusal),
            Self::PushTooLarge { .. } => "too_large",
            Self::Crowded => "webhooks_crowded",
            Self::Exhausted(_) => "buffer_full",
            Self::Expired => "expired",
            Self::IndexBuilding => "index_building",
            Self::Limit { .. }
            | Self::DeclinesFull
            | Self::NotIndexed(_)
            | Self::ListTooLarge(_)
            | Self::Cursor
            | Self::Checkpoint(_)
            | Self::Grants(_) => "refused",
        }
    }

    /// Reads an argument that bounds a page.
    ///
    /// # Errors
    /// [`SyncError::Limit`].
    pub(crate) fn bound(argument: &'static str, limit: i64, max: usize) -> Result<usize, Self> {
        let read = usize::try_from(limit).ok();
        let read = read.filter(|read| (1..=max).contains(read));
        read.ok_or(Self::Limit {
            argument,
            limit,
            max,
        })
    }

    /// The client gets a reference to the log, so an internal failure is logged.
    fn logged(self) -> Self {
        if let Self::Internal(reason) = &self {
            tracing::error!(error = reason, "a request failed in the gateway");
        }
        self
    }
}

fn refusal_kind(refusal: &PushRefusal) -> &'static str {
    match refusal {
        PushRefusal::EpochChanged { .. } => "epoch_changed",
        PushRefusal::EpochRequired => "epoch_required",
        PushRefusal::MutationIdReused => "mutation_id_reused",
        PushRefusal::MutationIdGap { .. } => "mutation_id_gap",
        PushRefusal::TooLarge { .. } => "too_large",
        PushRefusal::MutationIdRange => "mutation_id_range",
        PushRefusal::TooManyClients { .. } => "too_many_clients",
        PushRefusal::ConflictNotFound => "conflict_not_found",
        PushRefusal::NeedsWebhook(_) => "webhook_unanswered",
        PushRefusal::Held { .. } => "held",
        PushRefusal::OtherModel { .. } => "other_model",
        PushRefusal::PolicyNotAllowed { .. } => "policy_not_allowed",
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::of_logged(&error).logged()
    }
}
