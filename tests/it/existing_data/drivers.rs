//! Services write by the drivers that they have. What each leaves in its documents stays there.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

use crate::{
    harness::{
        Replica, Server, configured_on,
        mongod::{Deployment, fresh_database, until},
        statuses, update,
    },
    wire::{node_in, python_in},
};

const WRITERS: &str = "tests/writers";

/// What all of them write in the end, by number: title, minutes, labels.
fn written(driver: &str) -> impl Iterator<Item = (String, Value)> {
    let tasks = [
        (1, json!(["Changed", 11, ["urgent"]])),
        (2, json!(["Task 2, changed", 2, []])),
        (3, json!(["Replaced", 0, []])),
        (4, json!(["In bulk", 4, []])),
        (7, json!(["Task 7", 7, []])),
    ];
    tasks
        .map(|(number, task)| (format!("{driver}-{number}"), task))
        .into_iter()
}

#[tokio::test]
async fn what_services_write_by_their_drivers_reaches_devices_and_their_own_fields_stay() {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let url = deployment.url(&database);
    let directory = configured_on(&url);
    let server = Server::serve(&directory);
    let alice = server.client("alice");
    node_in(WRITERS, "by_mongodb.mjs", &[&url], &[]);
    node_in(WRITERS, "by_mongoose.mjs", &[&url], &[]);
    python_in(WRITERS, "by_pymongo.py", &[&url]);
    let drivers = ["mongodb", "mongoose", "pymongo"];
    let expected: BTreeMap<String, Value> = drivers.into_iter().flat_map(written).collect();
    let mut device = Replica::default();
    until("device with all that was written", async || {
        device.pull(&alice).await;
        let ids = device.ids().into_iter().map(|id| {
            let task = device.task(id);
            let seen = json!([task["title"], task["minutesSpent"], task["labels"]]);
            (id.to_owned(), seen)
        });
        (ids.collect::<BTreeMap<String, Value>>() == expected).then_some(())
    })
    .await;

    let tasks = deployment.client().await.database(&database);
    let tasks = tasks.collection::<Document>("tasks");
    let stored = async || {
        let task = tasks.find_one(doc! {"_id": "mongoose-4"}).await;
        task.unwrap().unwrap()
    };
    let before = stored().await;
    let version = device.task("mongoose-4")["syncVersion"].as_i64().unwrap();
    let pushed = json!({"changes": [update("mongoose-4", version, json!({"done": true}))]});
    assert_eq!(statuses(&alice.push(pushed).await), ["APPLIED"]);
    let after = stored().await;
    for field in ["createdAt", "updatedAt", "__v", "title"] {
        assert!(before.contains_key(field), "{field}: {before}");
        assert_eq!(after.get(field), before.get(field), "{field}");
    }
    assert_eq!(after.get("done"), Some(&Bson::Boolean(true)));
}
