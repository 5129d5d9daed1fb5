//! A push that is sent again after the model has changed is the repeat that it is (rules.md 4.2).

use serde_json::{Value as Json, json};

use super::{Place, outcomes, push};
use crate::harness::Client;

const BEFORE: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "public") {
  id: ID!
  title: String!
  count: Int @merge(with: COUNTER)
  kind: String @default(value: "plain")
  due: DateTime
  extra: String
  rate: Int
  number: Int
  size: Size
  parts: [Part!]
}
type Part { label: String! }
enum Size { SMALL LARGE }
"#;

/// The same with new fields that have defaults, another default, other names, a retired field, and fields that hold more.
const AFTER: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Paper @collection(name: "notes") @scope(by: "public") @renamed(from: "Note") {
  id: ID!
  rank: Int! @default(value: 5)
  heading: String! @renamed(from: "title")
  sum: Int @merge(with: COUNTER) @renamed(from: "count")
  kind: String @default(value: "rich")
  due: DateTime
  extra: String @retired
  rate: Float
  number: ID
  size: String
  parts: [Part!]
}
type Part { weight: Int! @default(value: 1) text: String! @renamed(from: "label") }
"#;

fn numbered(first: i64, epoch: &str, changes: Json) -> Json {
    json!({"client": {"id": "phone", "firstMutationId": first}, "epoch": epoch, "changes": changes})
}

async fn version(client: &Client) -> Json {
    let page = client.data("{ changesSince { changes { version } } }", json!({}));
    page.await["changesSince"]["changes"].take()
}

#[tokio::test]
async fn a_push_sent_again_across_a_change_of_the_model_is_a_repeat() {
    for place in Place::each().await {
        let server = place.serve(BEFORE);
        let client = server.client("alice");
        let epoch = client.epoch().await;
        let create = json!({"note": {"create": {"id": "a", "document": {
            "title": "one", "count": 1, "rate": 2, "number": 3, "size": "LARGE", "extra": "e", "parts": [{"label": "x"}],
        }}}});
        let count = json!({"note": {"update": {"id": "a", "baseVersion": 0, "set": {"count": 2}, "base": {"count": 1}}}});
        let unreadable =
            json!({"note": {"update": {"id": "a", "baseVersion": 0, "set": {"due": "soon"}}}});
        let sent = numbered(1, &epoch, json!([create, count, unreadable]));
        let first = push(&client, sent.clone()).await;
        let expected = ["APPLIED", "APPLIED", "REJECTED INVALID_VALUE due"];
        assert_eq!(outcomes(&first), expected);
        server.stop();

        for model in [AFTER, BEFORE] {
            let server = place.serve(model);
            let client = client.at(&server);
            let again = push(&client, sent.clone()).await;
            assert_eq!(outcomes(&again), expected);
            let results = again.as_array().unwrap();
            assert!(results.iter().all(|it| it["duplicate"] == true), "{again}");
            assert_eq!(version(&client).await, json!([{"version": 2}]));

            // Another push with these ids is none.
            let mut other = sent.clone();
            other["changes"][0]["note"]["create"]["document"]["kind"] = json!("plain");
            let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
            let code = client.code(query, json!({"input": other})).await;
            assert_eq!(code, "MUTATION_ID_REUSED");
            server.stop();
        }
    }
}

#[tokio::test]
async fn defaults_are_filled_in_wherever_an_input_leaves_a_field_out() {
    for place in Place::each().await {
        let server = place.serve(AFTER);
        let client = server.client("alice");
        let create = |id: &str, document: Json| json!({"paper": {"create": {"id": id, "document": document}}});
        let parts = json!({"heading": "one", "parts": [{"text": "x"}, {"text": "y", "weight": 7}], "kind": null});
        let results = push(
            &client,
            json!({"changes": [create("a", json!({"heading": "one"})), create("b", parts)]}),
        )
        .await;
        assert_eq!(outcomes(&results), ["APPLIED", "APPLIED"]);
        let set = json!({"parts": [{"text": "z"}]});
        let update = json!({"paper": {"update": {"id": "a", "baseVersion": 1, "set": set}}});
        assert_eq!(
            outcomes(&push(&client, json!({"changes": [update]})).await),
            ["APPLIED"]
        );
        let query = "{ a: paper(id: \"a\") { rank kind parts { text weight } } b: paper(id: \"b\") { rank kind parts { text weight } } }";
        let shown = json!({
            "a": {"rank": 5, "kind": "rich", "parts": [{"text": "z", "weight": 1}]},
            "b": {"rank": 5, "kind": null, "parts": [{"text": "x", "weight": 1}, {"text": "y", "weight": 7}]},
        });
        assert_eq!(client.data(query, json!({})).await, shown);
    }
}

