//! Starts on another model than the one that the store was served with: what is served, what is refused with what to do,
//! and what devices get that synced before. The same on both stores, with real processes.
//!
//! `moves` has changes of who sees what. The matrix of `tests/it/models.rs` has each change once.

mod moves;
mod withheld;

use std::{collections::BTreeMap, fs};

use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::assert_says;
use crate::harness::{
    Client, Server, command, complaint_of,
    mongod::{Deployment, fresh_database},
};

/// A model of one type, with fields beside those of its scope.
fn tasks(fields: &str) -> String {
    format!(
        "extend schema @grant(scope: \"team:{{teams}}\", access: WRITE)\n\
         type Task @collection(name: \"tasks\") @scope(by: \"team:{{team}}\") {{\n  id: ID!\n  team: String!\n  {fields}\n}}\n"
    )
}

/// Where a store is, and the directory of its gateways.
struct Place {
    directory: TempDir,
    url: String,
    /// The name of its database, if it is in MongoDB.
    database: Option<String>,
}

async fn places() -> [Place; 2] {
    let deployment = Deployment::shared().await;
    [None, Some(fresh_database())].map(|database| Place {
        directory: TempDir::new().unwrap(),
        url: match &database {
            None => "embedded:data".to_owned(),
            Some(database) => deployment.url(database),
        },
        database,
    })
}

impl Place {
    fn write(&self, model: &str) {
        fs::write(self.directory.path().join("model.graphql"), model).unwrap();
    }

    fn serve(&self, model: &str) -> Server {
        self.serve_with(model, &[])
    }

    fn serve_with(&self, model: &str, arguments: &[&str]) -> Server {
        self.write(model);
        let arguments = [&["--store", &self.url], arguments].concat();
        Server::dev_with(self.directory.path(), &arguments)
    }

    /// What a start on this model complains about.
    fn refused(&self, model: &str) -> String {
        self.write(model);
        let dev = ["dev", "--listen", "127.0.0.1:0", "--store", &self.url];
        complaint_of(command(self.directory.path()).args(dev))
    }

    /// What `check` prints, and whether it finds that the model can be served.
    fn check(&self, model: &str) -> (bool, String) {
        self.write(model);
        let config = format!(
            "[store]\nurl = {:?}\n[auth]\nalgorithms = [\"HS256\"]\nsecret = \"a secret that is long enough for HS256\"\n",
            self.url
        );
        fs::write(self.directory.path().join("tidegate.toml"), config).unwrap();
        let output = command(self.directory.path())
            .arg("check")
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(printed).unwrap())
    }

    /// The application's collection, in MongoDB.
    async fn collection(&self, name: &str) -> Option<Collection<Document>> {
        let client = Deployment::shared().await.client().await;
        let database = client.database(self.database.as_ref()?);
        Some(database.collection(name))
    }

    /// Serves the model for a while, pushes tasks of the team `demo` with these fields, and lets a device sync.
    async fn filled(&self, model: &str, selection: &str, tasks: &[Value]) -> Device {
        let server = self.serve(model);
        let mut device = Device::new(&server, selection);
        let creates = tasks.iter().enumerate().map(|(i, fields)| {
            let mut document = fields.clone();
            document["team"] = json!("demo");
            json!({"task": {"create": {"id": format!("t{i}"), "document": document}}})
        });
        device.push(&server, creates.collect()).await;
        device.pull(&server).await;
        assert_eq!(device.documents.len(), tasks.len());
        server.stop();
        device
    }
}

/// A device that follows all types, and what it holds.
struct Device {
    client: Client,
    /// What it selects of a document.
    selection: String,
    checkpoint: Value,
    documents: BTreeMap<String, Value>,
    versions: BTreeMap<String, Value>,
}

