//! What must hold of the store and of all clients at rest.

use std::collections::BTreeSet;

use mongodb::{
    Database,
    bson::{Document, doc},
};

use super::{Stage, cast::Cast};
use crate::harness::{COUNTER, Follower, Replica, Server, expect_no_gap, expect_whole};

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
