//! `@unique` through the real binary on both stores: who gets a value, what becomes of the others, and what foreign
//! duplicates do.

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value as Json, json};

use crate::{
    evolution::{Place, outcomes, push},
    harness::{
        Client, complaint,
        mongod::{Deployment, until},
    },
};

const MODEL: &str = r#"extend schema @grant(scope: "team:{teams}", access: WRITE)
type Part @collection(name: "parts") @scope(by: "team:{team}")
  @unique(fields: ["code"], within: ALL) @unique(fields: ["shelf", "place"]) {
  id: ID!
  team: String!
  code: String
  shelf: String
  place: Int
}
type Slot @collection(name: "slots") @scope(by: "team:{team}") @conflict(policy: MANUAL) @unique(fields: ["code"]) {
  id: ID!
  team: String!
  code: String!
}
"#;

/// The same without what has to be unique.
fn without_uniques() -> String {
    let mut text = MODEL.to_owned();
    while let Some(from) = text.find("@unique(") {
        let to = from + text[from..].find(')').unwrap();
        text.replace_range(from..=to, "");
    }
    text
}

fn team(client_of: &str, server: &crate::harness::Server, teams: &[&str]) -> Client {
    server.client_with(client_of, &json!({ "teams": teams }))
}

fn part(id: &str, fields: Json) -> Json {
    let mut document = json!({"team": "red"});
    let fields = fields.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(fields);
    json!({"part": {"create": {"id": id, "document": document}}})
}

fn change(id: &str, base: i64, set: Json) -> Json {
    json!({"part": {"update": {"id": id, "baseVersion": base, "set": set}}})
}

fn delete(id: &str, base: i64) -> Json {
    json!({"part": {"delete": {"id": id, "baseVersion": base}}})
}

/// What becomes of changes in one push.
async fn pushed(client: &Client, changes: &[Json]) -> Vec<String> {
    outcomes(&push(client, json!({ "changes": changes })).await)
}

const APPLIED: &str = "APPLIED";
const TAKEN: &str = "REJECTED NOT_UNIQUE code";

#[tokio::test]
async fn of_twins_made_offline_one_is_applied_and_the_other_rejected_and_kept_with_its_device() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let (alice, bob) = (
            team("alice", &server, &["red"]),
            team("bob", &server, &["blue", "red"]),
        );
        let epoch = alice.epoch().await;
        let numbered = |client: &str, changes: Json| json!({"client": {"id": client, "firstMutationId": 1}, "epoch": epoch, "changes": changes});
        let of_alice = numbered("phone", json!([part("a", json!({"code": "X"}))]));
        let of_bob = numbered(
            "laptop",
            json!([
                {"part": {"create": {"id": "b", "document": {"team": "blue", "code": "X"}}}},
                change("b", 0, json!({"shelf": "top"})),
                part("c", json!({"code": "Y"})),
            ]),
        );
        assert_eq!(outcomes(&push(&alice, of_alice).await), [APPLIED]);
        let first = push(&bob, of_bob.clone()).await;
        assert_eq!(outcomes(&first), [TAKEN, "CONFLICT", APPLIED]);
        // A lost answer is asked for again, and nothing is decided twice.
        let again = push(&bob, of_bob).await;
        assert_eq!(outcomes(&again), outcomes(&first));
        assert_eq!(again[0]["duplicate"], true);
        let message = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { error { message } } } }";
        let twin = json!({"input": {"changes": [part("d", json!({"shelf": "s", "place": 1})), part("e", json!({"shelf": "s", "place": 1}))]}});
        let data = bob.data(message, twin).await;
        let why = &data["pushChanges"]["results"][1]["error"]["message"];
        assert_eq!(
            why,
            "another document in this scope has the same `shelf` and `place`"
        );
        // The device sends it again with another value.
        let retried = [part("b", json!({"code": "Z", "shelf": "top"}))];
        assert_eq!(pushed(&bob, &retried).await, [APPLIED]);
    }
}

