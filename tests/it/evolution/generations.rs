//! Apps and gateways of three models: the oldest app at the newest gateway, and the newest app at the oldest.
//!
//! The apps do what docs/protocol.md says, literally, and every queued edit is applied or refused by itself.

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::Place;
use crate::harness::{Client, Server, answer};

const FIRST: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") {
  id: ID!
  title: String!
  note: String
  color: Color
  count: Int @merge(with: COUNTER)
}
type Tag @collection(name: "tags") @scope(by: "public") { id: ID! label: String }
enum Color { RED GREEN }
"#;

const SECOND: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") {
  id: ID!
  heading: String! @renamed(from: "title")
  note: String @retired
  color: Color
  count: Int @merge(with: COUNTER)
}
type Tag @collection(name: "tags") @scope(by: "public") @retired { id: ID! label: String }
enum Color { RED @retired GREEN }
"#;

const THIRD: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Job @collection(name: "tasks") @scope(by: "public") @renamed(from: "Task") {
  id: ID!
  heading: String! @renamed(from: "title")
  rank: Int! @default(value: 3)
  color: Color
  count: Int @merge(with: COUNTER)
}
enum Color { GREEN }
"#;

/// The hash that an app has from the schema it was built with.
fn api_of(model: &str) -> String {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    let schema = answer(directory.path(), &["schema"]);
    let first = schema.lines().next().unwrap();
    first.strip_prefix("# API hash: ").unwrap().to_owned()
}

/// An app of one model, with its outbox. Its client is called as its API.
struct App {
    client: Client,
    api: String,
    epoch: String,
    next: i64,
    outbox: Vec<Json>,
    /// What became of each edit, in order.
    settled: Vec<String>,
}

const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { lastMutationId results { mutationId status error { code field } document { __typename } } } }";

impl App {
    async fn new(model: &str, server: &Server, outbox: &[Json]) -> Self {
        let client = server.client("alice");
        Self {
            epoch: client.epoch().await,
            client,
            api: api_of(model),
            next: 1,
            outbox: outbox.to_vec(),
            settled: Vec::new(),
        }
    }

    async fn ask(&self, query: &str, variables: Json) -> Json {
        let request = json!({"query": query, "variables": variables});
        self.client.send_as(Some(&self.api), request).await
    }

    async fn error(&self, query: &str) -> Json {
        self.ask(query, json!({})).await["errors"][0].clone()
    }

    async fn push(&self, count: usize) -> Json {
        let input = json!({
            "client": {"id": self.api, "firstMutationId": self.next}, "epoch": self.epoch,
            "changes": self.outbox[..count],
        });
        self.ask(PUSH, json!({"input": input})).await
    }

    /// Empties the outbox as section 3 of the page says. Stops if the gateway is to be asked again later.
    async fn drain(&mut self) -> Option<Json> {
        let mut count = self.outbox.len();
        while !self.outbox.is_empty() {
            count = count.min(self.outbox.len());
            let answer = self.push(count).await;
            let Some(error) = answer.get("errors").map(|errors| &errors[0]) else {
                self.settle(&answer["data"]["pushChanges"]);
                count = self.outbox.len();
                continue;
            };
            if error["extensions"]["code"] != "CLIENT_TOO_OLD" {
                return Some(error.clone());
            }
            let message = error["message"].as_str().unwrap();
            assert!(message.ends_with("has to be updated"), "{message}");
            let last = format!(
                "{{ viewer(clientId: \"{}\") {{ lastMutationId }} }}",
                self.api
            );
            let last =
                self.ask(&last, json!({})).await["data"]["viewer"]["lastMutationId"].as_i64();
            assert!(last.unwrap_or_default() < self.next, "nothing was consumed");
            if count == 1 {
                self.refuse();
                count = self.outbox.len();
            } else {
                let path = error["extensions"]["inputPath"].as_str().unwrap();
                let place = path.strip_prefix("$input.changes[").unwrap();
                let place = place.split_once(']').unwrap().0;
                count = place.parse::<usize>().unwrap().max(1);
            }
        }
        None
    }

    fn settle(&mut self, payload: &Json) {
        for result in payload["results"].as_array().unwrap() {
            assert_eq!(result["mutationId"], self.next);
            let error = &result["error"];
            let words = [&result["status"], &error["code"], &error["field"]].map(Json::as_str);
            let words: Vec<_> = words.into_iter().flatten().collect();
            self.settled.push(words.join(" "));
            self.outbox.remove(0);
            self.next += 1;
        }
        assert_eq!(payload["lastMutationId"], self.next - 1);
    }

    /// Removes the first edit, and if it is a create, what is queued on it.
    fn refuse(&mut self) {
        let refused = self.outbox.remove(0);
        self.settled.push("REFUSED".to_owned());
        if let Some(id) = created(&refused) {
            let before = self.outbox.len();
            self.outbox.retain(|edit| updated(edit) != Some(id));
            let dropped = before - self.outbox.len();
            self.settled.extend(vec!["DROPPED".to_owned(); dropped]);
        }
    }
}

fn created(edit: &Json) -> Option<&str> {
    let (_, change) = edit.as_object()?.iter().next()?;
    change["create"]["id"].as_str()
}

fn updated(edit: &Json) -> Option<&str> {
    let (_, change) = edit.as_object()?.iter().next()?;
    change["update"]["id"].as_str()
}

