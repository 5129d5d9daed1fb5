//! `@retired`: what is retired stays in the API and in the store. It reads as nothing, and takes no writes.

use mongodb::bson::Document as Bson;
use serde_json::{Value as Json, json};

use super::{Place, outcomes, push};
use crate::harness::{Client, Server, answer, mongod::Deployment};

/// A model in which `RETIRED` marks what is retired in the second one.
const MODEL: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Note @collection(name: "notes") @scope(by: "user:{owner}") @conflict(policy: MERGE, clientMayChoose: [CLIENT_WINS, MANUAL]) {
  id: ID!
  owner: ID! @default(value: "{sub}")
  title: String
  extra: String RETIRED
  rank: Int! @default(value: 3) RETIRED
  count: Int @merge(with: COUNTER) RETIRED
  color: Color
  colors: [Color!]
  part: Part
  parts: [Part!]
  link: Note @reference(by: "linkId") RETIRED
  linkId: ID RETIRED
}
type Part {
  label: String @merge(with: CLIENT)
  code: String RETIRED
  size: Int! @default(value: 1) RETIRED
  color: Color
}
enum Color { RED RETIRED GREEN }
type Memo @collection(name: "memos") @scope(by: "user:{owner}") RETIRED { id: ID! owner: ID! @default(value: "{sub}") text: String }
"#;

/// Serves the model, with or without what is retired.
fn serve(place: &Place, retired: bool) -> Server {
    place.serve(&MODEL.replace("RETIRED", if retired { "@retired" } else { "" }))
}

const NOTE: &str = "title extra rank count color colors part { label code size color } parts { label code size color } link { id } linkId";

async fn note(client: &Client, id: &str) -> Json {
    let query = format!("query($id: ID!) {{ note(id: $id) {{ {NOTE} }} }}");
    client.data(&query, json!({"id": id})).await["note"].take()
}

fn create(id: &str, document: Json) -> Json {
    json!({"note": {"create": {"id": id, "document": document}}})
}

fn update(id: &str, base: i64, set: Json) -> Json {
    json!({"note": {"update": {"id": id, "baseVersion": base, "set": set}}})
}

fn update_from(id: &str, base: i64, seen: Json, set: Json) -> Json {
    json!({"note": {"update": {"id": id, "baseVersion": base, "base": seen, "set": set}}})
}

/// A note with a value in every field.
fn full() -> Json {
    let part = json!({"label": "x", "code": "c", "size": 7, "color": "RED"});
    json!({
        "title": "one", "extra": "e", "rank": 9, "count": 5, "color": "RED", "colors": ["RED", "GREEN"],
        "part": part, "parts": [part, {"label": "y", "code": "d", "size": 8, "color": "GREEN"}], "linkId": "a",
    })
}

/// The same as it is shown by a model that has retired nothing.
fn shown() -> Json {
    let mut shown = full();
    shown["link"] = json!({"id": "a"});
    shown
}

async fn pushed(client: &Client, change: Json) -> String {
    outcomes(&push(client, json!({"changes": [change]})).await).remove(0)
}

#[tokio::test]
async fn what_is_retired_reads_as_null_or_its_default_and_stays_stored() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let client = server.client("alice");
        assert_eq!(pushed(&client, create("a", full())).await, "APPLIED");
        assert_eq!(note(&client, "a").await, shown());
        server.stop();

        let server = serve(&place, true);
        let client = client.at(&server);
        let part = |label: &str, color: &str| json!({"label": label, "code": null, "size": 1, "color": color});
        let retired = json!({
            "title": "one", "extra": null, "rank": 3, "count": null, "color": "RED", "colors": ["RED", "GREEN"],
            "part": part("x", "RED"), "parts": [part("x", "RED"), part("y", "GREEN")], "link": null, "linkId": null,
        });
        assert_eq!(note(&client, "a").await, retired);
        let page = "{ changesSince { changes { document { ... on Note { extra rank part { code size } } } } } }";
        let document =
            client.data(page, json!({})).await["changesSince"]["changes"][0]["document"].take();
        assert_eq!(
            document,
            json!({"extra": null, "rank": 3, "part": {"code": null, "size": 1}})
        );
        // An edit of the rest touches nothing of it.
        assert_eq!(
            pushed(&client, update("a", 1, json!({"title": "two"}))).await,
            "APPLIED"
        );
        server.stop();

        let server = serve(&place, false);
        let mut expected = shown();
        expected["title"] = json!("two");
        assert_eq!(note(&client.at(&server), "a").await, expected);
    }
}