#[tokio::test]
async fn each_change_of_a_push_is_judged_over_those_before_it() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let alice = team("alice", &server, &["red"]);
        let created = [
            part("a", json!({"code": "A"})),
            part("b", json!({"code": "B"})),
        ];
        assert_eq!(pushed(&alice, &created).await, [APPLIED; 2]);
        // A swap comes to a state between in which both have one value.
        let swap = [
            change("a", 1, json!({"code": "B"})),
            change("b", 1, json!({"code": "A"})),
        ];
        assert_eq!(pushed(&alice, &swap).await, [TAKEN; 2]);
        let whole = push(&alice, json!({"changes": swap, "atomic": true})).await;
        assert_eq!(outcomes(&whole), [TAKEN; 2]);
        // By way of null or a free value it is possible, in one transaction too.
        let by_null = json!([
            change("a", 1, json!({"code": null})),
            change("b", 1, json!({"code": "A"})),
            change("a", 2, json!({"code": "B"})),
        ]);
        let swapped = push(&alice, json!({"changes": by_null, "atomic": true})).await;
        assert_eq!(outcomes(&swapped), [APPLIED; 3]);
        // A value that a change leaves is free for the next one, whatever the order of the ids.
        let passed = [
            change("b", 2, json!({"code": "C"})),
            change("a", 3, json!({"code": "A"})),
            part("0", json!({"code": "B"})),
        ];
        assert_eq!(pushed(&alice, &passed).await, [APPLIED; 3]);
        let twice = [
            part("x", json!({"code": "D"})),
            part("y", json!({"code": "D"})),
        ];
        assert_eq!(pushed(&alice, &twice).await, [APPLIED, TAKEN]);
        // An atomic push that fails leaves no value taken.
        let failing = json!({"changes": [part("z", json!({"code": "E"})), part("w", json!({"code": "A"}))], "atomic": true});
        let failed = outcomes(&push(&alice, failing).await);
        assert_eq!(failed, ["REJECTED ATOMIC_ABORTED", TAKEN]);
        assert_eq!(
            pushed(&alice, &[part("v", json!({"code": "E"}))]).await,
            [APPLIED]
        );
        // What has the value keeps it through edits, and a create that equals what is there changes nothing.
        let kept = [
            change("v", 1, json!({"code": "E", "shelf": "top"})),
            part("v", json!({"code": "E", "shelf": "top"})),
        ];
        assert_eq!(pushed(&alice, &kept).await, [APPLIED; 2]);
    }
}

#[tokio::test]
async fn a_deleted_document_frees_its_value_and_gets_it_back_only_if_it_is_free() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let alice = team("alice", &server, &["red", "blue"]);
        assert_eq!(
            pushed(&alice, &[part("a", json!({"code": "A"}))]).await,
            [APPLIED]
        );
        assert_eq!(
            pushed(&alice, &[delete("a", 1), part("b", json!({"code": "A"}))]).await,
            [APPLIED; 2]
        );
        let again = json!({"part": {"create": {"id": "a", "baseVersion": 2, "document": {"team": "red", "code": "A"}}}});
        assert_eq!(pushed(&alice, std::slice::from_ref(&again)).await, [TAKEN]);
        assert_eq!(pushed(&alice, &[delete("b", 1), again]).await, [APPLIED; 2]);
        // Of a scope: a document that moves meets those that are there.
        let spot = json!({"shelf": "top", "place": 1});
        let blue = json!({"part": {"create": {"id": "blue", "document": {"team": "blue", "shelf": "top", "place": 1}}}});
        assert_eq!(
            pushed(&alice, &[part("red", spot), blue]).await,
            [APPLIED; 2]
        );
        let moved = [change("red", 1, json!({"team": "blue"}))];
        assert_eq!(pushed(&alice, &moved).await, ["REJECTED NOT_UNIQUE shelf"]);
        let moved = [change("red", 1, json!({"team": "blue", "place": 2}))];
        assert_eq!(pushed(&alice, &moved).await, [APPLIED]);
        // Null is no value, and absence is none either.
        let none = [
            part("n1", json!({"code": null, "shelf": "low"})),
            part("n2", json!({"code": null, "shelf": "low"})),
            part("n3", json!({"shelf": "low", "place": null})),
        ];
        assert_eq!(pushed(&alice, &none).await, [APPLIED; 3]);
    }
}

#[tokio::test]
async fn a_merge_that_would_make_a_duplicate_is_rejected_whole() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let (alice, bob) = (
            team("alice", &server, &["red"]),
            team("bob", &server, &["red"]),
        );
        let created = [
            part("a", json!({"shelf": "top", "place": 1})),
            part("b", json!({"shelf": "low", "place": 2})),
        ];
        assert_eq!(pushed(&alice, &created).await, [APPLIED; 2]);
        // Each edit is good alone. Together they make the spot of the other document.
        assert_eq!(
            pushed(&alice, &[change("a", 1, json!({"shelf": "low"}))]).await,
            [APPLIED]
        );
        let stale = [change("a", 1, json!({"place": 2, "code": "mine"}))];
        assert_eq!(pushed(&bob, &stale).await, ["REJECTED NOT_UNIQUE shelf"]);
        let shown = bob
            .data(
                "{ part(id: \"a\") { syncVersion shelf place code } }",
                json!({}),
            )
            .await;
        assert_eq!(
            shown["part"],
            json!({"syncVersion": 2, "shelf": "low", "place": 1, "code": null})
        );
    }
}

