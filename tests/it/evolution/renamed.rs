//! `@renamed(from)`: the earlier name stays, in what is written and in what is read.

use std::collections::BTreeMap;

use mongodb::bson::{Document as Bson, doc};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{Place, outcomes, push};
use crate::harness::{Client, answer, mongod::Deployment, tidegate};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "public") @renamed(from: "Memo") @conflict(policy: MANUAL, clientMayChoose: [MERGE]) {
  id: ID!
  title: String! @renamed(from: "name")
  color: Color @renamed(from: "colour")
  parts: [Part!] @renamed(from: "pieces")
  size: Int! @default(value: 1) @renamed(from: "length")
  count: Int @merge(with: COUNTER) @renamed(from: "number")
  done: Boolean
}
type Part { label: String! @renamed(from: "text") count: Int! @default(value: 1) @renamed(from: "n") }
enum Color { RED GREEN }
"#;

/// The same before its members were renamed.
const BEFORE: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Memo @collection(name: "notes") @scope(by: "public") @conflict(policy: MANUAL, clientMayChoose: [MERGE]) {
  id: ID!
  name: String!
  colour: Color
  pieces: [Part!]
  length: Int! @default(value: 1)
  number: Int @merge(with: COUNTER)
  done: Boolean
}
type Part { text: String! n: Int! @default(value: 1) }
enum Color { RED GREEN }
"#;

const NOTE: &str = "{ note(id: \"a\") { __typename title name color colour size length count number parts { label text count n } pieces { text } } }";

fn create(id: &str, document: Json) -> Json {
    json!({"note": {"create": {"id": id, "document": document}}})
}

fn update(id: &str, base: i64, set: Json) -> Json {
    json!({"note": {"update": {"id": id, "baseVersion": base, "set": set}}})
}

#[tokio::test]
async fn a_renamed_field_is_written_and_read_by_either_name() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let client = server.client("alice");
        let old =
            json!({"name": "one", "colour": "RED", "pieces": [{"text": "x", "n": 2}], "length": 3});
        let mixed =
            json!({"title": "two", "colour": "GREEN", "parts": [{"text": "x", "count": 2}]});
        let results = push(
            &client,
            json!({"changes": [create("a", old), create("b", mixed)]}),
        )
        .await;
        assert_eq!(outcomes(&results), ["APPLIED", "APPLIED"]);
        let part = json!({"label": "x", "text": "x", "count": 2, "n": 2});
        let shown = json!({
            "__typename": "Note", "title": "one", "name": "one", "color": "RED", "colour": "RED", "size": 3, "length": 3,
            "count": null, "number": null, "parts": [part], "pieces": [{"text": "x"}],
        });
        assert_eq!(client.data(NOTE, json!({})).await["note"], shown);

        // As a literal, with variables inside it, one of which has no value.
        let literal = "mutation($title: String, $absent: String, $colour: Color) { pushChanges(input: {changes: [{note: {update: {
            id: \"a\", baseVersion: 1, set: {name: $title, title: $absent, colour: $colour, pieces: [{text: \"y\"}]}, base: {title: \"one\"}
        }}}]}) { results { status } } }";
        let variables = json!({"title": "three", "colour": null});
        let data = client.data(literal, variables).await;
        assert_eq!(data["pushChanges"]["results"][0]["status"], "APPLIED");
        let note = client.data(NOTE, json!({})).await;
        let part = json!({"label": "y", "text": "y", "count": 1, "n": 1});
        assert_eq!(note["note"]["title"], "three");
        assert_eq!(note["note"]["color"], Json::Null);
        assert_eq!(note["note"]["parts"], json!([part]));
    }
}

