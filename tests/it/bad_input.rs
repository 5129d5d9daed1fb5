//! A client's mistakes: each has one clear outcome or error, and harms nothing beside it.
//!
//! Here are changes whose values do not fit, and values that must be kept exactly. [`requests`] has requests that do
//! not fit the schema, and [`transport`] those that never become an operation.

mod requests;
mod transport;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Server, create};

/// Every scalar, and what stands beside them in real models.
const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Thing @collection(name: "things") @scope(by: "all") @conflict(policy: SERVER_WINS) {
  id: ID!
  must: String! @constraint(maxLength: 5)
  slug: String @constraint(pattern: "^[a-z]+$")
  whole: Int @constraint(min: -5, max: 5)
  float: Float
  long: Long
  decimal: Decimal
  bytes: Bytes
  at: DateTime
  json: JSON
  flag: Boolean
  mood: Mood
  tags: [String!] @constraint(maxItems: 2)
  place: Place
  fixed: String @readOnly
}
enum Mood { GOOD BAD }
type Place { city: String! zip: String }
"#;

const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status document { ... on Thing { id } } error { code field } } } }";

const THING: &str = "query($id: ID!) { thing(id: $id) { must slug whole float long decimal bytes at json flag mood tags place { city zip } fixed } }";

fn thing(id: &str, fields: &Value) -> Value {
    let mut document = json!({"must": "x"});
    for (name, value) in fields.as_object().unwrap() {
        document[name] = value.clone();
    }
    json!({"thing": {"create": {"id": id, "document": document}}})
}

fn set(id: &str, fields: Value) -> Value {
    json!({"thing": {"update": {"id": id, "baseVersion": 1, "set": fields}}})
}

/// Pushes a bad change between two good ones: the bad one is rejected with this code and field, and the others are
/// applied.
async fn check(client: &Client, case: usize, bad: &Value, code: &str, field: Option<&str>) {
    let good = |place: &str| thing(&format!("{place}{case}"), &json!({}));
    let changes = json!([good("before"), bad, good("after")]);
    let variables = json!({"input": {"changes": changes}});
    let data = client.data(PUSH, variables).await;
    let results = &data["pushChanges"]["results"];
    assert_eq!(
        results[1],
        json!({"status": "REJECTED", "document": null, "error": {"code": code, "field": field}}),
        "{bad}"
    );
    for neighbour in [0, 2] {
        assert_eq!(results[neighbour]["status"], "APPLIED", "{bad}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_rejects_its_change_alone() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let client = server.client("alice");
    let cases = [
        (json!({"must": "123456"}), "must"),
        (json!({"slug": "Not-A-Slug"}), "slug"),
        (json!({"whole": 6}), "whole"),
        (json!({"tags": ["a", "b", "c"]}), "tags"),
        (json!({"long": "9223372036854775808"}), "long"),
        (json!({"long": 9_223_372_036_854_775_808_u64}), "long"),
        (json!({"long": "0x10"}), "long"),
        (json!({"long": "1.5"}), "long"),
        (json!({"long": ""}), "long"),
        (json!({"long": true}), "long"),
        (json!({"long": {}}), "long"),
        (json!({"decimal": "twelve"}), "decimal"),
        (json!({"decimal": 1.5}), "decimal"),
        (json!({"decimal": "1e99999"}), "decimal"),
        (json!({"decimal": "1".repeat(40)}), "decimal"),
        (json!({"bytes": "%%%"}), "bytes"),
        (json!({"bytes": "YQ"}), "bytes"),
        (json!({"bytes": 1}), "bytes"),
        (json!({"at": "yesterday"}), "at"),
        (json!({"at": "2026-02-30T00:00:00Z"}), "at"),
        (json!({"at": "2026-02-28T00:00:00"}), "at"),
        (json!({"at": 1_700_000_000}), "at"),
        (json!({"decimal": "NaN"}), "decimal"),
        (json!({"decimal": "Infinity"}), "decimal"),
        (json!({"json": {"n": [1.0e30]}}), "json.n[0]"),
        (json!({"json": 9_223_372_036_854_775_808_u64}), "json"),
        (json!({"json": {"a\0b": 1}}), "json.a\0b"),
    ];
    for (case, (fields, field)) in cases.iter().enumerate() {
        let bad = thing("bad", fields);
        check(&client, case, &bad, "INVALID_VALUE", Some(field)).await;
    }
}

#[tokio::test]
async fn an_edit_that_does_not_fit_rejects_its_change_alone() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let client = server.client("alice");
    let variables = json!({"input": {"changes": [thing("here", &json!({"long": "1"}))]}});
    client.data(PUSH, variables).await;
    let bad = async |change: Value, field: Option<&str>| {
        // The document exists, and an outcome shows it.
        let variables = json!({"input": {"changes": [change]}});
        let data = client.data(PUSH, variables).await;
        let result = &data["pushChanges"]["results"][0];
        let error = json!({"code": "INVALID_VALUE", "field": field});
        assert_eq!(
            (&result["status"], &result["error"]),
            (&json!("REJECTED"), &error)
        );
    };
    bad(set("here", json!({"must": null})), Some("must")).await;
    bad(set("here", json!({"must": "123456"})), Some("must")).await;
    bad(set("here", json!({"long": "1 "})), Some("long")).await;
    bad(set("here", json!({})), None).await;
    let mut dated = set("here", json!({"must": "y"}));
    dated["thing"]["update"]["changedAt"] = json!("soon");
    bad(dated, Some("changedAt")).await;
    let mut based = set("here", json!({"must": "y"}));
    based["thing"]["update"]["base"] = json!({"at": "never"});
    bad(based, Some("at")).await;
    let held = client.data(THING, json!({"id": "here"})).await;
    assert_eq!(
        (&held["thing"]["must"], &held["thing"]["long"]),
        (&json!("x"), &json!("1"))
    );
}

#[tokio::test]
async fn an_id_that_is_none_rejects_its_change_alone() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let client = server.client("alice");
    let ids = ["", &"x".repeat(257), "nul\0", &"ü".repeat(129)];
    let changes = ids.iter().flat_map(|id| {
        [
            thing(id, &json!({})),
            set(id, json!({"must": "y"})),
            json!({"thing": {"delete": {"id": id, "baseVersion": 1}}}),
        ]
    });
    for (case, change) in changes.enumerate() {
        check(&client, case, &change, "INVALID_ID", Some("id")).await;
    }
    let longest = json!({"input": {"changes": [thing(&"ü".repeat(128), &json!({}))]}});
    let data = client.data(PUSH, longest).await;
    assert_eq!(data["pushChanges"]["results"][0]["status"], "APPLIED");
}

