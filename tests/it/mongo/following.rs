//! The stream of what other services write: what it reports and what it skips, where it goes on, and which positions it
//! does not trust.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use mongodb::{
    Collection, Database,
    bson::{Document, Timestamp, doc, oid::ObjectId},
};
use tidegate::store::{
    Store,
    collections::{Collections, FollowError, ForeignBatch, ForeignChange, ImportPosition},
    mongo::MongoStore,
};
use tidegate_core::{generation::Generation, id::TypeName};
use tokio::time::{sleep, timeout};

use super::{CONTRACT, Mongo, open, options};
use crate::{
    contract::{
        Backend,
        fixture::{entries, entry, key, scope, task, write},
    },
    harness::mongod::{Deployment, Times},
};

const PATIENCE: Duration = Duration::from_secs(60);

type Batches = BoxStream<'static, Result<ForeignBatch, FollowError>>;

struct Bench {
    store: MongoStore,
    collections: Arc<dyn Collections>,
    database: Database,
    stream: Batches,
    /// The place before everything that the test does.
    beginning: ImportPosition,
}

async fn bench_on(store: MongoStore, database: Database) -> Bench {
    let collections = store.collections().unwrap();
    let mut stream = collections.follow(None).await.unwrap();
    let first = next(&mut stream).await.unwrap();
    assert_eq!(first.writes, []);
    Bench {
        store,
        collections,
        database,
        stream,
        beginning: first.position,
    }
}

async fn bench() -> (Mongo, Bench) {
    let mongo = Mongo::start().await;
    let bench = bench_on(mongo.store(CONTRACT).await, mongo.database().await).await;
    (mongo, bench)
}

async fn next(stream: &mut Batches) -> Result<ForeignBatch, FollowError> {
    let batch = timeout(PATIENCE, stream.next()).await;
    batch
        .expect("the stream stands still")
        .expect("the stream ended")
}

/// What a stream reports until this document.
async fn until(stream: &mut Batches, last: &str) -> Vec<ForeignChange> {
    let mut reported = Vec::new();
    let last = ForeignChange::Document(task(last));
    while !reported.contains(&last) {
        reported.extend(next(stream).await.unwrap().writes);
    }
    reported
}

impl Bench {
    fn tasks(&self) -> Collection<Document> {
        self.database.collection("tasks")
    }

    async fn insert(&self, id: &str) {
        let document = doc! { "_id": id, "audience": "all" };
        self.tasks().insert_one(document).await.unwrap();
    }

    async fn follow_error(&self, position: ImportPosition) -> FollowError {
        match self.collections.follow(Some(&position)).await {
            Err(error) => error,
            Ok(mut stream) => next(&mut stream).await.unwrap_err(),
        }
    }
}

#[tokio::test]
async fn every_kind_of_foreign_write_is_reported_in_its_order_and_no_commit_of_a_gateway() {
    let (_mongo, mut bench) = bench().await;
    write(
        &bench.store,
        entries([entry(&task("own"), &scope("all"), 1)]),
    )
    .await;
    let tasks = bench.tasks();
    bench.insert("1").await;
    let id = |id: &str| doc! { "_id": id };
    tasks
        .update_one(id("1"), doc! { "$set": { "title": "x" } })
        .await
        .unwrap();
    tasks
        .update_one(
            id("1"),
            vec![doc! { "$set": { "title": { "$concat": ["$title", "y"] } } }],
        )
        .await
        .unwrap();
    tasks
        .replace_one(id("1"), doc! { "audience": "all" })
        .await
        .unwrap();
    tasks.find_one_and_delete(id("1")).await.unwrap();
    let many = ["2", "3"].map(|id| doc! { "_id": id, "audience": "all" });
    tasks.insert_many(many).await.unwrap();
    tasks
        .update_many(
            doc! { "_id": { "$in": ["2", "3"] } },
            doc! { "$inc": { "n": 1 } },
        )
        .await
        .unwrap();
    let unacknowledged =
        doc! { "insert": "tasks", "documents": [{ "_id": "4", "audience": "all" }] };
    bench.database.run_command(unacknowledged).await.unwrap();
    let client = bench.database.client();
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    for id in ["5", "6"] {
        let document = doc! { "_id": id, "audience": "all" };
        tasks
            .insert_one(document)
            .session(&mut session)
            .await
            .unwrap();
    }
    let member = doc! { "_id": "7", "audience": "all" };
    let members = bench.database.collection("members");
    members
        .insert_one(member)
        .session(&mut session)
        .await
        .unwrap();
    session.commit_transaction().await.unwrap();
    let others = bench.database.collection("unmodelled");
    others.insert_one(doc! { "_id": "1" }).await.unwrap();
    bench.insert("last").await;

    let expected = ["1", "1", "1", "1", "1", "2", "3", "2", "3", "4", "5", "6"];
    let expected = expected.iter().map(|id| task(id));
    let expected = expected.chain([key("Member", "7"), task("last")]);
    let expected: Vec<_> = expected.map(ForeignChange::Document).collect();
    assert_eq!(until(&mut bench.stream, "last").await, expected);
    let mut again = bench
        .collections
        .follow(Some(&bench.beginning))
        .await
        .unwrap();
    assert_eq!(
        until(&mut again, "last").await,
        expected,
        "a position keeps its place"
    );
}