#[tokio::test]
async fn what_was_stored_before_a_rename_is_read_and_edited_after_it() {
    for place in Place::each().await {
        let server = place.serve(BEFORE);
        let client = server.client("alice");
        let document = json!({"name": "one", "colour": "RED", "pieces": [{"text": "x", "n": 2}], "length": 3, "number": 4});
        let create = json!({"memo": {"create": {"id": "a", "document": document}}});
        assert_eq!(
            outcomes(&push(&client, json!({"changes": [create]})).await),
            ["APPLIED"]
        );
        let page = "{ changesSince { checkpoint } }";
        let checkpoint = client.data(page, json!({})).await["changesSince"]["checkpoint"].take();
        server.stop();

        let server = place.serve(MODEL);
        let client = client.at(&server);
        let part = json!({"label": "x", "text": "x", "count": 2, "n": 2});
        let shown = json!({
            "__typename": "Note", "title": "one", "name": "one", "color": "RED", "colour": "RED", "size": 3, "length": 3,
            "count": 4, "number": 4, "parts": [part], "pieces": [{"text": "x"}],
        });
        assert_eq!(client.data(NOTE, json!({})).await["note"], shown);
        // The rename is no change of a document.
        let page = "query($checkpoint: Checkpoint) { changesSince(checkpoint: $checkpoint) { reset changes { type document { ... on Note { title } } } } }";
        let variables = json!({"checkpoint": checkpoint});
        let pulled = client.data(page, variables.clone()).await["changesSince"].take();
        assert_eq!(pulled, json!({"reset": false, "changes": []}));
        let edit = update("a", 1, json!({"title": "two"}));
        assert_eq!(
            outcomes(&push(&client, json!({"changes": [edit]})).await),
            ["APPLIED"]
        );
        let pulled = client.data(page, variables).await["changesSince"].take();
        let changes = json!([{"type": "Note", "document": {"title": "two"}}]);
        assert_eq!(pulled, json!({"reset": false, "changes": changes}));
        server.stop();

        let server = place.serve(BEFORE);
        let memo = "{ memo(id: \"a\") { __typename name colour length number pieces { text n } } }";
        let memo = client.at(&server).data(memo, json!({})).await["memo"].take();
        let shown = json!({"__typename": "Memo", "name": "two", "colour": "RED", "length": 3, "number": 4, "pieces": [{"text": "x", "n": 2}]});
        assert_eq!(memo, shown);
    }
}

#[tokio::test]
async fn both_names_of_a_field_in_one_input_reject_that_change_alone() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let client = server.client("alice");
        let part = |part: Json| json!({"title": "one", "parts": [{"label": "x"}, part]});
        let changes = json!([
            create("a", json!({"title": "one"})),
            create("b", json!({"title": "one", "name": "one"})),
            create("c", json!({"title": "one", "name": null})),
            create("d", json!({"title": "one", "length": 1, "size": 1})),
            create("e", part(json!({"label": "y", "text": "y"}))),
            create("f", json!({"title": "one", "parts": [], "pieces": null})),
            update("a", 0, json!({"color": "RED", "colour": "RED"})),
            json!({"note": {"update": {"id": "a", "baseVersion": 0, "set": {"color": "RED"}, "base": {"color": null, "colour": null}}}}),
            create("g", json!({"color": "RED"})),
            create("h", json!({"name": null})),
            create("i", part(json!({"count": 2}))),
            create("j", json!({"name": "one"})),
        ]);
        let results = push(&client, json!({"changes": changes})).await;
        assert_eq!(
            outcomes(&results),
            [
                "APPLIED",
                "REJECTED INVALID_VALUE title",
                "REJECTED INVALID_VALUE title",
                "REJECTED INVALID_VALUE size",
                "REJECTED INVALID_VALUE parts[1].label",
                "REJECTED INVALID_VALUE parts",
                "REJECTED INVALID_VALUE color",
                "REJECTED INVALID_VALUE color",
                "REJECTED INVALID_VALUE title",
                "REJECTED INVALID_VALUE title",
                "REJECTED INVALID_VALUE parts[1].label",
                "APPLIED",
            ]
        );
    }
}

