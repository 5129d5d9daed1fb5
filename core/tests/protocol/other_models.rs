//! What a gateway may do whose model does not lead (protocol 9.6).

use serde_json::{Value as Json, json};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelState},
    model::Model,
    push::{PushAnswer, PushRefusal, Resolution},
    transaction::{ForeignState, Misfit},
    value::Value,
};

use crate::{
    drafts::{Draft, create, delete, key, update},
    senders::{by, summaries},
    store::Store,
};

/// Tasks are in other scopes, and notes in the same.
const OTHER_SCOPES: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{audience}") { id: ID! audience: String! title: String }
type Note @collection(name: "notes") @scope(by: "{audience}") { id: ID! audience: String! }
"#;

/// From now on the gateway serves an older model than the one that leads. That one says the same of every type.
fn follow(store: &mut Store) {
    let model = (*store.model).clone();
    lead_by(store, &model);
}

/// The same, and the leading model is this one.
fn lead_by(store: &mut Store, model: &Model) {
    let before = (*store.model).clone();
    let mut own = ModelState::default().led_by(Generation(1), &before, None);
    take(store, &own);
    own = own.state.led_by(Generation(2), model, Some(&before));
    take(store, &own);
    store.state.serving = Generation(1);
    assert!(!store.state.standing().leads);
}

fn take(store: &mut Store, change: &LeadChange) {
    assert!(store.state.take_lead(change));
}

fn titled(title: &str) -> Json {
    json!({ "audience": "team:red", "title": title })
}

/// Bob's team `red` has a task, which Alice may read. Another service has written to it since. The gateway's model does
/// not lead.
fn with_a_foreign_edit(rule: &str) -> Store {
    let mut store = Store::new(rule);
    store.teams("bob", &["red"]);
    let hire =
        json!({ "audience": "user:bob", "team": "red", "person": "alice", "access": "READ" });
    let made = [create("t", titled("Tea")), create("m", hire).of("Member")];
    let answer = store.push(&by("bob", "b").from(1), &made);
    assert_eq!(summaries(&answer), ["APPLIED 1"; 2]);
    store.elsewhere(&create("t", titled("Coffee")));
    follow(&mut store);
    store
}

fn is_refused(answer: &PushAnswer) -> bool {
    matches!(answer, Err(PushRefusal::OtherModel { type_name }) if type_name.as_str() == "Task")
}

#[test]
fn others_writes_are_taken_over_only_with_a_write_of_the_document() {
    let mut store = with_a_foreign_edit("SERVER_WINS");
    let written = store.log.len();
    let conflicting = update("t", 1, json!({ "title": "Mate" }));
    let other = create("u", titled("Rice"));
    for changes in [
        vec![conflicting.clone()],
        vec![other.clone(), conflicting.clone()],
    ] {
        for sender in [by("bob", "b").from(3), by("bob", "b").from(3).atomic()] {
            let answer = store.push(&sender, &changes);
            assert!(is_refused(&answer), "{answer:?}");
            assert_eq!(store.log.len(), written, "nothing is written");
        }
    }
    let failing = [update("t", 2, json!({ "done": true })), delete("none", 1)];
    assert!(is_refused(
        &store.push(&by("bob", "b").from(3).atomic(), &failing)
    ));
    assert_eq!(store.log.len(), written);

    // Those who may not write the document learn as little as ever.
    for (user, code) in [("alice", "FORBIDDEN"), ("carol", "NOT_FOUND")] {
        let answer = store.push(&by(user, "phone"), std::slice::from_ref(&conflicting));
        assert_eq!(summaries(&answer), [format!("REJECTED {code}")]);
    }
    let answer = store.push(
        &by("bob", "b").from(3),
        &[update("t", 2, json!({ "done": true }))],
    );
    assert_eq!(summaries(&answer), ["APPLIED 3"], "no id was consumed");
    let body = store.task("t").body.as_ref().expect("it is alive");
    assert_eq!(body["title"], Value::String("Coffee".to_owned()));

    // The leading gateway answers as ever.
    let mut store = with_a_foreign_edit("SERVER_WINS");
    store.state.serving = Generation(2);
    let answer = store.push(&by("bob", "b").from(3), &[conflicting]);
    assert_eq!(summaries(&answer), ["CONFLICT 2"]);
}

