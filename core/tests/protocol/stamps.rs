//! What an importer stamps of others' writes, and documents that may not have been deleted (protocol 8.1, 8.6 to 8.8).

use serde_json::{Value as Json, json};
use tidegate_core::{
    id::{DocumentKey, UserId},
    push::{self, PushRefusal, Resolution},
    transaction::{Fence, ForeignState, LoadBytesMax, Misfit, Reads, Writes},
    value::{Document, json::encode_fields},
};

use crate::{
    drafts::{Draft, create, delete, key, update},
    senders::{anonymously, by, summaries},
    store::Store,
};

fn task(id: &str) -> DocumentKey {
    key("Task", id)
}

fn titled(scope: &str, title: &str) -> Json {
    json!({ "audience": scope, "title": title })
}

/// Alice has a task in the team `red`.
fn with_a_task() -> Store {
    let mut store = Store::new("MERGE");
    store.teams("alice", &["red", "blue"]);
    let made = create("t", titled("team:red", "Tea"));
    let answer = store.push(&by("alice", "phone").from(1), &[made]);
    assert_eq!(summaries(&answer), ["APPLIED 1"]);
    store
}

fn misfit_at(path: &str) -> ForeignState {
    ForeignState::Misfit {
        misfit: Misfit {
            path: path.to_owned(),
            found: "objectId".to_owned(),
            problem: "is objectId, and not a string".to_owned(),
        },
        readable: Document::new(),
    }
}

/// The version and the fields of a document; no fields if it is not shown.
fn shown(store: &Store, key: &DocumentKey) -> (i32, Option<Json>) {
    let entry = store.entry(key).expect("the document has an entry");
    let fields = &store.model.stored_type(&key.type_name);
    let fields = &fields.expect("the type is of the model").fields;
    let json = |body| Json::Object(encode_fields(&store.model, fields, body));
    (entry.version.0, entry.body.as_ref().map(json))
}

fn recorded(writes: &Writes) -> Vec<(&str, Option<&str>)> {
    let misfits = writes.misfits.iter();
    misfits
        .map(|(key, misfit)| {
            let path = misfit.as_ref().map(|misfit| misfit.path.as_str());
            (key.id.as_str(), path)
        })
        .collect()
}

#[test]
fn a_stamp_takes_over_a_new_an_edited_and_a_deleted_document_as_nobodys() {
    let mut store = with_a_task();
    store.elsewhere(&create("new", titled("team:red", "Rice")));
    store.elsewhere(&create("t", titled("team:red", "Coffee")));
    let writes = store.import(&[task("new"), task("t"), task("unknown")]);
    assert_eq!(writes.entries.len(), 2);
    assert!(writes.answers.is_empty() && writes.misfits.is_empty());
    assert_eq!(
        shown(&store, &task("new")),
        (1, Some(titled("team:red", "Rice")))
    );
    assert_eq!(
        shown(&store, &task("t")),
        (2, Some(titled("team:red", "Coffee")))
    );
    for id in ["new", "t"] {
        let entry = store.task(id);
        let writer = &entry.writers[&entry.version];
        assert_eq!(
            (&writer.user, &writer.client, writer.mutation),
            (&None, &None, None)
        );
        assert_eq!((writer.edited_at, entry.at), (store.now, store.now));
    }
    store.delete_elsewhere(&task("t"));
    let _deleted = store.import(&[task("t")]);
    assert_eq!(shown(&store, &task("t")), (3, None));
    let written = store.log.len();
    let _same = store.import(&[task("new"), task("t")]);
    assert_eq!(
        store.log.len(),
        written,
        "a comparison without a difference writes nothing"
    );
}

#[test]
fn a_stamp_moves_a_document_between_scopes_with_a_marker() {
    let mut store = with_a_task();
    store.elsewhere(&create("t", titled("team:blue", "Tea")));
    let _moved = store.import(&[task("t")]);
    assert_eq!(store.task("t").scope.as_str(), "team:blue");
    assert_eq!(store.markers("t"), ["team:red"]);
    store.elsewhere(&create("t", titled("team:red", "Tea")));
    let _back = store.import(&[task("t")]);
    assert_eq!(store.markers("t"), ["team:blue"]);
}

#[test]
fn a_stamp_of_a_membership_opens_and_closes_its_scope_and_stamps_its_users() {
    let mut store = Store::new("MERGE");
    let may_read = |store: &Store, user: &str| {
        let grants = store.grants(user);
        grants.scopes().any(|scope| scope.as_str() == "team:red")
    };
    let member = [key("Member", "m")];
    let giving = |person: &str| {
        let fields =
            json!({ "audience": "all", "team": "red", "person": person, "access": "READ" });
        create("m", fields).of("Member")
    };
    store.elsewhere(&giving("carol"));
    let _begun = store.import(&member);
    assert!(may_read(&store, "carol"));
    assert_eq!((store.stamp("carol"), store.stamp("dave")), (1, 0));
    let membership = store
        .entry(&member[0])
        .expect("it is there")
        .membership
        .clone();
    assert_eq!(membership.expect("it gives").giver, None, "nobody gave it");

    store.elsewhere(&giving("dave"));
    let writes = store.import(&member);
    let stamped: Vec<&str> = writes.users.keys().map(UserId::as_str).collect();
    assert_eq!(stamped, ["carol", "dave"]);
    assert!(may_read(&store, "dave") && !may_read(&store, "carol"));

    store.delete_elsewhere(&member[0]);
    let _ended = store.import(&member);
    assert!(!may_read(&store, "dave"));
    assert_eq!(store.stamp("dave"), 2);
}