#[tokio::test]
async fn differences_of_a_renamed_counter_add_up_whatever_name_each_writer_uses() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let (alice, bob) = (server.client("alice"), server.client("bob"));
        let epoch = alice.epoch().await;
        let numbered = |client: &str, first: i64, change: Json| {
            let client = json!({"id": client, "firstMutationId": first});
            json!({"client": client, "epoch": epoch, "policy": "MERGE", "changes": [change]})
        };
        let created = create("a", json!({"title": "one", "count": 1}));
        push(&alice, numbered("a", 1, created)).await;
        let edit = |set: Json, base: Json| json!({"note": {"update": {"id": "a", "baseVersion": 1, "set": set, "base": base}}});
        let new = edit(json!({"count": 3}), json!({"count": 1}));
        let old = edit(json!({"number": 5}), json!({"number": 1}));
        let mixed = edit(json!({"number": 11}), json!({"count": 1}));
        assert_eq!(
            outcomes(&push(&alice, numbered("a", 2, new)).await),
            ["APPLIED"]
        );
        assert_eq!(
            outcomes(&push(&bob, numbered("b", 1, old)).await),
            ["MERGED"]
        );
        assert_eq!(
            outcomes(&push(&bob, numbered("c", 1, mixed)).await),
            ["MERGED"]
        );
        let note = alice.data(NOTE, json!({})).await;
        assert_eq!(note["note"]["count"], 1 + 2 + 4 + 10);
    }
}

#[tokio::test]
async fn the_earlier_name_of_a_type_names_it_in_arguments_and_inputs() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let (alice, bob) = (server.client("alice"), server.client("bob"));
        let create = json!({"memo": {"create": {"id": "a", "document": {"name": "one"}}}});
        let results = push(&alice, json!({"changes": [create]})).await;
        assert_eq!(outcomes(&results), ["APPLIED"]);
        for types in ["[Memo]", "[Note]", "[Memo, Note]"] {
            let query = format!(
                "{{ changesSince(types: {types}) {{ changes {{ type documentId document {{ __typename }} }} }} }}"
            );
            let page = alice.data(&query, json!({})).await;
            // An argument alone does not say what the app calls the type.
            let change =
                json!({"type": "Note", "documentId": "a", "document": {"__typename": "Note"}});
            assert_eq!(page["changesSince"]["changes"], json!([change]), "{types}");
        }
        let both = json!({"input": {"changes": [{"memo": {"delete": {"id": "a", "baseVersion": 1}}, "note": {"delete": {"id": "a", "baseVersion": 1}}}]}});
        let mutation = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
        assert_eq!(alice.code(mutation, both).await, "BAD_USER_INPUT");

        // A conflict is shown by the present names, and resolved by any.
        push(
            &bob,
            json!({"changes": [update("a", 1, json!({"name": "Bob's", "number": 2}))]}),
        )
        .await;
        let late = update("a", 1, json!({"name": "Alice's", "number": 3}));
        assert_eq!(
            outcomes(&push(&alice, json!({"changes": [late]})).await),
            ["CONFLICT"]
        );
        let query = "{ conflicts { nodes { id type fields currentVersion mine { ... on SyncNoteState { name title number } } } } }";
        let conflict = alice.data(query, json!({})).await["conflicts"]["nodes"][0].take();
        assert_eq!(conflict["type"], "Note");
        assert_eq!(conflict["fields"], json!(["title", "count"]));
        assert_eq!(
            conflict["mine"],
            json!({"name": "Alice's", "title": "Alice's", "number": 3})
        );
        let resolve = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status error { code field } } } }";
        let input = |fields: Json| json!({"input": {"conflictId": conflict["id"], "baseVersion": conflict["currentVersion"], "resolution": {"memo": fields}}});
        let both = json!({"name": "both", "title": "both"});
        let refused = alice.data(resolve, input(both)).await["resolveConflict"]["result"].take();
        assert_eq!(
            refused,
            json!({"status": "REJECTED", "error": {"code": "INVALID_VALUE", "field": "title"}})
        );
        let resolved = alice.data(resolve, input(json!({"name": "both"}))).await;
        assert_eq!(resolved["resolveConflict"]["result"]["status"], "APPLIED");
        let note = alice.data(NOTE, json!({})).await;
        assert_eq!(note["note"]["title"], "both");
    }
}

