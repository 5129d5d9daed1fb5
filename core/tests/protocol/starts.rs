//! Pages and removals: a client that begins a scope gets no earlier removals, and all others get them (protocol 2.8).
//!
//! The simulation searches for losses by this rule. The store contract tests what a store walks over.

use std::collections::HashMap;

use serde_json::json;
use tidegate_core::{
    checkpoint::{Checkpoint, RequestedTypes},
    entry::ScopeState,
    id::{Scope, Seq},
    page::{FeedRange, PageCursor, PageInputs, PageRequest},
};

use crate::{
    drafts::{create, delete},
    phone::{Phone, moved, red},
    store::only,
};

/// Red holds `kept`; `gone` was deleted there, and `left` moved to blue.
fn with_a_past() -> Phone {
    let mut phone = Phone::new();
    phone.push(&[
        create("gone", red()),
        create("left", red()),
        create("kept", red()),
    ]);
    phone.push(&[delete("gone", 0), moved("left", "team:blue")]);
    phone
}

#[test]
fn a_first_pull_is_sent_what_is_there_and_nothing_of_what_is_gone() {
    let phone = with_a_past();
    assert_eq!(
        phone.pull("bob", None, &RequestedTypes::All).names,
        ["kept 1"]
    );
}

#[test]
fn a_reset_is_sent_what_is_there_and_nothing_of_what_is_gone() {
    let mut phone = with_a_past();
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.push(&[create("short", red()), delete("kept", 0)]);
    phone.push(&[delete("short", 0)]);
    phone.store.rotate("e2");
    let after = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    assert_eq!((after.names.len(), after.resets), (0, 1));
}

#[test]
fn what_goes_while_a_scope_is_begun_is_sent() {
    let mut phone = with_a_past();
    phone.push(&[create("late", red()), create("later", red())]);
    let begun = phone.store.page("bob", None, 1);
    phone.push(&[delete("kept", 0), moved("late", "team:blue")]);
    let rest = phone.pull("bob", Some(&begun.token()), &RequestedTypes::All);
    let mut names = rest.names;
    names.sort();
    assert_eq!(names, ["-kept 2", "<late 2", "later 1"]);
}

#[test]
fn a_scope_that_is_granted_later_and_types_that_are_added_begin_of_their_own() {
    let mut phone = with_a_past();
    phone.push(&[
        create("note", red()).of("Note"),
        create("x", red()).of("Note"),
    ]);
    phone.push(&[delete("note", 0).of("Note")]);
    let tasks = phone.pull("bob", None, &only(&["Task"]));
    phone.push(&[delete("kept", 0)]);
    phone.store.teams("bob", &["red", "blue"]);
    let more = phone.pull("bob", Some(&tasks.last.token()), &RequestedTypes::All);
    let mut names = more.names;
    names.sort();
    assert_eq!(names, ["-kept 2", "left 2", "x 1"]);
}

#[test]
fn a_scope_that_is_granted_again_begins_again() {
    let mut phone = with_a_past();
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &[]);
    let revoked = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    phone.push(&[create("new", json!({ "audience": "team:red" }))]);
    phone.push(&[delete("kept", 0)]);
    phone.store.teams("bob", &["red"]);
    let again = phone.pull("bob", Some(&revoked.last.token()), &RequestedTypes::All);
    assert_eq!(again.names, ["new 1"]);
}

/// Another gateway may show a state from before the start. What the client stores from it may have been gone at the
/// start.
#[test]
fn a_late_snapshot_lowers_the_start_to_its_head() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red()), create("b", red()), create("c", red())]);
    phone.push(&[delete("b", 0), delete("c", 0)]);
    let scope = Scope::new("team:red").expect("a short name");
    let grants = phone.store.grants("bob");
    let gateway = phone.store.gateway();
    let resume = |checkpoint: Option<Checkpoint>, head: Option<i64>| {
        let mut scopes = phone.store.state.scopes.clone();
        if let Some(head) = head {
            let late = ScopeState {
                head: Seq(head),
                floor: Seq::START,
                number: None,
            };
            scopes.insert(scope.clone(), late);
        }
        let view = PageInputs {
            epoch: &phone.store.state.epoch,
            grants: &grants,
            scopes: &scopes,
            confirmed: &HashMap::new(),
            known: &gateway.known,
            standing: gateway.standing,
        };
        let request = PageRequest {
            checkpoint,
            types: RequestedTypes::All,
            refresh: Default::default(),
            reread: Default::default(),
        };
        PageCursor::resume(request, &view)
    };
    let spans = |cursor: &PageCursor| -> Vec<(i64, i64, bool)> {
        let span = |range: &FeedRange| (range.after.0, range.through.0, range.removals);
        cursor.ranges().iter().map(span).collect()
    };
    let mut begun = resume(None, None);
    assert_eq!(spans(&begun), [(0, 5, false)]);
    begun.advance(&begun.ranges()[0], Seq(1));
    let mut late = resume(Some(begun.checkpoint), Some(3));
    assert_eq!(spans(&late), [(1, 3, false)]);
    late.advance(&late.ranges()[0], Seq(3));
    let next = resume(Some(late.checkpoint), None);
    assert_eq!(spans(&next), [(3, 5, true)]);
}
