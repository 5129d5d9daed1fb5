//! What collecting promises: only what is old and over goes, and the floors show it.
//!
//! The core decides what is old enough, and how floors are chosen.

use tidegate::store::Store;
use tidegate_core::{
    entry::FeedItem,
    id::{Seq, Version},
    transaction::{ExpiryQuery, Reads, Writes},
};

use super::{
    Backend,
    fixture::{
        at, entries, entry, feed, get, item, load, marker, marker_item, scope, seqs, state, task,
        tombstone, write,
    },
};

pub(crate) async fn the_expired_are_the_old_collectables_oldest_first(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    let mut writes = entries([
        tombstone(&task("1"), &a, 30),
        entry(&task("2"), &a, 1),
        tombstone(&task("3"), &b, 10),
        tombstone(&task("4"), &b, 40),
    ]);
    writes.markers.push(marker(&task("2"), &b, 20));
    write(&*store, writes).await;

    let oldest_first = [
        item(1, tombstone(&task("3"), &b, 10)),
        marker_item(3, marker(&task("2"), &b, 20)),
        item(1, tombstone(&task("1"), &a, 30)),
        item(2, tombstone(&task("4"), &b, 40)),
    ];
    for (before, limit, expected) in [
        (10, 10, 0),
        (11, 10, 1),
        (40, 10, 3),
        (41, 10, 4),
        (41, 2, 2),
        (41, 0, 0),
    ] {
        let found = expired(&*store, before, limit).await;
        assert_eq!(
            found,
            oldest_first[..expected],
            "before {before}, limit {limit}"
        );
    }
}

pub(crate) async fn what_is_collected_vanishes_and_floors_rise(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let mut writes = entries([tombstone(&task("1"), &a, 5), entry(&task("2"), &a, 1)]);
    writes.markers.push(marker(&task("3"), &a, 6));
    write(&*store, writes).await;
    let collection = Writes {
        collected: expired(&*store, 100, 10).await,
        floors: [(a.clone(), Seq(3)), (scope("never-written"), Seq(1))].into(),
        version_floor: Some(Version(6)),
        ..Writes::default()
    };
    assert_eq!(collection.collected.len(), 2);
    write(&*store, collection).await;

    assert_eq!(get(&*store, &task("1")).await, None);
    assert_eq!(seqs(&feed(&*store, &a).await), [2]);
    assert!(expired(&*store, 100, 10).await.is_empty());
    let mut snapshot = store.snapshot().await.unwrap();
    let after = state(&mut *snapshot, &a).await;
    assert_eq!((after.head.0, after.floor.0), (3, 3));
    assert_eq!(
        load(&*store, Reads::default()).await.version_floor,
        Version(6)
    );

    write(&*store, entries([entry(&task("1"), &a, 7)])).await;
    assert_eq!(seqs(&feed(&*store, &a).await), [2, 4]);
    let lower = Writes {
        floors: [(a.clone(), Seq(2))].into(),
        ..Writes::default()
    };
    write(&*store, lower).await;
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(state(&mut *snapshot, &a).await.floor, Seq(3));
}

pub(crate) async fn what_was_replaced_since_is_not_collected(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let mut writes = entries([tombstone(&task("1"), &a, 1), tombstone(&task("3"), &a, 1)]);
    writes.markers.push(marker(&task("2"), &a, 1));
    write(&*store, writes).await;
    let old = expired(&*store, 100, 10).await;
    let mut replaced = entries([entry(&task("1"), &a, 2), tombstone(&task("3"), &a, 50)]);
    replaced.markers.push(marker(&task("2"), &a, 3));
    write(&*store, replaced).await;
    let collection = Writes {
        collected: old,
        ..Writes::default()
    };
    write(&*store, collection).await;

    assert_eq!(
        *get(&*store, &task("1")).await.unwrap(),
        entry(&task("1"), &a, 2)
    );
    assert_eq!(seqs(&feed(&*store, &a).await), [4, 5, 6]);
    let left = expired(&*store, 100, 10).await;
    let expected = [
        marker_item(6, marker(&task("2"), &a, 3)),
        item(5, tombstone(&task("3"), &a, 50)),
    ];
    assert_eq!(left, expected);
}

async fn expired(store: &dyn Store, before_ms: i64, limit: usize) -> Vec<FeedItem> {
    let expired = ExpiryQuery {
        before: at(before_ms),
        limit,
    };
    let reads = Reads {
        expired: Some(expired),
        ..Reads::default()
    };
    load(store, reads).await.expired
}
