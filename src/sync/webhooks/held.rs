//! The bytes that a push holds while the application is asked: its questions, and the answers so far. They are counted for
//! its user.
//!
//! The transaction that asks has let go of the documents by then, so its bounds do not count them.

use tidegate_core::{
    push::{CURRENT_BYTES_MAX, WebhookAnswer, WebhookQuestion},
    value::document_bytes,
};

use crate::{
    lock::Mutex,
    quota::{Exhausted, Lease},
    sync::Caller,
};

/// The most bytes of answers to one push, which are as many as its changes may meet. A further answer leaves its document
/// as it is.
const ANSWERS_BYTES_MAX: usize = CURRENT_BYTES_MAX;

/// What one push holds.
pub(super) struct Held(Mutex<Counted>);

struct Counted {
    questions: usize,
    answers: usize,
    /// `None` if nothing is counted.
    lease: Option<Lease>,
}

impl Held {
    pub(super) fn of(caller: &Caller) -> Result<Self, Exhausted> {
        Ok(Self(Mutex::new(Counted {
            questions: 0,
            answers: 0,
            lease: caller.growing_lease(0)?,
        })))
    }

    /// Counts the questions of a round.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(super) fn asks(&self, questions: &[WebhookQuestion]) -> Result<(), Exhausted> {
        let mut counted = self.0.lock();
        counted.questions = questions.iter().map(question_bytes).sum();
        counted.grow()
    }

    /// Counts an answer; `None` if there is no room for it now.
    pub(super) fn answered(&self, answer: WebhookAnswer) -> Option<WebhookAnswer> {
        let WebhookAnswer::Document(document) = &answer else {
            return Some(answer);
        };
        let bytes = document_bytes(document);
        let mut counted = self.0.lock();
        if counted.answers + bytes > ANSWERS_BYTES_MAX {
            return Some(WebhookAnswer::Current);
        }
        counted.answers += bytes;
        counted.grow().ok().map(|()| answer)
    }
}

impl Counted {
    fn grow(&mut self) -> Result<(), Exhausted> {
        let bytes = self.questions + self.answers;
        self.lease
            .as_mut()
            .map_or(Ok(()), |lease| lease.grow_to(bytes))
    }
}

fn question_bytes(question: &WebhookQuestion) -> usize {
    let held = &question.pending;
    let sides = [
        question.current.body.as_ref(),
        held.base.as_ref(),
        held.mine.document(),
    ];
    sides.into_iter().flatten().map(document_bytes).sum()
}
