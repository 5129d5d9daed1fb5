//! Bytes that peers make the gateway hold while they send and while they do not take: a byte semaphore for all, and one for
//! each user. What is counted, and what becomes of a peer for whom there is no room, is decided where the bytes are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tidegate_core::id::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::graphql::error::{Code, Failure};

/// Bytes of one permit: a semaphore is asked for 32 bits of them.
const UNIT_BYTES: usize = 64;
/// Users are looked through when there are twice as many as were left the last time, and this many at least.
const SWEEP_USERS_MIN: usize = 1_024;

/// The bytes that may be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaLimits {
    /// For everybody.
    pub(crate) bytes_max: usize,
    /// For one user.
    pub(crate) user_bytes_max: usize,
}

/// What is left of them.
pub(super) struct Quota {
    limits: QuotaLimits,
    all: Arc<Semaphore>,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    shares: HashMap<UserId, Weak<Semaphore>>,
    sweep_at: usize,
}

/// Where a peer's bytes are counted.
#[derive(Clone)]
pub(super) struct Account {
    all: Arc<Semaphore>,
    of_user: Option<Arc<Semaphore>>,
}

/// Bytes that are held; given back when dropped.
pub(super) struct Lease {
    account: Account,
    units: usize,
    all: Option<OwnedSemaphorePermit>,
    of_user: Option<OwnedSemaphorePermit>,
}

/// Why no more bytes can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// The user has as many as one may have.
    User,
    /// The gateway has.
    All,
}

impl Quota {
    pub(super) fn new(limits: QuotaLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            all: Arc::new(Semaphore::new(units(limits.bytes_max))),
            users: Mutex::default(),
        })
    }

    /// The account of peers that have shown no token.
    pub(super) fn of_strangers(&self) -> Account {
        Account {
            all: self.all.clone(),
            of_user: None,
        }
    }

    /// The account of a user, which all connections of theirs share.
    pub(super) fn of_user(&self, user: &UserId) -> Account {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let known = users.shares.get(user).and_then(Weak::upgrade);
        let share = known.unwrap_or_else(|| {
            let share = Arc::new(Semaphore::new(units(self.limits.user_bytes_max)));
            users.shares.insert(user.clone(), Arc::downgrade(&share));
            users.sweep();
            share
        });
        Account {
            all: self.all.clone(),
            of_user: Some(share),
        }
    }
}

impl Users {
    /// Forgets users of whom nothing is held.
    fn sweep(&mut self) {
        if self.shares.len() > self.sweep_at.max(SWEEP_USERS_MIN) {
            self.shares.retain(|_, share| share.strong_count() > 0);
            self.sweep_at = 2 * self.shares.len();
        }
    }
}

impl Account {
    /// Counts so many bytes.
    ///
    /// # Errors
    /// [`Exhausted`], when there is no room for them.
    pub(super) fn lease(&self, bytes: usize) -> Result<Lease, Exhausted> {
        let mut lease = Lease {
            account: self.clone(),
            units: 0,
            all: None,
            of_user: None,
        };
        lease.grow_to(bytes)?;
        Ok(lease)
    }
}

impl Lease {
    /// Counts so many bytes in all; fewer than before give nothing back.
    ///
    /// # Errors
    /// [`Exhausted`], when there is no room for them. What was counted stays.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let more = units(bytes).saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        let of_user = self.account.of_user.as_ref();
        let of_user = of_user.map(|share| take(share, more).ok_or(Exhausted::User));
        let of_user = of_user.transpose()?;
        let all = take(&self.account.all, more).ok_or(Exhausted::All)?;
        join(&mut self.all, Some(all));
        join(&mut self.of_user, of_user);
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

fn join(held: &mut Option<OwnedSemaphorePermit>, more: Option<OwnedSemaphorePermit>) {
    match (held.as_mut(), more) {
        (Some(held), Some(more)) => held.merge(more),
        (None, more) => *held = more,
        (Some(_), None) => {}
    }
}

impl From<Exhausted> for Failure {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::User => {
                let message = "A user's requests and answers hold as many bytes as they may: take the answers that are under \
                               way. A push may have been applied: send the same again, which applies it once and says what became of it.";
                Self::new(Code::RateLimited, message).with("retryAfter", 1)
            }
            Exhausted::All => {
                let message = "The gateway holds as many bytes of requests and answers as it may. Try again in a moment; a \
                               push may have been applied, and the same push sent again tells.";
                Self::new(Code::Overloaded, message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn quota() -> Arc<Quota> {
        Quota::new(QuotaLimits {
            bytes_max: 6 * KIB,
            user_bytes_max: 4 * KIB,
        })
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
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
        assert_eq!(
            quota.of_strangers().lease(4 * KIB).err(),
            Some(Exhausted::All)
        );
        drop(first);
        assert!(bob.lease(4 * KIB).is_ok());
        assert!(
            quota.all.available_permits() == units(6 * KIB),
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
        assert_eq!(quota.all.available_permits(), units(2 * KIB));
        drop(lease);
        assert_eq!(quota.all.available_permits(), units(6 * KIB));
    }

    #[test]
    fn users_of_whom_nothing_is_held_are_forgotten() {
        let quota = quota();
        for number in 0..3 * SWEEP_USERS_MIN {
            drop(quota.of_user(&user(&format!("user-{number}"))));
        }
        let known = quota.users.lock().unwrap().shares.len();
        assert!(known <= 2 * SWEEP_USERS_MIN, "{known}");
    }
}
