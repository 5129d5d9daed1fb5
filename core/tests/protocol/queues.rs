//! Changes that a client queues on its own unanswered changes, and what happens to them when one of those fails.
//!
//! Protocol 4.5 and 4.7, through whole pushes.

use serde_json::json;

use crate::{
    drafts::{create, delete, update},
    senders::{by, summaries},
    store::Store,
};

fn title(text: &str) -> serde_json::Value {
    json!({ "title": text })
}

#[test]
fn a_queue_made_offline_is_applied_in_one_push() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", title("1")),
        update("a", 0, title("2")),
        update("a", 0, json!({ "done": true })),
        delete("a", 0),
        create("a", title("again")),
        update("a", 0, title("once more")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    let versions: Vec<String> = (1..=6)
        .map(|version| format!("APPLIED {version}"))
        .collect();
    assert_eq!(summaries(&answer), versions);
}

#[test]
fn a_queue_is_applied_in_single_pushes_with_the_base_it_was_made_on() {
    let mut store = Store::new("SERVER_WINS");
    let _ = store.push(&by("bob", "phone").from(1), &[create("a", title("1"))]);
    for (first, text) in [(1, "2"), (2, "3"), (3, "4")] {
        let answer = store.push(
            &by("alice", "phone").from(first),
            &[update("a", 1, title(text))],
        );
        assert_eq!(summaries(&answer), [format!("APPLIED {}", first + 1)]);
    }
}

#[test]
fn what_was_queued_on_a_create_that_conflicted_does_not_meet_the_other_document() {
    let mut store = Store::new("SERVER_WINS");
    let _ = store.push(&by("bob", "phone").from(1), &[create("a", title("bobs"))]);
    let changes = [
        create("a", title("mine")),
        update("a", 0, title("2")),
        delete("a", 0),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(
        summaries(&answer),
        ["CONFLICT 1", "CONFLICT 1", "CONFLICT 1"]
    );
}

#[test]
fn what_was_queued_on_a_rejected_create_is_a_conflict_too() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", json!({ "audience": "team:others" })),
        update("a", 0, title("2")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(summaries(&answer), ["REJECTED FORBIDDEN", "CONFLICT"]);
}

#[test]
fn what_was_queued_on_an_unreadable_create_is_a_conflict_too() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", json!({ "stars": "many" })),
        update("a", 0, title("2")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(summaries(&answer), ["REJECTED INVALID_VALUE", "CONFLICT"]);
}

#[test]
fn a_create_that_succeeds_after_a_failed_one_takes_up_the_queue_again() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", json!({ "audience": "team:others" })),
        update("a", 0, title("2")),
        create("a", title("3")),
        update("a", 0, title("4")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(
        summaries(&answer),
        ["REJECTED FORBIDDEN", "CONFLICT", "APPLIED 1", "APPLIED 2"]
    );
}

#[test]
fn other_documents_of_the_push_are_not_touched_by_a_failed_create() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", json!({ "audience": "team:others" })),
        create("b", title("1")),
        update("b", 0, title("2")),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(
        summaries(&answer),
        ["REJECTED FORBIDDEN", "APPLIED 1", "APPLIED 2"]
    );
}

#[test]
fn an_edit_does_not_bring_back_a_document_that_was_collected() {
    let mut store = Store::new("CLIENT_WINS");
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[create("a", title("1")), delete("a", 0)],
    );
    store.collect();
    for (first, base) in [(1, 1), (2, 0), (3, -1), (4, 2)] {
        let answer = store.push(
            &by("alice", "phone").from(first),
            &[update("a", base, title("x"))],
        );
        assert_eq!(summaries(&answer), ["REJECTED NOT_FOUND"]);
    }
}

#[test]
fn base_zero_finds_the_own_create_after_others_edited_it() {
    let mut store = Store::new("MERGE/SERVER_WINS");
    let _ = store.push(&by("alice", "phone").from(1), &[create("a", title("1"))]);
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[update("a", 1, title("bobs"))],
    );
    let answer = store.push(
        &by("alice", "phone").from(2),
        &[update("a", 0, json!({ "done": true }))],
    );
    assert_eq!(summaries(&answer), ["MERGED 3"]);
}

#[test]
fn base_zero_does_not_find_a_create_of_the_same_client_after_another_re_created_it() {
    let mut store = Store::new("CLIENT_WINS");
    let _ = store.push(&by("alice", "phone").from(1), &[create("a", title("1"))]);
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[delete("a", 1), create("a", title("bobs"))],
    );
    let answer = store.push(
        &by("alice", "phone").from(2),
        &[update("a", 0, title("mine"))],
    );
    assert_eq!(summaries(&answer), ["CONFLICT 3"]);
}
