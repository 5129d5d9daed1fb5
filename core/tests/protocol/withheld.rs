//! Changes that meet a document which does not fit the model (protocol 8.8).

use std::sync::Arc;

use serde_json::json;
use tidegate_core::{
    change::RejectionCode,
    entry::Entry,
    transaction::{ForeignState, Misfit, Writes},
    value::{Document, Value},
};

use crate::{
    drafts::{Draft, create, delete, key, update},
    senders::{by, summaries},
    store::Store,
};

/// A document whose title is an ObjectId, and whose other fields can be read.
fn misfit(readable: &[(&str, Value)]) -> ForeignState {
    let readable = readable.iter();
    let readable: Document = readable
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    ForeignState::Misfit {
        misfit: Misfit {
            path: "title".to_owned(),
            found: "objectId".to_owned(),
            problem: "is objectId, and not a string".to_owned(),
        },
        readable,
    }
}

fn in_scope(scope: &str) -> ForeignState {
    misfit(&[("audience", Value::String(scope.to_owned()))])
}

/// Bob's team is `red`. Alice may read what is in it, Carol may not.
fn store() -> Store {
    let mut store = Store::new("MERGE");
    store.teams("bob", &["red"]);
    let hire =
        json!({ "audience": "user:bob", "team": "red", "person": "alice", "access": "READ" });
    let hired = store.push(&by("bob", "b").from(1), &[create("m", hire).of("Member")]);
    assert_eq!(summaries(&hired), ["APPLIED 1"]);
    store
}

fn every_action() -> [Draft; 3] {
    [
        create("t", json!({ "audience": "all", "title": "x" })),
        update("t", 1, json!({ "done": true })),
        delete("t", 1),
    ]
}

