//! The questions to an application, how it verifies that the gateway asks, and the effects of its answers.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::hmac;
use axum::{http::StatusCode, response::IntoResponse};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{RESULT, create, push, retitle};
use crate::harness::{
    Application, Client, Server,
    mongod::{Deployment, fresh_database},
    numbered,
};

const MODEL: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)
type Article @collection(name: "articles") @scope(by: "{audience}")
  @conflict(policy: WEBHOOK, webhook: "review", overlap: MANUAL) {
  id: ID!
  audience: String!
  title: String! @constraint(maxLength: 20)
  text: String
}
"#;

struct Bench {
    server: Server,
    _directory: TempDir,
    alice: Client,
    bob: Client,
}

fn bench(application: &Application, store: &[&str]) -> Bench {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
    let webhook = format!("review={}", application.url);
    let arguments = [&["--webhook", &webhook], store].concat();
    let server = Server::dev_with(directory.path(), &arguments);
    Bench {
        alice: server.client("alice"),
        bob: server.client("bob"),
        server,
        _directory: directory,
    }
}

impl Bench {
    /// Bob's title, and then Alice's edit of the one before.
    async fn conflict(&self) -> Value {
        assert_eq!(
            push(&self.alice, create("a", "old")).await["status"],
            "APPLIED"
        );
        assert_eq!(
            push(&self.bob, retitle("a", 1, "Bob's")).await["status"],
            "APPLIED"
        );
        push(&self.alice, retitle("a", 1, "Alice's")).await
    }
}

async fn answered(answer: Value, store: &[&str], status: &str, title: &str) {
    let application = Application::answering(answer.clone()).await;
    let outcome = bench(&application, store).conflict().await;
    assert_eq!(outcome["status"], status, "{answer}: {outcome}");
    assert_eq!(outcome["document"]["title"], title, "{answer}");
    assert_eq!(application.asked().len(), 1);
}

#[tokio::test]
async fn each_answer_is_carried_out() {
    answered(json!("current"), &[], "CONFLICT", "Bob's").await;
    answered(json!("incoming"), &[], "MERGED", "Alice's").await;
    answered(json!({"title": "Both"}), &[], "MERGED", "Both").await;
}

#[tokio::test]
async fn each_answer_is_carried_out_on_mongodb() {
    let url = Deployment::shared().await.url(&fresh_database());
    answered(
        json!({"title": "Both"}),
        &["--store", &url],
        "MERGED",
        "Both",
    )
    .await;
}

#[tokio::test]
async fn a_question_shows_all_sides_and_is_signed() {
    let application = Application::answering(json!("incoming")).await;
    let outcome = bench(&application, &[]).conflict().await;
    assert_eq!(outcome["conflict"]["fields"][0]["rule"], "WEBHOOK");
    let asked = &application.asked()[0];
    assert_eq!(
        asked.json(),
        json!({
            "type": "Article", "id": "a", "change": "UPDATE", "fields": ["title"], "user": "alice",
            "base": {"title": "old"}, "incoming": {"title": "Alice's"}, "currentVersion": 2,
            "current": {"audience": "team:demo", "title": "Bob's", "text": "Words."},
        })
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"tidegate for development only");
    let (id, at) = (
        asked.header("webhook-id"),
        asked.header("webhook-timestamp"),
    );
    let signed = [format!("{id}.{at}.").as_bytes(), &asked.body].concat();
    let tag = STANDARD.encode(hmac::sign(&key, &signed));
    assert_eq!(asked.header("webhook-signature"), format!("v1,{tag}"));
}

#[tokio::test]
async fn the_id_of_a_question_is_its_senders_own() {
    let application = Application::answering(json!("current")).await;
    let bench = bench(&application, &[]);
    bench.conflict().await;
    let carol = bench.server.client("carol");
    for _ in 0..2 {
        push(&carol, retitle("a", 1, "Alice's")).await;
    }
    let asked = application.asked();
    let [alices, carols, again] = [0, 1, 2].map(|i| asked[i].header("webhook-id"));
    assert_ne!(alices, carols);
    assert_eq!(carols, again);
}

