//! What the comparison with graphql-js found, each kept as a case of its own.

use super::*;

/// The text is refused as invalid, for `reason`.
#[track_caller]
fn invalid(query: &str, reason: &str) {
    refuse(query, json!({}), RefusalKind::Validation, reason);
}

/// What `echo(arguments)` of a query is given, without the defaults of other arguments.
fn given(declared: &str, argument: &str, literal: &str, variables: Json) -> Json {
    let query = format!("query {declared} {{ echo({argument}: {literal}) }}");
    let answer = data(&query, variables);
    let mut all: Json = serde_json::from_str(answer["echo"].as_str().unwrap()).unwrap();
    all[argument].take()
}

/// Clients in JavaScript do not tell 1.0 from 1, nor does JSON; literals do.
#[test]
fn a_whole_float_of_a_variable_is_an_integer() {
    assert_eq!(
        given("($l: Int)", "limit", "$l", json!({"l": 1.0})),
        json!(1)
    );
    assert_eq!(
        given("($l: Int)", "limit", "$l", json!({"l": -0.0})),
        json!(0)
    );
    assert_eq!(
        given("($i: ID)", "id", "$i", json!({"i": -7.0})),
        json!("-7")
    );
    for (name, value) in [
        ("limit: Int", json!(1.5)),
        ("limit: Int", json!(2_147_483_648.0)),
        ("id: ID", json!(0.5)),
    ] {
        let (argument, ty) = name.split_once(": ").unwrap();
        let query = format!("query ($v: {ty}) {{ echo({argument}: $v) }}");
        refuse(
            &query,
            json!({"v": value}),
            RefusalKind::Variables,
            "does not fit",
        );
    }
    invalid("{ echo(limit: 1.0) }", "");
    invalid("{ echo(id: 1.0) }", "");
}

/// `-0` became the ID `0`: a literal ID is the text that is written.
#[test]
fn an_id_keeps_its_sign() {
    assert_eq!(given("", "id", "-0", json!({})), json!("-0"));
}

/// A fragment that selects nothing of an object put a `__typename` beside what others select.
#[test]
fn an_empty_fragment_adds_nothing() {
    let query = "{ any { note ... on State { ... on Project { name } } } }";
    assert_eq!(data(query, json!({})), json!({"any": {"note": "{}"}}));
    let query = "{ any { ... on Task { title } ... on State { ... on Project { name } } } }";
    assert_eq!(data(query, json!({})), json!({"any": {"title": "{}"}}));
}
