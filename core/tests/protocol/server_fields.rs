//! What the gateway keeps in documents (rules.md 4.15): who created and last changed them, and when.

use serde_json::{Value as Json, json};
use tidegate_core::{
    decide::CLOCK_SKEW_MAX_MS,
    entry::Entry,
    id::UserId,
    model::Model,
    push::{Erasure, Resolution},
    transaction::{ForeignState, Reads},
    value::{Document, Value, json::encode_fields},
};

use crate::{
    drafts::{create, delete, key, start, update},
    senders::{anonymously, by, summaries},
    store::Store,
};

const FIELDS: &str = "
  born: DateTime @server(value: CREATED_AT)
  touched: DateTime @server(value: UPDATED_AT) @stored(as: \"t\")
  author: ID @server(value: CREATED_BY)
  editor: String @server(value: UPDATED_BY)";

fn store_with(policy: &str, on_type: &str, fields: &str) -> Store {
    let text = format!(
        r#"
extend schema @grant(scope: "all", access: WRITE) @grant(scope: "team:{{teams}}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{{audience}}") @conflict({policy}) {on_type} {{
  id: ID!
  audience: String! @default(value: "all")
  title: String
  notes: String
{fields}
}}
"#
    );
    Store::of(Model::parse("model.graphql", &text).unwrap_or_else(|it| panic!("{it}")))
}

fn store(policy: &str) -> Store {
    store_with(policy, "", FIELDS)
}

/// What the gateway keeps in a task: times in seconds after the start, and users.
fn kept(store: &Store) -> (i64, i64, String, String) {
    let entry = store.task("t");
    let body = entry.body.as_ref().expect("the task is alive");
    let seconds = |name: &str| match &body[name] {
        Value::DateTime(at) => (at.ms() - start().ms()) / 1_000,
        other => panic!("{other:?} is no time"),
    };
    let user = |name: &str| match &body[name] {
        Value::String(user) => user.clone(),
        other => panic!("{other:?} is no user"),
    };
    (
        seconds("born"),
        seconds("t"),
        user("author"),
        user("editor"),
    )
}

fn of(born: i64, touched: i64, author: &str, editor: &str) -> (i64, i64, String, String) {
    (born, touched, author.to_owned(), editor.to_owned())
}

fn json_of(store: &Store, body: &Document) -> Json {
    Json::Object(encode_fields(
        &store.model,
        &store.model.types[0].fields,
        body,
    ))
}

fn titled(title: &str) -> Json {
    json!({ "title": title })
}

#[track_caller]
fn push(store: &mut Store, user: &'static str, change: crate::drafts::Draft, words: &str) {
    let answer = store.push(&by(user, "phone"), &[change]);
    assert_eq!(summaries(&answer), [words], "{answer:?}");
}

#[test]
fn a_create_sets_all_an_update_and_a_move_set_who_changed_last_and_a_new_incarnation_begins_again()
{
    let mut store = store("policy: CLIENT_WINS");
    store.teams("ann", &["1"]);
    store.teams("bea", &["1"]);
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
    push(&mut store, "bea", update("t", 1, titled("b")), "APPLIED 2");
    assert_eq!(kept(&store), of(1, 2, "ann", "bea"));
    let moved = update("t", 2, json!({ "audience": "team:1" }));
    push(&mut store, "ann", moved, "APPLIED 3");
    assert_eq!(kept(&store), of(1, 3, "ann", "ann"));
    push(&mut store, "bea", delete("t", 3), "APPLIED 4");
    assert_eq!(store.task("t").body, None);
    let again = create("t", titled("c")).naming(4);
    push(&mut store, "bea", again, "APPLIED 5");
    assert_eq!(kept(&store), of(5, 5, "bea", "bea"));
}

#[test]
fn all_changes_of_a_push_have_one_time_and_a_repeat_changes_nothing() {
    let mut store = store("policy: MERGE");
    let changes = [
        create("t", titled("a")),
        update("t", 0, titled("b")),
        create("u", titled("c")),
    ];
    let phone = by("ann", "phone").from(1);
    let first = store.push(&phone, &changes).unwrap();
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
    let of_both = ["t", "u"].map(|id| store.task(id).body.clone().unwrap()["born"].clone());
    assert_eq!(of_both[0], of_both[1]);
    let repeated = store.push(&phone, &changes).unwrap();
    assert!(repeated.duplicate);
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
    let documents = |outcome: &tidegate_core::push::PushOutcome| {
        let outcomes = outcome.outcomes.iter();
        let bodies = outcomes.map(|it| it.document.as_ref().and_then(|entry| entry.body.clone()));
        bodies.collect::<Vec<_>>()
    };
    assert_eq!(documents(&first), documents(&repeated));
}

#[test]
fn every_version_of_a_client_sets_them_and_what_makes_no_version_sets_nothing() {
    let mut store = store("policy: SERVER_WINS");
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    push(&mut store, "bea", create("t", titled("a")), "APPLIED 1");
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"), "it is there already");
    push(&mut store, "bea", update("t", 1, titled("a")), "APPLIED 2");
    assert_eq!(kept(&store), of(1, 3, "ann", "bea"), "it is a version");
    push(&mut store, "ann", update("t", 1, titled("c")), "CONFLICT 2");
    push(&mut store, "ann", create("t", titled("c")), "CONFLICT 2");
    push(
        &mut store,
        "ann",
        update("t", 9, titled("c")),
        "REJECTED VERSION_UNKNOWN",
    );
    assert_eq!(kept(&store), of(1, 3, "ann", "bea"));
}

#[test]
fn an_atomic_push_that_fails_sets_nothing() {
    let mut store = store("policy: SERVER_WINS");
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    let changes = [update("t", 1, titled("b")), update("none", 1, titled("b"))];
    let answer = store.push(&by("bea", "phone").atomic(), &changes);
    assert_eq!(summaries(&answer).len(), 2);
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
}

#[test]
fn two_edits_that_have_only_kept_fields_in_common_never_overlap() {
    for overlap in ["SERVER_WINS", "CLIENT_WINS", "LAST_WRITE_WINS", "MANUAL"] {
        let mut store = store(&format!("policy: MERGE, overlap: {overlap}"));
        push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
        push(&mut store, "bea", update("t", 1, titled("b")), "APPLIED 2");
        let noted = update("t", 1, json!({ "notes": "n" })).seeing(json!({ "notes": null }));
        let answer = store.push(&by("ann", "laptop").from(1), &[noted]).unwrap();
        let outcome = &answer.outcomes[0];
        let fields: Vec<_> = outcome
            .conflict
            .iter()
            .flatten()
            .map(|it| &it.field)
            .collect();
        assert_eq!(fields, ["notes"], "{overlap}: {outcome:?}");
        assert_eq!(kept(&store), of(1, 3, "ann", "ann"), "{overlap}");
        // The same edit by two devices differs in what the gateway keeps alone.
        let same = || update("t", 3, titled("both"));
        push(&mut store, "bea", same(), "APPLIED 4");
        push(&mut store, "ann", same(), "MERGED 5");
        assert_eq!(store.conflicts().count(), 0, "{overlap}");
        let created = create("t", json!({ "title": "both", "notes": "n" }));
        push(&mut store, "bea", created, "APPLIED 5");
    }
}

#[test]
fn no_client_sets_them() {
    for policy in ["SERVER_WINS", "CLIENT_WINS", "MERGE", "MANUAL"] {
        let mut store = store(&format!("policy: {policy}"));
        push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
        for forged in [
            json!({ "author": "bea" }),
            json!({ "editor": null, "title": "b" }),
            json!({ "born": "2026-01-01T00:00:00Z" }),
            json!({ "touched": "2026-01-01T00:00:00Z" }),
        ] {
            let set = update("t", 1, forged.clone());
            push(&mut store, "bea", set, "REJECTED INVALID_VALUE");
            push(
                &mut store,
                "bea",
                create("u", forged),
                "REJECTED INVALID_VALUE",
            );
        }
        assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
        assert!(store.entry(&key("Task", "u")).is_none());
    }
}

/// The task with its time of the last change so many milliseconds ahead of the next push.
fn ahead(ms: i64) -> Store {
    let mut store = store("policy: CLIENT_WINS");
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    let mut entry = Entry::clone(store.task("t"));
    let body = entry.body.as_mut().expect("it lives");
    let at = store.now.plus_ms(1_000 + ms);
    body.insert("t".to_owned(), Value::DateTime(at));
    let entries = vec![std::sync::Arc::new(entry)];
    store.write(&tidegate_core::transaction::Writes {
        entries,
        ..Default::default()
    });
    push(&mut store, "ann", update("t", 1, titled("b")), "APPLIED 2");
    store
}

#[test]
fn the_time_of_the_last_change_does_not_go_back_by_the_differences_of_clocks() {
    assert_eq!(kept(&ahead(30_000)).1, 32);
    assert_eq!(kept(&ahead(CLOCK_SKEW_MAX_MS)).1, 62);
    assert_eq!(
        kept(&ahead(CLOCK_SKEW_MAX_MS + 1)).1,
        2,
        "a clock was wrong"
    );
}

#[test]
fn what_another_service_writes_there_stands_until_a_client_changes_the_document() {
    let mut store = store("policy: CLIENT_WINS");
    let theirs = json!({ "audience": "all", "title": "a", "author": "cron", "touched": "2020-01-01T00:00:00Z" });
    store.elsewhere(&create("t", theirs));
    store.import(&[key("Task", "t")]);
    let body = store.task("t").body.clone().unwrap();
    assert_eq!(
        json_of(&store, &body),
        json!({ "audience": "all", "title": "a", "author": "cron", "touched": "2020-01-01T00:00:00.000Z" })
    );
    push(&mut store, "ann", update("t", 1, titled("b")), "APPLIED 2");
    let body = json_of(&store, store.task("t").body.as_ref().unwrap());
    assert_eq!(
        (&body["author"], &body["editor"]),
        (&json!("cron"), &json!("ann"))
    );
    assert_eq!(body.get("born"), None, "nobody knows it");
    assert_eq!(body["touched"], json!("2027-01-15T08:00:02.000Z"));
    // Another service takes the values away, and a push meets that before the importer does.
    store.foreign(
        key("Task", "t"),
        ForeignState::Document(create("t", json!({ "audience": "all" })).fields(&store.model)),
    );
    push(&mut store, "bea", update("t", 3, titled("c")), "APPLIED 4");
    let body = json_of(&store, store.task("t").body.as_ref().unwrap());
    assert_eq!(body.get("author"), None);
    assert_eq!(body["editor"], json!("bea"));
}

#[test]
fn a_conflict_shows_none_of_what_the_change_would_set_and_names_its_resolver() {
    let mut store = store("policy: MANUAL");
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    push(&mut store, "bea", create("t", titled("b")), "CONFLICT 1");
    let open = store.conflict().clone();
    let mine = open.pending.mine.document().unwrap();
    assert_eq!(
        json_of(&store, mine),
        json!({ "audience": "all", "title": "b" })
    );
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
    let answer = store.resolve("cat", &open.id, 1, Resolution::Mine);
    assert_eq!(summaries(&answer), ["APPLIED 2"]);
    assert_eq!(kept(&store), of(1, 3, "ann", "cat"));
    // A document that is brought back by a resolution is created by its resolver.
    push(&mut store, "bea", update("t", 1, titled("c")), "CONFLICT 2");
    push(&mut store, "ann", delete("t", 2), "APPLIED 3");
    let id = store.conflict().id.clone();
    let answer = store.resolve("cat", &id, 3, Resolution::Mine);
    assert_eq!(summaries(&answer), ["APPLIED 4"]);
    assert_eq!(kept(&store), of(6, 6, "cat", "cat"));
}

#[test]
fn the_updated_at_field_of_a_collection_is_kept_alike() {
    for directive in ["@readOnly", "@server(value: UPDATED_AT)"] {
        let text = format!(
            r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks", updatedAtField: "t") @scope(by: "all") {{
  id: ID!
  title: String
  touched: DateTime {directive} @stored(as: "t")
}}
"#
        );
        let mut store = Store::of(Model::parse("model.graphql", &text).unwrap());
        push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
        push(&mut store, "ann", update("t", 1, titled("b")), "APPLIED 2");
        let body = store.task("t").body.as_ref().unwrap();
        assert_eq!(body["t"], Value::DateTime(start().plus_ms(2_000)));
    }
}

