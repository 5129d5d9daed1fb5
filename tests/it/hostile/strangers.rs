//! Peers without a token: what they can make a gateway hold is bounded.

use std::{
    fs::File,
    iter,
    net::{IpAddr, UdpSocket},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::flood::{
    HTTP2, connect, connect_from, flood, forget_peak, h2_frame, has_ended, heard, kib_of,
    read_frame, websocket, ws_frame,
};
use crate::{
    harness::{CONFIG, Client, PATIENCE, Server, Socket, command, configured, with_secret},
    serve::{client, token},
};

/// What one stranger sends, if the gateway reads it.
const FLOOD_BYTES: usize = 32 << 20;
/// By how much the gateway may grow meanwhile. Most of it comes from the debug build and the allocator.
const HELD_KIB: u64 = 12 << 10;

/// One way to send and never read.
enum Attack {
    /// After a WebSocket's handshake and the first frame, the second again and again.
    Socket(Vec<u8>, Vec<u8>),
    /// After these bytes, these again and again.
    Plain(&'static [u8], &'static [u8]),
    /// On a connection of HTTP/2, for each odd number these frames.
    Http2(fn(u32) -> Vec<u8>),
}

impl Attack {
    async fn carry_out(self, server: &Server) -> usize {
        let endless = |part: Vec<u8>| {
            let times = FLOOD_BYTES / part.len();
            iter::repeat_n(part, times)
        };
        match self {
            Self::Socket(opening, frame) => {
                let mut stream = websocket(server).await;
                stream.write_all(&opening).await.unwrap();
                flood(&mut stream, endless(frame)).await
            }
            Self::Plain(opening, part) => {
                let mut stream = connect(server).await;
                stream.write_all(opening).await.unwrap();
                flood(&mut stream, endless(part.to_vec())).await
            }
            Self::Http2(frames) => {
                let mut stream = connect(server).await;
                stream.write_all(HTTP2).await.unwrap();
                let times = FLOOD_BYTES / frames(1).len();
                let streams = (1..).step_by(2).take(times);
                flood(&mut stream, streams.map(frames)).await
            }
        }
    }
}

/// The head of `POST /graphql` with a body in chunks.
const CHUNKED: &[u8] = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
const TRAILED: &[u8] = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
const EXTENDED: &[u8] = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1;";

/// `GET /graphql` in HPACK's static table and literals (RFC 7541), without its frame.
const GET_GRAPHQL: &[u8] = b"\x82\x86\x44\x08/graphql\x41\x01x";
/// `POST /graphql`, likewise.
const POST_GRAPHQL: &[u8] = b"\x83\x86\x44\x08/graphql\x41\x01x";

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Each attack, with what it sends again and again.
fn attacks() -> Vec<(&'static str, Attack)> {
    let ws_ping = ws_frame(0x89, &[b'p'; 125]);
    let pong = ws_frame(0x8a, &[b'p'; 125]);
    let [begun, empty_fragment] = [0x01, 0x00].map(|first_byte| ws_frame(first_byte, b""));
    let protocol_ping = ws_frame(
        0x81,
        format!(
            r#"{{"type":"ping","payload":{{"a":"{}"}}}}"#,
            "p".repeat(30_000)
        )
        .as_bytes(),
    );
    vec![
        ("pings of a socket", Attack::Socket(Vec::new(), ws_ping)),
        ("pongs of a socket", Attack::Socket(Vec::new(), pong)),
        ("empty fragments", Attack::Socket(begun, empty_fragment)),
        (
            "pings of the protocol",
            Attack::Socket(Vec::new(), protocol_ping),
        ),
        (
            "pipelined requests",
            Attack::Plain(b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        ),
        (
            "a head without an end",
            Attack::Plain(b"GET / HTTP/1.1\r\n", b"x-more: and more\r\n"),
        ),
        (
            "one header without an end",
            Attack::Plain(b"GET / HTTP/1.1\r\nx: ", b"xxxxxxxx"),
        ),
        (
            "a path without an end",
            Attack::Plain(b"GET /", b"xxxxxxxx"),
        ),
        (
            "a body in the smallest chunks",
            Attack::Plain(CHUNKED, b"1\r\nx\r\n"),
        ),
        (
            "an extension without an end",
            Attack::Plain(EXTENDED, b"xxxxxxxx"),
        ),
        (
            "trailers without an end",
            Attack::Plain(TRAILED, b"x-more: and more\r\n"),
        ),
        ("PING", Attack::Http2(|_| h2_frame(6, 0, 0, b"12345678"))),
        (
            "SETTINGS",
            Attack::Http2(|_| h2_frame(4, 0, 0, b"\0\x04\0\0\0\0")),
        ),
        (
            "PRIORITY",
            Attack::Http2(|id| h2_frame(2, 0, id, b"\0\0\0\0\x10")),
        ),
        (
            "WINDOW_UPDATE",
            Attack::Http2(|_| h2_frame(8, 0, 0, b"\0\0\0\x01")),
        ),
        (
            "frames that nobody knows",
            Attack::Http2(|id| h2_frame(0x42, 0, id, &[0; 64])),
        ),
        (
            "requests that are reset at once",
            Attack::Http2(|id| {
                let head = h2_frame(1, END_HEADERS | END_STREAM, id, GET_GRAPHQL);
                [head, h2_frame(3, 0, id, b"\0\0\0\x08")].concat()
            }),
        ),
        (
            "requests whose answers nobody reads",
            Attack::Http2(|id| h2_frame(1, END_HEADERS | END_STREAM, id, GET_GRAPHQL)),
        ),
        (
            "bodies without an end",
            Attack::Http2(|id| {
                let head = h2_frame(1, END_HEADERS, id, POST_GRAPHQL);
                [head, h2_frame(0, 0, id, &[b' '; 4096])].concat()
            }),
        ),
        (
            "empty DATA",
            Attack::Http2(|id| {
                let head = match id {
                    1 => h2_frame(1, END_HEADERS, 1, POST_GRAPHQL),
                    _ => Vec::new(),
                };
                [head, h2_frame(0, 0, 1, b"")].concat()
            }),
        ),
        (
            "CONTINUATION",
            Attack::Http2(|id| match id {
                1 => h2_frame(1, END_STREAM, 1, GET_GRAPHQL),
                _ => h2_frame(9, 0, 1, b"\0\x01x\x01x"),
            }),
        ),
    ]
}

#[tokio::test]
async fn a_peer_that_sends_and_never_reads_makes_the_gateway_hold_little() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    for (name, attack) in attacks() {
        forget_peak(&server);
        let before = kib_of(&server, "VmRSS:");
        let sent = attack.carry_out(&server).await;
        let after = kib_of(&server, "VmHWM:");

        assert!(
            after < before + HELD_KIB,
            "{name}: {before} KiB before, {after} after {sent} bytes"
        );
        let health = reqwest::get(format!("{}/healthz", server.url)).await;
        assert_eq!(health.unwrap().status(), 200, "{name}");
    }
}

/// Status 431 in HPACK's code of Huffman (RFC 7541, appendix B).
const TOO_LARGE: &[u8] = b"\x69\x90\xff";

#[tokio::test]
async fn a_head_of_many_small_fields_is_refused_and_its_connection_goes_on() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let mut stream = connect(&server).await;
    stream.write_all(HTTP2).await.unwrap();
    // A field of two letters, and then one byte for each repetition. A field counts 32 bytes more.
    let many = [GET_GRAPHQL, b"\x40\x01x\x01v", &[0xbe; 1000]].concat();
    for (id, head, is_too_large) in [(1, &many[..], true), (3, GET_GRAPHQL, false)] {
        let frame = h2_frame(1, END_HEADERS | END_STREAM, id, head);
        stream.write_all(&frame).await.unwrap();
        let answer = loop {
            let frame = timeout(PATIENCE, read_frame(&mut stream)).await;
            if let (1, _, payload) = frame.expect("an answer comes").unwrap() {
                break payload;
            }
        };
        let found = answer.windows(3).any(|bytes| bytes == TOO_LARGE);
        assert_eq!(found, is_too_large, "{id}: {answer:?}");
    }
}