/// A resolution whose input has embedded documents with defaults, under a model with other ones, and back.
#[tokio::test]
async fn a_resolution_sent_again_across_a_change_of_the_model_is_a_repeat() {
    let manual = |model: &str| {
        model.replace(
            "@scope(by: \"public\")",
            "@scope(by: \"public\") @conflict(policy: MANUAL)",
        )
    };
    let resolve = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status duplicate version } } }";
    for place in Place::each().await {
        let server = place.serve(&manual(BEFORE));
        let client = server.client("alice");
        let set = |title: &str| json!({"note": {"update": {"id": "a", "baseVersion": 1, "set": {"title": title}}}});
        let create = json!({"note": {"create": {"id": "a", "document": {"title": "one"}}}});
        for (change, status) in [
            (create, "APPLIED"),
            (set("two"), "APPLIED"),
            (set("three"), "CONFLICT"),
        ] {
            assert_eq!(
                outcomes(&push(&client, json!({"changes": [change]})).await),
                [status]
            );
        }
        let query = "{ conflicts { nodes { id currentVersion } } }";
        let conflict = client.data(query, json!({})).await["conflicts"]["nodes"][0].take();
        let fields = json!({"title": "four", "rate": 2, "number": 3, "size": "LARGE", "extra": "e", "due": "soon", "parts": [{"label": "x"}]});
        let input = |fields: Json| json!({"input": {"conflictId": conflict["id"], "baseVersion": conflict["currentVersion"], "resolution": {"note": fields}}});
        let refused = client.data(resolve, input(fields.clone())).await;
        assert_eq!(
            refused["resolveConflict"]["result"]["status"], "REJECTED",
            "a due date is none"
        );
        let mut fields = fields;
        fields["due"] = json!("2026-02-28T12:30:00.000Z");
        let resolved = client.data(resolve, input(fields.clone())).await;
        let expected = json!({"status": "APPLIED", "duplicate": false, "version": 3});
        assert_eq!(resolved["resolveConflict"]["result"], expected);
        server.stop();

        for model in [AFTER, BEFORE] {
            let server = place.serve(&manual(model));
            let client = client.at(&server);
            let again = client.data(resolve, input(fields.clone())).await;
            let expected = json!({"status": "APPLIED", "duplicate": true, "version": 3});
            assert_eq!(again["resolveConflict"]["result"], expected);
            assert_eq!(version(&client).await, json!([{"version": 3}]));
            // Another resolution of it, and that of another user, find no conflict.
            let mut other = fields.clone();
            other["kind"] = json!("plain");
            assert_eq!(
                client.code(resolve, input(other)).await,
                "CONFLICT_NOT_FOUND"
            );
            let bob = server.client("bob");
            assert_eq!(
                bob.code(resolve, input(fields.clone())).await,
                "CONFLICT_NOT_FOUND"
            );
            server.stop();
        }
    }
}

/// In a rolling deploy the retry may reach the gateway of either model.
#[tokio::test]
async fn a_retry_in_a_rolling_deploy_is_a_repeat_at_each_gateway() {
    let [_, place] = Place::each().await;
    let before = place.serve(BEFORE);
    let after = place.serve(AFTER);
    let client = before.client("alice");
    let epoch = client.epoch().await;
    let create = json!({"note": {"create": {"id": "a", "document": {"title": "one", "parts": [{"label": "x"}]}}}});
    let sent = numbered(1, &epoch, json!([create]));
    for (server, duplicate) in [(&after, false), (&before, true), (&after, true)] {
        let results = push(&client.at(server), sent.clone()).await;
        assert_eq!(outcomes(&results), ["APPLIED"]);
        assert_eq!(results[0]["duplicate"], duplicate);
    }
}
