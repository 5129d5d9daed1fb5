//! Which memberships count, who gave them, and how many one may give (protocol 2.5, 4.6).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value as Json, json};
use tidegate_core::{
    checkpoint::{Checkpoint, Position, Track},
    entry::{Membership, ScopeState},
    grant::Grants,
    id::{Epoch, Scope, Seq, UserId},
    membership::{Bounds, GIVEN_MAX, Memberships, SCOPE_TEXT_MAX, SCOPES_MAX},
    model::Role,
    page::{PageCursor, PageInputs, PageRequest},
    value::Timestamp,
};

use crate::{
    bench::identity,
    drafts::{Draft, create, delete, key, model, update},
    senders::{anonymously, summaries},
    store::{Store, only},
};

/// The bytes of a request's body and of its query.
const BODY_BYTES: usize = 1 << 20;
const QUERY_BYTES: usize = 64 << 10;

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).expect("a short name")
}

pub(super) fn give(id: &str, team: &str, person: &str) -> Draft {
    let document = json!({ "team": team, "person": person, "access": "READ" });
    create(id, document).of("Member")
}

fn set(id: &str, base: i32, set: Json) -> Draft {
    update(id, base, set).of("Member")
}

/// The teams that memberships open to a user.
fn teams(store: &Store, of: &str) -> Vec<String> {
    let grants = store.grants(of);
    let scopes = grants.scopes().map(|scope| scope.as_str().to_owned());
    scopes.filter(|scope| scope.starts_with("team:")).collect()
}

/// More than a thousand gifts of one giver, in pushes that are small enough.
pub(super) fn give_many(
    store: &mut Store,
    giver: &'static str,
    to: &str,
    count: usize,
) -> Vec<String> {
    let ids: Vec<usize> = (0..count).collect();
    let mut answers = Vec::new();
    for ids in ids.chunks(500) {
        let gifts = ids
            .iter()
            .map(|n| give(&format!("{giver}-{to}-{n}"), &format!("{giver}{n}"), to));
        let gifts: Vec<Draft> = gifts.collect();
        answers.extend(summaries(&store.push(&anonymously(giver), &gifts)));
    }
    answers
}

#[test]
fn who_gave_a_membership_and_when_stays_until_it_names_another_user_or_scope() {
    let mut store = Store::new("SERVER_WINS");
    let signed = |store: &Store| {
        let entry = store.entry(&key("Member", "m")).unwrap();
        let membership = entry.membership.clone().unwrap();
        let giver = membership.giver.map(|giver| giver.as_str().to_owned());
        (giver.unwrap(), membership.since == store.now)
    };
    let _ = store.push(&anonymously("alice"), &[give("m", "red", "carol")]);
    assert_eq!(signed(&store), ("alice".to_owned(), true));
    let edits = [
        (json!({ "access": "WRITE" }), "alice", false),
        (json!({ "team": "red" }), "alice", false),
        (json!({ "team": "blue" }), "bob", true),
        (json!({ "person": "dave" }), "bob", true),
    ];
    for (edit, giver, is_new) in edits {
        let base = store.entry(&key("Member", "m")).unwrap().version.0;
        let _ = store.push(&anonymously("bob"), &[set("m", base, edit.clone())]);
        assert_eq!(signed(&store), (giver.to_owned(), is_new), "{edit}");
    }
}

