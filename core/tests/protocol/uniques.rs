//! Unique values, in any history of pushes and of others' writes (protocol 4.16 and 8.10).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tidegate_core::{
    entry::Entry, id::DocumentKey, model::Model, push::PushAnswer, transaction::ForeignState,
    unique::UniqueKey,
};
use tidegate_testkit::Random;

use crate::{
    drafts::{Draft, create, delete, key, update},
    senders::{anonymously, by, summaries},
    store::Store,
};

const SDL: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{audience}") @conflict(policy: MERGE, overlap: CLIENT_WINS)
  @unique(fields: ["code"], within: ALL) @unique(fields: ["shelf", "place"]) {
  id: ID!
  audience: String!
  code: String
  shelf: String
  place: Int
}
"#;

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn store() -> Store {
    let mut store = Store::of(Model::parse("model.graphql", SDL).expect("the model is sound"));
    store.teams("alice", &["red", "blue"]);
    store
}

fn coded(code: &str) -> Json {
    json!({"audience": "team:red", "code": code})
}

fn pushed(store: &mut Store, changes: &[Draft]) -> Vec<String> {
    summaries(&store.push(&anonymously("alice"), changes))
}

fn task(id: &str) -> DocumentKey {
    key("Task", id)
}

/// The ids of the documents that are shown, with their codes.
fn codes(store: &Store) -> Vec<(String, String)> {
    let code = |entry: &Entry| {
        let code = entry.body.as_ref()?.get("code")?.as_str()?.to_owned();
        Some((entry.key.id.to_string(), code))
    };
    store.living().filter_map(|entry| code(entry)).collect()
}

#[test]
fn a_value_is_taken_from_the_change_that_writes_it_until_the_one_that_leaves_it() {
    let mut store = store();
    let changes = [
        create("a", coded("1")),
        create("b", coded("1")),
        update("a", 1, json!({"code": "2"})),
        create("c", coded("1")),
        delete("c", 1),
        create("d", coded("1")),
    ];
    assert_eq!(
        pushed(&mut store, &changes),
        [
            "APPLIED 1",
            "REJECTED NOT_UNIQUE",
            "APPLIED 2",
            "APPLIED 1",
            "APPLIED 2",
            "APPLIED 1"
        ]
    );
}

#[test]
fn pushes_of_one_transaction_meet_one_another() {
    let mut store = store();
    let first = [create("a", coded("1"))];
    let second = [create("b", coded("1"))];
    let (phone, laptop) = (by("alice", "phone").from(1), by("alice", "laptop").from(1));
    let answers = store.group(&[(&phone, &first), (&laptop, &second)]);
    let answers: Vec<_> = answers.iter().flat_map(summaries).collect();
    assert_eq!(answers, ["APPLIED 1", "REJECTED NOT_UNIQUE"]);
}

#[test]
fn what_is_taken_over_together_may_swap_its_values_and_of_twins_the_first_is_shown() {
    let mut store = store();
    let created = [create("a", coded("1")), create("b", coded("2"))];
    assert_eq!(pushed(&mut store, &created), ["APPLIED 1"; 2]);
    store.elsewhere(&create("a", coded("2")));
    store.elsewhere(&create("b", coded("1")));
    store.elsewhere(&create("d", coded("3")));
    store.elsewhere(&create("c", coded("3")));
    let stamped = store.import(&IDS.map(task));
    assert_eq!(stamped.vacating, [task("a"), task("b")].into());
    assert_eq!(
        stamped.duplicates.keys().collect::<Vec<_>>(),
        [&task("d")],
        "its record says for what it waits"
    );
    let shown = [("a", "2"), ("b", "1"), ("c", "3")];
    assert_eq!(
        codes(&store),
        shown.map(|(id, code)| (id.to_owned(), code.to_owned()))
    );
    // A push meets what is withheld, in its scope.
    let met = pushed(&mut store, &[update("d", 1, json!({"shelf": "top"}))]);
    assert_eq!(met, ["REJECTED INVALID_VALUE"]);
    let freeing = store.push(&anonymously("alice"), &[delete("c", 1)]);
    assert_eq!(summaries(&freeing), ["APPLIED 2"]);
    let stamped = store.import(&[task("d")]);
    assert_eq!(stamped.misfits[&task("d")], None);
    assert!(codes(&store).contains(&("d".to_owned(), "3".to_owned())));
}

#[test]
fn a_push_does_not_count_on_what_it_does_not_take_over() {
    let mut store = store();
    let created = [create("a", coded("1")), create("b", coded("2"))];
    assert_eq!(pushed(&mut store, &created), ["APPLIED 1"; 2]);
    // A service gives the value of one to the other. A push meets the second alone.
    store.elsewhere(&create("a", coded("3")));
    store.elsewhere(&create("b", coded("1")));
    let met = pushed(&mut store, &[update("b", 1, json!({"shelf": "top"}))]);
    assert_eq!(met, ["REJECTED INVALID_VALUE"]);
    let _stamped = store.import(&[task("a"), task("b")]);
    let shown = [("a", "3"), ("b", "1")];
    assert_eq!(
        codes(&store),
        shown.map(|(id, code)| (id.to_owned(), code.to_owned()))
    );
}