#[tokio::test]
async fn earlier_names_are_deprecated_in_the_schema_and_absent_from_ready_made_operations() {
    let [place, _] = Place::each().await;
    std::fs::write(place.directory.path().join("model.graphql"), MODEL).unwrap();
    let schema = answer(place.directory.path(), &["schema"]);
    for line in [
        "name: String! @deprecated(reason: \"Renamed to `title`.\")",
        "name: String @deprecated(reason: \"Renamed to `title`.\")",
        "text: String! @deprecated(reason: \"Renamed to `label`.\")",
        "n: Int @deprecated(reason: \"Renamed to `count`.\")",
        "Memo @deprecated(reason: \"Renamed to `Note`.\")",
        "memo: NoteChange @deprecated(reason: \"Renamed to `note`.\")",
        "memo: NotePatch @deprecated(reason: \"Renamed to `note`.\")",
        "): Note @deprecated(reason: \"Renamed to `note`.\")",
        "title: String",
        "size: Int! = 1",
    ] {
        let has = schema.lines().any(|found| found.trim() == line);
        assert!(has, "{line}: {schema}");
    }
    let operations = answer(place.directory.path(), &["operations"]);
    for earlier in ["name", "colour", "pieces", "length", "number", "text", "n"] {
        let has = operations
            .lines()
            .any(|line| line.trim().trim_end_matches(" {") == earlier);
        assert!(!has, "{earlier}: {operations}");
    }
    assert!(operations.contains("title\n"), "{operations}");
    let module = answer(place.directory.path(), &["operations", "--typescript"]);
    let mut words = module.split(|letter: char| !letter.is_alphanumeric());
    let earlier = ["Memo", "memo", "colour", "pieces"];
    assert_eq!(words.find(|word| earlier.contains(word)), None, "{module}");
    assert!(
        tidegate(place.directory.path(), &["check"])
            .status
            .success()
    );
}

/// The model before and after names in documents change.
fn stored(names: [&str; 3]) -> String {
    let [due, text, label] = names;
    format!(
        r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "public") {{
  id: ID!
  title: String
  due: String {due}
  {text}
  part: Part
}}
type Part {{ label: String {label} size: Int }}
"#
    )
}

#[tokio::test]
async fn a_field_whose_stored_name_changes_is_read_under_either_and_moves_with_a_write() {
    let before = stored([
        "@stored(as: \"due_at\")",
        "text: String",
        "@stored(as: \"l\")",
    ]);
    let after = stored([
        "@renamed(stored: \"due_at\")",
        "words: String @renamed(from: \"text\", stored: \"text\")",
        "@renamed(stored: \"l\")",
    ]);
    for place in Place::each().await {
        let server = place.serve(&before);
        let client = server.client("alice");
        let document =
            json!({"title": "one", "due": "soon", "text": "t", "part": {"label": "p", "size": 1}});
        let results = push(&client, json!({"changes": [create("a", document)]})).await;
        assert_eq!(outcomes(&results), ["APPLIED"]);
        server.stop();

        let server = place.serve(&after);
        let client = client.at(&server);
        let note = async || {
            let query = "{ note(id: \"a\") { title due words text part { label size } } }";
            client.data(query, json!({})).await["note"].take()
        };
        let shown = json!({"title": "one", "due": "soon", "words": "t", "text": "t", "part": {"label": "p", "size": 1}});
        assert_eq!(note().await, shown);
        let results = push(
            &client,
            json!({"changes": [update("a", 1, json!({"title": "two"}))]}),
        )
        .await;
        assert_eq!(outcomes(&results), ["APPLIED"]);
        let set = json!({"due": null, "text": "T", "part": {"label": "P", "size": 1}});
        let results = push(&client, json!({"changes": [update("a", 2, set)]})).await;
        assert_eq!(outcomes(&results), ["APPLIED"]);
        let shown = json!({"title": "two", "due": null, "words": "T", "text": "T", "part": {"label": "P", "size": 1}});
        assert_eq!(note().await, shown);
        if let Some(database) = &place.database {
            let application = Deployment::shared().await.client().await;
            let notes = application.database(database).collection::<Bson>("notes");
            let found = notes.find_one(doc! {}).await.unwrap().unwrap();
            let expected = doc! {"_id": "a", "title": "two", "due": null, "words": "T", "part": {"label": "P", "size": 1}};
            let sorted = |found: Bson| found.into_iter().collect::<BTreeMap<_, _>>();
            assert_eq!(sorted(found), sorted(expected));
        }
    }
}

