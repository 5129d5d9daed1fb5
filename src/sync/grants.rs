//! A cache of what users were given, keyed by a stamp that rises with each change of it.
//!
//! A page reads the stamp with the state that it reads anyway. Entries go when many others come. All go when
//! memberships may have changed without a stamp.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use tidegate_core::{
    grant::Grants,
    id::UserId,
    membership::Memberships,
    mutant::{Mutant, is_active},
};
use tokio::sync::{Mutex as Turn, MutexGuard as Turned};

use crate::lock::Mutex;

/// The most users in the cache, and the most memberships of all of them.
const USERS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");
const ROWS_MAX: usize = 200_000;

/// The number of claim sets remembered for a user. The tokens of one user mostly have the same claims.
const CLAIMS_MAX: usize = 4;

/// The number of queues in which users take turns.
const TURNS: usize = 64;

/// The cache for all users of the gateway.
pub(super) struct GrantCache {
    cached: Mutex<CachedGrants>,
    turns: Vec<Turn<()>>,
}

struct CachedGrants {
    /// Rises when the cache is cleared: results that were read before are not kept after.
    generation: u64,
    users: LruCache<UserId, Arc<UserMemberships>>,
    rows: usize,
}

/// What one user was given at one moment.
#[derive(Debug)]
pub(super) struct UserMemberships {
    pub(super) memberships: Memberships,
    /// The same combined with the claims of tokens. Each combination is computed once.
    grants: Mutex<Vec<(Arc<Grants>, Arc<Grants>)>>,
}

impl UserMemberships {
    pub(super) fn new(memberships: Memberships) -> Self {
        Self {
            memberships,
            grants: Mutex::default(),
        }
    }

    /// The grants of a token with these claims.
    pub(super) fn with(&self, claims: &Arc<Grants>) -> Arc<Grants> {
        if self.memberships.rows.is_empty() {
            return Arc::clone(claims);
        }
        let mut grants = self.grants.lock();
        let same = |(cached, _): &&(Arc<Grants>, Arc<Grants>)| {
            Arc::ptr_eq(cached, claims) || **cached == **claims
        };
        if let Some((_, granted)) = grants.iter().find(same) {
            return Arc::clone(granted);
        }
        let granted = Arc::new(Grants::clone(claims).with(&self.memberships));
        grants.truncate(CLAIMS_MAX - 1);
        grants.insert(0, (Arc::clone(claims), Arc::clone(&granted)));
        granted
    }
}

impl GrantCache {
    pub(super) fn new() -> Self {
        Self {
            cached: Mutex::new(CachedGrants {
                generation: 0,
                users: LruCache::new(USERS_MAX),
                rows: 0,
            }),
            turns: (0..TURNS).map(|_| Turn::default()).collect(),
        }
    }

    /// Call it before opening the snapshot that is read.
    pub(super) fn generation(&self) -> u64 {
        self.cached.lock().generation
    }

    /// The result for this stamp.
    pub(super) fn get(&self, user: &UserId, stamp: i64) -> Option<Arc<UserMemberships>> {
        let mut cached = self.cached.lock();
        let given = cached.users.get(user)?;
        let is_current = given.memberships.state.stamp == stamp || is_active(Mutant::StampIgnored);
        is_current.then(|| Arc::clone(given))
    }

    /// Lets one caller at a time read what a user is given. The others then find the result in the cache.
    pub(super) async fn turn(&self, user: &UserId) -> Turned<'_, ()> {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let row = hasher.finish() % TURNS as u64;
        self.turns[row as usize].lock().await
    }

    /// Keeps what was read in a snapshot that was opened after `generation` was taken.
    pub(super) fn put(&self, user: &UserId, given: &Arc<UserMemberships>, generation: u64) {
        let mut cached = self.cached.lock();
        if cached.generation != generation {
            return;
        }
        cached.rows += given.memberships.rows.len();
        let replaced = cached.users.push(user.clone(), Arc::clone(given));
        cached.rows -= replaced.map_or(0, |(_, replaced)| replaced.memberships.rows.len());
        while cached.rows > ROWS_MAX {
            let Some((_, oldest)) = cached.users.pop_lru() else {
                return;
            };
            cached.rows -= oldest.memberships.rows.len();
        }
    }

    /// Clears the cache.
    pub(super) fn clear(&self) {
        let mut cached = self.cached.lock();
        cached.generation += 1;
        cached.users.clear();
        cached.rows = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_core::{entry::Membership, membership::UserState, model::Role, value::Timestamp};

    use super::*;
    use crate::fixtures::{key, scope, user};

    fn given(stamp: i64, rows: usize) -> Arc<UserMemberships> {
        let row = |n: usize| {
            let membership = Membership {
                user: user("alice"),
                scope: scope(&format!("team:{n}")),
                role: Role::Read,
                giver: None,
                since: Timestamp::EPOCH,
            };
            (key("Member", &n.to_string()), membership)
        };
        let rows: BTreeMap<_, _> = (0..rows).map(row).collect();
        let declined = Default::default();
        let state = UserState { stamp, declined };
        Arc::new(UserMemberships::new(Memberships { state, rows }))
    }

    #[test]
    fn what_was_read_is_used_at_its_stamp_and_at_no_other() {
        let cache = GrantCache::new();
        cache.put(&user("alice"), &given(7, 2), cache.generation());
        assert!(cache.get(&user("alice"), 7).is_some());
        assert!(cache.get(&user("alice"), 8).is_none());
        assert!(cache.get(&user("alice"), 6).is_none());
        assert!(cache.get(&user("bob"), 7).is_none());
    }

    #[test]
    fn what_was_read_before_all_was_forgotten_is_not_remembered_after_it() {
        let cache = GrantCache::new();
        let before = cache.generation();
        cache.put(&user("alice"), &given(7, 2), before);
        cache.clear();
        assert!(cache.get(&user("alice"), 7).is_none());
        cache.put(&user("alice"), &given(7, 2), before);
        assert!(cache.get(&user("alice"), 7).is_none());
        cache.put(&user("alice"), &given(7, 2), cache.generation());
        assert!(cache.get(&user("alice"), 7).is_some());
    }

    #[test]
    fn the_cache_is_bounded_in_users_and_in_memberships() {
        let cache = GrantCache::new();
        let small = given(1, 0);
        for n in 0..=USERS_MAX.get() {
            cache.put(&user(&n.to_string()), &small, cache.generation());
        }
        assert!(cache.get(&user("0"), 1).is_none(), "the oldest goes");
        assert!(cache.get(&user("1"), 1).is_some());
        let large = given(1, 20_000);
        for n in 0..=10 {
            cache.put(&user(&format!("large{n}")), &large, cache.generation());
        }
        assert!(cache.get(&user("large0"), 1).is_none());
        assert!(cache.get(&user("large1"), 1).is_some());
        assert_eq!(cache.cached.lock().rows, ROWS_MAX);
        // A later result for the same user replaces the earlier one.
        for stamp in 2..20 {
            cache.put(&user("large1"), &given(stamp, 20_000), cache.generation());
        }
        assert!(cache.get(&user("large2"), 1).is_some());
    }

    #[test]
    fn the_grants_of_equal_claims_are_computed_once() {
        let given = given(1, 3);
        let claims = [Arc::<Grants>::default(), Arc::<Grants>::default()];
        let granted = claims.each_ref().map(|claims| given.with(claims));
        assert!(Arc::ptr_eq(&granted[0], &granted[1]));
        assert_eq!(granted[0].scopes().count(), 3);
    }
}
