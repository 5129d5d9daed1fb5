//! Who sends a push and how, and the answer, in a test's few words.
//!
//! The core decides about the push, and the store keeps the result.

use tidegate_core::{
    model::Policy,
    push::{Outcome, PushAnswer},
};

/// The sender of a push, and how it is sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sender {
    pub(crate) user: &'static str,
    pub(crate) client: Option<String>,
    pub(crate) first: Option<i32>,
    pub(crate) epoch: Option<String>,
    pub(crate) atomic: bool,
    pub(crate) policy: Option<Policy>,
}

/// A client of a user; without [`Sender::from`] it does not number its changes.
pub(crate) fn by(user: &'static str, client: &str) -> Sender {
    Sender {
        user,
        client: Some(client.to_owned()),
        ..Sender::default()
    }
}

/// A user whose client does not name itself.
pub(crate) fn anonymously(user: &'static str) -> Sender {
    Sender {
        user,
        ..Sender::default()
    }
}

impl Sender {
    /// The first change has this mutation id.
    pub(crate) fn from(self, first: i32) -> Self {
        Self {
            first: Some(first),
            ..self
        }
    }

    /// In another epoch than the store's.
    pub(crate) fn in_epoch(self, epoch: &str) -> Self {
        Self {
            epoch: Some(epoch.to_owned()),
            ..self
        }
    }

    /// All or nothing.
    pub(crate) fn atomic(self) -> Self {
        Self {
            atomic: true,
            ..self
        }
    }

    /// Under this policy.
    pub(crate) fn under(self, policy: Policy) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }
}

/// The answer to a client, in words: `APPLIED 1`, `REJECTED NOT_FOUND`, and for a refused push its one code.
pub(crate) fn summaries(answer: &PushAnswer) -> Vec<String> {
    match answer {
        Ok(outcome) => outcome.outcomes.iter().map(summary).collect(),
        Err(refusal) => vec![format!("{refusal:?}")],
    }
}

fn summary(outcome: &Outcome) -> String {
    let status = format!("{:?}", outcome.status).to_uppercase();
    match (&outcome.error, outcome.version) {
        (Some(error), _) => format!("{status} {}", error.code.name()),
        (None, Some(version)) => format!("{status} {version}"),
        (None, None) => status,
    }
}
