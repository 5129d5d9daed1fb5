//! Room for other gateways in scopes that they write to as well. Who has just committed there would begin again before
//! anybody who waits after a conflict, and win every time; so it lets as long pass as its transaction took.
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
use tokio::time::{Duration, Instant};

/// So many scopes are remembered.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("it is above zero");

/// No transaction is waited for longer.
const ROOM_MAX: Duration = Duration::from_millis(50);

/// How this gateway has left the scopes it wrote to last.
pub(super) struct Courtesy(Mutex<LruCache<Scope, Left>>);

struct Left {
    head: Seq,
    /// Until then the next one here has to wait: others write here too.
    room_until: Option<Instant>,
}

impl Courtesy {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_MAX)))
    }

    /// When a transaction on these scopes may begin.
    pub(super) fn begins(&self, scopes: &BTreeSet<Scope>) -> Option<Instant> {
        let lefts = self.lock();
        let until = scopes
            .iter()
            .filter_map(|scope| lefts.peek(scope)?.room_until);
        until.max()
    }

    /// Whether somebody else has written to one of these scopes since this gateway did.
    pub(super) fn is_shared(&self, found: &HashMap<Scope, ScopeState>) -> bool {
        let lefts = self.lock();
        found.iter().any(|(scope, state)| {
            lefts
                .peek(scope)
                .is_some_and(|left| left.head != state.head)
        })
    }

    /// Remembers what a transaction has left that took so long.
    pub(super) fn leave(&self, heads: BTreeMap<Scope, Seq>, is_shared: bool, took: Duration) {
        let room_until = is_shared.then(|| Instant::now() + took.min(ROOM_MAX));
        let mut lefts = self.lock();
        for (scope, head) in heads {
            lefts.put(scope, Left { head, room_until });
        }
    }

    /// A panic while the lock was held leaves a cache all the same.
    fn lock(&self) -> MutexGuard<'_, LruCache<Scope, Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(head: i64) -> ScopeState {
        ScopeState {
            head: Seq(head),
            floor: Seq::START,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_makes_room_only_where_others_have_written_since() {
        let courtesy = Courtesy::new();
        let scope = Scope::new("team:1").unwrap();
        let scopes = BTreeSet::from([scope.clone()]);
        let took = Duration::from_millis(7);
        let found = |head| HashMap::from([(scope.clone(), state(head))]);
        let left = |head| BTreeMap::from([(scope.clone(), Seq(head))]);
        assert!(!courtesy.is_shared(&found(5)), "it has left nothing there");
        courtesy.leave(left(6), false, took);
        assert!(!courtesy.is_shared(&found(6)));
        assert_eq!(courtesy.begins(&scopes), None);
        assert!(courtesy.is_shared(&found(8)));
        courtesy.leave(left(9), true, took);
        assert_eq!(courtesy.begins(&scopes), Some(Instant::now() + took));
        courtesy.leave(left(10), false, took);
        assert_eq!(courtesy.begins(&scopes), None);
    }
}
