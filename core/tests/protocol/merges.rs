//! What `@merge` makes of two edits of one field: a table of values.
//!
//! Protocol 4.7 and 4.8. The decision tables say which fields overlap.

use serde_json::{Value as Json, json};
use tidegate_core::{
    decide::Decision,
    outcome::{Status, Taken},
    value::json::encode,
};

use crate::{
    bench::{
        Bench, Step, Who,
        Who::{Bob, Phone},
    },
    drafts::{Draft, create, update},
};

/// Bob creates the document with the first value of the field and changes it to the second.
pub(crate) fn changed(field: &str, [first, second]: [Json; 2]) -> Vec<Step> {
    vec![
        (Bob, create("t", json!({ field: first }))),
        (Bob, update("t", 1, json!({ field: second }))),
    ]
}

/// The outcome of `draft`, and the field's value afterwards.
pub(crate) fn outcome(
    rule: &str,
    history: &[Step],
    who: Who,
    draft: &Draft,
    field: &str,
) -> (Status, Json) {
    let bench = Bench::new(rule);
    let entry = bench.entry_after(history);
    let (status, left) = match bench.decide(entry.as_ref(), who, draft) {
        Decision::Write { status, entry, .. } => (status, Some(*entry)),
        Decision::Keep { status, .. } => (status, entry),
        other => panic!("{field}: {other:?}"),
    };
    let ty = &bench.model.types[0]
        .field(field)
        .expect("a field of the model")
        .ty;
    let value = left.and_then(|entry| entry.body?.remove(field));
    (
        status,
        value.map_or(json!("absent"), |value| encode(&bench.model, ty, &value)),
    )
}

/// Stale edits under MERGE with the server winning overlaps: `field: base -> theirs, mine => status value;`.
macro_rules! merges {
    ($($field:literal: $base:tt -> $theirs:tt, $mine:tt => $status:ident $value:tt;)+) => {
        $(check($field, [json!($base), json!($theirs), json!($mine)], (Status::$status, json!($value)));)+
    };
}

fn check(field: &str, [base, theirs, mine]: [Json; 3], expect: (Status, Json)) {
    let history = changed(field, [base.clone(), theirs.clone()]);
    let draft = update("t", 1, json!({ field: mine })).seeing(json!({ field: base }));
    let found = outcome("MERGE/SERVER_WINS", &history, Phone, &draft, field);
    assert_eq!(found, expect, "{field}: {draft:?} meets {theirs}");
}

#[test]
fn counters_add_up() {
    merges! {
        "count": 10 -> 15, 12 => Merged 17;
        "count": 10 -> 15, 3 => Merged 8;
        "count": 0 -> 1, 1 => Merged 2;
        "count": 10 -> 0, 0 => Merged (-10);
        "count": null -> 4, 2 => Merged 6;
        "count": 10 -> null, 12 => Merged 2;
    }
}

#[test]
fn sets_add_and_remove_what_was_added_and_removed() {
    merges! {
        "tags": ["a", "b"] -> ["a", "b", "c"], ["b", "d"] => Merged ["b", "c", "d"];
        "tags": ["a", "b"] -> ["b"], ["a", "b", "d"] => Merged ["b", "d"];
        "tags": ["a", "b"] -> ["a", "b", "c"], [] => Merged ["c"];
        "tags": [] -> ["x"], ["x"] => Merged ["x"];
        "tags": null -> ["x"], ["y"] => Merged ["x", "y"];
        "tags": ["x"] -> null, ["x", "y"] => Merged ["y"];
    }
}

#[test]
fn edits_of_different_sentences_are_joined() {
    merges! {
        "text": "One. Two. Three." -> "ONE. Two. Three.", "One. Two. THREE." => Merged "ONE. Two. THREE.";
        "text": "One. Two." -> "ONE. Two.", "One. TWO." => Merged "ONE. TWO.";
        "text": "One. Two." -> "ONE. Two.", "One." => Merged "ONE.";
        "text": "One. Two." -> "One. TWO.", "One. Two. Three." => Merged "One. TWO. Three.";
        "text": "- milk\n- tea" -> "- oat milk\n- tea", "- milk\n- green tea" => Merged "- oat milk\n- green tea";
        "text": "One." -> "One. Two.", "Zero. One." => Merged "Zero. One. Two.";
        "text": "" -> "", "one" => Merged "one";
    }
}

#[test]
fn edits_of_the_same_sentence_go_by_the_overlap() {
    merges! {
        "text": "one two" -> "one 2", "one II" => Conflict "one 2";
        "text": "One two three four." -> "ONE two three four.", "One two three FOUR." => Conflict "ONE two three four.";
        "text": "One. Two." -> "One.", "One. TWO." => Conflict "One.";
        "text": "" -> "Theirs.", "Mine." => Conflict "Theirs.";
    }
}

