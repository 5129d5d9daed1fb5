//! What the policy of a document lets a stale edit do.

use tidegate_core::{
    model::{MergeStrategy, Overlap, Policy},
    outcome::{FieldOutcome, Taken},
};

use super::{Line, document::Account};

impl Account<'_> {
    /// Whether the policy lets a stale change overwrite the field, or joins both.
    pub(super) fn yields(&self, line: &Line, field: &FieldOutcome) -> bool {
        match self.policy(line) {
            Policy::ServerWins | Policy::Manual | Policy::Webhook => false,
            Policy::ClientWins | Policy::LastWriteWins => true,
            Policy::Merge => match self.strategy(&field.field) {
                None => self.yields_whole(line),
                Some(MergeStrategy::Server) => false,
                Some(
                    MergeStrategy::Counter
                    | MergeStrategy::Set
                    | MergeStrategy::Text
                    | MergeStrategy::Items,
                ) => field.taken == Taken::Both || self.yields_whole(line),
                Some(_) => true,
            },
        }
    }

    pub(super) fn policy(&self, line: &Line) -> Policy {
        line.sent
            .policy
            .unwrap_or(self.document_type.conflict.policy)
    }

    /// Who wins if a change wins or loses as a whole.
    pub(super) fn overlap(&self, line: &Line) -> Overlap {
        match self.policy(line) {
            Policy::ServerWins => Overlap::ServerWins,
            Policy::ClientWins => Overlap::ClientWins,
            Policy::LastWriteWins => Overlap::LastWriteWins,
            Policy::Merge => self.document_type.conflict.overlap,
            Policy::Manual | Policy::Webhook => Overlap::Manual,
        }
    }

    /// Whether a change that wins or loses as a whole may win.
    pub(super) fn yields_whole(&self, line: &Line) -> bool {
        !matches!(self.overlap(line), Overlap::ServerWins | Overlap::Manual)
    }

    pub(super) fn strategy(&self, name: &str) -> Option<MergeStrategy> {
        self.document_type.field(name)?.merge
    }
}