#[tokio::test]
async fn fields_that_make_no_scope_reject_their_change_alone() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let texts = ["", "team:\0", "100%", "user:%41"].map(str::to_owned);
    for audience in texts.into_iter().chain(["x".repeat(257)]) {
        let results = alice
            .push_all(json!([
                create("bad", json!({"title": "t", "audience": audience})),
                create("good", json!({"title": "t"})),
            ]))
            .await;
        assert_eq!(results[0]["error"]["code"], "INVALID_SCOPE", "{audience:?}");
        assert_ne!(results[1]["status"], "REJECTED");
    }
}

#[tokio::test]
async fn values_at_their_bounds_come_back_as_they_were() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, MODEL);
    let client = server.client("alice");
    let nested = (0..50).fold(json!(0), |inner, _| json!([inner]));
    let strange = json!({
        "$where": "1", "a.b": {"$set": {"x": 1}}, "__proto__": {"admin": true}, "constructor": null, "": "$x",
        "long": 9_007_199_254_740_993_i64, "least": i64::MIN, "half": 0.5, "deep": nested,
    });
    let full = json!({
        "must": "", "slug": null, "whole": 0, "float": -0.0, "long": "-9223372036854775808", "decimal": "12.50",
        "bytes": "AP8=", "at": "2026-02-28T12:30:00.001Z", "json": strange, "flag": false, "mood": "BAD", "tags": [],
        "place": {"city": "", "zip": null}, "fixed": null,
    });
    let mut written = full.clone();
    written.as_object_mut().unwrap().remove("fixed");
    let variables = json!({"input": {"changes": [thing("full", &written)]}});
    let data = client.data(PUSH, variables).await;
    assert_eq!(
        data["pushChanges"]["results"][0]["status"], "APPLIED",
        "{data}"
    );
    let held = client.data(THING, json!({"id": "full"})).await["thing"].take();
    assert_eq!(held, full);
    assert!(held["float"].as_f64().unwrap().is_sign_negative());

    let deeper = (0..100).fold(json!(0), |inner, _| json!([inner]));
    let changes = [
        thing("deep", &json!({"json": deeper})),
        thing("flat", &json!({})),
    ];
    let variables = json!({"input": {"changes": changes}});
    let results = client.data(PUSH, variables).await["pushChanges"]["results"].take();
    assert_eq!(results[0]["error"]["code"], "INVALID_VALUE", "{results}");
    assert_eq!(results[1]["status"], "APPLIED", "its neighbour lives");
}

#[tokio::test]
async fn absent_null_and_falsy_are_three_different_things() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let query = "mutation($v: Int!, $n: String, $d: Boolean, $m: Int, $l: [String!]) {
        pushChanges(input: {changes: [{task: {update: {id: \"a\", baseVersion: $v, set: {title: \"t\", notes: $n, done: $d, minutesSpent: $m, labels: $l}}}}]}) { results { status } }
    }";
    let document =
        json!({"title": "t", "notes": "kept", "done": true, "minutesSpent": 5, "labels": ["x"]});
    alice.push_all(json!([create("a", document)])).await;
    let set = async |variables: Value| {
        let data = alice.data(query, variables).await;
        assert_eq!(data["pushChanges"]["results"][0]["status"], "APPLIED");
        let task = alice.task("a").await;
        json!([
            task["notes"],
            task["done"],
            task["minutesSpent"],
            task["labels"]
        ])
    };
    let kept = set(json!({"v": 1})).await;
    assert_eq!(kept, json!(["kept", true, 5, ["x"]]), "absent leaves alone");
    let falsy = set(json!({"v": 2, "n": "", "d": false, "m": 0, "l": []})).await;
    assert_eq!(falsy, json!(["", false, 0, []]));
    let cleared = set(json!({"v": 3, "n": null})).await;
    assert_eq!(cleared, json!([null, false, 0, []]), "null clears");
}
