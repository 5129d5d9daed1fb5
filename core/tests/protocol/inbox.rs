//! The inbox: what MANUAL keeps, and when. [`resolving`] has the resolutions.
//!
//! Protocol 4.11 and the columns of its table. The decision tables say which changes are left pending.

mod resolving;

use serde_json::{Value as Json, json};
use tidegate_core::{
    id::{ConflictId, TypeName},
    inbox::{ClientChange, OpenConflict, PendingConflict},
    model::{Model, Policy},
    outcome::{Rule, Status, Taken},
    push::{PushAnswer, PushRefusal, Resolution},
    value::json::encode_fields,
};

use crate::{
    drafts::{Draft, create, delete, update},
    senders::{anonymously, by, summaries},
    store::Store,
};

fn retitled(base: i32, title: &str) -> Draft {
    update("t", base, json!({ "title": title }))
}

/// Bob created a task and gave it a title. Alice's edit of his first version is left pending.
fn held(rule: &str) -> Store {
    let mut store = Store::new(rule);
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        retitled(1, "theirs"),
    ];
    assert_eq!(
        summaries(&store.push(&by("bob", "b").from(1), &bobs)),
        ["APPLIED 1", "APPLIED 2"]
    );
    let mine = update("t", 1, json!({ "title": "mine", "stars": 5 }))
        .seeing(json!({ "title": "old", "stars": 1 }));
    let answer = store.push(&by("alice", "phone").from(1), &[mine]);
    assert!(answer.is_ok(), "{answer:?}");
    store
}

fn body(store: &Store) -> Json {
    let entry = store.task("t");
    let body = entry.body.as_ref().expect("it is alive");
    Json::Object(encode_fields(
        &store.model,
        &store.model.types[0].fields,
        body,
    ))
}

fn edited(store: &Store, fields: Json) -> Resolution {
    let draft = update("t", 1, fields);
    let name = TypeName::new("Task").expect("a short name");
    Resolution::Edited(name, Ok(draft.fields(&store.model)))
}

fn is_unknown(answer: &PushAnswer) -> bool {
    matches!(answer, Err(PushRefusal::ConflictNotFound))
}

#[test]
fn manual_keeps_the_documents_and_all_that_is_needed_to_judge() {
    let store = held("MANUAL");
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "theirs", "stars": 1 })
    );
    let conflict = store.conflict();
    assert_eq!(conflict.pending.fields, ["stars", "title"]);
    assert_eq!(
        (conflict.opened_by.as_str(), conflict.version.0),
        ("alice", 2)
    );
    assert_eq!(conflict.client.as_ref().map(|c| c.as_str()), Some("phone"));
    let json_of = |document: &tidegate_core::value::Document| {
        Json::Object(encode_fields(
            &store.model,
            &store.model.types[0].fields,
            document,
        ))
    };
    let ClientChange::Changed(mine) = &conflict.pending.mine else {
        panic!("it was an update");
    };
    assert_eq!(json_of(mine), json!({ "title": "mine", "stars": 5 }));
    assert_eq!(
        conflict.pending.base.as_ref().map(json_of),
        Some(json!({ "title": "old", "stars": 1 }))
    );
    assert_eq!(conflict.theirs.as_ref().map(json_of), Some(body(&store)));
}

#[test]
fn a_merge_that_overlaps_manually_writes_the_rest_and_keeps_what_overlaps() {
    let mut store = held("MERGE/MANUAL");
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "theirs", "stars": 5 })
    );
    assert_eq!(store.conflict().pending.fields, ["title"]);
    let outcome = store
        .push(
            &by("carol", "c").from(1),
            &[update("t", 1, json!({ "title": "hers", "done": true }))],
        )
        .expect("it is taken")
        .outcomes
        .remove(0);
    let fields = outcome.conflict.expect("it was stale");
    let rules: Vec<_> = fields
        .iter()
        .map(|f| (f.field.as_str(), f.taken, f.rule))
        .collect();
    assert_eq!(
        rules,
        [
            ("done", Taken::Mine, Rule::NoOverlap),
            ("title", Taken::Theirs, Rule::Manual)
        ]
    );
    assert_eq!(outcome.status, Status::Merged);
    let id = outcome.inbox.expect("the title was held back");
    assert!(store.conflicts().any(|open| open.id == id));
}

#[test]
fn a_repeated_push_names_the_same_conflict_and_opens_no_other() {
    let mut store = Store::new("MANUAL");
    let bobs = [
        create("t", json!({ "title": "old" })),
        retitled(1, "theirs"),
    ];
    let _made = store.push(&by("bob", "b").from(1), &bobs);
    for sender in [
        by("alice", "phone").from(1),
        by("alice", "browser"),
        anonymously("alice"),
    ] {
        let mine = [retitled(1, "mine")];
        let inbox = |answer: PushAnswer| answer.expect("it is taken").outcomes.remove(0).inbox;
        let first = inbox(store.push(&sender, &mine));
        assert!(first.is_some());
        assert_eq!(inbox(store.push(&sender, &mine)), first, "{sender:?}");
    }
    assert_eq!(store.conflicts().count(), 3, "one for each sender");
}

