//! One bad value never refuses its neighbours: it is the REJECTED of its own change, and what the gateway answers, it
//! accepts back.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{client, harbour};
use crate::harness::{Client, Server, Socket};

const QUERY: &str = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { documentId status error { code field } } } }";

/// Words in a request that stand for what a `Value` cannot hold, and how JSON spells that.
fn spelled(request: &Value) -> String {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let text = request.to_string();
    let text = text.replace("HALF", r"\ud83d").replace("\"HUGE\"", "1e400");
    let text = text.replace("\"LONG\"", &format!("1{}", "0".repeat(30)));
    let text = text.replace("\"DEEP\"", &deep(115));
    text.replace("\"DEEPEST\"", &deep(10_000))
}

fn specimen(id: &str, field: &str, value: Value) -> Value {
    let document = json!({"wholes": [], field: value});
    json!({"specimen": {"create": {"id": id, "document": document}}})
}

/// A change with each of these, with the code and the field of its REJECTED.
fn bad_rows() -> Vec<(Value, &'static str, &'static str)> {
    let value = |field: &str, value: Value| specimen("bad", field, value);
    let invalid = "INVALID_VALUE";
    vec![
        (specimen("HALF", "text", json!("x")), "INVALID_ID", "id"),
        (specimen("a\0", "text", json!("x")), "INVALID_ID", "id"),
        (
            specimen(&"x".repeat(257), "text", json!("x")),
            "INVALID_ID",
            "id",
        ),
        (value("text", json!("cut HALF")), invalid, "text"),
        (value("texts", json!(["x", "HALF"])), invalid, "texts[1]"),
        (value("other", json!("HALF")), invalid, "other"),
        (value("moment", json!("HALF")), invalid, "moment"),
        (
            value("anything", json!({"a": ["HALF"]})),
            invalid,
            "anything.a[0]",
        ),
        (
            value("anything", json!({"HALF": 1})),
            invalid,
            "anything.\u{fffd}",
        ),
        (
            value("anything", json!({"a\0": 1})),
            invalid,
            "anything.a\0",
        ),
        (value("anything", json!("HUGE")), invalid, "anything"),
        (value("anything", json!("LONG")), invalid, "anything"),
        (value("anything", json!("DEEP")), invalid, "anything"),
        (value("anything", json!("DEEPEST")), invalid, "anything"),
        (value("big", json!("HUGE")), invalid, "big"),
        (value("ratio", json!("HUGE")), invalid, "ratio"),
        (value("wholes", json!([1, "HUGE"])), invalid, "wholes[1]"),
        (value("big", json!("LONG")), invalid, "big"),
        (value("money", json!("HUGE")), invalid, "money"),
        (value("texts", json!(vec!["x"; 10_001])), invalid, "texts"),
        (
            value("anything", json!([vec![1; 10_001]])),
            invalid,
            "anything",
        ),
    ]
}

fn assert_only_the_bad_are_rejected(answer: &Value) {
    let results = &answer["data"]["pushChanges"]["results"];
    assert!(results.is_array(), "{answer:.500}");
    assert_eq!(results[0]["status"], "APPLIED");
    let rows = bad_rows();
    for (i, (change, code, field)) in rows.iter().enumerate() {
        let error = &results[i + 1]["error"];
        let change = change.to_string();
        assert_eq!(error["code"], *code, "{change:.120}");
        let named = error["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{change:.120}: {named:.120}");
        let id = results[i + 1]["documentId"].as_str().unwrap();
        assert!(!id.contains('\u{fdd0}'), "no mark is shown");
    }
    assert_eq!(results[rows.len() + 1]["status"], "APPLIED");
}

/// The request with a good change before and after the bad ones.
fn request(first: &str, last: &str) -> Value {
    let good = |id: &str| specimen(id, "text", json!("good \u{1f600}"));
    let bad = bad_rows().into_iter().map(|(change, ..)| change);
    let changes: Vec<Value> = [good(first)]
        .into_iter()
        .chain(bad)
        .chain([good(last)])
        .collect();
    json!({"query": QUERY, "variables": {"c": changes}})
}

#[tokio::test]
async fn one_bad_value_is_that_changes_rejection_over_http_and_over_a_socket() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let answer = post(&client, spelled(&request("a", "b"))).await;
    assert_only_the_bad_are_rejected(&answer);

    let mut socket = Socket::connect(&client).await;
    let message = json!({"type": "subscribe", "id": "1", "payload": request("c", "d")});
    socket.send_text(spelled(&message)).await;
    let next = socket.next().await;
    assert_eq!(next["type"], "next", "{next:.500}");
    assert_only_the_bad_are_rejected(&next["payload"]);
}

