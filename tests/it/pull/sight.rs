//! What a caller sees: scopes that end and come back, memberships, and nothing of everything else.
//!
//! The parent tests the delivery of visible documents.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ids, project, task_in};
use crate::harness::{Client, Replica, Server, Socket};

#[tokio::test]
async fn a_scope_that_ends_is_reported_once_and_comes_back_from_its_start() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let of = |teams: Value| server.client_with("bob", &json!({"teams": teams}));
    let alice = server.client_with("alice", &json!({"teams": ["a", "b"]}));
    alice
        .push_all(json!([
            task_in("team:a", "in-a"),
            task_in("team:b", "in-b")
        ]))
        .await;
    let mut replica = Replica::default();
    replica.pull(&of(json!(["a", "b"]))).await;
    assert_eq!(replica.ids(), ["in-a", "in-b"]);

    let fewer = of(json!(["a"]));
    let page = fewer.pull(replica.checkpoint.as_deref()).await;
    assert_eq!(page["revokedScopes"], json!(["team:b"]));
    assert_eq!(page["reset"], false);
    replica.apply(&page);
    assert_eq!(replica.ids(), ["in-a"]);
    let page = fewer.pull(replica.checkpoint.as_deref()).await;
    assert_eq!(page["revokedScopes"], json!([]), "once");
    replica.apply(&page);

    let page = of(json!(["a", "b"]))
        .pull(replica.checkpoint.as_deref())
        .await;
    assert_eq!(page["reset"], false, "a new scope is no reset");
    assert_eq!(ids(&page), ["in-b"]);
    replica.apply(&page);
    assert_eq!(replica.ids(), ["in-a", "in-b"]);
}

#[tokio::test]
async fn anothers_document_and_a_missing_one_look_the_same_byte_for_byte() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    alice
        .push_all(json!([task_in("user:alice", "diary"), project("secret")]))
        .await;
    let linked = |id: &str, project: &str| {
        let document = json!({"title": "t", "projectId": project});
        crate::harness::create(id, document)
    };
    bob.push_all(json!([
        linked("to-hidden", "secret"),
        linked("to-nowhere", "nowhere")
    ]))
    .await;
    let query = "query($id: ID!) { task(id: $id) { id title project { id name } } }";
    let answer = async |client: &Client, id: &str| {
        let answer = client.text(query, json!({"id": id})).await;
        answer.expect("the gateway answers")
    };
    let missing = answer(&bob, "nowhere").await;
    assert_eq!(missing, r#"{"data":{"task":null}}"#);
    assert_eq!(answer(&bob, "diary").await, missing);
    assert_eq!(answer(&bob, &"x".repeat(300)).await, missing);
    assert_eq!(answer(&bob, "").await, missing);
    let [hidden, nowhere] = [
        answer(&bob, "to-hidden").await,
        answer(&bob, "to-nowhere").await,
    ];
    assert_eq!(hidden.replace("to-hidden", "to-nowhere"), nowhere);
    assert!(hidden.contains(r#""project":null"#) && !hidden.contains("errors"));

    alice.push_all(json!([linked("mine", "secret")])).await;
    let seen = answer(&alice, "mine").await;
    assert!(
        seen.contains(r#""project":{"id":"secret","name":"secret"}"#),
        "{seen}"
    );
}

/// Memberships that every user may write: the test is about their effect.
const TEAMS: &str = r#"
extend schema @grant(scope: "roster", access: WRITE)
type Member @collection(name: "members") @scope(by: "roster") @conflict(policy: MERGE, overlap: CLIENT_WINS)
  @grants(scope: "team:{teamId}", to: "{userId}", access: "{role}") {
  id: ID!
  teamId: String!
  userId: String!
  role: Role!
}
enum Role { READ WRITE }
type Note @collection(name: "notes") @scope(by: "team:{teamId}") @conflict(policy: MERGE, overlap: CLIENT_WINS) {
  id: ID!
  teamId: String!
  text: String
}
"#;

const CHANGES: &str =
    "{ changes { documentId kind scope } checkpoint hasMore reset revokedScopes }";

fn member(id: &str, user: &str, role: &str) -> Value {
    let document = json!({"teamId": "t", "userId": user, "role": role});
    json!({"member": {"create": {"id": id, "document": document}}})
}

fn note(id: &str) -> Value {
    json!({"note": {"create": {"id": id, "document": {"teamId": "t", "text": id}}}})
}

/// The status of each change, or the code of its rejection.
async fn push(client: &Client, changes: Value) -> Vec<String> {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code } } } }";
    let data = client
        .data(query, json!({"input": {"changes": changes}}))
        .await;
    let results = data["pushChanges"]["results"].as_array().unwrap().iter();
    results
        .map(|result| match &result["error"]["code"] {
            Value::String(code) => code.clone(),
            _ => result["status"].as_str().unwrap().to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn a_membership_opens_its_scope_and_its_end_closes_it() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, TEAMS);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let founding = json!([note("early"), member("m1", "alice", "WRITE"), note("first")]);
    assert_eq!(
        push(&alice, founding).await,
        ["FORBIDDEN", "APPLIED", "APPLIED"],
        "it serves the changes after it"
    );
    let pull = async |checkpoint: &Value| {
        let query = format!("query($c: Checkpoint) {{ changesSince(checkpoint: $c) {CHANGES} }}");
        bob.data(&query, json!({"c": checkpoint})).await["changesSince"].take()
    };
    let before = pull(&Value::Null).await;
    assert_eq!(ids(&before), ["m1"]);

    push(&alice, json!([member("m2", "bob", "READ")])).await;
    let joined = pull(&before["checkpoint"]).await;
    assert!(ids(&joined).contains(&"first"));
    assert_eq!(push(&bob, json!([note("by-bob")])).await, ["FORBIDDEN"]);
    let promoted =
        json!([{"member": {"update": {"id": "m2", "baseVersion": 1, "set": {"role": "WRITE"}}}}]);
    push(&alice, promoted).await;
    assert_eq!(push(&bob, json!([note("by-bob")])).await, ["APPLIED"]);

    let joined = pull(&joined["checkpoint"]).await;
    let ended = json!([{"member": {"delete": {"id": "m2", "baseVersion": 2}}}]);
    push(&alice, ended).await;
    let left = pull(&joined["checkpoint"]).await;
    assert_eq!(left["revokedScopes"], json!(["team:t"]));
    assert_eq!(push(&bob, json!([note("late")])).await, ["FORBIDDEN"]);
}

