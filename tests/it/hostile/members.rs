//! Members with a valid token who try to stop, read or burden others.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

#[cfg(target_os = "linux")]
use super::flood::{
    HTTP2, connect, forget_peak, h2_frame, heard, kib_of, read_frame, websocket, ws_frame,
};
use crate::{
    harness::{CONFIG, Client, PATIENCE, Server, Socket, configured, create, delete, numbered},
    serve::{client, token},
};

/// A query on a connection of its own, which stays open as long as its client does.
async fn asked(client: &Client) -> (reqwest::Client, Response) {
    let http = reqwest::Client::new();
    let request = http.post(format!("{}/graphql", client.url));
    let request = request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .body(r#"{"query": "{ viewer { id } }"}"#);
    let response = request.send().await.unwrap();
    (http, response)
}

#[tokio::test]
async fn one_user_with_many_connections_leaves_room_for_others() {
    let limits = "[limits]\nconnections = 10\nuser_connections = 6\n";
    let directory = configured(&format!("{CONFIG}{limits}"));
    let server = Server::serve(&directory);
    let users = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    let mut kept = Vec::new();
    for (user, places, status, code) in [
        (&users[0], 6, 429, "TOO_MANY_CONNECTIONS"),
        (&users[1], 4, 503, "OVERLOADED"),
    ] {
        for _ in 0..places {
            let (http, response) = asked(user).await;
            assert_eq!(response.status(), 200);
            response.text().await.unwrap();
            kept.push(http);
        }
        for _ in 0..3 {
            let (_, refused) = asked(user).await;
            assert_eq!(refused.status(), status, "{code}");
            let answer: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
            assert_eq!(answer["errors"][0]["extensions"]["code"], code);
        }
    }
    let health = reqwest::get(format!("{}/healthz", server.url)).await;
    assert_eq!(health.unwrap().status(), 200, "all places are taken");
}

/// How many bytes one user, and all users, may leave unfinished and unread in these tests.
const BUFFERS: &str = "[http]\nwrite_time = \"1s\"\n[limits]\nanswer_bytes = 12582912\nbuffer_bytes = 25165824\nuser_buffer_bytes = 12582912\nuser_rate = 0\n";

/// A gateway with these bounds, and two users.
fn bounded() -> (tempfile::TempDir, Server, [Client; 2]) {
    let directory = configured(&format!("{CONFIG}{BUFFERS}"));
    let server = Server::serve(&directory);
    let users = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    (directory, server, users)
}

/// A post whose body never ends: its head announces 1 MiB, and half of that comes.
async fn unfinished(server: &Server, token: &str) -> TcpStream {
    let mut stream = connect(server).await;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 1048576\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 512 << 10]).await.unwrap();
    stream
}

