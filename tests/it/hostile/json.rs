//! JSON with keys that have a meaning for a parser: each such key started a parser of its own, so that a message of 5
//! KB overflowed the stack.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Server, Socket};

const KEY: &str = "$serde_json::private::RawValue";

const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Thing @collection(name: "things") @scope(by: "all") @conflict(policy: SERVER_WINS) {
  id: ID!
  any: JSON
}
"#;

/// Nested lists. After each 100 of them they continue in the text of such a key.
fn nested() -> String {
    (0..20).fold("1".to_owned(), |inner, _| {
        let inner = inner.replace('\\', "\\u005c").replace('"', "\\u0022");
        let (open, close) = ("[".repeat(100), "]".repeat(100));
        format!(r#"{open}{{"{KEY}": "{inner}"}}{close}"#)
    })
}

#[tokio::test]
async fn texts_that_nest_further_stay_texts() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let alice = server.client("alice");
    let nested = nested();

    let mut stranger = Socket::open(&server.url).await;
    let init = format!(r#"{{"type": "connection_init", "payload": {{"x": {nested}}}}}"#);
    stranger.send_text(init).await;
    assert!(stranger.try_next().await.is_err(), "it has no token");

    let body = format!(r#"{{"query": "{{ viewer {{ id }} }}", "variables": {{"x": {nested}}}}}"#);
    let asked = reqwest::Client::new()
        .post(format!("{}/graphql", server.url))
        .bearer_auth(&alice.token)
        .header("content-type", "application/json")
        .body(body);
    let answer = asked.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["data"]["viewer"]["id"], "alice");
}

#[tokio::test]
async fn what_is_stored_under_such_a_key_comes_back_as_it_was() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let alice = server.client("alice");
    let value = json!({KEY: "[1, 2]", "b": 1});
    let changes = json!([{"thing": {"create": {"id": "a", "document": {"any": value}}}}]);
    let push = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status document { ... on Thing { any } } } } }";
    let data = alice
        .data(push, json!({"input": {"changes": changes}}))
        .await;
    let result = &data["pushChanges"]["results"][0];
    assert_eq!(
        *result,
        json!({"status": "APPLIED", "document": {"any": value}})
    );
}
