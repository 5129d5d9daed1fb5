//! Pages and types: subsets, larger sets, and all types (protocol 2.5).
//!
//! Tracks, by which the core keeps added types apart until they have caught up, show here only by their effects.

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    page::{PageCursor, PageInputs, PageRequest},
};

use crate::{
    drafts::{create, delete, update},
    phone::{Phone, red},
    store::only,
};

/// A store with a task and a note, and a phone that can ask for them.
fn with_two_types() -> Phone {
    let mut phone = Phone::new();
    phone.push(&[create("task", red()), create("note", red()).of("Note")]);
    phone
}

#[test]
fn a_page_holds_only_the_types_asked_for() {
    let phone = with_two_types();
    assert_eq!(phone.pull("bob", None, &only(&["Task"])).names, ["task 1"]);
    assert_eq!(phone.pull("bob", None, &only(&["Note"])).names, ["note 1"]);
    assert_eq!(
        phone.pull("bob", None, &only(&["Task", "Note"])).names,
        ["note 1", "task 1"]
    );
}

#[test]
fn types_that_are_added_catch_up_alone() {
    let mut phone = with_two_types();
    let tasks = phone.pull("bob", None, &only(&["Task"]));
    for (types, resets) in [(only(&["Task", "Note"]), 0), (RequestedTypes::All, 0)] {
        let more = phone.pull("bob", Some(&tasks.last.token()), &types);
        assert_eq!(
            (&more.names[..], more.resets),
            (&["note 1".to_owned()][..], resets)
        );
    }
    phone.push(&[
        update("task", 0, json!({ "title": "x" })),
        update("note", 0, json!({ "text": "x" })).of("Note"),
    ]);
    let more = phone.pull("bob", Some(&tasks.last.token()), &RequestedTypes::All);
    let mut names = more.names;
    names.sort();
    assert_eq!(names, ["note 2", "task 2"]);
}

#[test]
fn added_types_catch_up_past_collected_tombstones() {
    let mut phone = with_two_types();
    phone.push(&[
        create("gone", red()).of("Note"),
        create("kept", red()).of("Note"),
        create("last", red()),
    ]);
    phone.push(&[delete("gone", 0).of("Note")]);
    let tasks = phone.pull("bob", None, &only(&["Task"]));
    phone.store.collect();
    let more = phone.pull("bob", Some(&tasks.last.token()), &RequestedTypes::All);
    assert_eq!(
        (more.names, more.resets),
        (vec!["note 1".into(), "kept 1".into()], 0)
    );
}

#[test]
fn a_subset_is_served_as_it_is() {
    let mut phone = with_two_types();
    let all = phone.pull("bob", None, &RequestedTypes::All);
    phone.push(&[
        update("task", 0, json!({ "title": "x" })),
        update("note", 0, json!({ "text": "x" })).of("Note"),
    ]);
    let tasks = phone.pull("bob", Some(&all.last.token()), &only(&["Task"]));
    assert_eq!((tasks.names, tasks.resets), (vec!["task 2".into()], 0));
    let both = phone.pull("bob", Some(&tasks.last.token()), &RequestedTypes::All);
    assert_eq!(
        (both.names, both.resets),
        (vec!["note 2".into()], 0),
        "what was left out catches up"
    );
}

#[test]
fn all_stays_all_when_the_model_grows() {
    let phone = with_two_types();
    let all = phone.pull("bob", None, &RequestedTypes::All);
    assert!(
        phone
            .pull("bob", Some(&all.last.token()), &RequestedTypes::All)
            .names
            .is_empty()
    );
}

#[test]
fn types_that_caught_up_stand_in_one_track_again() {
    let phone = with_two_types();
    let tasks = phone.pull("bob", None, &only(&["Task"]));
    let all = phone.pull("bob", Some(&tasks.last.token()), &RequestedTypes::All);
    let tracks = &all.last.place.checkpoint.tracks;
    assert_eq!((tracks.len(), tracks[0].types.len()), (1, 3));
}

#[test]
fn types_that_caught_up_to_a_late_snapshot_miss_nothing_after_it() {
    let mut phone = with_two_types();
    let late = phone.store.state.scopes.clone();
    phone.push(&[create("second", red()).of("Note")]);
    let tasks = phone.pull("bob", None, &only(&["Task"]));
    let grants = phone.store.grants("bob");
    let confirmed = phone
        .store
        .state
        .scopes
        .iter()
        .map(|(scope, state)| (scope.clone(), state.head))
        .collect();
    let gateway = phone.store.gateway();
    let view = PageInputs {
        epoch: &phone.store.state.epoch,
        grants: &grants,
        scopes: &late,
        confirmed: &confirmed,
        known: &gateway.known,
        standing: gateway.standing,
    };
    let request = PageRequest {
        checkpoint: Some(tasks.last.place.checkpoint.clone()),
        types: RequestedTypes::All,
        refresh: Default::default(),
        reread: Default::default(),
    };
    let mut cursor = PageCursor::resume(request, &view);
    for range in cursor.ranges() {
        cursor.advance(&range, range.through);
    }
    assert!(!cursor.reset && !cursor.finish(None));
    let rest = phone.pull(
        "bob",
        Some(&phone.store.seal("bob", &cursor.checkpoint)),
        &RequestedTypes::All,
    );
    assert_eq!(rest.names, ["second 1"]);
}
