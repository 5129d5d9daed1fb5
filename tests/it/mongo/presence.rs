//! Created documents are taken for absent until an insert shows otherwise: no existing document is overlooked or
//! reported as absent, and what finding out costs.

use std::sync::{Arc, Mutex};

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value as Json, json};
use tidegate_core::{
    change::{Change, RejectionCode},
    collect,
    outcome::Status::{self, Applied, Conflict, Merged, Rejected},
    push::Outcome,
    value::Timestamp,
};

use super::{
    Mongo,
    gateway::{Gateway, push_of, statuses},
    monitored, round_trips_of,
};
use crate::contract::Backend;

struct Bench {
    gateway: Gateway,
    tasks: Collection<Document>,
    feed: Collection<Document>,
    commands: Arc<Mutex<Vec<Document>>>,
}

async fn bench() -> Bench {
    let mongo = Mongo::start().await;
    let mut options = mongo.options().await;
    let commands = Arc::default();
    options.client.command_event_handler = Some(monitored(&commands));
    let database = mongo.database().await;
    Bench {
        gateway: Gateway::start(&options).await,
        tasks: database.collection("tasks"),
        feed: database.collection("tidegate.feed"),
        commands,
    }
}

fn mine() -> Json {
    json!({ "audience": "user:alice", "title": "Mine" })
}

impl Bench {
    async fn push(&self, changes: Vec<Change>) -> Vec<Outcome> {
        self.commands.lock().unwrap().clear();
        self.gateway.push("alice", changes).await
    }

    fn round_trips(&self) -> String {
        round_trips_of(&self.commands.lock().unwrap())
    }

    /// How often a transaction was begun.
    fn attempts(&self) -> usize {
        let commands = self.commands.lock().unwrap();
        let begun = commands
            .iter()
            .filter(|command| command.contains_key("startTransaction"));
        begun.count()
    }
}

/// What exists where a document is created, written past the gateway or by it, and the outcome of the create.
#[tokio::test]
async fn what_is_there_is_found_by_one_more_attempt() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    let theirs = json!({ "audience": "user:alice", "title": "Theirs" });
    let bobs = json!({ "audience": "user:bob", "title": "Theirs" });
    for (id, fields) in [
        ("live", &theirs),
        ("equal", &mine()),
        ("gone", &theirs),
        ("lost", &theirs),
    ] {
        gateway
            .push("alice", vec![gateway.create(id, fields.clone())])
            .await;
    }
    gateway
        .push("bob", vec![gateway.create("hidden", bobs)])
        .await;
    gateway.push("alice", vec![gateway.delete("gone", 1)]).await;
    bench
        .tasks
        .delete_one(doc! { "_id": "lost" })
        .await
        .unwrap();
    let foreign =
        doc! { "_id": "foreign", "audience": "user:alice", "title": "Theirs", "minutes": 0 };
    let misfit = doc! { "_id": "misfit", "audience": "user:alice", "title": 5 };
    bench.tasks.insert_many([foreign, misfit]).await.unwrap();
    let cases: [(&str, Status, Option<i32>, Option<RejectionCode>); 7] = [
        ("live", Conflict, Some(1), None),
        ("equal", Applied, Some(1), None),
        ("gone", Conflict, Some(2), None),
        ("lost", Conflict, Some(2), None),
        ("hidden", Rejected, None, Some(RejectionCode::IdTaken)),
        ("foreign", Conflict, Some(1), None),
        ("misfit", Rejected, None, Some(RejectionCode::InvalidValue)),
    ];
    for (id, status, version, code) in cases {
        let outcome = bench.push(vec![gateway.create(id, mine())]).await.remove(0);
        let reported = (
            outcome.status,
            outcome.version.map(|version| version.0),
            outcome.error.map(|error| error.code),
        );
        assert_eq!(reported, (status, version, code), "{id}");
        assert_eq!(bench.attempts(), 2, "{id}");
    }
}

/// Two creates of one id that meet in a group, or in two: the later one finds the first.
#[tokio::test]
async fn neighbours_of_a_create_that_meets_something_are_applied() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    bench.push(vec![gateway.create("1", mine())]).await;
    let theirs = json!({ "audience": "user:alice", "title": "Theirs" });
    let changes = vec![
        gateway.create("2", mine()),
        gateway.create("1", theirs),
        gateway.create("3", mine()),
    ];
    let outcomes = bench.push(changes).await;
    assert_eq!(statuses(&outcomes), [Applied, Conflict, Applied]);
    assert_eq!(bench.attempts(), 2);
}

