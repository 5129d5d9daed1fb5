//! Gateways of two models serve one client, as in a rolling deploy (protocol 2.3, 2.5, 2.5a, 2.5b, 2.6).
//!
//! The older model lacks the type Note, and cannot show a task without a title. [`crate::gateways`] searches at random.

use serde_json::json;
use tidegate_core::{
    checkpoint::{Checkpoint, RequestedTypes, Skipped},
    entry::Entry,
    generation::Term,
    id::{Scope, Seq},
    value::Value,
};
use tidegate_testkit::client::Page;

use crate::{
    drafts::{create, delete, update},
    phone::{Phone, name, red},
    store::{Asked, Gateway, only},
};

/// A phone, and a gateway of each model. The newer one leads.
struct Deploy {
    phone: Phone,
    older: Gateway,
    newer: Gateway,
}

fn has_title(entry: &Entry) -> bool {
    let body = entry.body.as_ref();
    body.is_some_and(|body| body.get("title").is_some_and(|it| *it != Value::Null))
}

impl Deploy {
    fn new() -> Self {
        let phone = Phone::new();
        let mut older = phone.store.older_gateway();
        older.shows = has_title;
        let mut newer = phone.store.gateway();
        newer.standing.term = Term(2);
        Self {
            phone,
            older,
            newer,
        }
    }

    /// The older gateway leads from now on.
    fn roll_back(&mut self) {
        let term = Term(self.newer.standing.term.0 + 1);
        for (gateway, leads) in [(&mut self.older, true), (&mut self.newer, false)] {
            (gateway.standing.leads, gateway.standing.term) = (leads, term);
        }
    }

    /// The newer gateway leads again.
    fn roll_forward(&mut self) {
        self.roll_back();
        (self.older.standing.leads, self.newer.standing.leads) = (false, true);
    }
}

/// All pages of one change, from there to the end.
struct Read {
    names: Vec<String>,
    resets: usize,
    last: Page,
}

impl Read {
    fn token(&self) -> Option<String> {
        Some(self.last.token())
    }

    fn checkpoint(&self) -> &Checkpoint {
        &self.last.place.checkpoint
    }
}

fn read_again(phone: &Phone, at: &Gateway, from: Option<String>, refresh: &[&str]) -> Read {
    let mut read: Option<Read> = None;
    for _ in 0..100 {
        let token = read.as_ref().map_or(from.clone(), Read::token);
        let asked = Asked {
            user: "bob",
            token: token.as_deref(),
            types: RequestedTypes::All,
            refresh: if read.is_none() { refresh } else { &[] },
            selection: 1,
            limit: 1,
            reread: &[],
        };
        let last = phone.store.page_at(at, &asked);
        let before = read.take();
        let (mut names, resets) = before.map_or_else(Default::default, |it| (it.names, it.resets));
        names.extend(last.changes.iter().map(name));
        let more = last.has_more;
        let so_far = Read {
            names,
            resets: resets + usize::from(last.reset),
            last,
        };
        if !more {
            return so_far;
        }
        read = Some(so_far);
    }
    panic!("the pull does not end");
}

fn read(phone: &Phone, at: &Gateway, from: Option<String>) -> Read {
    read_again(phone, at, from, &[])
}

/// The silent gap in an ordinary rolling deploy.
#[test]
fn a_type_that_a_gateway_does_not_know_is_not_passed() {
    let Deploy {
        mut phone,
        older,
        newer,
    } = Deploy::new();
    phone.push(&[create(
        "t1",
        json!({ "audience": "team:red", "title": "a" }),
    )]);
    phone.push(&[create("n1", red()).of("Note")]);
    let begun = read(&phone, &older, None);
    assert_eq!(begun.names, ["t1 1"]);
    let later = read(&phone, &newer, begun.token());
    assert_eq!(
        (&later.names[..], later.resets),
        (&["n1 1".to_owned()][..], 0)
    );
    // A client that has read the type before misses nothing either.
    phone.push(&[create("n2", red()).of("Note")]);
    phone.push(&[create(
        "t2",
        json!({ "audience": "team:red", "title": "a" }),
    )]);
    let beside = read(&phone, &older, later.token());
    assert_eq!(beside.names, ["t2 1"]);
    let upgraded = read(&phone, &newer, beside.token());
    assert_eq!(
        (&upgraded.names[..], upgraded.resets),
        (&["n2 1".to_owned()][..], 0)
    );
    assert_eq!(
        upgraded.checkpoint().tracks.len(),
        1,
        "equal positions join"
    );
}

#[test]
fn rolling_back_and_forward_resets_nobody() {
    let mut deploy = Deploy::new();
    deploy.phone.push(&[create("n1", red()).of("Note")]);
    let mut at = read(&deploy.phone, &deploy.newer, None);
    for round in 2..6 {
        deploy.roll_back();
        let set = json!({ "text": round.to_string() });
        deploy
            .phone
            .push(&[update("n1", round - 1, set).of("Note")]);
        at = read(&deploy.phone, &deploy.older, at.token());
        assert_eq!((at.names.len(), at.resets), (0, 0));
        deploy.roll_forward();
        at = read(&deploy.phone, &deploy.newer, at.token());
        assert_eq!((&at.names, at.resets), (&vec![format!("n1 {round}")], 0));
    }
}