#[test]
fn what_others_wrote_comes_before_the_changes_of_a_push_that_meets_it() {
    let mut store = store();
    assert_eq!(
        pushed(&mut store, &[create("b", coded("2"))]),
        ["APPLIED 1"]
    );
    store.elsewhere(&create("b", coded("1")));
    let changes = [
        create("a", coded("1")),
        update("b", 1, json!({"shelf": "top"})),
        update("b", 3, json!({"code": null})),
        create("c", coded("1")),
    ];
    let expected = ["REJECTED NOT_UNIQUE", "MERGED 3", "APPLIED 4", "APPLIED 1"];
    assert_eq!(pushed(&mut store, &changes), expected);
}

/// The keys of all living documents. No two have one.
fn expect_unique(store: &Store, at: &str) -> BTreeMap<UniqueKey, DocumentKey> {
    let mut keys = BTreeMap::new();
    for entry in store.living() {
        for unique in UniqueKey::all_of(&store.model.types[0], entry) {
            let other = keys.insert(unique, entry.key.clone());
            assert_eq!(other, None, "{at}: {} has the same", entry.key);
        }
    }
    keys
}

fn document(random: &mut Random) -> Json {
    json!({
        "audience": random.one_of(&["team:red", "team:blue"]),
        "code": random.one_of(&[None, Some("1"), Some("2"), Some("3")]),
        "shelf": random.one_of(&["s", "t"]),
        "place": random.one_of(&[None, Some(1), Some(2)]),
    })
}

fn change(random: &mut Random, store: &Store) -> Draft {
    let id = random.one_of(&IDS);
    let version = store.entry(&task(id)).map_or(0, |entry| entry.version.0);
    let base = (version - i32::from(random.once_in(3))).max(0);
    let whole = document(random);
    match random.below(4) {
        0 => create(id, whole).naming(version),
        1 => delete(id, base),
        _ => {
            let mut some = whole.as_object().expect("it is a document").clone();
            some.retain(|_, _| random.once_in(2));
            update(id, base, Json::Object(some))
        }
    }
}

/// A refusal of a single create names a document that has one of its values.
fn expect_reason(store: &Store, draft: &Draft, answer: &PushAnswer, at: &str) {
    if summaries(answer) != ["REJECTED NOT_UNIQUE"] {
        return;
    }
    let body = draft.fields(&store.model);
    let has_one = store.living().any(|entry| {
        let other = entry.body.as_ref().expect("it lives");
        let same = |name| {
            body.get(name)
                .is_some_and(|value| other.get(name) == Some(value))
        };
        entry.key != draft.key() && (same("code") || (same("shelf") && same("place")))
    });
    assert!(has_one, "{at}: {draft:?} has nothing in common with any");
}

#[test]
fn no_history_of_pushes_and_of_others_writes_shows_two_documents_with_one_value() {
    for seed in 0..600 {
        let (mut random, mut store) = (Random::new(seed), store());
        for step in 0..50 {
            let at = format!("seed {seed}, step {step}");
            match random.below(8) {
                0 => {
                    let body = document(&mut random);
                    store.elsewhere(&create(random.one_of(&IDS), body));
                }
                1 => store.delete_elsewhere(&task(random.one_of(&IDS))),
                2 => {
                    let some = IDS.iter().filter(|_| random.once_in(2));
                    let some: Vec<DocumentKey> = some.map(|id| task(id)).collect();
                    let _stamped = store.import(&some);
                }
                3 => {
                    let draft = create(random.one_of(&IDS), document(&mut random));
                    let is_there = store.living().any(|entry| entry.key == draft.key())
                        || store.state.foreign.contains_key(&draft.key());
                    let answer = store.push(&anonymously("alice"), std::slice::from_ref(&draft));
                    // A create that meets a document comes to what both say.
                    if !is_there {
                        expect_reason(&store, &draft, &answer, &at);
                    }
                }
                _ => {
                    let changes: Vec<Draft> = (0..=random.below(4))
                        .map(|_| change(&mut random, &store))
                        .collect();
                    let mut sender = anonymously("alice");
                    sender.atomic = random.once_in(4);
                    let _answer = store.push(&sender, &changes);
                }
            }
            expect_unique(&store, &at);
        }
        for _ in 0..=IDS.len() {
            let _stamped = store.import(&IDS.map(task));
        }
        let at = format!("seed {seed}, in the end");
        let held = expect_unique(&store, &at);
        expect_only_duplicates_withheld(&store, &held, &at);
    }
}

/// What is still withheld is a duplicate of what is shown.
fn expect_only_duplicates_withheld(
    store: &Store,
    held: &BTreeMap<UniqueKey, DocumentKey>,
    at: &str,
) {
    let document_type = &store.model.types[0];
    for (key, foreign) in &store.state.foreign {
        let ForeignState::Document(body) = foreign else {
            continue;
        };
        let scope = body["audience"].as_str().expect("it is a text");
        let scope = tidegate_core::id::Scope::new(scope).expect("it is a scope");
        let rules = document_type.uniques.iter();
        let mut keys =
            rules.filter_map(|rule| UniqueKey::of(&document_type.stored_as, rule, &scope, body));
        let is_duplicate = keys.any(|unique| held.get(&unique).is_some_and(|holder| holder != key));
        assert!(is_duplicate, "{at}: {key} is not shown, and no duplicate");
        assert!(
            store.state.misfits.contains(key),
            "{at}: {key} has no record"
        );
    }
}
