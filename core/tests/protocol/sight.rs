//! Who may change what, and what the answers reveal (protocol 4.3, 4.5, 4.6).

use serde_json::{Value as Json, json};
use tidegate_core::push::PushAnswer;

use crate::{
    drafts::{Draft, create, delete, update},
    senders::{by, summaries},
    store::Store,
};

fn in_scope(scope: &str) -> Json {
    json!({ "audience": scope, "title": "x" })
}

fn moved(id: &str, base: i32, scope: &str) -> Draft {
    update(id, base, json!({ "audience": scope }))
}

fn membership(team: &str, person: &str, access: &str) -> Json {
    json!({ "team": team, "person": person, "access": access })
}

fn shown(answer: &PushAnswer) -> Vec<bool> {
    let outcomes = &answer.as_ref().expect("the push is answered").outcomes;
    outcomes
        .iter()
        .map(|outcome| outcome.document.is_some())
        .collect()
}

/// A store where Bob's document `secret` and the tombstone `gone` are out of Alice's sight.
fn with_a_secret() -> Store {
    let mut store = Store::new("CLIENT_WINS");
    let bobs = in_scope("user:bob");
    let changes = [
        create("secret", bobs.clone()),
        create("gone", bobs),
        delete("gone", 0),
    ];
    let _ = store.push(&by("bob", "phone").from(1), &changes);
    store
}

#[test]
fn a_document_out_of_sight_is_answered_as_one_that_does_not_exist() {
    let mut store = with_a_secret();
    let mut answers = |id: &str, first: i32| -> Vec<String> {
        let changes: Vec<Draft> = [-1, 0, 1, 2, 99]
            .into_iter()
            .flat_map(|base| {
                [
                    update(id, base, json!({ "title": "y" })),
                    update(id, base, json!({ "stars": "bad" })),
                    delete(id, base),
                ]
            })
            .collect();
        let answer = store.push(&by("alice", "phone").from(first), &changes);
        assert!(shown(&answer).iter().all(|shown| !shown));
        let outcome = answer.expect("the push is answered");
        outcome
            .outcomes
            .iter()
            .map(|o| {
                format!(
                    "{:?} {:?} {:?} {:?}",
                    o.status, o.version, o.error, o.conflict
                )
            })
            .collect()
    };
    let of_nothing = answers("nothing", 1);
    assert_eq!(answers("secret", 16), of_nothing);
    assert_eq!(answers("gone", 31), of_nothing);
}

#[test]
fn only_a_create_betrays_that_an_id_exists_out_of_sight() {
    let mut store = with_a_secret();
    for (first, id) in [(1, "secret"), (2, "gone")] {
        let answer = store.push(
            &by("alice", "phone").from(first),
            &[create(id, in_scope("all"))],
        );
        assert_eq!(
            (summaries(&answer), shown(&answer)),
            (vec!["REJECTED ID_TAKEN".into()], vec![false])
        );
    }
}

#[test]
fn write_is_needed_where_the_document_is() {
    let mut store = Store::new("CLIENT_WINS");
    store.teams("bob", &["red"]);
    let hire = create("m1", membership("red", "alice", "READ")).of("Member");
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[create("a", in_scope("team:red")), hire],
    );
    let changes = [
        update("a", 1, json!({ "title": "y" })),
        delete("a", 1),
        moved("a", 1, "all"),
        create("a", in_scope("all")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(summaries(&answer), ["REJECTED FORBIDDEN"; 4]);
    assert_eq!(
        shown(&answer),
        [true; 4],
        "a rejected edit shows the server's document"
    );
}

#[test]
fn write_is_needed_where_the_document_goes() {
    let mut store = Store::new("CLIENT_WINS");
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("all"))],
    );
    for (first, scope) in [(2, "public"), (3, "user:bob"), (4, "team:red")] {
        let changes = [moved("a", 1, scope)];
        assert_eq!(
            summaries(&store.push(&by("alice", "phone").from(first), &changes)),
            ["REJECTED FORBIDDEN"]
        );
    }
    let create = [create("b", in_scope("public"))];
    assert_eq!(
        summaries(&store.push(&by("alice", "phone").from(5), &create)),
        ["REJECTED FORBIDDEN"]
    );
}