#[tokio::test]
async fn a_scope_stays_open_while_any_membership_opens_it() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, TEAMS);
    let (alice, bob, carol) = (
        server.client("alice"),
        server.client("bob"),
        server.client("carol"),
    );
    let scopes = async |client: &Client| {
        let data = client
            .data("{ viewer { readScopes writeScopes } }", json!({}))
            .await;
        let viewer = &data["viewer"];
        ["readScopes", "writeScopes"].map(|of| {
            let scopes = viewer[of].as_array().unwrap();
            scopes.contains(&json!("team:t"))
        })
    };
    let both = json!([member("m1", "bob", "READ"), member("m2", "bob", "WRITE")]);
    push(&alice, both).await;
    assert_eq!(scopes(&bob).await, [true, true]);
    let ended = json!([{"member": {"delete": {"id": "m2", "baseVersion": 1}}}]);
    push(&alice, ended).await;
    assert_eq!(
        scopes(&bob).await,
        [true, false],
        "the other one still reads"
    );
    let handed_on =
        json!([{"member": {"update": {"id": "m1", "baseVersion": 1, "set": {"userId": "carol"}}}}]);
    push(&alice, handed_on).await;
    assert_eq!(scopes(&bob).await, [false, false]);
    assert_eq!(scopes(&carol).await, [true, false]);
}

#[tokio::test]
async fn a_membership_of_an_aborted_push_opens_nothing() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, TEAMS);
    let alice = server.client("alice");
    let nowhere = json!({"member": {"delete": {"id": "nowhere", "baseVersion": 1}}});
    let changes = json!([member("m1", "alice", "WRITE"), note("n"), nowhere]);
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status document { id } error { code } } } }";
    let input = json!({"input": {"atomic": true, "changes": changes}});
    let data = alice.data(query, input).await;
    let results = data["pushChanges"]["results"].as_array().unwrap();
    let codes: Vec<_> = results.iter().map(|one| &one["error"]["code"]).collect();
    assert_eq!(codes, ["ATOMIC_ABORTED", "ATOMIC_ABORTED", "NOT_FOUND"]);
    assert!(results.iter().all(|one| one["document"].is_null()));
    assert_eq!(push(&alice, json!([note("n")])).await, ["FORBIDDEN"]);
}

#[tokio::test]
async fn an_open_subscription_follows_the_memberships_of_its_user() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, TEAMS);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    push(
        &alice,
        json!([member("m1", "alice", "WRITE"), note("before")]),
    )
    .await;
    let mut socket = Socket::connect(&bob).await;
    socket.subscribe("1", &format!("changes {CHANGES}")).await;
    assert_eq!(ids(&socket.page().await), ["m1"]);

    push(&alice, json!([member("m2", "bob", "READ")])).await;
    socket.page_with(|page| ids(page).contains(&"before")).await;
    push(&alice, json!([note("while")])).await;
    socket.page_with(|page| ids(page).contains(&"while")).await;

    let ended = json!([{"member": {"delete": {"id": "m2", "baseVersion": 1}}}]);
    push(&alice, ended).await;
    let left = socket
        .page_with(|page| page["revokedScopes"] != json!([]))
        .await;
    assert_eq!(left["revokedScopes"], json!(["team:t"]));
    push(
        &alice,
        json!([note("after"), member("m3", "carol", "READ")]),
    )
    .await;
    let last = socket.page_with(|page| ids(page).contains(&"m3")).await;
    assert_eq!(ids(&last), ["m3"], "nothing of the team any more");
}
