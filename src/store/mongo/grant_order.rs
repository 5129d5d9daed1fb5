//! The order between changed grants and local commits (rules.md 6.3).
//!
//! Local commits are reported at once, and what other gateways commit comes later, by the change stream. A user whose
//! grants another gateway has withdrawn would get what is written here afterwards. So each transaction that changes
//! grants raises a counter, and each commit reads the counters in its snapshot. A local commit is held until the change
//! stream has reported as many changes as the commit saw.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use super::names::grants_id;
use crate::store::TailEvent;

/// How many counters there are. Two gateways that use the same one have a write conflict when both change grants.
const COUNTERS: usize = 8;

/// The longest time for which a commit is held. After that, the grants of all users are read again before it.
const HELD_MAX: Duration = Duration::from_secs(1);

/// How often grants were changed, by the counters of the gateways that did it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GrantCounters([i64; COUNTERS]);

/// A counter after it was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RaisedCounter {
    pub(super) counter: usize,
    pub(super) value: i64,
}

impl GrantCounters {
    /// The keys of all counters.
    pub(super) fn ids() -> impl Iterator<Item = String> + Clone {
        (0..COUNTERS).map(grants_id)
    }

    /// The counter of a gateway.
    pub(super) fn of_gateway(gateway: u64) -> usize {
        let counters = u64::try_from(COUNTERS).unwrap_or(1);
        usize::try_from(gateway % counters).unwrap_or_default()
    }

    /// Takes in a value of a counter.
    pub(super) fn raise(&mut self, counter: usize, value: i64) {
        if let Some(own) = self.0.get_mut(counter) {
            *own = value.max(*own);
        }
    }

    /// The counter when it is raised next.
    pub(super) fn next(&self, counter: usize) -> RaisedCounter {
        let value = self.0.get(counter).copied().unwrap_or_default() + 1;
        RaisedCounter { counter, value }
    }

    fn join(&mut self, other: Self) {
        for (counter, value) in other.0.into_iter().enumerate() {
            self.raise(counter, value);
        }
    }

    fn covers(&self, other: Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, other)| *own >= other)
    }
}

/// A commit of this gateway, for its own tails.
#[derive(Debug, Clone, Default)]
pub(super) struct LocalCommit {
    pub(super) events: Vec<TailEvent>,
    /// The counters in the commit's snapshot.
    pub(super) saw: GrantCounters,
    /// The counter that the commit itself raised.
    pub(super) raised: Option<RaisedCounter>,
}

/// Local commits in the order in which they may be reported.
#[derive(Default)]
pub(super) struct CommitOrder {
    /// What was reported; `None` if that is unknown, as after a restart.
    reported: Option<GrantCounters>,
    held: VecDeque<(Instant, LocalCommit)>,
}

impl CommitOrder {
    /// Takes a local commit. Returns what may be reported now.
    pub(super) fn committed(&mut self, commit: LocalCommit) -> Vec<TailEvent> {
        if commit.saw == GrantCounters::default() {
            self.reported.get_or_insert_default();
        }
        self.held.push_back((Instant::now(), commit));
        match self.reported {
            Some(_) => self.release(),
            None => self.release_all(),
        }
    }

    /// The change stream has reported the changes of grants up to this value. Returns what may be reported now.
    pub(super) fn reported(
        &mut self,
        RaisedCounter { counter, value }: RaisedCounter,
    ) -> Vec<TailEvent> {
        if let Some(reported) = &mut self.reported {
            reported.raise(counter, value);
        }
        self.release()
    }

    /// All readers read the store again, with their grants: what is held may follow.
    pub(super) fn restarted(&mut self) -> Vec<TailEvent> {
        self.reported = None;
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .flat_map(|(_, commit)| commit.events)
            .collect()
    }

    /// When the first held commit may be reported at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (since, _) = self.held.front()?;
        Some(*since + HELD_MAX)
    }

    /// Everything that is held. The grants of all users are read again before it.
    pub(super) fn release_all(&mut self) -> Vec<TailEvent> {
        let reported = self.reported.get_or_insert_default();
        for (_, commit) in &self.held {
            reported.join(commit.saw);
        }
        let mut events = vec![TailEvent::Grants(None)];
        events.extend(self.release());
        events
    }

    /// The commits that saw nothing that is not reported. Each may be what another one waits for.
    fn release(&mut self) -> Vec<TailEvent> {
        let mut events = Vec::new();
        let mut reported = self.reported.unwrap_or_default();
        let free = |reported: &GrantCounters, held: &VecDeque<(Instant, LocalCommit)>| {
            held.iter()
                .position(|(_, commit)| reported.covers(commit.saw))
        };
        while let Some((_, commit)) =
            free(&reported, &self.held).and_then(|at| self.held.remove(at))
        {
            events.extend(commit.events);
            if let Some(RaisedCounter { counter, value }) = commit.raised {
                reported.raise(counter, value);
            }
        }
        self.reported = self.reported.map(|_| reported);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(values: &[i64]) -> GrantCounters {
        let mut counters = GrantCounters::default();
        for (counter, value) in values.iter().enumerate() {
            counters.raise(counter, *value);
        }
        counters
    }

    /// A commit that is recognised by its event.
    fn commit(saw: GrantCounters, raised: Option<RaisedCounter>) -> LocalCommit {
        let events = vec![TailEvent::Inbox(None)];
        LocalCommit {
            events,
            saw,
            raised,
        }
    }

    /// An order that knows that nothing was changed.
    fn begun() -> CommitOrder {
        let mut order = CommitOrder::default();
        let first = order.committed(commit(saw(&[]), None));
        assert!(matches!(first[..], [TailEvent::Inbox(None)]));
        order
    }

    fn raised(counter: usize, value: i64) -> RaisedCounter {
        RaisedCounter { counter, value }
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_held_until_the_changes_of_grants_that_it_saw_are_reported() {
        let mut order = begun();
        assert_eq!(order.committed(commit(saw(&[0, 2]), None)).len(), 0);
        assert_eq!(order.reported(raised(0, 7)).len(), 0, "of another counter");
        assert_eq!(
            order.reported(raised(1, 1)).len(),
            0,
            "of an earlier change"
        );
        assert_eq!(order.reported(raised(1, 2)).len(), 1);
        assert_eq!(order.committed(commit(saw(&[7, 2]), None)).len(), 1);
        assert_eq!(order.deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_saw_an_earlier_one_of_the_same_gateway_follows_it() {
        let mut order = begun();
        assert_eq!(order.committed(commit(saw(&[1]), None)).len(), 0);
        let first = commit(saw(&[]), Some(raised(0, 1)));
        assert_eq!(order.committed(first).len(), 2, "both");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_for_long_follows_a_change_of_all_grants() {
        let mut order = begun();
        order.committed(commit(saw(&[1]), None));
        assert_eq!(order.deadline(), Some(Instant::now() + HELD_MAX));
        let all = order.release_all();
        assert!(matches!(
            all[..],
            [TailEvent::Grants(None), TailEvent::Inbox(None)]
        ));
        assert_eq!(order.committed(commit(saw(&[1]), None)).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_restart_nothing_is_held() {
        let mut order = begun();
        order.committed(commit(saw(&[1]), None));
        assert_eq!(order.restarted().len(), 1);
        assert_eq!(order.deadline(), None);
        let next = order.committed(commit(saw(&[5]), None));
        assert!(matches!(next[..], [TailEvent::Grants(None), _]));
    }
}
