//! The places of strangers. When all are taken, a connection of the network with the most places for its weight loses
//! its own, as in weighted fair queueing. `connection_limit` decides when a connection is no longer a stranger's.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tidegate_core::id::UserId;
use tokio::{task::AbortHandle, time::Instant};

use super::weights::Weights;

/// How long a newcomer keeps its place while there is an older stranger: enough for a first request from a slow network.
const YOUNG: Duration = Duration::from_secs(2);

/// Shares are compared as whole numbers of this part of a place.
const SHARE_UNIT: usize = 1 << 20;

/// The owner of addresses: one address of IPv4, or a subnet of IPv6, since every site has a whole subnet (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl Network {
    pub(super) fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self(address),
        }
    }
}

/// The connections without a good token, by network and in the order of their arrival.
#[derive(Default)]
pub(super) struct Strangers {
    places: usize,
    /// The most places of one network; 0 sets no bound.
    places_of_network: usize,
    taken: usize,
    came: u64,
    by_network: HashMap<Network, BTreeMap<u64, Stranger>>,
    weights: Weights,
    is_full: bool,
}

struct Stranger {
    came_at: Instant,
    task: Option<AbortHandle>,
}

impl Strangers {
    pub(super) fn new(places: usize, places_of_network: usize) -> Self {
        Self {
            places,
            places_of_network,
            ..Self::default()
        }
    }

    /// Takes a place, and returns the connection's number.
    pub(super) fn enter(&mut self, network: Network, now: Instant) -> u64 {
        let of_network = self.by_network.get(&network).map_or(0, BTreeMap::len);
        if self.places_of_network > 0 && of_network >= self.places_of_network {
            self.evict_of(network);
        } else if self.taken >= self.places {
            self.evict(now);
        }
        self.came += 1;
        self.taken += 1;
        let of_network = self.by_network.entry(network).or_default();
        let newcomer = Stranger {
            came_at: now,
            task: None,
        };
        of_network.insert(self.came, newcomer);
        self.came
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// A connection of this network has shown a good token.
    pub(super) fn has_shown(&mut self, network: Network, user: &UserId) {
        self.weights.record(network, user);
    }

    /// Ends the oldest connection of the network that has the most of them for its weight. So a flood from one network
    /// displaces itself, and a flood from many networks does not displace a crowd behind one address whose users are
    /// known.
    ///
    /// Networks whose connections are all young are spared while there are others. A crowd whose users are not known
    /// yet is often the largest, and its newcomers would displace each other before their first requests.
    fn evict(&mut self, now: Instant) {
        // Logged once: a flood must not fill the log.
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!(target: "http", "connections without a token take all their places; the oldest are ended");
        }
        let rank = |(network, of_network): &(&Network, &BTreeMap<u64, Stranger>)| {
            let (number, oldest) = of_network.first_key_value()?;
            let is_old = now.duration_since(oldest.came_at) >= YOUNG;
            let share = of_network.len() * SHARE_UNIT / self.weights.of(**network);
            Some((is_old, share, Reverse(*number)))
        };
        if let Some((network, _)) = self.by_network.iter().max_by_key(rank) {
            self.evict_of(*network);
        }
    }

    fn evict_of(&mut self, network: Network) {
        let of_network = self.by_network.get(&network);
        let oldest = of_network.and_then(|of_network| of_network.keys().next().copied());
        if let Some(task) = oldest.and_then(|number| self.leave(network, number)) {
            task.abort();
        }
    }

    /// An evicted connection has left already.
    pub(super) fn leave(&mut self, network: Network, number: u64) -> Option<AbortHandle> {
        let of_network = self.by_network.get_mut(&network)?;
        let stranger = of_network.remove(&number)?;
        if of_network.is_empty() {
            self.by_network.remove(&network);
        }
        self.taken -= 1;
        self.is_full &= self.taken >= self.places / 2;
        stranger.task
    }

