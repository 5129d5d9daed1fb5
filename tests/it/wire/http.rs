//! The layers below operations: HTTP/1.1 and HTTP/2 on one port, compression, the ids of requests, and which pages may
//! send what.

use std::time::Duration;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{CONFIG, Client, Server, Socket, configured, create},
    serve::{client, token},
};

const VIEWER: &str = r#"{"data":{"viewer":{"id":"alice"}}}"#;

fn over_http2(client: &Client) -> Client {
    let http = reqwest::Client::builder().http2_prior_knowledge();
    Client {
        http: http.build().unwrap(),
        ..client.clone()
    }
}

fn request(client: &Client, query: &str) -> reqwest::RequestBuilder {
    let request = client.http.post(format!("{}/graphql", client.url));
    let body = json!({"query": query}).to_string();
    request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .body(body)
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port_and_streams_share_a_connection() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = over_http2(&server.client("alice"));
    let live = request(
        &alice,
        "subscription { changes { changes { documentId } } }",
    );
    let mut live = live
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(live.version(), reqwest::Version::HTTP_2);
    // Longer than an initial window of HTTP/2.
    let notes = "n".repeat(200_000);
    let results = alice
        .push_all(json!([create("a", json!({"title": "t", "notes": notes}))]))
        .await;
    assert_eq!(results[0]["document"]["notes"], notes);
    let mut heard = String::new();
    while !heard.contains(r#""documentId":"a""#) {
        let chunk = live.chunk().await.unwrap().expect("the stream goes on");
        heard += std::str::from_utf8(&chunk).unwrap();
    }
    let mut socket = Socket::connect(&server.client("bob")).await;
    socket.subscribe("1", "changes { hasMore }").await;
    assert_eq!(socket.next().await["type"], "next", "sockets are HTTP/1.1");
    let stopped = tokio::task::spawn_blocking(|| server.stop());
    while live.chunk().await.unwrap().is_some() {}
    drop(socket);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_name_that_is_not_this_machine_s_is_refused_over_http2_too() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = over_http2(&server.client("alice"));
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let rebound = reqwest::Client::builder()
        .http2_prior_knowledge()
        .resolve_to_addrs("rebound.example.com", &[address])
        .build()
        .unwrap();
    let url = format!("http://rebound.example.com:{}/healthz", address.port());
    assert_eq!(rebound.get(url).send().await.unwrap().status(), 403);
    let healthy = alice
        .http
        .get(format!("{}/healthz", server.url))
        .send()
        .await;
    assert_eq!(healthy.unwrap().status(), 200);
}

#[tokio::test]
async fn what_comes_byte_by_byte_is_understood_in_both_versions() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let slowly = async |bytes: &[u8]| {
        let address = server.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in bytes {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stream
    };
    let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    slowly(head)
        .await
        .read_to_string(&mut answer)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    // The preface, and a frame of SETTINGS without any; the gateway begins with its own.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut frame = [0; 9];
    slowly(preface).await.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}

#[tokio::test]
async fn answers_are_compressed_as_the_client_asks() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let notes = "All work and no play. ".repeat(500);
    alice
        .push_all(json!([create("a", json!({"title": "t", "notes": notes}))]))
        .await;
    let query = "{ changesSince { changes { document { ... on Task { notes } } } } }";
    for (asked, used) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip;q=0.1, br;q=0.9", "br"),
        // The client of graphql-codegen on Node 20, which cannot read zstd; Chromium; a client that accepts anything.
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate, zstd", "gzip"),
        ("*", "br"),
        ("zstd, gzip;q=0.5", "zstd"),
        ("identity", ""),
        ("identity;q=0", ""),
        ("*;q=0", ""),
        ("identity;q=0, deflate", ""),
    ] {
        let response = request(&alice, query)
            .header("accept-encoding", asked)
            .send();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200, "{asked}");
        let headers = response.headers();
        let encoding = headers
            .get("content-encoding")
            .map(|value| value.to_str().unwrap());
        assert_eq!(encoding.unwrap_or_default(), used, "{asked}");
        let body = response.bytes().await.unwrap();
        if used.is_empty() {
            assert!(body.len() > notes.len());
        } else {
            assert!(
                body.len() < notes.len() / 10,
                "{used}: {} bytes",
                body.len()
            );
        }
        let answer: Value = serde_json::from_slice(&decoded(used, &body).await).unwrap();
        let document = &answer["data"]["changesSince"]["changes"][0]["document"];
        assert_eq!(document["notes"], notes);
    }
    let small = request(&alice, "{ viewer { id } }").header("accept-encoding", "gzip");
    let small = small.send().await.unwrap();
    assert_eq!(small.headers().get("content-encoding"), None);
    assert_eq!(small.text().await.unwrap(), VIEWER);
}