const OWNED: &str = r#"@owner(by: "author") @allow(role: WRITE, do: [CREATE]) @allow(role: OWNER, do: [UPDATE DELETE])"#;

#[test]
fn the_creator_may_own_the_document() {
    let mut store = store_with("policy: CLIENT_WINS", OWNED, FIELDS);
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    push(
        &mut store,
        "bea",
        update("t", 1, titled("b")),
        "REJECTED FORBIDDEN",
    );
    push(
        &mut store,
        "bea",
        create("t", titled("b")),
        "REJECTED FORBIDDEN",
    );
    push(&mut store, "bea", delete("t", 1), "REJECTED FORBIDDEN");
    push(&mut store, "ann", update("t", 1, titled("b")), "APPLIED 2");
    push(&mut store, "ann", delete("t", 2), "APPLIED 3");
}

#[test]
fn nobody_owns_what_has_no_creator() {
    let mut store = store_with(
        "policy: CLIENT_WINS",
        r#"@owner(by: "author") @allow(role: OWNER, do: [CREATE UPDATE DELETE])"#,
        FIELDS,
    );
    store.teams("ann", &["1"]);
    store.elsewhere(&create("t", json!({ "audience": "all", "title": "a" })));
    store.import(&[key("Task", "t")]);
    push(
        &mut store,
        "ann",
        update("t", 1, titled("b")),
        "REJECTED FORBIDDEN",
    );
    let moved = update("t", 1, json!({ "audience": "team:1" }));
    push(&mut store, "ann", moved, "REJECTED FORBIDDEN");
    push(
        &mut store,
        "ann",
        create("t", titled("b")),
        "REJECTED FORBIDDEN",
    );
    push(&mut store, "ann", create("u", titled("b")), "APPLIED 1");
}

