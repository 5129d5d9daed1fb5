//! Pushes as a whole: mutation ids, repeats, epochs, all-or-nothing.
//!
//! Protocol 4.1 to 4.4. Another file tests what a client queues on its own unanswered changes.

use serde_json::json;
use tidegate_core::{decide::DOCUMENT_BYTES_MAX, id::MutationId, model::Policy, push::PushAnswer};

use crate::{
    drafts::{Draft, create, delete, update},
    senders::{anonymously, by, summaries},
    store::Store,
};

fn titled(id: &str, title: &str) -> Draft {
    create(id, json!({ "title": title }))
}

fn retitled(id: &str, base: i32, title: &str) -> Draft {
    update(id, base, json!({ "title": title }))
}

fn titles(answer: &PushAnswer) -> Vec<Option<String>> {
    let title = |entry: &tidegate_core::entry::Entry| {
        Some(entry.body.as_ref()?.get("title")?.as_str()?.to_owned())
    };
    let outcomes = &answer.as_ref().expect("the push is answered").outcomes;
    outcomes
        .iter()
        .map(|outcome| outcome.document.as_deref().and_then(title))
        .collect()
}

#[test]
fn changes_are_numbered_from_the_first_mutation_id() {
    let mut store = Store::new("MERGE");
    let answer = store.push(
        &by("alice", "phone").from(1),
        &[titled("a", "1"), titled("b", "2")],
    );
    let outcome = answer.expect("it begins at the next id");
    let ids: Vec<_> = outcome
        .outcomes
        .iter()
        .map(|outcome| outcome.mutation)
        .collect();
    assert_eq!(ids, [Some(MutationId(1)), Some(MutationId(2))]);
    assert_eq!(outcome.last_mutation_id, Some(MutationId(2)));
}

#[test]
fn a_repeat_has_no_effect_and_returns_the_original_outcomes() {
    let mut store = Store::new("MERGE");
    let (sender, changes) = (
        by("alice", "phone").from(1),
        [titled("a", "1"), retitled("a", 0, "2"), delete("b", 1)],
    );
    let first = store.push(&sender, &changes);
    let log = store.log.len();
    let again = store.push(&sender, &changes);
    assert_eq!(
        summaries(&first),
        ["APPLIED 1", "APPLIED 2", "REJECTED NOT_FOUND"]
    );
    assert_eq!(summaries(&again), summaries(&first));
    assert!(
        again.is_ok_and(
            |outcome| outcome.duplicate && outcome.last_mutation_id == Some(MutationId(3))
        )
    );
    assert_eq!(store.log.len(), log);
}

#[test]
fn a_repeat_shows_the_documents_as_they_are_now() {
    let mut store = Store::new("MERGE");
    let (sender, changes) = (by("alice", "phone").from(1), [titled("a", "mine")]);
    let _lost = store.push(&sender, &changes);
    let _ = store.push(&by("bob", "phone").from(1), &[retitled("a", 1, "bobs")]);
    let again = store.push(&sender, &changes);
    assert_eq!(
        (summaries(&again), titles(&again)),
        (vec!["APPLIED 1".into()], vec![Some("bobs".into())])
    );
}

#[test]
fn a_repeat_shows_nothing_after_the_grant_was_withdrawn() {
    let mut store = Store::new("MERGE");
    store.teams("alice", &["red"]);
    let (sender, changes) = (
        by("alice", "phone").from(1),
        [create("a", json!({ "audience": "team:red", "title": "x" }))],
    );
    let _lost = store.push(&sender, &changes);
    store.teams("alice", &[]);
    let again = store.push(&sender, &changes);
    assert_eq!(
        (summaries(&again), titles(&again)),
        (vec!["APPLIED 1".into()], vec![None])
    );
}

#[test]
fn a_repeat_is_answered_before_the_epoch_is_compared() {
    let mut store = Store::new("MERGE");
    let (sender, changes) = (
        by("alice", "phone").from(1).in_epoch("e1"),
        [titled("a", "1")],
    );
    let _lost = store.push(&sender, &changes);
    store.rotate("e2");
    assert!(
        store
            .push(&sender, &changes)
            .is_ok_and(|outcome| outcome.duplicate)
    );
}

#[test]
fn a_new_push_of_another_epoch_has_no_effect() {
    let mut store = Store::new("MERGE");
    store.rotate("e2");
    for sender in [
        by("alice", "phone").from(1).in_epoch("e1"),
        by("alice", "phone").in_epoch("e1"),
    ] {
        let answer = store.push(&sender, &[titled("a", "1")]);
        assert_eq!(
            summaries(&answer),
            ["EpochChanged { epoch: Epoch(\"e2\") }"]
        );
    }
    assert!(store.log.is_empty());
    let answer = store.push(&by("alice", "phone").from(1), &[titled("a", "1")]);
    assert_eq!(
        summaries(&answer),
        ["APPLIED 1"],
        "the refused ids were not consumed"
    );
}

