//! Pacing: when a group may begin. Each rule has one form: not before a moment, unless something happens first.
//!
//! - The group window: not until the senders that were just answered may have sent again, unless enough wait.
//! - Yielding: after a commit to a scope that other gateways write to as well, not until one of them has committed
//!   there. Without this the gateway that has just committed begins before those that back off, and wins every time.
//! - Back-off: after a write conflict, not until the other transaction is reported.
//!
//! Pacing only spaces transactions. The store's conflicts alone decide what is committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use tidegate_core::id::{Scope, Seq};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

use super::write_set::WriteSet;
use crate::{
    lock::Mutex,
    store::{Committed, WriteConflict},
};

/// The number of scopes whose heads the gateway remembers.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("it is above zero");

/// The longest time for which a group waits for the senders that were just answered.
const GROUP_WINDOW_MAX: Duration = Duration::from_millis(5);

/// The longest time for which a gateway yields.
const YIELD_MAX: Duration = Duration::from_millis(50);

/// The heads of the scopes that this gateway writes to, as the tail reports them.
pub(in crate::sync) struct ScopeHeads {
    known: Mutex<LruCache<Scope, Seq>>,
    moved: Notify,
}

impl ScopeHeads {
    pub(in crate::sync) fn new() -> Self {
        Self {
            known: Mutex::new(LruCache::new(REMEMBERED_MAX)),
            moved: Notify::new(),
        }
    }

    /// Notes commits of this or other gateways. Scopes that this gateway does not write to are left out, since others
    /// may write to any number of scopes.
    pub(in crate::sync) fn observe<'h>(&self, heads: impl Iterator<Item = (&'h Scope, Seq)>) {
        let mut known = self.known.lock();
        if known.is_empty() {
            return;
        }
        for (scope, head) in heads {
            if let Some(known) = known.peek_mut(scope) {
                *known = head.max(*known);
            }
        }
        drop(known);
        self.moved.notify_one();
    }

    fn follow(&self, heads: &BTreeMap<Scope, Seq>) {
        let mut known = self.known.lock();
        for scope in heads.keys() {
            known.get_or_insert_mut_ref(scope, Seq::default);
        }
    }

    /// Whether one of these scopes has a higher head now.
    fn is_beyond(&self, heads: &BTreeMap<Scope, Seq>) -> bool {
        let known = self.known.lock();
        let mut heads = heads.iter();
        heads.any(|(scope, head)| known.peek(scope).is_some_and(|known| known > head))
    }
}

/// When the groups of a scheduler may begin.
pub(super) struct Pacing {
    heads: Arc<ScopeHeads>,
    /// The heads as this gateway's local commits left them.
    left: LruCache<Scope, Seq>,
    /// A pause lasts milliseconds, and each running group makes at most one, so there are never many.
    pauses: Vec<Pause>,
    window: Option<GroupWindow>,
}

/// No group that overlaps the write set begins before `until`, unless one of these heads has moved.
struct Pause {
    write_set: WriteSet,
    until: Instant,
    heads: BTreeMap<Scope, Seq>,
}

/// Many senders were just answered and few requests wait: those senders may send again at once. Without the window the
/// few would run alone, the many after them, and so on in turns, although a transaction of one request takes nearly as
/// long as one of all. No group begins before `until`, unless enough requests wait.
struct GroupWindow {
    requests: usize,
    until: Instant,
}

impl Pacing {
    pub(super) fn new(heads: Arc<ScopeHeads>) -> Self {
        Self {
            heads,
            left: LruCache::new(REMEMBERED_MAX),
            pauses: Vec::new(),
            window: None,
        }
    }

    /// Whether no group may begin at all.
    pub(super) fn is_window_open(&self) -> bool {
        self.window.is_some()
    }

    /// Whether no group with this write set may begin.
    pub(super) fn is_paused(&self, write_set: &WriteSet) -> bool {
        let mut pauses = self.pauses.iter();
        pauses.any(|pause| pause.write_set.overlaps(write_set))
    }

