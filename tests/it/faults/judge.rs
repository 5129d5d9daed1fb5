//! What must hold of the store and of all clients at rest.
//!
//! MongoDB's own history shows what happened to the feed: a change stream that begins before the first write.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use mongodb::{
    Database,
    bson::{Document, Timestamp, doc},
};

use super::{Stage, cast::Cast};
use crate::harness::{COUNTER, Follower, Replica, Server, expect_whole};

pub(super) async fn judge(stage: &Stage, servers: &[Server], cast: &Cast) {
    for server in servers {
        expect_whole(server, &cast.writers).await;
        for follower in cast.subscribers.iter().chain([&cast.puller]) {
            expect_followed(follower, server).await;
        }
    }
    let database = stage.set.client().await.database(&stage.database);
    expect_documents(&database, cast).await;
    expect_no_gap(&database, stage.began).await;
}

/// It holds what a new reader gets, and never had to reset.
async fn expect_followed(follower: &Follower, server: &Server) {
    let mut fresh = Replica::default();
    fresh.pull(&follower.client.at(server)).await;
    assert_eq!(follower.replica.documents(), fresh.documents());
    assert_eq!(follower.replica.resets, 1, "continuity was never broken");
}

/// The application's collection has the documents that acknowledged pushes left, and no others.
async fn expect_documents(database: &Database, cast: &Cast) {
    let tasks = database.collection::<Document>("tasks");
    let stored = tasks.distinct("_id", doc! {}).await.unwrap();
    let stored: BTreeSet<String> = stored
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    let left = cast.writers.iter().flat_map(|writer| writer.left());
    assert_eq!(stored, left.chain([COUNTER.to_owned()]).collect());
    let counter = tasks
        .find_one(doc! {"_id": COUNTER})
        .await
        .unwrap()
        .unwrap();
    let pushes: i64 = cast.writers.iter().map(|writer| writer.pushes).sum();
    let counted = counter.get("minutesSpent").unwrap().as_i32().unwrap();
    assert_eq!(i64::from(counted), pushes);
}

/// Every seq up to a scope's head was written once, and the rest of the feed is of these writes.
async fn expect_no_gap(database: &Database, since: Timestamp) {
    let state = database.collection::<Document>("tidegate.state");
    let of_scopes = doc! { "_id": { "$regex": "^scope" } };
    let mut scopes = state.find(of_scopes).await.unwrap();
    let mut history = history(database, since).await;
    let mut heads = 0;
    while scopes.advance().await.unwrap() {
        let scope = scopes.deserialize_current().unwrap();
        let (_, name) = scope.get_str("_id").unwrap().split_once('\0').unwrap();
        let head = scope.get_i64("h").unwrap();
        let mut seqs = history.remove(name).unwrap_or_default();
        seqs.sort_unstable();
        assert!(
            seqs.iter().copied().eq(1..=head),
            "{name} up to {head}: {seqs:?}"
        );
        heads += 1;
    }
    assert!(heads > 1 && history.is_empty(), "{history:?}");
}

/// The seqs of all writes to the feed, by scope, from the first to that of a document which is written now.
async fn history(database: &Database, since: Timestamp) -> BTreeMap<String, Vec<i64>> {
    let end = database.collection::<Document>("end");
    end.insert_one(doc! {}).await.unwrap();
    let stream = database.watch().start_at_operation_time(since);
    let mut stream = stream.await.unwrap().with_type::<Document>();
    let mut history: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    loop {
        let event = stream.next().await.expect("the end is in it").unwrap();
        let collection = event.get_document("ns").unwrap().get_str("coll");
        match (collection, event.get_document("fullDocument")) {
            (Ok("end"), _) => return history,
            (Ok("tidegate.feed"), Ok(record)) => {
                let (scope, seq) = (record.get_str("s").unwrap(), record.get_i64("q").unwrap());
                history.entry(scope.to_owned()).or_default().push(seq);
            }
            _ => {}
        }
    }
}
