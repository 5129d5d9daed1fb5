//! Lists keep what their model does not name (rules.md 9.7): after every edit it is with the item that had it, or the
//! change was refused.
//!
//! One model names a mark in each item, and another does not. The first writes the documents and reads the marks, and
//! the second edits the lists.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use serde_json::{Value as Json, json};
use tidegate_core::{
    change::RejectionCode,
    model::Model,
    outcome::Status,
    push::Outcome,
    transaction::ForeignState,
    value::{Document, Value},
};

use crate::{
    drafts::{create, key, update},
    senders::{Sender, by, summaries},
    store::Store,
};

fn model(mark: &str) -> Model {
    let text = format!(
        r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: CLIENT_WINS) {{
  id: ID! plain: [Item!] keyed: [Item!] @key(field: "k") box: Box
}}
type Box {{ items: [Item!] name: String }}
type Item {{ k: Int! v: Int {mark} }}
"#
    );
    Model::parse("model.graphql", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A store that the model without marks serves, with one document that the other one has made.
fn stage(document: Json) -> Store {
    let mut store = Store::of(model("mark: String"));
    let made = store.push(&by("alice", "0").from(1), &[create("t", document)]);
    assert_eq!(summaries(&made), ["APPLIED 1"]);
    store.model = Arc::new(model(""));
    store
}

fn version(store: &Store) -> i32 {
    store.task("t").version.0
}

/// The first fault of a change, if it was refused.
fn refusal(outcome: &Outcome) -> Option<(RejectionCode, Option<&str>)> {
    let error = outcome.error.as_ref()?;
    Some((error.code, error.field.as_deref()))
}

/// The values and marks of a list.
fn stored(body: &Document, list: List) -> Vec<(i32, i32, Option<String>)> {
    let items = match list {
        List::Boxed => match body.get("box") {
            Some(Value::Object(boxed)) => boxed.get("items"),
            _ => None,
        },
        list => body.get(list.name()),
    };
    let Some(Value::List(items)) = items else {
        return Vec::new();
    };
    let item = |item: &Value| match item {
        Value::Object(item) => {
            let number = |name: &str| match item.get(name) {
                Some(Value::Int(number)) => *number,
                other => panic!("{name} is {other:?}"),
            };
            let mark = item.get("mark").and_then(Value::as_str);
            (number("k"), number("v"), mark.map(str::to_owned))
        }
        other => panic!("{other:?} is no item"),
    };
    items.iter().map(item).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Plain,
    Keyed,
    Boxed,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Keyed => "keyed",
            Self::Boxed => "box.items",
        }
    }

    fn set(self, items: &[Item], with_marks: bool) -> Json {
        let item = |item: &Item| match &item.mark {
            Some(mark) if with_marks => json!({ "k": item.k, "v": item.v, "mark": mark }),
            _ => json!({ "k": item.k, "v": item.v }),
        };
        let items: Vec<Json> = items.iter().map(item).collect();
        match self {
            Self::Boxed => json!({ "box": { "name": "x", "items": items } }),
            list => json!({ list.name(): items }),
        }
    }
}

/// An item as its user knows it, with the mark that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    k: i32,
    v: i32,
    mark: Option<String>,
}

