//! What must be true of every merge: no edit of another field is lost, sums are exact, and the order in which edits
//! arrive does not matter where the merge promises that.
//!
//! [`crate::merges`] has single merges. Here they are drawn at random, and arrive late, twice and in any order.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::{Map, Value as Json, json};
use tidegate_core::{model::Model, value::json::encode_fields};

use crate::{
    drafts::{Draft, create, update},
    senders::by,
    store::Store,
};

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

/// One edit of each client, all of the same version, arriving in this order, and each of them twice.
fn arrive(first: &Json, edits: &[Draft], order: &[usize]) -> Json {
    arrive_in(Store::new("MERGE/SERVER_WINS"), first, edits, order)
}

fn arrive_in(mut store: Store, first: &Json, edits: &[Draft], order: &[usize]) -> Json {
    let made = create("t", first.clone()).at(-90_000);
    let made = store.push(&by("dave", "d").from(1), &[made]);
    assert!(made.is_ok());
    for i in order {
        let sender = by(PEOPLE[*i], "phone").from(1);
        for again in [false, true] {
            let answer = store.push(&sender, std::slice::from_ref(&edits[*i]));
            assert_eq!(answer.expect("it is taken").duplicate, again);
        }
    }
    let body = store.task("t").body.clone().expect("it is alive");
    Json::Object(encode_fields(
        &store.model,
        &store.model.types[0].fields,
        &body,
    ))
}

/// An edit of version 1 with the values that it saw.
fn edit(first: &Json, set: Json) -> Draft {
    let touched = set.as_object().expect("fields are an object").keys();
    let seen = touched.map(|name| (name.clone(), first[name].clone()));
    update("t", 1, set.clone()).seeing(Json::Object(seen.collect()))
}

fn orders() -> impl Strategy<Value = Vec<usize>> {
    Just(vec![0, 1, 2]).prop_shuffle()
}

fn sets() -> impl Strategy<Value = Vec<String>> {
    subsequence(vec!["a", "b", "c", "d", "e", "f"], 0..=6)
        .prop_shuffle()
        .prop_map(|items| items.into_iter().map(str::to_owned).collect())
}

fn as_set(list: &Json) -> BTreeSet<String> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|item| item.as_str().expect("a text").to_owned())
        .collect()
}

/// An embedded document that is merged field by field, and one inside it.
const NESTED: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MERGE, overlap: SERVER_WINS) {
  id: ID!
  place: Place
}
type Place { city: String, street: String, visits: Int @merge(with: COUNTER), stock: Stock }
type Stock { count: Int @merge(with: COUNTER), tags: [String!] @merge(with: SET), shelf: String }
"#;

fn nested() -> Store {
    Store::of(Model::parse("model.graphql", NESTED).expect("the model is sound"))
}

