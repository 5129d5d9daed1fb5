//! Subscriptions in the body of a response: event streams for graphql-sse, and Apollo's multipart responses.
//!
//! `clients` has their clients. Heartbeats take seconds, so the unit tests of `http::delivery` have them.

use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{
        CONFIG, Client, PATIENCE, Server, Watched, configured, create, mongod::until, with_secret,
    },
    serve::client,
};

const LIVE: &str = "subscription { changes { changes { documentId } } }";
const SSE: &str = "text/event-stream";
const MULTIPART: &str = "multipart/mixed;subscriptionSpec=1.0";
/// What urql accepts for queries.
const URQL: &str = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";
const APOLLO: &str = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9";

async fn ask(client: &Client, accept: &str, query: &str) -> Response {
    let request = client.http.post(format!("{}/graphql", client.url));
    let request = request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .header("accept", accept)
        .header("accept-encoding", "br, gzip, zstd")
        .body(json!({"query": query}).to_string());
    request.send().await.unwrap()
}

fn kind(response: &Response) -> String {
    let value = response.headers()["content-type"].to_str().unwrap();
    value.split(';').next().unwrap().to_owned()
}

/// What a stream has sent so far.
struct Heard {
    response: Response,
    text: String,
}

impl Heard {
    fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(
            headers.get("content-encoding"),
            None,
            "it would be held back"
        );
        assert_eq!(headers["x-accel-buffering"], "no");
        assert_eq!(headers["cache-control"], "no-store");
        Self {
            response,
            text: String::new(),
        }
    }

    /// Reads until this arrives.
    async fn until(&mut self, said: &str) {
        while !self.text.contains(said) {
            assert!(self.more().await, "{said:?} was not said: {}", self.text);
        }
    }

    /// Reads to the end.
    async fn end(mut self) -> String {
        while self.more().await {}
        self.text
    }

    async fn more(&mut self) -> bool {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
        let chunk = chunk.expect("more in time").unwrap();
        let text = chunk.as_deref().unwrap_or_default();
        self.text += std::str::from_utf8(text).unwrap();
        chunk.is_some()
    }
}

#[tokio::test]
async fn each_event_is_whole_the_moment_it_happens() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let event = |id: &str| json!({"data": {"changes": {"changes": [{"documentId": id}]}}});
    let mut events = Heard::new(ask(&alice, SSE, LIVE).await);
    let mut parts = Heard::new(ask(&alice, APOLLO, LIVE).await);
    let none = json!({"data": {"changes": {"changes": []}}});
    events
        .until(&format!("event: next\ndata: {none}\n\n"))
        .await;
    parts
        .until(&format!("{{\"payload\":{none}}}\r\n--graphql"))
        .await;
    for id in ["a", "b"] {
        let results = alice
            .push_all(json!([create(id, json!({"title": "t"}))]))
            .await;
        assert_eq!(results[0]["status"], "APPLIED");
        let event = event(id);
        events
            .until(&format!("event: next\ndata: {event}\n\n"))
            .await;
        parts
            .until(&format!(
                "\r\ncontent-type: application/json\r\n\r\n{{\"payload\":{event}}}\r\n--graphql"
            ))
            .await;
    }
}

#[tokio::test]
async fn a_subscription_in_a_response_has_a_line_in_the_log_when_its_client_leaves() {
    let watched = Watched::serve(configured(CONFIG), &[]);
    let alice = watched.client("alice");
    let live = LIVE.replace("subscription", "subscription Followed");
    for (accept, transport) in [(SSE, "sse"), (MULTIPART, "multipart")] {
        let mut heard = Heard::new(ask(&alice, accept, &live).await);
        heard.until("{\"changes\":{\"changes\":[").await;
        let results = alice
            .push_all(json!([create(transport, json!({"title": "t"}))]))
            .await;
        assert_eq!(results[0]["status"], "APPLIED");
        heard.until(&format!("\"{transport}\"")).await;
        let of_transport = |fields: &&Value| fields["transport"] == transport;
        assert!(!watched.log().iter().any(|fields| of_transport(&fields)));
        drop(heard);
        let line = until("line of the subscription", async || {
            watched.log().iter().find(of_transport).cloned()
        })
        .await;
        assert_eq!(line["kind"], "subscription");
        assert_eq!(line["operation"], "Followed");
        assert_eq!(line["user"], "alice");
        assert_eq!(line["code"], "OK");
        assert_eq!(line["answers"], 2, "{line}");
        assert!(line["bytes"].as_u64() > Some(50), "{line}");
    }
    for transport in ["sse", "multipart"] {
        let series = format!(
            "tidegate_operations_total{{transport=\"{transport}\",kind=\"subscription\",code=\"OK\"}}"
        );
        watched.until_value(&series, |ended| ended == 1.0).await;
    }
}

