//! What a store promises of unique values: each commit learns who has one, and of two commits at a time one gets it.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use tidegate::store::Store;
use tidegate_core::{
    entry::Entry,
    id::{DocumentKey, TypeName},
    query::{IndexDefinition, IndexedField, KeyPart, Rank, UniqueIndex},
    transaction::{Loaded, Reads, Writes},
    unique::UniqueKey,
    value::{Timestamp, Value},
};

use super::{
    Backend,
    fixture::{commit, entries, entry, get, key, scope, task, tombstone, write},
};

fn index(fields: &[(&str, Rank)], across_scopes: bool) -> Arc<IndexDefinition> {
    let names = fields.iter().map(|(name, _)| IndexedField {
        stored_as: (*name).to_owned(),
        is_list: false,
    });
    Arc::new(IndexDefinition {
        type_name: TypeName::new("Task").unwrap(),
        fields: names.collect(),
        unique: Some(UniqueIndex {
            across_scopes,
            ranks: fields.iter().map(|(_, rank)| *rank).collect(),
        }),
    })
}

/// A number in all scopes, and a place with a day in each.
fn indexes() -> Vec<Arc<IndexDefinition>> {
    vec![
        index(&[("number", Rank::Number)], true),
        index(&[("place", Rank::Text), ("at", Rank::Instant)], false),
    ]
}

fn number(number: Value) -> UniqueKey {
    UniqueKey {
        type_name: TypeName::new("Task").unwrap(),
        fields: vec!["number".to_owned()],
        scope: None,
        values: vec![KeyPart::from(number)],
    }
}

fn place(of: &str, place: &str, at: i64) -> UniqueKey {
    UniqueKey {
        type_name: TypeName::new("Task").unwrap(),
        fields: vec!["place".to_owned(), "at".to_owned()],
        scope: Some(scope(of)),
        values: vec![
            KeyPart::text(place),
            KeyPart::from(Timestamp::from_ms(at).unwrap()),
        ],
    }
}

/// A document with these fields and no others.
fn with(key: &DocumentKey, of: &str, version: i32, fields: &[(&str, Value)]) -> Entry {
    let fields = fields.iter().cloned();
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Entry {
        body: Some(fields.collect()),
        ..entry(key, &scope(of), version)
    }
}

fn numbered(id: &str, version: i32, number: i32) -> Entry {
    with(&task(id), "a", version, &[("number", Value::Int(number))])
}

/// Who has these values, by the ids of documents; each of them is looked up by one commit.
async fn holders(store: &dyn Store, keys: &[UniqueKey]) -> Vec<Option<String>> {
    let asked = keys.to_vec();
    let seen = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let show = Arc::clone(&seen);
    let decide = move |loaded: &Loaded| {
        let unheld = asked.iter().filter(|key| !loaded.holders.contains_key(key));
        show.lock().unwrap().clone_from(&loaded.holders);
        Writes {
            unheld: unheld.cloned().collect(),
            ..Writes::default()
        }
    };
    commit(store, Reads::default(), Arc::new(decide))
        .await
        .unwrap();
    let seen = seen.lock().unwrap();
    let id = |key: &UniqueKey| seen[key].as_ref().map(|holder| holder.id.to_string());
    keys.iter().map(id).collect()
}

fn named(ids: &[Option<&str>]) -> Vec<Option<String>> {
    ids.iter().map(|id| id.map(str::to_owned)).collect()
}

