//! Findings of the comparison with graphql-js, each as a case of its own.

use super::*;

/// The text is refused as invalid, for `reason`.
#[track_caller]
fn invalid(query: &str, reason: &str) {
    refuse(query, json!({}), RequestErrorKind::Validation, reason);
}

/// What `echo(arguments)` of a query gets, without the defaults of other arguments.
fn given(declared: &str, argument: &str, literal: &str, variables: Json) -> Json {
    let query = format!("query {declared} {{ echo({argument}: {literal}) }}");
    let answer = data(&query, variables);
    let mut all: Json = serde_json::from_str(answer["echo"].as_str().unwrap()).unwrap();
    all[argument].take()
}

/// Two pushes under one key became one if the list of one began the other, and the longer was lost: apollo-compiler
/// compares lists only up to the shorter one's length.
#[test]
fn a_list_that_begins_another_is_not_equal_to_it() {
    let push = |changes: &str| format!("push(input: {{changes: {changes}}}) {{ a }}");
    let (none, one) = (push("[]"), push("[{delete: 1}]"));
    let fragment = format!("fragment F on Mutation {{ {one} }}");
    for query in [
        format!("mutation {{ {none} {one} }}"),
        format!("mutation {{ {one} ... on Mutation {{ {none} }} }}"),
        format!("mutation {{ {none} ...F }} {fragment}"),
        format!("mutation {{ {none} ... @skip(if: true) {{ {one} }} }}"),
        format!("query A {{ task {{ id }} }} mutation B {{ {none} {one} }}"),
        "{ a: echo(json: {a: [1]}) a: echo(json: {a: [1, 2]}) }".to_owned(),
        "{ a: echo(matrix: [[1]]) a: echo(matrix: [[1, 2]]) }".to_owned(),
    ] {
        invalid(&query, "conflicting field arguments");
    }
    for query in [
        format!("mutation {{ {one} {one} }}"),
        format!("mutation {{ {one} a: {none} }}"),
        "{ a: echo(json: {a: [1], b: 2}) a: echo(json: {b: 2, a: [1]}) }".to_owned(),
        "{ task { x: list } state { ... on Project { x: tasks } } y: echo(ids: [1]) z: echo(ids: []) }".to_owned(),
        "query ($i: [ID!], $y: Boolean!) { a: echo(ids: $i) @include(if: $y) b: echo(ids: [1]) b: echo(ids: [1]) \
            c: echo(ids: [2]) c: echo(ids: [2]) }"
            .to_owned(),
    ] {
        let variables = json!({"y": true});
        assert!(validator().validate(raw(&query, variables)).is_ok(), "{query}");
    }
}

/// An argument or input field without a value was dropped, and the rest executed: apollo-parser reports no missing
/// colon.
#[test]
fn a_name_without_a_value_is_a_syntax_error() {
    for query in [
        "{ echo(notes) }",
        "{ echo(notes id: 1) }",
        "{ echo(set: {notes}) }",
        "{ echo(set: {notes, done: true}) }",
        "{ echo(json: [{a: {b}}]) }",
        "{ task { id @skip(if) } }",
    ] {
        refuse(
            query,
            json!({}),
            RequestErrorKind::Parse,
            "a colon and a value",
        );
    }
    let refusal = &refusals("{\n  echo(é: 1, notes) }", json!({}))[0];
    assert_eq!(refusal.kind, RequestErrorKind::Parse);
    assert_eq!(
        refusals("{\n  echo(set: {notes}) }", json!({}))[0].locations,
        [(2, 14)]
    );
}

/// Of a duplicate field the first was taken: apollo-compiler does not check.
#[test]
fn an_input_field_is_given_once() {
    invalid(
        "{ echo(set: {notes: \"a\", notes: \"b\"}) }",
        "`set.notes` is given more than once",
    );
    invalid(
        "{ echo(json: {a: 1, a: 2}) }",
        "`json.a` is given more than once",
    );
    invalid(
        "query ($p: Pair = {a: 1, a: 1}) { echo(pair: $p) }",
        "`$p.a` is given more than once",
    );
}

/// An undeclared variable counted as nothing: apollo-compiler does not look for variables inside a custom scalar.
#[test]
fn a_variable_inside_a_custom_scalar_is_declared() {
    invalid("{ echo(json: {a: $a}) }", "`json.a` cannot take `$a`");
    invalid("{ echo(json: {a: [$a]}) }", "`json.a[0]` cannot take `$a`");
}

/// Mistakes in parts that were skipped, not chosen, or replaced by a variable's value, were found only once they
/// mattered.
#[test]
fn all_of_a_document_is_checked() {
    invalid(
        "query ($i: ID) { echo(nest: {id: $i}) @skip(if: true) }",
        "`nest.id` cannot take `$i`",
    );
    invalid(
        "query ($c: Choice = {}) { echo(choice: $c) }",
        "`$c` takes exactly one field of Choice, not 0",
    );
    let query = "query A { task { id } } query B { ...F } fragment F on Query { echo(choice: {delete: null}) }";
    let request = RawRequest {
        operation_name: Some("A".to_owned()),
        ..raw(query, json!({}))
    };
    let refusals = validator().validate(request).unwrap_err();
    assert!(
        refusals[0]
            .message
            .contains("`choice.delete` is the one field given"),
        "{refusals:?}"
    );
}

/// Clients in JavaScript do not distinguish 1.0 from 1, nor does JSON. Literals do.
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
            RequestErrorKind::Variables,
            "does not fit",
        );
    }
    invalid("{ echo(limit: 1.0) }", "");
    invalid("{ echo(id: 1.0) }", "");
}

/// `-0` became the ID `0`. A literal ID is its text.
#[test]
fn an_id_keeps_its_sign() {
    assert_eq!(given("", "id", "-0", json!({})), json!("-0"));
}

/// A fragment that selects nothing of an object put a `__typename` beside the other selections.
#[test]
fn an_empty_fragment_adds_nothing() {
    let query = "{ any { note ... on State { ... on Project { name } } } }";
    assert_eq!(data(query, json!({})), json!({"any": {"note": "{}"}}));
    let query = "{ any { ... on Task { title } ... on State { ... on Project { name } } } }";
    assert_eq!(data(query, json!({})), json!({"any": {"title": "{}"}}));
}
