//! false, 0, "", [], null and absent are six different things, and an edit to each of them is an edit.
//!
//! How such values are read and written as JSON is tested beside that code.

use serde_json::{Value as Json, json};
use tidegate_core::{decide::Decision, outcome::Status};

use crate::{
    bench::{
        Bench,
        Who::{Bob, Phone},
        check, value, written,
    },
    drafts::{create, update},
};

/// A field, a value that is never overlooked, and its falsy one.
fn falsy() -> [(&'static str, Json, Json); 7] {
    [
        ("done", json!(true), json!(false)),
        ("stars", json!(5), json!(0)),
        ("title", json!("mine"), json!("")),
        ("words", json!(["a"]), json!([])),
        ("done", json!(true), json!(null)),
        ("stars", json!(5), json!(null)),
        ("words", json!(["a"]), json!(null)),
    ]
}

#[test]
fn a_falsy_value_is_written_as_it_is() {
    for (field, full, falsy) in falsy() {
        let history = [(Bob, create("t", json!({ field: full })))];
        check(
            field,
            &history,
            Phone,
            &update("t", 1, json!({ field: falsy })),
            "A A A A A A A A A A",
        );
        let created = create("t", json!({ field: falsy }));
        check(field, &[], Phone, &created, "A A A A A A A A A A");
    }
}

#[test]
fn a_stale_falsy_value_is_an_edit_of_its_own_field() {
    for (field, full, falsy) in falsy() {
        let history = [
            (Bob, create("t", json!({ field: full, "count": 1 }))),
            (Bob, update("t", 1, json!({ "count": 2 }))),
        ];
        check(
            field,
            &history,
            Phone,
            &update("t", 1, json!({ field: falsy })),
            "C M M M M M M M M H",
        );
    }
}

#[test]
fn a_stale_falsy_value_overlaps_as_any_other_does() {
    for (field, full, falsy) in falsy().into_iter().filter(|(field, ..)| *field != "title") {
        let other = json!({ field: full });
        let history = [
            (Bob, create("t", json!({ field: null }))),
            (Bob, update("t", 1, other)),
        ];
        check(
            field,
            &history,
            Phone,
            &update("t", 1, json!({ field: falsy })),
            "C M C M C M C M H H",
        );
    }
}

#[test]
fn falsy_values_of_the_server_are_not_overwritten_as_if_they_were_none() {
    for (field, full, falsy) in falsy().into_iter().filter(|(field, ..)| *field != "title") {
        let history = [
            (Bob, create("t", json!({ field: full }))),
            (Bob, update("t", 1, json!({ field: falsy }))),
        ];
        check(
            field,
            &history,
            Phone,
            &update("t", 1, json!({ field: full })),
            "C M C M C M C M H H",
        );
    }
}

#[test]
fn null_equals_absent_where_edits_are_compared_and_stays_null_where_it_is_stored() {
    let bench = Bench::new("MERGE/SERVER_WINS");
    let entry = bench.entry_after(&[(Bob, create("t", json!({ "title": "a" })))]);
    let nulled = update("t", -1, json!({ "stars": null }));
    let entry = written(
        bench.decide(entry.as_ref(), Phone, &nulled),
        "null over absent",
    );
    assert_eq!(
        value(&entry, "stars"),
        Some(tidegate_core::value::Value::Null)
    );
    assert_eq!(value(&entry, "done"), None);
}

#[test]
fn an_absent_field_of_a_patch_is_left_alone() {
    let bench = Bench::new("CLIENT_WINS");
    let entry = bench.entry_after(&[
        (
            Bob,
            create("t", json!({ "title": "a", "stars": 0, "done": false })),
        ),
        (Phone, update("t", 1, json!({ "title": null }))),
    ]);
    let fields: Vec<String> = entry
        .and_then(|entry| entry.body)
        .expect("it is alive")
        .into_keys()
        .collect();
    assert_eq!(fields, ["audience", "done", "stars", "title"]);
}

#[test]
fn a_required_field_cannot_be_cleared_and_a_read_only_one_not_set() {
    let bench = Bench::new("CLIENT_WINS");
    let entry = bench.entry_after(&[(Phone, create("t", json!({})))]);
    for set in [
        json!({ "audience": null }),
        json!({ "locked": 1 }),
        json!({ "stars": "x" }),
        json!({ "unknown": 1 }),
    ] {
        let decision = bench.decide(entry.as_ref(), Phone, &update("t", 1, set));
        let Decision::Reject(rejection) = decision else {
            panic!("{decision:?}")
        };
        assert_eq!(rejection.code.name(), "INVALID_VALUE");
        assert!(rejection.field.is_some());
    }
}

#[test]
fn a_merge_writes_only_the_fields_that_the_change_carries() {
    let bench = Bench::new("MERGE/SERVER_WINS");
    let entry = bench.entry_after(&[
        (
            Bob,
            create("t", json!({ "title": "old", "done": false, "stars": 1 })),
        ),
        (Bob, update("t", 1, json!({ "stars": 0 }))),
    ]);
    let mine = update("t", 1, json!({ "done": true })).seeing(json!({ "done": false }));
    let decision = bench.decide(entry.as_ref(), Phone, &mine);
    assert!(
        matches!(&decision, Decision::Write { status: Status::Merged, fields: Some(fields), .. } if fields.len() == 1)
    );
    let merged = written(decision, "merge");
    assert_eq!(
        value(&merged, "stars"),
        Some(tidegate_core::value::Value::Int(0))
    );
}