#[tokio::test]
async fn a_resolution_that_would_make_a_duplicate_leaves_its_conflict_open() {
    for place in Place::each().await {
        let server = place.serve(MODEL);
        let (alice, bob) = (
            team("alice", &server, &["red"]),
            team("bob", &server, &["red"]),
        );
        let slot = |id: &str, code: &str| json!({"slot": {"create": {"id": id, "document": {"team": "red", "code": code}}}});
        let change = |base: i64, code: &str| json!({"slot": {"update": {"id": "s", "baseVersion": base, "set": {"code": code}}}});
        assert_eq!(pushed(&alice, &[slot("s", "1")]).await, [APPLIED]);
        assert_eq!(pushed(&alice, &[change(1, "2")]).await, [APPLIED]);
        assert_eq!(pushed(&bob, &[change(1, "3")]).await, ["CONFLICT"]);
        assert_eq!(pushed(&alice, &[slot("t", "3")]).await, [APPLIED]);
        let open = async || {
            let inbox = bob.data("{ conflicts { nodes { id } } }", json!({})).await;
            inbox["conflicts"]["nodes"].as_array().unwrap().clone()
        };
        let conflict = open().await[0]["id"].clone();
        let resolve = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status error { code field } } } }";
        let mine = json!({"input": {"conflictId": conflict, "baseVersion": 2, "resolution": {"take": "MINE"}}});
        let answer = bob.data(resolve, mine.clone()).await;
        let result = &answer["resolveConflict"]["result"];
        assert_eq!(
            *result,
            json!({"status": "REJECTED", "error": {"code": "NOT_UNIQUE", "field": "code"}})
        );
        assert_eq!(open().await.len(), 1);
        let freed = json!({"slot": {"delete": {"id": "t", "baseVersion": 1}}});
        assert_eq!(pushed(&alice, &[freed]).await, [APPLIED]);
        let answer = bob.data(resolve, mine).await;
        assert_eq!(answer["resolveConflict"]["result"]["status"], APPLIED);
        assert_eq!(open().await.len(), 0);
    }
}

#[tokio::test]
async fn two_gateways_give_each_value_to_one_of_many_who_ask_at_once() {
    let [_, place] = Place::each().await;
    let servers = [place.serve(MODEL), place.serve(MODEL)];
    let clients: Vec<Client> = (0..12)
        .map(|n| {
            team(
                &format!("user-{n}"),
                &servers[n % 2],
                &[&format!("team-{n}")],
            )
        })
        .collect();
    for round in 0..5 {
        let code = format!("round-{round}");
        let asks = clients.iter().enumerate().map(|(n, client)| {
            let document = json!({"team": format!("team-{n}"), "code": code});
            let create =
                json!({"part": {"create": {"id": format!("{round}-{n}"), "document": document}}});
            async move { pushed(client, &[create]).await.remove(0) }
        });
        let results = futures_util::future::join_all(asks).await;
        let applied = results.iter().filter(|it| *it == APPLIED).count();
        let taken = results.iter().filter(|it| *it == TAKEN).count();
        assert_eq!((applied, taken), (1, 11), "{results:?}");
    }
}

/// The collection of an application, beside its gateway on MongoDB.
async fn parts(place: &Place) -> Collection<Document> {
    let client = Deployment::shared().await.client().await;
    client
        .database(place.database.as_deref().unwrap())
        .collection("parts")
}