/// Each request adds a line to the log, so strangers can fill its disk. A pipe holds 64 KiB that nobody reads.
#[tokio::test]
async fn requests_are_answered_whether_or_not_the_log_can_be_written() {
    let full = File::create("/dev/full").unwrap();
    for (log, stderr) in [("full", full.into()), ("unread", Stdio::piped())] {
        let directory = configured(CONFIG);
        let mut command = with_secret(directory.path(), &["serve"]);
        command.env("TIDEGATE_LOG", "info").stderr(stderr);
        let server = Server::start(directory.path(), command);
        let stranger = reqwest::Client::builder().timeout(PATIENCE);
        let stranger = stranger.build().unwrap();
        for number in 0..1_000 {
            let health = stranger.get(format!("{}/healthz", server.url)).send();
            assert_eq!(health.await.unwrap().status(), 200, "{log}: {number}");
        }
        server.stop();
    }
}

/// The places of strangers in these tests.
const PLACES: usize = 10;

/// The answer to one request on a connection of its own.
async fn asked(server: &Server, path: &str) -> u16 {
    let fresh = reqwest::Client::new();
    let answer = fresh.get(format!("{}{path}", server.url)).send().await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn probes_and_newcomers_are_served_while_strangers_hold_all_places() {
    let directory = configured(&format!("{CONFIG}[limits]\nnew_connections = {PLACES}\n"));
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    let mut friend = Socket::connect(&alice).await;
    let mut flood = Vec::new();
    for round in 0..10 {
        for _ in 0..2 * PLACES {
            let mut stranger = connect(&server).await;
            stranger.write_all(b"GET").await.unwrap();
            flood.push(stranger);
        }
        assert_eq!(asked(&server, "/healthz").await, 200, "{round}");
        assert_eq!(asked(&server, "/readyz").await, 200, "{round}");
        let newcomer = Client {
            http: reqwest::Client::new(),
            ..alice.clone()
        };
        let answer = newcomer.data("{ viewer { id } }", json!({})).await;
        assert_eq!(answer["viewer"]["id"], "alice", "{round}");
    }
    friend.subscribe("1", "changes { hasMore }").await;
    assert_eq!(friend.next().await["type"], "next", "members stay");
}

#[tokio::test]
async fn a_flood_from_one_address_displaces_itself() {
    let directory = configured(&format!("{CONFIG}[limits]\nnew_connections = {PLACES}\n"));
    let server = Server::serve(&directory);
    let first = connect(&server).await;
    let mut flood = Vec::new();
    for _ in 0..10 * PLACES {
        flood.push(connect_from([127, 0, 0, 2], &server).await);
    }
    assert_eq!(asked(&server, "/healthz").await, 200);
    for stranger in &mut flood[..9 * PLACES] {
        heard(stranger).await;
    }
    assert!(!has_ended(&first), "it came before all of them");
    let open = flood.iter().filter(|stranger| !has_ended(stranger));
    assert!(open.count() <= PLACES);
}

#[tokio::test]
async fn an_address_may_have_a_bound_of_its_own() {
    let directory = configured(&format!("{CONFIG}[limits]\naddress_connections = 3\n"));
    let server = Server::serve(&directory);
    let elsewhere = connect_from([127, 0, 0, 2], &server).await;
    let mut flood = Vec::new();
    for _ in 0..9 {
        flood.push(connect(&server).await);
    }
    for stranger in &mut flood[..6] {
        heard(stranger).await;
    }
    assert!(
        flood[6..]
            .iter()
            .chain([&elsewhere])
            .all(|it| !has_ended(it))
    );
}

/// A request with this token, on a connection that stays open.
fn request(token: &str) -> Vec<u8> {
    format!("GET /graphql?query=%7Bviewer%7Bid%7D%7D HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// Sends this again and again, and reads the answers, until the gateway ends the connection.
async fn repeats(stream: &mut TcpStream, said: &[u8]) {
    let mut answer = [0; 4096];
    let ends = async {
        while stream.write_all(said).await.is_ok()
            && stream.read(&mut answer).await.is_ok_and(|bytes| bytes > 0)
        {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, ends)
        .await
        .expect("the gateway ends the connection");
}

/// Answers pings of HTTP/2 until the gateway ends the connection.
async fn answers_pings(stream: &mut TcpStream) {
    stream.write_all(HTTP2).await.unwrap();
    let mut pings = 0;
    let ends = async {
        while let Ok(frame) = read_frame(stream).await {
            if let (6, 0, payload) = frame {
                pings += 1;
                stream.write_all(&h2_frame(6, 1, 0, &payload)).await.ok();
            }
        }
    };
    timeout(PATIENCE, ends)
        .await
        .expect("the gateway ends the connection");
    assert!(pings > 0, "it was pinged");
}

#[tokio::test]
async fn a_connection_that_shows_no_good_token_in_time_ends_whatever_it_says() {
    let times = "[http]\ntoken_time = \"3s\"\nping_interval = \"1s\"\n";
    let directory = configured(&format!("{CONFIG}{times}"));
    let server = Server::serve(&directory);
    let good = request(&token(&directory, "alice"));
    let mut member = connect(&server).await;
    let strangers = async {
        repeats(
            &mut connect(&server).await,
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        )
        .await;
        repeats(&mut connect(&server).await, &request("a.b.c")).await;
        answers_pings(&mut connect(&server).await).await;
        let mut silent = websocket(&server).await;
        heard(&mut silent).await;
        // A token that was good once is not good for ever.
        let mut once = connect(&server).await;
        once.write_all(&good).await.unwrap();
        repeats(&mut once, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    };
    let stays = async {
        loop {
            member.write_all(&good).await.unwrap();
            let mut answer = [0; 4096];
            assert!(member.read(&mut answer).await.unwrap() > 0);
            sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! { () = strangers => {}, () = stays => {} }
}

/// Another address of this machine than loopback, if it has one. Nothing is sent: only a route is looked up.
pub(super) fn other_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("10.255.255.255:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

#[tokio::test]
async fn dev_gives_tokens_to_this_machine_alone_wherever_it_listens() {
    let directory = TempDir::new().unwrap();
    let mut dev = command(directory.path());
    dev.args(["dev", "--listen", "0.0.0.0:0"])
        .stderr(Stdio::piped());
    let server = Server::start(directory.path(), dev);
    let port = server.url.rsplit_once(':').unwrap().1.to_owned();
    let url = |host: &str| format!("http://{host}:{port}/graphiql/config.json");
    let near = url("127.0.0.1");
    let mut asked = vec![
        (near.clone(), None, 2),
        (near.clone(), Some(("host", "rebound.example.com")), 0),
        (near.clone(), Some(("x-forwarded-for", "203.0.113.7")), 0),
        (near, Some(("forwarded", "for=203.0.113.7")), 0),
    ];
    if let Some(address) = other_address() {
        asked.push((url(&address.to_string()), None, 0));
        asked.push((url(&address.to_string()), Some(("host", "localhost")), 0));
    }
    for (url, header, users) in asked {
        let mut request = reqwest::Client::new().get(&url);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let given = config["users"].as_array().unwrap().len();
        assert_eq!(given, users, "{url} {header:?}");
        assert_eq!(text.contains("\"token\""), users > 0, "{text}");
    }
    let page = url("127.0.0.1").replace("graphiql/config.json", "");
    let page = reqwest::Client::new()
        .get(page)
        .header("host", "rebound.example.com");
    assert_eq!(page.send().await.unwrap().status(), 200, "GraphiQL opens");
    let complaints = server.complaints();
    assert!(
        complaints.contains("warning: `dev` listens beyond this machine"),
        "{complaints}"
    );
    assert!(
        complaints.contains("development mode listens beyond this machine"),
        "{complaints}"
    );
}
