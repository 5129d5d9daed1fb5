//! Bounds apply to the result of a change, and stored documents can be edited (protocol 4.11 and section 7 of the
//! model's page).

use serde_json::{Value as Json, json};
use tidegate_core::{model::LIST_ITEMS_MAX, value::Value};

use crate::{
    drafts::{Draft, create, update},
    senders::{by, summaries},
    store::Store,
};

fn tags(range: std::ops::Range<usize>) -> Json {
    json!(range.map(|i| format!("t{i}")).collect::<Vec<_>>())
}

fn retagged(base: i32, seen: Json, mine: Json) -> Draft {
    update("t", base, json!({ "tags": mine })).seeing(json!({ "tags": seen }))
}

fn items(store: &Store) -> usize {
    match store
        .task("t")
        .body
        .as_ref()
        .and_then(|body| body.get("tags"))
    {
        Some(Value::List(items)) => items.len(),
        _ => 0,
    }
}

#[test]
fn a_set_that_a_merge_would_make_too_long_is_rejected_with_its_field() {
    let mut store = Store::new("MERGE");
    let half = LIST_ITEMS_MAX / 2;
    let _made = store.push(
        &by("bob", "b").from(1),
        &[create("t", json!({ "tags": [] }))],
    );
    let bobs = retagged(1, json!([]), tags(0..half));
    let _tagged = store.push(&by("bob", "b").from(2), &[bobs]);
    let alices = [
        retagged(1, json!([]), tags(half..LIST_ITEMS_MAX + 1)),
        retagged(1, json!([]), tags(half..LIST_ITEMS_MAX)),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &alices);
    assert_eq!(summaries(&answer), ["REJECTED INVALID_VALUE", "MERGED 3"]);
    let error = answer.expect("it is answered").outcomes[0].error.clone();
    assert_eq!(
        error.expect("it is rejected").field.as_deref(),
        Some("tags")
    );
    assert_eq!(items(&store), LIST_ITEMS_MAX);
}

#[test]
fn a_list_that_is_too_long_already_can_be_edited_and_does_not_grow() {
    let mut store = Store::new("MERGE");
    let long = LIST_ITEMS_MAX + 50;
    let _made = store.push(
        &by("bob", "b").from(1),
        &[create("t", json!({ "tags": ["x"] }))],
    );
    store.elsewhere(&create(
        "t",
        json!({ "audience": "all", "tags": tags(0..long) }),
    ));
    let bobs = [
        retagged(2, tags(0..long), tags(1..long + 1)),
        retagged(2, tags(1..long + 1), tags(1..long + 2)),
        retagged(2, tags(1..long + 1), tags(3..long + 1)),
        update("t", 2, json!({ "stars": 5 })),
    ];
    let answer = store.push(&by("bob", "b").from(2), &bobs);
    let expected = [
        "APPLIED 3",
        "REJECTED INVALID_VALUE",
        "APPLIED 4",
        "APPLIED 5",
    ];
    assert_eq!(summaries(&answer), expected);
    assert_eq!(items(&store), long - 2);
}

#[test]
fn no_change_makes_a_list_too_long() {
    let mut store = Store::new("MERGE");
    let changes = [
        create("t", json!({ "tags": tags(0..LIST_ITEMS_MAX) })),
        create("u", json!({ "words": tags(0..LIST_ITEMS_MAX + 1) })),
        update("t", 0, json!({ "words": tags(0..LIST_ITEMS_MAX + 1) })),
    ];
    let answer = store.push(&by("bob", "b").from(1), &changes);
    let rejected = "REJECTED INVALID_VALUE";
    assert_eq!(summaries(&answer), ["APPLIED 1", rejected, rejected]);
}