#[tokio::test]
async fn what_is_no_answer_leaves_it_to_the_overlap() {
    let bad: [fn() -> axum::response::Response; 7] = [
        || (StatusCode::INTERNAL_SERVER_ERROR, "\"incoming\"").into_response(),
        || (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        || "no JSON".into_response(),
        || "\"both\"".into_response(),
        || json!({"title": "x".repeat(21)}).to_string().into_response(),
        || json!({"unknown": 1}).to_string().into_response(),
        || "x".repeat(2 << 20).into_response(),
    ];
    for answer in bad {
        let application = Application::start(move |_| answer()).await;
        let outcome = bench(&application, &[]).conflict().await;
        assert_eq!(outcome["status"], "CONFLICT");
        assert!(outcome["conflict"]["conflictId"].is_string(), "{outcome}");
    }
}

/// The document changes while the application answers: its answer about another version does not count.
#[tokio::test]
async fn an_answer_about_another_version_is_asked_for_again() {
    let bob: Arc<OnceLock<Client>> = Arc::default();
    let editor = Arc::clone(&bob);
    let application = Application::start(move |question| {
        if question["currentVersion"] == 2 {
            let edit = json!({"article": {"update": {"id": "a", "baseVersion": 2, "set": {"text": "Moved."}}}});
            let editor = Arc::clone(&editor);
            let edited = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(push(editor.get().unwrap(), edit))
            });
            assert_eq!(edited.join().unwrap()["status"], "APPLIED");
        }
        "\"incoming\"".into_response()
    })
    .await;
    let bench = bench(&application, &[]);
    assert!(
        bob.set(Client {
            http: reqwest::Client::new(),
            ..bench.bob.clone()
        })
        .is_ok()
    );
    let outcome = bench.conflict().await;
    assert_eq!(
        (&outcome["status"], &outcome["version"]),
        (&json!("MERGED"), &json!(4))
    );
    assert_eq!(
        outcome["document"],
        json!({"title": "Alice's", "text": "Moved."})
    );
    let versions: Vec<Value> = application
        .asked()
        .iter()
        .map(|asked| asked.json()["currentVersion"].clone())
        .collect();
    assert_eq!(versions, [2, 3]);
}

#[tokio::test]
async fn a_push_that_waits_for_an_answer_holds_up_nobody_else_and_is_answered_once() {
    let application = Application::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        "\"incoming\"".into_response()
    })
    .await;
    let bench = bench(&application, &[]);
    push(&bench.alice, create("a", "old")).await;
    push(&bench.bob, retitle("a", 1, "Bob's")).await;
    let epoch = bench.alice.epoch().await;
    let query = format!(
        "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ results {{ {RESULT} }} }} }}"
    );
    let queue = json!({"input": numbered("phone", 1, &epoch, json!([retitle("a", 1, "Alice's")]))});
    let (asking, other) = tokio::join!(
        bench.alice.data(&query, queue.clone()),
        push(&bench.bob, create("b", "new")),
    );
    assert_eq!(other["status"], "APPLIED");
    assert_eq!(asking["pushChanges"]["results"][0]["status"], "MERGED");
    let again = bench.alice.data(&query, queue).await;
    assert_eq!(again["pushChanges"]["results"][0]["duplicate"], true);
    assert_eq!(application.asked().len(), 1, "a repeat asks nothing");
}

/// The receiver of `examples/`, as docs/conflicts.md starts it.
#[tokio::test]
async fn the_example_receiver_settles_a_conflict_and_refuses_strangers() {
    let mut node = std::process::Command::new("node")
        .arg("examples/webhook/receiver.mjs")
        .env("PORT", "0")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut printed = std::io::BufReader::new(node.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut printed, &mut line).unwrap();
    let port = line.trim().strip_prefix("listening on ").unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let directory = TempDir::new().unwrap();
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/webhook/model.graphql"
    );
    let webhook = format!("review={url}");
    let server = Server::dev_with(directory.path(), &["--model", model, "--webhook", &webhook]);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let document = json!({"title": "old", "audience": "team:demo"});
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status document { ... on Article { title } } } } }";
    let mut settled = Value::Null;
    for (client, change) in [
        (
            &alice,
            json!({"article": {"create": {"id": "a", "document": document}}}),
        ),
        (&bob, retitle("a", 1, "Bob's")),
        (&alice, retitle("a", 1, "Alice's")),
    ] {
        let mut data = client
            .data(query, json!({"input": {"changes": [change]}}))
            .await;
        settled = data["pushChanges"]["results"][0].take();
    }
    assert_eq!(
        settled,
        json!({"status": "MERGED", "document": {"title": "Bob's / Alice's"}})
    );
    let unsigned = reqwest::Client::new()
        .post(&url)
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    node.kill().unwrap();
    node.wait().unwrap();
}
