//! Counters, sets and texts: when an edit of one is a difference, and when it is absolute.
//!
//! Protocol 4.7 and 4.8. The table of merges has the values that result from joining.

use serde_json::{Value as Json, json};
use tidegate_core::outcome::Status;

use crate::{
    bench::Who::{Anonymous, Bob, Phone, Unnumbered},
    drafts::{create, update},
    merges::{changed, outcome},
};

/// A field, its value, another client's edit of it, and mine: absolute, and joined with the other's.
fn differences() -> [(&'static str, [Json; 4]); 3] {
    [
        ("count", [json!(10), json!(15), json!(12), json!(17)]),
        (
            "tags",
            [
                json!(["a"]),
                json!(["a", "b"]),
                json!(["a", "c"]),
                json!(["a", "b", "c"]),
            ],
        ),
        (
            "text",
            [
                json!("A one. B one. C one."),
                json!("A two. B one. C one."),
                json!("A one. B one. C two."),
                json!("A two. B one. C two."),
            ],
        ),
    ]
}

#[test]
fn differences_are_applied_even_when_clean() {
    for (field, [base, other, mine, joined]) in differences() {
        let history = [
            (Phone, create("t", json!({ field: base }))),
            (Phone, update("t", 1, json!({ field: other }))),
        ];
        let draft = update("t", 1, json!({ field: mine })).seeing(json!({ field: base }));
        let found = outcome("SERVER_WINS", &history, Phone, &draft, field);
        assert_eq!(found, (Status::Applied, joined), "{field}");
    }
}

#[test]
fn without_a_mutation_id_a_difference_is_absolute_when_clean() {
    for (field, [base, other, mine, _]) in differences() {
        for who in [Unnumbered, Anonymous] {
            let draft = update("t", 2, json!({ field: mine })).seeing(json!({ field: base }));
            let history = changed(field, [base.clone(), other.clone()]);
            let found = outcome("MERGE/SERVER_WINS", &history, who, &draft, field);
            assert_eq!(found, (Status::Applied, mine.clone()), "{field} by {who:?}");
        }
    }
}

#[test]
fn without_a_mutation_id_a_stale_difference_goes_by_the_overlap() {
    for (field, [base, other, mine, _]) in differences() {
        let draft = update("t", 1, json!({ field: mine })).seeing(json!({ field: base }));
        let history = changed(field, [base, other.clone()]);
        let server = outcome("MERGE/SERVER_WINS", &history, Anonymous, &draft, field);
        let client = outcome("MERGE/CLIENT_WINS", &history, Anonymous, &draft, field);
        assert_eq!(
            (server, client),
            ((Status::Conflict, other), (Status::Merged, mine)),
            "{field}"
        );
    }
}

#[test]
fn without_base_a_stale_difference_goes_by_the_overlap() {
    for (field, [base, other, mine, _]) in differences() {
        let draft = update("t", 1, json!({ field: mine }));
        let history = changed(field, [base, other.clone()]);
        let server = outcome("MERGE/SERVER_WINS", &history, Phone, &draft, field);
        let client = outcome("MERGE/CLIENT_WINS", &history, Phone, &draft, field);
        assert_eq!(
            (server, client),
            ((Status::Conflict, other), (Status::Merged, mine)),
            "{field}"
        );
    }
}

#[test]
fn without_base_a_difference_overlaps_whoever_wrote() {
    for (field, [base, other, mine, _]) in differences() {
        let history = [
            (Phone, create("t", json!({ field: base }))),
            (Phone, update("t", 1, json!({ field: other }))),
            (Bob, update("t", 2, json!({ "title": "x" }))),
        ];
        let draft = update("t", 1, json!({ field: mine }));
        let found = outcome("MERGE/SERVER_WINS", &history, Phone, &draft, field);
        assert_eq!(found, (Status::Conflict, other), "{field}");
    }
}

#[test]
fn without_base_a_clean_difference_is_absolute() {
    for (field, [base, other, mine, _]) in differences() {
        let history = [
            (Phone, create("t", json!({ field: base }))),
            (Phone, update("t", 1, json!({ field: other }))),
        ];
        let draft = update("t", 1, json!({ field: mine }));
        let found = outcome("MERGE/SERVER_WINS", &history, Phone, &draft, field);
        assert_eq!(found, (Status::Applied, mine), "{field}");
    }
}

/// A difference is joined wherever the change is applied, under any policy. Otherwise the policy decides.
#[test]
fn a_stale_difference_goes_by_every_policy() {
    for (field, [base, other, mine, joined]) in differences() {
        let history = changed(field, [base.clone(), other.clone()]);
        let early = update("t", 1, json!({ field: mine })).at(-60_000);
        let (theirs, client) = ((Status::Conflict, other), (Status::Merged, mine));
        let both = (Status::Merged, joined);
        for (rule, with_base, without) in [
            ("SERVER_WINS", &theirs, &theirs),
            ("CLIENT_WINS", &both, &client),
            ("LAST_WRITE_WINS", &both, &theirs),
            ("MERGE/CLIENT_WINS", &both, &client),
            ("MERGE/LAST_WRITE_WINS", &both, &theirs),
            ("MERGE/MANUAL", &both, &theirs),
            ("MANUAL", &theirs, &theirs),
        ] {
            let seeing = early.clone().seeing(json!({ field: base }));
            let found = outcome(rule, &history, Phone, &seeing, field);
            assert_eq!(found, *with_base, "{field} under {rule}, with a base");
            let found = outcome(rule, &history, Phone, &early, field);
            assert_eq!(found, *without, "{field} under {rule}, without one");
        }
    }
}
