//! Who may resolve a conflict, and what a resolution does.

use super::*;

#[test]
fn each_resolution_reaches_the_feed_and_closes_the_conflict() {
    let all =
        |title: &str, stars: i32| json!({ "audience": "all", "title": title, "stars": stars });
    type Make = fn(&Store) -> Resolution;
    let cases: [(Make, &str, Json); 3] = [
        (|_| Resolution::Mine, "APPLIED 3", all("mine", 5)),
        (|_| Resolution::Theirs, "APPLIED 2", all("theirs", 1)),
        (
            |store| edited(store, json!({ "title": "both" })),
            "APPLIED 3",
            all("both", 1),
        ),
    ];
    for (make, expect, left) in cases {
        let mut store = held("MANUAL");
        let id = store.conflict().id.clone();
        let resolution = make(&store);
        let answer = store.resolve("bob", &id, 2, resolution.clone());
        assert_eq!(summaries(&answer), [expect], "{resolution:?}");
        assert_eq!(body(&store), left);
        assert_eq!(store.conflicts().count(), 0);
        let log = store.log.len();
        let again = store.resolve("bob", &id, 2, resolution);
        assert_eq!(summaries(&again), [expect]);
        assert!(again.is_ok_and(|outcome| outcome.duplicate));
        assert_eq!(store.log.len(), log, "a repeat writes nothing");
    }
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    assert_eq!(
        summaries(&store.resolve("bob", &id, 2, Resolution::Delete)),
        ["APPLIED 3"]
    );
    assert!(store.task("t").is_deleted());
}

