//! `pushChanges` through the real binary: the outcome of each change.
//!
//! [`grants`] tests who may do what, [`ids`] repeats and epochs, and `bad_input` malformed requests.

mod grants;
mod ids;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Server, create, delete, numbered, statuses, update, update_from};

/// A server on the example model with Alice and Bob, who share `team:demo`.
fn two_users(directory: &TempDir) -> (Server, Client, Client) {
    let server = Server::dev(directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    (server, alice, bob)
}

fn team_task(id: &str) -> Value {
    create(id, json!({"title": id, "audience": "team:demo"}))
}

#[tokio::test]
async fn every_change_has_its_own_outcome_with_the_document_as_it_is_now() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    alice.push_all(json!(["a", "b", "c"].map(team_task))).await;
    bob.push_all(json!([
        update("a", 1, json!({"done": true})),
        delete("c", 1)
    ]))
    .await;

    let results = json!(
        alice
            .push_all(json!([
                update("a", 1, json!({"title": "A"})),
                update("nowhere", 1, json!({"title": "x"})),
                update("c", 1, json!({"title": "C"})),
                update("b", 7, json!({"title": "x"})),
                update("b", 1, json!({"title": "B"})),
                delete("b", 2),
            ]))
            .await
    );
    assert_eq!(
        statuses(&results),
        [
            "MERGED", "REJECTED", "CONFLICT", "REJECTED", "APPLIED", "APPLIED"
        ]
    );
    assert_eq!(results[0]["version"], 3);
    assert_eq!(results[0]["document"]["title"], "A");
    assert_eq!(results[0]["document"]["done"], true);
    assert_eq!(results[1]["error"]["code"], "NOT_FOUND");
    assert_eq!(results[2]["document"], Value::Null);
    assert_eq!(results[3]["error"]["code"], "VERSION_UNKNOWN");
    assert_eq!(results[4]["version"], 2, "the change's own version");
    assert_eq!(
        results[4]["document"],
        Value::Null,
        "what the whole push left"
    );
}

#[tokio::test]
async fn an_edit_that_loses_every_field_is_a_conflict_that_shows_both_sides() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    alice.push_all(json!([team_task("a")])).await;
    bob.push_all(json!([update("a", 1, json!({"title": "Bob's"}))]))
        .await;
    let mut late = update("a", 1, json!({"title": "Alice's"}));
    late["task"]["update"]["changedAt"] = json!("2001-01-01T00:00:00.000Z");
    late["task"]["update"]["base"] = json!({"title": "a"});
    let result = &alice.push_all(json!([late])).await[0];
    assert_eq!(result["status"], "CONFLICT");
    assert_eq!(result["document"]["title"], "Bob's");
    assert_eq!(
        result["conflict"]["fields"],
        json!([{"field": "title", "base": "a", "mine": "Alice's", "theirs": "Bob's", "result": "Bob's", "taken": "THEIRS"}])
    );
}

#[tokio::test]
async fn edits_queued_offline_never_conflict_with_one_another() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    let edit = |title: &str| update("a", 1, json!({"title": title}));
    let first = alice
        .push(numbered("phone", 1, &epoch, json!([team_task("a")])))
        .await;
    assert_eq!(statuses(&first), ["APPLIED"]);
    let queue = json!([edit("1"), edit("2"), edit("3")]);
    let queued = alice.push(numbered("phone", 2, &epoch, queue)).await;
    assert_eq!(statuses(&queued), ["APPLIED"; 3]);
    let later = alice
        .push(numbered(
            "phone",
            5,
            &epoch,
            json!([edit("4"), delete("a", 1)]),
        ))
        .await;
    assert_eq!(statuses(&later), ["APPLIED"; 2]);
    assert_eq!(later["results"][1]["version"], 6);
}

#[tokio::test]
async fn edits_of_an_unanswered_create_name_base_zero() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    let queue = json!([
        team_task("a"),
        update("a", 0, json!({"title": "A"})),
        update("a", 0, json!({"done": true})),
    ]);
    let answer = alice.push(numbered("phone", 1, &epoch, queue)).await;
    assert_eq!(statuses(&answer), ["APPLIED"; 3]);
    let document = &answer["results"][0]["document"];
    assert_eq!(document["title"], "A");
    assert_eq!(document["syncVersion"], 3);

    let foreign = alice
        .push(numbered(
            "tablet",
            1,
            &epoch,
            json!([update("a", 0, json!({"title": "x"}))]),
        ))
        .await;
    assert_eq!(statuses(&foreign), ["CONFLICT"], "another client's create");
}

