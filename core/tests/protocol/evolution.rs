//! Documents under another model than the one that wrote them: what is read, kept and moved.

mod random;

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tidegate_core::{
    generation::Generation,
    model::Model,
    transaction::ForeignState,
    value::{Document, Value, json::encode_fields},
};

use crate::{
    drafts::{create, key, update},
    senders::{by, summaries},
    store::Store,
};

/// A model whose tasks have these fields beside the one that holds their scope.
fn model(fields: &str) -> Model {
    scoped("{audience}", fields)
}

fn scoped(scope: &str, fields: &str) -> Model {
    let text = format!(
        r#"
extend schema @grant(scope: "all", access: WRITE) @grant(scope: "list:{{teams}}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{scope}") @conflict(policy: MERGE) {{
  id: ID! audience: String! @default(value: "all") {fields}
}}
enum State {{ OPEN CLOSED LATE }}
"#
    );
    Model::parse("model.graphql", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The same, where places have fewer fields.
fn with_places(fields: &str, place: &str) -> Model {
    let text = format!(
        r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{{audience}}") @conflict(policy: MERGE) {{
  id: ID! audience: String! @default(value: "all") {fields}
}}
type Place {{ {place} }}
"#
    );
    Model::parse("model.graphql", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The task `t` of a store under `before`, which a store under `after` then reads.
fn stored(before: Model, fields: Json, after: Model) -> Store {
    let mut store = Store::of(before);
    let made = store.push(&by("alice", "phone").from(1), &[create("t", fields)]);
    assert_eq!(summaries(&made), ["APPLIED 1"]);
    store.model = Arc::new(after);
    store
}

fn body(store: &Store) -> &Document {
    store.task("t").body.as_ref().expect("the task is alive")
}

/// The fields as a client sees them.
fn shown(store: &Store) -> Json {
    let model = &store.model;
    let fields = &model
        .document_type("Task")
        .expect("the model has it")
        .fields;
    Json::Object(encode_fields(model, fields, body(store)))
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn a_widened_field_makes_no_version_and_takes_a_clean_edit() {
    let number = Value::Int(5);
    let cases = [
        ("Int", json!(5), "Long", Value::Long(5), json!("6")),
        ("Int", json!(5), "ID", text("5"), json!("six")),
        ("Int", json!(5), "Float", Value::Float(5.0), json!(6.5)),
        ("Long", json!("5"), "Int", number.clone(), json!(6)),
        ("Float", json!(5.0), "Int", number.clone(), json!(6)),
        ("Float", json!(5.0), "Long", Value::Long(5), json!("6")),
        ("ID", json!("a"), "String", text("a"), json!("b")),
        ("String", json!("a"), "ID", text("a"), json!("b")),
        ("State", json!("OPEN"), "String", text("OPEN"), json!("b")),
        (
            "String",
            json!("OPEN"),
            "State",
            text("OPEN"),
            json!("LATE"),
        ),
        ("Int!", json!(5), "Int", number.clone(), json!(null)),
        (
            "[Int]",
            json!([1, null]),
            "[Long]",
            Value::List(vec![Value::Long(1), Value::Null]),
            json!(["2"]),
        ),
    ];
    for (before, value, after, widened, edited) in cases {
        let case = format!("{before} to {after}");
        let fields = |ty| format!("value: {ty} other: String");
        let mut store = stored(
            model(&fields(before)),
            json!({ "value": value }),
            model(&fields(after)),
        );
        let writes = store.import(&[key("Task", "t")]);
        assert!(writes.entries.is_empty(), "{case}: a version");
        let other = update("t", 1, json!({ "other": "x" }));
        let answer = store.push(&by("bob", "tablet").from(1), &[other]);
        assert_eq!(summaries(&answer), ["APPLIED 2"], "{case}");
        assert_eq!(body(&store)["value"], widened, "{case}");
        let edit = update("t", 2, json!({ "value": edited }));
        let answer = store.push(&by("alice", "phone").from(2), &[edit]);
        assert_eq!(summaries(&answer), ["APPLIED 3"], "{case}");
        assert_eq!(shown(&store)["value"], edited, "{case}");
    }
}

/// How many versions three passes write.
fn passes(store: &mut Store) -> [usize; 3] {
    [(); 3].map(|()| store.withhold(&[key("Task", "t")]).entries.len())
}

#[test]
fn a_document_that_does_not_fit_is_withheld_once_in_a_term() {
    let after = model("value: Int!");
    let mut store = stored(model("value: Int"), json!({}), after.clone());
    assert_eq!(passes(&mut store), [1, 0, 0]);
    // A lead that reads it may have shown it since.
    let lead = store.state.models.state.led_by(Generation(1), &after, None);
    assert!(store.state.take_lead(&lead));
    assert_eq!(passes(&mut store), [1, 0, 0]);
    let mended = update("t", 3, json!({ "value": 1 }));
    let answer = store.push(&by("alice", "phone").from(2), &[mended]);
    assert_eq!(summaries(&answer), ["APPLIED 4"]);
    assert_eq!(passes(&mut store), [0; 3]);

    let moving = scoped("list:{audience}", "value: Int!");
    let mut store = stored(model("value: Int"), json!({}), moving);
    assert_eq!(passes(&mut store), [1, 0, 0], "it moves too");
    assert_eq!(store.task("t").scope.as_str(), "list:all");
}

#[test]
fn a_membership_that_does_not_fit_gives_no_access_however_often_it_is_stamped() {
    let members = |level: &str| {
        let text = format!(
            r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") @grants(scope: "room:{{room}}", to: "{{user}}", access: "READ") {{
  id: ID! room: String! user: String! level: {level}
}}
"#
        );
        Model::parse("model.graphql", &text).unwrap()
    };
    let seat = json!({ "room": "a", "user": "bob" });
    let mut store = stored(members("Int"), seat, members("Int!"));
    assert!(store.task("t").membership.is_some());
    assert_eq!(passes(&mut store), [1, 0, 0]);
    assert!(store.task("t").membership.is_none());
    assert!(store.import(&[key("Task", "t")]).entries.is_empty());
}

#[test]
fn what_does_not_fit_stays_stored_until_a_change_mends_it() {
    for (before, value, after, mended) in [
        ("Float", json!(5.5), "Int", json!(5)),
        ("Long", json!("5000000000"), "Int", json!(5)),
        ("Long", json!("9007199254740993"), "Float", json!(5.5)),
        ("String", json!("5"), "Int", json!(5)),
        ("Int", json!(5), "String", json!("5")),
        ("String", json!("GONE"), "State", json!("LATE")),
        ("Int", json!(null), "Int!", json!(5)),
        ("[Int]", json!([1, null]), "[Int!]", json!([1])),
    ] {
        let case = format!("{before} to {after}");
        let fields = |ty| format!("value: {ty} other: String");
        let mut store = stored(
            model(&fields(before)),
            json!({ "value": value }),
            model(&fields(after)),
        );
        let stamp = store.import(&[key("Task", "t")]);
        assert!(stamp.entries.is_empty(), "{case}: a version");
        let other = update("t", 1, json!({ "other": "x" }));
        let answer = store.push(&by("bob", "tablet").from(1), &[other]);
        assert_eq!(summaries(&answer), ["APPLIED 2"], "{case}");
        let present = std::mem::replace(&mut store.model, Arc::new(model(&fields(before))));
        assert_eq!(shown(&store)["value"], value, "{case}");
        store.model = present;
        let mend = update("t", 2, json!({ "value": mended }));
        let answer = store.push(&by("bob", "tablet").from(2), &[mend]);
        assert_eq!(summaries(&answer), ["APPLIED 3"], "{case}");
        assert_eq!(shown(&store)["value"], mended, "{case}");
    }
}

#[test]
fn a_field_of_another_stored_name_is_read_under_both_and_written_under_the_new_one() {
    let mut store = stored(
        model("due: Int other: String"),
        json!({ "due": 5 }),
        model("due: Int @stored(as: \"due_at\") @renamed(stored: \"due\") other: String"),
    );
    let stamp = store.import(&[key("Task", "t")]);
    assert!(stamp.entries.is_empty(), "it is no version");
    let edit = update("t", 1, json!({ "other": "x" }));
    let answer = store.push(&by("bob", "tablet").from(1), &[edit]);
    assert_eq!(summaries(&answer), ["APPLIED 2"]);
    assert_eq!(body(&store)["due_at"], Value::Int(5));
    assert!(!body(&store).contains_key("due"));
    let stale = update("t", 1, json!({ "due": 6 }));
    let answer = store.push(&by("carol", "laptop").from(1), &[stale]);
    assert_eq!(
        summaries(&answer),
        ["MERGED 3"],
        "the field's version moved with it"
    );
}

const TASK: &str = "title: String place: Place stops: [Place!]";

/// A store under a model that lacks fields of every level, with a document that has them.
fn poor() -> Store {
    let rich = with_places(
        &format!("{TASK} extra: Int"),
        "city: String street: String @stored(as: \"road\")",
    );
    let place = |city: &str| json!({ "city": city, "street": format!("{city} street") });
    let fields = json!({
        "title": "Tea", "extra": 7, "place": place("Ulm"), "stops": [place("Bonn"), place("Rom")],
    });
    stored(rich, fields, with_places(TASK, "city: String"))
}

fn place(city: &str, road: &str) -> Value {
    Value::Object(
        [("city", city), ("road", road)]
            .map(|(name, it)| (name.to_owned(), text(it)))
            .into(),
    )
}

#[test]
fn a_push_keeps_what_its_model_does_not_name() {
    let mut store = poor();
    let set = json!({
        "title": "Milk", "place": { "city": "Wien" },
        "stops": [{ "city": "Rom" }, { "city": "Köln" }, { "city": "Bonn" }],
    });
    let answer = store.push(&by("bob", "tablet"), &[update("t", 1, set)]);
    assert_eq!(summaries(&answer), ["APPLIED 2"]);
    let body = body(&store);
    assert_eq!(body["extra"], Value::Int(7));
    assert_eq!(body["place"], place("Wien", "Ulm street"));
    let stops = Value::List(vec![
        place("Rom", "Rom street"),
        Value::Object([("city".to_owned(), text("Köln"))].into()),
        place("Bonn", "Bonn street"),
    ]);
    assert_eq!(body["stops"], stops, "an item moves with its content");
}

#[test]
fn an_import_and_a_merge_keep_what_their_model_does_not_name() {
    let mut store = poor();
    let theirs = [
        ("audience".to_owned(), text("all")),
        ("title".to_owned(), text("Theirs")),
        (
            "place".to_owned(),
            Value::Object([("city".to_owned(), text("Ulm"))].into()),
        ),
    ];
    store.foreign(key("Task", "t"), ForeignState::Document(theirs.into()));
    let stamp = store.import(&[key("Task", "t")]);
    assert_eq!(stamp.entries.len(), 1);
    assert_eq!(body(&store)["extra"], Value::Int(7));
    assert_eq!(body(&store)["place"], place("Ulm", "Ulm street"));
    let versions = &store.task("t").field_versions;
    let changed: Vec<&String> = versions
        .iter()
        .filter(|(_, it)| it.0 == 2)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["stops", "title"], "what is kept has not changed");
    let stale = update("t", 1, json!({ "place": { "city": "Wien" } }));
    let answer = store.push(&by("carol", "laptop"), &[stale]);
    assert_eq!(summaries(&answer), ["MERGED 3"]);
    assert_eq!(body(&store)["place"], place("Wien", "Ulm street"));
}

