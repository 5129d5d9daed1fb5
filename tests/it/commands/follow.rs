//! `dev` follows its model file: what can be served is served at once, and what cannot is printed while the model before
//! it stays.
//!
//! `dev` tests what a start does with a changed model, by the same rules.

use std::{
    fs::{self, File},
    path::Path,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    dev::{create_notes, notes},
    write,
};
use crate::harness::{
    Client, PATIENCE, Server, Socket, command,
    mongod::{Deployment, fresh_database, until},
};

const SERVED: &str = "Tidegate serves model.graphql as it is now";

/// A `dev` whose complaints are read while it runs.
struct Followed {
    server: Server,
    directory: TempDir,
}

impl Followed {
    fn on(model: Option<&str>, arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        if let Some(model) = model {
            write(&directory, "model.graphql", model);
        }
        let mut dev = command(directory.path());
        dev.args(["dev", "--listen", "127.0.0.1:0"]).args(arguments);
        dev.stderr(File::create(directory.path().join("complaints")).unwrap());
        let server = Server::start(directory.path(), dev);
        Self { server, directory }
    }

    fn alice(&self) -> Client {
        self.server.client("alice")
    }

    /// Writes the file in place, and waits until it is served.
    fn save(&self, model: &str) {
        write(&self.directory, "model.graphql", model);
        self.expect_served();
    }

    fn expect_served(&self) {
        while self.server.printed.recv_timeout(PATIENCE).unwrap() != SERVED {}
    }

