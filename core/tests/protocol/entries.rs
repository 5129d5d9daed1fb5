//! Seqs, versions, entries and markers (protocol section 3), through whole transactions.

use serde_json::{Value as Json, json};
use tidegate_core::{
    entry::Record,
    id::{IdType, NAME_BYTES_MAX, NameError, Scope, Seq, Version},
};

use crate::{
    bench::{
        Bench,
        Who::{Bob, Phone},
    },
    drafts::{Draft, create, delete, update},
    senders::{by, summaries},
    store::Store,
};

fn moved(id: &str, base: i32, scope: &str) -> Draft {
    update(id, base, json!({ "audience": scope }))
}

fn in_scope(scope: &str) -> Json {
    json!({ "audience": scope })
}

/// A store in which Alice may write to the teams red and blue.
fn with_teams() -> Store {
    let mut store = Store::new("SERVER_WINS");
    store.teams("alice", &["red", "blue"]);
    store
}

#[test]
fn every_seq_is_carried_by_exactly_one_feed_write() {
    let mut store = with_teams();
    let alice = |first| by("alice", "phone").from(first);
    let _ = store.push(
        &alice(1),
        &[
            create("a", in_scope("team:red")),
            create("b", in_scope("team:red")),
        ],
    );
    let _ = store.push(
        &alice(3),
        &[
            moved("a", 0, "team:blue"),
            delete("b", 0),
            create("c", in_scope("team:blue")),
        ],
    );
    for (scope, head) in [("team:red", 4), ("team:blue", 2)] {
        let seqs = store
            .log
            .iter()
            .filter(|item| item.record.scope().as_str() == scope)
            .map(|item| item.seq);
        assert_eq!(
            seqs.collect::<Vec<_>>(),
            (1..=head).map(Seq).collect::<Vec<_>>()
        );
        assert_eq!(store.scope(scope).head, Seq(head));
    }
}

#[test]
fn a_transaction_writes_an_entry_once_and_counts_every_change() {
    let mut store = Store::new("SERVER_WINS");
    let changes = [
        create("a", json!({ "title": "1" })),
        update("a", 0, json!({ "done": true })),
        update("a", 0, json!({ "stars": 1 })),
    ];
    let _ = store.push(&by("alice", "phone").from(1), &changes);
    assert_eq!(store.log.len(), 1);
    let entry = store.task("a");
    assert_eq!(
        (entry.version, entry.began, entry.run),
        (Version(3), Version(1), Version(1))
    );
    let versions = ["title", "done", "stars"].map(|field| entry.field_versions[field]);
    assert_eq!(
        versions,
        [Version(1), Version(2), Version(3)],
        "each names its own change's version"
    );
}

#[test]
fn two_pushes_of_a_transaction_write_an_entry_once() {
    let mut store = Store::new("CLIENT_WINS");
    let [alice, bob] = ["alice", "bob"].map(|user| by(user, "phone").from(1));
    let answers = store.group(&[
        (&alice, &[create("a", json!({ "title": "1" }))]),
        (&bob, &[update("a", 1, json!({ "title": "2" }))]),
    ]);
    assert_eq!(
        answers.iter().flat_map(summaries).collect::<Vec<_>>(),
        ["APPLIED 1", "APPLIED 2"]
    );
    assert_eq!((store.log.len(), store.task("a").run), (1, Version(2)));
}

#[test]
fn a_document_made_and_ended_in_one_transaction_leaves_one_tombstone() {
    let mut store = Store::new("SERVER_WINS");
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", json!({})), delete("a", 0)],
    );
    assert_eq!(store.log.len(), 1);
    assert!(store.task("a").is_deleted());
}

#[test]
fn writers_are_kept_for_the_fields_and_the_beginning_and_no_others() {
    let bench = Bench::new("CLIENT_WINS");
    let entry = bench.entry_after(&[
        (Bob, create("t", json!({ "title": "1", "audience": "all" }))),
        (
            Phone,
            update("t", 1, json!({ "title": "2", "audience": "all" })),
        ),
        (
            Bob,
            update("t", 2, json!({ "title": "3", "audience": "all" })),
        ),
        (
            Phone,
            update("t", 3, json!({ "title": "4", "audience": "all" })),
        ),
    ]);
    let kept: Vec<Version> = entry.expect("it is alive").writers.into_keys().collect();
    assert_eq!(kept, [Version(1), Version(4)]);
}

#[test]
fn a_tombstone_keeps_no_body_and_stays_in_its_scope() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red")), delete("a", 0)],
    );
    let entry = store.task("a");
    assert_eq!(
        (entry.body.as_ref(), entry.scope.as_str()),
        (None, "team:red")
    );
}

#[test]
fn versions_restart_above_the_version_floor() {
    let mut store = Store::new("SERVER_WINS");
    let alice = |first| by("alice", "phone").from(first);
    let _ = store.push(
        &alice(1),
        &[
            create("a", json!({})),
            update("a", 0, json!({ "stars": 1 })),
            delete("a", 0),
        ],
    );
    store.collect();
    assert_eq!(store.state.version_floor, Version(3));
    assert_eq!(
        summaries(&store.push(&alice(4), &[create("a", json!({})), create("b", json!({}))])),
        ["APPLIED 4", "APPLIED 4"]
    );
    let _ = store.push(&alice(6), &[delete("b", 0)]);
    store.collect();
    assert_eq!(store.state.version_floor, Version(5));
}

