//! Subscriptions: they deliver every change, outlast a store that is down, and end with their token.

use super::*;

#[tokio::test]
async fn a_subscription_that_waits_ends_with_its_token() {
    let directory = TempDir::new().unwrap();
    let now_ms = Arc::new(AtomicI64::new(0));
    let clock: Clock = {
        let now_ms = now_ms.clone();
        Arc::new(move || Timestamp::EPOCH.plus_ms(now_ms.load(Ordering::Relaxed)))
    };
    let store = Arc::new(embedded(directory.path()));
    let sync = start(MODEL, store, clock, Limits::default());
    let mut pages = follow(&sync, &alice(&sync), 10);
    assert!(
        pages.next().await.unwrap().unwrap().reset,
        "the first page comes at once"
    );
    now_ms.store(TOKEN_MS, Ordering::Relaxed);
    tokio::time::pause();
    assert!(matches!(pages.next().await, Some(Err(SyncError::Expired))));
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_outlasts_a_store_that_cannot_be_read_and_misses_nothing() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    let caller = alice(&sync);
    let mut pages = follow(&sync, &caller, 1);
    assert!(pages.next().await.unwrap().unwrap().reset);
    store.is_down.store(true, Ordering::Relaxed);
    for id in ["1", "2", "3"] {
        sync.push(&caller, create(id)).await.unwrap();
    }
    // More writes than the limit have come, so the rings are not enough.
    let silent = timeout(2 * live::STORE_PAUSE, pages.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    let begun = follow(&sync, &caller, 1).next().await.unwrap();
    assert!(begun.is_err(), "a subscriber without a page gets the error");
    store.is_down.store(false, Ordering::Relaxed);
    for id in ["1", "2", "3"] {
        let page = pages.next().await.unwrap().unwrap();
        assert_eq!(*page.decoded().unwrap()[0].record.key(), key(id));
    }
}

#[tokio::test]
async fn hundreds_who_watch_one_scope_all_get_every_write() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let caller = alice(&sync);
    let mut crowd: Vec<_> = (0..300).map(|_| follow(&sync, &caller, 10)).collect();
    for pages in &mut crowd {
        assert!(pages.next().await.unwrap().unwrap().reset);
    }
    // A subscriber with the first write has read the store for the last time, and sleeps.
    for (ids, last) in [(&["1"][..], 1), (&["2", "3"], 3)] {
        for id in ids {
            sync.push(&caller, create(id)).await.unwrap();
        }
        let all = crowd.iter_mut().map(async |pages| {
            let mut seq = 0;
            while seq < last {
                let page = timeout(PATIENCE, pages.next()).await;
                let page = page.expect("nobody sleeps on").unwrap().unwrap();
                seq = page.changes.last().unwrap().seq.0;
            }
        });
        join_all(all).await;
    }
}

#[tokio::test]
async fn a_write_that_is_never_reported_is_read_from_the_store_soon_after_the_next_one() {
    let directory = TempDir::new().unwrap();
    let (_, sync) = Scripted::on(&directory).serve();
    let caller = alice(&sync);
    let mut pages = follow(&sync, &caller, 10);
    assert!(pages.next().await.unwrap().unwrap().reset);
    let mut seqs = Vec::new();
    for pushed in [&["first"][..], &["untold", "later"]] {
        for id in pushed {
            sync.push(&caller, create(id)).await.unwrap();
        }
        let page = timeout(5 * live::GAP_MAX, pages.next()).await;
        let page = page.expect("it is read").unwrap().unwrap();
        seqs.extend(page.changes.iter().map(|change| change.seq.0));
    }
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn a_page_of_a_subscription_is_small_and_one_of_a_pull_is_not() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        live_page_bytes: 100_000,
        ..Limits::default()
    };
    let (_store, sync) = Scripted::on(&directory).serve_within(limits);
    let caller = alice(&sync);
    let long = |number: usize| create_for("red", &format!("{number}{}", "i".repeat(200)));
    let mut push = long(0);
    push.changes
        .extend((1..1_000).flat_map(|number| long(number).changes));
    sync.push(&caller, push).await.unwrap();
    let request = PullRequest::new(None, RequestedTypes::All, 5_000, sync.limits()).unwrap();
    let pulled = sync.pull(&caller, request).await.unwrap();
    assert_eq!((pulled.changes.len(), pulled.has_more), (1_000, false));
    let mut pages = follow(&sync, &caller, 5_000);
    let (mut changes, mut count) = (0, 0);
    loop {
        let page = pages.next().await.unwrap().unwrap();
        changes += page.changes.len();
        count += 1;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(changes, 1_000);
    assert!(count > 1, "it came in parts");
}