#[tokio::test]
async fn a_write_to_what_is_retired_is_rejected_alone_unless_it_changes_nothing() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let client = server.client("alice");
        assert_eq!(pushed(&client, create("a", full())).await, "APPLIED");
        server.stop();
        let server = serve(&place, true);
        let client = client.at(&server);
        for (set, seen, expected) in [
            (json!({"extra": "other"}), None, "REJECTED RETIRED extra"),
            (json!({"rank": 4}), None, "REJECTED RETIRED rank"),
            (
                json!({"count": 6}),
                Some(json!({"count": 5})),
                "REJECTED RETIRED count",
            ),
            (json!({"linkId": "b"}), None, "REJECTED RETIRED linkId"),
            (
                json!({"colors": ["GREEN"], "extra": "other"}),
                Some(json!({"extra": "e"})),
                "REJECTED RETIRED extra",
            ),
            (
                json!({"part": {"label": "x", "code": "z"}}),
                None,
                "REJECTED RETIRED part.code",
            ),
            (
                json!({"parts": [{"label": "x"}, {"size": 2}]}),
                None,
                "REJECTED RETIRED parts[1].size",
            ),
            // Null, the default, what `base` says, and what is stored.
            (
                json!({"part": {"label": "y", "color": "RED"}}),
                None,
                "APPLIED",
            ),
            (json!({"extra": null}), None, "APPLIED"),
            (json!({"rank": 3}), None, "APPLIED"),
            (
                json!({"rank": 9, "extra": "e", "count": 5, "linkId": "a"}),
                None,
                "APPLIED",
            ),
            (
                json!({"extra": "seen"}),
                Some(json!({"extra": "seen"})),
                "APPLIED",
            ),
            (
                json!({"part": {"label": "x", "code": "seen"}}),
                Some(json!({"part": {"label": "x", "code": "seen"}})),
                "APPLIED",
            ),
            (json!({"color": "RED"}), None, "APPLIED"),
            (json!({"color": "GREEN"}), None, "APPLIED"),
            // The value is gone, and cannot come back.
            (json!({"color": "RED"}), None, "REJECTED RETIRED color"),
            (
                json!({"color": "RED"}),
                Some(json!({"color": "RED"})),
                "APPLIED",
            ),
            (
                json!({"colors": ["GREEN", "RED", "GREEN"]}),
                None,
                "APPLIED",
            ),
            (
                json!({"part": {"color": "RED"}}),
                None,
                "REJECTED RETIRED part.color",
            ),
            (
                json!({"parts": [{"label": "y", "color": "GREEN"}, {"label": "x", "color": "RED"}]}),
                None,
                "APPLIED",
            ),
            (json!({"colors": []}), None, "APPLIED"),
            (
                json!({"colors": ["RED"]}),
                None,
                "REJECTED RETIRED colors[0]",
            ),
        ] {
            let version = client
                .data("{ note(id: \"a\") { syncVersion } }", json!({}))
                .await["note"]["syncVersion"]
                .as_i64();
            let change = match seen {
                Some(seen) => update_from("a", version.unwrap(), seen, set.clone()),
                None => update("a", version.unwrap(), set.clone()),
            };
            assert_eq!(pushed(&client, change).await, expected, "{set}");
        }
        let changes = json!([
            create("b", json!({"title": "b", "extra": "x"})),
            create("c", json!({"title": "c", "rank": 4})),
            create("d", json!({"title": "d", "color": "RED"})),
            create("e", json!({"title": "e", "parts": [{"code": "x"}]})),
            create(
                "f",
                json!({"title": "f", "extra": null, "rank": 3, "count": null, "parts": [{"code": null, "size": 1}], "color": "GREEN"})
            ),
            update("missing", 1, json!({"extra": "x"})),
            update("missing", 1, json!({"extra": null})),
            update("f", 0, json!({"title": "F"})),
        ]);
        let results = push(&client, json!({"changes": changes})).await;
        let expected = [
            "REJECTED RETIRED extra",
            "REJECTED RETIRED rank",
            "REJECTED RETIRED color",
            "REJECTED RETIRED parts[0].code",
            "APPLIED",
            "REJECTED RETIRED extra",
            "REJECTED NOT_FOUND",
            "REJECTED VERSION_UNKNOWN",
        ];
        assert_eq!(outcomes(&results)[..7], expected[..7]);
        server.stop();

        // What was left alone is there when the model is back.
        let server = serve(&place, false);
        let client = client.at(&server);
        let mut stored = note(&client, "a").await;
        let kept = ["extra", "rank", "count", "linkId"].map(|field| stored[field].take());
        assert_eq!(kept, [json!("e"), json!(9), json!(5), json!("a")]);
        let created = note(&client, "f").await;
        assert_eq!(created["rank"], 3);
        assert_eq!(created["parts"][0]["size"], 1);
    }
}

