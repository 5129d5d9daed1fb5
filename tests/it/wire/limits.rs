//! What the gateway does with clients that ask too much of it: operations beyond a limit, users that send too fast,
//! commits that take too long. Each gets a status and a code, in JSON.
//!
//! `patience` tests clients that are slow or silent on a connection, and `bad_input::requests` operations beyond a
//! limit of their own.

use std::net::TcpListener;

use futures_util::future::join_all;
use mongodb::bson::doc;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{
        CONFIG, Client, Server, configured, create,
        mongod::{Deployment, Times, fresh_database, until},
        numbered, push_query,
    },
    serve::{client, token},
};

const QUERY: &str = r#"{"query": "{ viewer { id } }"}"#;
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A model in which a stale change waits for an application.
const ASKING: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Note @collection(name: "notes") @scope(by: "all") @conflict(policy: WEBHOOK, webhook: "review", overlap: CLIENT_WINS) {
  id: ID!
  text: String
}
"#;

/// A gateway on that model whose application accepts connections and never answers, and two users: Bob has changed the
/// version that Alice edits.
struct Kept {
    server: Server,
    directory: TempDir,
    _application: TcpListener,
    alice: Client,
    bob: Client,
}

impl Kept {
    async fn waiting(limits: &str) -> Self {
        let application = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", application.local_addr().unwrap());
        let webhooks = format!(
            "[webhooks]\nurls = {{ review = \"{url}\" }}\ntimeout = \"10s\"\nsecret = \"{WEBHOOK_SECRET}\"\n"
        );
        let directory = configured(&format!("{CONFIG}[limits]\n{limits}\n{webhooks}"));
        std::fs::write(directory.path().join("model.graphql"), ASKING).unwrap();
        let server = Server::serve(&directory);
        let [alice, bob] = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
        let kept = Self {
            server,
            directory,
            _application: application,
            alice,
            bob,
        };
        let note = json!({"note": {"create": {"id": "a", "document": {"text": "old"}}}});
        kept.push(&kept.alice, json!({"changes": [note]})).await;
        let by_bob = json!({"changes": [retext("Bob's")]});
        kept.push(&kept.bob, by_bob).await;
        kept
    }

    async fn push(&self, client: &Client, input: Value) -> Value {
        client.send(PUSH, json!({"input": input})).await
    }

    /// A push of Alice's that waits for the application.
    async fn stale(&self) -> Value {
        let epoch = self.alice.epoch().await;
        numbered("phone", 1, &epoch, json!([retext("Alice's")]))
    }
}

const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { lastMutationId results { status duplicate version } } }";

fn retext(text: &str) -> Value {
    json!({"note": {"update": {"id": "a", "baseVersion": 1, "set": {"text": text}}}})
}

fn post(client: &Client, body: String) -> RequestBuilder {
    let request = client.http.post(format!("{}/graphql", client.url));
    request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .body(body)
}

/// Checks that the response has this status, and a JSON body of the gateway's with this code.
async fn check(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status, "{code}");
    let content_type = response.headers()["content-type"].to_str().unwrap();
    assert!(content_type.contains("json"), "{code}: {content_type}");
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let error = &body["errors"][0];
    assert_eq!(error["extensions"]["code"], code, "{body}");
    assert!(body.get("data").is_none(), "{body}");
    let message = error["message"].as_str().unwrap();
    assert!(message.ends_with('.') || message.contains(' '), "{message}");
    for inner in [
        "::", ".rs", "panicked", "Error {", "serde", "mongodb", "redb", "Kind", "stack",
    ] {
        assert!(!text.contains(inner), "{inner:?} in {text}");
    }
    body
}

