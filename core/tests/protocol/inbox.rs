//! The inbox: what MANUAL keeps, who may resolve it, and what a resolution does.
//!
//! Protocol 4.11 and the columns of its table; which changes are held back at all is the decision tables' matter.

use serde_json::{Value as Json, json};
use tidegate_core::{
    id::{ConflictId, TypeName},
    inbox::Mine,
    model::{Model, Policy},
    outcome::{Rule, Status, Taken},
    push::{PushAnswer, PushRefusal, Resolution},
    value::json::encode_fields,
};

use crate::{
    drafts::{Draft, create, delete, update},
    senders::{anonymously, by, told},
    store::Store,
};

fn retitled(base: i32, title: &str) -> Draft {
    update("t", base, json!({ "title": title }))
}

/// Bob made a task and gave it a title; Alice's edit of his first version is held back.
fn held(rule: &str) -> Store {
    let mut store = Store::new(rule);
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        retitled(1, "theirs"),
    ];
    assert_eq!(
        told(&store.push(&by("bob", "b").from(1), &bobs)),
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
    assert_eq!(conflict.held.fields, ["stars", "title"]);
    assert_eq!(
        (conflict.opened_by.as_str(), conflict.version.0),
        ("alice", 2)
    );
    assert_eq!(conflict.client.as_ref().map(|c| c.as_str()), Some("phone"));
    let told = |document: &tidegate_core::value::Document| {
        Json::Object(encode_fields(
            &store.model,
            &store.model.types[0].fields,
            document,
        ))
    };
    let Mine::Changed(mine) = &conflict.held.mine else {
        panic!("it was an update");
    };
    assert_eq!(told(mine), json!({ "title": "mine", "stars": 5 }));
    assert_eq!(
        conflict.held.base.as_ref().map(told),
        Some(json!({ "title": "old", "stars": 1 }))
    );
    assert_eq!(conflict.theirs.as_ref().map(told), Some(body(&store)));
}

#[test]
fn a_merge_that_overlaps_manually_writes_the_rest_and_keeps_what_overlaps() {
    let mut store = held("MERGE/MANUAL");
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "theirs", "stars": 5 })
    );
    assert_eq!(store.conflict().held.fields, ["title"]);
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
    assert_eq!(told(&answer), ["CONFLICT 2", "REJECTED ATOMIC_ABORTED"]);
    assert_eq!(answer.expect("it is answered").outcomes[0].inbox, None);
    assert_eq!(store.inbox.len(), 0);
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
        told(&store.push(&sender, &changes)),
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
fn each_resolution_reaches_the_feed_and_closes_the_conflict() {
    let all =
        |title: &str, stars: i32| json!({ "audience": "all", "title": title, "stars": stars });
    type Make = fn(&Store) -> Resolution;
    let cases: [(Make, &str, Json); 3] = [
        (|_| Resolution::Mine, "APPLIED 3", all("mine", 5)),
        (|_| Resolution::Theirs, "APPLIED 2", all("theirs", 1)),
        (
            |store| edited(store, json!({ "title": "both" })),
            "APPLIED 3",
            all("both", 1),
        ),
    ];
    for (make, expect, left) in cases {
        let mut store = held("MANUAL");
        let id = store.conflict().id.clone();
        let resolution = make(&store);
        let answer = store.resolve("bob", &id, 2, resolution.clone());
        assert_eq!(told(&answer), [expect], "{resolution:?}");
        assert_eq!(body(&store), left);
        assert_eq!(store.conflicts().count(), 0);
        let log = store.log.len();
        let again = store.resolve("bob", &id, 2, resolution);
        assert_eq!(told(&again), [expect]);
        assert!(again.is_ok_and(|outcome| outcome.duplicate));
        assert_eq!(store.log.len(), log, "a repeat writes nothing");
    }
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    assert_eq!(
        told(&store.resolve("bob", &id, 2, Resolution::Delete)),
        ["APPLIED 3"]
    );
    assert!(store.task("t").is_deleted());
}