#[test]
fn what_the_model_does_not_name_makes_no_difference() {
    let mut store = poor();
    let same = create(
        "t",
        json!({
            "title": "Tea", "place": { "city": "Ulm" }, "stops": [{ "city": "Bonn" }, { "city": "Rom" }],
        }),
    );
    let answer = store.push(&by("bob", "tablet"), &[same]);
    assert_eq!(
        summaries(&answer),
        ["APPLIED 1"],
        "a create of what is there"
    );
    let stale = update("t", -1, json!({ "place": { "city": "Wien" } }))
        .seeing(json!({ "place": { "city": "Ulm" } }));
    let answer = store.push(&by("bob", "tablet"), &[stale]);
    assert_eq!(
        summaries(&answer),
        ["MERGED 2"],
        "the client saw what is there"
    );
}

#[test]
fn a_stamp_moves_documents_by_a_changed_scope_and_writes_equal_ones_never() {
    let fields = "list: String! @default(value: \"\") other: String";
    let mut store = Store::of(model(fields));
    let tasks = [
        create("a", json!({ "list": "x" })),
        create("b", json!({})),
        create("c", json!({ "audience": "list:y", "list": "y" })),
    ];
    store.teams("alice", &["x", "y"]);
    let made = store.push(&by("alice", "phone").from(1), &tasks);
    assert_eq!(summaries(&made), ["APPLIED 1", "APPLIED 1", "APPLIED 1"]);
    store.model = Arc::new(scoped("list:{list}", fields));
    let keys = ["a", "b", "c"].map(|id| key("Task", id));
    let writes = store.import(&keys);
    assert_eq!(writes.entries.len(), 2, "one is in its scope");
    assert_eq!(store.task("a").scope.as_str(), "list:x");
    assert_eq!(store.markers("a"), ["all"]);
    assert_eq!(store.task("b").scope.as_str(), "%", "nobody sees it");
    assert!(store.task("b").body.is_some(), "it is not lost");
    let again = store.import(&keys);
    assert!(again.entries.is_empty());
    store.model = Arc::new(model(fields));
    let back = store.import(&keys);
    assert_eq!(back.entries.len(), 2);
    assert_eq!(store.task("b").scope.as_str(), "all");
}

