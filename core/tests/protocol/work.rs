//! What a push may cost. Beyond that, `overlap` decides about edits, and no edit of others is lost (protocol 4.8).

use std::sync::Arc;

use serde_json::json;
use tidegate_core::{
    decide::WORK_MAX,
    membership::Bounds,
    push::{CURRENT_BYTES_MAX, PushRefusal},
    transaction::{LoadBytesMax, Reads},
};

use crate::{
    drafts::{Draft, create, update},
    members::{give, give_many, user},
    senders::{Sender, anonymously, by, summaries},
    store::Store,
};

/// One line of this many bytes, which is compared whole for each edit.
const BYTES: usize = WORK_MAX / 8;

fn text(first: &str, last: &str) -> String {
    format!("{first} {} {last}", "Words. ".repeat(BYTES / 7))
}

/// Bob created a task and changed the first sentence of its text.
fn edited_by_bob(rule: &str) -> Store {
    let mut store = Store::new(rule);
    let bobs = [
        create("t", json!({ "text": text("First.", "Last.") })),
        update("t", 1, json!({ "text": text("Bob.", "Last.") })),
    ];
    let answer = store.push(&by("bob", "b").from(1), &bobs);
    assert_eq!(summaries(&answer), ["APPLIED 1", "APPLIED 2"]);
    store
}

/// Edits of the last sentence, each made on the one before.
fn alices(edits: usize) -> Vec<Draft> {
    let last = |i: usize| format!("Last {i}.");
    let edit = |i: usize| {
        let (seen, mine) = (text("First.", &last(i)), text("First.", &last(i + 1)));
        update("t", 1, json!({ "text": mine })).seeing(json!({ "text": seen }))
    };
    let first = update("t", 1, json!({ "text": text("First.", &last(0)) }))
        .seeing(json!({ "text": text("First.", "Last.") }));
    std::iter::once(first)
        .chain((0..edits - 1).map(edit))
        .collect()
}

fn text_of(store: &Store) -> String {
    let body = store.task("t").body.clone().expect("it is alive");
    body["text"].as_str().expect("it is a text").to_owned()
}

#[test]
fn what_is_more_work_than_a_push_has_goes_by_the_overlap_and_undoes_nothing() {
    let mut store = edited_by_bob("MERGE/SERVER_WINS");
    let answer = summaries(&store.push(&by("alice", "phone").from(1), &alices(20)));
    assert_eq!(answer[..2], ["MERGED 3", "MERGED 4"]);
    assert_eq!(answer[2..], ["CONFLICT 4"; 18]);
    assert_eq!(text_of(&store), text("Bob.", "Last 1."));

    let mut store = edited_by_bob("MERGE/MANUAL");
    let answer = summaries(&store.push(&by("alice", "phone").from(1), &alices(4)));
    assert_eq!(answer[2..], ["CONFLICT 4"; 2]);
    assert_eq!(store.conflicts().count(), 2, "they wait");
}

#[test]
fn edits_that_nobody_else_came_between_need_no_merge() {
    let mut store = Store::new("MERGE/SERVER_WINS");
    let made = create("t", json!({ "text": text("First.", "Last.") }));
    let _made = store.push(&by("bob", "b").from(1), &[made]);
    let answer = summaries(&store.push(&by("alice", "phone").from(1), &alices(20)));
    let applied: Vec<String> = (2..22)
        .map(|version| format!("APPLIED {version}"))
        .collect();
    assert_eq!(answer, applied);
    assert_eq!(text_of(&store), text("First.", "Last 19."));
}

/// Each edit copies the document that it meets.
#[test]
fn a_push_whose_documents_are_too_large_is_refused_before_it_is_decided() {
    let mut store = Store::new("MERGE");
    let large = "x".repeat(2 << 20);
    let _made = store.push(
        &by("bob", "b").from(1),
        &[create("t", json!({ "text": large }))],
    );
    let edits = |count| vec![update("t", -1, json!({ "stars": 1 })); count];
    let fits = CURRENT_BYTES_MAX / (large.len() + 100);
    let refused = summaries(&store.push(&by("alice", "phone").from(1), &edits(1_000)));
    assert_eq!(refused, [format!("TooLarge {{ max: {fits} }}")]);
    assert_eq!(store.task("t").version.0, 1);
    let taken = store.push(&by("alice", "phone").from(1), &edits(fits));
    assert_eq!(summaries(&taken).len(), fits, "no id was consumed");

    let created = create("u", json!({ "text": large }));
    let edits = vec![update("u", 0, json!({ "stars": 1 })); 999];
    let changes: Vec<Draft> = std::iter::once(created).chain(edits).collect();
    let refused = summaries(&store.push(&by("carol", "c").from(1), &changes));
    assert_eq!(refused, [format!("TooLarge {{ max: {fits} }}")]);
}