#[test]
fn ids_beyond_the_next_one_are_a_gap_and_name_the_expected_one() {
    let mut store = Store::new("MERGE");
    let gap = store.push(&by("alice", "phone").from(2), &[titled("a", "1")]);
    assert_eq!(
        summaries(&gap),
        ["MutationIdGap { expected: MutationId(1) }"]
    );
    let _ = store.push(&by("alice", "phone").from(1), &[titled("a", "1")]);
    let gap = store.push(&by("alice", "phone").from(3), &[titled("b", "1")]);
    assert_eq!(
        summaries(&gap),
        ["MutationIdGap { expected: MutationId(2) }"]
    );
    assert_eq!(store.log.len(), 1);
}

#[test]
fn ids_that_were_consumed_by_something_else_are_reused() {
    let phone = || by("alice", "phone");
    let mut store = Store::new("MERGE");
    let _ = store.push(&phone().from(1), &[titled("a", "1"), titled("b", "1")]);
    for (sender, changes) in [
        (phone().from(1), vec![titled("a", "2"), titled("b", "1")]),
        (phone().from(1), vec![titled("a", "1")]),
        (phone().from(2), vec![titled("b", "1")]),
        (
            phone().from(1),
            vec![titled("a", "1"), titled("b", "1"), titled("c", "1")],
        ),
        (
            phone().from(1).atomic(),
            vec![titled("a", "1"), titled("b", "1")],
        ),
        (
            phone().from(1).under(Policy::ClientWins),
            vec![titled("a", "1"), titled("b", "1")],
        ),
    ] {
        assert_eq!(
            summaries(&store.push(&sender, &changes)),
            ["MutationIdReused"],
            "{changes:?}"
        );
    }
    let _ = store.push(&phone().from(3), &[titled("c", "1")]);
    let old = store.push(&phone().from(1), &[titled("a", "1"), titled("b", "1")]);
    assert_eq!(
        summaries(&old),
        ["MutationIdReused"],
        "only the last push is remembered"
    );
}

#[test]
fn ids_are_counted_for_each_user_and_client() {
    let mut store = Store::new("MERGE");
    for sender in [
        by("alice", "phone"),
        by("alice", "laptop"),
        by("bob", "phone"),
    ] {
        let id = format!(
            "{}-{}",
            sender.user,
            sender.client.clone().unwrap_or_default()
        );
        assert_eq!(
            summaries(&store.push(&sender.from(1), &[titled(&id, "x")])),
            ["APPLIED 1"]
        );
    }
}

#[test]
fn mutation_ids_need_an_epoch() {
    let mut store = Store::new("MERGE");
    let answers = store.without_epoch(&by("alice", "phone").from(1), &[titled("a", "1")]);
    assert_eq!(summaries(&answers), ["EpochRequired"]);
}

#[test]
fn without_mutation_ids_nothing_is_deduplicated() {
    let mut store = Store::new("CLIENT_WINS");
    for sender in [by("alice", "browser"), anonymously("alice")] {
        let id = sender.client.clone().unwrap_or_default() + "x";
        let _ = store.push(&sender, &[titled(&id, "1")]);
        let again = [retitled(&id, 1, "2")];
        assert_eq!(summaries(&store.push(&sender, &again)), ["APPLIED 2"]);
        assert_eq!(summaries(&store.push(&sender, &again)), ["MERGED 3"]);
    }
}

#[test]
fn conflicts_and_rejections_consume_their_ids_and_are_final() {
    let mut store = Store::new("SERVER_WINS");
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[titled("a", "1"), retitled("a", 1, "2")],
    );
    let (sender, changes) = (
        by("alice", "phone").from(1),
        [retitled("a", 1, "x"), delete("b", 1)],
    );
    let answer = store.push(&sender, &changes);
    assert_eq!(summaries(&answer), ["CONFLICT 2", "REJECTED NOT_FOUND"]);
    let _ = store.push(&by("bob", "phone").from(3), &[titled("b", "now it exists")]);
    assert_eq!(
        summaries(&store.push(&sender, &changes)),
        summaries(&answer)
    );
    assert_eq!(
        summaries(&store.push(&by("alice", "phone").from(3), &[titled("c", "1")])),
        ["APPLIED 1"]
    );
}

