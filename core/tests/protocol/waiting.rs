//! What waits in the inbox: repeats of unnumbered changes, how much may wait, and types that left the model.
//!
//! [`crate::inbox`] says what is left pending, and what a resolution does.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tidegate_core::{
    id::{ConflictId, TypeName},
    inbox::{InboxRecord, PENDING_MAX},
    model::Model,
    push::{PushAnswer, PushRefusal, Resolution},
    value::Value,
};

use crate::{
    bench::value,
    drafts::{Draft, create, delete, update},
    senders::{Sender, anonymously, by, summaries},
    store::Store,
};

fn retitled(base: i32, title: &str) -> Draft {
    update("t", base, json!({ "title": title }))
}

/// Bob created a task and gave it a title.
fn titled(rule: &str) -> Store {
    let mut store = Store::new(rule);
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        retitled(1, "theirs"),
    ];
    let answer = store.push(&by("bob", "b").from(1), &bobs);
    assert_eq!(summaries(&answer), ["APPLIED 1", "APPLIED 2"]);
    store
}

fn inbox(answer: PushAnswer) -> Option<ConflictId> {
    answer.expect("it is taken").outcomes.remove(0).inbox
}

fn unnumbered() -> [Sender; 2] {
    [by("alice", "browser"), anonymously("alice")]
}

fn edited(store: &Store, fields: Json) -> Resolution {
    let fields = retitled(1, "").of_fields(&store.model, fields);
    Resolution::Edited(TypeName::new("Task").expect("a short name"), Ok(fields))
}

#[test]
fn a_repeat_changes_nothing_of_an_open_conflict_though_its_document_has_moved() {
    for sender in unnumbered() {
        let mut store = titled("MANUAL");
        let id = inbox(store.push(&sender, &[retitled(1, "mine")])).expect("it waits");
        let opened = store.conflict().clone();
        assert_eq!(inbox(store.push(&sender, &[retitled(1, "mine")])), Some(id));
        assert_eq!(*store.conflict(), opened);
        let _moved = store.push(&by("bob", "b").from(3), &[retitled(2, "newer")]);
        let _again = store.push(&sender, &[retitled(1, "mine")]);
        assert_eq!(*store.conflict(), opened);
        let _other = store.push(&sender, &[retitled(1, "another")]);
        assert_eq!(
            store.conflicts().count(),
            2,
            "another change is another one"
        );
    }
}

#[test]
fn a_repeat_of_what_was_settled_opens_nothing_until_what_was_in_question_changes() {
    type Make = fn(&Store) -> Resolution;
    let resolutions: [(Make, i32); 2] = [
        (|_| Resolution::Theirs, 2),
        (|store| edited(store, json!({ "title": "both" })), 3),
    ];
    for (make, left) in resolutions {
        for sender in unnumbered() {
            let mut store = titled("MANUAL");
            let mine = [retitled(1, "mine")];
            let id = inbox(store.push(&sender, &mine)).expect("it waits");
            let resolution = make(&store);
            let _settled = store.resolve("bob", &id, 2, resolution.clone());
            let starred = update("t", left, json!({ "stars": 5 }));
            for elsewhere in [vec![], vec![starred]] {
                let _moved = store.push(&by("bob", "b").from(3), &elsewhere);
                let again = store.push(&sender, &mine);
                assert_eq!(inbox(again), Some(id.clone()), "it is named");
                assert_eq!(store.conflicts().count(), 0, "and stays settled");
            }
            let again = store.resolve("bob", &id, 2, resolution);
            assert!(again.is_ok_and(|outcome| outcome.duplicate));
            let _moved = store.push(&by("bob", "b").from(4), &[retitled(left + 1, "newer")]);
            assert_eq!(inbox(store.push(&sender, &mine)), Some(id));
            assert_eq!(
                store.conflict().version.0,
                left + 2,
                "this is another matter"
            );
        }
    }
}