/// What each user gets for a create, an update and a delete of the task `t`, and that nothing is written.
fn expect(store: &mut Store, expected: [(&'static str, [&str; 3]); 3]) {
    let written = store.log.len();
    for (user, codes) in expected {
        let answer = store.push(&by(user, "probe"), &every_action());
        let rejected = codes.map(|code| format!("REJECTED {code}"));
        assert_eq!(summaries(&answer), rejected, "{user}");
        for outcome in answer.expect("it is answered").outcomes {
            assert_eq!(outcome.document, None);
            let error = outcome.error.expect("it is rejected");
            let field = error.field.as_deref();
            let names_it = error.code == RejectionCode::InvalidValue;
            assert_eq!(field, names_it.then_some("title"));
        }
    }
    assert_eq!(store.log.len(), written);
}

const NAMED: [&str; 3] = ["INVALID_VALUE"; 3];
const UNSEEN: [&str; 3] = ["ID_TAKEN", "NOT_FOUND", "NOT_FOUND"];

#[test]
fn a_misfit_that_was_never_delivered_is_named_to_those_who_may_write_in_its_scope() {
    let mut store = store();
    store.foreign(key("Task", "t"), in_scope("team:red"));
    let expected = [
        ("alice", ["FORBIDDEN"; 3]),
        ("bob", NAMED),
        ("carol", UNSEEN),
    ];
    expect(&mut store, expected);
}

/// Without its scope nobody is known to be allowed to see it.
#[test]
fn a_misfit_whose_scope_cannot_be_read_is_out_of_everyones_sight() {
    for readable in [
        misfit(&[]),
        misfit(&[("audience", Value::Int(5))]),
        misfit(&[("audience", Value::Null)]),
    ] {
        let mut store = store();
        store.foreign(key("Task", "t"), readable);
        expect(
            &mut store,
            [("alice", UNSEEN), ("bob", UNSEEN), ("carol", UNSEEN)],
        );
    }
}

/// As for any document out of sight, a change that is wrong by itself hears only that.
#[test]
fn out_of_sight_a_misfit_answers_exactly_as_another_document_does() {
    let wrong = [
        create("t", json!({ "audience": "public" })),
        create("t", json!({ "audience": "all", "title": "x".repeat(41) })),
        create("t", json!({ "audience": "all", "title": "x" })),
        update("t", 1, json!({ "title": "x".repeat(41) })),
        update("t", 1, json!({ "locked": 1 })),
        delete("t", 1),
    ];
    let mut answers = Vec::new();
    for hidden in [
        ForeignState::Document(
            create("t", json!({ "audience": "team:red" })).fields(&store().model),
        ),
        in_scope("team:red"),
        misfit(&[]),
    ] {
        let mut store = store();
        store.foreign(key("Task", "t"), hidden);
        answers.push(store.push(&by("carol", "phone").from(1), &wrong));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn a_delivered_misfit_is_revoked_once_and_named_until_it_is_mended() {
    let mut store = store();
    let created = create("t", json!({ "audience": "team:red", "title": "Tea" }));
    store
        .push(&by("bob", "b").from(2), std::slice::from_ref(&created))
        .unwrap();
    store.foreign(key("Task", "t"), in_scope("team:red"));
    let edit = [update("t", 1, json!({ "done": true }))];
    let met = store.push(&by("bob", "b").from(3), &edit);
    assert_eq!(summaries(&met), ["REJECTED INVALID_VALUE"]);
    let withheld = store.task("t").clone();
    assert_eq!((withheld.version.0, withheld.withheld), (2, true));

    store.foreign(key("Task", "t"), in_scope("team:red"));
    let expected = [
        ("alice", ["FORBIDDEN"; 3]),
        ("bob", NAMED),
        ("carol", UNSEEN),
    ];
    expect(&mut store, expected);

    store.elsewhere(&created);
    let edit = [update("t", 2, json!({ "done": true }))];
    let mended = store.push(&by("bob", "b").from(4), &edit);
    assert_eq!(summaries(&mended), ["MERGED 4"]);
    assert!(!store.task("t").withheld);
}

/// It is judged by the scope it is in now. The scope that it left learns only that it is gone.
#[test]
fn a_misfit_that_moved_is_named_where_it_is_now() {
    let mut store = store();
    let created = create("t", json!({ "audience": "team:red", "title": "Tea" }));
    store.push(&by("bob", "b").from(2), &[created]).unwrap();
    store.foreign(key("Task", "t"), in_scope("user:carol"));
    let met = store.push(&by("carol", "phone"), &every_action());
    assert_eq!(
        summaries(&met),
        NAMED.map(|code| format!("REJECTED {code}"))
    );
    assert_eq!(
        store.task("t").version.0,
        1,
        "she may not write where it was"
    );
    let met = store.push(&by("bob", "b"), &every_action());
    assert_eq!(
        summaries(&met),
        UNSEEN.map(|code| format!("REJECTED {code}"))
    );
    let entry = store.task("t");
    assert_eq!((entry.version.0, entry.withheld), (2, true));
    assert_eq!(entry.scope.as_str(), "team:red");
}

/// A store that nothing else writes to finds nothing foreign where it cannot read its own bytes.
#[test]
fn a_document_that_a_store_cannot_read_is_neither_absent_nor_deleted() {
    let mut store = store();
    let created = create("t", json!({ "audience": "team:red", "title": "Tea" }));
    store.push(&by("bob", "b").from(2), &[created]).unwrap();
    let unreadable = Entry {
        body: None,
        withheld: true,
        ..Entry::clone(store.task("t"))
    };
    store.write(&Writes {
        entries: vec![Arc::new(unreadable)],
        ..Writes::default()
    });
    let met = store.push(&by("bob", "probe"), &every_action());
    assert_eq!(
        summaries(&met),
        NAMED.map(|code| format!("REJECTED {code}"))
    );
    for outcome in met.expect("it is answered").outcomes {
        let error = outcome.error.expect("it is rejected");
        assert_eq!(error.field, None);
        assert!(
            error.message.ends_with("it cannot be read"),
            "{}",
            error.message
        );
    }
    let met = store.push(&by("carol", "phone"), &every_action());
    assert_eq!(
        summaries(&met),
        UNSEEN.map(|code| format!("REJECTED {code}"))
    );
}