#[test]
fn a_resolution_of_another_version_changes_nothing_and_leaves_the_conflict_open() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _edited = store.push(&by("bob", "b").from(3), &[retitled(2, "newer")]);
    assert_eq!(
        told(&store.resolve("alice", &id, 2, Resolution::Mine)),
        ["CONFLICT 3"]
    );
    assert_eq!(store.conflict().id, id, "a later edit does not bury it");
    assert_eq!(
        told(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(body(&store)["title"], json!("mine"));
}

#[test]
fn a_settled_a_strangers_and_no_conflict_look_the_same() {
    let mut store = held("MANUAL");
    store.teams("alice", &["7"]);
    let secret = create("t2", json!({ "audience": "team:7", "title": "a" }));
    let _made = store.push(&by("alice", "phone").from(2), &[secret]);
    let stale = update("t2", -1, json!({ "title": "b" }));
    let _held = store.push(&by("alice", "laptop").from(1), &[stale]);
    let strangers = store.conflicts().find(|open| open.key.id.as_str() == "t2");
    let strangers = strangers.expect("it is held back").id.clone();
    let settled = store.conflicts().find(|open| open.key.id.as_str() == "t");
    let settled = settled.expect("it is held back").id.clone();
    let _resolved = store.resolve("alice", &settled, 2, Resolution::Theirs);
    let none = ConflictId::new("none").expect("a short name");
    for id in [strangers, settled, none] {
        assert!(is_unknown(&store.resolve(
            "bob",
            &id,
            1,
            Resolution::Theirs
        )));
    }
}

#[test]
fn a_conflict_follows_its_document_and_is_shown_only_to_who_may_read_all_of_it() {
    let mut store = held("MANUAL");
    store.teams("bob", &["7"]);
    let id = store.conflict().id.clone();
    let away = update("t", 2, json!({ "audience": "team:7" }));
    assert_eq!(
        told(&store.push(&by("bob", "b").from(3), &[away])),
        ["APPLIED 3"]
    );
    assert_eq!(store.conflict().scope.as_str(), "team:7");
    assert!(is_unknown(&store.resolve(
        "alice",
        &id,
        3,
        Resolution::Mine
    )));
    assert!(
        store
            .conflict()
            .is_open_to(&store.model, &store.grants("bob"))
    );
    assert!(
        !store
            .conflict()
            .is_open_to(&store.model, &store.grants("alice"))
    );
    let into_own = update("t", 1, json!({ "audience": "user:carol" }));
    let mut store = held("MANUAL");
    let _held = store.push(&by("carol", "c").from(1), &[into_own]);
    let carols = store
        .conflicts()
        .find(|open| open.opened_by.as_str() == "carol");
    let carols = carols.expect("it is held back");
    assert!(
        !carols.is_open_to(&store.model, &store.grants("bob")),
        "it shows what would be hers alone"
    );
    assert!(carols.is_open_to(&store.model, &store.grants("carol")));
}

#[test]
fn a_conflict_outlives_its_document_and_can_bring_it_back() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    assert_eq!(
        told(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "mine", "stars": 5 })
    );
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    store.collect();
    assert_eq!(store.conflict().id, id, "it is not collected");
    assert_eq!(
        told(&store.resolve("alice", &id, 0, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(body(&store)["title"], json!("mine"));
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    assert_eq!(
        told(&store.resolve("alice", &id, 3, Resolution::Delete)),
        ["APPLIED 3"]
    );
    assert!(store.task("t").is_deleted());
}

#[test]
fn creates_and_deletes_are_held_back_and_resolved_too() {
    let mut store = Store::new("MANUAL");
    let _made = store.push(
        &by("bob", "b").from(1),
        &[create("t", json!({ "title": "theirs", "stars": 1 }))],
    );
    let answer = store.push(
        &by("alice", "phone").from(1),
        &[create("t", json!({ "title": "mine" }))],
    );
    assert_eq!(told(&answer), ["CONFLICT 1"]);
    let id = store.conflict().id.clone();
    assert_eq!(
        told(&store.resolve("alice", &id, 1, Resolution::Mine)),
        ["APPLIED 2"]
    );
    assert_eq!(body(&store)["title"], json!("mine"));
    assert_eq!(
        body(&store)["stars"],
        json!(null),
        "the created document takes the other's place whole"
    );
    let answer = store.push(&by("bob", "b").from(2), &[delete("t", 1)]);
    assert_eq!(told(&answer), ["CONFLICT 2"]);
    let id = store.conflict().id.clone();
    assert_eq!(store.conflict().held.mine, Mine::Deleted);
    assert_eq!(
        told(&store.resolve("alice", &id, 2, Resolution::Mine)),
        ["APPLIED 3"]
    );
    let answer = store.push(
        &by("carol", "c").from(1),
        &[create("t", json!({ "title": "anew" }))],
    );
    assert_eq!(told(&answer), ["CONFLICT 3"], "over a stranger's tombstone");
    let id = store.conflict().id.clone();
    assert_eq!(
        told(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(body(&store)["title"], json!("anew"));
}

#[test]
fn a_rejected_resolution_leaves_the_conflict_open() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let too_long = edited(&store, json!({ "title": "x".repeat(41) }));
    assert_eq!(
        told(&store.resolve("alice", &id, 2, too_long)),
        ["REJECTED INVALID_VALUE"]
    );
    let note = TypeName::new("Note").expect("a short name");
    let other = Resolution::Edited(note, Ok(Default::default()));
    assert_eq!(
        told(&store.resolve("alice", &id, 2, other)),
        ["REJECTED INVALID_VALUE"]
    );
    assert_eq!(store.conflict().id, id);
}

#[test]
fn settled_conflicts_are_forgotten_with_the_tombstones_of_their_time() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _resolved = store.resolve("alice", &id, 2, Resolution::Theirs);
    assert_eq!(store.inbox.len(), 1);
    store.collect();
    assert_eq!(store.inbox.len(), 0);
    assert!(is_unknown(&store.resolve(
        "alice",
        &id,
        2,
        Resolution::Theirs
    )));
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

/// A field that only the gateway sets, with a default.
const APPROVED: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MANUAL) {
  id: ID!
  title: String
  approved: Boolean! @readOnly @default(value: false)
}
"#;

#[test]
fn ones_own_create_can_be_taken_where_a_type_has_read_only_defaults() {
    let mut store = Store::of(Model::parse("model.graphql", APPROVED).expect("the model is sound"));
    let made = |title: &str| [create("t", json!({ "title": title }))];
    store
        .push(&by("bob", "b").from(1), &made("theirs"))
        .expect("it is taken");
    let answer = store.push(&by("alice", "phone").from(1), &made("mine"));
    assert_eq!(told(&answer), ["CONFLICT 1"]);
    let id = store.conflict().id.clone();
    assert_eq!(
        told(&store.resolve("alice", &id, 1, Resolution::Mine)),
        ["APPLIED 2"]
    );
    assert_eq!(body(&store), json!({ "title": "mine", "approved": false }));
}

/// A base may name more than the edit sets: what it says of those fields is older than the server's side.
#[test]
fn a_document_that_is_made_anew_keeps_what_only_the_server_had_changed() {
    let mut store = Store::new("MANUAL");
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        update("t", 1, json!({ "stars": 4 })),
    ];
    store
        .push(&by("bob", "b").from(1), &bobs)
        .expect("it is taken");
    let seen = json!({ "title": "old", "stars": 1, "done": true });
    let mine = retitled(1, "mine").seeing(seen);
    let answer = store.push(&by("alice", "phone").from(1), &[mine]);
    assert_eq!(told(&answer), ["CONFLICT 2"]);
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    assert_eq!(
        told(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "mine", "stars": 4 })
    );
}

/// Stock that counts and a shelf that does not: what was joined was written by the client that conflicts next.
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
    assert_eq!(told(&answer), ["MERGED 3", "CONFLICT 3"]);
    assert_eq!(body(&store), stock("B", 11));
    assert_eq!(store.conflict().held.fields, ["stock"]);
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
    assert_eq!(told(&answer), ["CONFLICT 2"]);
    assert_eq!(body(&store)["stars"], 1);
    assert!(store.inbox.is_empty());
}
