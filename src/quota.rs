//! The bytes that peers make the gateway hold: requests that arrive, pages that are read for them, and answers that
//! they do not read. A byte semaphore counts them for all, and one for each user. The code that holds the bytes decides
//! what happens to a peer beyond a bound.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use thiserror::Error;
use tidegate_core::id::UserId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::lock::Mutex;

/// Bytes of one permit. A semaphore counts in 32 bits.
const UNIT_BYTES: usize = 64;
/// Users are swept when there are twice as many as after the last sweep, and at least this many.
const SWEEP_USERS_MIN: usize = 1_024;

/// How long a reservation waits for others to be released: as long as an operation waits for its permit.
const RESERVE_WAIT: Duration = Duration::from_secs(2);
/// Reads under way have bounds of their own, this part of the others. They reserve more than most of them need, so
/// others would otherwise be refused.
const READS_PART: usize = 2;
/// Peers without a token share this part of all bytes, so that they cannot use up those of users.
const STRANGERS_PART: usize = 8;

/// The bytes that may be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaLimits {
    /// For all peers together.
    pub(crate) bytes_max: usize,
    /// For one user.
    pub(crate) user_bytes_max: usize,
}

/// What remains of them.
pub(crate) struct Quota {
    limits: QuotaLimits,
    all: Arc<QuotaShare>,
    strangers: Arc<QuotaShare>,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    shares: HashMap<UserId, Weak<QuotaShare>>,
    sweep_at: usize,
}

/// What one user may hold, or all.
#[derive(Debug)]
struct QuotaShare {
    held: Arc<Semaphore>,
    /// Bytes that reads under way may reach.
    reads: Arc<Semaphore>,
    reads_bytes_max: usize,
    /// One at a time: work on large requests.
    turns: Arc<Semaphore>,
}

/// The account on which a peer's bytes are counted.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    all: Arc<QuotaShare>,
    of_user: Arc<QuotaShare>,
}

/// Bytes that a read may reach. Dropping it frees them.
pub(crate) struct Reservation {
    _of_user: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Bytes that are held. Dropping it frees them.
#[derive(Debug)]
pub(crate) struct Lease {
    account: Account,
    units: usize,
    all: Option<OwnedSemaphorePermit>,
    of_user: Option<OwnedSemaphorePermit>,
}

/// Why no more bytes can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Exhausted {
    /// The user holds the most that one may.
    #[error("the user holds as many bytes as one may")]
    User,
    /// All together hold the most that they may.
    #[error("all users together hold as many bytes as they may")]
    All,
}

impl Quota {
    pub(crate) fn new(limits: QuotaLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            all: QuotaShare::new(limits.bytes_max),
            strangers: QuotaShare::new(limits.bytes_max / STRANGERS_PART),
            users: Mutex::default(),
        })
    }

    /// The bytes that all peers hold.
    pub(crate) fn held_bytes(&self) -> usize {
        let free = self.all.held.available_permits();
        units(self.limits.bytes_max).saturating_sub(free) * UNIT_BYTES
    }

    /// The one account of all peers without a token.
    pub(crate) fn of_strangers(&self) -> Account {
        Account {
            all: self.all.clone(),
            of_user: self.strangers.clone(),
        }
    }

    /// The account of a user, which all connections of the user share.
    pub(crate) fn of_user(&self, user: &UserId) -> Account {
        let mut users = self.users.lock();
        let known = users.shares.get(user).and_then(Weak::upgrade);
        let share = known.unwrap_or_else(|| {
            let share = QuotaShare::new(self.limits.user_bytes_max);
            users.shares.insert(user.clone(), Arc::downgrade(&share));
            users.sweep();
            share
        });
        Account {
            all: self.all.clone(),
            of_user: share,
        }
    }
}

impl QuotaShare {
    fn new(bytes_max: usize) -> Arc<Self> {
        let reads_bytes_max = bytes_max / READS_PART;
        Arc::new(Self {
            held: Arc::new(Semaphore::new(units(bytes_max))),
            reads: Arc::new(Semaphore::new(units(reads_bytes_max))),
            reads_bytes_max,
            turns: Arc::new(Semaphore::new(1)),
        })
    }
}

impl Users {
    /// Removes users without counted bytes.
    fn sweep(&mut self) {
        if self.shares.len() > self.sweep_at.max(SWEEP_USERS_MIN) {
            self.shares.retain(|_, share| share.strong_count() > 0);
            self.sweep_at = 2 * self.shares.len();
        }
    }
}

impl Account {
    /// Counts this number of bytes.
    ///
    /// # Errors
    /// [`Exhausted`], when there is no room for them.
    pub(crate) fn lease(&self, bytes: usize) -> Result<Lease, Exhausted> {
        let mut lease = Lease {
            account: self.clone(),
            units: 0,
            all: None,
            of_user: None,
        };
        lease.grow_to(bytes)?;
        Ok(lease)
    }