#[test]
fn a_refused_push_leaves_others_of_its_transaction_alone() {
    let mut store = with_a_foreign_edit("SERVER_WINS");
    store.teams("dora", &["red"]);
    let (bob, dora) = (by("bob", "b").from(3), by("dora", "d").from(1));
    let conflicting = [update("t", 1, json!({ "title": "Mate" }))];
    let clean = [update("t", 2, json!({ "done": true }))];
    let answers = store.group(&[(&bob, &conflicting), (&dora, &clean), (&bob, &conflicting)]);
    assert!(is_refused(&answers[0]));
    assert_eq!(summaries(&answers[1]), ["APPLIED 3"]);
    assert_eq!(
        summaries(&answers[2]),
        ["CONFLICT 3"],
        "the document is written now"
    );
}

#[test]
fn types_that_the_lead_scopes_otherwise_are_not_decided_about_and_repeats_are_answered() {
    let mut store = Store::new("MERGE");
    store.teams("bob", &["red"]);
    let bob = || by("bob", "b").from(1);
    let made = [create("t", titled("Tea"))];
    assert_eq!(summaries(&store.push(&bob(), &made)), ["APPLIED 1"]);
    lead_by(
        &mut store,
        &Model::parse("model.graphql", OTHER_SCOPES).expect("it is sound"),
    );
    let written = store.log.len();
    let note = || create("n", json!({})).of("Note");
    let edit = || update("t", 1, json!({ "done": true }));
    let next = || by("bob", "b").from(2);
    for changes in [
        vec![edit()],
        vec![note(), edit()],
        vec![create("u", titled("x"))],
    ] {
        assert!(is_refused(&store.push(&next(), &changes)), "{changes:?}");
    }
    assert_eq!(store.log.len(), written);
    let answer = store.push(&bob(), &made);
    assert!(answer.expect("it is answered").duplicate, "a repeat");
    let answer = store.push(&next(), &[note()]);
    assert_eq!(
        summaries(&answer),
        ["APPLIED 1"],
        "both say the same of notes"
    );
}

#[test]
fn a_document_that_this_model_cannot_read_is_left_to_the_lead() {
    let mut store = with_a_foreign_edit("MERGE");
    let misfit = ForeignState::Misfit {
        misfit: Misfit {
            path: "title".to_owned(),
            found: "int".to_owned(),
            problem: "is int, and not a string".to_owned(),
        },
        readable: [("audience".to_owned(), Value::String("team:red".to_owned()))].into(),
    };
    for id in ["t", "never-delivered"] {
        store.foreign(key("Task", id), misfit.clone());
    }
    let written = store.log.len();
    for id in ["t", "never-delivered"] {
        let all: [Draft; 3] = [
            create(id, titled("x")),
            update(id, 1, json!({ "done": true })),
            delete(id, 1),
        ];
        for draft in all {
            let answer = store.push(&by("bob", "b").from(3), std::slice::from_ref(&draft));
            assert!(is_refused(&answer), "{draft:?} {answer:?}");
            let answer = store.push(&by("alice", "phone"), std::slice::from_ref(&draft));
            assert_eq!(summaries(&answer), ["REJECTED FORBIDDEN"]);
            let answer = store.push(&by("carol", "phone"), &[draft]);
            let code = &summaries(&answer)[0];
            assert!(code.starts_with("REJECTED"), "she learns nothing: {code}");
        }
    }
    assert_eq!(store.log.len(), written);
}

#[test]
fn a_conflict_about_a_document_that_others_wrote_to_is_resolved_by_the_lead() {
    let mut store = with_a_foreign_edit("MANUAL");
    store.state.serving = Generation(2);
    let stale = update("t", 1, json!({ "title": "Mate" }));
    assert_eq!(
        summaries(&store.push(&by("bob", "b").from(3), &[stale])),
        ["CONFLICT 2"]
    );
    store.elsewhere(&create("t", titled("Cocoa")));
    store.state.serving = Generation(1);
    let conflict = store.conflict().id.clone();
    let answer = store.resolve("bob", &conflict, 3, Resolution::Mine);
    assert!(is_refused(&answer), "{answer:?}");
    store.state.serving = Generation(2);
    let answer = store.resolve("bob", &conflict, 3, Resolution::Mine);
    assert_eq!(summaries(&answer), ["APPLIED 4"]);
}
