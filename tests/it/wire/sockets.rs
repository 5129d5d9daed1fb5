//! graphql-transport-ws clause by clause: how a socket begins, what runs on it, and with which code it is closed.
//!
//! `serve::tokens` tests how it ends with its token, `live` with its gateway. Two missed pings take minutes, so the
//! protocol's unit tests have them.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, client::IntoClientRequest},
};

use crate::{
    harness::{CONFIG, Client, PATIENCE, Server, Socket, configured},
    serve::{client, token},
};

const QUERY: &str = "{ viewer { id } }";

fn subscribe(id: &str, query: &str) -> Value {
    json!({"type": "subscribe", "id": id, "payload": {"query": query}})
}

#[tokio::test]
async fn a_handshake_is_answered_in_the_spelling_of_rfc_6455() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The key, and its answer below, are the RFC's example; gql (Python) offers both protocols.
    let request = format!(
        "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: graphql-ws, graphql-transport-ws\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    for line in [
        "HTTP/1.1 101 Switching Protocols",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
}

#[tokio::test]
async fn a_broken_rule_closes_the_socket_with_the_protocols_code_for_it() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let token = server.client("alice").token;
    let init = json!({"type": "connection_init", "payload": {"token": token}});
    let live = subscribe("1", "subscription { changes { hasMore } }");
    for (messages, code) in [
        (&[json!("hello")][..], 4400),
        (&[json!({"type": "start", "id": "1"})], 4400),
        (&[json!({"type": "connection_ack"})], 4400),
        (&[json!({"type": "next", "id": "1", "payload": {}})], 4400),
        (&[json!({"type": "error", "id": "1", "payload": []})], 4400),
        (&[json!({"type": "connection_init", "payload": "x"})], 4400),
        (&[json!({"type": "subscribe", "id": "1"})], 4400),
        (
            &[
                init.clone(),
                json!({"type": "subscribe", "payload": {"query": QUERY}}),
            ],
            4400,
        ),
        (&[init.clone(), subscribe("", QUERY)], 4400),
        (&[init.clone(), json!({"type": "ping", "payload": 1})], 4400),
        (&[subscribe("1", QUERY)], 4401),
        (&[json!({"type": "connection_init"})], 4403),
        (
            &[json!({"type": "connection_init", "payload": {"token": "x.y.z"}})],
            4403,
        ),
        (&[init.clone(), live.clone(), live.clone()], 4409),
        (&[init.clone(), init.clone()], 4429),
    ] {
        let mut socket = Socket::open(&server.url).await;
        for (number, message) in messages.iter().enumerate() {
            socket.send(message.clone()).await;
            if *message == init && number == 0 {
                assert_eq!(socket.next().await["type"], "connection_ack");
            }
        }
        assert_eq!(socket.close_code().await, code, "{messages:?}");
    }
}

#[tokio::test]
async fn a_socket_that_says_nothing_is_closed_and_one_that_is_quiet_is_pinged() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let mut silent = Socket::open(&server.url).await;
    let mut quiet = Socket::connect(&server.client("alice")).await;
    let (code, ()) = tokio::join!(silent.close_code(), quiet.pinged());
    assert_eq!(code, 4408);
    quiet.send(json!({"type": "pong"})).await;
    quiet
        .send(json!({"type": "ping", "payload": {"at": 1}}))
        .await;
    assert_eq!(
        quiet.next().await,
        json!({"type": "pong", "payload": {"at": 1}})
    );
}

#[tokio::test]
async fn the_token_is_taken_from_wherever_clients_put_it() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let token = server.client("alice").token;
    let bearer = format!("Bearer {token}");
    for payload in [
        json!({"Authorization": bearer}),
        json!({"authorization": bearer}),
        json!({"token": token}),
        json!({"headers": {"Authorization": bearer}}),
        json!({"headers": {"authorization": token}}),
    ] {
        let mut socket = Socket::open(&server.url).await;
        socket
            .send(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.next().await, json!({"type": "connection_ack"}));
        socket.send(subscribe("1", QUERY)).await;
        let answer = socket.next().await;
        assert_eq!(answer["payload"]["data"]["viewer"]["id"], "alice");
    }
}

#[tokio::test]
async fn operations_run_beside_one_another_and_end_by_themselves_or_by_their_client() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let mut socket = Socket::connect(&server.client("alice")).await;
    let complete = |id: &str| json!({"type": "complete", "id": id});
    socket
        .subscribe("live", "changes { changes { documentId } }")
        .await;
    assert_eq!(socket.next().await["id"], "live");

    let push = r#"mutation { pushChanges(input: {changes: [{task: {create: {id: "a", document: {title: "t"}}}}]}) { results { status } } }"#;
    socket.send(subscribe("push", push)).await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(socket.next().await);
    }
    heard.sort_by_key(|message| message["id"].to_string());
    let [event, answer, end] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(
        event["payload"]["data"]["changes"]["changes"][0]["documentId"],
        "a"
    );
    assert_eq!(
        answer["payload"]["data"]["pushChanges"]["results"][0]["status"],
        "APPLIED"
    );
    assert_eq!(*end, complete("push"));

    socket.send(subscribe("bad", "{ nothing }")).await;
    let refused = socket.next().await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!("bad"))
    );
    assert_eq!(
        refused["payload"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED"
    );

    socket.send(complete("live")).await;
    socket.send(complete("live")).await;
    socket.send(subscribe("live", QUERY)).await;
    let next = socket.next().await;
    assert_eq!(
        next["payload"]["data"]["viewer"]["id"], "alice",
        "its id is free"
    );
    assert_eq!(socket.next().await, complete("live"));
}