#[tokio::test]
async fn the_commits_of_a_gateway_that_starts_later_are_skipped_soon() {
    let (mongo, mut bench) = bench().await;
    let later = mongo.store(CONTRACT).await;
    for version in 1.. {
        write(
            &later,
            entries([entry(&task("theirs"), &scope("all"), version)]),
        )
        .await;
        let sentinel = version.to_string();
        bench.insert(&sentinel).await;
        let reported = until(&mut bench.stream, &sentinel).await;
        if !reported.contains(&ForeignChange::Document(task("theirs"))) {
            return;
        }
        assert!(version < 120, "its commits are still compared");
        sleep(Duration::from_millis(500)).await;
    }
}

/// A gateway of another model keeps fields that it does not know, and may read a document otherwise.
#[tokio::test]
async fn the_commits_of_gateways_of_other_models_are_reported() {
    let (mongo, _) = bench().await;
    let [own, same, other] = [Generation(1), Generation(1), Generation(2)].map(|generation| {
        let mongo = &mongo;
        async move {
            let store = mongo.store(CONTRACT).await;
            store.models().serve_as(generation).await.unwrap();
            store
        }
    });
    let (same, other) = (same.await, other.await);
    let mut bench = bench_on(own.await, mongo.database().await).await;
    for (store, id) in [(&same, "same"), (&other, "other")] {
        let written = entries([entry(&task(id), &scope("all"), 1)]);
        write(store, written).await;
    }
    bench.insert("last").await;
    let expected = ["other", "last"].map(|id| ForeignChange::Document(task(id)));
    assert_eq!(until(&mut bench.stream, "last").await, expected);
}

#[tokio::test]
async fn a_position_advances_while_nobody_writes_to_the_model() {
    let (_mongo, mut bench) = bench().await;
    let others: Collection<Document> = bench.database.collection("unmodelled");
    others.insert_one(doc! { "_id": "1" }).await.unwrap();
    let token = |ImportPosition(position): &ImportPosition| {
        let position = Document::from_reader(position.as_slice()).unwrap();
        position.get_document("token").unwrap().clone()
    };
    for _ in 0..PATIENCE.as_secs() {
        let batch = next(&mut bench.stream).await.unwrap();
        assert_eq!(batch.writes, []);
        if token(&batch.position) != token(&bench.beginning) {
            return;
        }
    }
    panic!("it stands still");
}

/// Its event alone is larger than MongoDB lets one be, but keys are all that leaves the server.
#[tokio::test]
async fn a_document_of_nearly_16_mib_stops_nothing() {
    let (_mongo, mut bench) = bench().await;
    let text = "x".repeat((16 << 20) - 200);
    let large = doc! { "_id": "large", "audience": "all", "text": text };
    bench.tasks().insert_one(&large).await.unwrap();
    let replaced = doc! { "audience": "all", "text": large.get_str("text").unwrap() };
    bench
        .tasks()
        .replace_one(doc! { "_id": "large" }, replaced)
        .await
        .unwrap();
    bench.insert("last").await;
    let reported = until(&mut bench.stream, "last").await;
    assert_eq!(reported.len(), 3);
}

#[tokio::test]
async fn a_drop_and_a_rename_are_reported_even_one_that_replaces_a_collection() {
    let (_mongo, mut bench) = bench().await;
    let changed = |name: &str| ForeignChange::Collection(TypeName::new(name).unwrap());
    let rename = |from: &str, to: &str| {
        let name = |collection: &str| format!("{}.{collection}", bench.database.name());
        doc! { "renameCollection": name(from), "to": name(to), "dropTarget": true }
    };
    let admin = bench.database.client().database("admin");
    bench.database.create_collection("new").await.unwrap();
    admin.run_command(rename("new", "tasks")).await.unwrap();
    admin.run_command(rename("tasks", "away")).await.unwrap();
    bench
        .database
        .collection::<Document>("members")
        .drop()
        .await
        .unwrap();
    bench.insert("last").await;
    let reported = until(&mut bench.stream, "last").await;
    let expected = [changed("Task"), changed("Task"), changed("Member")];
    assert_eq!(reported[..3], expected);
}

