//! Peers that are slow, silent, gone, or far too many: each costs the gateway a bounded time and bounded memory, and
//! other clients are served meanwhile.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    harness::{CONFIG, Client, PATIENCE, Server, Socket, configured, create},
    serve::{client, token},
};

/// A gateway with these settings, and alice.
fn served(settings: &str) -> (TempDir, Server, Client) {
    let directory = configured(&format!("{CONFIG}{settings}"));
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    (directory, server, alice)
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// What the gateway sends on a connection until it closes it.
async fn reported(stream: &mut TcpStream) -> String {
    let mut reported = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut reported)).await;
    // A connection that is reset has ended as well.
    drop(ended.expect("the gateway closes the connection"));
    String::from_utf8_lossy(&reported).into_owned()
}

#[tokio::test]
async fn a_socket_that_leaves_pings_unanswered_is_closed_and_one_that_answers_stays() {
    let (_directory, server, alice) = served("[http]\nping_interval = \"1s\"\n");
    let mut alive = Socket::connect(&alice).await;
    let mut dead = Socket::connect(&alice).await;
    let stays = async {
        let heard = timeout(Duration::from_secs(6), alive.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    };
    let (code, ()) = tokio::join!(dead.close_code(), stays);
    assert_eq!(code, 1001, "clients come back after it");
    alive.subscribe("1", "changes { hasMore }").await;
    assert_eq!(alive.next().await["type"], "next");
    drop(server);
}

#[tokio::test]
async fn who_does_not_say_what_is_wanted_is_not_waited_for() {
    let (_directory, server, alice) = served("[http]\nhead_time = \"1s\"\nbody_time = \"1s\"\n");
    let token = &alice.token;
    let half = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    for (said, answer) in [
        ("", ""),
        ("PRI * HTTP/2.0", ""),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ", ""),
        (&half, "HTTP/1.1 408"),
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let reported = reported(&mut stream).await;
        assert!(reported.starts_with(answer), "{said:?}: {reported}");
        assert_eq!(
            reported.contains("REQUEST_TIMEOUT"),
            !answer.is_empty(),
            "{reported}"
        );
    }
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_off() {
    let (_directory, server, alice) = served("[http]\nwrite_time = \"1s\"\n");
    for number in 0..6 {
        let document = json!({"title": "t", "notes": "n".repeat(900_000)});
        alice
            .push_all(json!([create(&number.to_string(), document)]))
            .await;
    }
    let query =
        json!({"query": "{ changesSince { changes { document { ... on Task { notes } } } } }"});
    let (query, token) = (query.to_string(), &alice.token);
    let length = query.len();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{query}"
    );
    let mut reads = connect(&server).await;
    reads.write_all(request.as_bytes()).await.unwrap();
    assert!(reported(&mut reads).await.len() > 5_400_000);
    let mut sleeps = connect(&server).await;
    sleeps.write_all(request.as_bytes()).await.unwrap();
    let first = timeout(PATIENCE, sleeps.read_u8()).await;
    first.unwrap().unwrap();
    sleep(Duration::from_secs(8)).await;
    assert!(
        reported(&mut sleeps).await.len() < 5_400_000,
        "the rest was dropped"
    );
}

/// Nearly as many as one user may hold: some are left for its pushes.
const SILENT: usize = 990;

/// What they may make the gateway hold in addition: a page each, and the cost of a socket.
const HELD_KIB: u64 = 350 << 10;

fn resident_kib(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

#[tokio::test]
async fn nearly_a_thousand_sockets_that_never_read_cost_a_page_each() {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .unwrap();
    let (directory, server, alice) = served("[limits]\nlive_page_bytes = 65536\nuser_rate = 0\n");
    let bob = client(&server, &token(&directory, "bob"));
    let opening = stream::iter(0..SILENT).map(|_| async {
        let mut socket = Socket::connect(&alice).await;
        let page = "changes { changes { document { ... on Task { notes } } } }";
        socket.subscribe("1", page).await;
        socket
    });
    let sockets: Vec<Socket> = opening.buffer_unordered(50).collect().await;
    let before = resident_kib(&server, "VmRSS:");
    for number in 0..64 {
        let document = json!({"title": "t", "notes": "n".repeat(32 << 10)});
        alice
            .push_all(json!([create(&number.to_string(), document)]))
            .await;
    }
    // A client that reads is served as before.
    let results = bob
        .push_all(json!([create("b", json!({"title": "t"}))]))
        .await;
    assert_eq!(results[0]["status"], "APPLIED");
    sleep(Duration::from_secs(3)).await;
    let peak = resident_kib(&server, "VmHWM:");
    assert!(
        peak < before + HELD_KIB,
        "{before} KiB before, {peak} at the most"
    );
    drop(sockets);
}