#[tokio::test]
async fn what_was_queued_on_a_rejected_create_is_a_conflict_and_the_rest_applies() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    let queue = json!([
        create("a", json!({"title": ""})),
        update("a", 0, json!({"title": "A"})),
        team_task("b"),
        delete("a", 0),
    ]);
    let answer = alice.push(numbered("phone", 1, &epoch, queue)).await;
    assert_eq!(
        statuses(&answer),
        ["REJECTED", "CONFLICT", "APPLIED", "CONFLICT"]
    );
    assert_eq!(answer["results"][0]["error"]["field"], "title");
    assert_eq!(alice.task("a").await, Value::Null);
}

#[tokio::test]
async fn counters_sets_and_texts_of_two_clients_are_joined() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    let epoch = alice.epoch().await;
    let seen = json!({"minutesSpent": 10, "labels": ["home", "old"], "notes": "One. Two. Three."});
    let mut document = seen.clone();
    document["title"] = json!("a");
    document["audience"] = json!("team:demo");
    alice.push_all(json!([create("a", document)])).await;

    let edit = |set: Value| json!([update_from("a", 1, seen.clone(), set)]);
    let alices = edit(
        json!({"minutesSpent": 15, "labels": ["home", "old", "work"], "notes": "ONE. Two. Three."}),
    );
    let bobs = edit(json!({"minutesSpent": 12, "labels": ["home"], "notes": "One. Two. THREE."}));
    let first = alice.push(numbered("phone", 1, &epoch, alices)).await;
    let second = bob.push(numbered("laptop", 1, &epoch, bobs)).await;
    assert_eq!(statuses(&first), ["APPLIED"]);
    assert_eq!(statuses(&second), ["MERGED"]);
    let merged = &second["results"][0]["document"];
    assert_eq!(merged["minutesSpent"], 17);
    assert_eq!(merged["labels"], json!(["home", "work"]));
    assert_eq!(merged["notes"], "ONE. Two. THREE.");
}

#[tokio::test]
async fn single_changes_of_many_clients_at_a_time_are_all_applied_each_under_its_own_version() {
    const PUSHES: i64 = 64;
    let directory = TempDir::new().unwrap();
    let (server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    alice.push_all(json!([team_task("shared")])).await;
    let users: Vec<_> = (0..4).map(|n| server.client(&format!("user{n}"))).collect();
    let pushes = (0..PUSHES).map(|n| {
        let (user, epoch) = (&users[n as usize % 4], &epoch);
        let add = update_from(
            "shared",
            1,
            json!({"minutesSpent": 0}),
            json!({"minutesSpent": 1}),
        );
        let own = create(&format!("own{n}"), json!({"title": "mine"}));
        let input = numbered(&format!("device{n}"), 1, epoch, json!([add, own]));
        async move { user.push(input).await }
    });
    let mut versions = BTreeSet::new();
    for answer in join_all(pushes).await {
        let outcome = &answer["results"][0];
        assert!(outcome["status"] == "APPLIED" || outcome["status"] == "MERGED");
        versions.insert(outcome["version"].as_i64().unwrap());
        assert_eq!(answer["results"][1]["status"], "APPLIED");
    }
    assert_eq!(versions, (2..=PUSHES + 1).collect());
    assert_eq!(alice.task("shared").await["minutesSpent"], PUSHES);
}

#[tokio::test]
async fn an_atomic_push_is_applied_whole_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    let mut bad = numbered(
        "phone",
        1,
        &epoch,
        json!([
            team_task("a"),
            update("nowhere", 1, json!({"title": "x"})),
            team_task("b")
        ]),
    );
    bad["atomic"] = json!(true);
    let answer = alice.push(bad.clone()).await;
    assert_eq!(statuses(&answer), ["REJECTED"; 3]);
    let codes: Vec<_> = (0..3)
        .map(|i| &answer["results"][i]["error"]["code"])
        .collect();
    assert_eq!(codes, ["ATOMIC_ABORTED", "NOT_FOUND", "ATOMIC_ABORTED"]);
    assert_eq!(answer["lastMutationId"], 3, "the ids are consumed");
    assert_eq!(alice.task("a").await, Value::Null);
    assert_eq!(alice.pull(None).await["changes"], json!([]));
    let again = alice.push(bad).await;
    assert_eq!(again["results"][0]["error"]["code"], "ATOMIC_ABORTED");
    assert_eq!(again["results"][0]["duplicate"], true);

    let mut good = numbered("phone", 4, &epoch, json!([team_task("a"), team_task("b")]));
    good["atomic"] = json!(true);
    assert_eq!(statuses(&alice.push(good).await), ["APPLIED"; 2]);
}

