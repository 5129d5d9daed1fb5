//! Creates: of nothing, over a living document, over a tombstone.
//!
//! Protocol 4.5 and the last column of its table.

use serde_json::json;
use tidegate_core::id::Version;

use crate::{
    bench::{
        Bench, Step,
        Who::{Anonymous, Bob, Laptop, Phone},
        check, decisions, value, written,
    },
    drafts::{Draft, create, delete, update},
};

fn theirs() -> Draft {
    create("t", json!({ "title": "theirs", "done": false }))
}

fn mine() -> Draft {
    create("t", json!({ "title": "mine", "done": false }))
}

fn removed_by_bob() -> Vec<Step> {
    vec![(Bob, theirs()), (Bob, delete("t", 1))]
}

#[test]
fn a_create_of_nothing_is_applied() {
    decisions! {
        "numbered": [], Phone mine() => "A A A A A A A A A A";
        "anonymous": [], Anonymous mine() => "A A A A A A A A A A";
        "naming a tombstone that was collected": [], Phone mine().naming(7) => "A A A A A A A A A A";
    }
}

#[test]
fn two_creates_of_one_id_conflict_unless_equal() {
    let live = [(Bob, theirs())];
    decisions! {
        "equal": live, Phone theirs() => "= = = = = = = = = =";
        "unequal": live, Phone mine() => "C M C M C M C M H H";
        "unequal, another client of the user": [(Phone, theirs())], Laptop mine() => "C M C M C M C M H H";
        "naming the living version": live, Phone mine().naming(1) => "C M C M C M C M H H";
        "naming the future": live, Phone mine().naming(2) => "V V V V V V V V V V";
    }
}

#[test]
fn the_server_wins_over_a_second_create_of_the_same_client_too() {
    decisions! {
        "unequal": [(Phone, theirs())], Phone mine() => "C M . . . . . . M H";
    }
}

#[test]
fn absent_null_and_falsy_values_make_creates_unequal_only_where_a_client_sees_it() {
    let without = [(Bob, create("t", json!({ "title": "a" })))];
    for (name, fields, row) in [
        (
            "null against absent",
            json!({ "title": "a", "stars": null }),
            "= = = = = = = = = =",
        ),
        (
            "0 against absent",
            json!({ "title": "a", "stars": 0 }),
            "C M C M . M . M H H",
        ),
        (
            "false against absent",
            json!({ "title": "a", "done": false }),
            "C M C M . M . M H H",
        ),
        (
            "[] against absent",
            json!({ "title": "a", "words": [] }),
            "C M C M . M . M H H",
        ),
    ] {
        check(name, &without, Phone, &create("t", fields), row);
    }
}

#[test]
fn a_create_over_a_strangers_tombstone_goes_by_the_policy() {
    decisions! {
        "unnamed": removed_by_bob(), Phone mine() => "C M C M C M C M H H";
        "naming an older version": removed_by_bob(), Phone mine().naming(1) => "C M C M C M C M H H";
        "another client of the user":
            [(Phone, theirs()), (Phone, delete("t", 1))], Laptop mine() => "C M C M C M C M H H";
        "anonymous": [(Anonymous, theirs()), (Anonymous, delete("t", 1))], Anonymous mine() => "C M C M C M C M H H";
    }
}

#[test]
fn a_create_over_a_named_tombstone_is_applied() {
    decisions! {
        "named": removed_by_bob(), Phone mine().naming(2) => "A A A A A A A A A A";
        "named, anonymous": removed_by_bob(), Anonymous mine().naming(2) => "A A A A A A A A A A";
        "naming the future": removed_by_bob(), Phone mine().naming(3) => "V V V V V V V V V V";
    }
}

#[test]
fn a_create_over_the_own_tombstone_is_applied() {
    decisions! {
        "own all along": [(Phone, theirs()), (Phone, delete("t", 1))], Phone mine() => "A A A A A A A A A A";
        "ended by the own client": [(Bob, theirs()), (Phone, delete("t", 1))], Phone mine() => "A A A A A A A A A A";
        "begun by it, ended by another":
            [(Phone, theirs()), (Bob, delete("t", 1))], Phone mine() => "C M C M C M C M H H";
    }
}

#[test]
fn a_re_creation_begins_an_incarnation_above_the_tombstone_and_keeps_nothing_of_the_old() {
    let bench = Bench::new("SERVER_WINS");
    let tombstone = bench.entry_after(&[
        (Bob, create("t", json!({ "title": "theirs", "stars": 3 }))),
        (Bob, delete("t", 1)),
    ]);
    let again = written(
        bench.decide(tombstone.as_ref(), Phone, &mine().naming(2)),
        "re-creation",
    );
    assert_eq!(
        (again.version, again.began, again.run),
        (Version(3), Version(3), Version(3))
    );
    assert_eq!(value(&again, "stars"), None);
    assert!(
        again
            .field_versions
            .values()
            .all(|version| *version == Version(3))
    );
}

#[test]
fn a_re_creation_over_the_own_tombstone_goes_on_in_the_same_run() {
    let bench = Bench::new("SERVER_WINS");
    let history = [
        (Bob, theirs()),
        (Phone, update("t", 1, json!({ "done": true }))),
        (Phone, delete("t", 2)),
        (Phone, mine()),
    ];
    let again = bench.entry_after(&history).expect("it is alive");
    assert_eq!(
        (again.version, again.began, again.run),
        (Version(4), Version(4), Version(2))
    );
}

#[test]
fn a_create_that_wins_over_a_living_document_takes_its_place_whole() {
    let bench = Bench::new("CLIENT_WINS");
    let live = bench.entry_after(&[(Bob, create("t", json!({ "title": "theirs", "stars": 3 })))]);
    let over = written(bench.decide(live.as_ref(), Phone, &mine()), "create");
    assert_eq!(value(&over, "stars"), None);
    assert_eq!((over.version, over.began), (Version(2), Version(1)));
}

#[test]
fn a_create_merged_into_a_living_document_leaves_the_fields_it_does_not_carry() {
    let bench = Bench::new("MERGE/CLIENT_WINS");
    let live = bench.entry_after(&[(Bob, create("t", json!({ "title": "theirs", "stars": 3 })))]);
    let over = written(bench.decide(live.as_ref(), Phone, &mine()), "create");
    assert!(value(&over, "stars").is_some());
}