#[tokio::test]
async fn an_edit_of_an_embedded_document_keeps_what_is_retired_in_it() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let client = server.client("alice");
        assert_eq!(pushed(&client, create("a", full())).await, "APPLIED");
        server.stop();
        let server = serve(&place, true);
        let client = client.at(&server);
        // An app sends what it reads: null and the default in the place of what is stored.
        let read = |label: &str, color: &str| json!({"label": label, "code": null, "size": 1, "color": color});
        let set =
            json!({"part": read("edited", "RED"), "parts": [read("y", "GREEN"), read("x", "RED")]});
        assert_eq!(pushed(&client, update("a", 1, set)).await, "APPLIED");
        // Nothing says which part it is, and what is retired in it would be lost.
        let set = json!({"parts": [read("y", "GREEN"), read("edited", "RED")]});
        let unidentified = "REJECTED ITEM_UNIDENTIFIED parts";
        assert_eq!(pushed(&client, update("a", 2, set)).await, unidentified);
        // What has not changed is no edit.
        let epoch = client.epoch().await;
        let same = json!({"title": "one", "part": read("edited", "RED")});
        let again = json!({
            "client": {"id": "late", "firstMutationId": 1}, "epoch": epoch,
            "changes": [update("a", 1, same)],
        });
        assert_eq!(outcomes(&push(&client, again).await), ["MERGED"]);
        server.stop();

        let server = serve(&place, false);
        let stored = note(&client.at(&server), "a").await;
        let part = |label: &str, code: &str, size: i64, color: &str| json!({"label": label, "code": code, "size": size, "color": color});
        assert_eq!(stored["part"], part("edited", "c", 7, "RED"));
        let parts = json!([part("y", "d", 8, "GREEN"), part("x", "c", 7, "RED")]);
        assert_eq!(stored["parts"], parts);
    }
}

#[tokio::test]
async fn a_retired_value_is_no_hint_that_a_document_out_of_sight_has_it() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let (alice, mallory) = (server.client("alice"), server.client("mallory"));
        assert_eq!(pushed(&alice, create("a", full())).await, "APPLIED");
        server.stop();
        let server = serve(&place, true);
        let mallory = mallory.at(&server);
        for guess in [
            json!({"extra": "e"}),
            json!({"extra": "f"}),
            json!({"color": "RED"}),
            json!({"part": {"code": "c"}}),
        ] {
            let of_hers = pushed(&mallory, update("a", 1, guess.clone())).await;
            let of_none = pushed(&mallory, update("none", 1, guess)).await;
            assert_eq!(of_hers, of_none);
            assert!(of_hers.starts_with("REJECTED RETIRED"), "{of_hers}");
        }
    }
}

#[tokio::test]
async fn a_form_that_sends_every_field_merges_what_is_not_retired() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let (alice, bob) = (server.client("alice"), server.client("alice"));
        assert_eq!(pushed(&alice, create("a", full())).await, "APPLIED");
        server.stop();
        let server = serve(&place, true);
        let (alice, bob) = (alice.at(&server), bob.at(&server));
        assert_eq!(
            pushed(&bob, update("a", 1, json!({"title": "Bob's"}))).await,
            "APPLIED"
        );
        let epoch = alice.epoch().await;
        let mut set = full();
        set["part"]["label"] = json!("form");
        let form = json!({
            "client": {"id": "form", "firstMutationId": 1}, "epoch": epoch,
            "changes": [update_from("a", 1, full(), set)],
        });
        assert_eq!(outcomes(&push(&alice, form).await), ["MERGED"]);
        server.stop();
        let server = serve(&place, false);
        let mut expected = shown();
        expected["part"]["label"] = json!("form");
        let stored = note(&alice.at(&server), "a").await;
        assert_eq!(stored["part"], expected["part"], "{stored}");
        assert_eq!(stored["extra"], "e");
        assert_eq!(stored["count"], 5);
    }
}

