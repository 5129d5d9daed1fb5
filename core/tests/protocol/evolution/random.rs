//! Random models of one collection, which name different parts of its documents by different names, and edit them in turn.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::subsequence, test_runner::TestCaseError};
use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    model::Model,
    transaction::ForeignState,
    value::{Document, Value, json::decode_fields},
};

use crate::{
    drafts::{create, key, update},
    senders::{by, summaries},
    store::Store,
};

/// The stored names of the fields of each type. Every name stands at several levels.
const STORED: [&str; 5] = ["a", "b", "c", "d", "place"];

/// What a model names of a type: the stored names, and behind each the name in the model.
type Names = BTreeMap<&'static str, &'static str>;

/// The names of a model's documents, of their places, and of the places in places.
#[derive(Debug, Clone)]
struct Levels([Names; 3]);

/// Some of the stored names, each under any other name.
fn names() -> impl Strategy<Value = Names> {
    let kept = subsequence(&STORED[..4], 1..=4);
    let named = Just(STORED.to_vec()).prop_shuffle();
    (kept, any::<bool>(), named).prop_map(|(mut kept, has_place, named)| {
        kept.extend(has_place.then_some("place"));
        kept.into_iter().zip(named).collect()
    })
}

fn levels() -> impl Strategy<Value = Levels> {
    (names(), names(), names()).prop_map(|(one, two, three)| Levels([one, two, three]))
}

impl Levels {
    fn model(&self) -> Model {
        let of = |level: usize| {
            let fields = self.0[level]
                .iter()
                .filter(|(stored, _)| level < 2 || **stored != "place");
            let fields = fields.map(|(stored, name)| {
                let ty = match *stored {
                    "place" => format!("Place{level}"),
                    _ => "Int".to_owned(),
                };
                format!("{name}: {ty} @stored(as: \"{stored}\") ")
            });
            fields.collect::<String>()
        };
        let [task, outer, inner] = [0, 1, 2].map(of);
        let text = format!(
            r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MERGE) {{ id: ID! kept: Int {task} }}
type Place0 {{ kept: Int {outer} }}
type Place1 {{ kept: Int {inner} }}
"#
        );
        Model::parse("model.graphql", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// What a client of the model writes to some fields, and how that is stored.
    fn written(&self, level: usize, numbers: &mut impl Iterator<Item = i32>) -> Map<String, Json> {
        let mut fields = Map::new();
        for (stored, name) in &self.0[level] {
            let number = numbers.next().unwrap_or_default();
            let value = match *stored {
                "place" if level == 2 => continue,
                "place" => Json::Object(self.written(level + 1, numbers)),
                _ => json!(number),
            };
            // Some fields are left out.
            if number % 4 != 0 {
                fields.insert((*name).to_owned(), value);
            }
        }
        fields
    }
}

/// A stored document after a write of these fields by a model, which names the rest of it or does not.
fn expected(
    levels: &Levels,
    level: usize,
    before: &Document,
    set: &Document,
    is_whole: bool,
) -> Document {
    let names = &levels.0[level];
    let mut after = before.clone();
    after.retain(|name, _| !is_whole || !(names.contains_key(name.as_str()) || name == "kept"));
    for (name, value) in set {
        let value = match (before.get(name), value) {
            (Some(Value::Object(before)), Value::Object(set)) => {
                Value::Object(expected(levels, level + 1, before, set, true))
            }
            (_, value) => value.clone(),
        };
        after.insert(name.clone(), value);
    }
    after
}

#[derive(Debug, Clone)]
struct Step {
    /// Whose turn it is.
    second: bool,
    /// Whether a service writes the document, which the importer of the model takes over.
    elsewhere: bool,
    numbers: Vec<i32>,
}

fn step() -> impl Strategy<Value = Step> {
    (any::<bool>(), any::<bool>(), vec(0..1_000, 20)).prop_map(|(second, elsewhere, numbers)| {
        Step {
            second,
            elsewhere,
            numbers,
        }
    })
}

fn take_turns(models: [Levels; 2], steps: Vec<Step>) -> Result<(), TestCaseError> {
    let parsed = models.clone().map(|levels| Arc::new(levels.model()));
    let mut store = Store::of(Model::clone(&parsed[0]));
    let made = store.push(
        &by("alice", "0").from(1),
        &[create("t", json!({ "kept": 1 }))],
    );
    prop_assert_eq!(summaries(&made), ["APPLIED 1"]);
    let task = key("Task", "t");
    for (turn, step) in steps.into_iter().enumerate() {
        let (levels, model) = (
            &models[usize::from(step.second)],
            &parsed[usize::from(step.second)],
        );
        store.model = Arc::clone(model);
        let before = Document::clone(store.task("t").body.as_ref().expect("it is alive"));
        let set = levels.written(0, &mut step.numbers.into_iter());
        let fields = &model
            .document_type("Task")
            .expect("the model has it")
            .fields;
        let document = decode_fields(model, fields, set.clone()).expect("it fits");
        if document.is_empty() {
            continue;
        }
        let version = store.task("t").version.0;
        let wanted = if step.elsewhere {
            store.foreign(task.clone(), ForeignState::Document(document.clone()));
            let _stamp = store.import(std::slice::from_ref(&task));
            expected(levels, 0, &before, &document, true)
        } else {
            let edit = update("t", version, Json::Object(set));
            let client = by("bob", &turn.to_string()).from(1);
            let answer = store.push(&client, &[edit]);
            prop_assert_eq!(summaries(&answer), [format!("APPLIED {}", version + 1)]);
            expected(levels, 0, &before, &document, false)
        };
        prop_assert_eq!(store.task("t").body.as_ref(), Some(&wanted));
        for model in &parsed {
            store.model = Arc::clone(model);
            let stamp = store.import(std::slice::from_ref(&task));
            prop_assert!(stamp.entries.is_empty(), "a version without an edit");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn models_that_name_different_parts_of_a_document_lose_nothing_of_each_other(
        models in [levels(), levels()],
        steps in vec(step(), 1..8),
    ) {
        take_turns(models, steps)?;
    }
}
