//! The results of the changes of a push, before the documents are attached.

use super::RememberedOutcome;
use crate::{
    change::Rejection,
    id::{ConflictId, MutationId, Version},
    outcome::{FieldOutcome, Status},
};

/// A push's outcomes before the documents are attached.
pub(super) struct PushResult {
    pub(super) verdicts: Vec<ChangeResult>,
    pub(super) duplicate: bool,
    pub(super) last: Option<MutationId>,
}

/// The result of one change.
#[derive(Debug, Clone)]
pub(super) struct ChangeResult {
    pub(super) status: Status,
    pub(super) version: Option<Version>,
    pub(super) fields: Option<Vec<FieldOutcome>>,
    pub(super) error: Option<Rejection>,
    pub(super) inbox: Option<ConflictId>,
}

impl ChangeResult {
    pub(super) fn of(
        status: Status,
        version: Option<Version>,
        fields: Option<Vec<FieldOutcome>>,
    ) -> Self {
        Self {
            status,
            version,
            fields,
            error: None,
            inbox: None,
        }
    }

    pub(super) fn rejected(error: Rejection) -> Self {
        Self {
            status: Status::Rejected,
            version: None,
            fields: None,
            error: Some(error),
            inbox: None,
        }
    }

    /// Whether nothing of the change is applied.
    pub(super) fn failed(&self) -> bool {
        matches!(self.status, Status::Conflict | Status::Rejected)
    }

    pub(super) fn remembered(&self) -> RememberedOutcome {
        RememberedOutcome {
            status: self.status,
            version: self.version,
            error: self.error.clone().map(shortened),
            inbox: self.inbox.clone(),
        }
    }

    pub(super) fn replayed(outcome: &RememberedOutcome) -> Self {
        let RememberedOutcome {
            status,
            version,
            error,
            inbox,
        } = outcome.clone();
        Self {
            status,
            version,
            fields: None,
            error,
            inbox,
        }
    }
}

/// The part of a rejection that is kept for a repeat. Its message may come from a database, and its path be as long as
/// a client likes.
fn shortened(mut rejection: Rejection) -> Rejection {
    const TEXT_BYTES_MAX: usize = 256;
    let texts = [Some(&mut rejection.message), rejection.field.as_mut()];
    for text in texts.into_iter().flatten() {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    rejection
}
