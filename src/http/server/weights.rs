//! The weights of networks, for weighted fair queueing: one, and one more for each user who has shown a good token from
//! the network. `strangers` decides which connection loses its place.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
};

use lru::LruCache;
use tidegate_core::id::UserId;

use super::strangers::Network;

/// The remembered pairs of a network and a user, about 2 MiB of them. The pair that was seen longest ago goes first.
const PAIRS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

/// The users that were seen, by network.
pub(super) struct Weights {
    /// Users by their hash: a name can be long.
    seen: LruCache<(Network, u64), ()>,
    users_of: HashMap<Network, usize>,
    hasher: RandomState,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            seen: LruCache::new(PAIRS_MAX),
            users_of: HashMap::new(),
            hasher: RandomState::new(),
        }
    }
}

impl Weights {
    /// A good token of `user` came from `network`.
    pub(super) fn record(&mut self, network: Network, user: &UserId) {
        let pair = (network, self.hasher.hash_one(user));
        match self.seen.push(pair, ()) {
            Some((known, ())) if known == pair => return,
            Some((forgotten, ())) => self.forget(forgotten.0),
            None => {}
        }
        *self.users_of.entry(network).or_default() += 1;
    }

    fn forget(&mut self, network: Network) {
        if let Some(users) = self.users_of.get_mut(&network) {
            *users -= 1;
            if *users == 0 {
                self.users_of.remove(&network);
            }
        }
    }

    pub(super) fn of(&self, network: Network) -> usize {
        1 + self.users_of.get(&network).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::fixtures::user;

    fn network(number: u32) -> Network {
        Network::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_user_counts_once_for_each_network() {
        let mut weights = Weights::default();
        for name in ["alice", "bob", "alice", "alice"] {
            weights.record(network(1), &user(name));
        }
        weights.record(network(2), &user("alice"));
        assert_eq!([1, 2, 3].map(|it| weights.of(network(it))), [3, 2, 1]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut weights = Weights::default();
        let alice = user("alice");
        for number in 0..2 * PAIRS_MAX.get() as u32 {
            weights.record(network(number), &alice);
        }
        assert_eq!(weights.seen.len(), PAIRS_MAX.get());
        assert_eq!(weights.users_of.len(), PAIRS_MAX.get());
        assert_eq!(weights.of(network(0)), 1, "it was seen longest ago");
    }
}
