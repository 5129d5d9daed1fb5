//! Edit times (protocol 4.9): how they are recorded, clamped and compared, and that retention does not use them.

use serde_json::json;
use tidegate_core::{
    decide::{CLOCK_SKEW_MAX_MS, Decision},
    entry::Entry,
    outcome::Status,
};

use crate::{
    bench::{
        Bench,
        Who::{Bob, Laptop, Phone},
        decisions, value, written,
    },
    drafts::{Draft, create, delete, start, update},
};

/// The time of the decision, in milliseconds after the start.
const NOW: i64 = 100_000;

/// The edit time recorded for `draft` after a creation recorded at 1,000 ms.
fn recorded(draft: &Draft) -> i64 {
    let bench = Bench::new("CLIENT_WINS");
    let entry = bench.entry_after(&[(Phone, create("t", json!({ "title": "a" })))]);
    let entry = written(bench.decide(entry.as_ref(), Phone, draft), "edit");
    since_start(&entry)
}

fn since_start(entry: &Entry) -> i64 {
    entry.writers[&entry.version].edited_at.ms() - start().ms()
}

#[test]
fn an_edit_without_a_time_was_made_now() {
    assert_eq!(recorded(&update("t", 1, json!({ "title": "b" }))), NOW);
}

#[test]
fn an_edit_without_a_time_does_not_go_back_with_the_clock() {
    let bench = Bench::new("LAST_WRITE_WINS");
    let created = bench.entry_after(&[(Phone, create("t", json!({ "title": "a", "stars": 1 })))]);
    let mut created = Entry::clone(created.as_ref().unwrap());
    created.at = start().plus_ms(NOW + 3_600_000);
    let rated = update("t", 1, json!({ "stars": 2 }));
    let entry = written(bench.decide(Some(&created), Laptop, &rated), "edit");
    assert_eq!(since_start(&entry), NOW + 3_600_000);
    let dated = rated.at(50_000);
    let entry = written(bench.decide(Some(&created), Laptop, &dated), "edit");
    assert_eq!(since_start(&entry), 50_000, "what a client says stays");
}

#[test]
fn an_edit_time_is_taken_as_the_client_says() {
    assert_eq!(
        recorded(&update("t", 1, json!({ "title": "b" })).at(50_000)),
        50_000
    );
}

#[test]
fn an_edit_time_of_the_future_is_clamped_to_the_skew() {
    let tomorrow = update("t", 1, json!({ "title": "b" })).at(86_400_000);
    assert_eq!(recorded(&tomorrow), NOW + CLOCK_SKEW_MAX_MS);
}

#[test]
fn an_edit_time_lies_after_the_edit_that_it_replaces() {
    assert_eq!(
        recorded(&update("t", 1, json!({ "title": "b" })).at(-5_000)),
        1_001
    );
    assert_eq!(recorded(&delete("t", 1).at(-5_000)), 1_001);
}

#[test]
fn a_re_creation_lies_after_the_delete() {
    let bench = Bench::new("CLIENT_WINS");
    let tombstone = bench.entry_after(&[(Phone, create("t", json!({}))), (Phone, delete("t", 1))]);
    let again = written(
        bench.decide(
            tombstone.as_ref(),
            Phone,
            &create("t", json!({})).at(-5_000),
        ),
        "re-creation",
    );
    assert_eq!(since_start(&again), 2_001);
}

#[test]
fn retention_uses_server_time_alone() {
    let bench = Bench::new("CLIENT_WINS");
    let entry = bench.entry_after(&[(Phone, create("t", json!({})).at(-9_000))]);
    let gone = written(
        bench.decide(entry.as_ref(), Phone, &delete("t", 1).at(-5_000)),
        "delete",
    );
    assert_eq!(gone.at, start().plus_ms(NOW));
}

#[test]
fn edit_times_are_compared_field_by_field() {
    let history = [
        (
            Bob,
            create("t", json!({ "title": "a", "done": false })).at(-90_000),
        ),
        (Bob, update("t", 1, json!({ "title": "theirs" })).at(50_000)),
        (Bob, update("t", 2, json!({ "done": null })).at(10_000)),
    ];
    for rule in ["LAST_WRITE_WINS", "MERGE/LAST_WRITE_WINS"] {
        let bench = Bench::new(rule);
        let entry = bench.entry_after(&history);
        let mine = update("t", 1, json!({ "title": "mine", "done": true })).at(30_000);
        let merged = written(bench.decide(entry.as_ref(), Phone, &mine), "merge");
        assert_eq!(
            value(&merged, "title")
                .and_then(|v| v.as_str().map(str::to_owned))
                .as_deref(),
            Some("theirs")
        );
        assert_eq!(
            value(&merged, "done"),
            Some(tidegate_core::value::Value::Bool(true))
        );
    }
}

#[test]
fn equal_edit_times_go_by_the_client_id() {
    // "laptop" stands before "phone", and the higher id wins.
    for (theirs, mine, status) in [
        (Laptop, Phone, Status::Merged),
        (Phone, Laptop, Status::Conflict),
    ] {
        let bench = Bench::new("LAST_WRITE_WINS");
        let entry = bench.entry_after(&[
            (Bob, create("t", json!({ "title": "a" })).at(-90_000)),
            (
                theirs,
                update("t", 1, json!({ "title": "theirs" })).at(10_000),
            ),
        ]);
        let draft = update("t", 1, json!({ "title": "mine" })).at(10_000);
        let found = match bench.decide(entry.as_ref(), mine, &draft) {
            Decision::Write { status, .. } | Decision::Keep { status, .. } => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, status, "{mine:?} after {theirs:?}");
    }
}

#[test]
fn a_delete_is_as_late_as_the_latest_edit_it_meets() {
    let history = [
        (
            Bob,
            create("t", json!({ "title": "a", "stars": 1 })).at(-90_000),
        ),
        (Bob, update("t", 1, json!({ "title": "b" })).at(70_000)),
        (Bob, update("t", 2, json!({ "stars": 2 })).at(10_000)),
    ];
    // The title was edited at 70 s, after the later one of the table's two edits, at 60 s.
    decisions! {
        "delete": history, Phone delete("t", 1) => "C A C C C A C C H H";
    }
}