#[test]
fn an_owner_may_wait_in_the_inbox_for_a_move_and_a_stranger_may_not() {
    let mut store = store_with(
        "policy: MANUAL",
        r#"@owner(by: "author") @allow(role: OWNER, do: [CREATE UPDATE DELETE]) @allow(role: WRITE, do: [UPDATE DELETE])"#,
        FIELDS,
    );
    store.teams("ann", &["1"]);
    store.teams("bea", &["1"]);
    push(&mut store, "ann", create("t", titled("a")), "APPLIED 1");
    push(&mut store, "bea", update("t", 1, titled("b")), "APPLIED 2");
    let moved = || update("t", 1, json!({ "audience": "team:1" }));
    push(&mut store, "bea", moved(), "REJECTED FORBIDDEN");
    let elsewhere = || create("t", json!({ "audience": "team:1" }));
    push(&mut store, "bea", elsewhere(), "REJECTED FORBIDDEN");
    assert_eq!(store.conflicts().count(), 0);
    push(&mut store, "ann", moved(), "CONFLICT 2");
    push(&mut store, "ann", elsewhere(), "CONFLICT 2");
    assert_eq!(store.conflicts().count(), 2);
}

#[test]
fn a_user_whose_id_the_field_cannot_hold_is_null() {
    let fields = "editor: ID @server(value: UPDATED_BY) @bson(type: INT)";
    let mut store = store_with("policy: CLIENT_WINS", "", fields);
    push(&mut store, "7", create("t", titled("a")), "APPLIED 1");
    let editor =
        |store: &Store| json_of(store, store.task("t").body.as_ref().unwrap())["editor"].clone();
    assert_eq!(editor(&store), json!("7"));
    push(&mut store, "ann", update("t", 1, titled("b")), "APPLIED 2");
    assert_eq!(editor(&store), Json::Null, "not the user before");
}

