//! Limits operations: how many a second for each user, how many at a time, and how long each may take. `connections`
//! counts connections, and `graphql::request` limits what one operation may ask for.
//!
//! tower's layers for this enclose a whole request. They see neither operations on a socket nor the user.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use tidegate_core::id::UserId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::connections::{UserConnectionPermit, UserConnections};
use crate::{
    graphql::{
        answer::Answer,
        error::{ClientError, Code},
    },
    limits::Limits,
    metrics::Metrics,
};

/// How long an operation waits for a permit. When thousands of clients reconnect at once, most are served a little
/// later.
const PLACE_WAIT: Duration = Duration::from_secs(2);
/// After this number of operations, users who have not been seen for a while are removed.
const SWEEP_EVERY: u32 = 4_096;

/// The operations under way.
pub(super) struct OperationLimiter {
    limits: Limits,
    rates: Option<DefaultKeyedRateLimiter<UserId>>,
    counted: AtomicU32,
    places: Arc<Semaphore>,
    of_users: Arc<UserConnections>,
}

impl OperationLimiter {
    /// The same, for a gateway whose metrics are read.
    pub(super) fn measured(limits: Limits, metrics: &Metrics) -> Arc<Self> {
        let limiter = Self::new(limits);
        let measured = Arc::downgrade(&limiter);
        metrics.read_at_scrape(move |metrics| {
            let limiter = measured.upgrade()?;
            let free = limiter.places.available_permits();
            let underway = limiter.limits.requests.saturating_sub(free);
            metrics.requests_underway.set(underway as f64);
            Some(())
        });
        limiter
    }

    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let number = |limit| NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX));
        let rate = number(limits.user_rate);
        let burst = number(limits.user_burst).unwrap_or(NonZeroU32::MIN);
        Arc::new(Self {
            rates: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))),
            counted: AtomicU32::new(0),
            places: Arc::new(Semaphore::new(limits.requests)),
            of_users: UserConnections::new(limits.user_requests),
            limits,
        })
    }

    /// Counts an operation of `user`, also one that is refused later.
    ///
    /// # Errors
    /// `RATE_LIMITED`, when the user has sent too many lately.
    pub(super) fn count(&self, user: &UserId) -> Result<(), ClientError> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        let counted = self.counted.fetch_add(1, Ordering::Relaxed);
        if counted.is_multiple_of(SWEEP_EVERY) {
            rates.retain_recent();
        }
        rates.check_key(user).map_err(|early| {
            let wait = early.wait_time_from(rates.clock().now());
            let rate = self.limits.user_rate;
            let message =
                format!("A user may send {rate} operations a second; wait before the next.");
            limited(message, wait.as_secs() + 1).beyond("user_rate")
        })
    }

    /// Acquires a permit for an operation of `user`, and waits a little where there is none.
    ///
    /// # Errors
    /// `RATE_LIMITED`, when the user has as many under way as one may have; `OVERLOADED`, when the gateway has.
    pub(super) async fn enter(&self, user: &UserId) -> Result<OperationPermit, ClientError> {
        let Some(of_user) = self.of_users.try_enter(user) else {
            let max = self.limits.user_requests;
            let message = format!("A user may have {max} operations under way; wait for one.");
            return Err(limited(message, 1).beyond("user_requests"));
        };
        match timeout(PLACE_WAIT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(OperationPermit {
                _place: place,
                _of_user: of_user,
            }),
            _ => Err(ClientError::new(
                Code::Overloaded,
                "The gateway carries as many operations as it may. Try again in a moment.",
            )
            .beyond("requests")),
        }
    }

    /// The answer, if there is one in time. An operation that is given up is not undone: a push may be committed all
    /// the same. The same push sent again returns its outcome.
    pub(super) async fn in_time(&self, work: impl Future<Output = Answer>) -> Answer {
        let time_max = self.limits.request_time;
        timeout(time_max, work).await.unwrap_or_else(|_| {
            let message = format!(
                "The operation took longer than {} s. If this was a push, send the same push again: it is applied once.",
                time_max.as_secs()
            );
            ClientError::new(Code::DeadlineExceeded, message).into()
        })
    }
}

fn limited(message: String, seconds: u64) -> ClientError {
    ClientError::new(Code::RateLimited, message).with("retryAfter", seconds)
}

/// The permit of one operation; released when dropped.
pub(super) struct OperationPermit {
    _place: OwnedSemaphorePermit,
    _of_user: UserConnectionPermit,
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::pause;

    use super::*;

    fn limits() -> Limits {
        Limits {
            requests: 3,
            user_requests: 2,
            user_rate: 2,
            user_burst: 3,
            ..Limits::default()
        }
    }

    fn users() -> [UserId; 2] {
        ["alice", "bob"].map(|name| UserId::new(name).unwrap())
    }

    #[test]
    fn each_user_sends_at_the_rate_of_one_and_learns_when_to_go_on() {
        let operation_limiter = OperationLimiter::new(limits());
        let [alice, bob] = users();
        for _ in 0..3 {
            operation_limiter.count(&alice).unwrap();
        }
        let refused = operation_limiter.count(&alice).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert_eq!(refused.extensions["retryAfter"], 1);
        operation_limiter.count(&bob).unwrap();
        let unlimited = OperationLimiter::new(Limits {
            user_rate: 0,
            ..limits()
        });
        assert!((0..10_000).all(|_| unlimited.count(&alice).is_ok()));
    }

    #[tokio::test]
    async fn users_of_the_past_are_forgotten() {
        let operation_limiter = OperationLimiter::new(Limits {
            user_rate: 1_000_000,
            user_burst: 1,
            ..limits()
        });
        for number in 0..3 * SWEEP_EVERY {
            let user = UserId::new(&format!("user-{number}")).unwrap();
            operation_limiter.count(&user).unwrap();
        }
        let known = operation_limiter.rates.as_ref().unwrap().len();
        assert!(known <= 2 * SWEEP_EVERY as usize, "{known}");
    }

    #[tokio::test]
    async fn places_are_shared_and_no_user_has_all() {
        pause();
        let operation_limiter = OperationLimiter::new(limits());
        let [alice, bob] = users();
        let code = async |user| operation_limiter.enter(user).await.err().map(|it| it.code);
        let first = operation_limiter.enter(&alice).await.ok();
        let _second = operation_limiter.enter(&alice).await.ok();
        assert_eq!(code(&alice).await, Some(Code::RateLimited));
        let _third = operation_limiter.enter(&bob).await.ok();
        assert_eq!(
            code(&bob).await,
            Some(Code::Overloaded),
            "there was no permit in time"
        );
        drop(first);
        assert_eq!(code(&bob).await, None);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        pause();
        let answer = OperationLimiter::new(limits()).in_time(pending()).await;
        assert_eq!(answer.refusal_code(), Some(Code::DeadlineExceeded));
    }
}
