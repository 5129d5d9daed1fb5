//! What is read for a caller is counted before it is read, and until its page is dropped.

use super::*;
use crate::quota::{Exhausted, Quota, QuotaLimits};

const USER_BYTES: usize = 16 << 20;

fn account_of(user: &str) -> (Arc<Quota>, Account) {
    let quota = Quota::new(QuotaLimits {
        bytes_max: 4 * USER_BYTES,
        user_bytes_max: USER_BYTES,
    });
    let account = quota.of_user(&UserId::new(user).unwrap());
    (quota, account)
}

fn pull(sync: &Arc<SyncService>, caller: &Caller) -> impl Future<Output = Result<Page, SyncError>> {
    let request = PullRequest::new(None, Types::All, 10, sync.limits()).unwrap();
    sync.pull(caller, request)
}

#[tokio::test]
async fn a_page_is_counted_until_it_is_dropped() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let (_quota, account) = account_of("alice");
    let caller = alice(&sync).counted_on(account.clone());
    for id in ["1", "2", "3"] {
        sync.push(&caller, create(id)).await.unwrap();
    }
    let page = pull(&sync, &caller).await.unwrap();
    let bytes: usize = page.changes.iter().map(StoredChange::bytes).sum();
    assert!(bytes > 0);
    let rest = account.lease(USER_BYTES - bytes - 64);
    assert!(rest.is_ok(), "no more is counted than the page holds");
    assert_eq!(account.lease(128).err(), Some(Exhausted::User));
    drop((page, rest));
    assert!(account.lease(USER_BYTES).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_its_users_other_reads_and_is_refused_in_the_end() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let (_quota, account) = account_of("alice");
    let caller = alice(&sync).counted_on(account.clone());
    let others = account.reserve(USER_BYTES).await.unwrap();
    let refused = pull(&sync, &caller).await;
    assert!(
        matches!(refused, Err(SyncError::Exhausted(Exhausted::User))),
        "others read as much as one user may: {refused:?}"
    );
    drop(others);
    assert!(pull(&sync, &caller).await.is_ok());
}
