//! What a pull from MongoDB holds in memory: a page, and not the scope.
//!
//! It is judged by the peak of the process, as Linux reports it.

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value, json};

use crate::harness::{
    Client, Server, configured_on, create,
    mongod::{Deployment, fresh_database},
};

/// Of one document's notes.
const NOTES_BYTES: usize = 128 << 10;

/// More than a page may hold (8 MiB), so that pages are as large as they get.
const FEW: i64 = 128;

/// 64 MiB more. Held at the same time they would take several times as much.
const MANY: i64 = 5 * FEW;

/// What allocators and MongoDB's batches may add, by measurement.
const SLACK_KIB: u64 = 48 << 10;

fn peak_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().split_whitespace().next().unwrap();
    peak.parse().unwrap()
}

/// Makes the scope's feed hold this many documents, all as large as the first: entries are copied, which takes less
/// time than as many pushes.
async fn grow(feed: &Collection<Document>, state: &Collection<Document>, to: i64) {
    const BATCH: usize = 32;
    let of_scope = doc! {"s": "team:demo"};
    let first = feed.find_one(of_scope.clone()).await.unwrap().unwrap();
    let from = feed.count_documents(of_scope).await.unwrap();
    let seqs: Vec<i64> = (i64::try_from(from).unwrap() + 1..=to).collect();
    for seqs in seqs.chunks(BATCH) {
        let copies = seqs.iter().map(|seq| {
            let id = format!("task-{seq}");
            let mut copy = first.clone();
            copy.insert("_id", format!("Task\0{id}"));
            copy.insert("i", id);
            copy.insert("q", *seq);
            copy
        });
        feed.insert_many(copies).await.unwrap();
    }
    let head = doc! {"$set": {"h": to}};
    let scope = doc! {"_id": "scope\0team:demo"};
    state.update_one(scope, head).await.unwrap();
}

/// Pulls everything in the largest pages, and drops it. Returns the number of documents.
async fn pull_all(client: &Client) -> i64 {
    let (mut checkpoint, mut count) = (Value::Null, 0);
    loop {
        let arguments = json!({"checkpoint": checkpoint, "limit": 5_000});
        let mut page = client.pull_with(arguments).await;
        count += page["changes"].as_array().unwrap().len();
        checkpoint = page["checkpoint"].take();
        if page["hasMore"] == false {
            return i64::try_from(count).unwrap();
        }
    }
}

#[tokio::test]
async fn a_pull_holds_a_page_however_large_the_scope_is() {
    let deployment = Deployment::shared().await;
    let name = fresh_database();
    let directory = configured_on(&deployment.url(&name));
    // An importer would delete the copies, which have no documents.
    let server = Server::serve_with(&directory, &[("TIDEGATE_STORE__FOLLOW", "false")]);
    let alice = server.client("alice");
    let notes = "x".repeat(NOTES_BYTES);
    let first = json!({"title": "Large", "notes": notes, "audience": "team:demo"});
    alice.push_all(json!([create("task-1", first)])).await;
    let database = deployment.client().await.database(&name);
    let feed = database.collection("tidegate.feed");
    let state = database.collection("tidegate.state");
    let mut peaks = Vec::new();
    for documents in [FEW, MANY] {
        grow(&feed, &state, documents).await;
        // As many are delivered of either, since allocators take some time to settle.
        for _ in 0..MANY / documents {
            assert_eq!(pull_all(&alice).await, documents);
        }
        peaks.push(peak_kib(&server));
    }
    assert!(
        peaks[1] < peaks[0] + SLACK_KIB,
        "{peaks:?} KiB with {FEW} and {MANY} documents of {NOTES_BYTES} bytes"
    );
}