#[test]
fn a_delivered_document_that_no_longer_fits_is_withheld_once_and_comes_back_mended() {
    let mut store = with_a_task();
    let t = [task("t")];
    store.state.foreign.insert(task("t"), misfit_at("title"));
    let writes = store.import(&t);
    assert_eq!(recorded(&writes), [("t", Some("title"))]);
    assert_eq!(shown(&store, &t[0]), (2, None));
    assert!(store.task("t").withheld);
    let written = store.log.len();
    let again = store.import(&t);
    assert_eq!(
        (store.log.len(), recorded(&again)),
        (written, vec![("t", Some("title"))])
    );

    let edit = [update("t", 1, json!({ "done": true }))];
    let refused = store.push(&by("alice", "phone").from(2), &edit);
    assert_eq!(summaries(&refused), ["REJECTED INVALID_VALUE"]);

    store.elsewhere(&create("t", titled("team:red", "Mended")));
    let writes = store.import(&t);
    assert_eq!(recorded(&writes), [("t", None)]);
    assert_eq!(
        shown(&store, &t[0]),
        (3, Some(titled("team:red", "Mended")))
    );
    assert!(store.state.misfits.is_empty());
    assert!(
        store.import(&t).misfits.is_empty(),
        "what is not recorded is not removed"
    );
}

#[test]
fn a_document_that_never_fitted_has_a_record_and_no_entry_until_it_is_mended_or_deleted() {
    let mut store = with_a_task();
    let bad = [task("bad")];
    store
        .state
        .foreign
        .insert(task("bad"), misfit_at("audience"));
    let written = store.log.len();
    let writes = store.import(&bad);
    assert_eq!(recorded(&writes), [("bad", Some("audience"))]);
    assert_eq!((store.entry(&bad[0]), store.log.len()), (None, written));
    store.state.foreign.remove(&bad[0]);
    let writes = store.import(&bad);
    assert_eq!(recorded(&writes), [("bad", None)], "it was deleted");
    assert_eq!((store.entry(&bad[0]), store.log.len()), (None, written));

    store.elsewhere(&create("bad", titled("team:red", "x".repeat(41).as_str())));
    assert_eq!(
        recorded(&store.import(&bad)),
        [],
        "constraints bind clients only"
    );
}

#[test]
fn what_a_stamp_leaves_out_stays_as_it_is_and_so_does_its_record() {
    let mut store = with_a_task();
    let keys = [task("t"), task("u")];
    let more = create("u", titled("team:red", &"x".repeat(40)));
    let _made = store.push(&by("alice", "phone").from(2), &[more]);
    store.elsewhere(&create("t", titled("team:red", "Coffee")));
    store.elsewhere(&create("u", titled("team:red", "Rice")));
    store.bytes_max = 0;
    let _first = store.import(&keys);
    assert_eq!(
        (store.task("t").version.0, store.task("u").version.0),
        (2, 1)
    );

    // A store may find the records of all documents, also of those that it left out.
    let reads = Reads {
        bytes_max: LoadBytesMax(0),
        ..push::stamp_reads(keys.iter().cloned().collect(), Some(Fence(7)))
    };
    assert_eq!(reads.lease, Some(Fence(7)));
    let mut loaded = store.state.load(&reads);
    assert!(loaded.left_out.contains(&keys[1]));
    loaded.misfits = keys.iter().cloned().collect();
    let writes = push::stamp(&store.model, store.now, &loaded);
    assert_eq!(recorded(&writes), [("t", None)]);

    store.bytes_max = usize::MAX;
    let _rest = store.import(&keys[1..]);
    assert_eq!(store.task("u").version.0, 2);
}

/// Alice's task is missing from a collection that may have lost it. Her last push made another task.
fn with_a_held_task() -> Store {
    let mut store = with_a_task();
    let answer = store.push(&by("alice", "phone").from(2), &[other_task()]);
    assert_eq!(summaries(&answer), ["APPLIED 1"]);
    store.delete_elsewhere(&task("t"));
    store.state.held.insert(task("t").type_name);
    store
}

fn other_task() -> Draft {
    create("u", titled("team:red", "Rice"))
}

fn is_held(answer: &push::PushAnswer) -> bool {
    matches!(answer, Err(PushRefusal::Held { type_name }) if type_name.as_str() == "Task")
}