/// What a user does to a list. Numbers are places, as far as the list goes.
#[derive(Debug, Clone)]
enum Step {
    Remove(usize),
    Edit(usize),
    Move(usize, usize),
    Insert(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let place = || 0..5_usize;
    prop_oneof![
        place().prop_map(Step::Remove),
        place().prop_map(Step::Edit),
        (place(), place()).prop_map(|(from, to)| Step::Move(from, to)),
        place().prop_map(Step::Insert),
    ]
}

impl Step {
    /// No new value was there before: an item that becomes equal to another one counts as that one.
    fn take(&self, items: &mut Vec<Item>, fresh: &mut i32) {
        let last = items.len().saturating_sub(1);
        *fresh += 1;
        match self {
            Self::Insert(place) => {
                let item = Item {
                    k: *fresh,
                    v: *fresh,
                    mark: None,
                };
                items.insert((*place).min(items.len()), item);
            }
            _ if items.is_empty() => {}
            Self::Remove(place) => drop(items.remove((*place).min(last))),
            Self::Edit(place) => items[(*place).min(last)].v = *fresh,
            Self::Move(from, to) => {
                let item = items.remove((*from).min(last));
                items.insert((*to).min(items.len()), item);
            }
        }
    }
}

/// The marks by the value that they stand with. Items of one value are the same for a user.
fn by_value(
    items: impl Iterator<Item = (i32, i32, Option<String>)>,
) -> BTreeMap<(i32, i32), Vec<Option<String>>> {
    let mut marks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (k, v, mark) in items {
        marks.entry((k, v)).or_default().push(mark);
    }
    marks.values_mut().for_each(|marks| marks.sort());
    marks
}

fn edit_lists(
    list: List,
    first: Vec<(i32, bool)>,
    pushes: Vec<Vec<Vec<Step>>>,
) -> Result<usize, TestCaseError> {
    let item = |(i, (k, marked)): (usize, (i32, bool))| Item {
        // Keys differ. Other items may be equal.
        k: if list == List::Keyed { i as i32 } else { k },
        v: 0,
        mark: marked.then(|| format!("m{i}")),
    };
    let mut items: Vec<Item> = first.into_iter().enumerate().map(item).collect();
    let mut store = stage(list.set(&items, true));
    let (mut fresh, mut refused) = (100, 0);
    for (turn, changes) in pushes.into_iter().enumerate() {
        let mut edited = items.clone();
        let edits: Vec<Vec<Item>> = changes
            .iter()
            .map(|steps| {
                steps
                    .iter()
                    .for_each(|step| step.take(&mut edited, &mut fresh));
                edited.clone()
            })
            .collect();
        let drafts: Vec<_> = edits
            .iter()
            .map(|items| update("t", version(&store), list.set(items, false)))
            .collect();
        let answer = store.push(&by("bob", &turn.to_string()).from(1), &drafts);
        for (outcome, edited) in answer.expect("it is taken").outcomes.iter().zip(edits) {
            match refusal(outcome) {
                None => items = edited,
                Some(refused_with) => {
                    let expected = (RejectionCode::ItemUnidentified, Some(list.name()));
                    prop_assert_eq!(refused_with, expected);
                    refused += 1;
                }
            }
        }
        let body = store.task("t").body.clone().expect("it is alive");
        let found = stored(&body, list);
        let values = |(k, v, _): &(i32, i32, Option<String>)| (*k, *v);
        let shown: Vec<_> = items.iter().map(|item| (item.k, item.v)).collect();
        prop_assert_eq!(found.iter().map(values).collect::<Vec<_>>(), shown);
        let expected = items.iter().map(|item| (item.k, item.v, item.mark.clone()));
        prop_assert_eq!(by_value(found.into_iter()), by_value(expected));
    }
    Ok(refused)
}

type Edits = (Vec<(i32, bool)>, Vec<Vec<Vec<Step>>>);

/// Items, and pushes of changes of steps.
fn edits() -> impl Strategy<Value = Edits> {
    let changes = vec(vec(step(), 1..3), 1..4);
    (vec((0..2_i32, any::<bool>()), 0..5), vec(changes, 1..4))
}

proptest! {
    #[test]
    fn what_a_model_does_not_name_is_where_it_was_or_the_edit_is_refused((first, pushes) in edits()) {
        edit_lists(List::Plain, first, pushes)?;
    }

    #[test]
    fn the_same_holds_in_a_list_inside_an_embedded_document((first, pushes) in edits()) {
        edit_lists(List::Boxed, first, pushes)?;
    }

    #[test]
    fn no_edit_of_keyed_items_is_refused((first, pushes) in edits()) {
        prop_assert_eq!(edit_lists(List::Keyed, first, pushes)?, 0);
    }
}

fn numbered() -> Sender {
    by("bob", "phone").from(1)
}

#[test]
fn two_changes_of_one_push_keep_what_two_pushes_keep() {
    let first =
        json!({ "plain": [{ "k": 1, "v": 1, "mark": "a" }, { "k": 2, "v": 1, "mark": "b" }] });
    let set = |items: &[(i32, i32)]| {
        let items: Vec<Json> = items
            .iter()
            .map(|(k, v)| json!({ "k": k, "v": v }))
            .collect();
        json!({ "plain": items })
    };
    for (changes, expected) in [
        // Edited one at a time, each item is known by the others.
        (
            vec![set(&[(2, 1)]), set(&[(2, 1), (1, 1)])],
            vec![(2, 1, Some("b")), (1, 1, None)],
        ),
        (
            vec![set(&[(2, 1), (1, 1)]), set(&[(2, 1), (3, 3), (1, 1)])],
            vec![(2, 1, Some("b")), (3, 3, None), (1, 1, Some("a"))],
        ),
    ] {
        let (mut apart, mut together) = (stage(first.clone()), stage(first.clone()));
        let drafts = changes.iter().map(|set| update("t", 1, set.clone()));
        let drafts: Vec<_> = drafts.collect();
        for (i, draft) in drafts.iter().enumerate() {
            let sender = by("bob", "phone").from(i as i32 + 1);
            assert!(apart.push(&sender, std::slice::from_ref(draft)).is_ok());
        }
        assert_eq!(
            summaries(&together.push(&numbered(), &drafts)),
            ["APPLIED 2", "APPLIED 3"]
        );
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(k, v, mark)| (k, v, mark.map(str::to_owned)))
            .collect();
        for store in [&apart, &together] {
            let body = store.task("t").body.as_ref().expect("it is alive");
            assert_eq!(stored(body, List::Plain), expected);
        }
    }
}

