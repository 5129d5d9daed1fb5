//! Stored documents that their readers cannot show: they are withheld, and nothing else is. On both stores, through the
//! real binary.
//!
//! On MongoDB, the test edits Tidegate's own feed by hand. The file of the embedded store is edited while no gateway runs.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    time::Duration,
};

use mongodb::{
    Collection,
    bson::{Bson, Document, Regex, doc, oid::ObjectId},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tidegate::store::embedded::{EmbeddedOptions, EmbeddedStore};
use tidegate_core::{
    checkpoint::TokenKey,
    entry::Entry,
    id::{DocumentKey, Epoch},
    value::Value,
};

use crate::{
    contract::fixture::{entries, get, key, write},
    harness::{
        CONFIG, Client, PAGE, PATIENCE, Replica, Server, Socket, configured, configured_on, create,
        delete,
        mongod::{Deployment, fresh_database, until},
        pull_query, update, with_secret,
    },
    serve::{client, token},
};

/// A gateway, and where its log goes.
struct Gateway {
    server: Server,
    directory: TempDir,
}

impl Gateway {
    fn serve(directory: TempDir) -> Self {
        let mut serve = with_secret(directory.path(), &["serve"]);
        serve.stderr(File::create(directory.path().join("log")).unwrap());
        let server = Server::start(directory.path(), serve);
        Self { server, directory }
    }

    fn client(&self, user: &str) -> Client {
        client(&self.server, &token(&self.directory, user))
    }

    /// Waits until as many documents have their one line in the log, which shows neither an id nor a value.
    async fn expect_logged(&self, documents: usize) {
        until("lines of the log", async || {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(!log.contains("needle"), "a value is shown: {log}");
            let about = |line: &&str| line.contains("cannot be shown");
            let named = log
                .lines()
                .find(|line| about(line) && line.contains(r#""id":"#));
            assert_eq!(named, None, "an id is shown");
            (log.lines().filter(about).count() == documents).then_some(())
        })
        .await;
    }
}

/// The pages of a subscription from its beginning, until there is no more.
struct Live(reqwest::Response, String);

impl Live {
    /// As server-sent events.
    async fn follow(client: &Client, arguments: &str) -> Self {
        let query = format!("subscription {{ changes{arguments} {{ {PAGE} }} }}");
        let request = client.http.post(format!("{}/graphql", client.url));
        let request = request
            .bearer_auth(&client.token)
            .header("accept", "text/event-stream")
            .header("content-type", "application/json")
            .body(json!({ "query": query }).to_string());
        Self(request.send().await.unwrap(), String::new())
    }

    async fn page(&mut self) -> Json {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let data = event.split_once("data: ").map(|(_, data)| data.to_owned());
                self.1 = rest.to_owned();
                if let Some(data) = data.filter(|data| !data.is_empty()) {
                    let mut answer: Json = serde_json::from_str(&data).unwrap();
                    assert_eq!(answer.get("errors"), None, "{answer}");
                    return answer["data"]["changes"].take();
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.0.chunk()).await;
            let chunk = chunk.expect("more in time").unwrap().expect("it goes on");
            self.1 += std::str::from_utf8(&chunk).unwrap();
        }
    }
}

/// What a device got, page by page.
#[derive(Default)]
struct Device {
    replica: Replica,
    /// The last change of each document, without its document if that is there.
    changes: BTreeMap<String, Json>,
}

impl Device {
    fn apply(&mut self, page: &Json) {
        for change in page["changes"].as_array().unwrap() {
            let id = change["documentId"].as_str().unwrap();
            self.changes.insert(id.to_owned(), change.clone());
        }
        self.replica.apply(page);
    }

    /// Pulls until there is no more.
    async fn pulled(client: &Client) -> Self {
        let mut device = Self::default();
        while device.changes.is_empty() || !device.replica.is_whole() {
            let variables = json!({ "checkpoint": device.replica.checkpoint, "limit": 500 });
            let mut data = client.data(&pull_query(), variables).await;
            device.apply(&data["changesSince"].take());
        }
        device
    }

    async fn over_sse(client: &Client) -> Self {
        let mut device = Self::default();
        let mut live = Live::follow(client, "(limit: 500)").await;
        while device.changes.is_empty() || !device.replica.is_whole() {
            device.apply(&live.page().await);
        }
        device
    }

    async fn over_a_socket(client: &Client) -> Self {
        let mut device = Self::default();
        let mut socket = Socket::follow(client, "(limit: 500)").await;
        while device.changes.is_empty() || !device.replica.is_whole() {
            let message = socket.next().await;
            assert_eq!(message["payload"].get("errors"), None, "{message}");
            device.apply(&message["payload"]["data"]["changes"]);
        }
        device
    }
}

fn revoke(type_name: &str, id: &str, version: i32) -> Json {
    json!({
        "type": type_name, "documentId": id, "kind": "REVOKE", "version": version,
        "scope": "user:alice", "document": null,
    })
}

/// Some tasks, pushed by alice.
async fn push(alice: &Client, tasks: &[Json]) {
    for tasks in tasks.chunks(1_000) {
        let results = alice.push_all(json!(tasks)).await;
        assert!(results.iter().all(|result| result["status"] == "APPLIED"));
    }
}

/// Makes a conflict about an article wait in the inbox.
async fn dispute(alice: &Client, id: &str, text: &str) {
    let article = |action: Json| json!({ "article": action });
    let edit =
        |text: &str| json!({ "update": { "id": id, "baseVersion": 1, "set": { "text": text } } });
    let created = json!({ "create": { "id": id, "document": { "title": "t" } } });
    push(alice, &[article(created), article(edit("one"))]).await;
    let stale = alice.push_all(json!([article(edit(text))])).await;
    assert_eq!(stale[0]["status"], "CONFLICT");
}

/// The first conflicts, one at a time.
async fn inbox(alice: &Client) -> Json {
    let query = "query($after: String) { conflicts(first: 1, after: $after) { nodes { documentId
        theirs { ... on SyncArticleState { title } } current { ... on Article { title } } } pageInfo { hasNextPage endCursor } } }";
    let (mut nodes, mut after) = (Vec::new(), Json::Null);
    loop {
        let mut data = alice.data(query, json!({ "after": after })).await;
        let page = &mut data["conflicts"];
        nodes.extend(page["nodes"].as_array().unwrap().iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            return json!(nodes);
        }
        after = page["pageInfo"]["endCursor"].take();
    }
}

