//! Two users' devices in sync through the real binary: edits, deletes, conflicts, a device that was away, a restart.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Server, Socket, create, delete, update};

async fn kinds(client: &Client, checkpoint: &str) -> Vec<(String, String)> {
    let page = client.pull(Some(checkpoint)).await;
    let text = |change: &Value, name: &str| change[name].as_str().unwrap().to_owned();
    let changes = page["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|change| (text(change, "documentId"), text(change, "kind")))
        .collect()
}

#[tokio::test]
async fn two_users_devices_sync_through_dev() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));

    let mut bobs_socket = Socket::follow(&bob, "").await;
    let first = bobs_socket.page().await;
    assert_eq!(
        first["reset"], true,
        "a client without a checkpoint starts at the beginning"
    );
    assert_eq!(first["changes"], json!([]), "the first page comes at once");

    let created = alice
        .push_all(json!([create(
            "milk",
            json!({"title": "Buy milk", "audience": "team:demo"})
        )]))
        .await;
    assert_eq!(created[0]["status"], "APPLIED");
    assert_eq!(
        created[0]["document"]["done"], false,
        "the outcome has what the server filled in"
    );

    let live = bobs_socket.page().await;
    assert_eq!(live["changes"][0]["documentId"], "milk");
    assert_eq!(live["changes"][0]["document"]["title"], "Buy milk");
    let bobs_checkpoint = live["checkpoint"].as_str().unwrap().to_owned();

    // Both edit version 1: Bob first, then Alice, who does not know of it yet.
    assert_eq!(
        bob.push_all(json!([update("milk", 1, json!({"done": true}))]))
            .await[0]["status"],
        "APPLIED"
    );
    let merged = &alice
        .push_all(json!([update("milk", 1, json!({"title": "Buy oat milk"}))]))
        .await[0];
    assert_eq!(merged["status"], "MERGED");
    assert_eq!(merged["document"]["done"], true, "Bob's edit stays");
    assert_eq!(
        merged["document"]["title"], "Buy oat milk",
        "and so does Alice's"
    );

    // Bob's device goes offline, and the server restarts meanwhile.
    drop(bobs_socket);
    let private = alice
        .push_all(json!([create("diary", json!({"title": "Secret"}))]))
        .await;
    assert_eq!(private[0]["document"]["audience"], "user:alice");
    assert_eq!(
        alice.push_all(json!([delete("milk", 3)])).await[0]["status"],
        "APPLIED"
    );
    server.stop();
    let server = Server::dev(&directory);
    let bob = Client {
        url: server.url.clone(),
        ..bob
    };

    assert_eq!(
        kinds(&bob, &bobs_checkpoint).await,
        [("milk".to_owned(), "DELETE".to_owned())]
    );

    // Bob had edited the deleted document on the train: his edit gets an outcome, no error, and revives nothing.
    let late = &bob
        .push_all(json!([update("milk", 3, json!({"notes": "2 litres"}))]))
        .await[0];
    assert_eq!(late["status"], "CONFLICT");
    assert_eq!(late["document"], Value::Null);
    let hidden = &bob
        .push_all(json!([update("diary", 1, json!({"title": "x"}))]))
        .await[0];
    assert_eq!(
        hidden["error"]["code"], "NOT_FOUND",
        "what Bob may not see is not there"
    );
}