/// Waits until a document shows this code, or `None` if it is not shown.
async fn until_code(client: &Client, id: &str, code: Option<&str>) {
    let query = "query($id: ID!) { part(id: $id) { code } }";
    until(&format!("{id} with {code:?}"), async || {
        let shown = client.data(query, json!({ "id": id })).await["part"].take();
        let shown = shown.get("code").and_then(Json::as_str);
        (shown == code).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_duplicate_is_withheld_with_its_reason_until_the_value_is_free() {
    let [_, place] = Place::each().await;
    let server = place.serve(MODEL);
    let (alice, parts) = (team("alice", &server, &["red"]), parts(&place).await);
    assert_eq!(
        pushed(&alice, &[part("a", json!({"code": "A"}))]).await,
        [APPLIED]
    );
    let foreign = [
        doc! {"_id": "twin", "team": "red", "code": "A"},
        doc! {"_id": "other", "team": "red", "code": "B"},
    ];
    parts.insert_many(foreign).await.unwrap();
    until_code(&alice, "other", Some("B")).await;
    let misfits: Collection<Document> = Deployment::shared()
        .await
        .client()
        .await
        .database(place.database.as_deref().unwrap())
        .collection("tidegate.misfits");
    let record = until("a record", async || {
        misfits.find_one(doc! {"_id.id": "twin"}).await.unwrap()
    })
    .await;
    let recorded = ["path", "problem"].map(|name| record.get_str(name).unwrap());
    assert_eq!(recorded, ["code", "another document has the same `code`"]);
    until_code(&alice, "twin", None).await;
    // A push that meets it is refused, and names the field.
    let met = pushed(&alice, &[change("twin", 1, json!({"shelf": "top"}))]).await;
    assert_eq!(met, ["REJECTED INVALID_VALUE code"]);
    // A push frees the value, and the document comes.
    assert_eq!(
        pushed(&alice, &[change("a", 1, json!({"code": "C"}))]).await,
        [APPLIED]
    );
    until_code(&alice, "twin", Some("A")).await;
    assert_eq!(misfits.count_documents(doc! {}).await.unwrap(), 0);
    // A service takes a value that a document has: it leaves devices. A delete by a service frees it.
    parts
        .update_one(doc! {"_id": "other"}, doc! {"$set": {"code": "A"}})
        .await
        .unwrap();
    until_code(&alice, "other", None).await;
    assert_eq!(
        pushed(&alice, &[part("b", json!({"code": "B"}))]).await,
        [APPLIED],
        "it left B"
    );
    parts.delete_one(doc! {"_id": "twin"}).await.unwrap();
    until_code(&alice, "other", Some("A")).await;
    // A service that swaps two values leaves both documents shown.
    for (id, code) in [("other", "B"), ("b", "A")] {
        parts
            .update_one(doc! {"_id": id}, doc! {"$set": {"code": code}})
            .await
            .unwrap();
    }
    until_code(&alice, "other", Some("B")).await;
    until_code(&alice, "b", Some("A")).await;
    assert_eq!(misfits.count_documents(doc! {}).await.unwrap(), 0);
}

#[tokio::test]
async fn a_start_is_refused_while_stored_documents_have_what_the_model_makes_unique() {
    for place in Place::each().await {
        let server = place.serve(&without_uniques());
        let alice = team("alice", &server, &["red", "blue"]);
        let blue = json!({"part": {"create": {"id": "blue", "document": {"team": "blue", "code": "A", "shelf": "s", "place": 1}}}});
        let created = [
            part("a", json!({"code": "A", "shelf": "s", "place": 1})),
            blue,
            part("null", json!({})),
            part("none", json!({})),
        ];
        assert_eq!(pushed(&alice, &created).await, [APPLIED; 4]);
        server.stop();
        let directory = place.directory.path();
        std::fs::write(directory.join("model.graphql"), MODEL).unwrap();
        let refused = complaint(
            directory,
            &[
                "dev",
                "--store",
                &place.url,
                "--model",
                "model.graphql",
                "--listen",
                "127.0.0.1:0",
            ],
        );
        assert!(
            refused.contains("Part/blue and a: the same code")
                || refused.contains("Part/a and blue: the same code"),
            "{refused}"
        );
        assert!(
            !refused.contains("shelf"),
            "they are in two scopes: {refused}"
        );
        let server = place.serve(&without_uniques());
        let alice = team("alice", &server, &["red", "blue"]);
        assert_eq!(
            pushed(&alice, &[change("a", 1, json!({"code": "B"}))]).await,
            [APPLIED]
        );
        server.stop();
        let server = place.serve(MODEL);
        let alice = team("alice", &server, &["red", "blue"]);
        assert_eq!(
            pushed(&alice, &[part("c", json!({"code": "A"}))]).await,
            [TAKEN]
        );
        server.stop();
        // The next model has no such rule any more. The index goes with the last gateway that used it.
        let server = place.serve(&without_uniques());
        let alice = team("alice", &server, &["red"]);
        if place.database.is_none() {
            assert_eq!(
                pushed(&alice, &[part("c", json!({"code": "A"}))]).await,
                [APPLIED]
            );
        }
    }
}

#[tokio::test]
async fn a_gateway_of_a_model_that_does_not_know_what_is_unique_writes_no_duplicate_and_serves_the_rest()
 {
    let [_, place] = Place::each().await;
    let older = place.serve(&without_uniques());
    let newer = place.serve(MODEL);
    let (alice, bob) = (
        team("alice", &older, &["red"]),
        team("bob", &newer, &["red"]),
    );
    assert_eq!(
        pushed(&bob, &[part("a", json!({"code": "A"}))]).await,
        [APPLIED]
    );
    let mutation =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let twin = json!({"input": {"changes": [part("twin", json!({"code": "A"}))]}});
    let other = [part("b", json!({"code": "B"}))];
    let (refused, applied) = tokio::join!(alice.code(mutation, twin), pushed(&alice, &other));
    assert_eq!(refused, "SERVICE_UNAVAILABLE");
    assert_eq!(applied, [APPLIED]);
    // What it wrote counts at the other gateway.
    assert_eq!(
        pushed(&bob, &[part("c", json!({"code": "B"}))]).await,
        [TAKEN]
    );
}