/// A socket of a user, and half of a message of 1 MiB.
async fn unfinished_message(server: &Server, token: &str) -> TcpStream {
    let mut stream = websocket(server).await;
    let init = json!({"type": "connection_init", "payload": {"token": token}});
    let init = ws_frame(0x81, init.to_string().as_bytes());
    stream.write_all(&init).await.unwrap();
    // Until then it is a stranger's, and strangers may not send such messages.
    let mut acknowledged = [0; br#"..{"type":"connection_ack"}"#.len()];
    stream.read_exact(&mut acknowledged).await.unwrap();
    let message = ws_frame(0x81, &vec![b' '; 1 << 20]);
    stream.write_all(&message[..512 << 10]).await.unwrap();
    stream
}

#[tokio::test]
async fn what_a_user_leaves_unfinished_is_bounded_and_others_are_served() {
    let (_directory, server, [alice, bob]) = bounded();
    // 24 halves fit into 12 MiB.
    let mut bodies = Vec::new();
    for _ in 0..40 {
        bodies.push(unfinished(&server, &alice.token).await);
    }
    said_by(&bodies, 16, b"RATE_LIMITED").await;
    let answer = bob.data("{ viewer { id } }", json!({})).await;
    assert_eq!(answer["viewer"]["id"], "bob");
    drop(bodies);
    let mut messages = Vec::new();
    for _ in 0..40 {
        messages.push(unfinished_message(&server, &bob.token).await);
    }
    said_by(&messages, 16, &1013_u16.to_be_bytes()).await;
    let answer = alice.data("{ viewer { id } }", json!({})).await;
    assert_eq!(answer["viewer"]["id"], "alice");
}

/// Waits until the gateway has sent this on `count` connections.
async fn said_by(streams: &[TcpStream], count: usize, wanted: &[u8]) {
    let mut heard = vec![Vec::new(); streams.len()];
    let said = async {
        loop {
            for (stream, heard) in streams.iter().zip(&mut heard) {
                let mut bytes = [0; 4096];
                let read = stream.try_read(&mut bytes).unwrap_or(0);
                heard.extend_from_slice(&bytes[..read]);
            }
            let has = |heard: &&Vec<u8>| heard.windows(wanted.len()).any(|it| it == wanted);
            if heard.iter().filter(has).count() >= count {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, said).await.expect("it is said");
}

/// A subscription keeps each of its scopes, so a hundred of a user with many scopes took 150 MB.
#[tokio::test]
async fn subscriptions_are_bounded_by_what_they_keep_and_others_are_served() {
    let (_directory, server, [_, bob]) = bounded();
    let teams: Vec<String> = (0..1_000).map(|team| format!("team {team:03}")).collect();
    let alice = server.client_with("alice", &json!({"teams": teams}));
    let mut socket = Socket::connect(&alice).await;
    for id in 0..80 {
        let field = [
            "changes { hasMore }",
            "conflicts { pageInfo { hasNextPage } }",
        ][id % 2];
        socket.subscribe(&id.to_string(), field).await;
    }
    // Each takes about 240 KB of 12 MiB.
    let (mut followed, mut refused) = (0, 0);
    while followed + refused < 80 {
        let message = socket.next().await;
        match &message["payload"]["errors"][0]["extensions"]["code"] {
            Value::String(code) if code == "RATE_LIMITED" => refused += 1,
            Value::Null if message["type"] == "next" => followed += 1,
            Value::Null if message["type"] == "complete" => {}
            _ => panic!("{message}"),
        }
    }
    assert!((40..60).contains(&followed), "{followed}");
    Socket::follow(&bob, "").await.page().await;
    drop(socket);
    let served = async {
        let mut socket = Socket::follow(&alice, "").await;
        while socket.next().await["payload"]["errors"] != Value::Null {
            socket = Socket::follow(&alice, "").await;
        }
    };
    timeout(PATIENCE, served).await.expect("all is given back");
}

/// A subscription keeps its arguments, which took 15 times the bytes of their message.
#[tokio::test]
async fn arguments_are_counted_while_their_operation_runs_and_others_are_served() {
    let (_directory, _server, [alice, bob]) = bounded();
    let query = "subscription($types: [SyncType!]) { changes(types: $types) { hasMore } }";
    let types = vec!["Task"; 20_000];
    let payload = json!({"query": query, "variables": {"types": types}});
    let mut socket = Socket::connect(&alice).await;
    for id in 0..8 {
        let id = id.to_string();
        let message = json!({"type": "subscribe", "id": id, "payload": payload});
        socket.send(message).await;
    }
    // Each takes 2.5 MB of 12 MiB.
    let (mut followed, mut refused) = (0, 0);
    while followed + refused < 8 {
        let message = socket.next().await;
        match message["payload"][0]["extensions"]["code"].as_str() {
            Some(code) => {
                assert_eq!(code, "RATE_LIMITED");
                refused += 1;
            }
            None => {
                assert_eq!(message["type"], "next");
                followed += 1;
            }
        }
    }
    assert_eq!((followed, refused), (4, 4));
    let query = "query($types: [SyncType!]) { changesSince(types: $types) { hasMore } }";
    let code = alice.code(query, payload["variables"].clone()).await;
    assert_eq!(code, "RATE_LIMITED");
    bob.data(query, payload["variables"].clone()).await;
}

/// Answers wait on their socket until the client reads. A hundred on each of fifty sockets took 6 GB.
#[tokio::test]
async fn answers_that_wait_on_a_socket_are_bounded_and_others_are_served() {
    let patient = BUFFERS.replace("write_time = \"1s\"", "write_time = \"60s\"");
    let directory = configured(&format!("{CONFIG}{patient}"));
    let server = Server::serve(&directory);
    let [alice, bob] = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    for number in 0..3 {
        let document = json!({"title": "t", "notes": "n".repeat(900_000)});
        let change = create(&number.to_string(), document);
        alice.push_all(json!([change])).await;
    }
    let pull = "{ changesSince { changes { document { ... on Task { notes } } } } }";
    let init = json!({"type": "connection_init", "payload": {"token": alice.token}});
    let begin =
        |id| json!({"type": "subscribe", "id": format!("{id}"), "payload": {"query": pull}});
    let frame = |message: Value| ws_frame(0x81, message.to_string().as_bytes());
    let mut unread = websocket(&server).await;
    unread.write_all(&frame(init)).await.unwrap();
    let acknowledged = unread.read(&mut [0; 64]).await.unwrap();
    assert!(acknowledged > 0);
    forget_peak(&server);
    let before = kib_of(&server, "VmRSS:");
    let pulls: Vec<u8> = (0..90).map(begin).flat_map(frame).collect();
    unread.write_all(&pulls).await.unwrap();
    let refused = async {
        while alice.send(pull, json!({})).await["errors"][0]["extensions"]["code"] != "RATE_LIMITED"
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("12 MiB may wait");
    let answer = bob.data("{ viewer { id } }", json!({})).await;
    assert_eq!(answer["viewer"]["id"], "bob");
    // All answers have 240 MB together.
    let peak = kib_of(&server, "VmHWM:");
    assert!(
        peak < before + (96 << 10),
        "{before} KiB before, {peak} at the most"
    );
    drop(unread);
    let served = async {
        while alice.send(pull, json!({})).await["errors"] != Value::Null {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("all is given back");
}

/// `HEADERS` and `DATA` of a query over HTTP/2, with literals without an index (RFC 7541).
fn query(stream: u32, token: &str, body: &str) -> Vec<u8> {
    let mut head = b"\x83\x86\x44\x08/graphql\x41\x01x".to_vec();
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("content-type", "application/json".to_owned()),
    ] {
        head.extend([0, u8::try_from(name.len()).unwrap()]);
        head.extend(name.as_bytes());
        // A length of seven bits and more (RFC 7541, section 5.1).
        match value.len().checked_sub(127) {
            None => head.push(u8::try_from(value.len()).unwrap()),
            Some(mut rest) => {
                head.push(127);
                while rest >= 128 {
                    head.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                head.push(u8::try_from(rest).unwrap());
            }
        }
        head.extend(value.as_bytes());
    }
    [
        h2_frame(1, 4, stream, &head),
        h2_frame(0, 1, stream, body.as_bytes()),
    ]
    .concat()
}

#[tokio::test]
async fn answers_that_are_not_taken_over_http2_are_bounded_and_given_up() {
    let (_directory, server, [alice, bob]) = bounded();
    for number in 0..3 {
        let document = json!({"title": "t", "notes": "n".repeat(900_000)});
        alice
            .push_all(json!([create(&number.to_string(), document)]))
            .await;
    }
    let pull =
        json!({"query": "{ changesSince { changes { document { ... on Task { notes } } } } }"});
    let mut stream = connect(&server).await;
    stream.write_all(&HTTP2[..24]).await.unwrap();
    // A window of 0 for every stream.
    stream
        .write_all(&h2_frame(4, 0, 0, b"\0\x04\0\0\0\0"))
        .await
        .unwrap();
    for id in (1..41).step_by(2) {
        stream
            .write_all(&query(id, &alice.token, &pull.to_string()))
            .await
            .unwrap();
    }
    // Four answers fit into 12 MiB, beside what the streams can hold. The others are refused, and those four are
    // dropped in time.
    let refused_then_served = async {
        let mut was_refused = false;
        loop {
            let answer = alice.send(pull["query"].as_str().unwrap(), json!({})).await;
            let code = &answer["errors"][0]["extensions"]["code"];
            match (code.as_str(), was_refused) {
                (None, true) => break,
                (None, false) => {}
                (Some(code), _) => {
                    assert_eq!(code, "RATE_LIMITED");
                    was_refused = true;
                }
            }
            assert_eq!(
                bob.data("{ viewer { id } }", json!({})).await["viewer"]["id"],
                "bob"
            );
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(3 * PATIENCE, refused_then_served)
        .await
        .expect("answers are given up");
    // The streams were reset one by one: the connection itself continues.
    stream
        .write_all(&h2_frame(6, 0, 0, b"12345678"))
        .await
        .unwrap();
    let mut resets = 0;
    loop {
        let (kind, flags, _) = read_frame(&mut stream).await.unwrap();
        resets += usize::from(kind == 3);
        if (kind, flags) == (6, 1) {
            break;
        }
        if (kind, flags) == (6, 0) {
            stream.write_all(&h2_frame(6, 1, 0, &[0; 8])).await.unwrap();
        }
    }
    assert!(resets >= 3, "{resets}");
}

#[tokio::test]
async fn one_byte_at_a_time_is_too_slow_over_http2() {
    let (_directory, server, [alice, _]) = bounded();
    let query_of_viewer = r#"{"query": "{ viewer { id epoch readScopes } }"}"#;
    let mut stream = connect(&server).await;
    stream.write_all(&HTTP2[..24]).await.unwrap();
    // A window of one byte takes the answer into the library, and leaves it there.
    stream
        .write_all(&h2_frame(4, 0, 0, b"\0\x04\0\0\0\x01"))
        .await
        .unwrap();
    stream
        .write_all(&query(1, &alice.token, query_of_viewer))
        .await
        .unwrap();
    let reset = async {
        loop {
            let (kind, flags, payload) = read_frame(&mut stream).await.unwrap();
            if kind == 3 {
                return payload;
            }
            if (kind, flags) == (6, 0) {
                stream
                    .write_all(&h2_frame(6, 1, 0, &payload))
                    .await
                    .unwrap();
            }
        }
    };
    let reason = timeout(PATIENCE, reset).await.expect("the stream is reset");
    assert_eq!(reason, 8_u32.to_be_bytes(), "CANCEL");
}

#[tokio::test]
async fn a_stranger_may_send_little_on_a_socket() {
    let (_directory, server, [alice, _]) = bounded();
    let mut stranger = websocket(&server).await;
    let message = ws_frame(0x81, &vec![b' '; 1 << 20]);
    drop(stranger.write_all(&message[..100 << 10]).await);
    let heard = heard(&mut stranger).await;
    assert!(
        heard.windows(2).any(|code| code == 1009_u16.to_be_bytes()),
        "{heard:?}"
    );
    // A member may send a whole message.
    let mut member = Socket::connect(&alice).await;
    let payload = json!({"text": "x".repeat(900_000)});
    member
        .send(json!({"type": "ping", "payload": payload}))
        .await;
    assert_eq!(member.next().await["type"], "pong");
}

#[tokio::test]
async fn a_user_with_a_client_for_each_push_is_refused_and_nobody_else() {
    let directory = configured(&format!("{CONFIG}[limits]\nuser_clients = 10\n"));
    let server = Server::serve(&directory);
    let [alice, bob] = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    let epoch = alice.epoch().await;
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let input = |client: &str, first: i64| {
        let nothing = json!([delete("nothing", 1)]);
        json!({"input": numbered(client, first, &epoch, nothing)})
    };
    for n in 0..10 {
        let data = alice.data(query, input(&format!("client {n}"), 1)).await;
        assert_eq!(data["pushChanges"]["results"][0]["status"], "REJECTED");
    }
    let refused = alice.code(query, input("client 10", 1)).await;
    assert_eq!(refused, "TOO_MANY_CLIENTS");
    alice.data(query, input("client 0", 2)).await;
    bob.data(query, input("client 10", 1)).await;
}
