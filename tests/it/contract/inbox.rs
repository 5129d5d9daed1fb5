//! What a store promises about the inbox: it is written with its transaction, read by scope, and moves with its
//! documents.
//!
//! The core decides who may resolve what, and when a conflict opens.

use std::sync::Arc;

use futures_util::StreamExt;
use tidegate::store::{InboxRange, InboxScan, Store, TailEvent};
use tidegate_core::{
    id::{ConflictId, DocumentKey, Scope, Version},
    inbox::{
        ClientChange, InboxPosition, InboxRecord, OpenConflict, PendingConflict, PendingUsage,
        ResolvedConflict,
    },
    outcome::Status,
    push::{RememberedOutcome, ResolutionHash},
    transaction::{ExpiryQuery, Loaded, Reads, Writes},
    value::{Document, Value},
};

use super::{
    Backend,
    fixture::{at, commit, entries, entry, load, scope, task, user, write, write_change},
};

pub(super) fn id(name: &str) -> ConflictId {
    ConflictId::new(name).unwrap()
}

fn titled(title: &str) -> Document {
    [("title".to_owned(), Value::String(title.to_owned()))].into()
}

pub(super) fn open(name: &str, of: &DocumentKey, scope: &Scope, ms: i64) -> InboxRecord {
    InboxRecord::Open(Arc::new(OpenConflict {
        id: id(name),
        key: of.clone(),
        scope: scope.clone(),
        shown_in: [scope.clone()].into(),
        opened_at: at(ms),
        opened_by: user("alice"),
        client: None,
        mutation: None,
        version: Version(1),
        pending: PendingConflict {
            fields: vec!["title".to_owned()],
            base: None,
            mine: ClientChange::Changed(titled("mine")),
            enters: None,
        },
        theirs: Some(titled("theirs")),
    }))
}

fn bobs(name: &str, of: &DocumentKey) -> InboxRecord {
    match open(name, of, &scope("a"), 5) {
        InboxRecord::Open(open) => InboxRecord::Open(Arc::new(OpenConflict {
            opened_by: user("bob"),
            ..OpenConflict::clone(&open)
        })),
        settled @ InboxRecord::Resolved(_) => settled,
    }
}

/// The bytes of each conflict that [`open`] makes.
fn bytes_of_one() -> usize {
    match open("1", &task("1"), &scope("a"), 1) {
        InboxRecord::Open(open) => open.bytes(),
        InboxRecord::Resolved(_) => 0,
    }
}

fn settled(name: &str, ms: i64) -> InboxRecord {
    InboxRecord::Resolved(Arc::new(ResolvedConflict {
        id: id(name),
        key: task("1"),
        user: user("alice"),
        hash: ResolutionHash([3; 32]),
        outcome: RememberedOutcome {
            status: Status::Applied,
            version: Some(Version(2)),
            error: None,
            inbox: None,
        },
        at: at(ms),
    }))
}

pub(super) fn inbox(records: impl IntoIterator<Item = InboxRecord>) -> Writes {
    Writes {
        inbox: records.into_iter().collect(),
        ..Writes::default()
    }
}

async fn record(store: &dyn Store, name: &str) -> Option<InboxRecord> {
    let mut snapshot = store.snapshot().await.unwrap();
    snapshot.conflict(&id(name)).await.unwrap()
}

/// The names of the conflicts in these scopes.
async fn names(store: &dyn Store, scopes: &[&Scope]) -> Vec<String> {
    let conflicts = page(store, scopes, None, 100).await;
    conflicts.iter().map(|open| open.id.to_string()).collect()
}

async fn page(
    store: &dyn Store,
    scopes: &[&Scope],
    after: Option<InboxPosition>,
    limit: usize,
) -> Vec<Arc<OpenConflict>> {
    scan(store, scopes, after, (limit, usize::MAX))
        .await
        .conflicts
}

async fn scan(
    store: &dyn Store,
    scopes: &[&Scope],
    after: Option<InboxPosition>,
    (items_max, bytes_max): (usize, usize),
) -> InboxScan {
    let range = InboxRange {
        scopes: scopes.iter().copied().cloned().collect(),
        after,
        items_max,
        bytes_max,
    };
    let mut snapshot = store.snapshot().await.unwrap();
    snapshot.conflicts(&range).await.unwrap()
}