/// Each repeat writes the rest again, and so changes the document.
#[test]
fn a_repeat_of_a_half_settled_merge_does_not_ask_again_because_it_moved_the_document_itself() {
    let mut store = titled("MERGE/MANUAL");
    let mine = [update("t", 1, json!({ "title": "mine", "done": true }))];
    let sender = by("alice", "browser");
    let id = inbox(store.push(&sender, &mine)).expect("the title waits");
    let _settled = store.resolve("bob", &id, 3, Resolution::Theirs);
    for _ in 0..3 {
        assert_eq!(inbox(store.push(&sender, &mine)), Some(id.clone()));
        assert_eq!(store.conflicts().count(), 0);
    }
}

#[test]
fn a_repeated_delete_that_was_settled_waits_again_after_another_edit() {
    let mut store = titled("MANUAL");
    let sender = anonymously("alice");
    let id = inbox(store.push(&sender, &[delete("t", 1)])).expect("it waits");
    let _settled = store.resolve("bob", &id, 2, Resolution::Theirs);
    let _again = store.push(&sender, &[delete("t", 1)]);
    assert_eq!(store.conflicts().count(), 0);
    let _moved = store.push(
        &by("bob", "b").from(3),
        &[update("t", 2, json!({ "stars": 5 }))],
    );
    assert_eq!(inbox(store.push(&sender, &[delete("t", 1)])), Some(id));
    assert_eq!(store.conflict().version.0, 3);
}

fn titles(range: std::ops::Range<usize>) -> Vec<Draft> {
    range.map(|i| retitled(1, &format!("mine {i}"))).collect()
}

#[test]
fn a_document_has_a_bounded_number_of_conflicts_and_the_next_is_rejected_whole() {
    for rule in ["MANUAL", "MERGE/MANUAL"] {
        let mut store = titled(rule);
        let sender = by("alice", "phone").from(1);
        let answered = summaries(&store.push(&sender, &titles(0..PENDING_MAX + 1)));
        assert_eq!(answered[PENDING_MAX - 1], "CONFLICT 2");
        assert_eq!(answered[PENDING_MAX], "REJECTED INBOX_FULL");
        assert_eq!(store.conflicts().count(), PENDING_MAX);
        let more = update("t", 1, json!({ "title": "more", "done": true }));
        let numbered = |n: usize| i32::try_from(PENDING_MAX + n).expect("it is small");
        let sender = by("alice", "phone").from(numbered(2));
        let answer = store.push(&sender, &[more.clone(), create("u", json!({}))]);
        assert_eq!(
            summaries(&answer),
            ["REJECTED INBOX_FULL", "APPLIED 1"],
            "{rule}"
        );
        assert_eq!(
            value(store.task("t"), "done"),
            None,
            "nothing of it is in force"
        );
        let first = store.conflicts().next().expect("many wait").id.clone();
        let _settled = store.resolve("bob", &first, 2, Resolution::Theirs);
        let sender = by("alice", "phone").from(numbered(4));
        assert!(
            inbox(store.push(&sender, &[more])).is_some(),
            "there is room again"
        );
    }
}

#[test]
fn a_resolution_leaves_its_place_to_a_push_of_the_same_transaction_and_no_more_than_that() {
    let mut store = titled("MANUAL");
    let _full = store.push(&by("alice", "phone").from(1), &titles(0..PENDING_MAX));
    let open: Vec<ConflictId> = store.conflicts().map(|open| open.id.clone()).collect();
    let more = [
        retitled(1, "more"),
        retitled(1, "and more"),
        retitled(1, "one too many"),
    ];
    let alice = by("alice", "laptop").from(1);
    let answers = store.resolve_and_push(("bob", &open[..2], 2), (&alice, &more));
    let reported = ["CONFLICT 2", "CONFLICT 2", "REJECTED INBOX_FULL"];
    assert_eq!(summaries(&answers[2]), reported);
    assert_eq!(store.conflicts().count(), PENDING_MAX);
    let other = [retitled(1, "another's")];
    let answers =
        store.resolve_and_push(("bob", &open[2..3], 2), (&by("bob", "c").from(1), &other));
    assert_eq!(summaries(&answers[0]), ["APPLIED 2"], "{answers:?}");
}

