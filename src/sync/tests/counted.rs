//! What is read for a caller is counted before it is read, and until its page is dropped.

use super::{members::counted::CountingStore, *};
use crate::{
    fixtures::{entry, texts},
    quota::{Exhausted, Quota, QuotaLimits},
};

const USER_BYTES: usize = 16 << 20;

fn account_of(user: &str) -> (Arc<Quota>, Account) {
    account_of_bytes(user, USER_BYTES)
}

fn account_of_bytes(user: &str, user_bytes_max: usize) -> (Arc<Quota>, Account) {
    let quota = Quota::new(QuotaLimits {
        bytes_max: 4 * user_bytes_max,
        user_bytes_max,
    });
    let account = quota.of_user(&fixtures::user(user));
    (quota, account)
}

fn pull(sync: &Arc<SyncService>, caller: &Caller) -> impl Future<Output = Result<Page, SyncError>> {
    let request = PullRequest::new(None, RequestedTypes::All, 10, sync.limits()).unwrap();
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

/// Of every two documents the caller may see one. Each has 2 MB.
#[tokio::test]
async fn documents_are_read_in_rounds_and_counted_until_they_are_dropped() {
    const MB: usize = 1_000_000;
    let directory = TempDir::new().unwrap();
    let store = Arc::new(CountingStore {
        inner: embedded(directory.path()),
        layer: Arc::default(),
    });
    let clock = Arc::new(|| Timestamp::EPOCH);
    let sync = start(MODEL, store.clone(), clock, Limits::default());
    let (_quota, account) = account_of_bytes("alice", 64 * MB);
    let caller = alice(&sync).counted_on(account.clone());
    let teams = ["red", "blue"].repeat(20);
    let entries = (0..).zip(teams).map(|(n, team)| {
        let body = texts(&[("text", &"x".repeat(2 * MB))]);
        entry(key(&format!("{n:02}")), &format!("team:{team}"), body)
    });
    let entries: Vec<_> = entries.map(Arc::new).collect();
    let keys: BTreeSet<DocumentKey> = entries.iter().map(|entry| entry.key.clone()).collect();
    let writes = Writes {
        entries,
        ..Writes::default()
    };
    let commit = store.commit(Reads::default(), Arc::new(move |_: &_| writes.clone()));
    commit.await.unwrap();

    let read = sync
        .documents(&caller, keys.clone(), 15 * MB)
        .await
        .unwrap();
    let bytes: usize = read
        .found
        .iter()
        .filter_map(|it| it.body.as_ref())
        .map(document_bytes)
        .sum();
    assert!((15 * MB..24 * MB).contains(&bytes), "{bytes}");
    let seen = read
        .found
        .iter()
        .all(|entry| entry.scope.as_str() == "team:red");
    assert!(seen && !read.left_out.is_empty());
    let rounds = std::mem::take(&mut *store.layer.entry_bytes.lock().unwrap());
    assert!(rounds.iter().all(|bytes| *bytes <= 8 << 20), "{rounds:?}");
    assert!(rounds.iter().sum::<usize>() < 40 * MB, "{rounds:?}");
    let rest = account.lease(64 * MB - bytes - 64);
    assert!(rest.is_ok(), "no more is counted than was found");
    assert!(account.lease(128).is_err());
    drop((read, rest));

    let read = sync.documents(&caller, keys, 100 * MB).await.unwrap();
    assert_eq!((read.found.len(), read.left_out.len()), (20, 0));
}

/// Each subscription of a user with many scopes keeps all of them while it waits.
#[tokio::test]
async fn subscriptions_are_counted_with_their_scopes_while_they_wait() {
    const BYTES: usize = SUBSCRIPTION_BYTES + 2 * (SCOPE_BYTES + NAMES * "user:alice".len());
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let (_quota, account) = account_of("alice");
    let caller = alice(&sync).counted_on(account.clone());
    let _rest = account.lease(USER_BYTES - 4 * BYTES).unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        let mut changes = follow(&sync, &caller, 10);
        match changes.next().await.unwrap() {
            Ok(_) => waiting.push(changes),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, SyncError::Exhausted(Exhausted::User)));
    let conflicts = InboxRequest::new(1, None).unwrap();
    let conflicts = Arc::clone(&sync).follow_conflicts(caller.clone(), conflicts);
    let refused = Box::pin(conflicts).next().await.unwrap().err();
    assert!(matches!(
        refused,
        Some(SyncError::Exhausted(Exhausted::User))
    ));
    assert!((3..=5).contains(&waiting.len()), "{}", waiting.len());
    drop(waiting);
    assert!(account.lease(4 * BYTES - 64).is_ok(), "all is given back");
}