pub(crate) async fn conflicts_come_back_and_are_replaced_whole(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let first = open("1", &task("1"), &a, 5);
    write(&*store, inbox([first.clone(), settled("2", 7)])).await;
    assert_eq!(record(&*store, "1").await, Some(first.clone()));
    assert_eq!(record(&*store, "2").await, Some(settled("2", 7)));
    assert_eq!(record(&*store, "3").await, None);
    let reads = Reads {
        inbox: [id("1"), id("3")].into(),
        ..Reads::default()
    };
    let loaded = load(&*store, reads).await.inbox;
    assert_eq!(loaded, [(id("1"), first)].into());

    let again = open("1", &task("1"), &scope("b"), 6);
    write(
        &*store,
        inbox([again.clone(), open("2", &task("2"), &a, 8)]),
    )
    .await;
    assert_eq!(record(&*store, "1").await, Some(again));
    assert_eq!(names(&*store, &[&a, &scope("b")]).await, ["1", "2"]);
    write(&*store, inbox([settled("1", 9)])).await;
    assert_eq!(names(&*store, &[&a, &scope("b")]).await, ["2"]);
}

pub(crate) async fn an_inbox_is_read_by_scopes_the_oldest_first(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b, c) = (scope("a"), scope("b"), scope("c"));
    let records = [
        open("x", &task("1"), &b, 3),
        open("w", &task("1"), &a, 3),
        open("late", &task("2"), &a, 9),
        open("early", &task("3"), &a, 1),
        open("elsewhere", &task("4"), &c, 2),
        settled("done", 1),
    ];
    write(&*store, inbox(records)).await;
    assert_eq!(names(&*store, &[&a, &b]).await, ["early", "w", "x", "late"]);
    assert_eq!(names(&*store, &[]).await, [""; 0]);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = page(&*store, &[&a, &b], after, 1).await;
        let Some(open) = page.first() else { break };
        assert_eq!(page.len(), 1);
        seen.push(open.id.to_string());
        after = Some(InboxPosition::from(open.as_ref()));
    }
    assert_eq!(seen, ["early", "w", "x", "late"]);
    // Each holds two titles. A range without room for one yields one all the same.
    let bytes = bytes_of_one();
    for (bounds, expected) in [
        ((3, usize::MAX), (3, true)),
        ((4, usize::MAX), (4, false)),
        ((9, 0), (1, true)),
        ((9, bytes), (1, true)),
        ((9, bytes + 1), (2, true)),
        ((9, 3 * bytes + 1), (4, false)),
    ] {
        let scan = scan(&*store, &[&a, &b], None, bounds).await;
        let found = (scan.conflicts.len(), scan.has_more);
        assert_eq!(found, expected, "{bounds:?}");
    }
}

pub(crate) async fn what_waits_of_a_document_is_counted_for_each_user(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    let counted = async || {
        let share = |id: &str, name: &str| (task(id), user(name));
        let asked = [
            share("1", "alice"),
            share("12", "alice"),
            share("12", "alic"),
            share("12", "bob"),
            share("none", "alice"),
        ];
        let reads = Reads {
            waiting: asked.clone().into(),
            ..Reads::default()
        };
        let waiting = load(&*store, reads).await.waiting;
        asked.map(|share| waiting.get(&share).copied().unwrap_or_default())
    };
    let bytes = bytes_of_one();
    let waiting = |conflicts: usize| PendingUsage {
        conflicts,
        bytes: conflicts * bytes,
    };
    let records = [
        open("1", &task("1"), &a, 1),
        open("2", &task("1"), &b, 2),
        open("3", &task("12"), &a, 3),
        open("4", &task("2"), &a, 3),
        bobs("5", &task("12")),
        bobs("6", &task("12")),
        settled("7", 4),
    ];
    let none = waiting(0);
    write(&*store, entries([entry(&task("1"), &a, 1)])).await;
    assert_eq!(counted().await, [none; 5]);
    write(&*store, inbox(records)).await;
    let both = [waiting(2), waiting(1), none, waiting(2), none];
    assert_eq!(counted().await, both);
    write(&*store, inbox([settled("1", 9)])).await;
    let fewer = [waiting(1), waiting(1), none, waiting(2), none];
    assert_eq!(counted().await, fewer);
    write_change(&*store, &task("1"), Some(&b)).await;
    write_change(&*store, &task("1"), None).await;
    assert_eq!(counted().await, fewer);
}

pub(crate) async fn a_conflict_goes_where_its_document_goes(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    write(
        &*store,
        entries([entry(&task("1"), &a, 1), entry(&task("12"), &a, 1)]),
    )
    .await;
    let records = [
        open("1", &task("1"), &a, 1),
        open("2", &task("1"), &a, 2),
        open("other", &task("12"), &a, 3),
        settled("done", 1),
    ];
    write(&*store, inbox(records)).await;
    write_change(&*store, &task("1"), Some(&b)).await;
    assert_eq!(names(&*store, &[&a]).await, ["other"]);
    assert_eq!(names(&*store, &[&b]).await, ["1", "2"]);
    assert_eq!(record(&*store, "done").await, Some(settled("done", 1)));
    write(&*store, inbox([open("gone", &task("gone"), &a, 9)])).await;
    let mut again = entries([entry(&task("gone"), &b, 9)]);
    again.markers_removed.push((b.clone(), task("gone")));
    write(&*store, again).await;
    assert_eq!(
        names(&*store, &[&a]).await,
        ["other"],
        "it is there again, elsewhere"
    );
    write_change(&*store, &task("1"), None).await;
    assert_eq!(
        names(&*store, &[&b]).await,
        ["1", "2", "gone"],
        "a deleted document has left no scope"
    );
}