    /// Opens the group window after a group with `answered` requests, if fewer than half as many wait.
    pub(super) fn open_window(&mut self, answered: usize, waiting: usize, took: Duration) {
        let wait = group_window(waiting, answered, took);
        self.window = wait.map(|wait| GroupWindow {
            requests: answered,
            until: Instant::now() + wait,
        });
    }

    /// Backs off after a write conflict.
    pub(super) fn back_off(&mut self, write_set: WriteSet, conflict: WriteConflict) {
        self.heads.follow(&conflict.heads);
        self.pauses.push(Pause {
            write_set,
            until: Instant::now() + conflict.backoff,
            heads: conflict.heads,
        });
    }

    /// After a commit, yields the scopes that others have written to since this gateway did, for twice as long as the
    /// commit took. If none is known but the commit had conflicts, it yields all scopes that it has written.
    pub(super) fn committed(&mut self, committed: &Committed, had_conflicts: bool, took: Duration) {
        let Committed { before, after, .. } = committed;
        let is_shared = |scope: &&Scope| {
            let left = self.left.peek(*scope);
            left.is_some_and(|left| before.get(*scope).is_some_and(|before| before != left))
        };
        let mut shared: BTreeSet<&Scope> = after.keys().filter(is_shared).collect();
        if shared.is_empty() && had_conflicts {
            shared = after.keys().collect();
        }
        if !shared.is_empty() {
            let heads = after.iter().filter(|(scope, _)| shared.contains(scope));
            self.pauses.push(Pause {
                write_set: WriteSet::of_scopes(shared.iter().copied()),
                until: Instant::now() + (2 * took).min(YIELD_MAX),
                heads: heads.map(|(scope, head)| (scope.clone(), *head)).collect(),
            });
        }
        for (scope, head) in after {
            self.left.put(scope.clone(), *head);
        }
        self.heads.follow(after);
    }

    /// Waits until a pause or the window may be over.
    pub(super) async fn changed(&self) {
        let pauses = self.pauses.iter().map(|pause| pause.until);
        let windows = self.window.iter().map(|window| window.until);
        let Some(until) = pauses.chain(windows).min() else {
            return pending().await;
        };
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.heads.moved.notified() => {}
        }
    }

    /// Ends what is over, if so many requests wait. Returns whether a group that had to wait may begin.
    pub(super) fn end(&mut self, waiting: usize) -> bool {
        let (now, before) = (Instant::now(), self.pauses.len());
        let heads = &self.heads;
        self.pauses
            .retain(|pause| now < pause.until && !heads.is_beyond(&pause.heads));
        let window = self.window.take();
        let was_open = window.is_some();
        self.window = window.filter(|window| now < window.until && waiting < window.requests);
        self.pauses.len() < before || (was_open && self.window.is_none())
    }
}