#[test]
fn only_types_that_a_gateway_knows_count_for_continuity() {
    let Deploy {
        mut phone,
        older,
        newer,
    } = Deploy::new();
    phone.push(&[
        create("n1", red()).of("Note"),
        create("n2", red()).of("Note"),
    ]);
    let at = read(&phone, &newer, None);
    phone.push(&[delete("n1", 0).of("Note")]);
    let beside = read(&phone, &older, at.token());
    phone.store.collect();
    let beside = read(&phone, &older, beside.token());
    assert_eq!(beside.resets, 0);
    // The gateway that knows the type cannot say what was deleted.
    let known = read(&phone, &newer, beside.token());
    assert_eq!(
        (&known.names[..], known.resets),
        (&["n2 1".to_owned()][..], 1)
    );
}

#[test]
fn a_page_is_complete_at_the_end_of_what_its_gateway_knows() {
    let Deploy {
        mut phone, older, ..
    } = Deploy::new();
    phone.push(&[create("n1", red()).of("Note")]);
    let at = read(&phone, &older, None);
    assert!(!at.last.has_more && at.last.changes.is_empty());
}

#[test]
fn what_an_older_gateway_cannot_show_comes_from_the_leading_one() {
    let Deploy {
        mut phone,
        older,
        newer,
    } = Deploy::new();
    phone.push(&[create("untitled", red())]);
    phone.push(&[create("t", json!({ "audience": "team:red", "title": "a" }))]);
    let beside = read(&phone, &older, None);
    assert_eq!(beside.names, ["-untitled 1", "t 1"]);
    let skipped = beside.checkpoint().skipped.values();
    let expected = Skipped {
        old: Some(Seq(0)),
        led: None,
    };
    assert_eq!(skipped.copied().collect::<Vec<_>>(), [expected]);
    // Another gateway that does not lead, and cannot show it either, does not go back.
    let again = read(&phone, &older, beside.token());
    assert!(again.names.is_empty());
    let later = read(&phone, &newer, again.token());
    assert_eq!(later.names, ["untitled 1", "t 1"]);
    assert!(later.checkpoint().skipped.is_empty());
}

#[test]
fn what_a_leading_gateway_cannot_show_comes_when_another_one_leads() {
    let mut deploy = Deploy::new();
    deploy.roll_back();
    deploy.phone.push(&[create("untitled", red())]);
    let led = read(&deploy.phone, &deploy.older, None);
    assert_eq!(led.names, ["-untitled 1"]);
    // While it leads it does not go back, and neither does one that does not lead.
    let again = read(&deploy.phone, &deploy.older, led.token());
    let beside = read(&deploy.phone, &deploy.newer, again.token());
    assert!(again.names.is_empty() && beside.names.is_empty());
    deploy.roll_forward();
    let later = read(&deploy.phone, &deploy.newer, beside.token());
    assert_eq!(later.names, ["untitled 1"]);
    // After another change of the lead the same gateway may lead as before.
    deploy.roll_back();
    let back = read(&deploy.phone, &deploy.older, led.token());
    assert_eq!(back.names, ["-untitled 1"]);
    assert!(
        read(&deploy.phone, &deploy.older, back.token())
            .names
            .is_empty()
    );
}

#[test]
fn pages_from_both_gateways_in_turn_come_to_an_end() {
    let Deploy {
        mut phone,
        older,
        newer,
    } = Deploy::new();
    phone.push(&[
        create("a", red()),
        create("b", red()),
        create("n", red()).of("Note"),
    ]);
    let mut at = read(&phone, &older, None);
    for _ in 0..4 {
        at = read(&phone, &newer, at.token());
        at = read(&phone, &older, at.token());
    }
    assert!(at.names.is_empty());
    assert!(read(&phone, &newer, at.token()).names.is_empty());
}

#[test]
fn a_type_that_is_refreshed_comes_again_from_the_beginning_without_a_reset() {
    let Deploy {
        mut phone, newer, ..
    } = Deploy::new();
    phone.push(&[
        create("a", red()),
        create("gone", red()),
        create("n", red()).of("Note"),
    ]);
    phone.push(&[delete("gone", 0)]);
    let at = read(&phone, &newer, None);
    let again = read_again(&phone, &newer, at.token(), &["Task"]);
    assert_eq!(
        (&again.names[..], again.resets),
        (&["a 1".to_owned()][..], 0)
    );
    assert_eq!(again.checkpoint().tracks.len(), 1);
    // A type of another model is none of this one's.
    let none = read_again(&phone, &newer, again.token(), &["Unknown"]);
    assert!(none.names.is_empty());
}