#[test]
fn a_resolution_of_another_version_changes_nothing_and_leaves_the_conflict_open() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _edited = store.push(&by("bob", "b").from(3), &[retitled(2, "newer")]);
    assert_eq!(
        summaries(&store.resolve("alice", &id, 2, Resolution::Mine)),
        ["CONFLICT 3"]
    );
    assert_eq!(store.conflict().id, id, "a later edit does not bury it");
    assert_eq!(
        summaries(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(body(&store)["title"], json!("mine"));
}

#[test]
fn a_resolution_meets_what_the_pushes_before_it_in_its_transaction_wrote() {
    for (base, expect, title, open) in [(2, "CONFLICT 3", "newer", 1), (3, "APPLIED 4", "mine", 0)]
    {
        let mut store = held("MANUAL");
        let id = store.conflict().id.clone();
        let sender = by("bob", "b").from(3);
        let push = (&sender, &[retitled(2, "newer")][..]);
        let answers = store.push_and_resolve(push, ("alice", &id, base), Resolution::Mine);
        assert_eq!(summaries(&answers[0]), ["APPLIED 3"]);
        assert_eq!(summaries(&answers[1]), [expect]);
        assert_eq!(body(&store)["title"], json!(title));
        assert_eq!(store.conflicts().count(), open);
    }
}

#[test]
fn a_settled_a_strangers_and_no_conflict_look_the_same() {
    let mut store = held("MANUAL");
    store.teams("alice", &["7"]);
    let secret = create("t2", json!({ "audience": "team:7", "title": "a" }));
    let _made = store.push(&by("alice", "phone").from(2), &[secret]);
    let stale = update("t2", -1, json!({ "title": "b" }));
    let _held = store.push(&by("alice", "laptop").from(1), &[stale]);
    let strangers = store.conflicts().find(|open| open.key.id.as_str() == "t2");
    let strangers = strangers.expect("it is held back").id.clone();
    let settled = store.conflicts().find(|open| open.key.id.as_str() == "t");
    let settled = settled.expect("it is held back").id.clone();
    let _resolved = store.resolve("alice", &settled, 2, Resolution::Theirs);
    let none = ConflictId::new("none").expect("a short name");
    for id in [strangers, settled, none] {
        assert!(is_unknown(&store.resolve(
            "bob",
            &id,
            1,
            Resolution::Theirs
        )));
    }
}

#[test]
fn a_conflict_follows_its_document_and_is_shown_only_to_who_may_read_all_of_it() {
    let mut store = held("MANUAL");
    store.teams("bob", &["7"]);
    let id = store.conflict().id.clone();
    let away = update("t", 2, json!({ "audience": "team:7" }));
    assert_eq!(
        summaries(&store.push(&by("bob", "b").from(3), &[away])),
        ["APPLIED 3"]
    );
    assert_eq!(store.conflict().scope.as_str(), "team:7");
    assert!(is_unknown(&store.resolve(
        "alice",
        &id,
        3,
        Resolution::Mine
    )));
    assert!(
        store
            .conflict()
            .is_open_to(&store.model, &store.grants("bob"))
    );
    assert!(
        !store
            .conflict()
            .is_open_to(&store.model, &store.grants("alice"))
    );
    let into_own = update("t", 1, json!({ "audience": "user:carol" }));
    let mut store = held("MANUAL");
    let _held = store.push(&by("carol", "c").from(1), &[into_own]);
    let carols = store
        .conflicts()
        .find(|open| open.opened_by.as_str() == "carol");
    let carols = carols.expect("it is held back");
    assert!(
        !carols.is_open_to(&store.model, &store.grants("bob")),
        "it shows what would be hers alone"
    );
    assert!(carols.is_open_to(&store.model, &store.grants("carol")));
}

#[test]
fn a_conflict_outlives_its_document_and_can_bring_it_back() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    assert_eq!(
        summaries(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "mine", "stars": 5 })
    );
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    store.collect();
    assert_eq!(store.conflict().id, id, "it is not collected");
    assert_eq!(
        summaries(&store.resolve("alice", &id, 0, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(body(&store)["title"], json!("mine"));
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    assert_eq!(
        summaries(&store.resolve("alice", &id, 3, Resolution::Delete)),
        ["APPLIED 3"]
    );
    assert!(store.task("t").is_deleted());
}

#[test]
fn creates_and_deletes_are_held_back_and_resolved_too() {
    let mut store = Store::new("MANUAL");
    let _made = store.push(
        &by("bob", "b").from(1),
        &[create("t", json!({ "title": "theirs", "stars": 1 }))],
    );
    let answer = store.push(
        &by("alice", "phone").from(1),
        &[create("t", json!({ "title": "mine" }))],
    );
    assert_eq!(summaries(&answer), ["CONFLICT 1"]);
    let id = store.conflict().id.clone();
    assert_eq!(
        summaries(&store.resolve("alice", &id, 1, Resolution::Mine)),
        ["APPLIED 2"]
    );
    assert_eq!(body(&store)["title"], json!("mine"));
    assert_eq!(
        body(&store)["stars"],
        json!(null),
        "the created document takes the other's place whole"
    );
    let answer = store.push(&by("bob", "b").from(2), &[delete("t", 1)]);
    assert_eq!(summaries(&answer), ["CONFLICT 2"]);
    let id = store.conflict().id.clone();
    assert_eq!(store.conflict().pending.mine, ClientChange::Deleted);
    assert_eq!(
        summaries(&store.resolve("alice", &id, 2, Resolution::Mine)),
        ["APPLIED 3"]
    );
    let answer = store.push(
        &by("carol", "c").from(1),
        &[create("t", json!({ "title": "again" }))],
    );
    assert_eq!(
        summaries(&answer),
        ["CONFLICT 3"],
        "over a stranger's tombstone"
    );
    let id = store.conflict().id.clone();
    assert_eq!(
        summaries(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(body(&store)["title"], json!("again"));
}

#[test]
fn a_rejected_resolution_leaves_the_conflict_open() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let too_long = edited(&store, json!({ "title": "x".repeat(41) }));
    assert_eq!(
        summaries(&store.resolve("alice", &id, 2, too_long)),
        ["REJECTED INVALID_VALUE"]
    );
    let note = TypeName::new("Note").expect("a short name");
    let other = Resolution::Edited(note, Ok(Default::default()));
    assert_eq!(
        summaries(&store.resolve("alice", &id, 2, other)),
        ["REJECTED INVALID_VALUE"]
    );
    assert_eq!(store.conflict().id, id);
}

#[test]
fn settled_conflicts_are_forgotten_with_the_tombstones_of_their_time() {
    let mut store = held("MANUAL");
    let id = store.conflict().id.clone();
    let _resolved = store.resolve("alice", &id, 2, Resolution::Theirs);
    assert_eq!(store.state.inbox.len(), 1);
    store.collect();
    assert_eq!(store.state.inbox.len(), 0);
    assert!(is_unknown(&store.resolve(
        "alice",
        &id,
        2,
        Resolution::Theirs
    )));
}

/// A field that only the gateway sets, with a default.
const APPROVED: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @conflict(policy: MANUAL) {
  id: ID!
  title: String
  approved: Boolean! @readOnly @default(value: false)
}
"#;

#[test]
fn ones_own_create_can_be_taken_where_a_type_has_read_only_defaults() {
    let mut store = Store::of(Model::parse("model.graphql", APPROVED).expect("the model is sound"));
    let made = |title: &str| [create("t", json!({ "title": title }))];
    store
        .push(&by("bob", "b").from(1), &made("theirs"))
        .expect("it is taken");
    let answer = store.push(&by("alice", "phone").from(1), &made("mine"));
    assert_eq!(summaries(&answer), ["CONFLICT 1"]);
    let id = store.conflict().id.clone();
    assert_eq!(
        summaries(&store.resolve("alice", &id, 1, Resolution::Mine)),
        ["APPLIED 2"]
    );
    assert_eq!(body(&store), json!({ "title": "mine", "approved": false }));
}

/// A base may name more fields than the edit sets. Its values of those are older than the server's.
#[test]
fn a_document_that_is_created_again_keeps_what_only_the_server_had_changed() {
    let mut store = Store::new("MANUAL");
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        update("t", 1, json!({ "stars": 4 })),
    ];
    store
        .push(&by("bob", "b").from(1), &bobs)
        .expect("it is taken");
    let seen = json!({ "title": "old", "stars": 1, "done": true });
    let mine = retitled(1, "mine").seeing(seen);
    let answer = store.push(&by("alice", "phone").from(1), &[mine]);
    assert_eq!(summaries(&answer), ["CONFLICT 2"]);
    let id = store.conflict().id.clone();
    let _deleted = store.push(&by("bob", "b").from(3), &[delete("t", 2)]);
    assert_eq!(
        summaries(&store.resolve("alice", &id, 3, Resolution::Mine)),
        ["APPLIED 4"]
    );
    assert_eq!(
        body(&store),
        json!({ "audience": "all", "title": "mine", "stars": 4 })
    );
}
