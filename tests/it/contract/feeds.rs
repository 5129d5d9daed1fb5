//! What a scope's feed promises: bounds, order, and that reading it page by page misses nothing.
//!
//! That all answers of one snapshot agree is in `snapshots`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use tidegate::store::{Scan, ScanRange, Store};
use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Scope, Seq, Version},
};

use super::{
    Backend,
    fixture::{
        entries, entry, feed, get, item, key, marker, marker_item, scan, scanned, scope, state,
        task, tombstone, whole, write, write_change,
    },
};

pub(crate) async fn a_scan_is_ascending_within_its_bounds(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let written = (1..=5).map(|id| entry(&task(&id.to_string()), &a, 1));
    write(&*store, entries(written)).await;
    write(&*store, entries([entry(&task("x"), &scope("a2"), 1)])).await;
    for (after, through, items_max, expected, complete) in [
        (0, 5, 10, &[1, 2, 3, 4, 5][..], true),
        (0, 5, 5, &[1, 2, 3, 4, 5], true),
        (0, 5, 4, &[1, 2, 3, 4], false),
        (1, 4, 10, &[2, 3, 4], true),
        (4, i64::MAX, 10, &[5], true),
        (5, i64::MAX, 10, &[], true),
        (i64::MAX, i64::MAX, 10, &[], true),
        (3, 2, 10, &[], true),
    ] {
        let range = ScanRange {
            after: Seq(after),
            through: Seq(through),
            items_max,
            ..whole(&a)
        };
        let found = scan(&*store, &range).await;
        assert_eq!(scanned(&found), expected, "{range:?}");
        assert_eq!(found.complete, complete, "{range:?}");
    }
}

pub(crate) async fn a_scan_of_some_types_leaves_out_the_others_only(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let mut writes = entries([
        entry(&key("Task", "1"), &a, 1),
        entry(&key("Project", "1"), &a, 1),
        tombstone(&key("Task", "2"), &a, 1),
        entry(&key("Tas", "1"), &a, 1),
    ]);
    writes.markers.push(marker(&key("Project", "2"), &a, 1));
    write(&*store, writes).await;
    for (types, items_max, expected, complete) in [
        (&["Task"][..], 10, &[1, 3][..], true),
        (&["Task"], 1, &[1], false),
        (&["Task"], 2, &[1, 3], true),
        (&["Project"], 10, &[2, 5], true),
        (&["Task", "Project"], 10, &[1, 2, 3, 5], true),
        (&["Missing"], 10, &[], true),
        (&[], 10, &[], true),
    ] {
        let types = types.iter().map(|name| key(name, "1").type_name);
        let range = ScanRange {
            types: Some(types.collect()),
            items_max,
            ..whole(&a)
        };
        let found = scan(&*store, &range).await;
        assert_eq!(scanned(&found), expected, "{range:?}");
        assert_eq!(found.complete, complete, "{range:?}");
    }
}

pub(crate) async fn a_scan_without_removals_has_what_is_there_and_nothing_else(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    for id in ["gone", "kept", "left", "other", "back", "withheld"] {
        write_change(&*store, &task(id), Some(&a)).await;
    }
    write_change(&*store, &key("Note", "n"), Some(&a)).await;
    write_change(&*store, &task("gone"), None).await;
    write_change(&*store, &task("left"), Some(&b)).await;
    write_change(&*store, &task("other"), None).await;
    write_change(&*store, &task("back"), Some(&b)).await;
    write_change(&*store, &task("back"), Some(&a)).await;
    let withheld = Entry {
        withheld: true,
        ..tombstone(&task("withheld"), &a, 2)
    };
    write(&*store, entries([withheld])).await;
    let tasks = BTreeSet::from([task("x").type_name]);
    for (types, after, items_max, expected, complete) in [
        (None, 0, 10, &[2, 7, 12][..], true),
        (Some(&tasks), 0, 10, &[2, 12], true),
        (None, 2, 10, &[7, 12], true),
        (None, 0, 1, &[2], false),
        (None, 0, 3, &[2, 7, 12], true),
        (None, 12, 10, &[], true),
    ] {
        let range = ScanRange {
            types: types.cloned(),
            removals: false,
            after: Seq(after),
            items_max,
            ..whole(&a)
        };
        let found = scan(&*store, &range).await;
        assert_eq!(scanned(&found), expected, "{range:?}");
        assert_eq!(found.complete, complete, "{range:?}");
    }
    drop(store);
    let store = backend.open().await;
    write_change(&*store, &task("other"), Some(&a)).await;
    let living = ScanRange {
        removals: false,
        ..whole(&a)
    };
    assert_eq!(scanned(&scan(&*store, &living).await), [2, 7, 12, 14]);
}

pub(crate) async fn a_byte_cap_yields_at_least_one_record_and_names_what_it_left_out(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let a = scope("a");
    let written = (1..=3).map(|id| entry(&task(&id.to_string()), &a, 1));
    write(&*store, entries(written)).await;
    let all = scan(&*store, &whole(&a)).await;
    let capped = async |bytes_max, after| {
        let range = ScanRange {
            bytes_max,
            after: Seq(after),
            ..whole(&a)
        };
        scan(&*store, &range).await
    };
    let one = capped(0, 0).await;
    assert_eq!((scanned(&one), one.complete), (vec![1], false));
    assert!(one.bytes > 0);
    let two = capped(one.bytes + 1, 0).await;
    assert_eq!((scanned(&two), two.complete), (vec![1, 2], false));
    let last = capped(0, 2).await;
    assert_eq!((scanned(&last), last.complete), (vec![3], true));
    let exact = capped(all.bytes, 0).await;
    assert_eq!((scanned(&exact), exact.complete), (vec![1, 2, 3], true));
    assert_eq!(exact.bytes, all.bytes);
}