fn disputed(id: &str, title: Option<&str>) -> Json {
    let current = title.map(|title| json!({ "title": title }));
    json!({ "documentId": id, "theirs": { "title": "t" }, "current": current })
}

struct Feed {
    records: Collection<Document>,
    state: Collection<Document>,
    conflicts: Collection<Document>,
}

impl Feed {
    /// The feed in this database. From now on another importer seems to have the lease: it would mend what is edited.
    async fn alone(database: &str) -> Self {
        let client = Deployment::shared().await.client().await;
        let database = client.database(database);
        let state = database.collection::<Document>("tidegate.state");
        let lease = state.clone();
        let renew = async move |more: i64| {
            let until = doc! { "$add": ["$$NOW", 30_000] };
            let fence = doc! { "$add": ["$fence", more] };
            let renewed = doc! { "$set": { "until": until, "fence": fence } };
            lease
                .update_one(doc! { "_id": "importer" }, vec![renewed])
                .await
        };
        assert_eq!(renew(1_000).await.unwrap().modified_count, 1);
        tokio::spawn(async move {
            while renew(0).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        Self {
            records: database.collection("tidegate.feed"),
            conflicts: database.collection("tidegate.conflicts"),
            state,
        }
    }

    /// Edits a record by hand.
    async fn edit(&self, type_name: &str, id: &str, how: Document) {
        let filter = doc! { "t": type_name, "i": id };
        let edited = self.records.update_one(filter, how).await.unwrap();
        assert_eq!(edited.modified_count, 1);
    }
}

/// What no value of Tidegate's can hold.
fn regex() -> Regex {
    Regex {
        pattern: "needle".try_into().unwrap(),
        options: "".try_into().unwrap(),
    }
}

/// The ways in which a document of the feed is broken by hand, by their ids.
fn broken() -> [(&'static str, Document); 5] {
    [
        ("absent", doc! { "$unset": { "b.title": "" } }),
        ("null", doc! { "$set": { "b.title": Bson::Null } }),
        ("mistyped", doc! { "$set": { "b.done": "needle" } }),
        ("unheld", doc! { "$set": { "b.title": ObjectId::new() } }),
        ("unreadable", doc! { "$set": { "b.other": regex() } }),
    ]
}

#[tokio::test]
async fn a_few_of_5000_documents_that_cannot_be_shown_stop_nothing_on_mongodb() {
    let database = fresh_database();
    let url = Deployment::shared().await.url(&database);
    let gateway = Gateway::serve(configured_on(&url));
    let alice = gateway.client("alice");
    let task = |id: &str| create(id, json!({ "title": "t", "projectId": "p" }));
    let mut tasks: Vec<Json> = (0..4_992).map(|n| task(&format!("t{n}"))).collect();
    tasks.extend(broken().map(|(id, _)| task(id)));
    tasks.extend([task("bodiless"), task("headless")]);
    tasks.push(json!({"project": {"create": {"id": "p", "document": {"name": "p"}}}}));
    push(&alice, &tasks).await;
    let whole = Device::pulled(&alice).await;
    assert_eq!(whole.replica.ids().len(), 5_000);

    let feed = Feed::alone(&database).await;
    for (id, how) in broken() {
        feed.edit("Task", id, how).await;
    }
    feed.edit("Task", "bodiless", doc! { "$set": { "b": "needle" } })
        .await;
    feed.edit("Task", "headless", doc! { "$unset": { "v": "" } })
        .await;
    feed.edit("Project", "p", doc! { "$unset": { "b.name": "" } })
        .await;
    let withheld = broken().map(|(id, _)| id);
    let withheld = withheld.into_iter().chain(["bodiless"]);
    let withheld: Vec<&str> = withheld.collect();

    let pulled = Device::pulled(&alice).await;
    let others = [
        Device::over_sse(&alice).await,
        Device::over_a_socket(&alice).await,
    ];
    for other in &others {
        assert_eq!(other.changes, pulled.changes);
        assert_eq!(other.replica.documents(), pulled.replica.documents());
    }
    assert_eq!(pulled.replica.ids().len(), 4_993);
    assert_eq!(pulled.changes.len(), 4_999);
    for id in &withheld {
        assert_eq!(pulled.changes[*id], revoke("Task", id, 1));
    }
    assert_eq!(
        pulled.changes["p"]["document"]["id"], "p",
        "its name is not selected"
    );
    assert_eq!(pulled.changes.get("headless"), None);

    let by_key = "query($a: ID!, $b: ID!) { a: task(id: $a) { title done } b: task(id: $b) { title project { name } } }";
    for id in withheld.iter().chain(&["headless"]) {
        let answer = alice.data(by_key, json!({ "a": id, "b": "t0" })).await;
        let others = json!({ "title": "t", "project": null });
        assert_eq!(answer, json!({ "a": null, "b": others }), "{id}");
    }
    gateway.expect_logged(withheld.len() + 2).await;

    for id in ["a", "b", "c"] {
        dispute(&alice, id, "two").await;
    }
    let how = doc! { "$set": { "mine.text": regex() } };
    let edited = feed
        .conflicts
        .update_one(doc! { "i": "b" }, how)
        .await
        .unwrap();
    assert_eq!(edited.modified_count, 1);
    let others = ["a", "c"].map(|id| disputed(id, Some("t")));
    assert_eq!(inbox(&alice).await, json!(others));

    // The application's documents are as they were, and each push that meets one takes it over.
    let edits: Vec<Json> = withheld
        .iter()
        .map(|id| update(id, 1, json!({ "notes": "x" })))
        .collect();
    for result in alice.push_all(json!(edits)).await {
        assert_eq!(
            (&result["status"], &result["version"]),
            (&json!("MERGED"), &json!(3))
        );
        assert_eq!(result["document"]["title"], "t");
    }
    let mended = Device::pulled(&alice).await;
    assert_eq!(mended.replica.ids().len(), 4_999 + 3);
}

#[tokio::test]
async fn a_live_change_that_cannot_be_shown_is_a_revoke_for_all_who_share_its_text() {
    let database = fresh_database();
    let url = Deployment::shared().await.url(&database);
    let gateway = Gateway::serve(configured_on(&url));
    let alice = gateway.client("alice");
    push(&alice, &[create("bad", json!({ "title": "needle" }))]).await;
    let mut sockets = [
        Socket::follow(&alice, "").await,
        Socket::follow(&alice, "").await,
    ];
    let mut stream = Live::follow(&alice, "").await;
    let mut devices = [Device::default(), Device::default(), Device::default()];
    let next = async |sockets: &mut [Socket; 2], stream: &mut Live, devices: &mut [Device; 3]| {
        let [first, second] = sockets;
        let pages = [first.page().await, second.page().await, stream.page().await];
        for (device, page) in devices.iter_mut().zip(&pages) {
            device.apply(page);
        }
        pages.map(|mut page| page["changes"].take())
    };
    next(&mut sockets, &mut stream, &mut devices).await;
    assert_eq!(devices[2].replica.ids(), ["bad"]);

    // What a gateway with another model could have committed.
    let feed = Feed::alone(&database).await;
    let head = doc! { "_id": "scope\0user:alice" };
    let raised = feed
        .state
        .update_one(head, doc! { "$inc": { "h": 1_i64 } })
        .await
        .unwrap();
    assert_eq!(raised.modified_count, 1);
    let how = doc! { "$inc": { "v": 1, "q": 1_i64 }, "$unset": { "b.title": "" } };
    feed.edit("Task", "bad", how).await;
    for changes in next(&mut sockets, &mut stream, &mut devices).await {
        assert_eq!(changes, json!([revoke("Task", "bad", 2)]));
    }
    for device in &devices {
        assert_eq!(device.replica.ids(), [""; 0]);
    }
    gateway.expect_logged(1).await;

    let edit = update("bad", 2, json!({ "done": true }));
    let results = alice
        .push_all(json!([edit, create("good", json!({ "title": "t" }))]))
        .await;
    assert_eq!(results[0]["version"], 4);
    while devices.iter().any(|device| device.replica.ids().len() < 2) {
        next(&mut sockets, &mut stream, &mut devices).await;
    }
    for device in &devices {
        assert_eq!(device.replica.ids(), ["bad", "good"]);
        assert_eq!(device.replica.task("bad")["title"], "needle");
    }
}

/// Overwrites a text in the file of a store, wherever it stands.
fn overwrite(data: &Path, text: &str, byte: u8) {
    let mut found = 0;
    for file in fs::read_dir(data).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let places = bytes.windows(text.len()).enumerate();
        let places = places.filter(|(_, window)| *window == text.as_bytes());
        let places: Vec<usize> = places.map(|(at, _)| at).collect();
        found += places.len();
        for at in places {
            bytes[at..at + text.len()].fill(byte);
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(found > 0, "{text} is not in the file");
}

/// Gives a document of a store another version, without this field.
async fn without(store: &EmbeddedStore, key: &DocumentKey, field: &str) {
    let mut entry = Entry::clone(&*get(store, key).await.unwrap());
    entry.version = entry.version.next().unwrap();
    let body = entry.body.as_mut().unwrap();
    assert!(body.remove(field).is_some());
    body.insert("notes".to_owned(), Value::Null);
    write(store, entries([entry])).await;
}

#[tokio::test]
async fn documents_that_cannot_be_shown_stop_nothing_on_the_embedded_store() {
    let gateway = Gateway::serve(configured(CONFIG));
    let alice = gateway.client("alice");
    dispute(&alice, "a", "two").await;
    dispute(&alice, "b", "the needle in the inbox").await;
    push(
        &alice,
        &[
            create("good", json!({ "title": "t" })),
            create("absent", json!({ "title": "t" })),
            create("unreadable", json!({ "title": "the needle in the file" })),
        ],
    )
    .await;
    let Gateway { server, directory } = gateway;
    server.stop();
    let data = directory.path().join("data");
    let options = EmbeddedOptions::new(Epoch::new("unused").unwrap(), TokenKey([7; 32]));
    let store = EmbeddedStore::open(&data, &options).unwrap();
    without(&store, &key("Task", "absent"), "title").await;
    without(&store, &key("Article", "a"), "title").await;
    drop(store);
    overwrite(&data, "the needle in the file", 0xff);
    overwrite(&data, "the needle in the inbox", 0xff);

    let gateway = Gateway::serve(directory);
    let (alice, bob) = (gateway.client("alice"), gateway.client("bob"));
    for device in [
        Device::pulled(&alice).await,
        Device::over_sse(&alice).await,
        Device::over_a_socket(&alice).await,
    ] {
        assert_eq!(device.replica.ids(), ["a", "b", "good"]);
        assert_eq!(device.changes["absent"], revoke("Task", "absent", 2));
        assert_eq!(
            device.changes["unreadable"],
            revoke("Task", "unreadable", 1)
        );
    }
    for id in ["absent", "unreadable"] {
        assert_eq!(alice.task(id).await, Json::Null);
    }
    assert_eq!(inbox(&alice).await, json!([disputed("a", None)]));
    gateway.expect_logged(4).await;

    // Nobody else writes to this store. What can be read can be mended by a push.
    let changes = |id: &str| {
        json!([
            create(id, json!({ "title": "new" })),
            update(id, 1, json!({ "done": true })),
            delete(id, 1),
            create("good2", json!({ "title": "t" })),
        ])
    };
    let met = alice.push_all(changes("unreadable")).await;
    for result in &met[..3] {
        let error = &result["error"];
        assert_eq!(
            (&result["status"], &error["code"]),
            (&json!("REJECTED"), &json!("INVALID_VALUE"))
        );
        assert_eq!(
            (&error["field"], &result["document"]),
            (&Json::Null, &Json::Null)
        );
    }
    assert_eq!(
        met[3]["status"], "APPLIED",
        "its neighbours are carried out"
    );
    let met = bob.push_all(changes("unreadable")).await;
    let codes = met.iter().take(3).map(|result| &result["error"]["code"]);
    assert_eq!(
        json!(codes.collect::<Vec<_>>()),
        json!(["ID_TAKEN", "NOT_FOUND", "NOT_FOUND"])
    );

    let blind = alice
        .push_all(json!([update("absent", 2, json!({ "done": true }))]))
        .await;
    assert_eq!(
        (&blind[0]["status"], &blind[0]["document"]),
        (&json!("APPLIED"), &Json::Null)
    );
    let mended = alice
        .push_all(json!([update("absent", 3, json!({ "title": "back" }))]))
        .await;
    assert_eq!(mended[0]["document"]["title"], "back");
    let device = Device::pulled(&alice).await;
    assert_eq!(device.replica.task("absent")["done"], true);
}