proptest! {
    #[test]
    fn the_latest_edit_wins_in_any_order_and_ties_are_settled_the_same(
        times in vec(0..3_i64, 3), order in orders(),
    ) {
        let latest = (0..3).max_by_key(|i| (times[*i], PEOPLE[*i])).expect("there are three");
        for (rule, field) in [("LAST_WRITE_WINS", "stars"), ("MERGE/LAST_WRITE_WINS", "stars"), ("MERGE/SERVER_WINS", "latest")] {
            let before = json!({ field: -1 });
            let edits: Vec<Draft> = (0..3).map(|i| edit(&before, json!({ field: i })).at(times[i])).collect();
            let merged = arrive_in(Store::new(rule), &before, &edits, &order);
            prop_assert_eq!(&merged[field], &json!(latest), "{}", rule);
        }
    }

    #[test]
    fn embedded_counters_sum_and_fields_that_one_has_touched_are_kept_in_any_order(
        added in vec((-9..9_i32, -9..9_i32), 3), order in orders(),
    ) {
        let place = |city: &str, street: &str, shelf: &str, (visits, count): (i32, i32), tags: &[&str]| json!({ "place": {
            "city": city, "street": street, "visits": visits, "stock": { "count": count, "tags": tags, "shelf": shelf },
        }});
        let before = place("A", "A", "A", (0, 0), &["old"]);
        let edits = [
            edit(&before, place("B", "A", "A", added[0], &["old", "x"])),
            edit(&before, place("A", "B", "A", added[1], &["y"])),
            edit(&before, place("A", "A", "B", added[2], &["old"])),
        ];
        let merged = arrive_in(nested(), &before, &edits, &order);
        let sum = added.iter().fold((0, 0), |sum, added| (sum.0 + added.0, sum.1 + added.1));
        let tags = as_set(&merged["place"]["stock"]["tags"]);
        prop_assert_eq!(tags, BTreeSet::from(["x", "y"].map(str::to_owned)));
        let mut expected = place("B", "B", "B", sum, &[]);
        expected["place"]["stock"]["tags"] = merged["place"]["stock"]["tags"].clone();
        prop_assert_eq!(merged, expected);
    }

    #[test]
    fn counters_sum_exactly_in_any_order_and_however_often_edits_arrive(
        first in -1_000..1_000_i32, mine in vec(-1_000..1_000_i32, 3), order in orders(),
    ) {
        let before = json!({ "count": first });
        let edits: Vec<Draft> = mine.iter().map(|count| edit(&before, json!({ "count": count }))).collect();
        let sum = first + mine.iter().map(|count| count - first).sum::<i32>();
        prop_assert_eq!(&arrive(&before, &edits, &order)["count"], &json!(sum));
    }

    #[test]
    fn sets_hold_what_was_added_and_not_what_was_removed_in_any_order(
        first in sets(), mine in vec(sets(), 3), order in orders(),
    ) {
        let before = json!({ "tags": first });
        let edits: Vec<Draft> = mine.iter().map(|tags| edit(&before, json!({ "tags": tags }))).collect();
        let merged = arrive(&before, &edits, &order)["tags"].clone();
        let was = as_set(&before["tags"]);
        let sides: Vec<BTreeSet<String>> = mine.iter().map(|tags| tags.iter().cloned().collect()).collect();
        let kept = was.iter().filter(|tag| sides.iter().all(|side| side.contains(*tag)));
        let added = sides.iter().flatten().filter(|tag| !was.contains(*tag));
        let expected: BTreeSet<String> = kept.chain(added).cloned().collect();
        prop_assert_eq!(merged.as_array().map(Vec::len), Some(expected.len()), "nothing twice");
        prop_assert_eq!(as_set(&merged), expected);
    }

    #[test]
    fn extremes_commute(first in any::<i32>(), mine in vec(any::<i32>(), 3), order in orders()) {
        let before = json!({ "highest": first, "lowest": first });
        let edits: Vec<Draft> = mine.iter()
            .map(|n| edit(&before, json!({ "highest": n, "lowest": n })))
            .collect();
        let merged = arrive(&before, &edits, &order);
        // The first to arrive replaces what it saw, whatever that was.
        prop_assert_eq!(&merged["highest"], &json!(mine.iter().max()));
        prop_assert_eq!(&merged["lowest"], &json!(mine.iter().min()));
    }

    #[test]
    fn edits_of_different_sentences_are_all_kept_in_any_order(
        words in vec("[a-z]{1,6}", 3), order in orders(), others in 0..3_usize,
    ) {
        let sentence = |i: usize, word: &str| format!("Sentence {i} says {word}. ");
        let text = |changed: &dyn Fn(usize) -> bool| -> String {
            (0..3 + others).map(|i| if i < 3 && changed(i) { sentence(i, &words[i]) } else { sentence(i, "nothing") }).collect()
        };
        let before = json!({ "text": text(&|_| false) });
        let edits: Vec<Draft> = (0..3).map(|i| edit(&before, json!({ "text": text(&|j| i == j) }))).collect();
        prop_assert_eq!(&arrive(&before, &edits, &order)["text"], &json!(text(&|_| true)));
    }

    #[test]
    fn no_edit_of_a_field_that_nobody_else_touched_is_lost(
        touched in vec(vec(any::<bool>(), 5), 3), order in orders(),
    ) {
        const FIELDS: [&str; 5] = ["stars", "done", "title", "latest", "clients"];
        let before = json!({ "stars": 0, "done": false, "title": "", "latest": 0, "clients": 0 });
        let value = |field: &str, person: usize| match field {
            "done" => json!(true),
            "title" => json!(PEOPLE[person]),
            _ => json!(person + 1),
        };
        let set = |person: usize| -> Map<String, Json> {
            let fields = FIELDS.iter().zip(&touched[person]).filter(|(_, touched)| **touched);
            fields.map(|(field, _)| ((*field).to_owned(), value(field, person))).collect()
        };
        let sets: Vec<_> = (0..3).map(set).collect();
        prop_assume!(sets.iter().all(|set| !set.is_empty()));
        let edits: Vec<Draft> = sets.iter().map(|set| edit(&before, Json::Object(set.clone()))).collect();
        let merged = arrive(&before, &edits, &order);
        for field in FIELDS {
            let authors: Vec<usize> = (0..3).filter(|i| sets[*i].contains_key(field)).collect();
            match authors[..] {
                [] => prop_assert_eq!(&merged[field], &before[field]),
                [only] => prop_assert_eq!(&merged[field], &value(field, only)),
                _ => prop_assert!(authors.iter().any(|i| merged[field] == value(field, *i))),
            }
        }
    }
}
