//! Turns at an application: a bounded number of questions at a time, and round robin among users (fair queuing). A user
//! with a thousand questions delays another user's first question by one.
//!
//! The caller decides how long a user waits, and what is asked.

use std::{collections::VecDeque, sync::Arc};

use tidegate_core::id::UserId;
use tokio::sync::oneshot;

use crate::lock::Mutex;

/// The turns of an application.
pub(super) struct Turns(Arc<Mutex<TurnQueue>>);

/// One turn. Dropping it gives it to the next user who waits.
pub(super) struct Turn(Arc<Mutex<TurnQueue>>);

struct TurnQueue {
    free: usize,
    /// The waiting users, in the order of their next turns.
    waiting: VecDeque<(UserId, VecDeque<oneshot::Sender<Turn>>)>,
}

impl Turns {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(TurnQueue {
            free: count,
            waiting: VecDeque::new(),
        })))
    }

    /// Waits for a turn. A user that stops waiting takes none.
    pub(super) async fn take(&self, user: &UserId) -> Turn {
        let given = {
            let mut queue = self.0.lock();
            if let Some(left) = queue.free.checked_sub(1) {
                queue.free = left;
                return Turn(Arc::clone(&self.0));
            }
            queue.join(user)
        };
        given
            .await
            .expect("the queue keeps a waiting user until a turn is free")
    }
}

impl TurnQueue {
    fn join(&mut self, user: &UserId) -> oneshot::Receiver<Turn> {
        let (give, given) = oneshot::channel();
        match self.waiting.iter_mut().find(|(waits, _)| waits == user) {
            Some((_, of_user)) => of_user.push_back(give),
            None => self.waiting.push_back((user.clone(), [give].into())),
        }
        given
    }

    /// Gives the turn to the next user; it is free if none waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some((user, mut of_user)) = self.waiting.pop_front() {
            of_user.retain(|waits| !waits.is_closed());
            let next = of_user.pop_front();
            if !of_user.is_empty() {
                self.waiting.push_back((user, of_user));
            }
            if next.is_some() {
                return next;
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.lock().next();
        if let Some(next) = next {
            // A user that has just stopped waiting drops the turn, and the next one gets it.
            drop(next.send(Turn(Arc::clone(&self.0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::fixtures::user;

    #[tokio::test]
    async fn users_take_turns_however_many_questions_one_has() {
        let turns = Turns::new(1);
        let (crowd, other) = (user("crowd"), user("other"));
        let first = turns.take(&crowd).await;
        let mut crowding: Vec<_> = (0..100).map(|_| Box::pin(turns.take(&crowd))).collect();
        for waits in &mut crowding {
            assert!(waits.now_or_never().is_none());
        }
        let mut waits = Box::pin(turns.take(&other));
        assert!((&mut waits).now_or_never().is_none());
        drop(first);
        let second = crowding.remove(0).now_or_never().expect("it was first");
        drop(second);
        assert!(waits.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_turn_and_none_is_lost() {
        let turns = Turns::new(2);
        let (a, b) = (user("a"), user("b"));
        let taken = [turns.take(&a).await, turns.take(&a).await];
        let mut gives_up = Box::pin(turns.take(&a));
        assert!((&mut gives_up).now_or_never().is_none());
        let mut given_and_gone = Box::pin(turns.take(&b));
        assert!((&mut given_and_gone).now_or_never().is_none());
        drop(gives_up);
        drop(taken);
        drop(given_and_gone);
        let again = [turns.take(&a).now_or_never(), turns.take(&b).now_or_never()];
        assert!(again.iter().all(Option::is_some));
        assert!(turns.take(&a).now_or_never().is_none());
    }
}