#[test]
fn a_client_without_a_name_sets_them_too() {
    let mut store = store("policy: CLIENT_WINS");
    let answer = store.push(&anonymously("ann"), &[create("t", titled("a"))]);
    assert_eq!(summaries(&answer), ["APPLIED 1"]);
    assert_eq!(kept(&store), of(1, 1, "ann", "ann"));
}

#[test]
fn erasing_a_person_takes_the_name_out_of_what_the_gateway_keeps() {
    let mut store = store("policy: CLIENT_WINS");
    push(
        &mut store,
        "ann",
        create("t", titled("by ann")),
        "APPLIED 1",
    );
    push(
        &mut store,
        "bea",
        update("t", 1, json!({ "notes": "ann" })),
        "APPLIED 2",
    );
    let erasure = Erasure {
        user: UserId::new("ann").unwrap(),
        secret: tidegate_core::checkpoint::TokenKey([7; 32]),
    };
    assert!(erasure.is_in_entry(&store.model, store.task("t")));
    let erase = |store: &mut Store| {
        let reads = Reads {
            keys: [key("Task", "t")].into(),
            ..Reads::default()
        };
        let loaded = store.state.load(&reads);
        let (writes, changed) = erasure.strike(&store.model, store.now, &loaded);
        store.write(&writes);
        changed
    };
    assert_eq!(erase(&mut store), 1);
    let body = json_of(&store, store.task("t").body.as_ref().unwrap());
    assert_eq!(
        (&body["author"], &body["editor"]),
        (&Json::Null, &json!("bea"))
    );
    assert_eq!(
        (&body["title"], &body["notes"]),
        (&json!("by ann"), &json!("ann"))
    );
    assert_eq!(store.task("t").version.0, 3, "devices get another version");
    assert!(!erasure.is_in_entry(&store.model, store.task("t")));
    assert_eq!(erase(&mut store), 0);
    push(&mut store, "bea", update("t", 2, titled("c")), "MERGED 4");
}
