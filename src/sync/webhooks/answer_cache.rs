//! The application's answers about pushes that could not ask everything in time, kept until these are sent again.
//!
//! An answer counts for one version of a document, so an old one does no harm. A question whose answer is gone is asked
//! again.

use std::{collections::VecDeque, mem};

use tidegate_core::{
    id::UserId,
    push::{PushHash, PushRequest, WebhookAnswer, WebhookDecision},
    value::document_bytes,
};

use crate::lock::Mutex;

/// The most bytes of answers to one push.
const PUSH_BYTES_MAX: usize = 1 << 20;

/// The most bytes of all answers.
const BYTES_MAX: usize = 16 << 20;

/// The last push of each user that was refused for this reason, the oldest first.
#[derive(Default)]
pub(in crate::sync) struct WebhookAnswerCache(Mutex<VecDeque<Answered>>);

struct Answered {
    user: UserId,
    push: PushHash,
    webhook_decisions: Vec<WebhookDecision>,
    bytes: usize,
}

impl WebhookAnswerCache {
    /// Keeps the answers to a push, as far as there is room.
    pub(super) fn keep(&self, request: &PushRequest) {
        let mut left = PUSH_BYTES_MAX;
        let fitting = request.webhook_decisions.iter().take_while(|decisions| {
            let rest = left.checked_sub(bytes(decisions));
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        let answered = Answered {
            user: request.identity.user.clone(),
            push: request.hash,
            webhook_decisions: fitting.cloned().collect(),
            bytes: PUSH_BYTES_MAX - left
                + mem::size_of::<Answered>()
                + request.identity.user.as_str().len(),
        };
        let mut kept = self.0.lock();
        kept.retain(|other| other.user != answered.user);
        kept.push_back(answered);
        let mut all: usize = kept.iter().map(|answered| answered.bytes).sum();
        while all > BYTES_MAX {
            all -= kept.pop_front().map_or(all, |oldest| oldest.bytes);
        }
    }

    /// Takes the answers to a push, if it is its user's last one that could not ask everything.
    pub(super) fn take(&self, request: &PushRequest) -> Vec<WebhookDecision> {
        let mut kept = self.0.lock();
        let is_it = |answered: &Answered| {
            answered.user == request.identity.user && answered.push == request.hash
        };
        let at = kept.iter().position(is_it);
        let answered = at.and_then(|at| kept.remove(at));
        answered.map_or_else(Vec::new, |answered| answered.webhook_decisions)
    }
}

fn bytes(decisions: &WebhookDecision) -> usize {
    mem::size_of::<WebhookDecision>()
        + match &decisions.answer {
            WebhookAnswer::Document(document) => document_bytes(document),
            WebhookAnswer::Current | WebhookAnswer::Incoming | WebhookAnswer::None => 0,
        }
}