#[test]
fn pushes_behind_much_work_are_left_for_the_next_transaction() {
    let mut store = edited_by_bob("MERGE/SERVER_WINS");
    let (alice, carol) = (by("alice", "phone").from(1), by("carol", "c").from(1));
    let (costly, small) = (alices(3), [create("u", json!({}))]);
    let answers = store.group(&[(&carol, &small), (&alice, &costly)]);
    assert_eq!(
        answers.len(),
        2,
        "what comes before much work is taken with it"
    );
    let mut store = edited_by_bob("MERGE/SERVER_WINS");
    let answers = store.group(&[
        (&alice, &costly),
        (&alice.clone().from(4), &alices(3)),
        (&carol, &small),
    ]);
    assert_eq!(
        answers.len(),
        2,
        "the work of both is more than one push has"
    );
}

#[test]
fn pushes_behind_large_documents_are_left_for_the_next_transaction() {
    let mut store = Store::new("MERGE");
    let large = "x".repeat(2 << 20);
    let _made = store.push(
        &by("bob", "b").from(1),
        &[create("t", json!({ "text": large }))],
    );
    let half =
        vec![update("t", -1, json!({ "stars": 1 })); CURRENT_BYTES_MAX / large.len() / 2 + 1];
    let pushes = ["alice", "carol", "dora"].map(|name| by(name, name).from(1));
    let group = pushes.each_ref().map(|by| (by, half.as_slice()));
    assert_eq!(store.group(&group).len(), 2);
}

#[test]
fn what_a_transaction_loads_has_room_for_what_a_push_may_meet() {
    let LoadBytesMax(bytes_max) = Reads::default().bytes_max;
    assert_eq!((bytes_max, CURRENT_BYTES_MAX), (72 << 20, 64 << 20));
}

/// Tasks of 1,000 bytes each, where a transaction loads two of them.
fn of_two(tasks: &[&str]) -> Store {
    let mut store = Store::new("MERGE");
    let text = "x".repeat(1_000);
    let made = tasks.iter();
    let made = made.map(|id| create(id, json!({ "text": text })));
    let _made = store.push(&anonymously("bob"), &made.collect::<Vec<_>>());
    store.bytes_max = 2_500;
    store
}

fn stars(tasks: &[&str]) -> Vec<Draft> {
    let tasks = tasks.iter();
    tasks
        .map(|id| update(id, 1, json!({ "stars": 1 })))
        .collect()
}

#[test]
fn a_push_that_names_more_than_is_loaded_is_refused_with_how_many_of_its_changes_fit() {
    let mut store = of_two(&["a", "b", "c"]);
    let alice = by("alice", "phone").from(1);
    let refused = summaries(&store.push(&alice, &stars(&["c", "a", "c", "b"])));
    assert_eq!(refused, ["TooLarge { max: 3 }"]);
    assert_eq!(store.task("c").version.0, 1, "nothing is written");
    let taken = summaries(&store.push(&alice, &stars(&["c", "a", "c"])));
    assert_eq!(
        taken,
        ["APPLIED 2", "APPLIED 2", "APPLIED 3"],
        "no id is used"
    );
    store.bytes_max = 0;
    let taken = summaries(&store.push(&alice.from(4), &stars(&["b"])));
    assert_eq!(taken, ["APPLIED 2"], "one document always has room");
}

#[test]
fn a_push_whose_documents_are_left_out_waits_for_the_next_transaction_in_its_turn() {
    let mut store = of_two(&["a", "b", "c", "d"]);
    let [alice, carol, dora] = ["alice", "carol", "dora"].map(|name| by(name, name).from(1));
    let (alices, carols, doras) = (stars(&["d"]), stars(&["a", "b"]), stars(&["d"]));
    let answers = store.group(&[(&alice, &alices), (&carol, &carols), (&dora, &doras)]);
    assert_eq!(answers.len(), 1, "and the request behind it");
    let answers = store.group(&[(&carol, &carols), (&dora, &doras)]);
    assert_eq!(answers.len(), 1);
    assert_eq!(summaries(&answers[0]), ["APPLIED 2"; 2], "it fits alone");
}