#[tokio::test]
async fn a_number_of_the_protocol_that_no_float_holds_refuses_the_request() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let update = json!([{"specimen": {"update": {"id": "a", "baseVersion": "HUGE", "set": {}}}}]);
    let delete = json!([{"specimen": {"delete": {"id": "a", "baseVersion": "HUGE"}}}]);
    let resolve = json!({"conflictId": "x", "baseVersion": "HUGE", "resolution": {"delete": true}});
    let pushed = "mutation($i: PushChangesInput!) { pushChanges(input: $i) { __typename } }";
    let resolved =
        "mutation($i: ResolveConflictInput!) { resolveConflict(input: $i) { __typename } }";
    for (query, variables) in [
        (pushed, json!({"i": {"changes": update}})),
        (pushed, json!({"i": {"changes": delete}})),
        (
            pushed,
            json!({"i": {"changes": [], "client": {"id": "c", "firstMutationId": "HUGE"}}}),
        ),
        (resolved, json!({"i": resolve})),
        (
            "query($i: Int) { changesSince(limit: $i) { hasMore } }",
            json!({"i": "HUGE"}),
        ),
    ] {
        let request = json!({"query": query, "variables": variables});
        let error = post(&client, spelled(&request)).await["errors"][0].take();
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("a number such as this does not fit"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_literal_is_as_a_variable_and_a_document_holds_no_half_of_a_pair() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let create = |id: &str, fields: &str| {
        format!("{{specimen: {{create: {{id: \"{id}\", document: {{wholes: [] {fields}}}}}}}}}")
    };
    let changes = [
        create("a", "ratio: 10000000000000000"),
        create("b", "anything: [1e400]"),
        create("c", "anything: 100000000000000000000000000000"),
        create("d", "big: 100000000000000000000000000000"),
    ];
    let query = format!(
        "mutation {{ pushChanges(input: {{changes: [{}]}}) {{ results {{ status error {{ field }} document {{ ... on Specimen {{ ratio }} }} }} }} }}",
        changes.join(" ")
    );
    let results = client.data(&query, json!({})).await["pushChanges"]["results"].take();
    let rejected =
        |field: &str| json!({"status": "REJECTED", "error": {"field": field}, "document": null});
    let applied = json!({"status": "APPLIED", "error": null, "document": {"ratio": 1e16}});
    let expected = json!([
        applied,
        rejected("anything[0]"),
        rejected("anything"),
        rejected("big")
    ]);
    assert_eq!(results, expected);
    let half = json!({"query": "{ specimen(id: \"HALF\") { id } }"});
    let answer = post(&client, spelled(&half)).await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "BAD_REQUEST",
        "{answer}"
    );
}

#[tokio::test]
async fn what_the_gateway_answers_it_takes_back() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let ratios = [
        "1e16",
        "10000000000000000",
        "1e22",
        "9007199254740993",
        "-0.0",
        "-0",
        "18446744073709551616",
        "1.7976931348623157e308",
    ];
    for (i, ratio) in ratios.into_iter().enumerate() {
        let id = format!("s{i}");
        let fields = format!(
            r#"{{"wholes": [-7], "ratio": {ratio}, "big": -9, "money": "1E+3", "moment": "1969-12-31T23:59:59.9999Z", "blob": "AA==", "anything": [-0.0, 1e-7, 5]}}"#
        );
        let created =
            format!(r#"[{{"specimen": {{"create": {{"id": "{id}", "document": {fields}}}}}}}]"#);
        let shown = push(&client, created, "APPLIED", 1).await;
        let update = json!([{"specimen": {"update": {"id": id, "baseVersion": 1, "set": shown, "base": shown}}}]);
        assert_eq!(
            push(&client, update.to_string(), "APPLIED", 2).await,
            shown,
            "{ratio}"
        );
        // As JavaScript writes it, which uses no exponent below 1e21.
        let plain = update.to_string().replace("1e+16", "10000000000000000");
        let again = push(
            &client,
            plain.replace("\"baseVersion\":1", "\"baseVersion\":2"),
            "APPLIED",
            3,
        )
        .await;
        assert_eq!(again, shown, "{ratio}");
    }
}

/// Pushes changes given as a text. Returns the only document in the outcome.
async fn push(client: &Client, changes: String, status: &str, version: i32) -> Value {
    let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status version error { message } document { ... on Specimen { wholes ratio big money moment blob anything } } } } }";
    let body = format!(
        r#"{{"query": {}, "variables": {{"c": {changes}}}}}"#,
        json!(query)
    );
    let mut answer = post(client, body).await;
    let result = answer["data"]["pushChanges"]["results"][0].take();
    assert_eq!(
        (&result["status"], &result["version"]),
        (&json!(status), &json!(version)),
        "{changes}: {answer}"
    );
    result["document"].clone()
}

async fn post(client: &Client, body: String) -> Value {
    let request = client
        .http
        .post(format!("{}/graphql", client.url))
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .body(body);
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// `base` and `set` together may exceed a request; the text alone does not.
#[tokio::test]
async fn a_text_that_could_be_created_can_be_edited_without_its_base() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let client = server.client("alice");
    let text = |last: &str| "Many words. ".repeat(87_000) + last;
    let created =
        json!([{"task": {"create": {"id": "t", "document": {"title": "t", "notes": text("")}}}}]);
    assert_eq!(client.push_all(created).await[0]["status"], "APPLIED");
    let update = |base: Value| json!([{"task": {"update": {"id": "t", "baseVersion": 1, "set": {"notes": text("End.")}, "base": base}}}]);
    let with_base = json!({"input": {"changes": update(json!({"notes": text("")}))}});
    assert_eq!(
        client.code(&crate::harness::push_query(), with_base).await,
        "PAYLOAD_TOO_LARGE"
    );
    let result = &client.push_all(update(Value::Null)).await[0];
    assert_eq!(
        (&result["status"], &result["document"]["notes"]),
        (&json!("APPLIED"), &json!(text("End.")))
    );
}
