//! The inbox and the webhook through the real binary, on both stores.
//!
//! The tables of the core say what the policies do with single changes. Here is what users see of it.

/// One test for each story and store.
macro_rules! on_both_stores {
    ($($story:ident)*) => {$(
        mod $story {
            #[tokio::test]
            async fn embedded() {
                super::$story($crate::conflicts::Gateways::embedded()).await;
            }

            #[tokio::test]
            async fn mongodb() {
                super::$story($crate::conflicts::Gateways::mongodb().await).await;
            }
        }
    )*};
}

mod bounds;
mod convergence;
mod webhook;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server, Socket,
    mongod::{Deployment, fresh_database},
};

const CONFLICT: &str = "id type documentId openedAt openedBy currentVersion fields base { ... on SyncArticleState { title text } } mine { ... on SyncArticleState { title text } } theirs { ... on SyncArticleState { title text } } current { id syncVersion }";

const RESULT: &str = "type documentId status duplicate version document { ... on Article { title text } } conflict { conflictId fields { field mine theirs result taken rule } } error { code field }";

fn create(id: &str, title: &str) -> Value {
    let document = json!({"title": title, "text": "Words.", "audience": "team:demo"});
    json!({"article": {"create": {"id": id, "document": document}}})
}

fn retitle(id: &str, base: i64, title: &str) -> Value {
    json!({"article": {"update": {"id": id, "baseVersion": base, "set": {"title": title}, "base": {"title": "old"}}}})
}

async fn push(client: &Client, change: Value) -> Value {
    let query = format!(
        "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ results {{ {RESULT} }} }} }}"
    );
    let mut data = client
        .data(&query, json!({"input": {"changes": [change]}}))
        .await;
    data["pushChanges"]["results"][0].take()
}

async fn conflicts(client: &Client) -> Vec<Value> {
    let query = format!("{{ conflicts {{ nodes {{ {CONFLICT} }} }} }}");
    let mut data = client.data(&query, json!({})).await;
    serde_json::from_value(data["conflicts"]["nodes"].take()).unwrap()
}

fn resolve_query() -> String {
    format!(
        "mutation($input: ResolveConflictInput!) {{ resolveConflict(input: $input) {{ result {{ {RESULT} }} }} }}"
    )
}

fn resolution(conflict: &Value, base: i64, resolution: Value) -> Value {
    json!({"input": {"conflictId": conflict, "baseVersion": base, "resolution": resolution}})
}

async fn resolve(client: &Client, input: Value) -> Value {
    let mut data = client.data(&resolve_query(), input).await;
    data["resolveConflict"]["result"].take()
}

/// Gateways on one store: two on MongoDB, and the same one twice on the embedded store, which only one process can
/// open.
struct Gateways {
    servers: Vec<Server>,
    _directory: TempDir,
}

impl Gateways {
    fn embedded() -> Self {
        Self::start(1, &[])
    }

    async fn mongodb() -> Self {
        let url = Deployment::shared().await.url(&fresh_database());
        Self::start(2, &["--store", &url])
    }

    fn start(count: usize, arguments: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), count, arguments)
    }

    /// Starts it on the model in the directory, if there is one.
    fn start_in(directory: TempDir, count: usize, arguments: &[&str]) -> Self {
        let start = |_| Server::dev_with(directory.path(), arguments);
        Self {
            servers: (0..count).map(start).collect(),
            _directory: directory,
        }
    }

    fn first(&self) -> &Server {
        &self.servers[0]
    }

    fn other(&self) -> &Server {
        &self.servers[self.servers.len() - 1]
    }
}

on_both_stores! {
    a_conflict_waits_in_the_inbox_and_its_resolution_reaches_everybody
    an_inbox_is_paged_and_shows_each_only_what_is_theirs_to_resolve
    an_inbox_is_followed_live_from_any_gateway
}

/// Bob has given the article another title, which Alice did not know.
async fn opened(alice: &Client, bob: &Client, id: &str) -> Value {
    assert_eq!(push(alice, create(id, "old")).await["status"], "APPLIED");
    assert_eq!(
        push(bob, retitle(id, 1, "Bob's")).await["status"],
        "APPLIED"
    );
    push(alice, retitle(id, 1, "Alice's")).await
}