#[tokio::test]
async fn every_status_comes_with_a_json_body_and_its_code() {
    let limits =
        "[http]\nbody_time = \"1s\"\n[limits]\nbody_bytes = 2048\nuser_rate = 1\nuser_burst = 2\n";
    let directory = configured(&format!("{CONFIG}{limits}"));
    let server = Server::serve(&directory);
    let users = ["a", "b", "c", "d"];
    // Each has two operations.
    let users = users.map(|user| client(&server, &token(&directory, user)));
    let at = |client: &Client, method: Method, path: &str| {
        let request = client.http.request(method, format!("{}{path}", client.url));
        request.bearer_auth(&client.token)
    };
    let stranger = Client {
        token: "rubbish".to_owned(),
        ..users[0].clone()
    };
    let modern = ("accept", "application/graphql-response+json");
    let parse =
        post(&users[0], r#"{"query": "{ viewer { id "}"#.to_owned()).header(modern.0, modern.1);
    let query = "/graphql?query=%7Bviewer%7Bid%7D%7D";
    let crossed = at(&users[1], Method::GET, query).header("sec-fetch-site", "cross-site");
    let html = at(&users[1], Method::GET, query).header("accept", "text/html");
    let untyped = at(&users[2], Method::POST, "/graphql").header("content-type", "text/plain");
    for (request, status, code) in [
        (post(&users[0], "{".to_owned()), 400, "BAD_REQUEST"),
        (parse, 400, "GRAPHQL_PARSE_FAILED"),
        (post(&stranger, QUERY.to_owned()), 401, "UNAUTHENTICATED"),
        (crossed, 403, "FORBIDDEN"),
        (at(&stranger, Method::GET, "/nothing"), 404, "NOT_FOUND"),
        (
            at(&stranger, Method::PUT, "/graphql"),
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (html, 406, "NOT_ACCEPTABLE"),
        (post(&users[2], " ".repeat(3_000)), 413, "PAYLOAD_TOO_LARGE"),
        (untyped.body(QUERY), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        check(request.send().await.unwrap(), status, code).await;
    }
    let many = (0..20).map(|_| post(&users[3], QUERY.to_owned()).send());
    let answers = join_all(many).await.into_iter().map(Result::unwrap);
    let (early, timely): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status() == 429);
    assert!(timely.iter().all(|answer| answer.status() == 200));
    let early = early.into_iter().next().expect("some came too early");
    assert_eq!(early.headers()["retry-after"], "1");
    let reported = check(early, 429, "RATE_LIMITED").await;
    assert_eq!(reported["errors"][0]["extensions"]["retryAfter"], 1);
}

#[tokio::test]
async fn a_push_that_takes_too_long_is_given_up_and_settled_by_the_same_push() {
    let kept = Kept::waiting("request_time = \"3s\"").await;
    let input = json!({"input": kept.stale().await});
    let body = json!({"query": PUSH, "variables": input}).to_string();
    for _ in 0..2 {
        let response = post(&kept.alice, body.clone()).send().await.unwrap();
        check(response, 504, "DEADLINE_EXCEEDED").await;
    }
    kept.server.stop();
    let path = kept.directory.path().join("tidegate.toml");
    let patient = std::fs::read_to_string(&path).unwrap();
    let patient = patient
        .replace("request_time = \"3s\"", "")
        .replace("timeout = \"10s\"", "timeout = \"1s\"");
    std::fs::write(&path, patient).unwrap();
    let server = Server::serve(&kept.directory);
    let alice = kept.alice.at(&server);
    for duplicate in [false, true] {
        let payload = alice.data(PUSH, input.clone()).await["pushChanges"].take();
        assert_eq!(payload["lastMutationId"], 1);
        let result = &payload["results"][0];
        assert_eq!(
            (&result["version"], &result["duplicate"]),
            (&json!(3), &json!(duplicate))
        );
    }
}

#[tokio::test]
async fn a_commit_that_outlasts_its_request_took_effect_once() {
    let deployment = Deployment::replica_set(1).await;
    let url = deployment.url(&fresh_database());
    let config = CONFIG.replace("embedded:data", &url);
    let directory = configured(&format!("{config}[limits]\nrequest_time = \"3s\"\n"));
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    let epoch = alice.epoch().await;
    let task = create("a", json!({"title": "Once"}));
    let input = json!({"input": numbered("phone", 1, &epoch, json!([task]))});
    let slow = doc! {"failCommands": ["commitTransaction"], "blockConnection": true, "blockTimeMS": 6_000, "appName": "tidegate"};
    deployment.fail_commands(Times::Next(1), slow).await;
    let code = alice.code(&push_query(), input.clone()).await;
    assert_eq!(code, "DEADLINE_EXCEEDED");
    let settled = until("the push is settled", async || {
        let answer = alice.send(&push_query(), input.clone()).await;
        let payload = answer["data"]["pushChanges"].clone();
        payload.is_object().then_some(payload)
    });
    let payload = settled.await;
    assert_eq!(payload["lastMutationId"], 1);
    assert_eq!(payload["results"][0]["status"], "APPLIED");
    assert_eq!(alice.task("a").await["syncVersion"], 1);
}

#[tokio::test]
async fn operations_beyond_the_bounds_wait_and_are_asked_to_come_again() {
    let kept = Kept::waiting("requests = 1\nuser_requests = 1").await;
    let body = json!({"query": PUSH, "variables": {"input": kept.stale().await}}).to_string();
    let alice = kept.alice.clone();
    // The query below may get the permit first.
    let held = tokio::spawn(async move {
        while post(&alice, body.clone()).send().await.unwrap().status() == 429 {}
    });
    let refused = until("the user has all places", async || {
        let response = post(&kept.alice, QUERY.to_owned()).send().await.unwrap();
        (response.status() == 429).then_some(response)
    });
    let refused = refused.await;
    assert_eq!(refused.headers()["retry-after"], "1");
    check(refused, 429, "RATE_LIMITED").await;
    let refused = post(&kept.bob, QUERY.to_owned()).send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    check(refused, 503, "OVERLOADED").await;
    held.abort();
}

#[tokio::test]
async fn strangers_learn_nothing_of_the_schema() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    for (query, hint) in [
        ("{ viewerr { id } }", "viewer "),
        ("{ viewer { idd } }", "readScopes"),
        ("{ task(id: 1) { titel } }", "title"),
        ("{ changesSince(limitt: 1) { hasMore } }", "limit,"),
        ("{ changesSince(types: [Tasc]) { hasMore } }", "Task"),
    ] {
        let answer = alice.send(query, json!({})).await;
        let message = answer["errors"][0]["message"].as_str().unwrap();
        let guesses = message.to_lowercase().contains("did you mean") || message.contains(hint);
        assert!(!guesses, "{query}: {message}");
    }
    // With a token the answer says what to ask instead. Without one, it does not.
    let body = json!({"query": "{ tasks { id } }"}).to_string();
    let stranger = alice.http.post(format!("{}/graphql", server.url));
    let stranger = stranger.header("content-type", "application/json");
    let answer = stranger.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(!answer.text().await.unwrap().contains("changesSince"));
    for query in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"Task\") { name } }",
    ] {
        let code = alice.code(query, json!({})).await;
        assert_eq!(code, "GRAPHQL_VALIDATION_FAILED");
    }
    let page = reqwest::get(&server.url).await.unwrap();
    assert_eq!(page.status(), 404, "there is no GraphiQL");
}
