//! Updates and deletes: when they are clean, which fields overlap, and what the policies do with them.
//!
//! Protocol 4.7 and the table of section 4. Special bases, and creates, have tables of their own.

use serde_json::json;

use crate::{
    bench::{
        Step,
        Who::{Anonymous, Bob, Laptop, Phone, Unnumbered},
        decisions,
    },
    drafts::{Draft, create, delete, update},
};

pub(crate) fn made() -> Draft {
    create("t", json!({ "title": "theirs", "done": false, "stars": 0 }))
}

pub(crate) fn title(base: i32) -> Draft {
    update("t", base, json!({ "title": "mine" }))
}

pub(crate) fn done(base: i32) -> Draft {
    update("t", base, json!({ "done": true }))
}

pub(crate) fn both(base: i32) -> Draft {
    update("t", base, json!({ "title": "mine", "done": true }))
}

pub(crate) fn retitled(base: i32) -> Draft {
    update("t", base, json!({ "title": "newer" }))
}

fn starred(base: i32) -> Draft {
    update("t", base, json!({ "stars": 5 }))
}

pub(crate) fn removed(base: i32) -> Draft {
    delete("t", base)
}

/// Bob created the document and gave it another title.
pub(crate) fn retitled_by_bob() -> Vec<Step> {
    vec![(Bob, made()), (Bob, retitled(1))]
}

/// Bob created the document, deleted it and created it again.
pub(crate) fn remade_by_bob() -> Vec<Step> {
    vec![(Bob, made()), (Bob, removed(1)), (Bob, made())]
}

#[test]
fn an_edit_of_the_present_version_is_clean() {
    decisions! {
        "update": retitled_by_bob(), Phone both(2) => "A A A A A A A A A A";
        "update, anonymous": retitled_by_bob(), Anonymous both(2) => "A A A A A A A A A A";
        "delete": retitled_by_bob(), Phone removed(2) => "A A A A A A A A A A";
        "delete, unnumbered": retitled_by_bob(), Unnumbered removed(2) => "A A A A A A A A A A";
    }
}

#[test]
fn a_stale_edit_goes_by_the_policy_and_field_by_field() {
    decisions! {
        "no overlap": retitled_by_bob(), Phone done(1) => "C M M M M M M M M H";
        "overlap": retitled_by_bob(), Phone title(1) => "C M C M C M C M H H";
        "half of it overlaps": retitled_by_bob(), Phone both(1) => "C M P M P M P M Q H";
        "an equal value": retitled_by_bob(), Phone retitled(1) => "C M M M M M M M M =";
        "another client of the same user": retitled_by_bob(), Laptop title(1) => "C M C M C M C M H H";
        "the same client id of another user":
            [(Phone, made()), (Phone, retitled(1))], Bob title(1) => "C M C M C M C M H H";
    }
}

#[test]
fn a_client_never_conflicts_with_its_own_queue() {
    let mine = || vec![(Phone, made()), (Phone, retitled(1)), (Phone, starred(2))];
    let mine_after_bob = || vec![(Bob, made()), (Phone, starred(1)), (Phone, retitled(2))];
    let before_my_run = || vec![(Bob, made()), (Bob, starred(1)), (Phone, retitled(2))];
    let broken = || vec![(Phone, made()), (Phone, retitled(1)), (Bob, starred(2))];
    decisions! {
        "own run": mine(), Phone both(1) => "A A A A A A A A A A";
        "own run, delete": mine(), Phone removed(1) => "A A A A A A A A A A";
        "own run, on the own create": mine(), Phone both(0) => "A A A A A A A A A A";
        "own run from the version it began on": mine_after_bob(), Phone both(1) => "A A A A A A A A A A";
        "from below the run, where nothing is clean": before_my_run(), Phone title(1) => "C M M M M M M M M H";
        "own run broken: own fields do not overlap": broken(), Phone title(1) => "C M M M M M M M M H";
        "own run broken: other fields do": broken(), Phone update("t", 1, json!({ "stars": 9 })) => "C M C M C M C M H H";
        "own run, re-created":
            [(Phone, made()), (Phone, removed(1)), (Phone, made())], Phone title(0) => "A A A A A A A A A A";
    }
}

#[test]
fn a_run_is_recognised_only_by_mutation_ids_and_own_fields_by_the_client_id() {
    let mine = || vec![(Unnumbered, made()), (Unnumbered, retitled(1))];
    let nobodys = || vec![(Anonymous, made()), (Anonymous, retitled(1))];
    decisions! {
        "named, unnumbered": mine(), Unnumbered title(1) => "C M M M M M M M M H";
        "an anonymous writer never equals another": nobodys(), Anonymous title(1) => "C M C M C M C M H H";
        "nor does its create": nobodys(), Anonymous title(0) => "C C C C C C C C C H";
    }
}

#[test]
fn no_edit_is_clean_over_a_tombstone_or_revives_it() {
    let deleted = || vec![(Bob, made()), (Bob, removed(1))];
    let deleted_by_me = || vec![(Phone, made()), (Phone, removed(1))];
    decisions! {
        "stale update": deleted(), Phone title(1) => "C C C C C C C C C H";
        "update of the tombstone": deleted(), Phone title(2) => "C C C C C C C C C H";
        "update of another epoch": deleted(), Phone title(-1) => "C C C C C C C C C H";
        "update of the own create": deleted_by_me(), Phone title(0) => "C C C C C C C C C H";
        "update in the own run": deleted_by_me(), Phone title(1) => "C C C C C C C C C H";
        "delete": deleted(), Phone removed(1) => "C C C C C C C C C C";
        "delete of the tombstone": deleted(), Phone removed(2) => "C C C C C C C C C C";
    }
}

#[test]
fn a_stale_delete_meets_a_newer_edit() {
    decisions! {
        "by another": retitled_by_bob(), Phone removed(1) => "C A C A C A C A H H";
        "by another, of another epoch": retitled_by_bob(), Phone removed(-1) => "C A C A C A C A H H";
        "anonymous meets anonymous":
            [(Anonymous, made()), (Anonymous, retitled(1))], Anonymous removed(1) => "C A C A C A C A H H";
    }
}

/// Bob's tag was joined with the phone's own, after which the field named the phone: a delete that had seen neither
/// undid it.
#[test]
fn a_stale_delete_does_not_undo_what_a_join_hides() {
    let tagged = |tag: &str| update("t", 1, json!({"tags": [tag]})).seeing(json!({"tags": []}));
    let history = [
        (Phone, made()),
        (Bob, tagged("bob's")),
        (Phone, tagged("own")),
    ];
    decisions! {
        "joined since": history, Phone removed(1) => "C A A A C A A A H H";
    }
}