#[test]
fn a_client_that_asks_with_each_request_gets_a_type_again_once_for_each_selection() {
    let Deploy {
        mut phone, newer, ..
    } = Deploy::new();
    phone.push(&[create("a", red()), create("b", red()), create("c", red())]);
    let mut token = read(&phone, &newer, None).token();
    // One document a page, and a page that has nothing: then the type was begun again once.
    for (selection, pages) in [(1, [1, 1, 1, 0, 0]), (2, [1, 1, 1, 0, 0])] {
        for changes in pages {
            let asked = Asked {
                user: "bob",
                token: token.as_deref(),
                types: RequestedTypes::All,
                refresh: &["Task"],
                selection,
                limit: 1,
                reread: &[],
            };
            let page = phone.store.page_at(&newer, &asked);
            assert_eq!((page.changes.len(), page.reset), (changes, false));
            token = Some(page.token());
        }
    }
    // A request without it ends that, so the same may be asked for again.
    token = read(&phone, &newer, token).token();
    assert_eq!(read_again(&phone, &newer, token, &["Task"]).names.len(), 3);
}

#[test]
fn a_client_that_goes_back_is_not_reset_for_what_it_had() {
    let Deploy {
        mut phone, newer, ..
    } = Deploy::new();
    phone.push(&[create("a", red()), create("b", red()), create("c", red())]);
    phone.push(&[delete("b", 0)]);
    let at = read(&phone, &newer, None);
    phone.store.collect();
    let again = read_again(&phone, &newer, at.token(), &["Task"]);
    assert_eq!(
        (&again.names[..], again.resets),
        (&["a 1", "c 1"].map(String::from)[..], 0)
    );
}

#[test]
fn a_client_that_goes_back_gets_what_was_removed_since() {
    let Deploy {
        mut phone, newer, ..
    } = Deploy::new();
    phone.push(&[create("a", red()), create("b", red())]);
    let at = read(&phone, &newer, None);
    phone.push(&[delete("b", 0)]);
    let again = read_again(&phone, &newer, at.token(), &["Task"]);
    assert_eq!(
        (&again.names[..], again.resets),
        (&["a 1", "-b 2"].map(String::from)[..], 0)
    );
    // If it cannot get that any more, it starts again.
    phone.push(&[delete("a", 0)]);
    phone.store.collect();
    let again = read_again(&phone, &newer, at.token(), &["Task"]);
    assert_eq!((again.names.len(), again.resets), (0, 1));
}

#[test]
fn a_revoked_scope_leaves_all_tracks_and_what_was_skipped() {
    let Deploy {
        mut phone,
        older,
        newer,
    } = Deploy::new();
    phone.push(&[create("n", red()).of("Note"), create("untitled", red())]);
    let at = read(&phone, &newer, None);
    phone.push(&[update("untitled", 0, json!({ "done": true }))]);
    let beside = read(&phone, &older, at.token());
    let held = beside.checkpoint();
    assert_eq!((held.tracks.len(), held.skipped.len()), (2, 1));
    phone.store.teams("bob", &[]);
    let revoked = read(&phone, &older, beside.token());
    assert_eq!(revoked.last.revoked, [Scope::new("team:red").unwrap()]);
    let left = revoked.checkpoint();
    let scopes = left.tracks.iter().flat_map(|track| track.positions.keys());
    assert!(!scopes.into_iter().any(|scope| scope.as_str() == "team:red"));
    assert!(left.skipped.is_empty());
    // When it is granted again, both types start again there.
    phone.store.teams("bob", &["red"]);
    let mut again = read(&phone, &newer, revoked.token());
    again.names.sort();
    assert_eq!(again.names, ["n 1", "untitled 2"]);
}

/// A scope that is granted through a gateway that lacks a type begins for this type where another gateway reads it.
#[test]
fn a_scope_granted_beside_begins_for_types_that_are_unknown_there() {
    let Deploy {
        mut phone,
        older,
        newer,
    } = Deploy::new();
    phone.push(&[create("n", json!({ "audience": "team:blue" })).of("Note")]);
    let at = read(&phone, &newer, None);
    phone.store.teams("bob", &["red", "blue"]);
    let beside = read(&phone, &older, at.token());
    let later = read(&phone, &newer, beside.token());
    assert_eq!(
        (&later.names[..], later.resets),
        (&["n 1".to_owned()][..], 0)
    );
}

#[test]
fn types_that_a_client_does_not_want_are_in_no_track() {
    let Deploy {
        mut phone, newer, ..
    } = Deploy::new();
    phone.push(&[create("a", red()), create("n", red()).of("Note")]);
    let all = read(&phone, &newer, None);
    let tasks = phone.pull("bob", all.token().as_deref(), &only(&["Task"]));
    let tracks = &tasks.last.place.checkpoint.tracks;
    assert_eq!((tracks.len(), tracks[0].types.len()), (1, 1));
    let again = read(&phone, &newer, Some(tasks.last.token()));
    assert_eq!(
        (&again.names[..], again.resets),
        (&["n 1".to_owned()][..], 0)
    );
}