#[test]
fn a_refused_edit_changes_nothing_and_a_repeat_is_refused_alike() {
    let mut store = stage(json!({ "plain": [{ "k": 1, "v": 1, "mark": "a" }] }));
    let before = store.task("t").clone();
    let edit = update("t", 1, json!({ "plain": [{ "k": 1, "v": 2 }] }));
    for _ in 0..2 {
        let answer = store.push(&numbered(), std::slice::from_ref(&edit));
        let outcome = &answer.expect("it is taken").outcomes[0];
        assert_eq!(outcome.status, Status::Rejected);
        let unidentified = (RejectionCode::ItemUnidentified, Some("plain"));
        assert_eq!(refusal(outcome), Some(unidentified));
        assert_eq!(store.task("t"), &before);
    }
    let moved = update("t", 1, json!({ "plain": [] }));
    let removed = store.push(&by("bob", "phone").from(2), &[moved]);
    assert_eq!(summaries(&removed), ["APPLIED 2"]);
}

#[test]
fn no_two_items_of_a_push_have_one_key() {
    let mut store = stage(json!({ "keyed": [{ "k": 1, "v": 1, "mark": "a" }] }));
    let doubled = json!({ "keyed": [{ "k": 1, "v": 1 }, { "k": 2 }, { "k": 1, "v": 2 }] });
    let answer = store.push(&numbered(), &[update("t", 1, doubled)]);
    let outcome = &answer.expect("it is taken").outcomes[0];
    let invalid = (RejectionCode::InvalidValue, Some("keyed[2].k"));
    assert_eq!(refusal(outcome), Some(invalid));
}

#[test]
fn keys_that_another_service_stored_twice_are_shown_and_mended_by_a_change() {
    let mut store = stage(json!({ "keyed": [] }));
    let item = |k: i32, v: i32, mark: &str| {
        let fields = [
            ("k".to_owned(), Value::Int(k)),
            ("v".to_owned(), Value::Int(v)),
            ("mark".to_owned(), Value::String(mark.to_owned())),
        ];
        Value::Object(fields.into())
    };
    let items = vec![item(1, 1, "a"), item(1, 2, "b"), item(2, 2, "c")];
    let document = Document::from([("keyed".to_owned(), Value::List(items))]);
    store.foreign(key("Task", "t"), ForeignState::Document(document));
    let _stamp = store.import(&[key("Task", "t")]);
    assert_eq!(version(&store), 2, "clients are shown the document");
    let set = |items: Json| [update("t", 2, json!({ "keyed": items }))];
    let (b, c) = (json!({ "k": 1, "v": 2 }), json!({ "k": 2, "v": 9 }));
    let unclear = store.push(&numbered(), &set(json!([{ "k": 1, "v": 5 }, &c])));
    let outcome = &unclear.expect("it is taken").outcomes[0];
    let unidentified = (RejectionCode::ItemUnidentified, Some("keyed"));
    assert_eq!(refusal(outcome), Some(unidentified), "it may be either");
    let mended = store.push(&by("bob", "phone").from(2), &set(json!([&c, &b])));
    assert_eq!(summaries(&mended), ["APPLIED 3"]);
    let body = store.task("t").body.as_ref().expect("it is alive");
    let expected = [(2, 9, "c"), (1, 2, "b")];
    let expected = expected.map(|(k, v, mark)| (k, v, Some(mark.to_owned())));
    assert_eq!(stored(body, List::Keyed), expected);
}
