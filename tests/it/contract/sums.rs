//! What a store promises of the sums of scopes (rules.md 2.10): at every moment they are those of the documents that
//! live there.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use tidegate::store::{ScanRange, Store};
use tidegate_core::{
    digest::ScopeSums,
    entry::{Entry, Record},
    id::Scope,
};

use super::{
    Backend,
    fixture::{entries, entry, key, scope, task, tombstone, whole, write, write_change},
};

/// In one snapshot, the sums of these scopes are there, and are those of the documents. Returns how many live there.
pub(crate) async fn expect_sums(store: &dyn Store, scopes: &[&Scope]) -> usize {
    let mut snapshot = store.snapshot().await.unwrap();
    let asked: BTreeSet<Scope> = scopes.iter().copied().cloned().collect();
    let mut kept = snapshot.sums(&asked).await.unwrap();
    let mut living = 0;
    for scope in asked {
        let range = ScanRange {
            removals: false,
            ..whole(&scope)
        };
        let mut counted = ScopeSums::default();
        for item in snapshot.scan(&range).await.unwrap().decoded().unwrap() {
            if let Record::Entry(entry) = item.record {
                counted.add(&entry.key, entry.version);
                living += 1;
            }
        }
        assert_eq!(kept.remove(&scope), Some(counted), "{scope}");
    }
    living
}

pub(crate) async fn the_sums_of_a_scope_are_those_of_what_lives_there(backend: &impl Backend) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    let both = [&a, &b];
    for id in ["gone", "moved", "kept", "withheld"] {
        write_change(&*store, &task(id), Some(&a)).await;
        write_change(&*store, &key("Note", id), Some(&b)).await;
    }
    assert_eq!(expect_sums(&*store, &both).await, 8);
    write_change(&*store, &task("kept"), Some(&a)).await;
    write_change(&*store, &task("gone"), None).await;
    write_change(&*store, &task("moved"), Some(&b)).await;
    assert_eq!(expect_sums(&*store, &both).await, 7);
    write_change(&*store, &task("moved"), Some(&a)).await;
    write_change(&*store, &task("gone"), Some(&b)).await;
    assert_eq!(expect_sums(&*store, &both).await, 8);
    let withheld = Entry {
        withheld: true,
        ..tombstone(&task("withheld"), &a, 2)
    };
    write(&*store, entries([withheld])).await;
    assert_eq!(expect_sums(&*store, &both).await, 7);
    let fits_again = entry(&task("withheld"), &a, 3);
    write(&*store, entries([fits_again])).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(expect_sums(&*store, &both).await, 8);
    for id in ["gone", "moved", "kept", "withheld"] {
        write_change(&*store, &task(id), None).await;
    }
    assert_eq!(expect_sums(&*store, &both).await, 4);
    let mut snapshot = store.snapshot().await.unwrap();
    let unwritten = BTreeSet::from([scope("unwritten")]);
    assert!(snapshot.sums(&unwritten).await.unwrap().is_empty());
}

pub(crate) async fn sums_counted_while_writers_write_are_those_of_what_lives_there(
    backend: &impl Backend,
) {
    const DOCUMENTS: u32 = 6;
    let store = backend.open().await;
    let scopes = ["a", "b"].map(scope);
    write_change(&*store, &task("0"), Some(&scopes[0])).await;
    write_change(&*store, &task("1"), Some(&scopes[1])).await;
    let writing = AtomicBool::new(true);
    let writer = async |first: u32| {
        for step in 0..30 {
            let id = (first + step) % DOCUMENTS;
            let target = scopes.get((step / 2 + id) as usize % 3);
            write_change(&*store, &task(&id.to_string()), target).await;
        }
    };
    let writers = async {
        join_all([writer(0), writer(3)]).await;
        writing.store(false, Ordering::SeqCst);
    };
    let counting = async {
        while writing.load(Ordering::SeqCst) {
            for scope in &scopes {
                store.keep_sums(scope, true).await.unwrap();
            }
        }
    };
    tokio::join!(writers, counting);
    for scope in &scopes {
        store.keep_sums(scope, false).await.unwrap();
    }
    expect_sums(&*store, &[&scopes[0], &scopes[1]]).await;
    let again = Arc::clone(&store);
    join_all(scopes.iter().map(|scope| again.keep_sums(scope, true))).await;
    expect_sums(&*store, &[&scopes[0], &scopes[1]]).await;
}