pub(crate) async fn who_has_a_value_is_found_within_a_scope_and_in_all(backend: &impl Backend) {
    let store = backend.open().await;
    store.build_uniques(&indexes()).await.unwrap();
    let text = |text: &str| Value::String(text.to_owned());
    let at = |ms| Value::DateTime(Timestamp::from_ms(ms).unwrap());
    let here = [("place", text("quay")), ("at", at(1))];
    write(
        &*store,
        entries([
            with(&task("1"), "a", 1, &[("number", Value::Int(1))]),
            with(&task("2"), "b", 1, &[("number", Value::Float(2.5))]),
            with(&task("null"), "b", 1, &[("number", Value::Null)]),
            with(&task("none"), "b", 1, &[]),
            with(&task("quay-a"), "a", 1, &here),
            with(&task("quay-b"), "b", 1, &here),
            with(&task("half"), "b", 1, &here[..1]),
            with(&key("Note", "other"), "a", 1, &[("number", Value::Int(7))]),
        ]),
    )
    .await;
    let asked = [
        number(Value::Int(1)),
        number(Value::Long(1)),
        number(Value::Float(2.5)),
        number(Value::Int(7)),
        place("a", "quay", 1),
        place("b", "quay", 1),
        place("c", "quay", 1),
        place("a", "quay", 2),
        place("a", "qua", 1),
    ];
    let expected = [
        Some("1"),
        Some("1"),
        Some("2"),
        None,
        Some("quay-a"),
        Some("quay-b"),
        None,
        None,
        None,
    ];
    assert_eq!(holders(&*store, &asked).await, named(&expected));
    // A tombstone and a withheld document have no values, and a document that moves takes its own along.
    write(
        &*store,
        entries([
            tombstone(&task("1"), &scope("a"), 2),
            Entry {
                withheld: true,
                ..tombstone(&task("2"), &scope("b"), 2)
            },
            with(&task("quay-a"), "c", 2, &here),
        ]),
    )
    .await;
    let expected = [
        None,
        None,
        None,
        None,
        None,
        Some("quay-b"),
        Some("quay-a"),
        None,
        None,
    ];
    assert_eq!(holders(&*store, &asked).await, named(&expected));
    drop(store);
    let store = backend.open().await;
    store.build_uniques(&indexes()).await.unwrap();
    assert_eq!(holders(&*store, &asked).await, named(&expected));
}

pub(crate) async fn an_index_of_values_that_is_built_later_has_what_was_there(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    let all = (0..300).map(|n| numbered(&n.to_string(), 1, n));
    write(&*store, entries(all)).await;
    store.build_uniques(&indexes()).await.unwrap();
    let asked: Vec<UniqueKey> = (0..302).map(|n| number(Value::Int(n))).collect();
    let mut expected: Vec<Option<String>> = (0..300).map(|n| Some(n.to_string())).collect();
    expected.extend([None, None]);
    assert_eq!(holders(&*store, &asked).await, expected);
}

pub(crate) async fn values_change_hands_within_one_commit(backend: &impl Backend) {
    let store = backend.open().await;
    store.build_uniques(&indexes()).await.unwrap();
    let first = (0..4).map(|n| numbered(&n.to_string(), 1, n));
    write(&*store, entries(first)).await;
    // Two change their values for one another's, one takes what the next one leaves, and a new one what a deleted one had.
    let changed = [
        numbered("0", 2, 1),
        numbered("1", 2, 0),
        numbered("2", 2, 5),
        tombstone(&task("3"), &scope("a"), 2),
        numbered("new", 1, 3),
        numbered("newer", 1, 2),
    ];
    let vacating = ["0", "1", "2", "3"].map(task);
    let writes = Writes {
        vacating: vacating.into(),
        ..entries(changed)
    };
    write(&*store, writes).await;
    let asked = [0, 1, 2, 3, 5].map(|n| number(Value::Int(n)));
    let expected = [Some("1"), Some("0"), Some("newer"), Some("new"), Some("2")];
    assert_eq!(holders(&*store, &asked).await, named(&expected));
    for id in ["0", "1", "2", "3"] {
        let found = get(&*store, &task(id)).await;
        assert_eq!(found.map(|entry| entry.version.0), Some(2), "{id}");
    }
}

pub(crate) async fn of_commits_that_take_one_value_at_once_one_does(backend: &impl Backend) {
    let store = backend.open().await;
    store.build_uniques(&indexes()).await.unwrap();
    let takes = (0..8).map(|taker| {
        let store = Arc::clone(&store);
        async move {
            let wanted = number(Value::Int(1));
            let mine = with(
                &task(&taker.to_string()),
                &format!("scope-{taker}"),
                1,
                &[("number", Value::Int(1))],
            );
            let decide = move |loaded: &Loaded| match loaded.holders.get(&wanted) {
                None => Writes {
                    unheld: [wanted.clone()].into(),
                    ..Writes::default()
                },
                Some(Some(_)) => Writes::default(),
                Some(None) => entries([mine.clone()]),
            };
            let written = commit(&*store, Reads::default(), Arc::new(decide)).await;
            written.unwrap().entries.len()
        }
    });
    let taken: usize = join_all(takes).await.into_iter().sum();
    assert_eq!(taken, 1);
    let held = holders(&*store, &[number(Value::Int(1))]).await;
    assert!(held[0].is_some());
}