async fn a_conflict_waits_in_the_inbox_and_its_resolution_reaches_everybody(gateways: Gateways) {
    let (alice, bob) = (
        gateways.first().client("alice"),
        gateways.other().client("bob"),
    );
    let outcome = opened(&alice, &bob, "a").await;
    assert_eq!(outcome["status"], "CONFLICT");
    assert_eq!(outcome["document"]["title"], "Bob's");
    let field = json!({"field": "title", "mine": "Alice's", "theirs": "Bob's", "result": "Bob's", "taken": "THEIRS", "rule": "MANUAL"});
    assert_eq!(outcome["conflict"]["fields"], json!([field]));
    let id = outcome["conflict"]["conflictId"].clone();

    let mut inbox = conflicts(&bob).await;
    let opened_at = inbox[0]["openedAt"].take();
    assert!(opened_at.is_string());
    assert_eq!(
        inbox,
        [json!({
            "id": id, "type": "Article", "documentId": "a", "openedAt": null, "openedBy": "alice",
            "currentVersion": 2, "fields": ["title"], "base": {"title": "old", "text": null},
            "mine": {"title": "Alice's", "text": null}, "theirs": {"title": "Bob's", "text": "Words."},
            "current": {"id": "a", "syncVersion": 2},
        })]
    );

    let newer = json!({"article": {"update": {"id": "a", "baseVersion": 2, "set": {"text": "More words."}}}});
    assert_eq!(push(&bob, newer).await["status"], "APPLIED");
    assert_eq!(
        conflicts(&alice).await[0]["currentVersion"],
        3,
        "a later edit does not bury it"
    );
    let late = resolve(&bob, resolution(&id, 2, json!({"take": "MINE"}))).await;
    assert_eq!(
        (&late["status"], &late["version"]),
        (&json!("CONFLICT"), &json!(3))
    );
    assert_eq!(late["document"]["text"], "More words.");

    let edited = resolution(&id, 3, json!({"article": {"title": "Theirs and hers"}}));
    let resolved = resolve(&bob, edited.clone()).await;
    assert_eq!(
        (&resolved["status"], &resolved["duplicate"]),
        (&json!("APPLIED"), &json!(false))
    );
    assert_eq!(
        resolved["document"],
        json!({"title": "Theirs and hers", "text": "More words."})
    );
    let again = resolve(&bob, edited.clone()).await;
    assert_eq!(
        (&again["status"], &again["duplicate"], &again["version"]),
        (&json!("APPLIED"), &json!(true), &json!(4))
    );
    assert_eq!(
        alice.code(&resolve_query(), edited).await,
        "CONFLICT_NOT_FOUND",
        "it is settled for everybody else"
    );
    assert_eq!(conflicts(&alice).await, [Value::Null; 0]);
    let page = alice.pull(None).await;
    assert_eq!(page["changes"].as_array().unwrap().len(), 1);
    assert_eq!(page["changes"][0]["version"], 4);
}