pub(crate) async fn a_replaced_record_leaves_its_old_place(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    write(&*store, entries([entry(&task("1"), &a, 1)])).await;
    write(&*store, entries([entry(&task("1"), &a, 2)])).await;
    assert_eq!(feed(&*store, &a).await, [item(2, entry(&task("1"), &a, 2))]);
    for version in [3, 4] {
        let mut writes = entries([]);
        writes.markers.push(marker(&task("2"), &a, version));
        write(&*store, writes).await;
    }
    let expected = [
        item(2, entry(&task("1"), &a, 2)),
        marker_item(4, marker(&task("2"), &a, 4)),
    ];
    assert_eq!(feed(&*store, &a).await, expected);
}

pub(crate) async fn a_document_that_moves_leaves_a_marker_until_it_returns(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    let moved = task("1");
    write_change(&*store, &moved, Some(&a)).await;
    write_change(&*store, &moved, Some(&b)).await;
    assert_eq!(
        feed(&*store, &a).await,
        [marker_item(2, marker(&moved, &a, 2))]
    );
    assert_eq!(feed(&*store, &b).await, [item(1, entry(&moved, &b, 2))]);

    write_change(&*store, &moved, Some(&a)).await;
    assert_eq!(feed(&*store, &a).await, [item(3, entry(&moved, &a, 3))]);
    assert_eq!(
        feed(&*store, &b).await,
        [marker_item(2, marker(&moved, &b, 3))]
    );
    assert_eq!(get(&*store, &moved).await.unwrap().scope, a);
}

/// Writers create, edit, move and delete documents of several types. A reader of each scope pages behind them and must
/// end with the truth.
pub(crate) async fn pages_neither_skip_nor_repeat_while_writers_write(backend: &impl Backend) {
    let store = backend.open().await;
    let scopes = [scope("a"), scope("b")];
    let written = Arc::new(AtomicBool::new(false));
    let readers = scopes.clone().map(|scope| {
        let (store, written) = (Arc::clone(&store), Arc::clone(&written));
        tokio::spawn(async move { Reader::new(scope).follow(&*store, &written).await })
    });
    let writers = (0..3_u64).map(|seed| {
        let (store, scopes) = (Arc::clone(&store), scopes.clone());
        tokio::spawn(async move { write_at_random(&*store, &scopes, seed).await })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    written.store(true, Ordering::SeqCst);
    for reader in join_all(readers).await {
        let reader = reader.unwrap();
        let truth = feed(&*store, &reader.scope).await;
        assert_eq!(reader.documents, living(&truth), "in {}", reader.scope);
    }
}

async fn write_at_random(store: &dyn Store, scopes: &[Scope; 2], seed: u64) {
    let mut random = seed.wrapping_add(1);
    for _ in 0..30 {
        // Knuth's MMIX generator: enough to mix, and the same at every run.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let type_name = ["Task", "Member", "Note"][(random >> 45) as usize % 3];
        let key = key(type_name, &(random >> 33).rem_euclid(4).to_string());
        let target = match (random >> 40) % 5 {
            0 => None,
            1 | 2 => Some(&scopes[0]),
            _ => Some(&scopes[1]),
        };
        write_change(store, &key, target).await;
    }
}

struct Reader {
    scope: Scope,
    cursor: Seq,
    versions: BTreeMap<DocumentKey, Version>,
    documents: BTreeSet<(DocumentKey, Version)>,
}

impl Reader {
    fn new(scope: Scope) -> Self {
        Self {
            scope,
            cursor: Seq::START,
            versions: BTreeMap::new(),
            documents: BTreeSet::new(),
        }
    }

    async fn follow(mut self, store: &dyn Store, written: &AtomicBool) -> Self {
        loop {
            let last_round = written.load(Ordering::SeqCst);
            let mut snapshot = store.snapshot().await.unwrap();
            let head = state(&mut *snapshot, &self.scope).await.head;
            let range = ScanRange {
                after: self.cursor,
                through: head,
                items_max: 3,
                ..whole(&self.scope)
            };
            let page = snapshot.scan(&range).await.unwrap();
            self.apply(&page, head);
            if page.complete && last_round {
                return self;
            }
        }
    }

    fn apply(&mut self, page: &Scan, head: Seq) {
        for item in page.decoded().unwrap() {
            assert!(item.seq > self.cursor && item.seq <= head, "out of bounds");
            self.cursor = item.seq;
            let (key, version) = (item.record.key(), item.record.version());
            let before = self.versions.insert(key.clone(), version);
            assert!(
                before.is_none_or(|before| before < version),
                "{key} repeats"
            );
            self.documents.retain(|(known, _)| known != key);
            self.documents.extend(living(std::slice::from_ref(&item)));
        }
        if page.complete {
            self.cursor = head;
        }
    }
}

fn living(items: &[FeedItem]) -> BTreeSet<(DocumentKey, Version)> {
    items
        .iter()
        .filter_map(|item| match &item.record {
            Record::Entry(entry) if !entry.is_deleted() => Some((entry.key.clone(), entry.version)),
            _ => None,
        })
        .collect()
}
