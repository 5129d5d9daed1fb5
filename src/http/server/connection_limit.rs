//! The permits of connections. Strangers have shown no good token yet, members have; each kind has its own number of
//! permits. Other modules decide what is sent on a connection, and whether a token is good.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tidegate_core::id::UserId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    ServerOptions,
    connection::HTTP2_CONNECTION_BYTES,
    strangers::{Network, Strangers},
};
use crate::{
    graphql::error::{ClientError, Code},
    http::connections::{UserConnectionPermit, UserConnections},
    lock::Mutex,
    metrics::Metrics,
    quota::{Account, Exhausted, Lease, Quota},
};

/// How long a connection stays open after the gateway has announced its end, and after the last request with a good token that
/// crossed this announcement. Answers are still sent meanwhile.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(2);

/// The connections that are open.
pub(super) struct ConnectionLimiter {
    members: Arc<Semaphore>,
    users: Arc<UserConnections>,
    strangers: Mutex<Strangers>,
    quota: Arc<Quota>,
    /// How long a connection stays without a good token.
    token_time: Duration,
}

/// The permit of one connection. Its requests and its socket hold it as well; it is released with the last of them.
pub(in crate::http) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    peer: IpAddr,
    number: u64,
    /// Whether it is one of HTTP/2.
    carries_streams: AtomicBool,
    token_use: Mutex<TokenUse>,
}

/// The good tokens that a connection has shown.
struct TokenUse {
    member: Option<Member>,
    /// Requests with a good token that are under way.
    requests: usize,
    /// The end of the last of these, or the start of the connection.
    last: Instant,
}

/// The permits of a member's connection, among all members' and among its user's. Its user is that of the last good token.
struct Member {
    user: UserId,
    place: OwnedSemaphorePermit,
    account: Account,
    _of_user: UserConnectionPermit,
    /// What the streams of HTTP/2 can hold, besides what is counted for each.
    _of_streams: Option<Lease>,
}

/// A request, or a socket, with a good token. While it is under way its connection stays open.
pub(in crate::http) struct AuthenticatedUse(Arc<ConnectionPermit>);

impl ConnectionLimiter {
    pub(super) fn new(options: &ServerOptions) -> Arc<Self> {
        let limits = &options.limits;
        let limiter = Arc::new(Self {
            members: Arc::new(Semaphore::new(limits.connections)),
            users: UserConnections::new(limits.user_connections),
            strangers: Mutex::new(Strangers::new(
                limits.new_connections,
                limits.address_connections,
            )),
            quota: options.quota.clone(),
            token_time: options.times.token,
        });
        limiter.measure(limits.connections, &options.metrics);
        limiter
    }

    fn measure(self: &Arc<Self>, places: usize, metrics: &Metrics) {
        let measured = Arc::downgrade(self);
        metrics.read_at_scrape(move |metrics| {
            let limiter = measured.upgrade()?;
            let members = places.saturating_sub(limiter.members.available_permits());
            let strangers = limiter.strangers.lock().taken();
            for (kind, count) in [("authenticated", members), ("new", strangers)] {
                metrics.connections.of([kind.into()]).set(count as f64);
            }
            metrics.buffer_bytes.set(limiter.quota.held_bytes() as f64);
            Some(())
        });
    }

    /// Takes a stranger's place for one more connection. There always is one: if all are taken, the connection of
    /// another stranger ends.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Arc<ConnectionPermit> {
        let now = Instant::now();
        let number = self.strangers.lock().enter(Network::of(peer), now);
        Arc::new(ConnectionPermit {
            limiter: self.clone(),
            peer,
            number,
            carries_streams: AtomicBool::new(false),
            token_use: Mutex::new(TokenUse {
                member: None,
                requests: 0,
                last: now,
            }),
        })
    }
}

impl ConnectionPermit {
    /// The address that the connection comes from: behind a proxy, that of the proxy.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Marks the connection as one of HTTP/2.
    pub(super) fn carries_streams(&self) {
        self.carries_streams.store(true, Ordering::Relaxed);
    }

