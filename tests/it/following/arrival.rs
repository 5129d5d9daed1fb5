//! One foreign write after the other, and what a subscriber gets of each.

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server, Socket, configured_on, create,
    mongod::{Deployment, fresh_database},
    numbered, update,
};

/// A subscriber, and the collection as another service sees it. Nobody pushes between a write and its arrival.
struct Bench {
    _server: Server,
    _directory: TempDir,
    alice: Client,
    socket: Socket,
    tasks: Collection<Document>,
}

impl Bench {
    async fn start() -> Self {
        let deployment = Deployment::shared().await;
        let name = fresh_database();
        let directory = configured_on(&deployment.url(&name));
        let server = Server::serve(&directory);
        let alice = server.client("alice");
        let mut socket = Socket::follow(&alice, "").await;
        socket.page().await;
        let database = deployment.client().await.database(&name);
        Self {
            _server: server,
            _directory: directory,
            alice,
            socket,
            tasks: database.collection("tasks"),
        }
    }

    /// The changes of the next page that has some.
    async fn arrived(&mut self) -> Vec<Value> {
        let is_news = |page: &Value| page["changes"] != json!([]);
        let mut page = self.socket.page_with(is_news).await;
        serde_json::from_value(page["changes"].take()).unwrap()
    }

    /// The one change of the next page that has some, as its kind, version and title.
    async fn arrived_alone(&mut self) -> (String, i64, Value) {
        let changes = self.arrived().await;
        let [change] = &changes[..] else {
            panic!("one write is one change: {changes:?}")
        };
        let kind = change["kind"].as_str().unwrap().to_owned();
        let title = change["document"]["title"].clone();
        (kind, change["version"].as_i64().unwrap(), title)
    }
}

fn upsert(version: i64, title: &str) -> (String, i64, Value) {
    ("UPSERT".to_owned(), version, title.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_foreign_write_reaches_a_subscriber_as_one_change() {
    let mut bench = Bench::start().await;
    let tasks = bench.tasks.clone();
    let tea = || doc! {"_id": "tea"};
    let document = |title: &str| doc! {"_id": "tea", "audience": "user:alice", "title": title};
    tasks.insert_one(document("Tea")).await.unwrap();
    assert_eq!(bench.arrived_alone().await, upsert(1, "Tea"));

    let set = doc! {"$set": {"title": "Green tea"}};
    tasks.update_one(tea(), set).await.unwrap();
    assert_eq!(bench.arrived_alone().await, upsert(2, "Green tea"));

    let stage = doc! {"$set": {"title": {"$toUpper": "$title"}}};
    tasks.update_one(tea(), vec![stage]).await.unwrap();
    assert_eq!(bench.arrived_alone().await, upsert(3, "GREEN TEA"));

    // What the model does not name is no change.
    let set = doc! {"$set": {"stock": 7}};
    tasks.update_one(tea(), set).await.unwrap();
    tasks.replace_one(tea(), document("Mate")).await.unwrap();
    assert_eq!(bench.arrived_alone().await, upsert(4, "Mate"));

    let set = doc! {"$set": {"audience": "team:demo"}};
    tasks.update_one(tea(), set).await.unwrap();
    let moved = bench.arrived().await;
    let mut moved: Vec<_> = moved
        .iter()
        .map(|change| json!([change["kind"], change["version"], change["scope"]]))
        .collect();
    moved.sort_by_key(Value::to_string);
    let expected = [
        json!(["REVOKE", 5, "user:alice"]),
        json!(["UPSERT", 5, "team:demo"]),
    ];
    assert_eq!(moved, expected);

    tasks.delete_one(tea()).await.unwrap();
    let deleted = ("DELETE".to_owned(), 6, Value::Null);
    assert_eq!(bench.arrived_alone().await, deleted);

    // In the scope that the one before was in.
    let again = doc! {"_id": "tea", "audience": "team:demo", "title": "Tea again"};
    tasks.insert_one(again).await.unwrap();
    assert_eq!(bench.arrived_alone().await, upsert(7, "Tea again"));
}

/// If it counted as the phone's own, the phone's next edit would go on from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_write_is_nobodys_edit() {
    let mut bench = Bench::start().await;
    let epoch = bench.alice.epoch().await;
    let push = |number, change| numbered("phone", number, &epoch, json!([change]));
    let created = push(1, create("tea", json!({"title": "Tea"})));
    bench.alice.push(created).await;
    assert_eq!(bench.arrived_alone().await, upsert(1, "Tea"));
    let set = doc! {"$set": {"title": "Coffee"}};
    bench.tasks.update_one(doc! {}, set).await.unwrap();
    assert_eq!(bench.arrived_alone().await, upsert(2, "Coffee"));

    let edit = push(2, update("tea", 1, json!({"title": "Mate"})));
    let answer = bench.alice.push(edit).await;
    let result = &answer["results"][0];
    let field = &result["conflict"]["fields"][0];
    assert_eq!(
        (&result["version"], &field["field"], &field["theirs"]),
        (&json!(3), &json!("title"), &json!("Coffee")),
        "{result}"
    );
}