#[test]
fn collecting_raises_the_floor_to_the_highest_seq_collected_and_leaves_the_living() {
    let mut store = with_teams();
    let changes = [
        create("a", in_scope("team:red")),
        create("b", in_scope("team:red")),
        create("c", in_scope("team:red")),
    ];
    let _ = store.push(&by("alice", "phone").from(1), &changes);
    let _ = store.push(
        &by("alice", "phone").from(4),
        &[delete("a", 0), moved("b", 0, "team:blue")],
    );
    let _ = store.push(
        &by("alice", "phone").from(6),
        &[update("c", 0, json!({ "stars": 1 }))],
    );
    store.collect();
    assert_eq!(
        (store.scope("team:red").floor, store.scope("team:red").head),
        (Seq(5), Seq(6))
    );
    assert_eq!(store.scope("team:blue").floor, Seq::START);
    assert_eq!(store.living().count(), 2);
    assert!(store.markers("b").is_empty());
}

#[test]
fn floors_are_the_highest_of_what_is_collected_in_whatever_order() {
    let mut store = Store::new("SERVER_WINS");
    let alice = |first| by("alice", "phone").from(first);
    let _ = store.push(&alice(1), &[create("a", json!({})), create("b", json!({}))]);
    let _ = store.push(&alice(3), &[delete("b", 0)]);
    let _ = store.push(
        &alice(4),
        &[update("a", 0, json!({ "stars": 1 })), delete("a", 0)],
    );
    store.collect();
    assert_eq!(
        (store.scope("all").floor, store.state.version_floor),
        (Seq(4), Version(3))
    );
}

#[test]
fn a_marker_stays_where_a_document_left_and_carries_the_version_of_the_move() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(&by("alice", "phone").from(2), &[moved("a", 0, "team:blue")]);
    assert_eq!(store.markers("a"), ["team:red"]);
    let marker = store
        .log
        .iter()
        .map(|item| &item.record)
        .find(|record| matches!(record, Record::Marker(_)));
    assert_eq!(marker.map(Record::version), Some(Version(2)));
}

#[test]
fn a_marker_goes_when_the_document_comes_back() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(&by("alice", "phone").from(2), &[moved("a", 0, "team:blue")]);
    let _ = store.push(&by("alice", "phone").from(3), &[moved("a", 0, "team:red")]);
    assert_eq!(store.markers("a"), ["team:blue"]);
}

#[test]
fn a_document_that_moves_on_leaves_a_marker_in_each_scope() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(&by("alice", "phone").from(2), &[moved("a", 0, "team:blue")]);
    let _ = store.push(&by("alice", "phone").from(3), &[moved("a", 0, "all")]);
    assert_eq!(store.markers("a"), ["team:blue", "team:red"]);
}

#[test]
fn a_move_there_and_back_in_one_transaction_leaves_no_marker() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(
        &by("alice", "phone").from(2),
        &[moved("a", 0, "team:blue"), moved("a", 0, "team:red")],
    );
    assert!(store.markers("a").is_empty());
    assert_eq!(
        store.scope("team:blue").head,
        Seq::START,
        "a scope passed through is not written"
    );
}

#[test]
fn a_marker_is_written_when_a_document_is_recreated_elsewhere() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(&by("alice", "phone").from(2), &[delete("a", 0)]);
    let _ = store.push(
        &by("alice", "phone").from(3),
        &[create("a", in_scope("team:blue"))],
    );
    assert_eq!(store.markers("a"), ["team:red"]);
}

#[test]
fn a_marker_is_written_when_a_document_is_deleted_and_recreated_elsewhere_in_one_transaction() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(
        &by("alice", "phone").from(2),
        &[delete("a", 0), create("a", in_scope("team:blue"))],
    );
    assert_eq!(store.markers("a"), ["team:red"]);
}

#[test]
fn a_marker_goes_when_a_collected_document_is_created_where_it_stood() {
    let mut store = with_teams();
    let _ = store.push(
        &by("alice", "phone").from(1),
        &[create("a", in_scope("team:red"))],
    );
    let _ = store.push(&by("alice", "phone").from(2), &[moved("a", 0, "team:blue")]);
    let _ = store.push(&by("alice", "phone").from(3), &[delete("a", 0)]);
    store.collect_only("team:blue");
    assert_eq!(store.markers("a"), ["team:red"]);
    let _ = store.push(
        &by("alice", "phone").from(4),
        &[create("a", in_scope("team:red"))],
    );
    assert!(store.markers("a").is_empty());
}

#[test]
fn the_key_of_a_marker_is_the_key_of_no_document() {
    assert_eq!(IdType::String.parse("team:red\0a"), Err(NameError::Nul));
    assert_eq!(Scope::new("team:\0red"), Err(NameError::Nul));
}

#[test]
fn ids_and_scopes_have_at_most_256_bytes() {
    let fits = "é".repeat(NAME_BYTES_MAX / 2);
    assert_eq!(NAME_BYTES_MAX, 256);
    assert!(IdType::String.parse(&fits).is_ok() && Scope::new(&fits).is_ok());
    let long = format!("{fits}x");
    assert!(IdType::String.parse(&long).is_err() && Scope::new(&long).is_err());
}

#[test]
fn versions_end_with_a_rejection_and_never_wrap() {
    let bench = Bench::new("CLIENT_WINS");
    let mut entry = bench
        .entry_after(&[(Phone, create("t", json!({})))])
        .expect("it is alive");
    let writer = entry.writers[&Version(1)].clone();
    entry.version = Version(i32::MAX);
    entry.writers.insert(entry.version, writer);
    for draft in [
        update("t", i32::MAX, json!({ "stars": 1 })),
        delete("t", i32::MAX),
        create("t", json!({ "stars": 1 })),
    ] {
        let decision = format!("{:?}", bench.decide(Some(&entry), Phone, &draft));
        assert!(decision.contains("VersionExhausted"), "{decision}");
    }
}