#[test]
fn nothing_that_may_have_been_lost_is_deleted() {
    let mut store = with_a_held_task();
    store.state.misfits.insert(task("t"));
    let written = store.log.len();
    let writes = store.import(&[task("t"), task("u")]);
    assert_eq!((store.log.len(), recorded(&writes)), (written, vec![]));
    assert_eq!(shown(&store, &task("t")).0, 1, "pulls go on");

    // What is there is stamped as ever.
    store.elsewhere(&create("u", titled("team:red", "Beans")));
    let _edited = store.import(&[task("t"), task("u")]);
    assert_eq!(
        shown(&store, &task("u")),
        (2, Some(titled("team:red", "Beans")))
    );

    store.state.held.clear();
    let writes = store.import(&[task("t")]);
    assert_eq!(
        (shown(&store, &task("t")), recorded(&writes)),
        ((2, None), vec![("t", None)])
    );
}

#[test]
fn a_push_of_a_document_that_may_have_been_lost_is_refused_whole_and_consumes_nothing() {
    let mut store = with_a_held_task();
    let written = store.log.len();
    let phone = || by("alice", "phone").from(3);
    let edit = update("t", 1, json!({ "done": true }));
    let others = update("u", 1, json!({ "done": true }));
    for changes in [
        vec![edit.clone()],
        vec![delete("t", 1)],
        vec![create("t", titled("team:red", "x"))],
        vec![others.clone(), edit.clone()],
    ] {
        assert!(is_held(&store.push(&phone(), &changes)), "{changes:?}");
        assert!(
            is_held(&store.push(&phone().atomic(), &changes)),
            "{changes:?}"
        );
        assert!(is_held(&store.push(&anonymously("alice"), &changes)));
    }
    assert_eq!(store.log.len(), written);

    let (mine, bobs) = (phone(), by("bob", "b").from(1));
    let made = [create("v", json!({}))];
    let answers = store.group(&[(&mine, std::slice::from_ref(&edit)), (&bobs, &made)]);
    assert!(is_held(&answers[0]));
    assert_eq!(summaries(&answers[1]), ["APPLIED 1"], "other pushes go on");
    let answer = store.push(&phone(), &[others]);
    assert_eq!(summaries(&answer), ["APPLIED 2"], "no id is used");

    store.state.foreign.remove(&task("t"));
    let answer = store.push(&by("alice", "phone").from(4), &[edit]);
    assert_eq!(summaries(&answer), ["APPLIED 2"], "it is back");
}

#[test]
fn a_repeat_is_answered_though_its_document_may_have_been_lost_since() {
    let mut store = with_a_held_task();
    let edit = [update("u", 1, json!({ "done": true }))];
    let first = store.push(&by("alice", "phone").from(3), &edit);
    store.delete_elsewhere(&task("u"));
    let repeat = store.push(&by("alice", "phone").from(3), &edit);
    assert_eq!(summaries(&repeat), summaries(&first));
    let outcome = repeat.expect("it is answered");
    assert!(outcome.duplicate);
    let document = outcome.outcomes[0].document.as_ref();
    assert_eq!(
        document.map(|entry| entry.version.0),
        Some(2),
        "what the feed has"
    );
    let gap = store.push(&by("alice", "phone").from(9), &edit);
    assert_eq!(
        summaries(&gap),
        ["MutationIdGap { expected: MutationId(4) }"]
    );
}

#[test]
fn a_conflict_of_a_document_that_may_have_been_lost_waits_for_it() {
    let mut store = Store::new("MANUAL");
    let made = [
        create("t", json!({ "title": "a" })),
        update("t", 1, json!({ "title": "b" })),
    ];
    let _made = store.push(&by("bob", "b").from(1), &made);
    for (client, title) in [("phone", "mine"), ("laptop", "also mine")] {
        let stale = update("t", 1, json!({ "title": title })).seeing(json!({ "title": "a" }));
        let _waits = store.push(&by("alice", client).from(1), &[stale]);
    }
    let conflicts: Vec<_> = store.conflicts().map(|open| open.id.clone()).collect();
    let settled = store.resolve("bob", &conflicts[0], 2, Resolution::Theirs);
    assert_eq!(summaries(&settled), ["APPLIED 2"]);

    store.delete_elsewhere(&task("t"));
    store.state.held.insert(task("t").type_name);
    let written = store.log.len();
    for resolution in [Resolution::Mine, Resolution::Theirs, Resolution::Delete] {
        assert!(is_held(&store.resolve("bob", &conflicts[1], 2, resolution)));
    }
    assert_eq!((store.log.len(), store.conflicts().count()), (written, 1));
    let again = store.resolve("bob", &conflicts[0], 2, Resolution::Theirs);
    assert!(
        again.is_ok_and(|outcome| outcome.duplicate),
        "a settled one is answered again"
    );
    let none = store.resolve("alice", &conflicts[0], 2, Resolution::Theirs);
    assert!(matches!(none, Err(PushRefusal::ConflictNotFound)));

    store.state.foreign.clear();
    let answer = store.resolve("bob", &conflicts[1], 2, Resolution::Mine);
    assert_eq!(summaries(&answer), ["APPLIED 3"]);
}