#[test]
fn one_giver_gives_one_user_a_thousand_memberships_and_no_more() {
    let mut store = Store::new("SERVER_WINS");
    let answers = give_many(&mut store, "mallory", "victim", GIVEN_MAX);
    assert!(
        answers.iter().all(|reported| reported == "APPLIED 1"),
        "{answers:?}"
    );
    let _ = store.push(&anonymously("mallory"), &[give("other", "x", "friend")]);
    let push = |store: &mut Store, giver, change: Draft| {
        let mut reported = summaries(&store.push(&anonymously(giver), &[change]));
        reported.remove(0)
    };
    let full = "REJECTED MEMBERSHIPS_FULL";
    assert_eq!(
        push(&mut store, "mallory", give("more", "x", "victim")),
        full
    );
    let moved = set("other", 1, json!({ "person": "victim" }));
    assert_eq!(
        push(&mut store, "mallory", moved),
        full,
        "one that is moved"
    );
    // An existing gift may be changed, others may give what they like, and an ended gift makes room.
    let changed = set("mallory-victim-0", 1, json!({ "team": "changed" }));
    assert_eq!(push(&mut store, "mallory", changed), "APPLIED 2");
    assert_eq!(
        push(&mut store, "alice", give("alices", "red", "victim")),
        "APPLIED 1"
    );
    let taken_over = set("alices", 1, json!({ "team": "blue" }));
    assert_eq!(
        push(&mut store, "mallory", taken_over),
        full,
        "one that is taken over"
    );
    let swap = [
        delete("mallory-victim-1", 1).of("Member"),
        give("more", "x", "victim"),
        give("too-many", "x", "victim"),
    ];
    let answer = summaries(&store.push(&anonymously("mallory"), &swap));
    assert_eq!(answer, ["APPLIED 2", "APPLIED 1", full]);
}

#[test]
fn a_service_gives_a_user_ten_thousand_memberships() {
    let mut store = Store::new("SERVER_WINS");
    store.bounds = Arc::new(Bounds {
        services: [user("importer")].into(),
        ..Bounds::default()
    });
    let answers = give_many(&mut store, "importer", "alice", GIVEN_MAX + 500);
    assert!(
        answers.iter().all(|reported| reported == "APPLIED 1"),
        "{answers:?}"
    );
    assert_eq!(teams(&store, "alice").len(), GIVEN_MAX + 500);
}

fn row(n: usize, since_ms: i64, scope: &str) -> (tidegate_core::id::DocumentKey, Membership) {
    let membership = Membership {
        user: user("victim"),
        scope: Scope::new(scope).expect("a short name"),
        role: Role::Read,
        giver: Some(user("mallory")),
        since: Timestamp::from_ms(since_ms).expect("a time of our days"),
    };
    (key("Member", &format!("{n:05}")), membership)
}

fn claims(bounds: Bounds) -> Grants {
    let identity = identity("victim", &[]);
    Grants::of_claims_within(&model("SERVER_WINS"), &identity, &Arc::new(bounds))
        .expect("few scopes")
}

#[test]
fn claims_come_first_and_then_the_oldest_memberships_by_time_type_and_id() {
    let claimed = claims(Bounds::default());
    let own = claimed.scopes().count();
    let within = |scopes: usize, text_bytes: usize| {
        claims(Bounds {
            scopes,
            text_bytes,
            ..Bounds::default()
        })
    };
    // The youngest has the first id, two have the same time, and one opens the same scope as an older one.
    let rows = [
        row(1, 30, "team:youngest"),
        row(2, 20, "team:same"),
        row(3, 20, "team:later"),
        row(4, 10, "team:oldest"),
        row(5, 40, "team:oldest"),
    ];
    let memberships = Memberships {
        rows: rows.into_iter().collect(),
        ..Memberships::default()
    };
    let counted = |grants: Grants| {
        let grants = grants.with(&memberships);
        let scopes = grants.scopes().map(|scope| scope.as_str().to_owned());
        let mut given: Vec<String> = scopes.filter(|scope| scope.starts_with("team:")).collect();
        given.sort();
        given
    };
    let none: [&str; 0] = [];
    assert_eq!(counted(within(own, 1_000)), none);
    assert_eq!(counted(within(own + 1, 1_000)), ["team:oldest"]);
    assert_eq!(
        counted(within(own + 2, 1_000)),
        ["team:oldest", "team:same"]
    );
    let text: usize = claimed.scopes().map(|scope| scope.as_str().len()).sum();
    assert_eq!(counted(within(1_000, text + 8)), none);
    assert_eq!(counted(within(1_000, text + 11)), ["team:oldest"]);
    let shorter = counted(within(1_000, text + 10));
    assert_eq!(shorter, ["team:same"], "where an older one is too long");
    assert_eq!(counted(within(1_000, 1_000)).len(), 4);
}