    /// Waits for the user's turn to have a large request read.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.of_user.turns).acquire_owned().await.ok()
    }

    /// Counts what a read may reach, or all that the user's reads may reach if that is less. It waits in turn for other
    /// reads to end.
    ///
    /// # Errors
    /// [`Exhausted`], when it has waited for a while.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation, Exhausted> {
        let units = units(bytes.min(self.of_user.reads_bytes_max));
        let of_user = wait(&self.of_user.reads, units).await;
        let of_user = of_user.ok_or(Exhausted::User)?;
        let all = wait(&self.all.reads, units).await.ok_or(Exhausted::All)?;
        Ok(Reservation {
            _of_user: of_user,
            _all: all,
        })
    }
}

impl Lease {
    /// Raises the count to this number of bytes. A lower number frees nothing.
    ///
    /// # Errors
    /// [`Exhausted`], when there is no room for them. What was counted stays.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let more = units(bytes).saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        let of_user = take(&self.account.of_user.held, more).ok_or(Exhausted::User)?;
        let all = take(&self.account.all.held, more).ok_or(Exhausted::All)?;
        join(&mut self.of_user, of_user);
        join(&mut self.all, all);
        self.units += more;
        Ok(())
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS)
}

fn take(share: &Arc<Semaphore>, units: usize) -> Option<OwnedSemaphorePermit> {
    let units = u32::try_from(units).ok()?;
    Arc::clone(share).try_acquire_many_owned(units).ok()
}

async fn wait(share: &Arc<Semaphore>, units: usize) -> Option<OwnedSemaphorePermit> {
    let units = u32::try_from(units).ok()?;
    let permit = Arc::clone(share).acquire_many_owned(units);
    timeout(RESERVE_WAIT, permit).await.ok()?.ok()
}

fn join(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::user;

    const KIB: usize = 1024;

    fn quota() -> Arc<Quota> {
        Quota::new(QuotaLimits {
            bytes_max: 6 * KIB,
            user_bytes_max: 4 * KIB,
        })
    }

    #[test]
    fn bytes_are_counted_by_user_and_in_all_and_given_back() {
        let quota = quota();
        let [alice, bob] = ["alice", "bob"].map(|name| quota.of_user(&user(name)));
        let first = alice.lease(3 * KIB).ok();
        assert_eq!(alice.lease(2 * KIB).err(), Some(Exhausted::User));
        let again = quota.of_user(&user("alice"));
        assert_eq!(again.lease(2 * KIB).err(), Some(Exhausted::User));
        assert_eq!(bob.lease(4 * KIB).err(), Some(Exhausted::All));
        let strangers = quota.of_strangers();
        assert_eq!(strangers.lease(KIB).err(), Some(Exhausted::User));
        assert!(strangers.lease(KIB / 2).is_ok(), "an eighth is theirs");
        drop(first);
        assert!(bob.lease(4 * KIB).is_ok());
        assert!(
            quota.all.held.available_permits() == units(6 * KIB),
            "all is given back"
        );
    }

    #[test]
    fn a_lease_grows_with_what_comes_and_keeps_what_it_has() {
        let quota = quota();
        let alice = quota.of_user(&user("alice"));
        let mut lease = alice.lease(0).ok().unwrap();
        for bytes in [1, KIB, 4 * KIB, 10] {
            assert_eq!(lease.grow_to(bytes), Ok(()));
        }
        assert_eq!(lease.grow_to(4 * KIB + 1), Err(Exhausted::User));
        assert_eq!(quota.all.held.available_permits(), units(2 * KIB));
        drop(lease);
        assert_eq!(quota.all.held.available_permits(), units(6 * KIB));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_for_the_reads_before_it_and_takes_nothing_from_what_is_held() {
        let quota = quota();
        let [alice, bob] = ["alice", "bob"].map(|name| quota.of_user(&user(name)));
        let first = alice.reserve(9 * KIB).await.ok().unwrap();
        assert!(alice.lease(4 * KIB).is_ok(), "it is counted by itself");
        assert_eq!(alice.reserve(1).await.err(), Some(Exhausted::User));
        let second = bob.reserve(KIB).await.ok();
        assert_eq!(bob.reserve(KIB).await.err(), Some(Exhausted::All));
        let ends = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (third, ()) = tokio::join!(alice.reserve(2 * KIB), ends);
        assert!(third.is_ok(), "it waited for its turn");
        drop((second, third));
        assert_eq!(quota.all.reads.available_permits(), units(3 * KIB));
    }

    #[test]
    fn users_of_whom_nothing_is_held_are_forgotten() {
        let quota = quota();
        for number in 0..3 * SWEEP_USERS_MIN {
            drop(quota.of_user(&user(&format!("user-{number}"))));
        }
        let known = quota.users.lock().shares.len();
        assert!(known <= 2 * SWEEP_USERS_MIN, "{known}");
    }
}