/// The operations of an app that was made for the type `name`, as `tidegate operations` printed them then.
fn app(directory: &TempDir) -> String {
    std::fs::write(directory.path().join("model.graphql"), BEFORE).unwrap();
    answer(directory.path(), &["operations"])
}

/// Sends one operation of the app.
async fn ask(client: &Client, app: &str, operation: &str, variables: Json) -> Json {
    let request = json!({"query": app, "operationName": operation, "variables": variables});
    let answer = client.send_as(None, request).await;
    assert_eq!(answer.get("errors"), None, "{operation}: {answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn an_app_made_before_a_type_was_renamed_goes_on_with_all_its_operations() {
    let directory = TempDir::new().unwrap();
    let app = app(&directory);
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let (alice, bob) = (server.client("alice"), server.client("bob"));
        let epoch = alice.epoch().await;
        let queued = json!({"client": {"id": "phone", "firstMutationId": 1}, "epoch": epoch, "changes": [
            {"memo": {"create": {"id": "a", "document": {"name": "one"}}}},
            {"memo": {"update": {"id": "a", "baseVersion": 0, "set": {"name": "two"}, "base": {"name": "one"}}}},
            {"memo": {"delete": {"id": "none", "baseVersion": 1}}},
        ]});
        let pushed = ask(&alice, &app, "PushChanges", json!({"input": queued})).await;
        let results = pushed["pushChanges"]["results"].as_array().unwrap();
        let types: Vec<_> = results.iter().map(|result| &result["type"]).collect();
        assert_eq!(types, ["Memo"; 3]);
        assert_eq!(results[1]["document"]["__typename"], "Memo");
        assert_eq!(results[1]["document"]["name"], "two");

        let pulled = ask(&alice, &app, "ChangesSince", json!({"types": ["Memo"]})).await;
        let change = &pulled["changesSince"]["changes"][0];
        assert_eq!(change["type"], "Memo");
        assert_eq!(change["document"]["__typename"], "Memo");
        assert_eq!(change["document"]["name"], "two");
        let got = ask(&alice, &app, "GetMemo", json!({"id": "a"})).await;
        assert_eq!(got["memo"]["__typename"], "Memo");
        assert_eq!(got["memo"]["name"], "two");

        // A conflict is shown and resolved by the earlier names too.
        let stale = json!({"changes": [{"memo": {"update": {"id": "a", "baseVersion": 1, "set": {"name": "Bob's"}}}}]});
        let pushed = ask(&bob, &app, "PushChanges", json!({"input": stale})).await;
        assert_eq!(pushed["pushChanges"]["results"][0]["status"], "CONFLICT");
        let conflicts = ask(&bob, &app, "Conflicts", json!({})).await;
        let conflict = conflicts["conflicts"]["nodes"][0].clone();
        assert_eq!(conflict["type"], "Memo");
        assert_eq!(conflict["mine"]["__typename"], "SyncMemoState");
        assert_eq!(conflict["mine"]["name"], "Bob's");
        let resolution = json!({"memo": {"name": "both"}});
        let input =
            json!({"conflictId": conflict["id"], "baseVersion": 2, "resolution": resolution});
        let resolved = ask(&bob, &app, "ResolveConflict", json!({"input": input})).await;
        let result = &resolved["resolveConflict"]["result"];
        assert_eq!(result["status"], "APPLIED");
        assert_eq!(result["document"]["__typename"], "Memo");
        assert_eq!(result["document"]["name"], "both");
    }
}