async fn an_inbox_is_paged_and_shows_each_only_what_is_theirs_to_resolve(gateways: Gateways) {
    let (alice, bob) = (
        gateways.first().client("alice"),
        gateways.other().client("bob"),
    );
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let outcome = opened(&alice, &bob, name).await;
        ids.push(outcome["conflict"]["conflictId"].clone());
    }
    let query = "query($after: String) { conflicts(first: 2, after: $after) { edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }";
    let first = bob.data(query, json!({})).await["conflicts"].take();
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    assert_eq!(first["pageInfo"]["endCursor"], first["edges"][1]["cursor"]);
    let rest = bob
        .data(query, json!({"after": first["pageInfo"]["endCursor"]}))
        .await["conflicts"]
        .take();
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
    let shown = [&first["edges"][0], &first["edges"][1], &rest["edges"][0]]
        .map(|edge| edge["node"]["id"].clone());
    assert_eq!(shown.to_vec(), ids, "the oldest first");
    let carol = gateways.first().client_with("carol", &json!({}));
    assert_eq!(conflicts(&carol).await, [Value::Null; 0]);
    let hers = resolution(&ids[0], 2, json!({"delete": true}));
    let none = resolution(&json!("none"), 2, json!({"delete": true}));
    let mut answers = Vec::new();
    for input in [hers, none] {
        answers.push(carol.send(&resolve_query(), input).await);
    }
    assert_eq!(
        answers[0], answers[1],
        "a stranger's conflict and none look the same"
    );
    assert_eq!(
        answers[0]["errors"][0]["extensions"]["code"],
        "CONFLICT_NOT_FOUND"
    );

    let away = json!({"article": {"update": {"id": "b", "baseVersion": 2, "set": {"audience": "user:bob"}}}});
    assert_eq!(push(&bob, away).await["status"], "APPLIED");
    let left = conflicts(&alice).await;
    let left: Vec<&Value> = left
        .iter()
        .map(|conflict| &conflict["documentId"])
        .collect();
    assert_eq!(left, ["a", "c"], "a conflict goes where its document goes");
    assert_eq!(conflicts(&bob).await.len(), 3);
    for (query, code) in [
        ("{ conflicts(first: 0) { nodes { id } } }", "BAD_LIMIT"),
        ("{ conflicts(first: 101) { nodes { id } } }", "BAD_LIMIT"),
        (
            "{ conflicts(after: \"?\") { nodes { id } } }",
            "BAD_USER_INPUT",
        ),
    ] {
        assert_eq!(bob.code(query, json!({})).await, code, "{query}");
    }
    let says_nothing = resolution(&ids[0], 2, json!({"delete": false}));
    assert_eq!(
        bob.code(&resolve_query(), says_nothing).await,
        "BAD_USER_INPUT"
    );
}

async fn an_inbox_is_followed_live_from_any_gateway(gateways: Gateways) {
    let (alice, bob) = (
        gateways.first().client("alice"),
        gateways.other().client("bob"),
    );
    let mut socket = Socket::connect(&bob).await;
    socket
        .subscribe("1", "conflicts(first: 10) { nodes { id documentId } }")
        .await;
    let mut page = async || {
        let mut message = socket.next().await;
        assert_eq!(message["type"], "next", "{message}");
        message["payload"]["data"]["conflicts"]["nodes"].take()
    };
    assert_eq!(page().await, json!([]), "the first page comes at once");
    let outcome = opened(&alice, &bob, "a").await;
    let id = outcome["conflict"]["conflictId"].clone();
    assert_eq!(page().await, json!([{"id": id, "documentId": "a"}]));
    let resolved = resolve(&alice, resolution(&id, 2, json!({"take": "THEIRS"}))).await;
    assert_eq!(
        (&resolved["status"], &resolved["version"]),
        (&json!("APPLIED"), &json!(2))
    );
    assert_eq!(page().await, json!([]));
}

/// The open conflicts, each with its document's present version.
async fn conflict_ids(client: &Client) -> Vec<(Value, i64)> {
    let query = "{ conflicts(first: 100) { nodes { id currentVersion } } }";
    let data = client.data(query, json!({})).await;
    let nodes = data["conflicts"]["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| (node["id"].clone(), node["currentVersion"].as_i64().unwrap()))
        .collect()
}

#[tokio::test]
async fn devices_under_all_policies_converge_on_the_embedded_store() {
    converge(1, &[], 1).await;
}

#[tokio::test]
async fn devices_under_all_policies_converge_on_two_gateways_on_mongodb() {
    let url = Deployment::shared().await.url(&fresh_database());
    converge(2, &["--store", &url], 2).await;
}

async fn converge(gateways: usize, store: &[&str], seed: u64) {
    let application = convergence::application().await;
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("model.graphql"), convergence::model()).unwrap();
    let webhook = format!("review={}", application.url);
    let arguments = [&["--webhook", &webhook], store].concat();
    let gateways = Gateways::start_in(directory, gateways, &arguments);
    convergence::run(&gateways, seed).await;
    assert!(!application.asked().is_empty(), "the application was asked");
}
