//! Updates and deletes by their `baseVersion`: 0, of an earlier incarnation, of another epoch, from the future.
//!
//! Protocol 4.4 and 4.5. The table of updates shows ordinary stale bases.

use serde_json::json;

use crate::{
    bench::{
        Who::{Bob, Laptop, Phone, Unnumbered},
        decisions,
    },
    drafts::{Draft, update},
    updates::{both, done, made, remade_by_bob, removed, retitled, retitled_by_bob, title},
};

#[test]
fn base_zero_of_the_creator_stands_for_its_create() {
    let mine_and_bobs = || vec![(Phone, made()), (Bob, retitled(1))];
    decisions! {
        "clean": [(Phone, made())], Phone both(0) => "A A A A A A A A A A";
        "stale, no overlap": mine_and_bobs(), Phone done(0) => "C M M M M M M M M H";
        "stale, overlap": mine_and_bobs(), Phone title(0) => "C M C M C M C M H H";
        "delete": [(Phone, made())], Phone removed(0) => "A A A A A A A A A A";
        "stale delete": mine_and_bobs(), Phone removed(0) => "C A C A C A C A H H";
        "unnumbered": [(Unnumbered, made())], Unnumbered both(0) => "A A A A A A A A A A";
    }
}

#[test]
fn base_zero_of_a_stranger_is_an_edit_of_a_deleted_document() {
    let run_of_mine = || vec![(Bob, made()), (Phone, retitled(1))];
    decisions! {
        "update": [(Bob, made())], Phone done(0) => "C C C C C C C C C H";
        "delete": [(Bob, made())], Phone removed(0) => "C C C C C C C C C C";
        "even in an own run": run_of_mine(), Phone done(0) => "C C C C C C C C C H";
        "another client of the user": [(Phone, made())], Laptop done(0) => "C C C C C C C C C H";
    }
}

#[test]
fn a_base_below_this_incarnation_is_an_edit_of_a_deleted_document() {
    let mine_again = || vec![(Bob, made()), (Bob, removed(1)), (Phone, made())];
    decisions! {
        "update": remade_by_bob(), Phone done(1) => "C C C C C C C C C H";
        "update of the tombstone": remade_by_bob(), Phone done(2) => "C C C C C C C C C H";
        "delete": remade_by_bob(), Phone removed(1) => "C C C C C C C C C C";
        "tested before the own run is": mine_again(), Phone done(2) => "C C C C C C C C C H";
        "of this incarnation": remade_by_bob(), Phone done(3) => "A A A A A A A A A A";
    }
}

#[test]
fn a_base_of_another_epoch_is_stale_and_everything_of_others_overlaps() {
    let mine = || vec![(Phone, made())];
    let showing = |draft: Draft, title: &str| draft.seeing(json!({ "title": title }));
    decisions! {
        "never clean": mine(), Phone title(-1) => "C M M M M M M M M H";
        "a stranger's field": [(Bob, made())], Phone title(-1) => "C M C M C M C M H H";
        "never below the incarnation": remade_by_bob(), Phone title(-1) => "C M C M C M C M H H";
        "base shows the same": [(Bob, made())], Phone showing(title(-1), "theirs") => "C M M M M M M M M H";
        "base shows another value": [(Bob, made())], Phone showing(title(-1), "old") => "C M C M C M C M H H";
        "an equal value":
            [(Bob, made())], Phone update("t", -1, json!({ "title": "theirs" })) => "C M M M M M M M M =";
        "base is asked only then": retitled_by_bob(), Phone showing(title(1), "newer") => "C M C M C M C M H H";
    }
}

#[test]
fn a_base_from_the_future_is_rejected() {
    decisions! {
        "update": retitled_by_bob(), Phone title(3) => "V V V V V V V V V V";
        "delete": retitled_by_bob(), Phone removed(3) => "V V V V V V V V V V";
        "over a tombstone": [(Bob, made()), (Bob, removed(1))], Phone title(3) => "V V V V V V V V V V";
    }
}

#[test]
fn an_edit_of_nothing_is_not_found_whatever_the_base() {
    for base in [-1, 0, 1, 9] {
        decisions! {
            "update": [], Phone title(base) => "N N N N N N N N N N";
            "delete": [], Phone removed(base) => "N N N N N N N N N N";
        }
    }
}
