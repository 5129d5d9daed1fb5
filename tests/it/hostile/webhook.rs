//! Members who try to have their own stale edits decided by `overlap`, in their favour, instead of by the application.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Application, CONFIG, Client, Server, configured, numbered},
    serve::{client, token},
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Article @collection(name: "articles") @scope(by: "public")
  @conflict(policy: WEBHOOK, webhook: "review", overlap: CLIENT_WINS) {
  id: ID!
  title: String!
}
"#;

const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status document { ... on Article { title } } } } }";

struct Bench {
    _server: Server,
    _directory: TempDir,
    alice: Client,
    bob: Client,
}

/// One question at a time, with a second for each answer or with `timeout`.
fn bench(url: &str, timeout: &str) -> Bench {
    bench_with(url, timeout, "")
}

fn bench_with(url: &str, timeout: &str, settings: &str) -> Bench {
    let webhooks = format!(
        "[webhooks]\nurls = {{ review = \"{url}\" }}\ntimeout = \"{timeout}\"\nconcurrency = 1\nsecret = \"whsec_{}\"\n",
        "A".repeat(32)
    );
    let directory = configured(&format!("{CONFIG}{webhooks}{settings}"));
    std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
    let server = Server::serve(&directory);
    let [alice, bob] = ["alice", "bob"].map(|user| client(&server, &token(&directory, user)));
    Bench {
        _server: server,
        _directory: directory,
        alice,
        bob,
    }
}

fn create(id: &str) -> Value {
    json!({"article": {"create": {"id": id, "document": {"title": "old"}}}})
}

fn retitle(id: &str, base: i64, title: &str) -> Value {
    json!({"article": {"update": {"id": id, "baseVersion": base, "set": {"title": title}}}})
}

async fn push(client: &Client, changes: Vec<Value>) -> Vec<Value> {
    let mut data = client
        .data(PUSH, json!({"input": {"changes": changes}}))
        .await;
    serde_json::from_value(data["pushChanges"]["results"].take()).unwrap()
}

impl Bench {
    /// Bob's titles of these articles, which Alice has not seen.
    async fn retitled(&self, ids: &[String]) {
        push(&self.alice, ids.iter().map(|id| create(id)).collect()).await;
        let edits = ids.iter().map(|id| retitle(id, 1, "Bob's")).collect();
        for outcome in push(&self.bob, edits).await {
            assert_eq!(outcome["status"], "APPLIED");
        }
    }

    /// The outcome of one stale edit of Alice's.
    async fn stale_edit(&self) -> Value {
        self.retitled(&["a".to_owned()]).await;
        push(&self.alice, vec![retitle("a", 1, "Alice's")]).await[0].take()
    }

    async fn title(&self, id: &str) -> Value {
        let query = "query($id: ID!) { article(id: $id) { title } }";
        self.bob.data(query, json!({"id": id})).await["article"]["title"].take()
    }
}

/// Answers are kept for the retry, so that a push of many questions succeeds.
#[tokio::test]
async fn who_crowds_the_webhook_waits_and_gets_no_policy() {
    let application = Application::start(|_| {
        std::thread::sleep(Duration::from_millis(1_500));
        "\"current\"".into_response()
    })
    .await;
    let bench = bench(&application.url, "10s");
    let ids: Vec<String> = (0..10).map(|n| format!("a{n}")).collect();
    bench.retitled(&ids).await;
    let epoch = bench.alice.epoch().await;
    let edits: Vec<Value> = ids.iter().map(|id| retitle(id, 1, "Alice's")).collect();
    let input = json!({"input": numbered("phone", 1, &epoch, json!(edits))});
    let mut crowded = 0;
    let results = loop {
        let mut answer = bench.alice.send(PUSH, input.clone()).await;
        if answer["errors"].is_null() {
            break answer["data"]["pushChanges"]["results"].take();
        }
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "OVERLOADED", "{answer}");
        assert!(extensions["retryAfter"].is_number(), "{answer}");
        for id in &ids {
            assert_eq!(bench.title(id).await, "Bob's");
        }
        crowded += 1;
    };
    assert!(crowded > 0);
    let results = results.as_array().unwrap().iter();
    assert!(results.clone().count() == 10 && results.clone().all(|it| it["status"] == "CONFLICT"));
    assert_eq!(application.asked().len(), 10, "each question is asked once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_question_that_the_application_cannot_answer_is_not_decided_for_its_sender() {
    let late = || {
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_secs(3)));
        "\"incoming\"".into_response()
    };
    let answers: [fn() -> Response; 4] = [
        || StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        || StatusCode::BAD_REQUEST.into_response(),
        || StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        late,
    ];
    for answer in answers {
        let application = Application::start(move |_| answer()).await;
        let bench = bench(&application.url, "1s");
        let outcome = bench.stale_edit().await;
        assert_eq!(outcome["status"], "CONFLICT", "{outcome}");
        assert_eq!(bench.title("a").await, "Bob's");
    }
}

#[tokio::test]
async fn an_application_that_is_down_leaves_it_to_the_overlap() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let bench = bench(&url, "1s");
    assert_eq!(bench.stale_edit().await["status"], "MERGED");
    assert_eq!(bench.title("a").await, "Alice's");
}

/// Each time the application is asked, the document changes: the sender may have a second device for that.
#[tokio::test]
async fn a_document_that_moves_during_each_question_stays_as_it_is() {
    let mover: Arc<OnceLock<Client>> = Arc::default();
    let moves = Arc::clone(&mover);
    let application = Application::start(move |question| {
        let version = question["currentVersion"].as_i64().unwrap();
        let moves = Arc::clone(&moves);
        let moved = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let edit = retitle("a", version, &format!("Move {version}"));
            runtime
                .unwrap()
                .block_on(push(moves.get().unwrap(), vec![edit]))
        });
        assert_eq!(moved.join().unwrap()[0]["status"], "APPLIED");
        "\"incoming\"".into_response()
    })
    .await;
    let bench = bench(&application.url, "10s");
    let second_device = Client {
        http: reqwest::Client::new(),
        ..bench.alice.clone()
    };
    assert!(mover.set(second_device).is_ok());
    assert_eq!(bench.stale_edit().await["status"], "CONFLICT");
    let rounds = application.asked().len();
    assert_eq!(bench.title("a").await, format!("Move {}", rounds + 1));
}

/// The questions of a push hold the documents that it meets, for as long as the application takes.
#[tokio::test]
async fn questions_about_large_documents_are_counted_for_the_one_who_asks() {
    let application = Application::answering(json!("current")).await;
    let settings = "[limits]\nanswer_bytes = 12582912\nuser_buffer_bytes = 12582912\n";
    let bench = bench_with(&application.url, "10s", settings);
    let large = "x".repeat(900_000);
    let ids: Vec<String> = (0..16).map(|n| format!("a{n}")).collect();
    for id in &ids {
        push(&bench.alice, vec![create(id)]).await;
        push(&bench.bob, vec![retitle(id, 1, &large)]).await;
    }
    let edits: Vec<Value> = ids.iter().map(|id| retitle(id, 1, "Alice's")).collect();
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let code = bench
        .alice
        .code(query, json!({"input": {"changes": edits}}))
        .await;
    assert_eq!(code, "RATE_LIMITED");
    assert!(application.asked().is_empty());
    let outcomes = bench
        .alice
        .data(query, json!({"input": {"changes": edits[..4]}}))
        .await;
    let statuses = vec![json!({"status": "CONFLICT"}); 4];
    assert_eq!(outcomes["pushChanges"]["results"], json!(statuses));
    assert_eq!(application.asked().len(), 4);
}