    /// Waits until all of it is said on standard error.
    async fn expect_complaint(&self, parts: &[&str]) {
        until("a complaint", async || {
            let said = fs::read_to_string(self.directory.path().join("complaints")).unwrap();
            parts.iter().all(|part| said.contains(part)).then_some(())
        })
        .await;
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

/// The one page since a checkpoint.
async fn pull(client: &Client, fields: &str, checkpoint: &Value) -> Value {
    let query = format!(
        "query($c: Checkpoint) {{ changesSince(checkpoint: $c) {{ changes {{ documentId document {{ ... on Note {{ {fields} }} }} }} checkpoint hasMore reset }} }}"
    );
    let mut data = client.data(&query, json!({"c": checkpoint})).await;
    assert_eq!(data["changesSince"]["hasMore"], false);
    data["changesSince"].take()
}

async fn create(client: &Client, id: &str) {
    create_notes(client, &[id], &json!({"text": id})).await;
}

/// The ids of the next message of a subscription.
async fn followed(socket: &mut Socket) -> Vec<Value> {
    let page = socket.next().await["payload"]["data"]["changes"].take();
    let changes = page["changes"].as_array().unwrap();
    changes.iter().map(|it| it["documentId"].clone()).collect()
}

#[tokio::test]
async fn a_saved_model_is_served_without_a_restart_and_devices_lose_nothing() {
    let dev = Followed::on(Some(&notes("text: String")), &[]);
    let alice = dev.alice();
    create(&alice, "first").await;
    let before = pull(&alice, "text", &Value::Null).await;
    let mut socket = Socket::connect(&alice).await;
    socket
        .subscribe("1", "changes(from: NOW) { changes { documentId } }")
        .await;
    assert_eq!(followed(&mut socket).await, [json!(null); 0]);

    dev.save(&notes("text: String\n  stars: Int! @default(value: 3)"));
    let end = socket.try_next().await.unwrap_err();
    assert!(end.contains("Away"), "devices come back after 1001: {end}");
    create(&alice, "second").await;
    let after = pull(&alice, "text stars", &before["checkpoint"]).await;
    assert_eq!(after["reset"], false);
    assert_eq!(
        after["changes"],
        json!([{"documentId": "second", "document": {"text": "second", "stars": 3}}])
    );
    let whole = pull(&alice, "text stars", &Value::Null).await;
    assert_eq!(
        whole["changes"][0]["document"],
        json!({"text": "first", "stars": 3})
    );
}

#[tokio::test]
async fn a_wrong_model_is_named_with_its_place_and_devices_stay_connected() {
    let model = notes("text: String");
    let dev = Followed::on(Some(&model), &[]);
    let alice = dev.alice();
    let mut socket = Socket::connect(&alice).await;
    socket
        .subscribe("1", "changes(from: NOW) { changes { documentId } }")
        .await;
    assert_eq!(followed(&mut socket).await, [json!(null); 0]);
    for (wrong, said) in [
        (
            notes("text: Strin"),
            "model.graphql:5:9: error: the field `text` has the unknown type Strin",
        ),
        (
            model[..model.len() - 2].to_owned(),
            "model.graphql:6:1: error: syntax error: expected `}`",
        ),
        (String::new(), "model.graphql:1:1: error: syntax error"),
    ] {
        write(&dev.directory, "model.graphql", &wrong);
        let kept = "model.graphql has changed, and is not served; the model before it stays";
        dev.expect_complaint(&[kept, said]).await;
    }
    fs::remove_file(dev.file("model.graphql")).unwrap();
    dev.expect_complaint(&["the model model.graphql cannot be read"])
        .await;
    create(&alice, "meanwhile").await;
    assert_eq!(followed(&mut socket).await, ["meanwhile"]);

    dev.save(&model);
    create(&alice, "mended").await;
    assert_eq!(
        followed(&mut socket).await,
        ["mended"],
        "nothing was started again"
    );
}

#[tokio::test]
async fn a_model_that_a_start_refuses_is_not_served_and_the_one_before_it_stays() {
    let dev = Followed::on(Some(&notes("text: String")), &[]);
    let alice = dev.alice();
    create(&alice, "old").await;
    for (fields, said) in [
        ("text: Int", "Note/old: text: "),
        (
            "text: String\n  stars: Int!",
            "Note/old: stars: is required",
        ),
    ] {
        write(&dev.directory, "model.graphql", &notes(fields));
        dev.expect_complaint(&["1 stored document does not fit the model", said])
            .await;
        create(&alice, &format!("after {}", fields.len())).await;
    }
    let page = pull(&alice, "text", &Value::Null).await;
    assert_eq!(page["changes"].as_array().unwrap().len(), 3);
    dev.save(&notes("text: String\n  stars: Int"));
    let page = pull(&alice, "text stars", &page["checkpoint"]).await;
    assert_eq!(
        (&page["changes"], &page["reset"]),
        (&json!([]), &json!(false))
    );
}

#[tokio::test]
async fn every_way_to_save_a_file_is_noticed_and_the_last_save_counts() {
    let with = |number: usize| notes(&format!("text: String\n  field{number}: String"));
    let dev = Followed::on(Some(&notes("text: String")), &[]);
    let alice = dev.alice();
    create(&alice, "kept").await;
    let serves = async |number: usize| {
        let page = pull(&alice, &format!("field{number}"), &Value::Null).await;
        assert_eq!(page["changes"].as_array().unwrap().len(), 1);
    };
    let model = dev.file("model.graphql");
    // An editor writes another file and renames it, or moves the old one away first.
    fs::write(dev.file("4913"), with(1)).unwrap();
    fs::rename(dev.file("4913"), &model).unwrap();
    dev.expect_served();
    serves(1).await;
    fs::rename(&model, dev.file("model.graphql~")).unwrap();
    fs::write(&model, with(2)).unwrap();
    dev.expect_served();
    serves(2).await;
    // A file of the same size, with the time of the one before.
    let time = fs::metadata(&model).unwrap().modified().unwrap();
    fs::write(&model, with(3)).unwrap();
    let options = File::options().write(true).open(&model);
    options.unwrap().set_modified(time).unwrap();
    dev.expect_served();
    serves(3).await;
    // Six saves in a row.
    for number in 4..10 {
        fs::write(&model, with(number)).unwrap();
    }
    dev.expect_served();
    serves(9).await;
    // A link to a file elsewhere, as directories of containers have it.
    fs::write(dev.file("elsewhere"), with(10)).unwrap();
    fs::remove_file(&model).unwrap();
    std::os::unix::fs::symlink(Path::new("elsewhere"), &model).unwrap();
    dev.expect_served();
    serves(10).await;
    fs::write(dev.file("elsewhere"), with(11)).unwrap();
    dev.expect_served();
    serves(11).await;
}

#[tokio::test]
async fn a_file_takes_the_place_of_the_built_in_example() {
    let dev = Followed::on(None, &[]);
    dev.save(&notes("text: String"));
    create(&dev.alice(), "own").await;
}

#[tokio::test]
async fn on_mongodb_a_saved_model_is_served_and_a_refused_one_is_not() {
    let url = Deployment::shared().await.url(&fresh_database());
    let dev = Followed::on(Some(&notes("text: String")), &["--store", &url]);
    let alice = dev.alice();
    create(&alice, "old").await;
    let before = pull(&alice, "text", &Value::Null).await;
    write(&dev.directory, "model.graphql", &notes("text: Int"));
    dev.expect_complaint(&[
        "1 stored document does not fit the model",
        "Note/old: text: ",
    ])
    .await;
    create(&alice, "beside").await;
    let memo = notes("text: String")
        .replace("Note", "Memo")
        .replace("notes", "memos");
    let (_, memo) = memo.split_once('\n').unwrap();
    dev.save(&(notes("text: String\n  stars: Int") + memo));
    let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status } } }";
    let change = json!([{"memo": {"create": {"id": "new", "document": {"text": "t"}}}}]);
    let pushed = alice.data(query, json!({"c": change})).await;
    assert_eq!(pushed["pushChanges"]["results"][0]["status"], "APPLIED");
    let page = pull(&alice, "text stars", &before["checkpoint"]).await;
    assert_eq!(page["reset"], false);
    let ids: Vec<&Value> = page["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["documentId"])
        .collect();
    assert_eq!(ids, ["beside", "new"]);
}