#[tokio::test]
async fn a_client_chooses_its_policy_only_where_the_model_allows_it() {
    const MODEL: &str = r#"
        extend schema @grant(scope: "all", access: WRITE)
        type Note @collection(name: "notes") @scope(by: "all") @conflict(policy: SERVER_WINS, clientMayChoose: [CLIENT_WINS]) {
          id: ID!
          text: String
        }
    "#;
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let note = |verb: &str, change: Value| json!([{"note": {verb: change}}]);
    let set = |text: &str| {
        note(
            "update",
            json!({"id": "n", "baseVersion": 1, "set": {"text": text}}),
        )
    };
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status document { ... on Note { text } } } } }";
    let push = async |client: &Client, changes: Value, policy: Value| {
        let input = json!({"input": {"changes": changes, "policy": policy}});
        client.send(query, input).await
    };
    push(
        &alice,
        note("create", json!({"id": "n", "document": {}})),
        Value::Null,
    )
    .await;
    push(&alice, set("first"), Value::Null).await;
    let refused = push(&bob, set("stale"), json!("LAST_WRITE_WINS")).await;
    assert_eq!(
        refused["errors"][0]["extensions"]["code"],
        "POLICY_NOT_ALLOWED"
    );
    let lost = &push(&bob, set("stale"), Value::Null).await["data"]["pushChanges"]["results"][0];
    assert_eq!(
        *lost,
        json!({"status": "CONFLICT", "document": {"text": "first"}})
    );
    let won =
        &push(&bob, set("chosen"), json!("CLIENT_WINS")).await["data"]["pushChanges"]["results"][0];
    assert_eq!(
        *won,
        json!({"status": "MERGED", "document": {"text": "chosen"}})
    );
}

#[tokio::test]
async fn a_deleted_id_comes_back_only_by_a_create_that_knows_of_the_tombstone() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    alice
        .push_all(json!([team_task("a"), delete("a", 1)]))
        .await;
    let mut again = team_task("a");
    again["task"]["create"]["baseVersion"] = json!(2);
    let results = json!(
        alice
            .push_all(json!([
                update("a", 2, json!({"title": "x"})),
                update("a", 1, json!({"title": "x"})),
                again,
                update("a", 1, json!({"title": "of the first life"})),
            ]))
            .await
    );
    assert_eq!(
        statuses(&results),
        ["CONFLICT", "CONFLICT", "APPLIED", "CONFLICT"]
    );
    assert_eq!(results[2]["version"], 3, "versions never repeat");
    assert_eq!(alice.task("a").await["title"], "a");
}

#[tokio::test]
async fn a_push_that_stands_twice_in_one_operation_runs_once() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    let query = "mutation($changes: [SyncChangeInput!]!) {
        pushChanges(input: {changes: $changes}) { lastMutationId }
        pushChanges(input: {changes: $changes}) { results { status } }
        later: pushChanges(input: {changes: $changes}) { results { status } }
    }";
    let data = alice
        .data(query, json!({"changes": [team_task("a")]}))
        .await;
    let payload = json!({"lastMutationId": null, "results": [{"status": "APPLIED"}]});
    assert_eq!(data["pushChanges"], payload);
    assert_ne!(
        data["later"]["results"][0]["status"], "REJECTED",
        "another name is another push, after the first"
    );
    assert_eq!(alice.pull(None).await["changes"][0]["documentId"], "a");
}

#[tokio::test]
async fn a_create_sent_again_undoes_nothing_that_others_did_since() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    let again = json!([create("a", json!({"title": "t", "audience": "team:demo"}))]);
    alice.push_all(again.clone()).await;
    let set = json!({"done": true, "labels": ["x"], "notes": "n"});
    bob.push_all(json!([update("a", 1, set)])).await;
    let result = &alice.push_all(again).await[0];
    assert_eq!(result["status"], "APPLIED", "all it says stands");
    assert_eq!(result["version"], 2, "nothing was written");
    let task = alice.task("a").await;
    assert_eq!(
        json!([task["done"], task["labels"], task["notes"]]),
        json!([true, ["x"], "n"])
    );
    let other = json!([create("a", json!({"title": "u", "audience": "team:demo"}))]);
    let result = &alice.push_all(other).await[0];
    assert_eq!(result["document"]["done"], true, "a default says nothing");
}