#[test]
fn a_scope_that_cannot_be_made_is_rejected() {
    let mut store = Store::new("CLIENT_WINS");
    let long = "x".repeat(257);
    let scopes = ["", long.as_str(), "100%", "user:%3a"];
    for (first, scope) in (1..).zip(scopes) {
        let answer = store.push(
            &by("alice", "phone").from(first),
            &[create("a", in_scope(scope))],
        );
        assert_eq!(summaries(&answer), ["REJECTED INVALID_SCOPE"]);
    }
}

#[test]
fn a_membership_made_by_a_change_serves_the_next_one() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", in_scope("team:red")),
        create("m1", membership("red", "alice", "WRITE")).of("Member"),
        create("b", in_scope("team:red")),
        delete("m1", 0).of("Member"),
        update("b", 0, json!({ "title": "y" })),
        create("c", in_scope("team:red")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(
        summaries(&answer),
        [
            "REJECTED FORBIDDEN",
            "APPLIED 1",
            "APPLIED 1",
            "APPLIED 2",
            "REJECTED NOT_FOUND",
            "REJECTED FORBIDDEN"
        ]
    );
    assert!(
        !shown(&answer)[2],
        "no document is shown under a grant that the transaction took away"
    );
}

#[test]
fn a_membership_that_is_changed_ends_the_old_grant() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("m1", membership("red", "alice", "WRITE")).of("Member"),
        update("m1", 0, json!({ "team": "blue" })).of("Member"),
        create("a", in_scope("team:red")),
        create("b", in_scope("team:blue")),
        update("m1", 0, json!({ "access": "READ" })).of("Member"),
        update("b", 0, json!({ "title": "y" })),
        update("m1", 0, json!({ "person": "bob" })).of("Member"),
        update("b", 0, json!({ "title": "y" })),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(
        summaries(&answer),
        [
            "APPLIED 1",
            "APPLIED 2",
            "REJECTED FORBIDDEN",
            "APPLIED 1",
            "APPLIED 3",
            "REJECTED FORBIDDEN",
            "APPLIED 4",
            "REJECTED NOT_FOUND"
        ]
    );
}

#[test]
fn a_membership_made_by_one_push_serves_the_next_of_the_same_transaction() {
    let mut store = Store::new("SERVER_WINS");
    let [bob, alice] = ["bob", "alice"].map(|user| by(user, "phone").from(1));
    let hire = create("m1", membership("red", "alice", "WRITE")).of("Member");
    let answers = store.group(&[
        (&bob, &[hire]),
        (&alice, &[create("a", in_scope("team:red"))]),
    ]);
    assert_eq!(summaries(&answers[1]), ["APPLIED 1"]);
}

#[test]
fn a_membership_of_an_aborted_push_serves_nobody() {
    let mut store = Store::new("SERVER_WINS");
    let [bob, alice] = ["bob", "alice"].map(|user| by(user, "phone").from(1));
    let hire = create("m1", membership("red", "alice", "WRITE")).of("Member");
    let answers = store.group(&[
        (&bob.atomic(), &[hire, delete("none", 1)]),
        (&alice, &[create("a", in_scope("team:red"))]),
    ]);
    assert_eq!(summaries(&answers[1]), ["REJECTED FORBIDDEN"]);
}

#[test]
fn a_document_that_left_the_callers_sight_in_the_transaction_is_not_shown() {
    let mut store = Store::new("CLIENT_WINS");
    let [alice, bob] = ["alice", "bob"].map(|user| by(user, "phone").from(1));
    let _ = store.push(
        &by("carol", "phone").from(1),
        &[
            create("a", json!({ "title": "1" })),
            update("a", 0, json!({ "title": "2" })),
        ],
    );
    let answers = store.group(&[
        (&alice, &[update("a", 1, json!({ "title": "mine" }))]),
        (
            &bob,
            &[update(
                "a",
                2,
                json!({ "audience": "user:bob", "title": "secret" }),
            )],
        ),
    ]);
    assert_eq!(
        (summaries(&answers[0]), shown(&answers[0])),
        (vec!["MERGED 3".into()], vec![false])
    );
    let alices = answers[0].as_ref().expect("the push is answered");
    assert_eq!(alices.outcomes[0].conflict, None, "nor what it met");
}
