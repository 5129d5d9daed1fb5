//! Every value of a model, through the real binary and back: exact, or refused by name.
//!
//! The core's tests show what a change does to values that others changed too.

use serde_json::{Map, Value, json};

use super::{client, harbour};
use crate::harness::{Client, Server};

const SPECIMEN: &str = "text whole ratio yes other moment big money blob anything kind texts wholes ratios flags others \
    moments bigs monies blobs kinds grid box { label inner { label inner { label } cells dimension { length width unit } \
    money } cells money } boxes { label money } renamed";

/// The extremes of every type that JSON carries as it is.
fn extremes() -> Value {
    json!({
        "text": "𝔘nïcødé 🚢 \u{202e}rtl \u{1} \" \\ \n\t\r e\u{301}",
        "whole": i32::MIN, "ratio": f64::MAX, "yes": false, "other": "  spaces and ümläute ",
        "moment": "0001-01-01T00:00:00.000Z", "big": i64::MIN.to_string(),
        "money": "1234567890123456789012345678901234", "blob": "AP+A/w==",
        "anything": {"$where": "1", "a.b": {"__proto__": [null, true, 9_007_199_254_740_993_i64, -0.5, ""]}, "": {}},
        "kind": "ROTTEN", "texts": ["", null, "x", ""], "wholes": [i32::MAX, 0, i32::MIN],
        "ratios": [f64::MIN_POSITIVE, 5e-324, -1.5, 0.1, 1e300], "flags": [true, false], "others": ["0", "007"],
        "moments": ["1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
        "bigs": [i64::MAX.to_string(), null, "0"],
        "monies": ["-0.10", "1E-6176", "9.999999999999999999999999999999999E+6144", "0"], "blobs": ["", "AA=="],
        "kinds": ["FRESH", "ROTTEN", "FRESH"], "grid": [[1, 2], [], [3]],
        "box": {
            "label": "", "inner": {
                "label": "in", "inner": {"label": "innermost"}, "cells": [[null, "a"], []],
                "dimension": {"length": 0.1, "width": 1e-7, "unit": "ft"}, "money": "1.20",
            },
            "cells": [], "money": null,
        },
        "boxes": [{"label": "one", "money": "1"}, {"label": "two", "money": null}], "renamed": "kept",
    })
}

/// Nulls, and lists with nothing in them.
fn empties() -> Value {
    let mut document: Map<String, Value> = serde_json::from_value(extremes()).unwrap();
    for (name, value) in &mut document {
        *value = match name.as_str() {
            "wholes" | "texts" | "boxes" => json!([]),
            "text" => json!(""),
            "anything" => json!({"null": null, "list": [[]]}),
            _ => Value::Null,
        };
    }
    document.into()
}

#[tokio::test]
async fn every_value_comes_back_exactly_as_it_went() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let mut client = client(&server);
    let documents = [("extremes", extremes()), ("empties", empties())];
    for (id, document) in &documents {
        let change = json!([{"specimen": {"create": {"id": id, "document": document}}}]);
        let result = &push(&client, change).await[0];
        assert_eq!(result["status"], "APPLIED", "{result}");
        assert_shows(&result["document"], document, "outcome");
    }
    assert_pulled(&client, &documents).await;
    server.stop();
    let server = Server::dev(&directory);
    client = client.at(&server);
    assert_pulled(&client, &documents).await;
    for (id, document) in &documents {
        let query = format!("query($id: ID!) {{ specimen(id: $id) {{ {SPECIMEN} }} }}");
        let data = client.data(&query, json!({"id": id})).await;
        assert_shows(&data["specimen"], document, "query");
    }
}

async fn push(client: &Client, changes: Value) -> Vec<Value> {
    let query = format!(
        "mutation($changes: [SyncChangeInput!]!) {{ pushChanges(input: {{changes: $changes}}) {{ results {{
            status version error {{ code field message }} document {{ id ... on Specimen {{ {SPECIMEN} }} }} }} }} }}"
    );
    let mut data = client.data(&query, json!({"changes": changes})).await;
    serde_json::from_value(data["pushChanges"]["results"].take()).unwrap()
}

async fn assert_pulled(client: &Client, documents: &[(&str, Value)]) {
    let query = format!(
        "{{ changesSince {{ changes {{ documentId document {{ ... on Specimen {{ {SPECIMEN} }} }} }} }} }}"
    );
    let data = client.data(&query, json!({})).await;
    let changes = data["changesSince"]["changes"].as_array().unwrap();
    for (id, document) in documents {
        let change = changes
            .iter()
            .find(|change| change["documentId"] == *id)
            .unwrap();
        assert_shows(&change["document"], document, "pull");
    }
}