#[tokio::test]
async fn an_empty_operation_name_is_none_over_every_transport() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let operation = json!({"query": "query A { viewer { id } }", "operationName": ""});
    let url = format!("{}/graphql", alice.url);
    let get = format!("{url}?query=query%20A%7Bviewer%7Bid%7D%7D&operationName=");
    let post = alice
        .http
        .post(url)
        .header("content-type", "application/json");
    for request in [post.body(operation.to_string()), alice.http.get(get)] {
        let answer = request.bearer_auth(&alice.token).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), VIEWER);
    }
    let mut socket = Socket::connect(&alice).await;
    let subscribe = json!({"type": "subscribe", "id": "1", "payload": operation});
    socket.send(subscribe).await;
    assert_eq!(
        socket.next().await["payload"]["data"]["viewer"]["id"],
        "alice"
    );
}

async fn decoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut decoder: Box<dyn AsyncRead + Unpin + '_> = match encoding {
        "gzip" => Box::new(GzipDecoder::new(body)),
        "br" => Box::new(BrotliDecoder::new(body)),
        "zstd" => Box::new(ZstdDecoder::new(body)),
        _ => Box::new(body),
    };
    decoder.read_to_end(&mut decoded).await.unwrap();
    decoded
}

#[tokio::test]
async fn pages_of_other_origins_run_no_operation_unasked() {
    let config = format!("{CONFIG}[http]\nallowed_origins = [\"https://app.example.com\"]\n");
    let directory = configured(&config);
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    // As forwarded by a proxy that turns a cookie into a token.
    let get = async |headers: &[(&str, &str)]| {
        let url = format!("{}/graphql?query=%7Bviewer%7Bid%7D%7D", alice.url);
        let request = alice.http.get(url).bearer_auth(&alice.token);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.send().await.unwrap().status().as_u16()
    };
    let elsewhere = ("sec-fetch-site", "cross-site");
    for (headers, status) in [
        (&[][..], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[elsewhere], 403),
        (&[elsewhere, ("content-type", "text/plain")], 403),
        (&[elsewhere, ("origin", "https://evil.example.com")], 403),
        (&[elsewhere, ("origin", "https://app.example.com")], 200),
        (&[elsewhere, ("apollo-require-preflight", "true")], 200),
        (&[elsewhere, ("content-type", "application/json")], 200),
    ] {
        assert_eq!(get(headers).await, status, "{headers:?}");
    }
    let push = r#"mutation { pushChanges(input: {changes: [{task: {create: {id: "a", document: {title: "t"}}}}]}) { lastMutationId } }"#;
    for kind in [
        "text/plain",
        "text/plain; charset=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json-seq",
        "",
    ] {
        let simple = alice.http.post(format!("{}/graphql", alice.url));
        let simple = simple
            .bearer_auth(&alice.token)
            .header("content-type", kind)
            .body(json!({"query": push}).to_string());
        assert_eq!(simple.send().await.unwrap().status(), 415, "{kind}");
    }
    assert_eq!(alice.pull(None).await["changes"], json!([]), "nothing ran");
}

#[tokio::test]
async fn no_origin_is_allowed_with_credentials_and_none_is_a_wildcard() {
    let config = format!("{CONFIG}[http]\nallowed_origins = [\"https://app.example.com\"]\n");
    let directories = [configured(&config), TempDir::new().unwrap()];
    let servers = [Server::serve(&directories[0]), Server::dev(&directories[1])];
    for (origin, allowed) in [
        ("https://app.example.com", [true, false]),
        ("http://localhost:5173", [false, true]),
        ("https://evil.example.com", [false, false]),
        ("null", [false, false]),
    ] {
        for (server, is_allowed) in servers.iter().zip(allowed) {
            let http = reqwest::Client::new();
            let url = format!("{}/graphql", server.url);
            let preflight = http
                .request(reqwest::Method::OPTIONS, &url)
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "authorization,apollo-require-preflight",
                );
            let get = http.get(&url);
            let post = http.post(&url).header("content-type", "application/json");
            for request in [preflight, get, post.body("{}")] {
                let answer = request.header("origin", origin).send().await.unwrap();
                let header = |name: &str| {
                    let value = answer.headers().get(name);
                    value.map(|value| value.to_str().unwrap())
                };
                let expected = is_allowed.then_some(origin);
                assert_eq!(header("access-control-allow-origin"), expected);
                assert_eq!(header("access-control-allow-credentials"), None);
                let vary = header("vary").unwrap();
                assert!(vary.contains("origin"), "caches keep them apart: {vary}");
            }
        }
    }
}
