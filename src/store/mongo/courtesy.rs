//! Room for other gateways in scopes that they write to as well. Who has just committed there would begin again before
//! anybody who waits after a conflict, and win every time; so it lets another go first. Who waits begins when the commit it
//! collided with is heard of.
//!
//! It only spaces transactions: what is committed is decided by MongoDB's conflicts alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use tidegate_core::{
    entry::ScopeState,
    id::{Scope, Seq},
};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

/// So many scopes are remembered.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("it is above zero");

/// No transaction is waited for longer.
const ROOM_MAX: Duration = Duration::from_millis(50);

/// What this gateway knows of the scopes that it wrote to last, or meant to.
pub(super) struct Courtesy {
    scopes: Mutex<LruCache<Scope, Known>>,
    /// Something was heard.
    news: Notify,
}

#[derive(Default)]
struct Known {
    /// The highest head heard of.
    head: Seq,
    /// The head as this gateway left it.
    left: Option<Seq>,
    /// Until then the next one here has to wait, unless another goes first: others write here too.
    room_until: Option<Instant>,
}

impl Courtesy {
    pub(super) fn new() -> Self {
        Self {
            scopes: Mutex::new(LruCache::new(REMEMBERED_MAX)),
            news: Notify::new(),
        }
    }

    /// Waits until a transaction on these scopes may begin.
    pub(super) async fn begins(&self, scopes: &BTreeSet<Scope>) {
        let known = |scope: &Scope| {
            let scopes = self.lock();
            let known = scopes.peek(scope)?;
            Some((scope.clone(), known.left?, known.room_until?))
        };
        let room: Vec<_> = scopes.iter().filter_map(known).collect();
        let Some(until) = room.iter().map(|(_, _, until)| *until).max() else {
            return;
        };
        let left = room.into_iter().map(|(scope, left, _)| (scope, left));
        let left = left.collect();
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.moved(&left) => {}
        }
    }

    /// Waits until one of these scopes is heard to be beyond its head here.
    pub(super) async fn moved(&self, from: &BTreeMap<Scope, Seq>) {
        self.listen(from);
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // From here on, or something could be heard between the look and the waiting.
            news.as_mut().enable();
            if self.has_moved(from) {
                return;
            }
            news.await;
        }
    }

    /// What is heard of these scopes counts from now on.
    fn listen(&self, from: &BTreeMap<Scope, Seq>) {
        let mut scopes = self.lock();
        for scope in from.keys() {
            scopes.get_or_insert_mut_ref(scope, Known::default);
        }
    }

    fn has_moved(&self, from: &BTreeMap<Scope, Seq>) -> bool {
        let scopes = self.lock();
        let mut from = from.iter();
        from.any(|(scope, head)| scopes.peek(scope).is_some_and(|known| known.head > *head))
    }

    /// Whether somebody else has written to one of these scopes since this gateway did.
    pub(super) fn is_shared(&self, found: &HashMap<Scope, ScopeState>) -> bool {
        let scopes = self.lock();
        let mut found = found.iter();
        found.any(|(scope, state)| {
            let left = scopes.peek(scope).and_then(|known| known.left);
            left.is_some_and(|left| left != state.head)
        })
    }

    /// Somebody has committed, here or elsewhere. Of scopes that this gateway has nothing to do with nothing is kept: others
    /// may write to any number of them.
    pub(super) fn heard<'h>(&self, heads: impl Iterator<Item = (&'h Scope, Seq)>) {
        let mut scopes = self.lock();
        for (scope, head) in heads {
            if let Some(known) = scopes.peek_mut(scope) {
                known.head = known.head.max(head);
            }
        }
        drop(scopes);
        self.news.notify_waiters();
    }

    /// Remembers what a transaction has left that took so long.
    pub(super) fn leave(&self, heads: &BTreeMap<Scope, Seq>, is_shared: bool, took: Duration) {
        let room_until = is_shared.then(|| Instant::now() + (2 * took).min(ROOM_MAX));
        let mut scopes = self.lock();
        for (scope, head) in heads {
            let known = scopes.get_or_insert_mut_ref(scope, Known::default);
            known.left = Some(*head);
            known.room_until = room_until;
        }
        drop(scopes);
        self.heard(heads.iter().map(|(scope, head)| (scope, *head)));
    }

    /// A panic while the lock was held leaves a cache all the same.
    fn lock(&self) -> MutexGuard<'_, LruCache<Scope, Known>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    fn found(head: i64) -> HashMap<Scope, ScopeState> {
        let state = ScopeState {
            head: Seq(head),
            floor: Seq::START,
        };
        HashMap::from([(scope(), state)])
    }

    /// How long the next transaction waits, and what is heard meanwhile.
    async fn waits(courtesy: &Courtesy, heard: Option<(Duration, i64)>) -> Duration {
        let began = Instant::now();
        let scopes = BTreeSet::from([scope()]);
        let hearing = async {
            if let Some((after, head)) = heard {
                tokio::time::sleep(after).await;
                courtesy.heard([(&scope(), Seq(head))].into_iter());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = courtesy.begins(&scopes) => {}
            () = hearing => {}
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_makes_room_only_where_others_have_written_since() {
        let courtesy = Courtesy::new();
        assert!(!courtesy.is_shared(&found(5)), "it has left nothing there");
        courtesy.leave(&heads(6), false, TOOK);
        assert!(!courtesy.is_shared(&found(6)));
        assert_eq!(waits(&courtesy, None).await, Duration::ZERO);
        assert!(courtesy.is_shared(&found(8)));
        courtesy.leave(&heads(9), true, TOOK);
        assert_eq!(waits(&courtesy, None).await, 2 * TOOK);
        courtesy.leave(&heads(10), false, TOOK);
        assert_eq!(waits(&courtesy, None).await, Duration::ZERO);
        courtesy.leave(&heads(11), true, Duration::from_secs(1));
        assert_eq!(waits(&courtesy, None).await, ROOM_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_no_longer_than_until_another_has_gone_first() {
        let courtesy = Courtesy::new();
        courtesy.leave(&heads(9), true, TOOK);
        let soon = Duration::from_millis(3);
        assert_eq!(waits(&courtesy, Some((soon, 9))).await, 2 * TOOK, "its own");
        courtesy.leave(&heads(10), true, TOOK);
        assert_eq!(waits(&courtesy, Some((soon, 11))).await, soon);
    }

    #[tokio::test(start_paused = true)]
    async fn who_collided_begins_when_the_other_commit_is_heard_of_or_was() {
        let courtesy = Courtesy::new();
        let seen = heads(4);
        let (moved, ()) = tokio::join!(tokio::time::timeout(TOOK, courtesy.moved(&seen)), async {
            courtesy.heard([(&Scope::new("team:2").unwrap(), Seq(9))].into_iter());
            courtesy.heard([(&scope(), Seq(4))].into_iter());
        });
        assert!(moved.is_err(), "nothing new was heard of it");
        courtesy.heard([(&scope(), Seq(5)), (&scope(), Seq(3))].into_iter());
        courtesy.moved(&seen).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_write_elsewhere_pushes_nothing_out() {
        let courtesy = Courtesy::new();
        courtesy.leave(&heads(6), false, TOOK);
        for other in 0..2 * REMEMBERED_MAX.get() {
            let other = Scope::new(&format!("user:{other}")).unwrap();
            courtesy.heard([(&other, Seq(1))].into_iter());
        }
        assert!(courtesy.is_shared(&found(8)), "what it left is remembered");
    }
}
