//! The feed against the collections: each kind of difference is found and stamped, and withheld documents are listed.

use mongodb::{
    Database,
    bson::{Document, doc},
};
use serde_json::json;

use super::{IMPORT, Report, assert_says, served};
use crate::harness::{Server, create, mongod::until};

/// Writes as another service does, past the gateways: one of each kind.
async fn plant(database: &Database) {
    let tasks = database.collection::<Document>("tasks");
    let new = doc! {
        "_id": "new", "title": "New", "done": false, "labels": [], "minutesSpent": 0,
        "audience": "user:alice", "priority": "NORMAL",
    };
    tasks.insert_one(new).await.unwrap();
    for (id, title) in [
        ("changed", "Changed".into()),
        ("unfit", doc! { "no": "text" }.into()),
    ] {
        let title: mongodb::bson::Bson = title;
        let set = doc! { "$set": { "title": title } };
        tasks.update_one(doc! { "_id": id }, set).await.unwrap();
    }
    tasks.delete_one(doc! { "_id": "deleted" }).await.unwrap();
}

async fn with_tasks() -> (tempfile::TempDir, Database) {
    let (directory, database) = served().await;
    let server = Server::serve(&directory);
    let tasks = ["changed", "unfit", "deleted"];
    let tasks = tasks.map(|id| create(id, json!({ "title": "Stay" })));
    server.client("alice").push_all(json!(tasks)).await;
    server.stop();
    (directory, database)
}

#[tokio::test]
async fn differences_are_counted_and_repair_stamps_them() {
    let (directory, database) = with_tasks().await;
    plant(&database).await;
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.only("feed");
    assert_eq!(
        (&fault["level"], &fault["count"]),
        (&"problem".into(), &4.into())
    );
    let found = [
        "1 without an entry",
        "1 with other content",
        "1 deleted, with a living entry",
        "1 unfit for the model",
        "doctor --repair",
    ];
    assert_says(&fault["message"].to_string(), &found);
    let mut named: Vec<&str> = fault["examples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    named.sort_unstable();
    assert_eq!(
        named,
        ["Task/changed", "Task/deleted", "Task/new", "Task/unfit"]
    );

    let repaired = Report::with(&directory, &["--repair"]);
    assert_eq!(repaired.code, 0, "{:#}", repaired.json);
    let fault = repaired.faults("feed")[0];
    assert_says(
        &fault.to_string(),
        &["4 documents differ", "they are stamped now"],
    );

    let report = Report::of(&directory);
    assert_eq!(report.code, 0);
    let withheld = report.only("withheld");
    assert_eq!(withheld["count"], 1);
    assert_says(
        &withheld["examples"][0].to_string(),
        &["Task/unfit: title: "],
    );
    let server = Server::serve(&directory);
    let page = server.client("alice").pull(None).await;
    let changes = page["changes"].as_array().unwrap().iter();
    let mut shown: Vec<(&str, &str)> = changes
        .map(|change| {
            let title = change["document"]["title"].as_str();
            (change["documentId"].as_str().unwrap(), title.unwrap())
        })
        .collect();
    shown.sort_unstable();
    assert_eq!(
        shown,
        [("a", "Stay"), ("changed", "Changed"), ("new", "New")]
    );
    server.stop();
}

#[tokio::test]
async fn a_repair_beside_a_gateway_takes_its_lease_and_the_gateway_goes_on_importing() {
    let (directory, database) = with_tasks().await;
    let server = Server::serve(&directory);
    plant(&database).await;
    let repaired = Report::with(&directory, &["--repair"]);
    assert_eq!(repaired.code, 0, "{:#}", repaired.json);
    let tasks = database.collection::<Document>("tasks");
    let mut late = tasks
        .find_one(doc! { "_id": "new" })
        .await
        .unwrap()
        .unwrap();
    late.insert("_id", "late");
    tasks.insert_one(late).await.unwrap();
    let feed = database.collection::<Document>("tidegate.feed");
    until("stamp of the gateway's importer", async || {
        let entry = feed.find_one(doc! { "_id": "Task\0late" });
        entry.await.unwrap()
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn differences_of_a_type_that_is_not_completely_imported_are_a_warning() {
    let (directory, database) = with_tasks().await;
    plant(&database).await;
    let state = database.collection::<Document>("tidegate.state");
    let import = doc! { "_id": IMPORT };
    let unset = doc! { "$unset": { "types.Task": "" } };
    state.update_one(import, unset).await.unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 0, "{:#}", report.json);
    let fault = report.only("feed");
    assert_eq!(
        (&fault["level"], &fault["count"]),
        (&"warning".into(), &4.into())
    );
    assert_says(&fault.to_string(), &["not completely imported"]);
}

#[tokio::test]
async fn a_held_type_is_a_problem_with_both_ways_out() {
    let (directory, database) = served().await;
    let state = database.collection::<Document>("tidegate.state");
    let held = doc! { "$set": {
        "types.Task.shape": "planted",
        "types.Task.held": { "missing": 5_000_i64, "expected": 6_000_i64 },
    } };
    let of_import = doc! { "_id": IMPORT };
    state
        .update_one(of_import, held)
        .upsert(true)
        .await
        .unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.faults("importer")[0];
    assert_says(
        &fault.to_string(),
        &[
            "5000 of 6000 documents of Task are missing",
            "bring the collection back",
            "--accept-deletes Task",
        ],
    );
}
