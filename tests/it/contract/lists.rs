//! What a store promises of indexes: each read finds the living documents that the core says are in it, in their order.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use tidegate::store::{Listed, Store};
use tidegate_core::{
    entry::Entry,
    id::{Scope, TypeName},
    query::{IndexDefinition, IndexRead, IndexedField, IntervalSet, KeyPart, NextColumn, Range},
    value::{Document, Timestamp, Value},
    view::RecordHead,
};
use tidegate_testkit::Random;

use super::{
    Backend,
    fixture::{entries, entry, key, scope, task, tombstone, write, write_change},
};

const SCOPES: [&str; 3] = ["a", "b", "c"];

fn index(fields: &[&str]) -> Arc<IndexDefinition> {
    let fields = fields.iter().map(|name| IndexedField {
        stored_as: (*name).to_owned(),
        is_list: *name == "tags",
    });
    Arc::new(IndexDefinition {
        type_name: TypeName::new("Task").unwrap(),
        fields: fields.collect(),
        unique: None,
    })
}

fn indexes() -> Vec<Arc<IndexDefinition>> {
    [
        &[][..],
        &["n"],
        &["x", "n"],
        &["tags", "n"],
        &["b", "x", "at"],
    ]
    .map(index)
    .into()
}

/// Values of all types that an index orders, and absence.
fn values() -> Vec<Option<Value>> {
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let text = |text: &str| Value::String(text.to_owned());
    let numbers = [
        Value::Int(-3),
        Value::Int(0),
        Value::Int(1),
        Value::Long(1),
        Value::Float(1.0),
        Value::Float(0.1),
        decimal("0.1"),
        decimal("1.00"),
        Value::Long(9_007_199_254_740_993),
        Value::Float(9_007_199_254_740_992.0),
        Value::Float(-1e300),
        decimal("-9E+6000"),
    ];
    let texts = ["", "a", "a\u{1}", "ab", "b", "ä", "\u{ffff}", "\u{10000}"].map(text);
    let others = [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        Value::DateTime(Timestamp::from_ms(-1).unwrap()),
        Value::DateTime(Timestamp::from_ms(1).unwrap()),
    ];
    let all = numbers.into_iter().chain(texts).chain(others);
    all.map(Some).chain([None, None]).collect()
}

fn document(random: &mut Random) -> Document {
    let values = values();
    let mut body = Document::new();
    for name in ["n", "x", "b", "at"] {
        if let Some(value) = values[random.below(values.len())].clone() {
            body.insert(name.to_owned(), value);
        }
    }
    let tags = ["p", "q", "r", "q"]
        .into_iter()
        .filter(|_| random.once_in(2));
    let tags = tags.map(|tag| Value::String(tag.to_owned()));
    body.insert("tags".to_owned(), Value::List(tags.collect()));
    body
}

pub(crate) fn living(random: &mut Random, id: usize, version: i32) -> Entry {
    let scope = scope(random.one_of(&SCOPES));
    Entry {
        body: Some(document(random)),
        ..entry(&task(&format!("{id:02}")), &scope, version)
    }
}

/// A read of a random part of an index.
fn part(random: &mut Random) -> IndexRead {
    let indexes = indexes();
    let index = Arc::clone(&indexes[random.below(indexes.len())]);
    let values: Vec<KeyPart> = values()
        .into_iter()
        .map(|value| value.map_or(KeyPart::NULL, KeyPart::from))
        .collect();
    let lists = index.fields.iter().filter(|field| field.is_list).count();
    let pinned = lists + random.below(index.fields.len() + 1 - lists);
    let points = (0..pinned).map(|place| match index.fields[place].is_list {
        true => vec![KeyPart::text(random.one_of(&["p", "q", "z"]))],
        false => {
            let some = values.iter().filter(|_| random.below(3) > 0).cloned();
            let some: BTreeSet<KeyPart> = some.collect();
            some.into_iter().collect()
        }
    });
    let points: Vec<Vec<KeyPart>> = points.collect();
    let next = match random.below(3) {
        _ if pinned == index.fields.len() => NextColumn::All,
        0 => NextColumn::All,
        1 => {
            let several = values.iter().filter(|value| !value.is_null());
            let several: BTreeSet<KeyPart> =
                several.filter(|_| random.once_in(2)).cloned().collect();
            NextColumn::Points(several.into_iter().collect())
        }
        _ => NextColumn::Range(range(random, &values)),
    };
    let scopes = SCOPES.iter().filter(|_| random.below(3) > 0);
    let scopes: Vec<Scope> = scopes.map(|name| scope(name)).collect();
    IndexRead {
        index,
        points,
        next,
        scopes: if scopes.is_empty() {
            vec![scope("a")]
        } else {
            scopes
        },
        descending: random.once_in(2),
        items_max: random.one_of(&[1, 5, 100]),
        bytes_max: usize::MAX,
        ids_only: random.once_in(4),
    }
}

fn range(random: &mut Random, values: &[KeyPart]) -> Range {
    loop {
        let value = &values[random.below(values.len())];
        if value.is_null() {
            continue;
        }
        let set = match random.below(3) {
            0 => IntervalSet::below(value, random.once_in(2)),
            1 => IntervalSet::above(value, random.once_in(2)),
            _ => {
                let other = &values[random.below(values.len())];
                IntervalSet::above(value, true).intersection(&IntervalSet::below(other, false))
            }
        };
        let mut ranges = set.ranges();
        if let Some(range) = ranges.pop() {
            return range;
        }
    }
}

