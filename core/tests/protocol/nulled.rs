//! Fields that are shown as null because they do not fit (protocol 8.8).
//!
//! Another service has the enum value `GONE`, which the model lacks, and the store reads it as a text.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tidegate_core::{
    entry::Entry,
    model::Model,
    transaction::{ForeignState, Writes},
    value::{Document, Value},
};

use crate::{
    drafts::{Draft, create, key, update},
    senders::{by, summaries},
    store::Store,
};

const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks", misfits: NULL_FIELD) @scope(by: "all") { id: ID! title: String state: State }
enum State { OPEN DONE }
"#;

fn store() -> Store {
    let mut store = Store::of(Model::parse("model.graphql", MODEL).expect("a good model"));
    let created = create("t", json!({ "title": "Tea", "state": "OPEN" }));
    let answer = store.push(&by("alice", "phone").from(1), &[created]);
    assert_eq!(summaries(&answer), ["APPLIED 1"]);
    store
}

fn gone() -> Value {
    Value::String("GONE".to_owned())
}

/// Another service writes the state that the model lacks, and the importer comes by.
fn spoil(store: &mut Store) {
    let mut document = create("t", json!({ "title": "Tea" })).fields(&store.model);
    document.insert("state".to_owned(), gone());
    store.foreign(key("Task", "t"), ForeignState::Document(document));
    store.import(&[key("Task", "t")]);
    store.state.foreign.clear();
}

/// The feed of a store that only the gateway writes, after the model has lost the value.
fn narrowed() -> Store {
    let mut store = store();
    let mut entry = Entry::clone(store.task("t"));
    let body = entry.body.get_or_insert_with(Document::new);
    body.insert("state".to_owned(), gone());
    store.state.write(&Writes {
        entries: vec![Arc::new(entry)],
        ..Writes::default()
    });
    store
}

fn push(store: &mut Store, id: i32, draft: Draft) -> Vec<String> {
    let answer = store.push(&by("bob", "laptop").from(id), &[draft]);
    summaries(&answer)
}

fn state_of(store: &Store) -> Option<Value> {
    store.task("t").body.as_ref()?.get("state").cloned()
}

fn seeing(set: Json, seen: Json) -> Draft {
    update("t", 2, set).seeing(seen)
}

#[test]
fn a_field_that_is_spoilt_is_a_version_without_it_and_comes_back_with_another() {
    let mut store = store();
    spoil(&mut store);
    let spoilt = store.task("t");
    assert_eq!((spoilt.version.0, spoilt.withheld), (2, false));
    assert_eq!(spoilt.field_versions["state"].0, 2);
    assert_eq!(state_of(&store), None);
    let mended = create("t", json!({ "title": "Tea", "state": "DONE" }));
    store.elsewhere(&mended);
    store.import(&[key("Task", "t")]);
    assert_eq!(store.task("t").version.0, 3);
    assert_eq!(state_of(&store), Some(Value::String("DONE".to_owned())));
}

/// A device edits offline while the field is spoilt: its edit of another field stands, and its edit of this one meets a null.
#[test]
fn offline_edits_meet_null() {
    let mut store = store();
    spoil(&mut store);
    let title = update("t", 1, json!({ "title": "Milk" })).seeing(json!({ "title": "Tea" }));
    assert_eq!(push(&mut store, 1, title), ["MERGED 3"]);
    let state = update("t", 1, json!({ "state": "DONE" })).seeing(json!({ "state": "OPEN" }));
    assert_eq!(push(&mut store, 2, state), ["CONFLICT 3"]);
    let state = update("t", 3, json!({ "state": "DONE" })).seeing(json!({ "state": null }));
    assert_eq!(push(&mut store, 3, state), ["APPLIED 4"]);
}

#[test]
fn null_over_what_is_shown_as_null_is_no_edit_of_it() {
    let mut store = store();
    spoil(&mut store);
    let form = json!({ "title": "Milk", "state": null });
    let seen = json!({ "title": "Tea", "state": null });
    assert_eq!(push(&mut store, 1, seeing(form, seen)), ["APPLIED 3"]);
    assert_eq!(state_of(&store), None);
    assert_eq!(store.task("t").field_versions["state"].0, 2);
    let cleared = update("t", 3, json!({ "state": null }));
    assert_eq!(push(&mut store, 2, cleared), ["APPLIED 4"]);
    assert_eq!(state_of(&store), Some(Value::Null), "a change has named it");
}

#[test]
fn a_stored_value_that_does_not_fit_outlives_edits_of_other_fields() {
    let mut store = narrowed();
    let title = update("t", 1, json!({ "title": "Milk" }));
    assert_eq!(push(&mut store, 1, title), ["APPLIED 2"]);
    assert_eq!(state_of(&store), Some(gone()));
    let named = update("t", 2, json!({ "state": "DONE" }));
    assert_eq!(push(&mut store, 2, named), ["APPLIED 3"]);
    assert_eq!(state_of(&store), Some(Value::String("DONE".to_owned())));
}
