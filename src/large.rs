//! Work on large requests: reading a MiB of small values takes a core for a while. It runs outside the threads that
//! serve others, one request of a user at a time.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

use crate::quota::Account;

/// Smaller bodies and documents are read in place.
pub(crate) const TEXT_BYTES: usize = 64 << 10;

/// Fewer values are read in place.
pub(crate) const VALUES: usize = 8 << 10;

/// Smaller arguments are read in place. A value counts 128 bytes.
pub(crate) const ARGUMENT_BYTES: usize = 128 * VALUES;

/// Runs `work` when the account's other work of this kind is done. It keeps its turn when the caller goes away, so that a
/// peer that hangs up does not begin more.
pub(crate) async fn run<T: Send + 'static>(
    account: Option<&Account>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let turn = match account {
        Some(account) => account.turn().await,
        None => None,
    };
    let done = spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    match done.await {
        Ok(done) => done,
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tidegate_core::id::UserId;
    use tokio::{task::yield_now, time::timeout};

    use super::*;
    use crate::quota::{Quota, QuotaLimits};

    fn accounts() -> [Account; 2] {
        let quota = Quota::new(QuotaLimits {
            bytes_max: 1 << 20,
            user_bytes_max: 1 << 20,
        });
        ["alice", "bob"].map(|user| quota.of_user(&UserId::new(user).unwrap()))
    }

    #[tokio::test]
    async fn large_work_of_one_user_waits_for_its_own_and_stops_nobody_else() {
        let [alice, bob] = accounts();
        let (finish, finished) = mpsc::channel::<()>();
        let of_alice = alice.clone();
        let first = tokio::spawn(async move {
            run(Some(&of_alice), move || finished.recv().unwrap()).await;
        });
        // This thread goes on meanwhile, though there is no other.
        yield_now().await;
        assert_eq!(run(Some(&bob), || 2).await, 2);
        let second = timeout(Duration::from_millis(50), run(Some(&alice), || 3));
        assert!(second.await.is_err(), "alice has one at a time");
        finish.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(run(Some(&alice), || 3).await, 3);
    }

    #[tokio::test]
    async fn work_whose_caller_goes_away_keeps_its_turn() {
        let [alice, _] = accounts();
        let (finish, finished) = mpsc::channel::<()>();
        let work = run(Some(&alice), move || finished.recv().unwrap());
        assert!(timeout(Duration::from_millis(50), work).await.is_err());
        let second = timeout(Duration::from_millis(50), run(Some(&alice), || 3));
        assert!(second.await.is_err(), "the first is not done");
        finish.send(()).unwrap();
        assert_eq!(run(Some(&alice), || 3).await, 3);
    }
}