#[tokio::test]
async fn conflicts_are_resolved_without_what_is_retired() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let client = server.client("alice");
        for id in ["a", "b"] {
            assert_eq!(pushed(&client, create(id, full())).await, "APPLIED");
            assert_eq!(
                pushed(&client, update(id, 1, json!({"title": "theirs"}))).await,
                "APPLIED"
            );
            let late = update(
                id,
                1,
                json!({"title": "mine", "extra": "mine", "part": {"label": "mine", "code": "mine"}}),
            );
            let pushed = push(&client, json!({"policy": "MANUAL", "changes": [late]})).await;
            assert_eq!(outcomes(&pushed), ["CONFLICT"]);
        }
        server.stop();
        let server = serve(&place, true);
        let client = client.at(&server);
        let query = "{ conflicts { nodes { id documentId currentVersion mine { ... on SyncNoteState { title extra rank part { label code } } } } } }";
        let conflicts = client.data(query, json!({})).await["conflicts"]["nodes"].take();
        let mine = json!({"title": "mine", "extra": null, "rank": null, "part": {"label": "mine", "code": null}});
        assert_eq!(conflicts[0]["mine"], mine);
        let resolve = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status error { code field } } } }";
        let resolved = async |conflict: &Json, resolution: Json| {
            let input = json!({"conflictId": conflict["id"], "baseVersion": conflict["currentVersion"], "resolution": resolution});
            client.data(resolve, json!({"input": input})).await["resolveConflict"]["result"].take()
        };
        let applied = json!({"status": "APPLIED", "error": null});
        assert_eq!(
            resolved(&conflicts[0], json!({"take": "MINE"})).await,
            applied
        );
        let refused = resolved(&conflicts[1], json!({"note": {"extra": "other"}})).await;
        assert_eq!(
            refused,
            json!({"status": "REJECTED", "error": {"code": "RETIRED", "field": "extra"}})
        );
        assert_eq!(
            resolved(
                &conflicts[1],
                json!({"note": {"title": "both", "extra": null}})
            )
            .await,
            applied
        );
        server.stop();

        let server = serve(&place, false);
        let client = client.at(&server);
        for (id, title) in [("a", "mine"), ("b", "both")] {
            let stored = note(&client, id).await;
            assert_eq!(stored["title"], title);
            assert_eq!(stored["extra"], "e");
        }
    }
}

