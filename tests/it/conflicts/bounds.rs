//! What an inbox never does: grow without a bound, be read without one, open a settled conflict, or fail on a type that
//! is gone.
//!
//! The rules are the core's. Here they hold through the real binary, on both stores.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Gateways, conflicts, create, opened, push, resolution, resolve, retitle};
use crate::harness::{Client, Server};

on_both_stores! {
    a_document_keeps_a_bounded_number_of_one_users_conflicts
    a_page_of_conflicts_is_bounded_in_bytes_documents_included
    a_push_repeated_without_numbers_opens_nothing_that_was_settled
}

async fn results(client: &Client, changes: Vec<Value>) -> Vec<Value> {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code } } } }";
    let mut data = client
        .data(query, json!({"input": {"changes": changes}}))
        .await;
    serde_json::from_value(data["pushChanges"]["results"].take()).unwrap()
}

async fn a_document_keeps_a_bounded_number_of_one_users_conflicts(gateways: Gateways) {
    let (alice, bob) = (
        gateways.first().client("alice"),
        gateways.other().client("bob"),
    );
    let first = opened(&alice, &bob, "a").await;
    assert_eq!(first["status"], "CONFLICT");
    let mut reported = Vec::new();
    for half in [0..50, 50..100] {
        let titles = half.map(|i| retitle("a", 1, &format!("Title {i}")));
        reported.extend(results(&alice, titles.collect()).await);
    }
    let full = json!({"status": "REJECTED", "error": {"code": "INBOX_FULL"}});
    assert_eq!(
        reported
            .iter()
            .filter(|reported| reported["status"] == "CONFLICT")
            .count(),
        99
    );
    assert_eq!(reported[99], full);
    let other = vec![retitle("a", 1, "Another"), create("b", "new")];
    let reported = results(&alice, other.clone()).await;
    assert_eq!(
        (&reported[0], &reported[1]["status"]),
        (&full, &json!("APPLIED"))
    );
    let carol = gateways.other().client("carol");
    let reported = results(&carol, vec![other[0].clone()]).await;
    assert_eq!(reported[0]["status"], "CONFLICT", "it is not her bound");
    let settling = resolution(
        &first["conflict"]["conflictId"],
        2,
        json!({"take": "THEIRS"}),
    );
    assert_eq!(resolve(&bob, settling).await["status"], "APPLIED");
    assert_eq!(
        push(&alice, retitle("a", 1, "Another")).await["status"],
        "CONFLICT"
    );
}

/// The conflicts are small, and their documents have grown since.
async fn a_page_of_conflicts_is_bounded_in_bytes_documents_included(gateways: Gateways) {
    let (alice, bob) = (
        gateways.first().client("alice"),
        gateways.other().client("bob"),
    );
    let names: Vec<String> = (0..12).map(|i| format!("d{i}")).collect();
    for name in &names {
        opened(&alice, &bob, name).await;
        let text = "x".repeat(1_000_000);
        let grown =
            json!({"article": {"update": {"id": name, "baseVersion": 2, "set": {"text": text}}}});
        assert_eq!(push(&bob, grown).await["status"], "APPLIED");
    }
    let query = "query($after: String) { conflicts(first: 100, after: $after) { nodes { documentId current { ... on Article { text } } } pageInfo { hasNextPage endCursor } } }";
    let (mut pages, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = bob.data(query, json!({"after": after})).await["conflicts"].take();
        let nodes = page["nodes"].as_array().unwrap().iter();
        pages.push(
            nodes
                .map(|node| node["documentId"].clone())
                .collect::<Vec<_>>(),
        );
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(pages.concat(), names, "none is left out");
    assert_eq!(
        pages.iter().map(Vec::len).collect::<Vec<_>>(),
        [9, 3],
        "8 MiB, and what crosses them"
    );
}

async fn a_push_repeated_without_numbers_opens_nothing_that_was_settled(gateways: Gateways) {
    let (alice, bob) = (
        gateways.first().client("alice"),
        gateways.other().client("bob"),
    );
    let id = opened(&alice, &bob, "a").await["conflict"]["conflictId"].take();
    let waits = conflicts(&bob).await;
    let again = push(&alice, retitle("a", 1, "Alice's")).await;
    assert_eq!(again["conflict"]["conflictId"], id);
    assert_eq!(conflicts(&bob).await, waits, "openedAt included");
    let settling = resolution(&id, 2, json!({"article": {"title": "Both"}}));
    assert_eq!(resolve(&bob, settling.clone()).await["version"], 3);
    let again = push(&alice, retitle("a", 1, "Alice's")).await;
    assert_eq!(
        (&again["status"], &again["conflict"]["conflictId"]),
        (&json!("CONFLICT"), &id)
    );
    assert_eq!(conflicts(&bob).await, [Value::Null; 0]);
    assert_eq!(resolve(&bob, settling).await["duplicate"], true);
    assert_eq!(
        push(&bob, retitle("a", 3, "Bob's own")).await["status"],
        "APPLIED"
    );
    push(&alice, retitle("a", 1, "Alice's")).await;
    assert_eq!(conflicts(&bob).await[0]["id"], id, "this is another matter");
}

const NOTES: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE) @grant(scope: "demo", access: WRITE)
type Note @collection(name: "notes") @scope(by: "demo") @conflict(policy: MANUAL) { id: ID! title: String }
"#;
const ARTICLES: &str = r#"
type Article @collection(name: "articles") @scope(by: "{audience}") @conflict(policy: MANUAL) {
  id: ID!
  audience: String!
  title: String
  text: String
}
"#;

#[tokio::test]
async fn a_conflict_whose_type_left_the_model_is_in_nobodys_way_and_comes_back_with_it() {
    let directory = TempDir::new().unwrap();
    let both = format!("{NOTES}{ARTICLES}");
    let server = Server::dev_on(&directory, &both);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let id = opened(&alice, &bob, "a").await["conflict"]["conflictId"].take();
    let note = |base: i64, title: &str| json!({"note": {"update": {"id": "n", "baseVersion": base, "set": {"title": title}}}});
    let made = json!({"note": {"create": {"id": "n", "document": {"title": "old"}}}});
    let reported = results(&bob, vec![made, note(1, "Bob's")]).await;
    assert!(
        reported
            .iter()
            .all(|reported| reported["status"] == "APPLIED"),
        "{reported:?}"
    );
    assert_eq!(
        results(&alice, vec![note(1, "Alice's")]).await[0]["status"],
        "CONFLICT"
    );
    drop(server);

    let server = Server::dev_on(&directory, NOTES);
    let bob = server.client("bob");
    let listed = bob.data("{ conflicts { nodes { type documentId mine { __typename } } pageInfo { hasNextPage } } }", json!({})).await;
    let notes =
        json!([{"type": "Note", "documentId": "n", "mine": {"__typename": "SyncNoteState"}}]);
    assert_eq!(
        listed["conflicts"],
        json!({"nodes": notes, "pageInfo": {"hasNextPage": false}})
    );
    let query = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status } } }";
    for side in ["MINE", "THEIRS"] {
        let settling = resolution(&id, 2, json!({"take": side}));
        assert_eq!(bob.code(query, settling).await, "CONFLICT_NOT_FOUND");
    }
    drop(server);

    let server = Server::dev_on(&directory, &both);
    let settling = resolution(&id, 2, json!({"take": "MINE"}));
    let resolved = resolve(&server.client("bob"), settling).await;
    assert_eq!(
        (&resolved["status"], &resolved["document"]["title"]),
        (&json!("APPLIED"), &json!("Alice's"))
    );
}