/// On a store with many writers, the later one of the two has to see the earlier one.
pub(crate) async fn a_conflict_opened_while_its_document_moves_stands_where_the_document_does(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    for round in 0..12 {
        let key = task(&round.to_string());
        write(&*store, entries([entry(&key, &a, 1)])).await;
        let reads = Reads {
            keys: [key.clone()].into(),
            ..Reads::default()
        };
        let of = key.clone();
        let opens = move |loaded: &Loaded| {
            let stands_in = &loaded.entries[&of].scope;
            inbox([open(&round.to_string(), &of, stands_in, 1)])
        };
        let opening = commit(&*store, reads, Arc::new(opens));
        let (opened, ()) = tokio::join!(opening, write_change(&*store, &key, Some(&b)));
        opened.unwrap();
    }
    assert_eq!(names(&*store, &[&a]).await, [""; 0]);
    assert_eq!(names(&*store, &[&b]).await.len(), 12);
}

pub(crate) async fn settled_conflicts_are_forgotten_the_oldest_first_and_open_ones_never(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let records = [
        settled("new", 30),
        settled("old", 10),
        settled("older", 5),
        open("open", &task("1"), &scope("a"), 1),
    ];
    write(&*store, inbox(records)).await;
    for (before, limit, expected) in [(5, 9, 0), (6, 9, 1), (30, 9, 2), (99, 9, 3), (99, 1, 1)] {
        let reads = Reads {
            expired: Some(ExpiryQuery {
                before: at(before),
                limit,
            }),
            ..Reads::default()
        };
        let found = load(&*store, reads).await.expired_resolutions;
        let oldest_first = ["older", "old", "new"].map(id);
        assert_eq!(
            found,
            oldest_first[..expected],
            "before {before}, limit {limit}"
        );
    }
    let forgetting = Writes {
        resolutions_removed: vec![id("old"), id("older")],
        ..Writes::default()
    };
    write(&*store, forgetting).await;
    assert_eq!(record(&*store, "old").await, None);
    assert!(record(&*store, "new").await.is_some());
    assert!(record(&*store, "open").await.is_some());
}

pub(crate) async fn all_conflicts_are_walked_in_the_order_of_their_ids(backend: &impl Backend) {
    let store = backend.open().await;
    let walked = async |limit: usize| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let mut snapshot = store.snapshot().await.unwrap();
            let walk = snapshot
                .walk_conflicts(after.as_ref(), limit)
                .await
                .unwrap();
            assert!(walk.records.len() <= limit);
            found.extend(walk.records);
            after = walk.next;
            if after.is_none() {
                return found;
            }
        }
    };
    assert_eq!(walked(2).await, []);
    let records = [
        settled("1", 9),
        open("10", &task("1"), &scope("b"), 3),
        open("2", &task("2"), &scope("a"), 7),
        settled("20", 1),
        open("3", &task("1"), &scope("a"), 1),
    ];
    let unordered = [3, 0, 4, 2, 1].map(|nth: usize| records[nth].clone());
    write(&*store, inbox(unordered)).await;
    for limit in [1, 2, 5, 100] {
        assert_eq!(walked(limit).await, records, "{limit} at a time");
    }
    let removed = Writes {
        conflicts_removed: vec![id("1"), id("2")],
        ..Writes::default()
    };
    write(&*store, removed).await;
    let left = [1, 3, 4].map(|nth: usize| records[nth].clone());
    assert_eq!(walked(2).await, left);
}

pub(crate) async fn a_tail_reports_where_conflicts_open_and_end(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    write(&*store, entries([entry(&task("1"), &a, 1)])).await;
    let mut tail = store.tail();
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    let mut next = async |wanted: &Scope| {
        let reported = async {
            loop {
                match tail.next().await.expect("the tail ended") {
                    TailEvent::Inbox(scope) => {
                        assert!(scope.is_none_or(|scope| scope == *wanted));
                        break;
                    }
                    TailEvent::Restart | TailEvent::Committed(_) | TailEvent::Grants(_) => {}
                    TailEvent::Epoch(epoch) => panic!("no epoch begins here: {epoch}"),
                }
            }
        };
        let patience = std::time::Duration::from_secs(10);
        tokio::time::timeout(patience, reported)
            .await
            .expect("the tail stands still");
    };
    write(&*store, inbox([open("1", &task("1"), &a, 1)])).await;
    next(&a).await;
    write(&*store, inbox([settled("1", 2)])).await;
    next(&a).await;
    write(&*store, inbox([open("2", &task("9"), &b, 1)])).await;
    next(&b).await;
}