#[test]
fn an_atomic_push_with_a_failure_applies_nothing_and_consumes_its_ids() {
    let mut store = Store::new("SERVER_WINS");
    let _ = store.push(&by("bob", "phone").from(1), &[titled("a", "theirs")]);
    let sender = by("alice", "phone").from(1).atomic();
    let changes = [
        titled("new", "1"),
        titled("a", "mine"),
        retitled("none", 1, "x"),
    ];
    let answer = store.push(&sender, &changes);
    assert_eq!(
        summaries(&answer),
        [
            "REJECTED ATOMIC_ABORTED",
            "CONFLICT 1",
            "REJECTED NOT_FOUND"
        ]
    );
    assert_eq!(
        titles(&answer),
        [None, Some("theirs".into()), None],
        "as the transaction left them"
    );
    assert_eq!(store.log.len(), 1);
    assert_eq!(
        summaries(&store.push(&sender, &changes)),
        summaries(&answer)
    );
    let next = store.push(&by("alice", "phone").from(4), &[titled("new", "1")]);
    assert_eq!(summaries(&next), ["APPLIED 1"]);
}

#[test]
fn an_aborted_push_speaks_of_no_version_that_was_taken_back() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        titled("new", "1"),
        retitled("new", 7, "2"),
        titled("other", "1"),
    ];
    let answer = store.push(&by("alice", "phone").from(1).atomic(), &changes);
    let outcomes = &answer.as_ref().unwrap().outcomes;
    assert!(
        outcomes.iter().all(|outcome| outcome.version.is_none()),
        "{outcomes:?}"
    );
}

#[test]
fn an_atomic_push_without_failure_is_applied_merges_too() {
    let mut store = Store::new("MERGE/SERVER_WINS");
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[titled("a", "1"), retitled("a", 1, "2")],
    );
    let changes = [titled("b", "1"), update("a", 1, json!({ "done": true }))];
    let answer = store.push(&by("alice", "phone").from(1).atomic(), &changes);
    assert_eq!(summaries(&answer), ["APPLIED 1", "MERGED 3"]);
}

#[test]
fn an_aborted_push_leaves_the_others_of_its_transaction_alone() {
    let mut store = Store::new("SERVER_WINS");
    let [bob, alice, carol] = ["bob", "alice", "carol"].map(|user| by(user, "phone").from(1));
    let answers = store.group(&[
        (&bob, &[titled("a", "bobs")]),
        (
            &alice.atomic(),
            &[
                retitled("a", 1, "alices"),
                titled("b", "x"),
                delete("none", 1),
            ],
        ),
        (&carol, &[retitled("a", 1, "carols")]),
    ]);
    let reported: Vec<_> = answers.iter().flat_map(summaries).collect();
    assert_eq!(
        reported,
        [
            "APPLIED 1",
            "REJECTED ATOMIC_ABORTED",
            "REJECTED ATOMIC_ABORTED",
            "REJECTED NOT_FOUND",
            "APPLIED 2"
        ]
    );
}

#[test]
fn every_outcome_shows_the_document_that_the_transaction_left() {
    let mut store = Store::new("MERGE");
    let [bob, alice] = ["bob", "alice"].map(|user| by(user, "phone").from(1));
    let answers = store.group(&[
        (&bob, &[titled("a", "1"), retitled("a", 0, "2")]),
        (&alice, &[retitled("a", 2, "3")]),
    ]);
    assert_eq!(
        summaries(&answers[0]),
        ["APPLIED 1", "APPLIED 2"],
        "version is the change's own"
    );
    assert_eq!(titles(&answers[0]), [Some("3".into()), Some("3".into())]);
}

#[test]
fn a_policy_may_be_chosen_only_where_the_model_says_so() {
    let mut store = Store::new("SERVER_WINS");
    let _ = store.push(
        &by("bob", "phone").from(1),
        &[titled("a", "1"), retitled("a", 1, "2")],
    );
    let alice = |first| by("alice", "phone").from(first);
    let refused = store.push(&alice(1).under(Policy::Merge), &[retitled("a", 1, "mine")]);
    assert_eq!(
        summaries(&refused),
        ["PolicyNotAllowed { type_name: TypeName(\"Task\") }"]
    );
    let answer = store.push(
        &alice(1).under(Policy::ClientWins),
        &[retitled("a", 1, "mine")],
    );
    assert_eq!(
        summaries(&answer),
        ["MERGED 3"],
        "the refused push consumed nothing"
    );
}

#[test]
fn a_document_cannot_grow_without_bound_by_edits_that_are_each_small() {
    let mut store = Store::new("MERGE");
    let large = "x".repeat(DOCUMENT_BYTES_MAX * 2 / 3);
    let sender = by("alice", "phone").from(1);
    let answer = store.push(
        &sender,
        &[
            create("a", json!({ "text": large })),
            update("a", 0, json!({ "words": [large] })),
            retitled("a", 0, "small"),
        ],
    );
    let expected = ["APPLIED 1", "REJECTED INVALID_VALUE", "APPLIED 2"];
    assert_eq!(summaries(&answer), expected);
}
