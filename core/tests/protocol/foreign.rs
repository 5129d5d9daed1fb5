//! Writes of other services, and which changes take them over (protocol 4.6).

use serde_json::{Value as Json, json};

use crate::{
    drafts::{create, delete, update},
    senders::{by, summaries},
    store::Store,
};

fn titled(scope: &str, title: &str) -> Json {
    json!({ "audience": scope, "title": title })
}

/// Bob's team `red` has a task, which Alice may read. Another service has written to it since.
fn with_a_foreign_edit() -> Store {
    let mut store = Store::new("MERGE");
    store.teams("bob", &["red"]);
    let hire =
        json!({ "audience": "user:bob", "team": "red", "person": "alice", "access": "READ" });
    let made = [
        create("t", titled("team:red", "Tea")),
        create("m", hire).of("Member"),
    ];
    let answer = store.push(&by("bob", "b").from(1), &made);
    assert_eq!(summaries(&answer), ["APPLIED 1"; 2]);
    store.elsewhere(&create("t", titled("team:red", "Coffee")));
    store
}

fn title(store: &Store) -> (i32, Json) {
    let entry = store.task("t");
    let title = entry.body.as_ref().expect("it is alive")["title"].as_str();
    (entry.version.0, json!(title))
}

#[test]
fn a_change_that_may_not_be_made_takes_nothing_over() {
    let mut store = with_a_foreign_edit();
    let written = store.log.len();
    let changes = [
        update("t", 1, json!({ "done": true })),
        update("t", 1, json!({ "audience": "user:alice" })),
        delete("t", 1),
        create("t", titled("all", "x")),
    ];
    for (user, codes) in [
        ("carol", ["NOT_FOUND", "NOT_FOUND", "NOT_FOUND", "ID_TAKEN"]),
        ("alice", ["FORBIDDEN"; 4]),
    ] {
        let answer = store.push(&by(user, "phone").from(1), &changes);
        let rejected = codes.map(|code| format!("REJECTED {code}"));
        assert_eq!(summaries(&answer), rejected);
        for outcome in answer.expect("it is answered").outcomes {
            let shown = outcome.document.map(|entry| {
                let title = &entry.body.as_ref().expect("it is alive")["title"];
                (entry.version.0, title.as_str().map(str::to_owned))
            });
            let stored = (user == "alice").then(|| (1, Some("Tea".to_owned())));
            assert_eq!(shown, stored, "no version is shown that is not written");
            let version = outcome.version.map(|version| version.0);
            assert_eq!(version, stored.map(|(version, _)| version));
        }
    }
    assert_eq!(
        (store.log.len(), title(&store)),
        (written, (1, json!("Tea")))
    );

    let answer = store.push(
        &by("bob", "b").from(3),
        &[update("t", 1, json!({ "done": true }))],
    );
    assert_eq!(summaries(&answer), ["MERGED 3"]);
    assert_eq!(title(&store), (3, json!("Coffee")));
}

#[test]
fn a_change_into_a_forbidden_scope_takes_nothing_over() {
    let mut store = with_a_foreign_edit();
    let moved = update("t", 1, json!({ "audience": "user:carol" }));
    let answer = store.push(&by("bob", "b").from(3), &[moved]);
    assert_eq!(summaries(&answer), ["REJECTED FORBIDDEN"]);
    assert_eq!(title(&store), (1, json!("Tea")));
}

#[test]
fn what_a_change_takes_over_stays_though_its_atomic_push_fails() {
    let mut store = with_a_foreign_edit();
    let changes = [
        update("t", 2, json!({ "done": true })),
        update("none", 1, json!({ "done": true })),
    ];
    let answer = store.push(&by("bob", "b").from(3).atomic(), &changes);
    let codes = ["REJECTED ATOMIC_ABORTED", "REJECTED NOT_FOUND"];
    assert_eq!(summaries(&answer), codes);
    let outcome = &answer.expect("it is answered").outcomes[0];
    assert_eq!(outcome.version.map(|version| version.0), Some(2));
    assert_eq!(title(&store), (2, json!("Coffee")));
    assert_eq!(
        store
            .task("t")
            .body
            .as_ref()
            .expect("it is alive")
            .get("done"),
        None
    );
}

#[test]
fn one_transaction_takes_over_once_in_either_order() {
    let mut store = with_a_foreign_edit();
    let (alice, bob) = (by("alice", "phone").from(1), by("bob", "b").from(3));
    let edit = [update("t", 1, json!({ "done": true }))];
    let answers = store.group(&[(&alice, &edit), (&bob, &edit)]);
    assert_eq!(summaries(&answers[0]), ["REJECTED FORBIDDEN"]);
    assert_eq!(summaries(&answers[1]), ["MERGED 3"]);
    let shown = &answers[0].as_ref().expect("it is answered").outcomes[0];
    let document = shown.document.as_ref().expect("she may read it");
    assert_eq!(document.version.0, 3, "what the transaction left");
}

#[test]
fn a_membership_counts_from_where_it_is_taken_over() {
    let mut store = with_a_foreign_edit();
    let promoted =
        json!({ "audience": "user:bob", "team": "red", "person": "alice", "access": "WRITE" });
    store.elsewhere(&create("m", promoted).of("Member"));
    let edit = update("t", 1, json!({ "stars": 5 }));
    let touch = |base| update("m", base, json!({ "team": "red" })).of("Member");
    let answer = store.push(&by("alice", "phone").from(1), &[touch(1), edit.clone()]);
    assert_eq!(
        summaries(&answer),
        ["REJECTED NOT_FOUND", "REJECTED FORBIDDEN"]
    );

    let answer = store.push(&by("bob", "b").from(3), &[touch(2)]);
    assert_eq!(summaries(&answer), ["APPLIED 3"]);
    let answer = store.push(&by("alice", "phone").from(3), &[edit]);
    assert_eq!(summaries(&answer), ["MERGED 3"]);
}
