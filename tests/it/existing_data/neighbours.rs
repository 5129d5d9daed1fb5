//! A web server edits documents by Mongoose beside the devices, and neither overwrites what the other did.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{
        Server,
        mongod::{Deployment, fresh_database},
    },
    wire::node_in,
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Order @collection(name: "orders", idType: OBJECT_ID, OPTIONS) @scope(by: "public") {
  id: ID!
  items: [OrderItem!]! @key(field: "sku")
}
type OrderItem { sku: ID! qty: Int! }
"#;

/// What becomes of an item's edit by a web server that read the order before a device removed an item.
async fn save_beside_a_device(options: &str) -> Value {
    let deployment = Deployment::shared().await;
    let url = deployment.url(&fresh_database());
    let directory = TempDir::new().unwrap();
    let model = MODEL.replace("OPTIONS", options);
    fs::write(directory.path().join("model.graphql"), model).unwrap();
    let server = Server::dev_with(directory.path(), &["--store", &url]);
    let endpoint = format!("{}/graphql", server.url);
    let token = server.token("alice", &json!({}), "1h");
    let script = "web_server.mjs";
    let printed = node_in("tests/writers", script, &[&url, &endpoint, &token], &[]);
    serde_json::from_str(&printed).unwrap()
}

#[tokio::test]
async fn a_stale_save_by_mongoose_fails_when_a_device_has_changed_the_list() {
    let kept = |sku: &str, qty: i32| json!([sku, qty, format!("of {sku}"), true]);
    let guarded = "versionField: \"__v\", updatedAtField: \"updatedAt\"";
    let expected = json!({
        "pushed": "APPLIED", "saved": "VersionError", "version": 1, "isLater": true,
        "items": [kept("b", 1), kept("c", 1)],
    });
    assert_eq!(save_beside_a_device(guarded).await, expected);
    // Without the option the save changes another item, and reports success.
    let unguarded = save_beside_a_device("plural: \"orders\"").await;
    assert_eq!(unguarded["saved"], "saved");
    assert_eq!(unguarded["items"], json!([kept("b", 1), kept("c", 9)]));
}