#[test]
fn a_stamp_changes_memberships_by_changed_grants_and_keeps_their_givers() {
    let grants = |to: &str| {
        let text = format!(
            r#"
extend schema @grant(scope: "all", access: WRITE)
type Member @collection(name: "members") @scope(by: "all")
  @grants(scope: "list:{{list}}", to: "{to}", access: "{{access}}") {{
  id: ID! list: String! person: String! access: String! deputy: String
}}
"#
        );
        Model::parse("model.graphql", &text).expect("the model is sound")
    };
    let mut store = Store::of(grants("{person}"));
    let member = json!({ "list": "x", "person": "bob", "access": "READ", "deputy": "carol" });
    let alone = json!({ "list": "x", "person": "bob", "access": "READ" });
    let members = [
        create("m", member).of("Member"),
        create("n", alone).of("Member"),
    ];
    let made = store.push(&by("alice", "phone").from(1), &members);
    assert_eq!(summaries(&made), ["APPLIED 1", "APPLIED 1"]);
    let keys = ["m", "n"].map(|id| key("Member", id));
    assert!(store.import(&keys).entries.is_empty());
    store.model = Arc::new(grants("{deputy}"));
    assert_eq!(store.import(&keys).entries.len(), 2);
    let given = |store: &Store, key| {
        let entry = store.entry(key).expect("it has an entry");
        entry
            .membership
            .as_ref()
            .map(|it| it.user.as_str().to_owned())
    };
    assert_eq!(given(&store, &keys[0]).as_deref(), Some("carol"));
    assert_eq!(given(&store, &keys[1]), None);
    assert!(store.import(&keys).entries.is_empty());
}