fn ids(listed: &Listed) -> Vec<String> {
    let of_records = listed.records.iter();
    let of_records = of_records.map(|record| record.view().unwrap().id().to_owned());
    of_records
        .chain(listed.ids.iter().map(ToString::to_string))
        .collect()
}

/// What the core says is in a part of an index.
fn expected(all: &[Arc<Entry>], read: &IndexRead) -> Vec<String> {
    let within = all.iter().filter(|entry| read.contains(entry.as_ref()));
    let mut within: Vec<_> = within.collect();
    within.sort_by_cached_key(|entry| read.order_key(entry.as_ref()));
    if read.descending {
        within.reverse();
    }
    within.truncate(read.items_max);
    within
        .iter()
        .map(|entry| entry.key.id.to_string())
        .collect()
}

async fn all(store: &dyn Store) -> Vec<Arc<Entry>> {
    let mut snapshot = store.snapshot().await.unwrap();
    snapshot.walk(None, 10_000).await.unwrap()
}

/// Random parts of the indexes have what they should.
async fn expect_parts(store: &dyn Store, random: &mut Random, count: usize) {
    let all = all(store).await;
    let mut snapshot = store.snapshot().await.unwrap();
    for _ in 0..count {
        let read = part(random);
        let listed = snapshot.list(&read).await.unwrap();
        assert!(!listed.is_cut);
        assert_eq!(ids(&listed), expected(&all, &read), "{read:?}");
    }
}

pub(crate) async fn an_index_has_documents_of_all_values_in_their_order(backend: &impl Backend) {
    let (store, mut random) = (backend.open().await, Random::new(11));
    store.keep_indexes(&indexes()).await.unwrap();
    let written = (0..60).map(|id| living(&mut random, id, 1));
    write(&*store, entries(written)).await;
    // Documents of another type have the same fields.
    let mut of_another = living(&mut random, 0, 1);
    of_another.key = key("Note", "00");
    write(&*store, entries([of_another])).await;
    expect_parts(&*store, &mut random, 150).await;
}

pub(crate) async fn an_index_follows_its_documents(backend: &impl Backend) {
    let (store, mut random) = (backend.open().await, Random::new(12));
    store.keep_indexes(&indexes()).await.unwrap();
    for version in 1..12 {
        let changed = (0..8).map(|id| match random.below(5) {
            0 => tombstone(&task(&format!("{id:02}")), &scope("a"), version),
            1 => Entry {
                withheld: true,
                ..tombstone(&task(&format!("{id:02}")), &scope("b"), version)
            },
            _ => living(&mut random, id, version),
        });
        let changed: Vec<Entry> = changed.collect();
        write(&*store, entries(changed)).await;
        expect_parts(&*store, &mut random, 8).await;
    }
    drop(store);
    let store = backend.open().await;
    store.keep_indexes(&indexes()).await.unwrap();
    expect_parts(&*store, &mut random, 20).await;
}

pub(crate) async fn an_index_that_is_built_later_has_what_was_there_and_what_came_meanwhile(
    backend: &impl Backend,
) {
    let (store, mut random) = (backend.open().await, Random::new(13));
    let before = (0..50).map(|id| living(&mut random, id, 1));
    write(&*store, entries(before)).await;
    let writing = async {
        for step in 0..20 {
            let id = format!("{:02}", step * 2);
            let target = scope(SCOPES[step % 3]);
            let target = Some(&target).filter(|_| step % 4 > 0);
            write_change(&*store, &task(&id), target).await;
        }
    };
    let building = async {
        store.keep_indexes(&indexes()[..3]).await.unwrap();
        store.keep_indexes(&indexes()).await.unwrap();
    };
    tokio::join!(writing, building);
    expect_parts(&*store, &mut random, 40).await;
    // One index goes, and comes again.
    store.keep_indexes(&indexes()[1..]).await.unwrap();
    write_change(&*store, &task("03"), Some(&scope("a"))).await;
    store.keep_indexes(&indexes()).await.unwrap();
    expect_parts(&*store, &mut random, 20).await;
    // Gateways may do so at the same time.
    let both = [indexes(), indexes()];
    let kept = both.iter().map(|indexes| store.keep_indexes(indexes));
    join_all(kept).await.into_iter().for_each(Result::unwrap);
}

pub(crate) async fn a_read_of_an_index_is_bounded_in_bytes(backend: &impl Backend) {
    let (store, mut random) = (backend.open().await, Random::new(14));
    store.keep_indexes(&indexes()).await.unwrap();
    let written = (0..10).map(|id| Entry {
        scope: scope("a"),
        ..living(&mut random, id, 1)
    });
    write(&*store, entries(written)).await;
    let read = |bytes_max| IndexRead {
        index: index(&[]),
        scopes: vec![scope("a")],
        points: Vec::new(),
        next: NextColumn::All,
        descending: false,
        items_max: 5,
        bytes_max,
        ids_only: false,
    };
    let mut snapshot = store.snapshot().await.unwrap();
    let whole = snapshot.list(&read(usize::MAX)).await.unwrap();
    assert_eq!((whole.records.len(), whole.is_cut), (5, false));
    let sizes = whole.records.iter().map(|record| record.bytes());
    assert_eq!(whole.bytes, sizes.sum::<usize>());
    let one = snapshot.list(&read(0)).await.unwrap();
    assert_eq!((one.records.len(), one.is_cut), (1, true));
    let cut = snapshot.list(&read(one.bytes + 1)).await.unwrap();
    assert!(cut.is_cut);
    assert_eq!(cut.records.len(), 2);
}
