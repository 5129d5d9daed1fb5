//! The live inbox: how much of it is sent, and how often.

use tidegate_core::id::ConflictId;

use super::{
    skipped::{lead, take_lead},
    *,
};
use crate::sync::inbox::{InboxPage, InboxRequest};

/// Bob writes a text of 40 kB to a new document, and Alice's delete of it is held back: 80 kB with the document.
pub(super) async fn hold_back(sync: &SyncService, id: &str) -> ConflictId {
    let (alice, bob) = (alice(sync), member(sync, "bob", "red"));
    sync.push(&alice, create(id)).await.unwrap();
    let update = Action::Update {
        base: BaseVersion(1),
        set: texts(&[("text", &"x".repeat(40_000))]),
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
    let sync = start(MODEL, Arc::new(embedded(directory.path())), clock, limits);
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

/// The same tasks, where the text says the team.
const BY_TEXT: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{text}") @conflict(policy: MANUAL)
{ id: ID! team: String! text: String! }
"#;

/// A member of the scope that a document leaves asks again and again, and knows the conflict's id.
#[tokio::test]
async fn a_conflict_of_a_document_that_moves_is_shown_to_nobody_and_then_where_it_is() {
    let directory = TempDir::new().unwrap();
    let (store, before) = Scripted::on(&directory).serve();
    lead(MODEL, &store).await;
    let (mallory, bob) = (alice(&before), member(&before, "bob", "red"));
    before.push(&mallory, create("t")).await.unwrap();
    let update = Action::Update {
        base: BaseVersion(1),
        set: texts(&[("text", "blue")]),
        seen: None,
    };
    before.push(&bob, push_of("t", update)).await.unwrap();
    let held = before.push(&mallory, delete("t")).await.unwrap();
    let conflict = held.outcomes[0].inbox.clone().expect("it is held back");

    let clock: Clock = Arc::new(|| Timestamp::EPOCH);
    let after = start(BY_TEXT, store.clone(), clock, Limits::default());
    take_lead(BY_TEXT, MODEL, &store).await;
    let all = InboxRequest::new(100, None).unwrap();
    let shown = async |caller: &Caller| {
        let page = after.conflicts(caller, &all).await.unwrap();
        page.entries.len()
    };
    let (mallory, carol) = (alice(&after), member(&after, "carol", "blue"));
    assert_eq!((shown(&mallory).await, shown(&carol).await), (0, 0));
    let resolve = async |caller: &Caller| {
        let resolution = Resolution::Theirs;
        after
            .resolve(caller, conflict.clone(), (BaseVersion(2), resolution))
            .await
    };
    let refused = resolve(&mallory).await;
    let expected = SyncError::Push(PushRefusal::ConflictNotFound);
    assert_eq!(refused.unwrap_err().to_string(), expected.to_string());
    lead(BY_TEXT, &store).await;
    assert_eq!((shown(&mallory).await, shown(&carol).await), (0, 1));
}