/// No insert mentions the document, so it is read, in the same transaction.
#[tokio::test]
async fn a_repeated_push_is_answered_with_its_documents_at_the_first_attempt() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    let push = gateway
        .numbered_push("alice", 1, vec![gateway.create("1", mine())])
        .await;
    let caller = gateway.caller("alice");
    for duplicate in [false, true] {
        bench.commands.lock().unwrap().clear();
        let answer = gateway.sync.push(&caller, push.clone()).await.unwrap();
        assert_eq!(answer.duplicate, duplicate);
        let document = answer.outcomes[0].document.as_ref().unwrap();
        assert_eq!(document.version.0, 1);
    }
    assert_eq!(
        bench.round_trips(),
        "find state, find feed, find tasks, commit"
    );
}

#[tokio::test]
async fn a_create_that_is_refused_by_itself_shows_the_document_that_is_there() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    bench.push(vec![gateway.create("1", mine())]).await;
    let nameless = gateway.create("1", json!({ "audience": "user:alice" }));
    let outcome = bench.push(vec![nameless]).await.remove(0);
    assert_eq!((outcome.status, outcome.version.unwrap().0), (Rejected, 1));
    assert!(outcome.document.is_some());
    assert_eq!(bench.attempts(), 1);
}

/// A document that comes and goes within one push is inserted only into the feed.
#[tokio::test]
async fn a_document_that_ends_as_it_begins_does_not_hide_what_others_made() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    let theirs = doc! { "_id": "1", "audience": "user:alice", "title": "Theirs", "minutes": 0 };
    bench.tasks.insert_one(theirs).await.unwrap();
    let changes = vec![gateway.create("1", mine()), gateway.delete("1", 0)];
    let push = push_of(None, changes);
    let answer = gateway.sync.push(&gateway.caller("alice"), push).await;
    assert_eq!(statuses(&answer.unwrap().outcomes), [Conflict, Conflict]);
    assert!(gateway.document("alice", "1").await.is_some());
}

/// A later create does not look for a marker.
#[tokio::test]
async fn a_tombstone_is_collected_with_its_markers_however_young() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    bench.push(vec![gateway.create("1", mine())]).await;
    let moved = gateway.update("1", 1, json!({ "audience": "team:red" }));
    bench.push(vec![moved]).await;
    bench.push(vec![gateway.delete("1", 2)]).await;
    let marker = doc! { "left": true };
    let younger =
        doc! { "$set": { "x": mongodb::bson::DateTime::from_millis(i64::from(i32::MAX)) } };
    let aged = bench.feed.update_one(marker, younger).await.unwrap();
    assert_eq!(aged.matched_count, 1);
    let reads = collect::reads(Timestamp::EPOCH.plus_ms(2_000_000), 1);
    let collected = gateway.store.commit(reads, Arc::new(collect::decide)).await;
    assert_eq!(collected.unwrap().writes.collected.len(), 2);
    assert_eq!(bench.feed.count_documents(doc! {}).await.unwrap(), 0);
    let again = bench.push(vec![gateway.create("1", mine())]).await;
    assert_eq!((again[0].status, again[0].version.unwrap().0), (Applied, 4));
    assert_eq!(gateway.pull("alice", None).await.changes.len(), 1);
}

/// A create that names a tombstone reads it, since its version is compared.
#[tokio::test]
async fn a_create_over_a_tombstone_that_it_names_looks_first() {
    let bench = bench().await;
    let gateway = &bench.gateway;
    bench.push(vec![gateway.create("1", mine())]).await;
    bench.push(vec![gateway.delete("1", 1)]).await;
    let mut create = gateway.create("1", mine());
    if let tidegate_core::change::Action::Create { base, .. } = &mut create.action {
        *base = Some(tidegate_core::change::BaseVersion(2));
    }
    let outcome = bench.push(vec![create]).await.remove(0);
    assert!(matches!(outcome.status, Applied | Merged));
    assert_eq!((outcome.version.unwrap().0, bench.attempts()), (3, 1));
}
