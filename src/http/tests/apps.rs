//! Apps that say for which API they were made.

use serde_json::json;
use tidegate_core::id::{ApiHash, ClientId, ClientKey, UserId};

use super::{
    sockets::{OpenSocket, PATIENCE, TRANSPORT},
    *,
};

const HASH: &str = "0f8fad5bd9cb469fa16570867728950e";

/// A push of this client.
fn push(client: &str) -> String {
    let input = format!(
        r#"{{client: {{id: "{client}", firstMutationId: 1}}, epoch: "e1", changes: [{{task: {{create: {{id: "{client}", document: {{title: "t"}}}}}}}}]}}"#
    );
    format!("mutation {{ pushChanges(input: {input}) {{ results {{ status }} }} }}")
}

#[tokio::test]
async fn the_api_of_an_app_is_kept_with_its_client_however_the_app_says_it() {
    let test_server = TestServer::new().await;
    let store = Arc::new(test_server.another_store());
    let open = OpenSocket::new(test_server.on(store.clone())).await;
    let server = &open.test_server;
    for accept in [
        "application/json",
        "text/event-stream",
        "multipart/mixed;subscriptionSpec=1.0",
    ] {
        let headers = [("accept", accept), ("tidegate-schema", HASH)];
        let client = accept.split_once('/').unwrap().0;
        let body = json!({ "query": push(client) }).to_string();
        let reply = server.post(&headers, &body).await;
        let text = String::from_utf8(reply.body).unwrap();
        assert!(text.contains("APPLIED"), "{text}");
    }
    let token = server.token(PATIENCE * 2);
    for (client, header, payload) in [
        ("handshake", Some(HASH), json!({"token": token})),
        (
            "payload",
            None,
            json!({"token": token, "Tidegate-Schema": HASH}),
        ),
        (
            "nested",
            None,
            json!({"token": token, "headers": {"Tidegate-Schema": HASH}}),
        ),
        ("silent", None, json!({"token": token})),
    ] {
        let mut headers = vec![("sec-websocket-protocol", TRANSPORT)];
        headers.extend(header.map(|hash| ("tidegate-schema", hash)));
        let mut socket = open.connect(&headers).await.unwrap();
        socket
            .say(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.hear().await["type"], "connection_ack");
        socket.subscribe("push", &push(client)).await;
        let answer = socket.hear().await["payload"].to_string();
        assert!(answer.contains("APPLIED"), "{answer}");
    }
    let mut snapshot = store.snapshot().await.unwrap();
    let hash: ApiHash = HASH.parse().unwrap();
    for (client, expected) in [
        ("application", Some(hash)),
        ("text", Some(hash)),
        ("multipart", Some(hash)),
        ("handshake", Some(hash)),
        ("payload", Some(hash)),
        ("nested", Some(hash)),
        ("silent", None),
    ] {
        let key = ClientKey {
            user: UserId::new("alice").unwrap(),
            client: ClientId::new(client).unwrap(),
        };
        let state = snapshot.client(&key).await.unwrap().expect(client);
        assert_eq!(state.api, expected, "{client}");
    }
}

#[tokio::test]
async fn what_is_no_hash_of_an_api_is_refused() {
    let open = OpenSocket::new(TestServer::new().await).await;
    let server = &open.test_server;
    for wrong in [
        "",
        "2",
        &HASH[1..],
        &HASH.to_uppercase(),
        &format!("{HASH}, {HASH}"),
    ] {
        let header = ("tidegate-schema", wrong);
        let reply = server
            .post(&[header], r#"{"query": "{ viewer { id } }"}"#)
            .await;
        assert_eq!(reply.outcome(), "400 BAD_REQUEST", "{wrong:?}");
        let reply = server.get("/graphql?query={viewer{id}}", &[header]).await;
        assert_eq!(reply.outcome(), "400 BAD_REQUEST", "{wrong:?}");

        let headers = [("sec-websocket-protocol", TRANSPORT), header];
        assert!(open.connect(&headers).await.is_err(), "{wrong:?}");
        let mut socket = open.connect(&headers[..1]).await.unwrap();
        let payload = json!({"token": server.token(PATIENCE), "Tidegate-Schema": wrong});
        socket
            .say(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.close_code().await, 4400, "{wrong:?}");
    }
}
