//! Questions to the application, and what its answers do with a change.
//!
//! A decision that lacks an answer asks. The committer gets the answer outside any transaction and decides again. An
//! answer counts only for the version it was about.

use std::sync::Arc;

use super::PushRequest;
use crate::{
    change::{Action, BaseVersion, Change},
    decide::{self, Decision, DecisionContext},
    entry::Entry,
    id::Version,
    inbox::PendingConflict,
    model::{Overlap, Policy},
    outcome::{FieldOutcome, Rule, Status, Taken},
    value::{Document, Value},
};

/// A question to the application about one change.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookQuestion {
    /// The index of the change in the push, from 0.
    pub change: usize,
    /// The name of the webhook.
    pub webhook: String,
    /// The document as it is. It is shared, because a push may ask a thousand questions about a large one.
    pub current: Arc<Entry>,
    /// What the change wants.
    pub pending: PendingConflict,
}

/// The result of a question.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookDecision {
    /// The change it is about.
    pub change: usize,
    /// The version that the question was about; `None` if no version is to be asked about any more.
    pub version: Option<Version>,
    /// The answer.
    pub answer: WebhookAnswer,
}

/// An answer of the application.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookAnswer {
    /// The document stays as it is.
    Current,
    /// The change is applied.
    Incoming,
    /// These fields are written instead.
    Document(Document),
    /// There was no usable answer: the model's `overlap` decides.
    None,
}

impl PushRequest {
    /// The application's decision on a change that meets this entry.
    pub(super) fn advice_on(&self, change: usize, entry: Option<&Entry>) -> Option<&WebhookAnswer> {
        let about = |version: Option<Version>| {
            let fits = |decisions: &&WebhookDecision| {
                decisions.change == change && decisions.version == version
            };
            self.webhook_decisions.iter().rev().find(fits)
        };
        // An answer about this very version counts more than that no version is to be asked about.
        about(entry.map(|entry| entry.version))
            .or_else(|| about(None))
            .map(|decisions| &decisions.answer)
    }
}

/// Decides a change, by the application's answer if there is one.
pub(super) fn decide(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    change: &Change,
    answer: Option<&WebhookAnswer>,
) -> Decision {
    let by = |policy| decide::decide(&DecisionContext { policy, ..*context }, entry, change);
    let (Some(answer), Policy::Webhook) = (answer, context.policy) else {
        return by(context.policy);
    };
    match answer {
        WebhookAnswer::Current => advised(by(Policy::ServerWins)),
        WebhookAnswer::Incoming => advised(by(Policy::ClientWins)),
        WebhookAnswer::Document(document) => match (by(Policy::Webhook), entry) {
            (Decision::NeedsWebhook(pending), Some(entry)) => {
                write(context, entry, change, &pending, document)
                    .unwrap_or_else(|| by(fallback(context)))
            }
            (decided, _) => decided,
        },
        WebhookAnswer::None => by(fallback(context)),
    }
}

fn fallback(context: &DecisionContext<'_>) -> Policy {
    match context.document_type.conflict.overlap {
        Overlap::ServerWins => Policy::ServerWins,
        Overlap::ClientWins => Policy::ClientWins,
        Overlap::LastWriteWins => Policy::LastWriteWins,
        Overlap::Manual => Policy::Manual,
    }
}

/// Marks what a policy did in the application's name as done by the application.
fn advised(mut decision: Decision) -> Decision {
    if let Decision::Write { fields, .. } | Decision::Keep { fields, .. } = &mut decision {
        let settled = fields.iter_mut().flatten();
        settled
            .filter(|outcome| outcome.rule != Rule::NoOverlap)
            .for_each(|outcome| outcome.rule = Rule::Webhook);
    }
    decision
}

/// Writes the application's own document. It passes the same checks as a client's change on the present version; `None`
/// if it would be rejected.
fn write(
    context: &DecisionContext<'_>,
    entry: &Entry,
    change: &Change,
    pending: &PendingConflict,
    document: &Document,
) -> Option<Decision> {
    let base = BaseVersion(entry.version.0);
    let action = if entry.is_deleted() {
        Action::Create {
            document: document.clone(),
            base: Some(base),
        }
    } else {
        Action::Update {
            base,
            set: document.clone(),
            seen: None,
        }
    };
    let change = Change {
        action,
        ..change.clone()
    };
    match decide::decide(context, Some(entry), &change) {
        Decision::Write { entry: written, .. } => Some(Decision::Write {
            status: Status::Merged,
            fields: Some(outcomes(context, entry, pending, document)),
            entry: written,
            pending: None,
        }),
        _ => None,
    }
}

fn outcomes(
    context: &DecisionContext<'_>,
    entry: &Entry,
    pending: &PendingConflict,
    document: &Document,
) -> Vec<FieldOutcome> {
    let of = |side: Option<&Document>, name: &str| side.and_then(|side| side.get(name)).cloned();
    let outcome = |(name, result): (&String, _)| {
        let (mine, theirs) = (
            of(pending.mine.document(), name),
            of(entry.body.as_ref(), name),
        );
        let result = Some(Clone::clone(result));
        let is_result = |side: &Option<Value>| context.same(name, side.as_ref(), result.as_ref());
        let taken = match (is_result(&mine), is_result(&theirs)) {
            (true, _) => Taken::Mine,
            (false, true) => Taken::Theirs,
            (false, false) => Taken::Both,
        };
        FieldOutcome {
            field: name.clone(),
            base: of(pending.base.as_ref(), name),
            mine,
            theirs,
            result,
            taken,
            rule: Rule::Webhook,
        }
    };
    document.iter().map(outcome).collect()
}
