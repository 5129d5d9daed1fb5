//! Mutation ids: a push takes effect at most once, for ever, whatever happened to its answer.
//!
//! Every test counts with `minutesSpent`, which would reveal a change applied twice.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{team_task, two_users};
use crate::harness::{
    Client, Server, answer, create, numbered, push_query, statuses, update, update_from,
};

/// One more minute on `a`.
fn add() -> Value {
    update_from(
        "a",
        1,
        json!({"minutesSpent": 0}),
        json!({"minutesSpent": 1}),
    )
}

async fn minutes(client: &Client) -> i64 {
    client.task("a").await["minutesSpent"].as_i64().unwrap()
}

/// The extensions of the failure that a push must have.
async fn refused(client: &Client, input: &Value) -> Value {
    let mut answer = client.send(&push_query(), json!({"input": input})).await;
    assert_eq!(answer["data"]["pushChanges"], Value::Null, "{answer}");
    answer["errors"][0]["extensions"].take()
}

#[tokio::test]
async fn a_repeated_push_gets_its_first_outcomes_and_applies_nothing() {
    let directory = TempDir::new().unwrap();
    let (server, alice, bob) = two_users(&directory);
    let epoch = alice.epoch().await;
    alice.push_all(json!([team_task("a")])).await;
    let changes = json!([add(), update("nowhere", 1, json!({"title": "x"})), add()]);
    let push = numbered("phone", 1, &epoch, changes);
    let first = alice.push(push.clone()).await;
    assert_eq!(statuses(&first), ["APPLIED", "REJECTED", "APPLIED"]);
    assert_eq!(first["lastMutationId"], 3);
    assert_eq!(first["results"][2]["mutationId"], 3);
    bob.push_all(json!([update("a", 3, json!({"title": "By Bob"}))]))
        .await;

    let repeats = |answer: &Value| {
        assert_eq!(statuses(answer), ["APPLIED", "REJECTED", "APPLIED"]);
        assert_eq!(answer["lastMutationId"], 3);
        for (repeat, original) in answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .zip(first["results"].as_array().unwrap())
        {
            assert_eq!(repeat["duplicate"], true);
            assert_eq!(original["duplicate"], false);
            for name in ["version", "error", "mutationId", "documentId"] {
                assert_eq!(repeat[name], original[name], "{name}");
            }
        }
        let document = &answer["results"][0]["document"];
        assert_eq!(document["title"], "By Bob", "the document as it is now");
    };
    repeats(&alice.push(push.clone()).await);
    server.kill();
    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    repeats(&alice.push(push).await);
    assert_eq!(minutes(&alice).await, 2);
}

#[tokio::test]
async fn the_same_push_sent_many_times_at_once_is_applied_once() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    alice.push_all(json!([team_task("a")])).await;
    let push = numbered("phone", 1, &epoch, json!([add()]));
    let answers = futures_util::future::join_all((0..8).map(|_| alice.push(push.clone()))).await;
    let originals = answers
        .iter()
        .filter(|answer| answer["results"][0]["duplicate"] == false);
    assert_eq!(originals.count(), 1);
    assert_eq!(minutes(&alice).await, 1);
}

