//! Lists with `@merge(with: ITEMS)` (rules.md 4.8): what either side adds, removes, edits and moves holds, in any order of
//! arrival.
//!
//! `decide/items` tries all edits of small lists. Here they arrive as pushes.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value as Json, json};
use tidegate_core::{
    model::Model,
    outcome::{Rule, Taken},
    value::json::encode_fields,
};

use crate::{
    drafts::{Draft, create, update},
    senders::{by, summaries},
    store::Store,
};

fn store(overlap: &str) -> Store {
    let text = format!(
        r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MERGE, overlap: {overlap}) {{
  id: ID! lines: [Line!] @key(field: "code") @merge(with: ITEMS) other: String
}}
type Line {{ code: ID! count: Int @merge(with: COUNTER) note: String parts: [Part!] @key(field: "n") @merge(with: ITEMS) }}
type Part {{ n: Int! x: String }}
"#
    );
    Store::of(Model::parse("model.graphql", &text).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

fn line(code: &str, count: i32, note: &str) -> Json {
    json!({ "code": code, "count": count, "note": note })
}

/// A document with these lines, in its first version.
fn begun(overlap: &str, lines: &Json) -> Store {
    let mut store = store(overlap);
    let made = store.push(
        &by("dave", "d").from(1),
        &[create("t", json!({ "lines": lines }))],
    );
    assert_eq!(summaries(&made), ["APPLIED 1"]);
    store
}

/// An edit of the lines of version 1.
fn edit(before: &Json, after: &Json) -> Draft {
    update("t", 1, json!({ "lines": after })).seeing(json!({ "lines": before }))
}

fn lines(store: &Store) -> Json {
    let body = store.task("t").body.as_ref().expect("it is alive");
    let fields = &store.model.types[0].fields;
    encode_fields(&store.model, fields, body)["lines"].clone()
}

/// What becomes of the second edit, and of the lines.
fn merged(overlap: &str, [before, theirs, mine]: [Json; 3]) -> (Vec<String>, Json) {
    let mut store = begun(overlap, &before);
    let first = store.push(&by("bob", "b").from(1), &[edit(&before, &theirs)]);
    assert_eq!(summaries(&first), ["APPLIED 2"]);
    let second = store.push(&by("carol", "c").from(1), &[edit(&before, &mine)]);
    (summaries(&second), lines(&store))
}

#[test]
fn both_sides_of_one_item_are_joined_field_by_field() {
    let before = json!([line("a", 1, "x"), line("b", 1, "x")]);
    let theirs = json!([line("a", 3, "x"), line("b", 1, "theirs")]);
    let mine = json!([line("a", 2, "mine"), line("b", 1, "mine")]);
    for (overlap, winner) in [("SERVER_WINS", "theirs"), ("CLIENT_WINS", "mine")] {
        let sides = [before.clone(), theirs.clone(), mine.clone()];
        let expected = json!([line("a", 4, "mine"), line("b", 1, winner)]);
        assert_eq!(
            merged(overlap, sides),
            (vec!["MERGED 3".to_owned()], expected)
        );
    }
}

#[test]
fn an_edit_against_a_removal_and_two_items_of_one_key_follow_overlap() {
    let before = json!([line("a", 1, "x"), line("b", 1, "x")]);
    let edited = json!([
        line("a", 1, "edited"),
        line("b", 1, "x"),
        line("n", 1, "first")
    ]);
    let removed = json!([line("b", 1, "x"), line("n", 1, "second")]);
    for (overlap, theirs_first, mine_first) in [
        (
            "SERVER_WINS",
            json!([
                line("a", 1, "edited"),
                line("b", 1, "x"),
                line("n", 1, "first")
            ]),
            json!([line("b", 1, "x"), line("n", 1, "second")]),
        ),
        (
            "CLIENT_WINS",
            json!([line("b", 1, "x"), line("n", 1, "second")]),
            json!([
                line("a", 1, "edited"),
                line("b", 1, "x"),
                line("n", 1, "first")
            ]),
        ),
    ] {
        let sides = [before.clone(), edited.clone(), removed.clone()];
        assert_eq!(merged(overlap, sides).1, theirs_first, "{overlap}");
        let sides = [before.clone(), removed.clone(), edited.clone()];
        assert_eq!(merged(overlap, sides).1, mine_first, "{overlap}");
    }
    let (summary, shown) = merged("MANUAL", [before, edited.clone(), removed]);
    assert_eq!(
        (summary, shown),
        (vec!["CONFLICT 2".to_owned()], edited),
        "a person decides"
    );
}

#[test]
fn additions_follow_what_they_followed_and_what_others_put_there() {
    let (a, b, c) = (line("a", 1, ""), line("b", 1, ""), line("c", 1, ""));
    let (n, m, o) = (line("n", 1, ""), line("m", 1, ""), line("o", 1, ""));
    for (theirs, mine, expected) in [
        (json!([a, n, b]), json!([a, m, b]), json!([a, n, m, b])),
        (
            json!([n, a, b]),
            json!([m, o, a, b]),
            json!([n, m, o, a, b]),
        ),
        (json!([b, n]), json!([a, m, b, o]), json!([m, b, n, o])),
        (json!([b, a, n]), json!([a, m, b]), json!([b, a, n, m])),
        (json!([a, b]), json!([b, c, a]), json!([b, c, a])),
    ] {
        let before = json!([a, b]);
        let sides = [before, theirs.clone(), mine.clone()];
        assert_eq!(merged("SERVER_WINS", sides).1, expected, "{theirs} {mine}");
    }
}

#[test]
fn lists_in_items_are_merged_by_their_own_keys() {
    let with = |parts: Json| json!([{ "code": "a", "parts": parts }]);
    let part = |n: i32, x: &str| json!({ "n": n, "x": x });
    let sides = [
        with(json!([part(1, "x"), part(2, "x")])),
        with(json!([part(1, "theirs"), part(2, "x"), part(3, "x")])),
        with(json!([part(2, "mine"), part(1, "x")])),
    ];
    let expected = with(json!([part(2, "mine"), part(1, "theirs"), part(3, "x")]));
    let mut shown = merged("SERVER_WINS", sides).1;
    for field in ["count", "note"] {
        assert!(
            shown[0]
                .as_object_mut()
                .expect("an item")
                .remove(field)
                .is_none_or(|it| it.is_null())
        );
    }
    assert_eq!(shown, expected);
}

#[test]
fn an_app_that_does_not_know_a_field_of_the_items_keeps_it() {
    let before = json!([line("a", 1, "x"), line("b", 1, "x")]);
    let mut store = begun("SERVER_WINS", &before);
    let known = |code: &str, count: i32| json!({ "code": code, "count": count });
    let (seen, set) = (
        json!([known("a", 1), known("b", 1)]),
        json!([known("a", 5)]),
    );
    let answer = store.push(&by("bob", "b").from(1), &[edit(&seen, &set)]);
    assert_eq!(summaries(&answer), ["APPLIED 2"]);
    assert_eq!(lines(&store), json!([line("a", 5, "x")]), "b is removed");
}

#[test]
fn without_base_or_mutation_ids_the_list_is_one_value() {
    let before = json!([line("a", 1, "x")]);
    let (theirs, mine) = (json!([line("b", 1, "x")]), json!([line("c", 1, "x")]));
    for with_base in [true, false] {
        let mut store = begun("SERVER_WINS", &before);
        let first = store.push(&by("bob", "b").from(1), &[edit(&before, &theirs)]);
        assert_eq!(summaries(&first), ["APPLIED 2"]);
        let (sender, draft) = match with_base {
            true => (by("carol", "c"), edit(&before, &mine)),
            false => (
                by("carol", "c").from(1),
                update("t", 1, json!({ "lines": mine })),
            ),
        };
        assert_eq!(summaries(&store.push(&sender, &[draft])), ["CONFLICT 2"]);
        assert_eq!(lines(&store), theirs);
    }
}

#[test]
fn the_outcome_says_that_the_items_of_both_were_joined() {
    let before = json!([line("a", 1, "x")]);
    let mut store = begun("SERVER_WINS", &before);
    let theirs = edit(&before, &json!([line("a", 1, "x"), line("b", 1, "x")]));
    assert!(store.push(&by("bob", "b").from(1), &[theirs]).is_ok());
    let mine = edit(&before, &json!([line("c", 1, "x"), line("a", 1, "x")]));
    let answer = store
        .push(&by("carol", "c").from(1), &[mine])
        .expect("it is taken");
    let fields = answer.outcomes[0].conflict.as_ref().expect("it was stale");
    assert_eq!(
        (fields[0].rule, fields[0].taken),
        (Rule::Items, Taken::Both)
    );
}

/// What one person does to the lines: removes some, edits others, and adds lines of their own.
fn edited(before: &[Json], touched: &[u8], person: usize) -> Json {
    let mut lines: Vec<Json> = Vec::new();
    for (line, touch) in before.iter().zip(touched) {
        match touch {
            0 => continue,
            1 => {
                let mut edited = line.clone();
                edited["note"] = json!(format!("of {person}"));
                lines.push(edited);
            }
            _ => lines.push(line.clone()),
        }
        if *touch == 2 {
            let place = lines.len();
            lines.push(line_of(person, place));
        }
    }
    Json::Array(lines)
}

fn line_of(person: usize, place: usize) -> Json {
    line(&format!("{person}.{place}"), 0, "new")
}

proptest! {
    #[test]
    fn edits_of_different_items_are_all_kept_in_any_order(
        touched in vec((0..3_usize, 0..5_u8), 4), order in Just(vec![0, 1, 2]).prop_shuffle(),
    ) {
        const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
        let before: Vec<Json> = ["a", "b", "c", "d"].iter().map(|code| line(code, 1, "x")).collect();
        let of = |person: usize| {
            let own = touched.iter().map(|(who, touch)| if *who == person { *touch } else { 4 });
            edited(&before, &own.collect::<Vec<u8>>(), person)
        };
        let mut expected: BTreeMap<String, Json> = BTreeMap::new();
        for (line, (who, touch)) in before.iter().zip(&touched) {
            let mine = of(*who);
            let mine = mine.as_array().expect("a list").iter().find(|it| it["code"] == line["code"]);
            prop_assert_eq!(mine.is_none(), *touch == 0);
            expected.extend(mine.map(|line| (line["code"].to_string(), line.clone())));
        }
        for person in 0..3 {
            let lines = of(person);
            let lines = lines.as_array().expect("a list").iter();
            let added = lines.filter(|line| line["note"] == "new");
            expected.extend(added.map(|line| (line["code"].to_string(), line.clone())));
        }
        let before = Json::Array(before.clone());
        let mut store = begun("SERVER_WINS", &before);
        for person in order {
            let draft = edit(&before, &of(person));
            let sender = by(PEOPLE[person], "phone").from(1);
            for again in [false, true] {
                let answer = store.push(&sender, std::slice::from_ref(&draft));
                prop_assert_eq!(answer.expect("it is taken").duplicate, again);
            }
        }
        let lines = lines(&store);
        let lines = lines.as_array().expect("a list");
        let found: BTreeMap<String, Json> =
            lines.iter().map(|line| (line["code"].to_string(), line.clone())).collect();
        prop_assert_eq!(lines.len(), found.len(), "nothing twice");
        prop_assert_eq!(found, expected);
    }
}