impl Device {
    fn new(server: &Server, selection: &str) -> Self {
        Self {
            client: server.client("alice"),
            selection: selection.to_owned(),
            checkpoint: Value::Null,
            documents: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// A device of the same user that has synced nothing yet.
    fn fresh(&self) -> Self {
        Self {
            client: self.client.clone(),
            selection: self.selection.clone(),
            checkpoint: Value::Null,
            documents: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Pulls everything. Returns the kinds and ids of the changes.
    async fn pull(&mut self, server: &Server) -> Vec<String> {
        let query = format!(
            "query($c: Checkpoint) {{ changesSince(checkpoint: $c) {{ reset hasMore checkpoint changes {{ kind documentId version document {{ {} }} }} }} }}",
            self.selection
        );
        let (client, mut seen) = (self.client.at(server), Vec::new());
        loop {
            let mut page =
                client.data(&query, json!({"c": self.checkpoint})).await["changesSince"].take();
            if page["reset"] == true {
                self.documents.clear();
            }
            for change in page["changes"].as_array().unwrap() {
                let (kind, id) = (
                    change["kind"].as_str().unwrap(),
                    change["documentId"].as_str().unwrap(),
                );
                seen.push(format!("{kind} {id}"));
                self.versions
                    .insert(id.to_owned(), change["version"].clone());
                match kind {
                    "UPSERT" => self
                        .documents
                        .insert(id.to_owned(), change["document"].clone()),
                    _ => self.documents.remove(id),
                };
            }
            self.checkpoint = page["checkpoint"].take();
            if page["hasMore"] == false {
                return seen;
            }
        }
    }

    async fn push(&mut self, server: &Server, changes: Vec<Value>) {
        let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { documentId status version error { code message } } } }";
        let client = self.client.at(server);
        let data = client.data(query, json!({"c": changes})).await;
        for result in data["pushChanges"]["results"].as_array().unwrap() {
            assert_eq!(result["status"], "APPLIED", "{result}");
            let id = result["documentId"].as_str().unwrap();
            self.versions
                .insert(id.to_owned(), result["version"].clone());
        }
    }

    /// Changes a task from the version that the device knows.
    async fn update(&mut self, server: &Server, id: &str, set: Value) {
        let update = json!({"id": id, "baseVersion": self.versions[id], "set": set});
        self.push(server, vec![json!({"task": {"update": update}})])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_widened_field_is_served_at_once_and_documents_get_no_new_version() {
    for place in places().await {
        let row = "}\ntype Row {\n  price: Int\n";
        let fields = |size: &str, counts: &str, row: &str| {
            format!("size: {size}\n  counts: [{counts}!]\n  rows: [Row!]\n  word: String\n{row}")
        };
        let selection = "... on Task { size counts rows { price } word }";
        let document = json!({"size": 5, "counts": [1, 2], "rows": [{"price": 7}], "word": "w"});
        let before = tasks(&fields("Int", "Int", row));
        let mut device = place.filled(&before, selection, &[document]).await;
        let long = row.replace("Int", "Long");
        for (fields, expected) in [
            (
                fields("Long", "Long", &long),
                json!({"size": "5", "counts": ["1", "2"], "rows": [{"price": "7"}], "word": "w"}),
            ),
            (
                fields("Float", "Int", row).replace("word: String", "word: ID"),
                json!({"size": 5.0, "counts": [1, 2], "rows": [{"price": 7}], "word": "w"}),
            ),
            (
                fields("ID", "ID", row),
                json!({"size": "5", "counts": ["1", "2"], "rows": [{"price": 7}], "word": "w"}),
            ),
        ] {
            let server = place.serve(&tasks(&fields));
            assert_eq!(device.pull(&server).await, [""; 0], "no version");
            let mut fresh = device.fresh();
            fresh.pull(&server).await;
            assert_eq!(fresh.documents["t0"], expected, "{fields}");
            server.stop();
            // Each from the same model.
            place.serve(&before).stop();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_does_not_hold_the_values_is_refused_with_a_count_and_devices_lose_nothing() {
    for place in places().await {
        let fields = "at: DateTime\n  amount: Decimal\n  bytes: Bytes\n  any: JSON\n  size: Int";
        let document = json!({
            "at": "2026-02-28T12:00:00.000Z", "amount": "1.50", "bytes": "AAEC", "any": {"a": 1}, "size": 3,
        });
        let selection = "... on Task { at amount bytes any size }";
        let documents = [document.clone(), document];
        let mut device = place.filled(&tasks(fields), selection, &documents).await;
        for (from, to) in [
            ("at: DateTime", "at: String"),
            ("amount: Decimal", "amount: ID"),
            ("bytes: Bytes", "bytes: String"),
            ("any: JSON", "any: String"),
            ("size: Int", "size: Boolean"),
            ("size: Int", "size: [Int]"),
        ] {
            let model = tasks(&fields.replace(from, to));
            let (field, _) = from.split_once(':').unwrap();
            let parts = [
                "2 stored documents do not fit the model",
                "--withhold",
                "Task/t0",
                "Task/t1",
                field,
            ];
            assert_says(&place.refused(&model), &parts);
            let (good, printed) = place.check(&model);
            assert!(!good);
            assert_says(&printed, &parts);
        }
        let server = place.serve(&tasks(fields));
        assert_eq!(device.pull(&server).await, [""; 0]);
        assert_eq!(device.documents.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_stored_name_is_refused_unless_the_model_says_which_it_was() {
    for place in places().await {
        let documents = [json!({"note": "kept"}), json!({})];
        let selection = "... on Task { note }";
        let before = tasks("note: String @stored(as: \"a\")\n  size: Int");
        let mut device = place.filled(&before, selection, &documents).await;
        let bare = tasks("note: String @stored(as: \"b\")\n  size: Int");
        let parts = [
            "Task.note: is stored as \"b\", was stored as \"a\"",
            "1 document",
            "@renamed(stored: \"a\")",
            "Task/t0",
        ];
        assert_says(&place.refused(&bare), &parts);
        let (good, printed) = place.check(&bare);
        assert!(!good);
        assert_says(&printed, &parts);

        let declared =
            tasks("note: String @stored(as: \"b\") @renamed(stored: \"a\")\n  size: Int");
        assert!(place.check(&declared).0);
        let server = place.serve(&declared);
        assert_eq!(
            device.pull(&server).await,
            [""; 0],
            "nothing changes for it"
        );
        let mut fresh = device.fresh();
        fresh.pull(&server).await;
        assert_eq!(fresh.documents["t0"], json!({"note": "kept"}));
        device.update(&server, "t1", json!({"note": "new"})).await;
        device.update(&server, "t0", json!({"size": 1})).await;
        device.pull(&server).await;
        assert_eq!(device.documents["t0"], json!({"note": "kept"}));
        assert_eq!(device.documents["t1"], json!({"note": "new"}));
        if let Some(collection) = place.collection("tasks").await {
            let stored = collection
                .find_one(doc! {"_id": "t1"})
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (stored.get_str("b").ok(), stored.get("a")),
                (Some("new"), None)
            );
        }
        device
            .update(&server, "t0", json!({"note": "changed"}))
            .await;
        if let Some(collection) = place.collection("tasks").await {
            let stored = collection
                .find_one(doc! {"_id": "t0"})
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (stored.get_str("b").ok(), stored.get("a")),
                (Some("changed"), None)
            );
        }
        server.stop();
        // No document has its value under the earlier name any more.
        let server = place.serve(&bare);
        assert_eq!(device.pull(&server).await, ["UPSERT t0"]);
        assert_eq!(device.documents["t0"], json!({"note": "changed"}));
        assert_eq!(device.documents["t1"], json!({"note": "new"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_the_model_without_being_retired_is_a_warning_and_stays_stored() {
    for place in places().await {
        let fields = "text: String\n  state: State\n}\nenum State {\n  open done";
        let before = tasks(fields);
        let documents = [json!({"text": "x", "state": "open"})];
        let mut device = place
            .filled(&before, "... on Task { text }", &documents)
            .await;
        let without = tasks("state: State\n}\nenum State {\n  open");
        let (good, printed) = place.check(&without);
        assert!(good, "{printed}");
        let parts = [
            "warning: Task.text: is gone, and was not retired",
            "State.done: is gone, and was not retired",
            "keep it with `@retired`",
        ];
        assert_says(&printed, &parts);
        let server = place.serve(&without);
        device.update(&server, "t0", json!({"state": "open"})).await;
        server.stop();
        let server = place.serve(&before);
        let mut fresh = device.fresh();
        fresh.pull(&server).await;
        assert_eq!(fresh.documents["t0"], json!({"text": "x"}));
        device.pull(&server).await;
        assert_eq!(device.documents, fresh.documents);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constraint_that_stored_documents_break_is_counted_and_they_stay_readable() {
    for place in places().await {
        let documents = [json!({"text": "short"}), json!({"text": "much too long"})];
        let mut device = place
            .filled(&tasks("text: String"), "... on Task { text }", &documents)
            .await;
        let bounded = tasks("text: String @constraint(maxLength: 5)");
        let (good, printed) = place.check(&bounded);
        assert!(good, "{printed}");
        assert_says(
            &printed,
            &["1 document breaks a `@constraint`", "Task/t1: text"],
        );
        let server = place.serve(&bounded);
        assert_eq!(device.pull(&server).await, [""; 0]);
        let mut fresh = device.fresh();
        fresh.pull(&server).await;
        assert_eq!(fresh.documents["t1"], json!({"text": "much too long"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_model_serves_beside_a_later_one_and_says_so() {
    let [_, place] = places().await;
    let (before, after) = (tasks("text: String"), tasks("text: String\n  size: Int"));
    let mut device = place
        .filled(&before, "... on Task { text }", &[json!({"text": "x"})])
        .await;
    let later = place.serve(&after);
    let log = place.directory.path().join("log");
    let mut older = command(place.directory.path());
    // The later one follows its own file.
    fs::write(place.directory.path().join("older.graphql"), &before).unwrap();
    older.args(["dev", "--listen", "127.0.0.1:0", "--store", &place.url]);
    older.args(["--model", "older.graphql"]);
    older.stderr(fs::File::create(&log).unwrap());
    let older = Server::start(place.directory.path(), older);
    let logged = fs::read_to_string(log).unwrap();
    assert_says(&logged, &["a later model leads this store"]);
    device.update(&later, "t0", json!({"size": 5})).await;
    device.update(&older, "t0", json!({"text": "y"})).await;
    let mut fresh = device.fresh();
    fresh.selection = "... on Task { text size }".to_owned();
    fresh.pull(&later).await;
    assert_eq!(fresh.documents["t0"], json!({"text": "y", "size": 5}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_changes_nothing_in_mongodb() {
    let [_, place] = places().await;
    let before = tasks("text: String");
    place.serve(&before).stop();
    let database = Deployment::shared().await.client().await;
    let database = database.database(place.database.as_ref().unwrap());
    let feed = database.collection::<Document>("tidegate.feed");
    feed.drop_index("x_1").await.unwrap();
    let there = async || {
        let mut there = BTreeMap::new();
        for name in database.list_collection_names().await.unwrap() {
            let collection = database.collection::<Document>(&name);
            let indexes = collection.list_index_names().await.unwrap();
            let documents = collection.find(doc! {}).sort(doc! { "_id": 1 });
            let documents: Vec<Document> = documents.await.unwrap().try_collect().await.unwrap();
            there.insert(name, (indexes, documents));
        }
        there
    };
    let found = there().await;
    let tags = "type Tag @collection(name: \"tags\") @scope(by: \"team:{team}\") { id: ID! team: String! }";
    let (good, printed) = place.check(&format!("{before}{tags}"));
    assert!(good, "{printed}");
    assert_says(&printed, &["plan: Tag"]);
    assert_eq!(there().await, found);
}