/// The bound belongs to one user: a user who fills it, or many together, take no room from the next.
#[test]
fn nobody_fills_the_inbox_for_another_user() {
    let mut store = titled("MANUAL");
    let members = ["alice", "dave", "erin"];
    for member in members {
        let sent =
            summaries(&store.push(&by(member, "phone").from(1), &titles(0..PENDING_MAX + 50)));
        let full = sent
            .iter()
            .filter(|reported| *reported == "REJECTED INBOX_FULL");
        assert_eq!(full.count(), 50, "{member}");
    }
    let again = store.push(&by("alice", "tablet").from(1), &titles(200..201));
    assert_eq!(
        summaries(&again),
        ["REJECTED INBOX_FULL"],
        "another client is no other user"
    );
    let honest = store.push(&by("carol", "phone").from(1), &titles(0..1));
    assert_eq!(summaries(&honest), ["CONFLICT 2"]);
    assert_eq!(store.conflicts().count(), members.len() * PENDING_MAX + 1);
}

/// The bound on bytes belongs to one user as well.
#[test]
fn nobody_fills_the_bytes_of_the_inbox_for_another_user() {
    let mut store = titled("MANUAL");
    let large = update("t", 2, json!({ "text": "x".repeat(4_000_000) }));
    let _grown = store.push(&by("bob", "b").from(3), &[large]);
    let alices = summaries(&store.push(&by("alice", "phone").from(1), &titles(0..10)));
    assert_eq!(alices[4..], ["REJECTED INBOX_FULL"; 6]);
    let honest = summaries(&store.push(&by("carol", "phone").from(1), &titles(0..1)));
    assert_eq!(honest, ["CONFLICT 3"]);
}

#[test]
fn what_waits_already_and_what_waits_nowhere_needs_no_room() {
    let mut store = titled("MANUAL");
    let sender = by("alice", "browser");
    let _full = store.push(&sender, &titles(0..PENDING_MAX));
    let answer = store.push(&sender, &titles(0..1));
    assert_eq!(summaries(&answer), ["CONFLICT 2"], "a repeat");
    let answer = store.push(&by("alice", "phone").from(1).atomic(), &titles(200..201));
    assert_eq!(summaries(&answer), ["CONFLICT 2"], "an atomic push");
    let answer = store.push(&by("alice", "phone").from(2), &[retitled(2, "clean")]);
    assert_eq!(summaries(&answer), ["APPLIED 3"]);
}

#[test]
fn small_edits_of_a_large_document_keep_a_bounded_number_of_its_copies() {
    let mut store = Store::new("MANUAL");
    let large = "x".repeat(4_000_000);
    let bobs = [
        create("t", json!({ "title": "old", "text": large })),
        retitled(1, "theirs"),
    ];
    let _made = store.push(&by("bob", "b").from(1), &bobs);
    let answer = store.push(&by("alice", "phone").from(1), &titles(0..15));
    let full = summaries(&answer)
        .iter()
        .filter(|reported| *reported == "REJECTED INBOX_FULL")
        .count();
    assert_eq!((store.conflicts().count(), full), (4, 11));
}

#[test]
fn a_push_is_answered_with_a_bounded_amount_about_the_fields_of_a_large_document() {
    let mut store = Store::new("SERVER_WINS");
    let large = |letter: &str| json!({ "text": letter.repeat(1 << 20) });
    let bobs = [create("t", large("a")), update("t", 1, large("b"))];
    let _made = store.push(&by("bob", "b").from(1), &bobs);
    let edits: Vec<Draft> = (0..60)
        .map(|i| update("t", 1, json!({ "text": format!("{i}") })))
        .collect();
    let answer = store.push(&by("alice", "phone").from(1), &edits);
    let outcomes = answer.expect("it is taken").outcomes;
    let detailed = outcomes.iter().filter(|outcome| outcome.conflict.is_some());
    // Each shows the server's text as `theirs` and as `result`.
    assert_eq!((outcomes.len(), detailed.count()), (60, 3));
}

#[test]
fn the_largest_conflict_there_can_be_has_room() {
    let mut store = Store::new("MANUAL");
    let large = |letter: &str| letter.repeat(4_000_000);
    let bobs = [
        create("t", json!({ "text": large("a") })),
        update("t", 1, json!({ "text": large("b") })),
    ];
    let _made = store.push(&by("bob", "b").from(1), &bobs);
    let mine = |bytes: usize, seen: usize| {
        let edit = update("t", 1, json!({ "text": "c".repeat(bytes) }));
        edit.seeing(json!({ "text": "d".repeat(seen) }))
    };
    let changes = [
        mine(4_000_000, 4_000_000),
        mine(4_200_000, 1),
        mine(1, 4_200_000),
    ];
    let answer = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(
        summaries(&answer),
        [
            "CONFLICT 2",
            "REJECTED INVALID_VALUE",
            "REJECTED INVALID_VALUE"
        ]
    );
}