#[test]
fn claims_that_open_more_than_the_bounds_are_refused() {
    let identity = identity("alice", &["red", "blue"]);
    let scopes = Grants::of_claims(&model("SERVER_WINS"), &identity).unwrap();
    let scopes = scopes.scopes().count();
    for (scopes, text_bytes, fits) in [
        (scopes, 1_000, true),
        (scopes - 1, 1_000, false),
        (scopes, 10, false),
    ] {
        let bounds = Arc::new(Bounds {
            scopes,
            text_bytes,
            ..Bounds::default()
        });
        let grants = Grants::of_claims_within(&model("SERVER_WINS"), &identity, &bounds);
        assert_eq!(grants.is_ok(), fits, "{scopes} {text_bytes}");
    }
}

/// All scopes and all the text that one user may have.
fn at_the_bounds() -> Grants {
    let claimed = claims(Bounds::default());
    let length = SCOPE_TEXT_MAX / SCOPES_MAX;
    let rows = (0..2 * SCOPES_MAX).map(|n| row(n, n as i64, &format!("{n:0>length$}")));
    let memberships = Memberships {
        rows: rows.collect(),
        ..Memberships::default()
    };
    let grants = claimed.with(&memberships);
    let text: usize = grants.scopes().map(|scope| scope.as_str().len()).sum();
    assert_eq!(grants.scopes().count(), SCOPES_MAX);
    assert!(text > SCOPE_TEXT_MAX - 2 * SCOPES_MAX, "{text}");
    grants
}

#[test]
fn a_checkpoint_at_the_bounds_fits_into_a_request() {
    let grants = at_the_bounds();
    let store = Store::new("SERVER_WINS");
    let gateway = store.gateway();
    let position = Position {
        seq: Seq(1 << 34),
        start: Seq(1 << 34),
        // Gateways of a store number its scopes. Without numbers the token is as long as it can be.
        number: None,
    };
    let positions = grants.scopes().map(|scope| (scope.clone(), position));
    let task = gateway.known.number(&key("Task", "x").type_name).unwrap();
    let track = Track {
        types: [task].into(),
        positions: positions.collect(),
    };
    let epoch = Epoch::new(&"e".repeat(256)).unwrap();
    let checkpoint = Checkpoint {
        epoch: epoch.clone(),
        skipped: BTreeMap::new(),
        turn: grants.scopes().next().cloned(),
        tracks: vec![track],
        refreshed: Default::default(),
    };
    let token_bytes = |checkpoint: &Checkpoint| store.seal("alice", checkpoint).len();
    assert!(token_bytes(&checkpoint) + QUERY_BYTES < BODY_BYTES);

    // A client that adds a type while it has so many scopes starts again: two tracks would be too long.
    let resume = |checkpoint: &Checkpoint, grants: &Grants, state: ScopeState, types: &[&str]| {
        let states = grants.scopes().map(|scope| (scope.clone(), state));
        let view = PageInputs {
            epoch: &epoch,
            grants,
            scopes: &states.collect(),
            confirmed: &HashMap::new(),
            known: &gateway.known,
            standing: gateway.standing,
        };
        let request = PageRequest {
            checkpoint: Some(checkpoint.clone()),
            types: only(types),
            refresh: Default::default(),
            reread: Default::default(),
        };
        PageCursor::resume(request, &view)
    };
    let state = ScopeState {
        head: Seq(1 << 34),
        floor: Seq::START,
        number: None,
    };
    let same = resume(&checkpoint, &grants, state, &["Task"]);
    assert!(!same.reset);
    let more = resume(&checkpoint, &grants, state, &["Task", "Note"]);
    assert!(more.reset);
    assert_eq!(more.checkpoint.tracks.len(), 1);
    assert!(token_bytes(&more.checkpoint) + QUERY_BYTES < BODY_BYTES);
    // With few scopes it continues, with two tracks.
    let (small, mut few) = (claims(Bounds::default()), checkpoint);
    let positions = small.scopes().map(|scope| (scope.clone(), position));
    few.tracks[0].positions = positions.collect();
    let two = resume(&few, &small, state, &["Task", "Note"]);
    assert!(!two.reset);
    assert_eq!(two.checkpoint.tracks.len(), 2);
}