#[tokio::test]
async fn a_socket_carries_so_many_operations_and_no_more() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let mut socket = Socket::connect(&server.client("alice")).await;
    for number in 0..100 {
        let id = number.to_string();
        socket.subscribe(&id, "changes { hasMore }").await;
        assert_eq!(socket.next().await["id"], id);
    }
    socket.subscribe("more", "changes { hasMore }").await;
    let refused = socket.next().await;
    let code = &refused["payload"][0]["extensions"]["code"];
    assert_eq!(
        (&refused["id"], code),
        (&json!("more"), &json!("TOO_MANY_OPERATIONS"))
    );
    socket.send(json!({"type": "complete", "id": "7"})).await;
    socket.subscribe("more", "changes { hasMore }").await;
    assert_eq!(socket.next().await["type"], "next");
}

#[tokio::test]
async fn a_user_holds_so_many_connections_and_no_more_and_others_have_their_own() {
    let directory = configured(&format!("{CONFIG}[limits]\nuser_connections = 2\n"));
    let server = Server::serve(&directory);
    let [alice, bob] = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    let stream = async |client: &Client| {
        let request = client.http.post(format!("{}/graphql", client.url));
        let request = request
            .bearer_auth(&client.token)
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(r#"{"query": "subscription { changes { hasMore } }"}"#);
        request.send().await.unwrap()
    };
    let (socket, held) = (Socket::connect(&alice).await, stream(&alice).await);
    assert_eq!(held.status(), 200);

    let refused = stream(&alice).await;
    assert_eq!(refused.status(), 429);
    let reported: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(
        reported["errors"][0]["extensions"]["code"],
        "TOO_MANY_CONNECTIONS"
    );
    let mut late = Socket::open(&server.url).await;
    late.send(json!({"type": "connection_init", "payload": {"token": alice.token}}))
        .await;
    assert_eq!(late.close_code().await, 1013, "clients come back later");
    assert_eq!(stream(&bob).await.status(), 200);

    let enters = async || {
        let enters = async {
            loop {
                let entered = stream(&alice).await;
                if entered.status() == 200 {
                    return entered;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, enters).await.expect("a place is free")
    };
    drop(socket);
    let _entered = enters().await;
    drop(held);
    enters().await;
}

/// The status and the message that refuse a handshake; nothing if it is accepted.
async fn handshake(server: &Server, headers: &[(&'static str, &str)]) -> Option<(u16, String)> {
    let url = format!("{}/graphql", server.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok(_) => None,
        Err(Error::Http(response)) => {
            let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
            let message = body["errors"][0]["message"].as_str().unwrap().to_owned();
            Some((response.status().as_u16(), message))
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_dead_protocol_and_none_are_refused_with_the_name_of_the_one_spoken() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    for headers in [&[("sec-websocket-protocol", "graphql-ws")][..], &[]] {
        let (status, message) = handshake(&server, headers).await.unwrap();
        assert_eq!(status, 400);
        assert!(message.contains("graphql-transport-ws"), "{message}");
    }
    let both = [("sec-websocket-protocol", "graphql-transport-ws, graphql-ws")];
    assert_eq!(handshake(&server, &both).await, None);
}

#[tokio::test]
async fn sockets_open_to_pages_of_allowed_origins_and_no_others() {
    let spoken = ("sec-websocket-protocol", "graphql-transport-ws");
    let config = format!("{CONFIG}[http]\nallowed_origins = [\"https://app.example.com\"]\n");
    let directories = [
        configured(&config),
        configured(CONFIG),
        TempDir::new().unwrap(),
    ];
    let (named, nobody) = (
        Server::serve(&directories[0]),
        Server::serve(&directories[1]),
    );
    let dev = Server::dev(&directories[2]);
    for (origin, to_named, to_nobody, to_dev) in [
        ("https://app.example.com", true, false, false),
        ("https://evil.example.com", false, false, false),
        ("http://localhost:5173", false, false, true),
        ("null", false, false, false),
    ] {
        for (server, opens) in [(&named, to_named), (&nobody, to_nobody), (&dev, to_dev)] {
            let refused = handshake(server, &[spoken, ("origin", origin)]).await;
            let status = refused.map(|(status, _)| status);
            assert_eq!(status, (!opens).then_some(403), "{origin}");
        }
    }
    for server in [named, nobody] {
        let own = server.url.clone();
        assert_eq!(handshake(&server, &[spoken, ("origin", &own)]).await, None);
    }
}