#[tokio::test]
async fn documents_of_a_retired_type_are_on_no_page_and_take_no_changes() {
    for place in Place::each().await {
        let server = serve(&place, false);
        let client = server.client("alice");
        let memo = |id: &str, verb: &str, of: Json| {
            let mut change = of;
            change["id"] = json!(id);
            json!({"memo": {verb: change}})
        };
        let created = memo("a", "create", json!({"document": {"text": "one"}}));
        let results = push(
            &client,
            json!({"changes": [created, create("n", json!({"title": "n"}))]}),
        )
        .await;
        assert_eq!(outcomes(&results), ["APPLIED", "APPLIED"]);
        let changes = "query($at: Checkpoint) { changesSince(checkpoint: $at) { checkpoint reset revokedScopes changes { kind type documentId } } }";
        let pulled = async |client: &Client, at: &Json| {
            let page = client.data(changes, json!({ "at": at })).await;
            page["changesSince"].clone()
        };
        let first = pulled(&client, &Json::Null).await;
        assert_eq!(first["changes"].as_array().unwrap().len(), 2);
        server.stop();

        let server = serve(&place, true);
        let client = client.at(&server);
        // A device keeps what it has: nothing revokes it.
        let beside = pulled(&client, &first["checkpoint"]).await;
        assert_eq!(
            (
                &beside["changes"],
                &beside["reset"],
                &beside["revokedScopes"]
            ),
            (&json!([]), &json!(false), &json!([]))
        );
        let changes = json!([
            memo("b", "create", json!({"document": {"text": "two"}})),
            memo(
                "a",
                "update",
                json!({"baseVersion": 1, "set": {"text": "one"}})
            ),
            memo("a", "delete", json!({"baseVersion": 1})),
            memo("none", "delete", json!({"baseVersion": 1})),
            update("n", 1, json!({"title": "N"})),
        ]);
        let results = push(&client, json!({"changes": changes})).await;
        let retired = "REJECTED RETIRED";
        assert_eq!(
            outcomes(&results),
            [retired, retired, retired, retired, "APPLIED"]
        );
        assert_eq!(results[1]["document"], Json::Null);
        assert_eq!(
            client.data("{ memo(id: \"a\") { text } }", json!({})).await,
            json!({"memo": null})
        );
        for arguments in ["", "(types: [Memo, Note])"] {
            let query = format!(
                "{{ changesSince{arguments} {{ hasMore changes {{ type documentId }} }} }}"
            );
            let page = client.data(&query, json!({})).await["changesSince"].take();
            assert_eq!(
                page["changes"],
                json!([{"type": "Note", "documentId": "n"}]),
                "{arguments}"
            );
        }
        let page = client
            .data(
                "{ changesSince(types: [Memo]) { hasMore changes { type } } }",
                json!({}),
            )
            .await;
        assert_eq!(
            page["changesSince"],
            json!({"hasMore": false, "changes": []})
        );

        // The collection may be gone: nothing waits for it.
        if let Some(database) = &place.database {
            let application = Deployment::shared().await.client().await;
            let memos = application.database(database).collection::<Bson>("memos");
            memos.drop().await.unwrap();
            let changes = json!([
                memo("a", "delete", json!({"baseVersion": 1})),
                memo("c", "create", json!({"document": {"text": "three"}})),
                update("n", 2, json!({"title": "n"})),
            ]);
            let results = push(&client, json!({"changes": changes})).await;
            assert_eq!(outcomes(&results), [retired, retired, "APPLIED"]);
            continue;
        }
        server.stop();

        let server = serve(&place, false);
        let client = client.at(&server);
        assert_eq!(
            client.data("{ memo(id: \"a\") { text } }", json!({})).await,
            json!({"memo": {"text": "one"}})
        );
        let back = pulled(&client, &beside["checkpoint"]).await;
        let edited = json!([{"kind": "UPSERT", "type": "Note", "documentId": "n"}]);
        assert_eq!((&back["changes"], &back["reset"]), (&edited, &json!(false)));
    }
}

#[tokio::test]
async fn retired_members_are_deprecated_in_the_schema_and_absent_from_ready_made_operations() {
    let [place, _] = Place::each().await;
    let directory = place.directory.path();
    std::fs::write(
        directory.join("model.graphql"),
        MODEL.replace("RETIRED", "@retired"),
    )
    .unwrap();
    let schema = answer(directory, &["schema"]);
    for line in [
        "extra: String @deprecated(reason: \"Retired.\")",
        "rank: Int! @deprecated(reason: \"Retired.\")",
        "rank: Int! = 3 @deprecated(reason: \"Retired.\")",
        "size: Int! = 1 @deprecated(reason: \"Retired.\")",
        "link: Note @deprecated(reason: \"Retired.\")",
        "RED @deprecated(reason: \"Retired.\")",
        "Memo @deprecated(reason: \"Retired.\")",
        "memo: MemoChange @deprecated(reason: \"Retired.\")",
        "): Memo @deprecated(reason: \"Retired.\")",
    ] {
        let has = schema.lines().any(|found| found.trim() == line);
        assert!(has, "{line}: {schema}");
    }
    let operations = answer(directory, &["operations"]);
    for retired in ["extra", "rank", "count", "size", "linkId", "Memo"] {
        let has = operations
            .lines()
            .any(|line| line.split_whitespace().any(|word| word == retired));
        assert!(!has, "{retired}: {operations}");
    }
    assert!(operations.contains("... on Note {"), "{operations}");
    let module = answer(directory, &["operations", "--typescript"]);
    let mut words = module.split(|letter: char| !letter.is_alphanumeric());
    let retired = ["extra", "rank", "count", "size", "linkId", "Memo", "RED"];
    assert_eq!(words.find(|word| retired.contains(word)), None, "{module}");
    assert!(module.contains("export interface Note "), "{module}");
}