#[test]
fn bounds_follow_the_size_of_a_request() {
    for body_bytes in [1 << 10, 1 << 14, 1 << 20, 1 << 26] {
        let bounds = Bounds::within(body_bytes, SCOPES_MAX, Default::default());
        let token_bytes = bounds.positions_bytes().div_ceil(3) * 4;
        assert!(token_bytes < body_bytes, "{token_bytes} of {body_bytes}");
    }
    let usual = Bounds::within(BODY_BYTES, SCOPES_MAX, Default::default());
    assert_eq!(usual, Bounds::default());
}

#[test]
fn what_a_declined_giver_gives_does_not_count_until_it_is_taken_back() {
    let mut store = Store::new("SERVER_WINS");
    give_many(&mut store, "mallory", "victim", 3);
    give_many(&mut store, "alice", "victim", 2);
    assert_eq!(teams(&store, "victim").len(), 5);
    let stamp = store.stamp("victim");
    store.decline("victim", &["mallory", "nobody"], true);
    assert_eq!(teams(&store, "victim"), ["team:alice0", "team:alice1"]);
    assert_eq!(store.stamp("victim"), stamp + 1);
    // A declined giver may give again. It opens nothing, not even in the same transaction.
    let _ = store.push(&anonymously("mallory"), &[give("again", "again", "victim")]);
    assert_eq!(teams(&store, "victim").len(), 2);
    let [mallory, victim] = ["mallory", "victim"].map(anonymously);
    let seen = json!({ "audience": "team:inside", "title": "x" });
    let inside = json!({ "team": "inside", "person": "victim", "access": "WRITE" });
    let answers = store.group(&[
        (&mallory, &[create("inside", inside).of("Member")]),
        (&victim, &[create("t", seen)]),
    ]);
    assert_eq!(summaries(&answers[1]), ["REJECTED FORBIDDEN"]);
    // Declining the same giver again changes nothing.
    let stamp = store.stamp("victim");
    store.decline("victim", &["mallory"], true);
    assert_eq!(store.stamp("victim"), stamp);
    store.decline("victim", &["mallory"], false);
    assert_eq!(teams(&store, "victim").len(), 7);
    assert_eq!(store.stamp("victim"), stamp + 1);
}

#[test]
fn each_change_of_a_membership_stamps_whom_it_was_for_and_whom_it_is_for() {
    let mut store = Store::new("SERVER_WINS");
    let stamps = |store: &Store| ["carol", "dave", "erin"].map(|user| store.stamp(user));
    let changes = [
        (give("m", "red", "carol"), [1, 0, 0]),
        (set("m", 1, json!({ "audience": "user:bob" })), [1, 0, 0]),
        (set("m", 2, json!({ "access": "WRITE" })), [2, 0, 0]),
        (set("m", 3, json!({ "person": "dave" })), [3, 1, 0]),
        (set("m", 4, json!({ "access": "none" })), [3, 2, 0]),
        (set("m", 5, json!({ "access": "READ" })), [3, 3, 0]),
        (delete("m", 6).of("Member"), [3, 4, 0]),
    ];
    for (change, expected) in changes {
        let answer = summaries(&store.push(&anonymously("bob"), std::slice::from_ref(&change)));
        assert!(answer[0].starts_with("APPLIED"), "{answer:?}");
        assert_eq!(stamps(&store), expected, "{change:?}");
    }
}