    /// A connection that was evicted before its task was known ends at once.
    pub(super) fn served_by(&mut self, network: Network, number: u64, task: AbortHandle) {
        let of_network = self.by_network.get_mut(&network);
        match of_network.and_then(|of_network| of_network.get_mut(&number)) {
            Some(stranger) => stranger.task = Some(task),
            None => task.abort(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    /// The numbers of the remaining connections.
    fn left(strangers: &Strangers) -> Vec<u64> {
        let of_networks = strangers.by_network.values();
        let mut numbers: Vec<u64> = of_networks.flat_map(|it| it.keys().copied()).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_subnet_of_ipv6_is_one_network() {
        for (one, other, expected) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(network(one) == network(other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_flood_displaces_itself_and_then_the_oldest_goes() {
        let now = Instant::now();
        let [flood, friend] = ["10.0.0.1", "10.0.0.2"].map(network);
        let mut strangers = Strangers::new(4, 0);
        let first = strangers.enter(friend, now);
        let numbers: Vec<u64> = (0..9).map(|_| strangers.enter(flood, now)).collect();
        assert_eq!(left(&strangers), [&[first], &numbers[6..]].concat());
        let mut alone = Strangers::new(2, 0);
        for number in 3..7 {
            alone.enter(network(&format!("10.0.1.{number}")), now);
        }
        assert_eq!(left(&alone), [3, 4], "none has more than another");
    }

    #[test]
    fn newcomers_behind_one_address_are_spared_while_there_are_older_strangers() {
        let crowd = network("10.0.0.1");
        let begun = Instant::now();
        let mut strangers = Strangers::new(4, 0);
        for number in 0..4 {
            strangers.enter(network(&format!("10.0.1.{number}")), begun);
        }
        for _ in 0..4 {
            strangers.enter(crowd, begun + YOUNG);
        }
        assert_eq!(left(&strangers), [5, 6, 7, 8], "the idle ones go");
        strangers.enter(network("10.0.0.2"), begun + YOUNG);
        assert_eq!(left(&strangers), [6, 7, 8, 9], "all are young");
        strangers.enter(network("10.0.0.3"), begun + 2 * YOUNG);
        assert_eq!(left(&strangers), [7, 8, 9, 10], "all are old");
    }

    /// The flood renews one connection from each of many addresses, so that all of them stay young.
    #[test]
    fn a_flood_from_many_networks_does_not_displace_a_crowd_whose_users_are_known() {
        let crowd = network("10.0.0.1");
        let now = Instant::now();
        for (users, expected) in [(0, 2), (9, 10)] {
            let mut strangers = Strangers::new(100, 0);
            for number in 0..users {
                strangers.has_shown(crowd, &UserId::new(&format!("user-{number}")).unwrap());
            }
            for round in 0..3 {
                for address in 0..100 {
                    strangers.enter(network(&format!("10.1.{round}.{address}")), now);
                }
                for _ in 0..10 {
                    strangers.enter(crowd, now);
                }
                let of_crowd = strangers.by_network.get(&crowd).map_or(0, BTreeMap::len);
                assert_eq!(of_crowd, expected, "{users} known users, round {round}");
            }
        }
    }

    /// Otherwise one member could keep all newcomers out, from one address.
    #[test]
    fn one_users_tokens_make_no_room_for_a_flood() {
        let [flood, newcomer] = ["10.0.0.1", "10.0.0.2"].map(network);
        let now = Instant::now();
        let mut strangers = Strangers::new(10, 0);
        for _ in 0..100 {
            strangers.has_shown(flood, &UserId::new("mallory").unwrap());
        }
        let first = strangers.enter(newcomer, now);
        for _ in 0..100 {
            strangers.enter(flood, now);
        }
        assert!(left(&strangers).contains(&first));
    }

    #[test]
    fn a_network_may_have_a_bound_of_its_own() {
        let now = Instant::now();
        let mut strangers = Strangers::new(10, 2);
        for _ in 0..5 {
            strangers.enter(network("10.0.0.1"), now);
        }
        strangers.enter(network("10.0.0.2"), now);
        assert_eq!(left(&strangers), [4, 5, 6]);
    }

    #[test]
    fn a_place_is_given_back_once() {
        let now = Instant::now();
        let mut strangers = Strangers::new(1, 0);
        let network = network("10.0.0.1");
        let first = strangers.enter(network, now);
        let second = strangers.enter(network, now);
        strangers.leave(network, first);
        assert_eq!((strangers.taken, left(&strangers)), (1, vec![second]));
        strangers.leave(network, second);
        assert_eq!(strangers.taken, 0);
        assert!(strangers.by_network.is_empty(), "nobody is remembered");
    }
}