#[tokio::test]
async fn the_history_ends_with_the_database() {
    let (_mongo, mut bench) = bench().await;
    bench.database.drop().await.unwrap();
    loop {
        match next(&mut bench.stream).await {
            Ok(batch) => assert_eq!(
                batch
                    .writes
                    .iter()
                    .filter(|it| matches!(it, ForeignChange::Document(_)))
                    .count(),
                0
            ),
            Err(error) => {
                assert!(matches!(error, FollowError::Lost(_)), "{error}");
                return;
            }
        }
    }
}

/// As by a restore that drops collections before it fills them.
#[tokio::test]
async fn a_store_that_is_replaced_while_it_is_followed_ends_the_history() {
    let (_mongo, mut bench) = bench().await;
    let state = bench.database.collection::<Document>("tidegate.state");
    let records = state.find(doc! {}).await.unwrap();
    let records: Vec<Document> = records.try_collect().await.unwrap();
    state.drop().await.unwrap();
    state.insert_many(records).await.unwrap();
    let error = loop {
        if let Err(error) = next(&mut bench.stream).await {
            break error;
        }
    };
    assert!(matches!(error, FollowError::Replaced(_)), "{error}");
}

#[tokio::test]
async fn an_id_that_the_type_cannot_spell_is_withheld_until_it_is_deleted() {
    let (_mongo, mut bench) = bench().await;
    let id = ObjectId::from_bytes([7; 12]);
    let document = doc! { "_id": id, "audience": "all" };
    bench.tasks().insert_one(document).await.unwrap();
    bench.insert("1").await;
    assert_eq!(until(&mut bench.stream, "1").await.len(), 1);
    let withheld = bench
        .collections
        .withheld(None, 10)
        .await
        .unwrap()
        .documents;
    let [found] = withheld.as_slice() else {
        panic!("{withheld:?}")
    };
    let row = (found.misfit.path.as_str(), found.misfit.found.as_str());
    assert_eq!(row, ("id", "objectId"));
    assert!(found.id.contains(&id.to_hex()), "{}", found.id);
    bench.tasks().delete_one(doc! { "_id": id }).await.unwrap();
    bench.insert("2").await;
    until(&mut bench.stream, "2").await;
    let withheld = bench
        .collections
        .withheld(None, 10)
        .await
        .unwrap()
        .documents;
    assert_eq!(withheld, []);
}

#[tokio::test]
async fn a_position_of_another_store_or_of_no_history_is_not_trusted() {
    let (_mongo, bench) = bench().await;
    let position = Document::from_reader(bench.beginning.0.as_slice()).unwrap();
    let with = |field: &str, value: mongodb::bson::Bson| {
        let mut position = position.clone();
        position.insert(field, value);
        ImportPosition(position.to_vec().unwrap())
    };
    for (field, value) in [("state", "another UUID"), ("set", "rs1")] {
        let error = bench.follow_error(with(field, value.into())).await;
        assert!(
            matches!(error, FollowError::Replaced(_)),
            "{field}: {error}"
        );
    }
    let at = position.get_timestamp("at").unwrap();
    let future = Timestamp {
        time: at.time + 3_600,
        increment: 1,
    };
    for (what, position) in [
        ("the future", with("at", future.into())),
        (
            "no token",
            with("token", doc! { "_data": "nonsense" }.into()),
        ),
        ("no position", ImportPosition(b"nonsense".to_vec())),
    ] {
        let error = bench.follow_error(position).await;
        assert!(matches!(error, FollowError::Lost(_)), "{what}: {error}");
    }
}

#[tokio::test]
async fn lost_history_is_reported_and_other_failures_are_not() {
    let deployment = Deployment::replica_set(1).await;
    let mut own = options(&deployment, "app").await;
    own.client.app_name = Some("the importer".to_owned());
    let store = open(&own, CONTRACT).await;
    let database = deployment.client().await.database("app");
    let mut bench = bench_on(store, database).await;
    for how in [
        doc! { "failCommands": ["getMore"], "closeConnection": true },
        doc! { "failCommands": ["getMore", "aggregate"], "errorCode": 189 },
    ] {
        let mut how = how;
        how.insert("appName", "the importer");
        deployment.fail_commands(Times::Next(2), how).await;
        let id = ObjectId::new().to_hex();
        bench.insert(&id).await;
        let reported = until(&mut bench.stream, &id).await;
        assert_eq!(reported.len(), 1);
    }
    for code in [286, 280, 260, 10_334] {
        let how =
            doc! { "failCommands": ["getMore"], "errorCode": code, "appName": "the importer" };
        let mut stream = bench
            .collections
            .follow(Some(&bench.beginning))
            .await
            .unwrap();
        next(&mut stream).await.unwrap();
        deployment.fail_commands(Times::Next(1), how).await;
        let error = loop {
            if let Err(error) = next(&mut stream).await {
                break error;
            }
        };
        assert!(matches!(error, FollowError::Lost(_)), "{code}: {error}");
    }
}
