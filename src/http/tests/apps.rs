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
        &format!("{}\t{}", &HASH[..16], &HASH[16..]),
        &"f".repeat(64),
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
    let long = "f".repeat(16 << 10);
    let twice = [("tidegate-schema", HASH); 2];
    for headers in [&twice[..], &[("tidegate-schema", &long)]] {
        let reply = server
            .post(headers, r#"{"query": "{ viewer { id } }"}"#)
            .await;
        assert_eq!(reply.outcome(), "400 BAD_REQUEST");
    }
}

/// What an app selects or sends that the model of the gateway does not have.
const GONE: [&str; 2] = [
    r#"{"query": "{ changesSince { changes { document { ... on Task { gone } } } } }"}"#,
    r#"{"query": "mutation($i: PushChangesInput!) { pushChanges(input: $i) { lastMutationId } }",
        "variables": {"i": {"changes": [{"task": {"update": {"id": "1", "baseVersion": 1, "set": {"gone": 1}}}}]}}}"#,
];

/// A gateway that was preceded by one model and will be followed by another, with the hashes of both.
async fn between_two_models() -> (OpenSocket, [String; 3]) {
    let test_server = TestServer::new().await;
    let store = Arc::new(test_server.another_store());
    let own = test_server.gateway.api.hash().to_string();
    let apis = ["1".repeat(32), own, "2".repeat(32)];
    for (number, api) in apis.iter().enumerate() {
        let registering = store.models();
        let registered = registering.register(&number.to_string(), api).await;
        registered.unwrap();
    }
    (OpenSocket::new(test_server.on(store)).await, apis)
}

#[tokio::test]
async fn an_operation_that_does_not_fit_says_whether_the_app_or_the_gateway_is_older() {
    let (open, [older, own, newer]) = between_two_models().await;
    let server = &open.test_server;
    let unknown = "3".repeat(32);
    for body in GONE {
        let fault = server.post(&[], body).await.json()["errors"][0].clone();
        let code = fault["extensions"]["code"].as_str().unwrap();
        let (plain, graphql) = (format!("200 {code}"), format!("400 {code}"));
        for (app, [plain, graphql]) in [
            (own.as_str(), [&*plain, &graphql]),
            (&older, ["200 CLIENT_TOO_OLD", "400 CLIENT_TOO_OLD"]),
            (&newer, ["503 SERVICE_UNAVAILABLE"; 2]),
            (&unknown, ["503 SERVICE_UNAVAILABLE"; 2]),
        ] {
            let app = ("tidegate-schema", app);
            let reply = server.post(&[app], body).await;
            assert_eq!(reply.outcome(), plain, "{app:?}");
            let accept = ("accept", "application/graphql-response+json");
            let reply = server.post(&[app, accept], body).await;
            assert_eq!(reply.outcome(), graphql, "{app:?}");
            let is_unavailable = reply.status == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(reply.header("retry-after") == "1", is_unavailable);
            let error = &reply.json()["errors"][0];
            assert_eq!(error["locations"], fault["locations"]);
            let path = |error: &Json| error["extensions"]["inputPath"].clone();
            assert_eq!(path(error), path(&fault), "it still says where");
            let message = error["message"].as_str().unwrap();
            assert!(
                message.starts_with(fault["message"].as_str().unwrap()),
                "{message}"
            );
            for accept in ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"] {
                let reply = server.post(&[app, ("accept", accept)], body).await;
                let text = String::from_utf8(reply.body).unwrap();
                let code = plain.split_once(' ').unwrap().1;
                assert!(text.contains(&format!(r#""code":"{code}""#)), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn what_fits_is_served_whatever_the_app_was_made_for() {
    let (open, apis) = between_two_models().await;
    for app in apis.iter().map(String::as_str).chain([HASH]) {
        let app = ("tidegate-schema", app);
        let reply = open
            .test_server
            .post(&[app], r#"{"query": "{ viewer { id } }"}"#)
            .await;
        assert_eq!(reply.outcome(), "200");
        // What is wrong under any model stays what it is.
        for (body, outcome) in [
            (r#"{"query": "{"}"#, "200 GRAPHQL_PARSE_FAILED"),
            (
                r#"{"query": "{ viewer { id } }", "operationName": "A"}"#,
                "200 OPERATION_RESOLUTION_FAILURE",
            ),
            (
                r#"{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0f8fad5bd9cb469fa165708677289500f8fad5bd9cb469fa16570867728950ab"}}}"#,
                "200 PERSISTED_QUERY_NOT_FOUND",
            ),
        ] {
            assert_eq!(open.test_server.post(&[app], body).await.outcome(), outcome);
        }
    }
}

#[tokio::test]
async fn a_model_that_a_later_gateway_registers_is_found() {
    let test_server = TestServer::new().await;
    let store = Arc::new(test_server.another_store());
    let own = test_server.gateway.api.hash().to_string();
    let server = test_server.on(store.clone());
    let app = ("tidegate-schema", HASH);
    let tried = || async { server.post(&[app], GONE[0]).await.outcome() };
    assert_eq!(tried().await, "200 GRAPHQL_VALIDATION_FAILED");
    for (text, api, outcome) in [
        ("1", &*own, "503 SERVICE_UNAVAILABLE"),
        ("2", HASH, "503 SERVICE_UNAVAILABLE"),
        ("3", &own, "200 CLIENT_TOO_OLD"),
    ] {
        store.models().register(text, api).await.unwrap();
        let found = async {
            while tried().await != outcome {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap();
    }
}
