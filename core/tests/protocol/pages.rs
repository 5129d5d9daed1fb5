//! Checkpoints and pages (protocol section 2): continuity, resets, turns.
//!
//! Other files test what grants and types do to a page.

use std::collections::HashMap;

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    entry::ScopeState,
    id::{Scope, Seq},
    page::{PageCursor, PageInputs, PageRequest, seqs_above_head},
};

use crate::{
    drafts::{create, delete, update},
    phone::{Phone, name, red},
};

#[test]
fn a_request_without_a_checkpoint_is_answered_with_reset() {
    let phone = Phone::new();
    let first = phone.store.page("alice", None, 10);
    assert!(first.reset && !first.has_more && first.changes.is_empty());
    let second = phone.store.page("alice", Some(&first.token()), 10);
    assert!(!second.reset);
}

#[test]
fn a_page_continues_where_the_last_one_ended() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red()), create("b", red()), create("c", red())]);
    let first = phone.pull("bob", None, &RequestedTypes::All);
    assert_eq!(
        (first.names, first.resets),
        (vec!["a 1".into(), "b 1".into(), "c 1".into()], 1)
    );
    phone.push(&[delete("b", 0)]);
    let second = phone.pull("bob", Some(&first.last.token()), &RequestedTypes::All);
    assert_eq!((second.names, second.resets), (vec!["-b 2".into()], 0));
}

#[test]
fn a_first_sync_of_a_scope_with_collected_tombstones_ends() {
    let mut phone = Phone::new();
    phone.push(&[
        create("a", red()),
        create("b", red()),
        create("c", red()),
        create("d", red()),
    ]);
    phone.push(&[delete("b", 0), delete("d", 0)]);
    phone.store.collect();
    let first = phone.pull("bob", None, &RequestedTypes::All);
    assert_eq!(
        (first.names, first.resets),
        (vec!["a 1".into(), "c 1".into()], 1)
    );
}

#[test]
fn a_first_sync_begun_before_tombstones_were_collected_begins_again() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red()), create("b", red()), create("c", red())]);
    let begun = phone.store.page("bob", None, 1);
    phone.push(&[delete("a", 0)]);
    phone.store.collect();
    let rest = phone.pull("bob", Some(&begun.token()), &RequestedTypes::All);
    assert_eq!(
        (rest.names, rest.resets),
        (vec!["b 1".into(), "c 1".into()], 1)
    );
}

#[test]
fn a_client_below_the_floor_is_reset_once() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red()), create("b", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.push(&[delete("a", 0)]);
    phone.store.collect();
    let after = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    assert_eq!((after.names, after.resets), (vec!["b 1".into()], 1));
    let later = phone.pull("bob", Some(&after.last.token()), &RequestedTypes::All);
    assert_eq!((later.names.len(), later.resets), (0, 0));
}

#[test]
fn a_client_at_the_floor_goes_on() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    phone.push(&[delete("a", 0)]);
    let there = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.collect();
    assert_eq!(
        phone
            .pull("bob", Some(&there.last.token()), &RequestedTypes::All)
            .resets,
        0
    );
}

#[test]
fn another_epoch_is_answered_with_reset() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let before = phone.pull("bob", None, &RequestedTypes::All);
    phone.store.rotate("e2");
    let after = phone.pull("bob", Some(&before.last.token()), &RequestedTypes::All);
    assert_eq!((after.resets, after.last.epoch().as_str()), (1, "e2"));
    assert_eq!(
        phone
            .pull("bob", Some(&after.last.token()), &RequestedTypes::All)
            .resets,
        0
    );
}

#[test]
fn a_seq_above_the_head_resets_only_after_a_linearizable_read() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red()), create("b", red())]);
    let pulled = phone.pull("bob", None, &RequestedTypes::All);
    let checkpoint = pulled.last.place.checkpoint;
    let gateway = phone.store.gateway();
    let scope = Scope::new("team:red").expect("a short name");
    let grants = phone.store.grants("bob");
    let late = HashMap::from([(
        scope.clone(),
        ScopeState {
            head: Seq(1),
            floor: Seq::START,
            number: None,
        },
    )]);
    assert_eq!(
        seqs_above_head(&checkpoint, &gateway.known, &grants, &late),
        [(scope.clone(), Seq(2))].into()
    );
    for (confirmed, reset) in [(Seq(2), false), (Seq(1), true)] {
        let confirmed = HashMap::from([(scope.clone(), confirmed)]);
        let view = PageInputs {
            epoch: &phone.store.state.epoch,
            grants: &grants,
            scopes: &late,
            confirmed: &confirmed,
            known: &gateway.known,
            standing: gateway.standing,
        };
        let request = PageRequest {
            checkpoint: Some(checkpoint.clone()),
            types: RequestedTypes::All,
            refresh: Default::default(),
            reread: Default::default(),
        };
        assert_eq!(PageCursor::resume(request, &view).reset, reset);
    }
}

#[test]
fn a_token_with_more_tracks_than_a_client_can_get_begins_again() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red())]);
    let pulled = phone.pull("bob", None, &RequestedTypes::All);
    let mut many = pulled.last.place.checkpoint;
    many.tracks = vec![many.tracks[0].clone(); 1_000];
    let token = phone.store.seal("bob", &many);
    let page = phone.store.page("bob", Some(&token), 10);
    assert_eq!((page.reset, page.place.checkpoint.tracks.len()), (true, 1));
}

#[test]
fn a_page_never_passes_the_heads_of_its_snapshot() {
    let mut phone = Phone::new();
    phone.push(&[create("a", red()), create("b", red())]);
    let scopes = phone.store.state.scopes.clone();
    let grants = phone.store.grants("bob");
    let gateway = phone.store.gateway();
    let view = PageInputs {
        epoch: &phone.store.state.epoch,
        grants: &grants,
        scopes: &scopes,
        confirmed: &HashMap::new(),
        known: &gateway.known,
        standing: gateway.standing,
    };
    let request = PageRequest {
        checkpoint: None,
        types: RequestedTypes::All,
        refresh: Default::default(),
        reread: Default::default(),
    };
    let cursor = PageCursor::resume(request, &view);
    let ends: Vec<Seq> = cursor.ranges().iter().map(|range| range.through).collect();
    assert_eq!(ends, [Seq(2)]);
}

#[test]
fn what_one_push_wrote_is_complete_once_there_is_no_more() {
    let mut phone = Phone::new();
    let before = phone.pull("alice", None, &RequestedTypes::All);
    phone.push(&[
        create("a", red()),
        create("b", json!({ "audience": "team:blue" })),
        create("c", red()),
    ]);
    let mut names = phone
        .pull("alice", Some(&before.last.token()), &RequestedTypes::All)
        .names;
    names.sort();
    assert_eq!(names, ["a 1", "b 1", "c 1"]);
}

#[test]
fn scopes_take_turns_so_that_a_busy_one_starves_none() {
    let mut phone = Phone::new();
    phone.push(&[
        create("quiet", red()),
        create("busy", json!({ "audience": "team:blue" })),
        create("b", json!({ "audience": "team:blue" })),
    ]);
    let mut page = phone.store.page("alice", None, 1);
    let mut names: Vec<String> = page.changes.iter().map(name).collect();
    for _ in 0..3 {
        phone.push(&[
            update("busy", 0, json!({ "title": names.len().to_string() })),
            update("b", 0, json!({ "title": names.len().to_string() })),
        ]);
        page = phone.store.page("alice", Some(&page.token()), 1);
        names.extend(page.changes.iter().map(name));
    }
    assert!(names.contains(&"quiet 1".to_owned()), "{names:?}");
}