/// How long to wait after a group: a quarter of the time it took, if it had more than twice as many requests as wait
/// now.
fn group_window(waiting: usize, ended: usize, took: Duration) -> Option<Duration> {
    let few = ended > 1 && 2 * waiting < ended;
    few.then(|| (took / 4).min(GROUP_WINDOW_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(7);

    fn scope() -> Scope {
        Scope::new("team:1").unwrap()
    }

    fn heads(head: i64) -> BTreeMap<Scope, Seq> {
        BTreeMap::from([(scope(), Seq(head))])
    }

    fn pacing() -> Pacing {
        Pacing::new(Arc::new(ScopeHeads::new()))
    }

    /// A commit that found the first of these heads and left the second.
    fn commit(pacing: &mut Pacing, (before, after): (i64, i64), took: Duration) {
        let committed = Committed {
            before: heads(before),
            after: heads(after),
            ..Committed::default()
        };
        pacing.committed(&committed, false, took);
    }

    /// How long the next group waits, if a head is reported meanwhile.
    async fn waits(pacing: &mut Pacing, heard: Option<(Duration, i64)>) -> Duration {
        let began = Instant::now();
        let write_set = WriteSet::of_scopes([&scope()].into_iter());
        let observed = Arc::clone(&pacing.heads);
        let hearing = async {
            if let Some((after, head)) = heard {
                tokio::time::sleep(after).await;
                observed.observe([(&scope(), Seq(head))].into_iter());
            }
            pending::<()>().await;
        };
        let waiting = async {
            while pacing.is_paused(&write_set) {
                pacing.changed().await;
                pacing.end(0);
            }
        };
        tokio::select! {
            () = waiting => {}
            () = hearing => {}
        }
        began.elapsed()
    }

    #[test]
    fn few_wait_for_the_many_before_them_but_not_for_long() {
        let ms = Duration::from_millis;
        assert_eq!(group_window(1, 15, ms(12)), Some(ms(3)));
        assert_eq!(group_window(0, 2, ms(100)), Some(GROUP_WINDOW_MAX));
        assert_eq!(group_window(8, 15, ms(12)), None);
        assert_eq!(group_window(0, 1, ms(12)), None, "one client never waits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_ends_when_enough_wait_or_with_its_time() {
        let mut pacing = pacing();
        pacing.open_window(4, 1, 4 * TOOK);
        assert!(!pacing.end(3) && pacing.is_window_open());
        assert!(pacing.end(4) && !pacing.is_window_open());
        pacing.open_window(4, 1, 4 * TOOK);
        pacing.changed().await;
        assert!(pacing.end(1) && !pacing.is_window_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_yields_only_where_others_have_written_since() {
        let mut pacing = pacing();
        commit(&mut pacing, (5, 6), TOOK);
        assert_eq!(waits(&mut pacing, None).await, Duration::ZERO, "its first");
        commit(&mut pacing, (6, 7), TOOK);
        assert_eq!(waits(&mut pacing, None).await, Duration::ZERO);
        commit(&mut pacing, (8, 9), TOOK);
        assert_eq!(waits(&mut pacing, None).await, 2 * TOOK);
        commit(&mut pacing, (9, 10), TOOK);
        assert_eq!(waits(&mut pacing, None).await, Duration::ZERO);
        commit(&mut pacing, (11, 12), Duration::from_secs(1));
        assert_eq!(waits(&mut pacing, None).await, YIELD_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn it_yields_no_longer_than_until_another_has_gone_first() {
        let mut pacing = pacing();
        commit(&mut pacing, (5, 6), TOOK);
        commit(&mut pacing, (8, 9), TOOK);
        let soon = Duration::from_millis(3);
        let own = waits(&mut pacing, Some((soon, 9))).await;
        assert_eq!(own, 2 * TOOK, "it heard of its own commit");
        commit(&mut pacing, (10, 11), TOOK);
        assert_eq!(waits(&mut pacing, Some((soon, 12))).await, soon);
    }

    #[tokio::test(start_paused = true)]
    async fn a_collided_group_begins_when_the_other_commit_is_heard_of_or_with_its_time() {
        let mut pacing = pacing();
        let (soon, backoff) = (Duration::from_millis(3), Duration::from_millis(30));
        for (heard, expected) in [(None, backoff), (Some(4), backoff), (Some(5), soon)] {
            let conflict = WriteConflict {
                heads: heads(4),
                backoff,
            };
            pacing.back_off(WriteSet::of_scopes([&scope()].into_iter()), conflict);
            let elsewhere = WriteSet::of_scopes([&Scope::new("team:2").unwrap()].into_iter());
            assert!(!pacing.is_paused(&elsewhere));
            let waited = waits(&mut pacing, heard.map(|head| (soon, head))).await;
            assert_eq!(waited, expected, "{heard:?}");
        }
    }

    #[test]
    fn what_others_write_elsewhere_pushes_nothing_out() {
        let heads = ScopeHeads::new();
        heads.follow(&BTreeMap::from([(scope(), Seq(6))]));
        for other in 0..2 * REMEMBERED_MAX.get() {
            let other = Scope::new(&format!("user:{other}")).unwrap();
            heads.observe([(&other, Seq(1))].into_iter());
        }
        heads.observe([(&scope(), Seq(8))].into_iter());
        assert!(heads.is_beyond(&BTreeMap::from([(scope(), Seq(7))])));
    }
}
