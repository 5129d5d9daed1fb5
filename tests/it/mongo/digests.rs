//! Digests in MongoDB: gateways that keep none, and counts that were cut short.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use tidegate::{
    store::{Store, finding::Level, mongo::MongoOptions},
    sync::examine_digests,
};

use super::{CONTRACT, Mongo, open};
use crate::contract::{
    Backend,
    fixture::{scope, task, write_change},
    sums::expect_sums,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_digests_spoils_none_and_what_is_wrong_is_found_and_counted_again() {
    let mongo = Mongo::start().await;
    let store = open(&mongo.options().await, CONTRACT).await;
    let options = MongoOptions {
        keeps_sums: false,
        ..mongo.options().await
    };
    let earlier = open(&options, CONTRACT).await;
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    expect_recounts(&store, &earlier, async || {
        let wrong = doc! { "$set": { "d": {} } };
        let update = state.update_one(doc! { "_id": "scope\0a" }, wrong);
        assert_eq!(update.await.unwrap().modified_count, 1);
    })
    .await;
}

/// The gateway that counted was killed, or has lost its snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_that_was_cut_short_is_finished_by_the_next() {
    let mongo = Mongo::start().await;
    let store = open(&mongo.options().await, CONTRACT).await;
    let a = scope("a");
    for id in ["1", "2"] {
        write_change(&store, &task(id), Some(&a)).await;
    }
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    let begun = doc! { "$set": { "d": {}, "o": 2_i64 } };
    let update = state.update_one(doc! { "_id": "scope\0a" }, begun);
    assert_eq!(update.await.unwrap().modified_count, 1);
    write_change(&store, &task("1"), None).await;
    write_change(&store, &task("3"), Some(&a)).await;
    store.keep_sums(&a, false).await.unwrap();
    assert_eq!(expect_sums(&store, &[&a]).await, 2);
}

/// Writes through `earlier`, a gateway that keeps no sums, leave none behind, and a count gives them back. `harm` makes the
/// sums of the scope `a` wrong. An examination finds that, and repairs it.
async fn expect_recounts(store: &dyn Store, earlier: &dyn Store, harm: impl AsyncFn()) {
    let a = scope("a");
    write_change(store, &task("1"), Some(&a)).await;
    expect_sums(store, &[&a]).await;
    write_change(earlier, &task("2"), Some(&a)).await;
    let asked = BTreeSet::from([a.clone()]);
    let kept = async || store.snapshot().await.unwrap().sums(&asked).await.unwrap();
    assert!(kept().await.is_empty());
    write_change(store, &task("3"), Some(&a)).await;
    assert!(kept().await.is_empty());
    let good = examine_digests(store, false).await.unwrap();
    assert_eq!((good.level, good.count), (Level::Good, None), "{good}");
    store.keep_sums(&a, false).await.unwrap();
    assert_eq!(expect_sums(store, &[&a]).await, 3);
    harm().await;
    let levels = [
        (false, Level::Problem),
        (true, Level::Warning),
        (false, Level::Good),
    ];
    for (repairs, level) in levels {
        let found = examine_digests(store, repairs).await.unwrap();
        assert_eq!(found.level, level, "{found}");
        assert!(level == Level::Good || found.examples == ["a"], "{found}");
    }
    assert_eq!(expect_sums(store, &[&a]).await, 3);
}
