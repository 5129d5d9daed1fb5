//! All edits of small lists, two in a row: what the writer does not name is where it was, or the edit is not proven.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::value::Document;

const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") { id: ID! plain: [Item!] }
type Item { k: String! q: Int }
"#;

/// An item after an edit, and the place that it had among the stored ones.
#[derive(Debug, Clone, PartialEq)]
struct Edited {
    k: char,
    q: i32,
    origin: Option<usize>,
}

/// A stored item.
#[derive(Debug, Clone, Copy)]
struct Stored {
    k: char,
    holds_others: bool,
}

fn item(k: char, q: i32, mark: Option<usize>) -> Value {
    let mut item = Document::from([
        ("k".to_owned(), Value::String(k.to_string())),
        ("q".to_owned(), Value::Int(q)),
    ]);
    item.extend(mark.map(|mark| ("mark".to_owned(), Value::Int(mark as i32))));
    Value::Object(item)
}

/// The lists that are one edit away.
fn edits(list: &[Edited], is_keyed: bool) -> Vec<Vec<Edited>> {
    let mut edits = Vec::new();
    for i in 0..list.len() {
        let mut without = list.to_vec();
        let item = without.remove(i);
        for q in [1, 2] {
            let mut edited = list.to_vec();
            edited[i].q = q;
            edits.push(edited);
        }
        for j in (0..list.len()).filter(|j| *j != i) {
            let mut moved = without.clone();
            moved.insert(j, item.clone());
            edits.push(moved);
        }
        edits.push(without);
    }
    for place in 0..=list.len() {
        for k in ['a', 'b', 'n'] {
            if is_keyed && list.iter().any(|item| item.k == k) {
                continue;
            }
            let mut added = list.to_vec();
            let (q, origin) = (1, None);
            added.insert(place, Edited { k, q, origin });
            edits.push(added);
        }
    }
    edits
}

/// The stored lists with up to three items.
fn stored_lists(is_keyed: bool) -> Vec<Vec<Stored>> {
    let keys: &[char] = if is_keyed {
        &['a', 'b', 'c']
    } else {
        &['a', 'b']
    };
    let mut lists: Vec<Vec<Stored>> = vec![Vec::new()];
    let mut all = Vec::new();
    for _ in 0..3 {
        let longer = lists.iter().flat_map(|list| {
            let free = keys
                .iter()
                .filter(|k| !is_keyed || list.iter().all(|it| it.k != **k));
            free.flat_map(|k| {
                [false, true].map(|holds_others| {
                    let k = *k;
                    [&list[..], &[Stored { k, holds_others }]].concat()
                })
            })
        });
        lists = longer.collect();
        all.extend(lists.clone());
    }
    all
}

#[derive(Debug, Default, PartialEq)]
struct Found {
    edits: usize,
    refused: usize,
    /// An item was edited to say what another stored one said, and counts as that one.
    became_another: usize,
}

fn search(is_keyed: bool) -> Found {
    let model = Model::parse("model.graphql", MODEL).unwrap();
    let list = &model.types[0].fields[0].ty.shape;
    let crate::model::Shape::List(item_type) = list else {
        unreachable!("the field is a list")
    };
    let mut found = Found::default();
    for stored in stored_lists(is_keyed) {
        let holds_others: Vec<bool> = stored.iter().map(|it| it.holds_others).collect();
        let mark = |i: usize| holds_others[i].then_some(i);
        let before = stored.iter().enumerate();
        let before: Vec<Value> = before.map(|(i, it)| item(it.k, 1, mark(i))).collect();
        let first = stored.iter().enumerate().map(|(origin, it)| Edited {
            k: it.k,
            q: 1,
            origin: Some(origin),
        });
        let first: Vec<Edited> = first.collect();
        let edit = ListEdit {
            model: &model,
            item: item_type,
            key: is_keyed.then_some("k"),
            before: &before,
            holds_others: &holds_others,
        };
        for one in edits(&first, is_keyed) {
            let two = edits(&one, is_keyed);
            for mut edited in std::iter::once(one).chain(two) {
                found.edits += 1;
                let after: Vec<Value> = edited.iter().map(|it| item(it.k, it.q, None)).collect();
                let matched = edit.matched(&after);
                if !matched.is_proven {
                    found.refused += 1;
                    continue;
                }
                if is_keyed {
                    for it in &mut edited {
                        let same_key = || stored.iter().position(|stored| stored.k == it.k);
                        it.origin = it.origin.or_else(same_key);
                    }
                }
                let marks = |origins: &dyn Fn(usize) -> Option<usize>| {
                    let mut marks: BTreeMap<_, Vec<_>> = BTreeMap::new();
                    for (i, it) in edited.iter().enumerate() {
                        let mark = origins(i).and_then(&mark);
                        marks.entry((it.k, it.q)).or_default().push(mark);
                    }
                    marks.values_mut().for_each(|marks| marks.sort());
                    marks
                };
                let (wanted, got) = (marks(&|i| edited[i].origin), marks(&|i| matched.origins[i]));
                if wanted == got {
                    continue;
                }
                let stored_values: BTreeSet<_> = stored.iter().map(|it| (it.k, 1)).collect();
                let became_another = edited.iter().any(|it| {
                    let was = it.origin.map(|origin| (stored[origin].k, 1));
                    let is = (it.k, it.q);
                    wanted[&is] != got[&is] && stored_values.contains(&is) && was != Some(is)
                });
                assert!(
                    became_another,
                    "{stored:?} -> {edited:?}: {:?}",
                    matched.origins
                );
                found.became_another += 1;
            }
        }
    }
    found
}

#[test]
fn of_all_edits_of_small_lists_none_moves_or_loses_what_the_writer_does_not_name() {
    let found = search(false);
    assert_eq!((found.edits, found.refused), (62_288, 10_482));
    assert!(found.became_another * 20 < found.edits, "{found:?}");
}

#[test]
fn no_edit_of_a_keyed_list_is_refused() {
    let found = search(true);
    assert_eq!((found.refused, found.became_another), (0, 0));
    assert_eq!(found.edits, 23_572);
}