/// What an app of the first model has queued while it was offline.
fn queued() -> Vec<Json> {
    let task = |verb: &str, of: Json| json!({"task": {verb: of}});
    vec![
        task(
            "create",
            json!({"id": "a", "document": {"title": "a", "count": 1}}),
        ),
        task(
            "update",
            json!({"id": "a", "baseVersion": 0, "set": {"note": "x"}}),
        ),
        task(
            "update",
            json!({"id": "a", "baseVersion": 0, "set": {"count": 3}, "base": {"count": 1}}),
        ),
        json!({"tag": {"create": {"id": "g", "document": {"label": "g"}}}}),
        json!({"tag": {"update": {"id": "g", "baseVersion": 0, "set": {"label": "h"}}}}),
        task(
            "create",
            json!({"id": "b", "document": {"title": "b", "color": "RED"}}),
        ),
        task(
            "update",
            json!({"id": "b", "baseVersion": 0, "set": {"title": "B"}}),
        ),
        task(
            "create",
            json!({"id": "c", "document": {"title": "c", "color": "GREEN"}}),
        ),
        task("delete", json!({"id": "c", "baseVersion": 0})),
        task(
            "update",
            json!({"id": "a", "baseVersion": 0, "set": {"title": "A"}}),
        ),
    ]
}

#[tokio::test]
async fn an_app_two_models_old_gets_every_queued_edit_applied_or_refused_by_itself() {
    for place in Place::each().await {
        for model in [FIRST, SECOND] {
            place.serve(model).stop();
        }
        let server = place.serve(THIRD);
        let mut app = App::new(FIRST, &server, &queued()).await;
        assert_eq!(app.drain().await, None);
        assert_eq!(
            app.settled,
            [
                "APPLIED", "REFUSED", "APPLIED", "REFUSED", "DROPPED", "REFUSED", "DROPPED",
                "APPLIED", "APPLIED", "APPLIED"
            ]
        );
        assert_eq!(app.next, 6, "what is refused consumes no id");

        // Its pulls go on as long as they name nothing that is gone.
        let page = |fields: &str| {
            format!(
                "{{ changesSince {{ changes {{ type documentId document {{ __typename {fields} }} }} }} }}"
            )
        };
        let pulled = app
            .ask(&page("... on Task { title count color }"), json!({}))
            .await;
        let task = json!({"__typename": "Task", "title": "A", "count": 3, "color": null});
        let expected = json!([{"type": "Task", "documentId": "a", "document": task}]);
        assert_eq!(pulled["data"]["changesSince"]["changes"], expected);
        for gone in ["... on Task { note }", "... on Tag { label }"] {
            let error = app.error(&page(gone)).await;
            assert_eq!(error["extensions"]["code"], "CLIENT_TOO_OLD", "{error}");
            assert_eq!(error["extensions"]["apiHash"], api_of(THIRD));
            assert_eq!(error["extensions"].get("inputPath"), None);
            let message = error["message"].as_str().unwrap();
            assert!(message.ends_with("has to be updated"), "{message}");
        }
    }
}

#[tokio::test]
async fn an_app_one_model_old_gets_all_of_its_outbox_answered_in_one_push() {
    for place in Place::each().await {
        place.serve(FIRST).stop();
        let server = place.serve(SECOND);
        let mut app = App::new(FIRST, &server, &queued()).await;
        assert_eq!(app.drain().await, None);
        assert_eq!(
            app.settled,
            [
                "APPLIED",
                "REJECTED RETIRED note",
                "APPLIED",
                "REJECTED RETIRED",
                "CONFLICT",
                "REJECTED RETIRED color",
                "CONFLICT",
                "APPLIED",
                "APPLIED",
                "APPLIED",
            ]
        );
    }
}

#[tokio::test]
async fn an_app_released_before_its_gateway_waits_and_loses_nothing() {
    let [_, place] = Place::each().await;
    let oldest = place.serve(FIRST);
    let job = |verb: &str, of: Json| json!({"job": {verb: of}});
    let edits = [
        job(
            "create",
            json!({"id": "a", "document": {"heading": "a", "rank": 5}}),
        ),
        job(
            "update",
            json!({"id": "a", "baseVersion": 0, "set": {"heading": "b"}}),
        ),
    ];
    let mut app = App::new(THIRD, &oldest, &edits).await;
    let pull = "{ changesSince { changes { document { ... on Job { heading rank } } } } }";
    // No gateway has had its API yet, and then one beside has it.
    let mut newest = None;
    for _ in 0..2 {
        for error in [app.drain().await.unwrap(), app.error(pull).await] {
            assert_eq!(
                error["extensions"]["code"], "SERVICE_UNAVAILABLE",
                "{error}"
            );
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains(&app.api) && message.ends_with("try again later"),
                "{message}"
            );
        }
        // What fits is served.
        assert_eq!(
            app.ask("{ viewer { id } }", json!({})).await["data"]["viewer"]["id"],
            "alice"
        );
        newest = newest.or_else(|| Some(place.serve(THIRD)));
    }
    // An app of the first model still works at its gateway, and at the other.
    let newest = newest.unwrap();
    let create = |id: &str| {
        vec![json!({"task": {"create": {"id": id, "document": {"title": id, "note": "n"}}}})]
    };
    let mut old = App::new(FIRST, &oldest, &create("x")).await;
    assert_eq!(old.drain().await, None);
    assert_eq!(old.settled, ["APPLIED"]);
    old.client = old.client.at(&newest);
    old.outbox = create("y");
    assert_eq!(old.drain().await, None);
    assert_eq!(old.settled, ["APPLIED", "REFUSED"]);
    oldest.stop();

    app.client = app.client.at(&newest);
    assert_eq!(app.drain().await, None);
    assert_eq!(app.settled, ["APPLIED", "APPLIED"]);
    let pulled = app.ask(pull, json!({})).await;
    let expected = json!([{"document": {"heading": "x", "rank": 3}}, {"document": {"heading": "b", "rank": 5}}]);
    assert_eq!(pulled["data"]["changesSince"]["changes"], expected);
}