#[test]
fn a_repeat_is_known_though_its_documents_are_left_out_and_an_error_keeps_its_code() {
    let mut store = of_two(&["a", "b", "c"]);
    let (alice, changes) = (by("alice", "phone").from(1), stars(&["a", "b", "c"]));
    let refused = summaries(&store.push(&alice.clone().from(2), &changes));
    assert_eq!(refused, ["MutationIdGap { expected: MutationId(1) }"]);
    store.bytes_max = usize::MAX;
    let first = store.push(&alice, &changes);
    store.bytes_max = 2_500;
    let repeat = store.push(&alice, &changes);
    assert_eq!(summaries(&repeat), summaries(&first));
    let shown = repeat.unwrap().outcomes;
    let shown: Vec<bool> = shown.iter().map(|it| it.document.is_some()).collect();
    assert_eq!(shown, [true, true, false]);
}

#[test]
fn a_membership_is_work_for_the_scopes_of_whom_it_names_and_no_other_users() {
    let mut store = Store::new("SERVER_WINS");
    store.bounds = Arc::new(Bounds {
        services: [user("importer")].into(),
        ..Bounds::default()
    });
    give_many(&mut store, "importer", "alice", 1_500);
    let (alice, bob) = (anonymously("alice"), anonymously("bob"));
    let small = [give("bobs", "red", "carol")];
    let hundred = |name: &str, to: &dyn Fn(usize) -> String| -> Vec<Draft> {
        let number = 0..100;
        number
            .map(|n| give(&format!("{name}{n}"), &format!("{name}{n}"), &to(n)))
            .collect()
    };
    let to_strangers = hundred("far", &|n| format!("stranger{n}"));
    let answers = store.group(&[(&alice, &to_strangers), (&bob, &small)]);
    assert_eq!(answers.len(), 2, "what alice may do is found once");
    let to_herself = hundred("near", &|_| "alice".to_owned());
    let (first, second) = (&to_herself[..50], &to_herself[50..]);
    let answers = store.group(&[(&alice, first), (&alice, second), (&bob, &small)]);
    assert_eq!(answers.len(), 2, "it is found again after each, as work");
    for answer in &answers {
        assert_eq!(summaries(answer), ["APPLIED 1"; 50]);
    }
}

#[test]
fn a_push_that_changes_too_often_what_its_sender_may_do_is_refused_with_how_many_changes_fit() {
    let mut store = Store::new("SERVER_WINS");
    store.bounds = Arc::new(Bounds {
        services: [user("importer")].into(),
        ..Bounds::default()
    });
    give_many(&mut store, "importer", "alice", 1_500);
    let alice = by("alice", "phone").from(1);
    let drafts = |to: &str| -> Vec<Draft> {
        let number = 0..100;
        number
            .map(|n| give(&format!("{to}{n}"), &format!("{to}{n}"), to))
            .collect()
    };
    let to_herself = drafts("alice");
    let refused = store.push(&alice, &to_herself);
    let Err(PushRefusal::TooLarge { max }) = refused else {
        panic!("{refused:?}");
    };
    assert!((50..100).contains(&max), "{max}");
    let taken = store.push(&alice, &to_herself[..max]);
    assert_eq!(summaries(&taken), vec!["APPLIED 1"; max], "no id is used");
    let others = drafts("stranger");
    assert!(store.push(&by("alice", "laptop").from(1), &others).is_ok());
}

#[test]
fn many_small_pushes_of_a_user_with_many_memberships_are_left_for_the_next_transaction() {
    let mut store = Store::new("SERVER_WINS");
    store.bounds = Arc::new(Bounds {
        services: [user("importer")].into(),
        ..Bounds::default()
    });
    give_many(&mut store, "importer", "alice", 1_500);
    let pushes: Vec<_> = (0..200)
        .map(|n| [create(&format!("{n}"), json!({}))])
        .collect();
    let alice = anonymously("alice");
    let group: Vec<(&Sender, &[Draft])> = pushes.iter().map(|it| (&alice, &it[..])).collect();
    let answered = store.group(&group).len();
    assert!((50..100).contains(&answered), "{answered}");
}