#[tokio::test]
async fn answers_call_a_type_as_their_operation_does() {
    let [place, _] = Place::each().await;
    let server = place.serve(MODEL);
    let client = server.client("alice");
    let create = create("a", json!({"title": "one", "parts": [{"label": "x"}]}));
    push(&client, json!({"changes": [create]})).await;
    let page = |selected: &str| format!("{{ changesSince {{ changes {{ type {selected} }} }} }}");
    for (query, path, expected) in [
        (
            page("document { __typename ... on Memo { name } }"),
            "/changesSince/changes/0",
            json!({"type": "Memo", "document": {"__typename": "Memo", "name": "one"}}),
        ),
        (
            page("document { ... on Memo { name } ... on Note { t: __typename } }"),
            "/changesSince/changes/0",
            json!({"type": "Note", "document": {"name": "one", "t": "Note"}}),
        ),
        (
            page("document { ...F }") + " fragment F on Memo { name }",
            "/changesSince/changes/0",
            json!({"type": "Memo", "document": {"name": "one"}}),
        ),
        (
            "{ memo(id: \"a\") { __typename name } }".to_owned(),
            "/memo",
            json!({"__typename": "Memo", "name": "one"}),
        ),
        (
            "{ ... { memo(id: \"a\") { t: __typename } } }".to_owned(),
            "/memo",
            json!({"t": "Memo"}),
        ),
        (
            "{ ...F } fragment F on Query { memo(id: \"a\") { __typename } }".to_owned(),
            "/memo",
            json!({"__typename": "Memo"}),
        ),
        (
            "{ memo(id: \"a\") { __typename } note(id: \"a\") { __typename } }".to_owned(),
            "/memo",
            json!({"__typename": "Note"}),
        ),
        (
            "{ memo: note(id: \"a\") { __typename parts { __typename } } }".to_owned(),
            "/memo",
            json!({"__typename": "Note", "parts": [{"__typename": "Part"}]}),
        ),
    ] {
        let data = client.data(&query, json!({})).await;
        assert_eq!(data.pointer(path), Some(&expected), "{query}");
    }
    // The types of variables are called by either name.
    let query = "mutation($set: MemoPatch!, $more: [[MemoChange!]]) { pushChanges(input: {changes: [{memo: {update: {id: \"a\", baseVersion: 1, set: $set}}}]}) { results { type status document { __typename } } } }";
    let code = client.code(query, json!({"set": {}})).await;
    assert_eq!(code, "GRAPHQL_VALIDATION_FAILED", "a variable is not used");
    let query = query.replace(", $more: [[MemoChange!]]", "");
    let data = client.data(&query, json!({"set": {"name": "two"}})).await;
    let expected = json!({"type": "Memo", "status": "APPLIED", "document": {"__typename": "Memo"}});
    assert_eq!(data["pushChanges"]["results"][0], expected);
    // What no type is or was called is as unknown as before.
    for query in [
        "{ memos(id: \"a\") { id } }",
        "{ changesSince { changes { document { ... on Momo { id } } } } }",
        "mutation { memo(id: \"a\") { id } }",
    ] {
        assert_eq!(
            client.code(query, json!({})).await,
            "GRAPHQL_VALIDATION_FAILED"
        );
    }
}

#[tokio::test]
async fn a_type_renamed_twice_keeps_its_documents_and_the_name_before() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let client = server.client("alice");
        push(
            &client,
            json!({"changes": [create("a", json!({"title": "one"}))]}),
        )
        .await;
        let page = "{ changesSince { checkpoint } }";
        let checkpoint = client.data(page, json!({})).await["changesSince"]["checkpoint"].take();
        server.stop();
        let again = MODEL.replace("type Note", "type Card").replace(
            "@renamed(from: \"Memo\")",
            "@renamed(from: \"Note\", stored: \"Memo\")",
        );
        let settled = again.replace("from: \"Note\", ", "");
        for (model, query) in [
            (&again, "{ note(id: \"a\") { __typename title } }"),
            (&again, "{ card(id: \"a\") { __typename title } }"),
            (&settled, "{ card(id: \"a\") { __typename title } }"),
        ] {
            let server = place.serve(model);
            let client = client.at(&server);
            let data = client.data(query, json!({})).await;
            let name = if query.contains("note") {
                "Note"
            } else {
                "Card"
            };
            let root = name.to_lowercase();
            assert_eq!(data[root], json!({"__typename": name, "title": "one"}));
            let page = "query($c: Checkpoint) { changesSince(checkpoint: $c) { reset changes { documentId } } }";
            let pulled = client.data(page, json!({"c": checkpoint})).await["changesSince"].take();
            assert_eq!(pulled, json!({"reset": false, "changes": []}));
            server.stop();
        }
    }
}