/// Every field that was sent is shown, and fields left out of an embedded document are null.
fn assert_shows(shown: &Value, sent: &Value, place: &str) {
    match (shown, sent) {
        (Value::Object(shown), Value::Object(sent)) if !place.contains("anything") => {
            for (name, sent) in sent {
                assert_shows(&shown[name], sent, &format!("{place}.{name}"));
            }
            let rest = shown
                .iter()
                .filter(|(name, _)| !sent.contains_key(*name) && *name != "id");
            rest.for_each(|(name, value)| assert_eq!(*value, Value::Null, "{place}.{name}"));
        }
        (Value::Array(shown), Value::Array(sent)) if shown.len() == sent.len() => {
            let pairs = shown.iter().zip(sent);
            pairs.for_each(|(shown, sent)| assert_shows(shown, sent, place));
        }
        _ => assert_eq!(shown, sent, "{place}"),
    }
}

#[tokio::test]
async fn an_outcome_shows_the_milliseconds_that_are_kept_of_a_date_time() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let document = json!({"wholes": [], "moment": "2026-02-28T13:30:00.123987+01:00"});
    let created = json!([{"specimen": {"create": {"id": "a", "document": document}}}]);
    let result = &push(&client, created).await[0];
    assert_eq!(result["status"], "APPLIED", "{result}");
    assert_eq!(result["document"]["moment"], "2026-02-28T12:30:00.123Z");
    let set = json!({"text": "x"});
    let leap = json!([{"specimen": {"update": {"id": "a", "baseVersion": 1, "set": set, "changedAt": "2016-12-31T23:59:60Z"}}}]);
    let result = &push(&client, leap).await[0];
    assert_eq!(result["error"]["code"], "INVALID_VALUE", "{result}");
    assert_eq!(result["error"]["field"], "changedAt");
}

#[tokio::test]
async fn literals_mean_what_variables_mean() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let query = r#"mutation($label: String!, $absent: String) { pushChanges(input: {changes: [{specimen: {create: {
        id: "literal", document: {
            wholes: 7, ratio: 2, big: 9223372036854775807, money: "12.50", kind: FRESH, other: 42, renamed: $absent,
            moment: "2026-02-28T13:30:00+01:00", anything: {list: [1, {label: $label}], null: null},
            text: """
              block "text" \d
            """, box: {label: $label, inner: {label: "i", cells: [["a", null]]}}
        } } } }] }) { results { status error { message } document { ... on Specimen {
            wholes ratio big money kind other renamed moment anything text box { label inner { label cells } } } } } } }"#;
    let data = client.data(query, json!({"label": "l"})).await;
    let result = &data["pushChanges"]["results"][0];
    let expected = json!({
        "wholes": [7], "ratio": 2.0, "big": "9223372036854775807", "money": "12.50", "kind": "FRESH", "other": "42",
        "renamed": null, "moment": "2026-02-28T12:30:00.000Z", "anything": {"list": [1, {"label": "l"}], "null": null},
        "text": "block \"text\" \\d", "box": {"label": "l", "inner": {"label": "i", "cells": [["a", null]]}},
    });
    assert_eq!(result["document"], expected, "{result}");
}

#[tokio::test]
async fn null_clears_and_absent_keeps() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    push(
        &client,
        json!([{"specimen": {"create": {"id": "a", "document": extremes()}}}]),
    )
    .await;
    let set = json!({"text": null, "box": null, "texts": [null], "money": "0"});
    let update = json!([{"specimen": {"update": {"id": "a", "baseVersion": 1, "set": set}}}]);
    let result = &push(&client, update).await[0];
    let mut expected = extremes();
    for (name, value) in set.as_object().unwrap() {
        expected[name] = value.clone();
    }
    assert_shows(&result["document"], &expected, "outcome");
    let required =
        json!([{"specimen": {"update": {"id": "a", "baseVersion": 2, "set": {"wholes": null}}}}]);
    let result = &push(&client, required).await[0];
    assert_eq!(result["error"]["code"], "INVALID_VALUE", "{result}");
    assert_eq!(result["error"]["field"], "wholes");
}

