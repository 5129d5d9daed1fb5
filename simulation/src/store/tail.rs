//! What gateways hear of commits: late, in pieces, in any order, or not at all (rules.md 6.1).

use std::collections::VecDeque;

use tidegate::store::{FeedWrite, TailEvent};
use tidegate_core::transaction::Writes;
use tokio::sync::mpsc;

use super::{Inner, StoreFault};

/// What one gateway hears.
#[derive(Default)]
pub(super) struct Tail {
    followers: Vec<mpsc::UnboundedSender<TailEvent>>,
    pub(super) lags: bool,
    waiting: VecDeque<TailEvent>,
}

impl Tail {
    /// Opens the tail for one more follower.
    pub(super) fn open(&mut self) -> mpsc::UnboundedReceiver<TailEvent> {
        let (follower, events) = mpsc::unbounded_channel();
        self.followers.push(follower);
        self.waiting.clear();
        events
    }

    /// Breaks it off: the waiting events are lost.
    pub(super) fn restart(&mut self) {
        self.waiting.clear();
        self.offer([TailEvent::Restart]);
    }

    /// Reports a commit of the gateway itself, at once. It never overtakes changed grants (rules.md 6.3).
    fn offer_own(&mut self, events: impl IntoIterator<Item = TailEvent>, overtakes: bool) {
        let mut waiting = self.waiting.iter();
        if waiting.any(|event| matches!(event, TailEvent::Grants(_))) && !overtakes {
            self.waiting.extend(events);
        } else {
            events.into_iter().for_each(|event| self.send(event));
        }
    }

    fn offer(&mut self, events: impl IntoIterator<Item = TailEvent>) {
        self.waiting.extend(events);
        if !self.lags {
            self.tell(usize::MAX);
        }
    }

    /// Sends some of the waiting events.
    pub(super) fn tell(&mut self, events: usize) {
        let count = self.waiting.len().min(events);
        let next: Vec<_> = self.waiting.drain(..count).collect();
        next.into_iter().for_each(|event| self.send(event));
    }

    /// A gateway that died hears nothing.
    fn send(&mut self, event: TailEvent) {
        self.followers
            .retain(|follower| follower.send(event.clone()).is_ok());
    }
}

impl Inner {
    /// Sends what a commit wrote. The gateway that made it hears at once, however far its tail lags
    /// behind, unless changed grants wait there.
    pub(super) fn announce(&mut self, writes: &Writes, stored: Vec<FeedWrite>, by: Option<usize>) {
        if !writes.users.is_empty() {
            let users = writes.users.keys().cloned().collect();
            self.tell(&[TailEvent::Grants(Some(users))], None, by);
        }
        if !stored.is_empty() {
            let whole = TailEvent::Committed(stored.iter().cloned().collect());
            let pieces = self.in_pieces(stored);
            self.tell(&pieces, Some(whole), by);
        }
        if !writes.inbox.is_empty() {
            self.tell(&[TailEvent::Inbox(None)], None, None);
        }
        if let Some(epoch) = &writes.epoch {
            self.tell(&[TailEvent::Epoch(epoch.clone())], None, None);
        }
    }

    /// The writes of one transaction in some pieces, in no order.
    fn in_pieces(&mut self, mut left: Vec<FeedWrite>) -> Vec<TailEvent> {
        let mut pieces = Vec::new();
        while !left.is_empty() {
            let mut piece = Vec::new();
            for _ in 0..=self.random.below(left.len()) {
                piece.push(left.swap_remove(self.random.below(left.len())));
            }
            pieces.push(TailEvent::Committed(piece.into()));
        }
        pieces
    }

    /// Sends to all gateways. The one that committed gets `own` instead, if there is one.
    fn tell(&mut self, events: &[TailEvent], own: Option<TailEvent>, by: Option<usize>) {
        let overtakes = self.broken == Some(StoreFault::GrantsOvertaken);
        for (gateway, tail) in self.tails.iter_mut().enumerate() {
            if by != Some(gateway) {
                tail.offer(events.iter().cloned());
            } else if let Some(own) = &own {
                tail.offer_own([own.clone()], overtakes);
            } else {
                tail.offer_own(events.iter().cloned(), overtakes);
            }
        }
    }
}