#[tokio::test]
async fn ids_that_do_not_follow_are_refused_and_nothing_is_consumed() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    let epoch = alice.epoch().await;
    alice.push_all(json!([team_task("a")])).await;
    let push = |first: i64, changes: Value| numbered("phone", first, &epoch, changes);
    let refusal = async |input: Value| refused(&alice, &input).await;

    let gap = json!({"code": "MUTATION_ID_GAP", "expected": 1});
    assert_eq!(refusal(push(2, json!([add()]))).await, gap);
    alice.push(push(1, json!([add(), add()]))).await;
    let gap = json!({"code": "MUTATION_ID_GAP", "expected": 3});
    assert_eq!(refusal(push(4, json!([add()]))).await, gap);

    let reused = json!({"code": "MUTATION_ID_REUSED"});
    let other = json!([add(), update("a", 1, json!({"title": "x"}))]);
    assert_eq!(refusal(push(1, other)).await, reused, "other content");
    assert_eq!(refusal(push(1, json!([add()]))).await, reused, "a part");
    assert_eq!(refusal(push(2, json!([add()]))).await, reused, "a part");
    let more = json!([add(), add(), add()]);
    assert_eq!(refusal(push(1, more)).await, reused, "and more");
    let mut atomic = push(1, json!([add(), add()]));
    atomic["atomic"] = json!(true);
    assert_eq!(refusal(atomic).await, reused, "atomic now");
    for first in [0, -1, i64::from(i32::MAX)] {
        let range = json!({"code": "MUTATION_ID_RANGE"});
        assert_eq!(refusal(push(first, json!([add(), add()]))).await, range);
    }

    alice.push(push(3, json!([add()]))).await;
    assert_eq!(
        refusal(push(1, json!([add(), add()]))).await,
        reused,
        "only the last push"
    );
    assert_eq!(minutes(&alice).await, 3);
    bob.push(push(1, json!([add()]))).await;
    assert_eq!(minutes(&alice).await, 4, "another user's ids are others");
}

#[tokio::test]
async fn ids_need_the_epoch_they_were_counted_in() {
    let directory = TempDir::new().unwrap();
    let (server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    let mut without = numbered("phone", 1, &epoch, json!([team_task("a")]));
    without["epoch"] = Value::Null;
    let required = json!({"code": "EPOCH_REQUIRED"});
    assert_eq!(refused(&alice, &without).await, required);
    let last = numbered("phone", 1, &epoch, json!([team_task("a")]));
    alice.push(last.clone()).await;
    let before = alice.pull(None).await;

    server.stop();
    answer(directory.path(), &["rotate-epoch"]);
    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    let new_epoch = alice.epoch().await;
    assert_ne!(new_epoch, epoch);
    let changed = json!({"code": "EPOCH_CHANGED", "epoch": new_epoch});
    let next = numbered("phone", 2, &epoch, json!([add()]));
    assert_eq!(refused(&alice, &next).await, changed);
    let repeat = alice.push(last).await;
    assert_eq!(
        repeat["results"][0]["duplicate"], true,
        "answered from memory"
    );

    let page = alice.pull(before["checkpoint"].as_str()).await;
    assert_eq!(page["reset"], true);
    assert_eq!(page["epoch"], *new_epoch);
    let stale = json!([update("a", -1, json!({"done": true}))]);
    let again = alice.push(numbered("phone-2", 1, &new_epoch, stale)).await;
    assert_eq!(
        statuses(&again),
        ["MERGED"],
        "stale, yet nobody else's field"
    );
}

#[tokio::test]
async fn a_repeat_shows_only_what_its_user_may_still_read() {
    let directory = TempDir::new().unwrap();
    let (server, alice, _) = two_users(&directory);
    let epoch = alice.epoch().await;
    let mine = create("mine", json!({"title": "mine"}));
    let push = numbered("phone", 1, &epoch, json!([team_task("a"), mine]));
    alice.push(push.clone()).await;
    let outside = server.client_with("alice", &json!({"teams": []}));
    let repeat = outside.push(push).await;
    assert_eq!(statuses(&repeat), ["APPLIED"; 2]);
    assert_eq!(repeat["results"][0]["document"], Value::Null);
    assert_eq!(repeat["results"][1]["document"]["title"], "mine");
}

#[tokio::test]
async fn the_viewer_learns_the_last_id_of_its_own_client() {
    let directory = TempDir::new().unwrap();
    let (_server, alice, bob) = two_users(&directory);
    let epoch = alice.epoch().await;
    let last = async |client: &Client| {
        let query = "{ viewer(clientId: \"phone\") { id lastMutationId } }";
        client.data(query, json!({})).await["viewer"].take()
    };
    assert_eq!(last(&alice).await["lastMutationId"], Value::Null);
    alice
        .push(numbered("phone", 1, &epoch, json!([team_task("a"), add()])))
        .await;
    assert_eq!(
        last(&alice).await,
        json!({"id": "alice", "lastMutationId": 2})
    );
    assert_eq!(
        last(&bob).await,
        json!({"id": "bob", "lastMutationId": null})
    );
}