#[test]
fn a_difference_cleared_to_null_goes_by_the_overlap() {
    merges! {
        "count": 1 -> 2, null => Conflict 2;
        "tags": ["a"] -> ["b"], null => Conflict ["b"];
        "text": "a" -> "b", null => Conflict "b";
    }
}

#[test]
fn larger_and_smaller_values_win() {
    merges! {
        "highest": 5 -> 7, 6 => Conflict 7;
        "highest": 5 -> 7, 9 => Merged 9;
        "highest": 5 -> 0, (-1) => Conflict 0;
        "highest": 5 -> null, (-1) => Merged (-1);
        "lowest": 5 -> 3, 4 => Conflict 3;
        "lowest": 5 -> 3, 0 => Merged 0;
    }
}

#[test]
fn a_side_may_win_always() {
    merges! {
        "servers": 1 -> 2, 3 => Conflict 2;
        "clients": 1 -> 2, 3 => Merged 3;
    }
}

#[test]
fn latest_goes_by_the_edit_time_of_the_field() {
    let history = changed("latest", [json!(1), json!(2)]);
    let mine = update("t", 1, json!({ "latest": 3 }));
    for (at, expect) in [
        (1_999, (Status::Conflict, json!(2))),
        (2_001, (Status::Merged, json!(3))),
    ] {
        let draft = mine.clone().at(at);
        assert_eq!(
            outcome("MERGE/SERVER_WINS", &history, Phone, &draft, "latest"),
            expect
        );
    }
}

/// An edit without a time counts as made now (protocol 4.9).
#[test]
fn latest_without_a_time_is_as_late_as_its_arrival() {
    let history = changed("latest", [json!(1), json!(2)]);
    let mine = update("t", 1, json!({ "latest": 3 }));
    let found = outcome("MERGE/SERVER_WINS", &history, Phone, &mine, "latest");
    assert_eq!(found, (Status::Merged, json!(3)));
    let ahead = [
        (Bob, create("t", json!({ "latest": 1 }))),
        (Bob, update("t", 1, json!({ "latest": 2 })).at(9_000_000)),
    ];
    let found = outcome("MERGE/SERVER_WINS", &ahead, Phone, &mine, "latest");
    assert_eq!(
        found,
        (Status::Merged, json!(3)),
        "a clock that ran ahead was held to a minute beyond the gateway's"
    );
}

#[test]
fn without_overlap_the_value_is_taken_whatever_the_strategy() {
    for (field, before, mine) in [
        ("highest", json!(7), json!(3)),
        ("lowest", json!(3), json!(7)),
        ("servers", json!(1), json!(2)),
        ("latest", json!(1), json!(2)),
    ] {
        let history = [
            (Bob, create("t", json!({ field: before }))),
            (Bob, update("t", 1, json!({ "title": "x" }))),
        ];
        let draft = update("t", 1, json!({ field: mine })).at(-1_000);
        let found = outcome("MERGE/SERVER_WINS", &history, Phone, &draft, field);
        assert_eq!(found, (Status::Merged, mine), "{field}");
    }
}

#[test]
fn a_sum_or_text_beyond_what_the_field_holds_is_rejected() {
    let bench = Bench::new("MERGE/SERVER_WINS");
    let entry = bench.entry_after(&changed("count", [json!(0), json!(i32::MAX)]));
    let draft = update("t", 1, json!({ "count": 1 })).seeing(json!({ "count": 0 }));
    let decision = bench.decide(entry.as_ref(), Phone, &draft);
    assert!(
        matches!(decision, Decision::Reject(ref r) if r.code.name() == "INVALID_VALUE"),
        "{decision:?}"
    );
}

#[test]
fn a_merge_reports_field_by_field_what_it_met_and_what_was_taken() {
    let bench = Bench::new("MERGE/SERVER_WINS");
    let entry = bench.entry_after(&[
        (
            Bob,
            create("t", json!({ "title": "old", "count": 1, "stars": 1 })),
        ),
        (
            Bob,
            update("t", 1, json!({ "title": "theirs", "count": 2 })),
        ),
    ]);
    let draft = update("t", 1, json!({ "title": "mine", "count": 5, "stars": 9 }))
        .seeing(json!({ "title": "old", "count": 1, "stars": 1 }));
    let Decision::Write {
        fields: Some(fields),
        ..
    } = bench.decide(entry.as_ref(), Phone, &draft)
    else {
        panic!("it is merged");
    };
    let reported: Vec<(&str, Taken)> = fields
        .iter()
        .map(|field| (field.field.as_str(), field.taken))
        .collect();
    assert_eq!(
        reported,
        [
            ("count", Taken::Both),
            ("stars", Taken::Mine),
            ("title", Taken::Theirs)
        ]
    );
}