#[test]
fn a_conflict_whose_type_left_the_model_waits_for_it_to_come_back() {
    let mut store = titled("MANUAL");
    let id = inbox(store.push(&by("alice", "phone").from(1), &[retitled(1, "mine")]));
    let id = id.expect("it waits");
    let with_tasks = Arc::clone(&store.model);
    let without = r#"
extend schema @grant(scope: "all", access: WRITE)
type Note @collection(name: "notes") @scope(by: "all") { id: ID! text: String }
"#;
    store.model = Arc::new(Model::parse("model.graphql", without).expect("the model is sound"));
    assert!(
        !store
            .conflict()
            .is_open_to(&store.model, &store.grants("bob"))
    );
    for side in [Resolution::Mine, Resolution::Theirs, Resolution::Delete] {
        let answer = store.resolve("bob", &id, 2, side);
        assert_eq!(answer.err(), Some(PushRefusal::ConflictNotFound));
    }
    store.collect();
    store.model = with_tasks;
    assert_eq!(
        summaries(&store.resolve("bob", &id, 2, Resolution::Mine)),
        ["APPLIED 3"]
    );
    assert_eq!(
        value(store.task("t"), "title"),
        Some(Value::String("mine".to_owned()))
    );
    assert!(matches!(store.state.inbox[&id], InboxRecord::Resolved(_)));
}

/// Alice's changes to three tasks, of 1,000 bytes each, which are left pending. A transaction loads two such conflicts.
fn of_two() -> (Store, Vec<Draft>, Vec<ConflictId>) {
    let mut store = Store::new("MANUAL");
    let bobs = |draft: &dyn Fn(&str) -> Draft| ["a", "b", "c"].map(draft);
    for (first, drafts) in [
        (1, bobs(&|id| create(id, json!({ "text": "old" })))),
        (4, bobs(&|id| update(id, 1, json!({ "text": "theirs" })))),
    ] {
        assert!(store.push(&by("bob", "b").from(first), &drafts).is_ok());
    }
    let large = "x".repeat(1_000);
    let alices = bobs(&|id| update(id, 1, json!({ "text": large }))).to_vec();
    let outcomes = store
        .push(&anonymously("alice"), &alices)
        .expect("it is taken");
    let conflicts = outcomes.outcomes.into_iter();
    let conflicts = conflicts.map(|outcome| outcome.inbox.expect("it waits"));
    store.bytes_max = 2_500;
    (store, alices, conflicts.collect())
}

#[test]
fn a_resolution_whose_conflict_is_left_out_waits_for_the_next_transaction() {
    let (mut store, _, conflicts) = of_two();
    let answers = store.resolve_together("bob", &conflicts, &Resolution::Theirs);
    assert_eq!(answers.len(), 2, "the third has no room");
    store.bytes_max = 0;
    let answers = store.resolve_together("bob", &conflicts[2..], &Resolution::Theirs);
    assert_eq!(summaries(&answers[0]), ["APPLIED 2"], "one always has room");
    assert_eq!(store.conflicts().count(), 0);
}

#[test]
fn a_push_that_repeats_more_conflicts_than_are_loaded_is_refused_with_how_many_of_its_changes_fit()
{
    let (mut store, alices, conflicts) = of_two();
    let refused = store.push(&anonymously("alice"), &alices);
    assert_eq!(summaries(&refused), ["TooLarge { max: 2 }"]);
    let repeated = store.push(&anonymously("alice"), &alices[..2]);
    let repeated = repeated.expect("it fits").outcomes;
    let ids: Vec<_> = repeated
        .into_iter()
        .filter_map(|outcome| outcome.inbox)
        .collect();
    assert_eq!(ids, conflicts[..2]);
    assert_eq!(store.conflicts().count(), 3, "nothing is opened twice");
}
