//! The live inbox: how much of it is sent, and how often.

use tidegate_core::id::ConflictId;

use super::*;
use crate::sync::inbox::{InboxPage, InboxRequest};

/// Bob writes a text of 40 kB to a new document, and Alice's delete of it is held back: 80 kB with the document.
pub(super) async fn hold_back(sync: &SyncService, id: &str) -> ConflictId {
    let (alice, bob) = (alice(sync), member(sync, "bob", "red"));
    sync.push(&alice, create(id)).await.unwrap();
    let text = ("text".to_owned(), Value::String("x".repeat(40_000)));
    let update = Action::Update {
        base: BaseVersion(1),
        set: Document::from([text]),
        seen: None,
    };
    sync.push(&bob, push_of(id, update)).await.unwrap();
    let held = sync.push(&alice, delete(id)).await.unwrap();
    let conflict = held.outcomes[0].inbox.clone();
    conflict.expect("it is held back")
}

fn ids(page: &InboxPage) -> Vec<&str> {
    let entries = page.entries.iter();
    entries
        .map(|entry| entry.conflict.key.id.as_str())
        .collect()
}

#[tokio::test]
async fn who_follows_an_inbox_gets_small_pages_and_one_for_all_that_came_meanwhile() {
    let directory = TempDir::new().unwrap();
    let now_ms = Arc::new(AtomicI64::new(0));
    let clock: Clock = {
        let now_ms = now_ms.clone();
        // Each conflict is opened later than the one before.
        Arc::new(move || Timestamp::EPOCH.plus_ms(now_ms.fetch_add(1, Ordering::Relaxed)))
    };
    let limits = Limits {
        live_page_bytes: 100_000,
        ..Limits::default()
    };
    let sync = start(MODEL, Arc::new(open(&directory)), clock, limits);
    let caller = alice(&sync);
    let all = InboxRequest::new(100, None).unwrap();
    let pages = sync.clone().follow_conflicts(caller.clone(), all.clone());
    let mut pages = Box::pin(pages);
    let mut next = async || timeout(PATIENCE, pages.next()).await.unwrap().unwrap();
    assert!(next().await.unwrap().entries.is_empty());

    for id in ["1", "2", "3", "4"] {
        hold_back(&sync, id).await;
    }
    let page = next().await.unwrap();
    assert_eq!((ids(&page), page.has_more), (vec!["1", "2"], true));
    let rest = InboxRequest::new(100, page.end.as_deref()).unwrap();
    let rest = sync.conflicts(&caller, &rest).await.unwrap();
    assert_eq!((ids(&rest), rest.has_more), (vec!["3", "4"], false));

    // A conflict after a full page does not send the page again.
    hold_back(&sync, "5").await;
    let first = page.entries[0].conflict.id.clone();
    let resolved = sync.resolve(&caller, first, (BaseVersion(2), Resolution::Theirs));
    resolved.await.unwrap();
    let page = next().await.unwrap();
    assert_eq!((ids(&page), page.has_more), (vec!["2", "3"], true));
    let pulled = sync.conflicts(&caller, &all).await.unwrap();
    assert_eq!(
        (ids(&pulled), pulled.has_more),
        (vec!["2", "3", "4", "5"], false)
    );
}
