//! What a tail promises: what is committed, in commit order, or else `Restart`.
//!
//! `sync::live` handles the events.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use tidegate::store::{StoreError, TailEvent};
use tidegate_core::{
    entry::FeedItem,
    id::{Epoch, Seq},
    transaction::{Loaded, Reads, Writes},
};
use tokio::time::timeout;

use super::{
    Backend,
    fixture::{
        entries, entry, item, marker, marker_item, scope, task, tombstone, write, write_change,
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn a_tail_begins_with_restart_and_reports_commits_in_their_order(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let (a, b) = (scope("a"), scope("b"));
    write_change(&*store, &task("before"), Some(&a)).await;
    let mut tails = [store.tail(), store.tail()];
    for tail in &mut tails {
        assert!(matches!(next(tail).await, TailEvent::Restart));
    }
    write_change(&*store, &task("1"), Some(&a)).await;
    write_change(&*store, &task("1"), Some(&b)).await;
    write_change(&*store, &task("1"), None).await;
    let expected = [
        vec![item(2, entry(&task("1"), &a, 1))],
        vec![
            item(1, entry(&task("1"), &b, 2)),
            marker_item(3, marker(&task("1"), &a, 2)),
        ],
        vec![item(2, tombstone(&task("1"), &b, 3))],
    ];
    for tail in &mut tails {
        for items in &expected {
            assert_eq!(committed(tail, items.len()).await, *items);
        }
    }
}

pub(crate) async fn a_tail_reports_nothing_of_a_commit_that_failed(backend: &impl Backend) {
    let store = backend.open().await;
    let a = scope("a");
    let mut tail = store.tail();
    assert!(matches!(next(&mut tail).await, TailEvent::Restart));
    let decide = |_: &Loaded| -> Writes { panic!("this panic belongs to the test") };
    let refused = store.commit(Reads::default(), Arc::new(decide)).await;
    assert!(
        matches!(refused, Err(StoreError::DecisionFailed(_))),
        "{refused:?}"
    );
    write(&*store, Writes::default()).await;
    write_change(&*store, &task("1"), Some(&a)).await;
    let reported = committed(&mut tail, 1).await;
    assert_eq!(reported, [item(1, entry(&task("1"), &a, 1))]);
}

pub(crate) async fn a_tail_reports_a_new_epoch(backend: &impl Backend) {
    let store = backend.open().await;
    let mut tail = store.tail();
    assert!(matches!(next(&mut tail).await, TailEvent::Restart));
    let next_epoch = Epoch::new("the-next-epoch").unwrap();
    let rotation = Writes {
        epoch: Some(next_epoch.clone()),
        ..Writes::default()
    };
    write(&*store, rotation).await;
    let reported = next(&mut tail).await;
    assert!(
        matches!(&reported, TailEvent::Epoch(epoch) if *epoch == next_epoch),
        "{reported:?}"
    );
}

/// A backend whose tail holds more than is written here may report everything instead.
pub(crate) async fn a_tail_that_lags_reports_a_restart(backend: &impl Backend) {
    const COMMITS: i64 = 80;
    let store = backend.open().await;
    let a = scope("a");
    let mut tail = store.tail();
    assert!(matches!(next(&mut tail).await, TailEvent::Restart));
    for version in 1..=COMMITS {
        let version = i32::try_from(version).unwrap();
        write(&*store, entries([entry(&task("1"), &a, version)])).await;
    }
    let mut position = Seq::START;
    while position < Seq(COMMITS) {
        match next(&mut tail).await {
            TailEvent::Restart => position = Seq(i64::MIN),
            TailEvent::Committed(writes) => {
                for write in writes.iter() {
                    let seq = write.item.seq;
                    let follows = position == Seq(i64::MIN) || seq == position.next();
                    assert!(follows, "{seq} follows {position} unreported");
                    position = seq;
                }
            }
            other => panic!("{other:?} was not committed"),
        }
    }
}

async fn next(tail: &mut BoxStream<'static, TailEvent>) -> TailEvent {
    let event = timeout(PATIENCE, tail.next()).await;
    event
        .expect("the tail stands still")
        .expect("the tail ended")
}

/// This number of feed writes, in the order of scopes and seqs.
async fn committed(tail: &mut BoxStream<'static, TailEvent>, count: usize) -> Vec<FeedItem> {
    let mut reported = Vec::new();
    while reported.len() < count {
        let TailEvent::Committed(writes) = next(tail).await else {
            panic!("the tail reports something else");
        };
        reported.extend(writes.iter().map(|write| write.item.decode().unwrap()));
    }
    reported.sort_by_key(|item| (item.seq, item.record.scope().clone()));
    reported
}