#[test]
fn an_atomic_push_leaves_nothing_to_anybodys_judgement() {
    let mut store = Store::new("MANUAL");
    let bobs = [
        create("t", json!({ "title": "old" })),
        retitled(1, "theirs"),
    ];
    let _made = store.push(&by("bob", "b").from(1), &bobs);
    let sender = by("alice", "phone").from(1).atomic();
    let answer = store.push(&sender, &[retitled(1, "mine"), create("u", json!({}))]);
    assert_eq!(
        summaries(&answer),
        ["CONFLICT 2", "REJECTED ATOMIC_ABORTED"]
    );
    assert_eq!(answer.expect("it is answered").outcomes[0].inbox, None);
    assert_eq!(store.state.inbox.len(), 0);
}

#[test]
fn what_could_never_be_applied_is_rejected_and_not_held_back() {
    let mut store = held("MANUAL");
    let sender = by("alice", "phone").from(2);
    let changes = [
        update("t", 1, json!({ "audience": "public" })),
        update("t", 1, json!({ "title": "x".repeat(41) })),
        update("t", 1, json!({ "audience": null })),
        update("t", 1, json!({ "title": "theirs" })),
    ];
    assert_eq!(
        summaries(&store.push(&sender, &changes)),
        [
            "REJECTED FORBIDDEN",
            "REJECTED INVALID_VALUE",
            "REJECTED INVALID_VALUE",
            "APPLIED 2"
        ]
    );
    assert_eq!(store.conflicts().count(), 1);
}

#[test]
fn a_push_chooses_manual_only_where_the_model_lets_it() {
    let mut store = held("CLIENT_WINS");
    let sender = by("alice", "phone").from(2).under(Policy::Manual);
    let refused = store.push(&sender, &[retitled(1, "again")]);
    assert!(
        matches!(refused, Err(PushRefusal::PolicyNotAllowed { .. })),
        "{refused:?}"
    );
}

/// Stock that counts and a shelf that does not: the client that conflicts next wrote the joined field.
const STOCKED: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MERGE, overlap: MANUAL) {
  id: ID!
  stock: Stock
}
type Stock { shelf: String, count: Int @merge(with: COUNTER) }
"#;

#[test]
fn a_nested_edit_that_cannot_be_joined_waits_though_its_client_wrote_last() {
    let model = Model::parse("model.graphql", STOCKED).expect("the model is sound");
    let mut store = Store::of(model);
    let stock = |shelf: &str, count: i32| json!({ "stock": { "shelf": shelf, "count": count } });
    let bobs = [
        create("t", stock("A", 10)),
        update("t", 1, stock("B", 8)).seeing(stock("A", 10)),
    ];
    store
        .push(&by("bob", "b").from(1), &bobs)
        .expect("it is taken");
    let mine = [
        update("t", 1, stock("A", 13)).seeing(stock("A", 10)),
        update("t", 1, stock("C", 13)).seeing(stock("A", 13)),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &mine);
    assert_eq!(summaries(&answer), ["MERGED 3", "CONFLICT 3"]);
    assert_eq!(body(&store), stock("B", 11));
    assert_eq!(store.conflict().pending.fields, ["stock"]);
}

#[test]
fn an_atomic_push_of_which_a_part_would_wait_is_not_in_force_at_all() {
    let mut store = Store::new("MERGE/MANUAL");
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        retitled(1, "theirs"),
    ];
    store
        .push(&by("bob", "b").from(1), &bobs)
        .expect("it is taken");
    let mine = update("t", 1, json!({ "title": "mine", "stars": 5 }))
        .seeing(json!({ "title": "old", "stars": 1 }));
    let answer = store.push(&by("alice", "phone").from(1).atomic(), &[mine]);
    assert_eq!(summaries(&answer), ["CONFLICT 2"]);
    assert_eq!(body(&store)["stars"], 1);
    assert!(store.state.inbox.is_empty());
}

/// A user who may read where the document was does not see it where a later model puts it.
#[test]
fn a_conflict_is_shown_to_nobody_who_may_not_read_its_sides_under_the_present_model() {
    let store = held("MANUAL");
    let open = store.conflicts().next().expect("it is held").clone();
    let grants = store.grants("alice");
    assert!(open.is_open_to(&store.model, &grants));
    let by_title = |name: &str| {
        let text = format!(
            r#"
extend schema @grant(scope: "{name}:{{sub}}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{name}:{{title}}") {{ id: ID! title: String! stars: Int }}
"#
        );
        Model::parse("model.graphql", &text).unwrap()
    };
    assert!(!open.is_open_to(&by_title("topic"), &grants));
    let deleted = OpenConflict {
        pending: PendingConflict {
            mine: ClientChange::Deleted,
            ..open.pending.clone()
        },
        theirs: None,
        ..open
    };
    assert!(
        deleted.is_open_to(&by_title("topic"), &grants),
        "it shows nothing"
    );
}