#[tokio::test]
async fn defaults_of_every_kind_fill_what_is_left_out() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let query = r#"mutation { pushChanges(input: {changes: [{preset: {create: {id: "p", document: {}}}}]}) { results {
        error { message } document { ... on Preset { owner text empty whole ratio yes other moment big money blob anything
        kind kinds grid position { latitude longitude } nothing } } } } }"#;
    let data = client.data(query, json!({})).await;
    let expected = json!({
        "owner": "ada", "text": "say \"hi\" \\ ünï", "empty": "", "whole": i32::MIN, "ratio": 0.1, "yes": true,
        "other": "x-1", "moment": "1969-07-20T20:17:40.123Z", "big": i64::MIN.to_string(), "money": "0.10",
        "blob": "AP8=", "anything": {"a": [1, null, "x"], "b": {"c": true}}, "kind": "ROTTEN",
        "kinds": ["FRESH", "ROTTEN"], "grid": [[1, 2], []], "position": {"latitude": 53.5, "longitude": 9.9},
        "nothing": null,
    });
    assert_eq!(
        data["pushChanges"]["results"][0]["document"], expected,
        "{data}"
    );
}

#[tokio::test]
async fn each_kind_of_id_takes_its_canonical_spelling_alone() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    let vessel = |id: &str| json!({"vessel": {"create": {"id": id, "document": {"port": "HAM", "name": "V", "flag": "DE"}}}});
    let berth = |id: &str| json!({"berth": {"create": {"id": id, "document": {"port": "HAM", "depth": "4.5"}}}});
    let piece = |id: &str| json!({"piece": {"create": {"id": id, "document": {"port": "RTM"}}}});
    let right = [
        vessel("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        berth("-9223372036854775808"),
        berth("42"),
        piece("65f1a0b2c3d4e5f6a7b8c9d0"),
    ];
    let wrong = [
        vessel("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        vessel("6ba7b8109dad11d180b400c04fd430c8"),
        vessel("v1"),
        berth("042"),
        berth("+42"),
        berth("4.0"),
        berth("9223372036854775808"),
        piece("65F1A0B2C3D4E5F6A7B8C9D0"),
        piece("65f1"),
        berth(""),
    ];
    let results = push(&client, right.iter().chain(&wrong).cloned().collect()).await;
    let (applied, rejected) = results.split_at(right.len());
    for (result, change) in applied.iter().zip(&right) {
        assert_eq!(result["status"], "APPLIED", "{change}: {result}");
    }
    for (result, change) in rejected.iter().zip(&wrong) {
        assert_eq!(result["error"]["code"], "INVALID_ID", "{change}: {result}");
    }
}

#[tokio::test]
async fn values_beyond_their_types_are_named_and_nothing_is_changed_silently() {
    let directory = harbour();
    let server = Server::dev(&directory);
    let client = client(&server);
    for (field, value) in [
        ("whole", json!(2_147_483_648_i64)),
        ("whole", json!(1.5)),
        ("whole", json!("1")),
        ("yes", json!(1)),
        ("text", json!(1)),
        ("big", json!("9223372036854775808")),
        ("big", json!(1.5)),
        ("money", json!("1,5")),
        ("money", json!("12345678901234567890123456789012345")),
        ("money", json!("1E+7000")),
        ("money", json!("")),
        ("moment", json!("yesterday")),
        ("moment", json!("2026-02-30T00:00:00Z")),
        ("moment", json!("2026-02-28")),
        ("moment", json!("2016-12-31T23:59:60Z")),
        ("blob", json!("AP8")),
        ("blob", json!("????")),
        ("blob", json!("AB==")),
        ("kind", json!("MOULDY")),
        ("grid", json!([[null]])),
        ("box", json!({})),
        ("box", json!({"label": "x", "colour": "red"})),
        ("other", json!(1.5)),
        ("nope", json!(1)),
    ] {
        let document = json!({"wholes": [], field: value});
        let changes = json!([
            {"specimen": {"create": {"id": format!("good-{field}"), "document": {"wholes": []}}}},
            {"specimen": {"create": {"id": "bad", "document": document}}},
        ]);
        let query = "mutation($c: [SyncChangeInput!]!) { pushChanges(input: {changes: $c}) { results { status error { code field } } } }";
        let answer = client.send(query, json!({"c": changes})).await;
        let error = &answer["errors"][0];
        let reported = if error.is_null() {
            let result = &answer["data"]["pushChanges"]["results"][1];
            assert_eq!(
                result["error"]["code"], "INVALID_VALUE",
                "{field} {value}: {answer}"
            );
            result["error"]["field"].as_str().unwrap().to_owned()
        } else {
            assert_eq!(
                error["extensions"]["code"], "BAD_USER_INPUT",
                "{field} {value}: {answer}"
            );
            error["message"].as_str().unwrap().to_owned()
        };
        assert!(reported.contains(field), "{field} {value}: {reported}");
    }
    let query = r#"{ specimen(id: "bad") { id } }"#;
    assert_eq!(client.data(query, json!({})).await["specimen"], Value::Null);
}
