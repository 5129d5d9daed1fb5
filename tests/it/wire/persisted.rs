//! Documents by their hash, over every transport, and lists of operations, which are refused.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness::{Client, Server, Socket};

fn hash_of(query: &str) -> String {
    let digest = Sha256::digest(query);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn extensions(hash: &str) -> Value {
    json!({"persistedQuery": {"version": 1, "sha256Hash": hash}})
}

async fn post(client: &Client, body: &Value) -> Value {
    let request = client.http.post(format!("{}/graphql", client.url));
    let request = request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .body(body.to_string());
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Status and answer of a GET with these extensions and variables.
async fn get(client: &Client, extensions: &Value, variables: &Value) -> (u16, Value) {
    let parameters = [
        ("extensions", extensions.to_string()),
        ("variables", variables.to_string()),
    ];
    let url = reqwest::Url::parse_with_params(&format!("{}/graphql", client.url), parameters);
    let request = client.http.get(url.unwrap()).bearer_auth(&client.token);
    let response = request
        .header("accept", "application/graphql-response+json")
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_document_sent_once_is_known_by_its_hash_to_every_user_and_transport() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let query = "query($id: ID) { viewer(clientId: $id) { id } }";
    let hash = hash_of(query);
    let viewer = |user: &str| json!({"data": {"viewer": {"id": user}}});
    let not_found = json!({"errors": [{"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}]});

    let alone = json!({"extensions": extensions(&hash)});
    assert_eq!(post(&alice, &alone).await, not_found);
    let reported = get(&alice, &extensions(&hash), &json!({})).await;
    assert_eq!(reported, (400, not_found.clone()));
    let along = json!({"query": query, "extensions": extensions(&hash)});
    assert_eq!(post(&alice, &along).await, viewer("alice"));

    assert_eq!(post(&bob, &alone).await, viewer("bob"));
    let prefixed = extensions(&format!("sha256:{hash}"));
    let reported = get(&bob, &prefixed, &json!({"id": "phone"})).await;
    assert_eq!(reported, (200, viewer("bob")));
    let mut socket = Socket::connect(&alice).await;
    socket
        .send(json!({"type": "subscribe", "id": "1", "payload": alone}))
        .await;
    assert_eq!(socket.next().await["payload"], viewer("alice"));
}

#[tokio::test]
async fn a_hash_of_another_text_is_refused() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    for hash in [hash_of("{ viewer { epoch } }"), "abc".to_owned()] {
        let body = json!({"query": "{ viewer { id } }", "extensions": extensions(&hash)});
        let reported = post(&alice, &body).await;
        assert_eq!(reported["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        assert!(reported.get("data").is_none());
    }
}

#[tokio::test]
async fn a_list_of_operations_is_refused_with_a_word_on_what_to_do() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let one = json!({"query": "{ viewer { id } }"});
    let reported = post(&server.client("alice"), &json!([one, one])).await;
    let message = reported["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("send each operation by itself"),
        "{reported}"
    );
}
