//! Requests that never become an operation: every one gets a status, and a JSON body with a code.
//!
//! `wire` tests the specification of GraphQL over HTTP in detail.

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Server};

const QUERY: &str = r#"{"query": "{ viewer { id } }"}"#;

/// A request with a token and the right headers, which a case then changes.
fn post(client: &Client, body: impl Into<reqwest::Body>) -> RequestBuilder {
    request(client, Method::POST, "/graphql")
        .header("content-type", "application/json")
        .body(body)
}

fn request(client: &Client, method: Method, path: &str) -> RequestBuilder {
    let url = format!("{}{path}", client.url);
    client.http.request(method, url).bearer_auth(&client.token)
}

/// Sends a request that is refused, and returns the headers of the answer.
async fn check(request: RequestBuilder, status: u16, code: &str) -> HeaderMap {
    let response = request.send().await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::from_u16(status).unwrap(),
        "{code}"
    );
    let headers = response.headers().clone();
    let content_type = headers["content-type"].to_str().unwrap();
    assert!(content_type.contains("json"), "{content_type}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["errors"][0]["extensions"]["code"], code, "{body}");
    assert!(body["errors"][0]["message"].is_string());
    assert!(body.get("data").is_none(), "{body}");
    headers
}

#[tokio::test]
async fn bodies_that_hold_no_request_are_refused() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let deep = format!("{{\"query\": {}1{}}}", "[".repeat(300), "]".repeat(300));
    for body in [
        "",
        "{",
        "no JSON",
        "[]",
        "5",
        "{}",
        r#"{"query": 5}"#,
        r#"{"query": "{ viewer { id } }", "variables": []}"#,
        r#"{"query": "{ viewer { id } }", "variables": {"n": NaN}}"#,
        r#"{"query": "{ viewer { id } }", "variables": {"n": Infinity}}"#,
        r#"[{"query": "{ viewer { id } }"}]"#,
        &deep,
    ] {
        check(post(&alice, body.to_owned()), 400, "BAD_REQUEST").await;
    }
    check(
        post(&alice, &b"{\"query\": \"\xff\"}"[..]),
        400,
        "BAD_REQUEST",
    )
    .await;
    let large = json!({"query": "{ viewer { id } }", "variables": {"x": "x".repeat(2 << 20)}});
    check(post(&alice, large.to_string()), 413, "PAYLOAD_TOO_LARGE").await;
    assert_eq!(post(&alice, QUERY).send().await.unwrap().status(), 200);
}

/// A gateway that closed a connection with an unread body would reset it before the client has read the answer.
#[tokio::test]
async fn an_answer_reaches_a_client_that_still_sends_and_the_connection_goes_on() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let stranger = Client {
        token: "expired".to_owned(),
        ..alice.clone()
    };
    for _ in 0..10 {
        for bytes in [60_000, 900_000, 3_000_000] {
            let long = " ".repeat(bytes);
            check(post(&stranger, long), 401, "UNAUTHENTICATED").await;
        }
        let large = " ".repeat(3_000_000);
        check(post(&alice, large), 413, "PAYLOAD_TOO_LARGE").await;
        assert_eq!(post(&alice, QUERY).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn only_json_is_taken() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    for kind in [
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonx",
    ] {
        let request = request(&alice, Method::POST, "/graphql").header("content-type", kind);
        check(request.body(QUERY), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    }
    let untyped = request(&alice, Method::POST, "/graphql").body(QUERY);
    check(untyped, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let packed = post(&alice, QUERY).header("content-encoding", "gzip");
    check(packed, 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let json = request(&alice, Method::POST, "/graphql");
    let json = json.header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(json.body(QUERY).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_a_good_token_there_is_nothing() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let (head, _) = alice.token.rsplit_once('.').unwrap();
    let unsigned = format!("{head}.");
    let tokens = ["", "rubbish", "a.b.c", &unsigned, &"x".repeat(10_000)];
    for token in tokens {
        let client = Client {
            token: token.to_owned(),
            ..alice.clone()
        };
        let headers = check(post(&client, QUERY), 401, "UNAUTHENTICATED").await;
        assert_eq!(headers["www-authenticate"], "Bearer");
        check(post(&client, "no JSON"), 401, "UNAUTHENTICATED").await;
        let asked = request(&client, Method::GET, "/graphql?query=%7Ba%7D");
        let asked = asked.header("accept", "text/html");
        check(asked, 401, "UNAUTHENTICATED").await;
    }
    let bare = |method| {
        let url = format!("{}/graphql", alice.url);
        let request = alice.http.request(method, url);
        request.header("content-type", "application/json")
    };
    check(bare(Method::POST).body(QUERY), 401, "UNAUTHENTICATED").await;
    check(bare(Method::GET), 401, "UNAUTHENTICATED").await;
    let basic = bare(Method::POST).basic_auth("alice", Some("secret"));
    check(basic.body(QUERY), 401, "UNAUTHENTICATED").await;
    assert_eq!(post(&alice, QUERY).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_say_so() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    for (method, path, status, code) in [
        (Method::GET, "/nowhere", 404, "NOT_FOUND"),
        (Method::POST, "/", 405, "METHOD_NOT_ALLOWED"),
        (Method::GET, "/graphql/", 404, "NOT_FOUND"),
        (Method::DELETE, "/graphql", 405, "METHOD_NOT_ALLOWED"),
        (Method::PUT, "/graphql", 405, "METHOD_NOT_ALLOWED"),
        (Method::POST, "/healthz", 405, "METHOD_NOT_ALLOWED"),
        (Method::POST, "/schema.graphql", 405, "METHOD_NOT_ALLOWED"),
        (Method::GET, "/graphql", 400, "BAD_REQUEST"),
        (
            Method::GET,
            "/graphql?query=%7B",
            400,
            "GRAPHQL_PARSE_FAILED",
        ),
        (
            Method::GET,
            "/graphql?query=mutation%7BpushChanges(input:%7Bchanges:%5B%5D%7D)%7BlastMutationId%7D%7D",
            405,
            "METHOD_NOT_ALLOWED",
        ),
    ] {
        let request =
            request(&alice, method, path).header("accept", "application/graphql-response+json");
        check(request, status, code).await;
    }
    for (method, path, allowed) in [
        (Method::PUT, "/graphql", "GET,HEAD,POST"),
        (Method::POST, "/schema.graphql", "GET,HEAD"),
        (Method::DELETE, "/healthz", "GET,HEAD"),
    ] {
        let headers = check(request(&alice, method, path), 405, "METHOD_NOT_ALLOWED").await;
        assert_eq!(headers["allow"], allowed, "{path}");
    }
    let query = request(&alice, Method::GET, "/graphql?query=%7Bviewer%7Bid%7D%7D");
    assert_eq!(query.send().await.unwrap().status(), 200);
}
