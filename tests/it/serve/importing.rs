//! The importer of a real gateway on a real MongoDB: what another service stored, writes, drops and brings back reaches
//! devices, through kills and lost history.

use std::{
    fs,
    process::{Command, Output, Stdio},
    time::Duration,
};

use mongodb::{
    Collection, Database,
    bson::{Bson, Document, Timestamp, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use super::{assert_says, client, token, with_secret};
use crate::harness::{
    CONFIG, Client, Replica, Server, complaint_of, configured, configured_on,
    mongod::{Deployment, fresh_database, until},
};

/// A database that another service fills, and the configuration of gateways on it.
struct Bench {
    directory: TempDir,
    database: Database,
}

impl Bench {
    async fn start() -> Self {
        let deployment = Deployment::shared().await;
        let name = fresh_database();
        Self {
            directory: configured_on(&deployment.url(&name)),
            database: deployment.client().await.database(&name),
        }
    }

    fn tasks(&self) -> Collection<Document> {
        self.database.collection("tasks")
    }

    async fn fill(&self, tasks: usize) {
        let all: Vec<Document> = (0..tasks).map(|id| task(&format!("{id:05}"))).collect();
        self.tasks().insert_many(all).await.unwrap();
    }

    fn serve(&self) -> (Server, Client) {
        let server = Server::serve(&self.directory);
        let alice = client(&server, &token(&self.directory, "alice"));
        (server, alice)
    }

    fn import(&self, arguments: &[&str]) -> Output {
        let mut import = with_secret(self.directory.path(), &["import"]);
        import.args(arguments).output().unwrap()
    }

    /// Changes the position that the importer saved.
    async fn spoil_position(&self, field: &str, value: impl Into<Bson>) {
        let state = self.database.collection::<Document>("tidegate.state");
        let saved = doc! { "position": { "$exists": true } };
        let update = doc! { "$set": { field: value.into() } };
        let spoiled = state.update_one(saved, update).await.unwrap();
        assert_eq!(spoiled.modified_count, 1);
    }
}

fn task(id: &str) -> Document {
    doc! { "_id": id, "audience": "public", "title": "Tea" }
}

/// Waits until a new device gets exactly these many tasks.
async fn until_pulled(alice: &Client, tasks: usize) -> Replica {
    until("import", async || {
        let mut device = Replica::default();
        device.pull(alice).await;
        (device.ids().len() == tasks).then_some(device)
    })
    .await
}

/// Waits until the viewer says this of the import.
async fn until_importing(alice: &Client, expected: Value) {
    let query = "{ viewer { importing { type held } } }";
    until("state of the import", async || {
        let shown = alice.data(query, json!({})).await;
        (shown["viewer"]["importing"] == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_gets_what_another_service_has_stored_and_then_what_it_writes() {
    let bench = Bench::start().await;
    bench.fill(2_500).await;
    let unfit = [
        doc! { "_id": 7, "audience": "public", "title": "An id that is a number" },
        doc! { "_id": "untitled", "audience": "public" },
        doc! { "_id": "numbered", "audience": "public", "title": 5 },
    ];
    bench.tasks().insert_many(&unfit).await.unwrap();
    let (server, alice) = bench.serve();
    let mut device = until_pulled(&alice, 2_500).await;
    until_importing(&alice, json!([])).await;
    assert!(
        device
            .documents()
            .values()
            .all(|local| local.scope == "public")
    );
    assert_eq!(device.task("00042")["syncVersion"], 1);

    let tasks = bench.tasks();
    let is_first = doc! { "_id": "00000" };
    tasks
        .update_one(is_first, doc! { "$set": { "title": "Coffee" } })
        .await
        .unwrap();
    tasks.delete_one(doc! { "_id": "00001" }).await.unwrap();
    tasks.insert_one(task("new")).await.unwrap();
    let moved = doc! { "$set": { "audience": "user:bob" } };
    tasks
        .update_one(doc! { "_id": "00002" }, moved)
        .await
        .unwrap();
    let mended = doc! { "$set": { "title": "Mended" } };
    tasks
        .update_one(doc! { "_id": "numbered" }, mended)
        .await
        .unwrap();
    until("changes", async || {
        device.pull(&alice).await;
        let ids = device.ids();
        let has = |id: &str| ids.contains(&id);
        let is_seen = has("new") && has("numbered") && !has("00001") && !has("00002");
        (is_seen && device.task("00000")["title"] == "Coffee").then_some(())
    })
    .await;
    assert_eq!(device.resets, 1, "the first pull, and none after it");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_again_and_again_imports_each_document_once() {
    let bench = Bench::start().await;
    bench.fill(4_000).await;
    for ms in [0, 30, 100, 200, 400] {
        let (server, _) = bench.serve();
        sleep(Duration::from_millis(ms)).await;
        server.kill();
        let id = format!("{:05}", 3_000 + ms);
        bench.tasks().delete_one(doc! { "_id": id }).await.unwrap();
    }
    let (_server, alice) = bench.serve();
    let device = until_pulled(&alice, 3_995).await;
    until_importing(&alice, json!([])).await;
    let versions = device
        .documents()
        .keys()
        .map(|(_, id)| &device.task(id)["syncVersion"]);
    assert!(versions.into_iter().all(|version| *version == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_or_dies_leaves_the_import_to_the_next() {
    let bench = Bench::start().await;
    let (first, _) = bench.serve();
    let (second, alice) = bench.serve();
    bench.tasks().insert_one(task("one")).await.unwrap();
    until_pulled(&alice, 1).await;
    first.stop();
    bench.tasks().insert_one(task("two")).await.unwrap();
    until_pulled(&alice, 2).await;
    let (_third, alice) = bench.serve();
    second.kill();
    bench.tasks().insert_one(task("three")).await.unwrap();
    until_pulled(&alice, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_is_renamed_is_held_and_goes_on_when_it_is_back() {
    let bench = Bench::start().await;
    bench.fill(20).await;
    let (server, alice) = bench.serve();
    until_pulled(&alice, 20).await;
    let rename = async |from: &str, to: &str| {
        let name = bench.database.name();
        let rename =
            doc! { "renameCollection": format!("{name}.{from}"), "to": format!("{name}.{to}") };
        let admin = bench.database.client().database("admin");
        admin.run_command(rename).await.unwrap();
    };
    rename("tasks", "elsewhere").await;
    until_importing(&alice, json!([{ "type": "Task", "held": true }])).await;
    until_pulled(&alice, 20).await;
    let held = "documents are missing, and an operator has to say what becomes of them";
    assert_eq!(until_importer_is(&server, held).await, "degraded");
    let edit = json!([{ "task": { "update": { "id": "00001", "baseVersion": 1, "set": { "done": true } } } }]);
    let document = json!({ "audience": "public", "title": "New" });
    let create = json!([{ "task": { "create": { "id": "new", "document": document } } }]);
    for (changes, reason) in [
        (edit, "nothing is decided about what may be lost"),
        (create, "it would make the collection again"),
    ] {
        let push = json!({ "input": { "changes": changes } });
        let code = alice.code(&crate::harness::push_query(), push).await;
        assert_eq!(code, "SERVICE_UNAVAILABLE", "{reason}");
    }
    let output = bench.import(&[]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert_says(
        &complaint,
        &["Task: held", "20 of 20", "import --accept-deletes Task"],
    );
    let elsewhere = bench.database.collection::<Document>("elsewhere");
    elsewhere.delete_one(doc! { "_id": "00007" }).await.unwrap();
    rename("elsewhere", "tasks").await;
    let device = until_pulled(&alice, 19).await;
    assert!(
        !device.ids().contains(&"00007"),
        "what happened meanwhile is seen"
    );
    until_importing(&alice, json!([])).await;
    assert_eq!(until_importer_is(&server, "ok").await, "ok");
}

/// Waits until `/readyz` says this of the importer. Returns the status.
async fn until_importer_is(server: &Server, says: &str) -> Value {
    until(says, async || {
        let ready = reqwest::get(format!("{}/readyz", server.url)).await;
        let body = ready.unwrap().text().await.unwrap();
        let mut body: Value = serde_json::from_str(&body).unwrap();
        (body["parts"]["importer"] == says).then(|| body["status"].take())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_a_dropped_collection_are_deleted_once_an_operator_accepts_that() {
    let bench = Bench::start().await;
    bench.fill(20).await;
    bench
        .tasks()
        .insert_one(doc! { "_id": "untitled", "audience": "public" })
        .await
        .unwrap();
    let output = bench.import(&[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_says(
        &said,
        &[
            "Task: imported, about 21 documents",
            "Task: documents that do not fit the model: 1;",
        ],
    );
    let (server, alice) = bench.serve();
    until_pulled(&alice, 20).await;
    bench.tasks().drop().await.unwrap();
    until_importing(&alice, json!([{ "type": "Task", "held": true }])).await;
    until_pulled(&alice, 20).await;
    // The gateway holds the lease: the command shows what becomes of it there.
    let output = bench.import(&["--accept-deletes", "Task"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    assert_says(&complaint, &["a gateway imports already"]);
    until_pulled(&alice, 0).await;
    let unknown = bench.import(&["--accept-deletes", "Tusk"]);
    let complaint = String::from_utf8_lossy(&unknown.stderr);
    assert_says(
        &complaint,
        &["no type \"Tusk\"", "Task, Project, Article, Member"],
    );
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_history_is_repaired_without_a_reset_and_another_store_gets_a_new_epoch() {
    let bench = Bench::start().await;
    bench.fill(30).await;
    let (server, alice) = bench.serve();
    let mut device = until_pulled(&alice, 30).await;
    until_importing(&alice, json!([])).await;
    let epoch = alice.epoch().await;
    server.stop();
    bench
        .tasks()
        .delete_one(doc! { "_id": "00003" })
        .await
        .unwrap();
    bench.tasks().insert_one(task("unseen")).await.unwrap();
    let future = Timestamp {
        time: u32::MAX,
        increment: 0,
    };
    bench.spoil_position("position.at", future).await;
    bench.spoil_position("types", 5).await;
    let (server, alice) = bench.serve();
    until("repair", async || {
        device.pull(&alice).await;
        let ids = device.ids();
        (ids.contains(&"unseen") && !ids.contains(&"00003")).then_some(())
    })
    .await;
    assert_eq!((device.resets, alice.epoch().await), (1, epoch.clone()));
    server.stop();
    bench.spoil_position("position.state", "another one").await;
    let (_server, alice) = bench.serve();
    until("new epoch", async || {
        (alice.epoch().await != epoch).then_some(())
    })
    .await;
    until_pulled(&alice, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_shall_not_follow_imports_nothing() {
    let bench = Bench::start().await;
    bench.fill(3).await;
    let server = Server::serve_with(&bench.directory, &[("TIDEGATE_STORE__FOLLOW", "false")]);
    let alice = client(&server, &token(&bench.directory, "alice"));
    until_importing(&alice, json!([])).await;
    let (_other, other) = bench.serve();
    until_pulled(&other, 3).await;
    until_pulled(&alice, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_says_that_it_goes_on_and_an_embedded_store_that_it_has_none() {
    let bench = Bench::start().await;
    bench.fill(20_000).await;
    let mut import = with_secret(bench.directory.path(), &["import"]);
    let import = import.stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(500)).await;
    let pid = import.id().to_string();
    let interrupt = Command::new("kill").args(["-INT", &pid]).status();
    assert!(interrupt.unwrap().success());
    let output = import.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert_says(&complaint, &["what was imported is kept"]);
    let output = bench.import(&[]);
    assert!(output.status.success(), "{output:?}");
    let (_server, alice) = bench.serve();
    until_pulled(&alice, 20_000).await;

    let embedded = configured(CONFIG);
    let complaint = complaint_of(&mut with_secret(embedded.path(), &["import"]));
    assert_says(&complaint, &["embedded store", "nothing to import"]);
}

/// The stream of others' writes, and that of gateways' commits, fail as if the oplog did not reach back far enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_fails_for_good_is_opened_again_and_what_it_missed_is_found() {
    let deployment = Deployment::replica_set(1).await;
    let directory = configured_on(&deployment.url("app"));
    let tasks = deployment
        .client()
        .await
        .database("app")
        .collection::<Document>("tasks");
    tasks.insert_one(task("one")).await.unwrap();
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    until_pulled(&alice, 1).await;
    until_importing(&alice, json!([])).await;
    let epoch = alice.epoch().await;
    let lost = doc! { "failCommands": ["getMore"], "errorCode": 286 };
    deployment.fail_gateways(6, lost).await;
    tasks.delete_one(doc! { "_id": "one" }).await.unwrap();
    tasks
        .insert_many([task("two"), task("three")])
        .await
        .unwrap();
    let device = until_pulled(&alice, 2).await;
    assert_eq!(device.ids(), ["three", "two"]);
    until_importing(&alice, json!([])).await;
    assert_eq!(alice.epoch().await, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_a_gateway_says_that_it_is_not_there_and_a_start_fills_a_new_store() {
    let bench = Bench::start().await;
    bench.fill(30).await;
    let (server, alice) = bench.serve();
    let mut device = until_pulled(&alice, 30).await;
    bench.database.drop().await.unwrap();
    bench.fill(20).await;
    let answer = alice.send("{ viewer { epoch } }", json!({})).await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE",
        "{answer}"
    );
    server.stop();
    let (_server, alice) = bench.serve();
    until("a reset", async || {
        device.pull(&alice).await;
        (device.ids().len() == 20).then_some(())
    })
    .await;
    assert_eq!(device.resets, 2, "the first pull, and the new store");
}

#[tokio::test]
async fn an_import_by_a_model_that_is_not_in_force_is_refused_and_changes_nothing() {
    let bench = Bench::start().await;
    bench.fill(3).await;
    let imported = bench.import(&[]);
    assert!(
        imported.status.success(),
        "the first model leads: {imported:?}"
    );
    let state = bench.database.collection::<Document>("tidegate.state");
    let lead = async || state.find_one(doc! { "_id": "model" }).await.unwrap();
    let (before, model) = (lead().await, bench.directory.path().join("model.graphql"));
    let text = fs::read_to_string(&model).unwrap();
    let tags =
        "type Tag @collection(name: \"tags\") @scope(by: \"public\") { id: ID! text: String }";
    fs::write(&model, format!("{text}\n{tags}\n")).unwrap();
    let refused = bench.import(&[]);
    assert!(!refused.status.success());
    let says = String::from_utf8(refused.stderr).unwrap();
    assert_says(&says, &["served with another model", "tidegate check"]);
    assert_eq!(lead().await, before);
    let names = bench.database.list_collection_names().await.unwrap();
    assert!(!names.contains(&"tags".to_owned()));
    fs::write(&model, text).unwrap();
    assert!(bench.import(&[]).status.success());
}