    /// Counts bytes that the connection holds, for its user or as a stranger's.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(super) fn lease(&self, bytes: usize) -> Result<Lease, Exhausted> {
        match &self.token_use.lock().member {
            Some(member) => member.account.lease(bytes),
            None => self.limiter.quota.of_strangers().lease(bytes),
        }
    }

    /// Sets the task that serves the connection. It is aborted when a stranger's place is needed.
    pub(in crate::http) fn served_by(&self, task: AbortHandle) {
        let token_use = self.token_use.lock();
        if token_use.member.is_some() {
            return;
        }
        let mut strangers = self.limiter.strangers.lock();
        strangers.served_by(Network::of(self.peer), self.number, task);
    }

    /// Records that the connection has shown a good token of `user`.
    ///
    /// # Errors
    /// `TOO_MANY_CONNECTIONS`, when the user has as many as one may have; `OVERLOADED`, when the gateway has; [`Exhausted`]
    /// of bytes for what the streams of one more connection can hold.
    pub(in crate::http) fn authenticate(
        self: &Arc<Self>,
        user: &UserId,
    ) -> Result<AuthenticatedUse, ClientError> {
        let mut token_use = self.token_use.lock();
        let is_theirs = |member: &Member| member.user == *user;
        if !token_use.member.as_ref().is_some_and(is_theirs) {
            let of_user = self.limiter.users.enter(user)?;
            let account = self.limiter.quota.of_user(user);
            let of_streams = self.carries_streams.load(Ordering::Relaxed);
            let of_streams = of_streams.then(|| account.lease(HTTP2_CONNECTION_BYTES));
            let of_streams = of_streams.transpose()?;
            let place = match token_use.member.take() {
                Some(member) => member.place,
                None => self.become_member()?,
            };
            token_use.member = Some(Member {
                user: user.clone(),
                place,
                account,
                _of_user: of_user,
                _of_streams: of_streams,
            });
            let network = Network::of(self.peer);
            self.limiter.strangers.lock().has_shown(network, user);
        }
        token_use.requests += 1;
        Ok(AuthenticatedUse(self.clone()))
    }

    fn become_member(&self) -> Result<OwnedSemaphorePermit, ClientError> {
        let place = Arc::clone(&self.limiter.members).try_acquire_owned();
        let place = place.map_err(|_| {
            let message = "The gateway has as many connections as it may. Try again in a moment.";
            ClientError::new(Code::Overloaded, message).beyond("connections")
        })?;
        self.leave_strangers();
        Ok(place)
    }

    /// Waits until the connection has been without a good token for too long.
    pub(super) async fn overstayed(&self) {
        self.without_token(self.limiter.token_time).await;
    }

    /// Waits until the connection may be cut after its end was announced. Requests that crossed the announcement are answered
    /// first, each within its own deadline.
    pub(super) async fn parted(&self) {
        sleep(FAREWELL_DEADLINE).await;
        self.without_token(FAREWELL_DEADLINE).await;
    }

    /// Waits until no request with a good token has been under way for `patience`.
    async fn without_token(&self, patience: Duration) {
        loop {
            let (last, is_underway) = {
                let token_use = self.token_use.lock();
                (token_use.last, token_use.requests > 0)
            };
            let now = Instant::now();
            let deadline = if is_underway { now } else { last } + patience;
            if deadline <= now {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    fn leave_strangers(&self) {
        let mut strangers = self.limiter.strangers.lock();
        strangers.leave(Network::of(self.peer), self.number);
    }
}

impl AuthenticatedUse {
    /// Acquires a permit of the user for a stream that shares its connection with others.
    ///
    /// # Errors
    /// `TOO_MANY_CONNECTIONS`, when the user has as many as one may have.
    pub(in crate::http) fn stream_of(
        &self,
        user: &UserId,
    ) -> Result<UserConnectionPermit, ClientError> {
        self.0.limiter.users.enter(user)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if self.token_use.lock().member.is_none() {
            self.leave_strangers();
        }
    }
}

impl Drop for AuthenticatedUse {
    fn drop(&mut self) {
        let mut token_use = self.0.token_use.lock();
        token_use.requests -= 1;
        token_use.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::HttpTimes, fixtures::user, limits::Limits};

    fn options() -> ServerOptions {
        let limits = Limits {
            connections: 3,
            new_connections: 2,
            user_connections: 2,
            buffer_bytes: 8 * HTTP2_CONNECTION_BYTES,
            user_buffer_bytes: HTTP2_CONNECTION_BYTES,
            ..Limits::default()
        };
        ServerOptions::new(limits, HttpTimes::default())
    }

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn code(refused: Result<AuthenticatedUse, ClientError>) -> Option<Code> {
        refused.err().map(|failure| failure.code)
    }

    #[tokio::test]
    async fn a_users_connections_count_whatever_they_carry() {
        let limiter = ConnectionLimiter::new(&options());
        let [alice, bob] = ["alice", "bob"].map(user);
        let [first, second, third] = [(); 3].map(|()| limiter.enter(peer(1)));
        assert!(first.authenticate(&alice).is_ok() && first.authenticate(&alice).is_ok());
        assert!(second.authenticate(&alice).is_ok());
        assert_eq!(
            code(third.authenticate(&alice)),
            Some(Code::TooManyConnections)
        );
        assert!(
            third.authenticate(&bob).is_ok(),
            "others have places of their own"
        );
        let of_bob = first
            .authenticate(&bob)
            .expect("a proxy carries others as well");
        assert!(of_bob.stream_of(&bob).is_err(), "he has two connections");
        let fourth = limiter.enter(peer(1));
        assert_eq!(code(fourth.authenticate(&alice)), Some(Code::Overloaded));
        drop(third);
        assert!(fourth.authenticate(&alice).is_ok());
    }

    #[tokio::test]
    async fn what_the_streams_of_a_connection_can_hold_is_counted_before_it_carries_any() {
        let limiter = ConnectionLimiter::new(&options());
        let alice = user("alice");
        let [first, second] = [(); 2].map(|()| limiter.enter(peer(1)));
        for permit in [&first, &second] {
            permit.carries_streams();
        }
        assert!(
            first.lease(HTTP2_CONNECTION_BYTES + 1).is_err(),
            "strangers have an eighth"
        );
        assert!(first.lease(HTTP2_CONNECTION_BYTES).is_ok());
        let token_use = first.authenticate(&alice);
        assert!(token_use.is_ok());
        assert_eq!(
            first.lease(1).err(),
            Some(Exhausted::User),
            "they are hers now"
        );
        assert_eq!(code(second.authenticate(&alice)), Some(Code::RateLimited));
        drop((first, token_use));
        assert!(second.authenticate(&alice).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_as_long_as_it_shows_good_tokens() {
        let limiter = ConnectionLimiter::new(&options());
        let time = HttpTimes::default().token;
        let begun = Instant::now();
        let permit = limiter.enter(peer(1));
        permit.overstayed().await;
        assert_eq!(begun.elapsed(), time, "it has shown none");
        let token_use = permit.authenticate(&user("alice")).ok();
        let request = async move {
            sleep_until(begun + 10 * time).await;
            drop(token_use);
        };
        tokio::join!(request, permit.overstayed());
        assert_eq!(begun.elapsed(), 11 * time);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_crosses_the_farewell_is_answered() {
        let limiter = ConnectionLimiter::new(&options());
        let permit = limiter.enter(peer(1));
        permit.overstayed().await;
        let farewell = Instant::now();
        permit.parted().await;
        assert_eq!(farewell.elapsed(), FAREWELL_DEADLINE, "nothing crosses it");

        let farewell = Instant::now();
        let token_use = permit.authenticate(&user("alice")).ok();
        let request = async move {
            sleep(10 * FAREWELL_DEADLINE).await;
            drop(token_use);
        };
        tokio::join!(request, permit.parted());
        assert_eq!(farewell.elapsed(), 11 * FAREWELL_DEADLINE);
    }
}