#[tokio::test]
async fn accept_chooses_the_stream_and_only_what_streams_needs_one() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let modern = "application/graphql-response+json";
    for (accept, query, subscription) in [
        (SSE, SSE, SSE),
        (MULTIPART, "multipart/mixed", "multipart/mixed"),
        ("text/event-stream, multipart/mixed", SSE, SSE),
        (
            "text/event-stream;q=0.1, multipart/mixed",
            "multipart/mixed",
            "multipart/mixed",
        ),
        (URQL, modern, SSE),
        (APOLLO, modern, "multipart/mixed"),
    ] {
        let answered = ask(&alice, accept, "{ viewer { id } }").await;
        assert_eq!(kind(&answered), query, "{accept}");
        let streamed = ask(&alice, accept, LIVE).await;
        assert_eq!(kind(&streamed), subscription, "{accept}");
    }
    for accept in ["application/json", modern, "*/*"] {
        let refused = ask(&alice, accept, LIVE).await;
        assert_eq!(refused.status(), 406, "{accept}");
        let reported: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
        assert_eq!(
            reported["errors"][0]["extensions"]["code"],
            "NOT_ACCEPTABLE"
        );
    }
    let url = format!(
        "{}/graphql?query=subscription%7Bchanges%7BhasMore%7D%7D",
        alice.url
    );
    let request = alice
        .http
        .get(url)
        .bearer_auth(&alice.token)
        .header("accept", SSE);
    let mut by_url = Heard::new(request.send().await.unwrap());
    by_url.until("hasMore").await;
}

#[tokio::test]
async fn an_operation_with_one_answer_is_a_stream_that_completes() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let query = "{ viewer { id } }";
    let events = Heard::new(ask(&alice, SSE, query).await).end().await;
    assert_eq!(
        events,
        ":\n\nevent: next\ndata: {\"data\":{\"viewer\":{\"id\":\"alice\"}}}\n\nevent: complete\ndata:\n\n"
    );
    let parts = Heard::new(ask(&alice, MULTIPART, query).await).end().await;
    assert!(
        parts.ends_with(
            "{\"payload\":{\"data\":{\"viewer\":{\"id\":\"alice\"}}}}\r\n--graphql--\r\n"
        )
    );
    let push = r#"mutation { pushChanges(input: {changes: [{task: {create: {id: "a", document: {title: "t"}}}}]}) { results { status } } }"#;
    let events = Heard::new(ask(&alice, SSE, push).await).end().await;
    assert!(events.contains("APPLIED"), "{events}");
}

#[tokio::test]
async fn what_is_refused_comes_in_the_stream_once_the_caller_is_known() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    for query in ["subscription { nothing }", "subscription {", "{ nothing }"] {
        let events = Heard::new(ask(&alice, SSE, query).await).end().await;
        assert!(
            events.starts_with(":\n\nevent: next\ndata: {\"errors\":["),
            "{events}"
        );
        assert!(
            events.ends_with("\n\nevent: complete\ndata:\n\n"),
            "{events}"
        );
        let parts = Heard::new(ask(&alice, MULTIPART, query).await).end().await;
        assert!(parts.contains("{\"payload\":{\"errors\":["), "{parts}");
        assert_eq!(ask(&alice, APOLLO, query).await.status(), 400);
    }
    let stranger = Client {
        token: "x.y.z".to_owned(),
        ..alice
    };
    for accept in [SSE, MULTIPART] {
        let refused = ask(&stranger, accept, LIVE).await;
        assert_eq!(
            (refused.status().as_u16(), kind(&refused)),
            (401, "application/json".to_owned())
        );
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let arguments = [
        "token",
        "--sub",
        "alice",
        "--config",
        "tidegate.toml",
        "--expires",
        "4s",
    ];
    let token = with_secret(directory.path(), &arguments).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let alice = client(&server, token.trim());
    let (events, parts) = tokio::join!(ask(&alice, SSE, LIVE), ask(&alice, APOLLO, LIVE));
    let (events, parts) = tokio::join!(Heard::new(events).end(), Heard::new(parts).end());
    assert!(events.contains("event: next"), "{events}");
    assert!(
        !events.contains("event: complete"),
        "graphql-sse comes back: {events}"
    );
    assert!(
        parts.contains(r#"{"payload":null,"errors":[{"message":"#),
        "{parts}"
    );
    assert!(parts.contains("UNAUTHENTICATED"), "{parts}");
    assert!(parts.ends_with("--graphql--\r\n"), "{parts}");
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams_first() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mut events = Heard::new(ask(&alice, SSE, LIVE).await);
    let mut parts = Heard::new(ask(&alice, APOLLO, LIVE).await);
    events.until("event: next").await;
    parts.until("payload").await;
    let stopped = tokio::task::spawn_blocking(|| server.stop());
    let (events, parts) = tokio::join!(events.end(), parts.end());
    assert!(!events.contains("event: complete"), "{events}");
    assert!(parts.contains("SERVICE_UNAVAILABLE"), "{parts}");
    stopped.await.unwrap();
}
