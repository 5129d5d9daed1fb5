//! Pages and grants: scopes that come and go, and documents that leave a scope (protocol 2.3, 2.6, 2.8).
//!
//! Who may write is tested with pushes.

use std::collections::HashMap;

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    entry::{FeedItem, Record},
    id::{Scope, Version},
    page::seqs_above_head,
};

use crate::{
    drafts::{create, delete, update},
    phone::{Phone, moved, red},
};

fn red_team() -> Scope {
    Scope::new("team:red").expect("a short name")
}

#[test]
fn the_floor_of_a_scope_that_is_not_granted_resets_nobody() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &[]);
    phone.push(&[delete("a", 0)]);
    phone.store.collect();
    let after = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    assert_eq!(
        (after.resets, &after.last.revoked[..]),
        (0, &[red_team()][..])
    );
}

#[test]
fn a_seq_above_the_head_of_a_revoked_scope_is_no_concern() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let pulled = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &[]);
    let (known, grants) = (phone.store.gateway().known, phone.store.grants("bob"));
    let checkpoint = &pulled.last.place.checkpoint;
    assert!(seqs_above_head(checkpoint, &known, &grants, &HashMap::new()).is_empty());
}

#[test]
fn a_scope_newly_granted_starts_at_zero_without_reset() {
    let mut phone = Phone::new();
    phone.push(&[
        create("a", json!({ "audience": "team:blue" })),
        create("b", red()),
    ]);
    phone.push(&[
        create("c", json!({ "audience": "team:blue" })),
        delete("a", 0),
    ]);
    phone.store.collect();
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &["red", "blue"]);
    let after = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    assert_eq!((after.names, after.resets), (vec!["c 1".into()], 0));
}

#[test]
fn a_revoked_scope_is_reported_once_and_starts_again_when_granted() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &[]);
    let revoked = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    assert_eq!(
        (&revoked.last.revoked[..], revoked.resets),
        (&[red_team()][..], 0)
    );
    let quiet = phone.pull("bob", Some(&revoked.last.token()), &RequestedTypes::All);
    assert!(quiet.last.revoked.is_empty());
    phone.store.teams("bob", &["red"]);
    let again = phone.pull("bob", Some(&quiet.last.token()), &RequestedTypes::All);
    assert_eq!((again.names, again.resets), (vec!["a 1".into()], 0));
}

#[test]
fn a_revoked_scope_is_reported_again_when_the_page_was_lost() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &[]);
    for _lost in 0..2 {
        assert_eq!(
            phone
                .store
                .page("bob", Some(&before.last.token()), 1)
                .revoked,
            [red_team()]
        );
    }
}

#[test]
fn nothing_of_a_revoked_scope_is_delivered() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.teams("bob", &[]);
    phone.push(&[
        update("a", 0, json!({ "title": "secret" })),
        delete("a", 0),
        create("b", red()),
    ]);
    assert!(
        phone
            .pull("bob", Some(&before.last.token()), &RequestedTypes::All)
            .names
            .is_empty()
    );
}

#[test]
fn a_removal_carries_the_scope_left_its_version_and_nothing_of_where_it_went() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.push(&[moved("a", "team:blue")]);
    let moved_at = phone.store.now;
    phone.push(&[update("a", 0, json!({ "title": "later" }))]);
    let page = phone.store.page("bob", Some(&before.last.token()), 10);
    let [
        FeedItem {
            record: Record::Marker(marker),
            ..
        },
    ] = &page.changes[..]
    else {
        panic!("{page:?}")
    };
    assert_eq!(
        (marker.scope.as_str(), marker.version, marker.at),
        ("team:red", Version(2), moved_at)
    );
}

#[test]
fn a_removal_is_sent_also_to_those_who_see_both_scopes() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("alice", None, &RequestedTypes::All);
    phone.push(&[moved("a", "team:blue")]);
    let mut names = phone
        .pull("alice", Some(&before.last.token()), &RequestedTypes::All)
        .names;
    names.sort();
    assert_eq!(names, ["<a 2", "a 2"]);
}
