//! Who may see and do what in a push, and what others learn of it.
//!
//! `pull::sight` tests grants of memberships.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{team_task, two_users};
use crate::harness::{Replica, create, delete, statuses, update};

#[tokio::test]
async fn an_id_taken_out_of_sight_is_rejected_and_shows_nothing() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    alice
        .push_all(json!([create("diary", json!({"title": "Secret"}))]))
        .await;
    let results = bob
        .push_all(json!([
            create("diary", json!({"title": "Mine"})),
            update("diary", 0, json!({"title": "x"})),
            delete("diary", 1),
        ]))
        .await;
    let taken = &results[0];
    assert_eq!(taken["status"], "REJECTED");
    assert_eq!(taken["error"]["code"], "ID_TAKEN");
    assert_eq!(
        (&taken["document"], &taken["version"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(results[2]["error"]["code"], "NOT_FOUND");
    assert!(!json!(results).to_string().contains("Secret"));
    assert_eq!(alice.task("diary").await["title"], "Secret");
}

#[tokio::test]
async fn a_scope_that_is_only_read_takes_no_writes() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    alice.push_all(json!([team_task("a")])).await;
    let results = json!(
        alice
            .push_all(json!([
                create("p", json!({"title": "p", "audience": "public"})),
                update("a", 1, json!({"audience": "public"})),
                create("t", json!({"title": "t", "audience": "team:other"})),
                update("a", 1, json!({"title": "A"})),
            ]))
            .await
    );
    assert_eq!(
        statuses(&results),
        ["REJECTED", "REJECTED", "REJECTED", "APPLIED"]
    );
    for refused in &results.as_array().unwrap()[..3] {
        assert_eq!(refused["error"]["code"], "FORBIDDEN");
    }
    assert_eq!(alice.task("a").await["audience"], "team:demo");
}

#[tokio::test]
async fn a_client_can_distinguish_a_withdrawn_scope_from_an_unknown_document_and_the_outcome_does_not()
 {
    let directory = TempDir::new().unwrap();
    let (server, alice, bob) = two_users(&directory);
    alice.push_all(json!([team_task("a")])).await;
    let mut bobs = Replica::default();
    bobs.pull(&bob).await;
    // He has written to it, so that the gateway has a record of him in its entry.
    bob.push_all(json!([update("a", 1, json!({"title": "bob's"}))]))
        .await;

    let bob = server.client_with("bob", &json!({"teams": []}));
    let outcomes = async |changes: [Value; 2]| {
        let mut outcomes = bob.push_all(json!(changes)).await;
        outcomes[1]["documentId"] = json!("a");
        outcomes
    };
    let edited = ["a", "never"].map(|id| update(id, 2, json!({"title": "x"})));
    let deleted = ["a", "never"].map(|id| delete(id, 2));
    for changes in [edited, deleted] {
        let outcomes = outcomes(changes).await;
        assert_eq!(outcomes[0]["error"]["code"], "NOT_FOUND");
        assert_eq!(outcomes[0], outcomes[1]);
    }
    // The two places where the client finds the scope of its own copy.
    let page = bob.pull(bobs.checkpoint.as_deref()).await;
    assert_eq!(page["revokedScopes"], json!(["team:demo"]));
    let viewer = bob.data("{ viewer { readScopes } }", json!({})).await;
    let scopes = viewer["viewer"]["readScopes"].as_array().unwrap();
    assert!(!scopes.contains(&json!("team:demo")), "{scopes:?}");
}

#[tokio::test]
async fn a_document_that_leaves_a_scope_is_revoked_there_and_nothing_shows_where_it_went() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    alice.push_all(json!([team_task("a")])).await;
    let (mut alices, mut bobs) = (Replica::default(), Replica::default());
    alices.pull(&alice).await;
    bobs.pull(&bob).await;
    assert_eq!(bobs.ids(), ["a"]);

    let moved = json!([update(
        "a",
        1,
        json!({"audience": "user:alice", "title": "Mine"})
    )]);
    assert_eq!(alice.push_all(moved).await[0]["status"], "APPLIED");
    let page = bob.pull(bobs.checkpoint.as_deref()).await;
    let revoke = &page["changes"][0];
    assert_eq!(revoke["kind"], "REVOKE");
    assert_eq!(revoke["scope"], "team:demo");
    assert_eq!(revoke["document"], Value::Null);
    assert!(!page["changes"].to_string().contains("user:alice"));
    bobs.apply(&page);
    assert_eq!(bobs.ids(), [""; 0]);
    alices.pull(&alice).await;
    assert_eq!(alices.task("a")["title"], "Mine", "who sees both keeps it");

    let back = json!([update("a", 2, json!({"audience": "team:demo"}))]);
    alice.push_all(back).await;
    bobs.pull(&bob).await;
    alices.pull(&alice).await;
    assert_eq!((bobs.ids(), alices.ids()), (vec!["a"], vec!["a"]));
}
