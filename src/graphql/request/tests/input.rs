//! Absent, null and default arrive as three different things, whichever way a value is given.

use tidegate_core::value::unrepresentable::Unrepresentable;

use super::*;

/// Arguments with a default that a case does not mention.
const DEFAULTS: [&str; 4] = ["limit", "flag", "required", "priorities"];

/// `echo(arguments)` is resolved with exactly `expected`, in a query, a mutation and a subscription. The comparison
/// leaves out defaults of arguments that are not mentioned.
fn check(declared: &str, arguments: &str, variables: Json, expected: Json) {
    for kind in ["query", "mutation", "subscription"] {
        let query = format!("{kind} {declared} {{ echo({arguments}) }}");
        let answer = data(&query, variables.clone());
        let mut given: Json = serde_json::from_str(answer["echo"].as_str().unwrap()).unwrap();
        for name in DEFAULTS {
            if expected.get(name).is_none() {
                let left_out = given.as_object_mut().unwrap().remove(name);
                assert!(left_out.is_some(), "{query}: no default for {name}");
            }
        }
        assert_eq!(given, expected, "{query} with {variables}");
    }
}

/// One line a case: declared variables, arguments, variables, and what the resolver sees.
macro_rules! arrives {
    ($($declared:literal, $arguments:literal, $variables:tt => $expected:tt;)*) => {
        $(check($declared, $arguments, json!($variables), json!($expected));)*
    };
}

/// One line a case: declared variables, arguments, variables, and why they are refused.
macro_rules! refused {
    ($($declared:literal, $arguments:literal, $variables:tt => $kind:ident, $reason:literal;)*) => {$({
        let query = format!("query {} {{ echo({}) }}", $declared, $arguments);
        refuse(&query, json!($variables), RequestErrorKind::$kind, $reason);
    })*};
}

#[test]
fn absent_null_and_given_differ_in_arguments() {
    arrives! {
        "", "id: 1", {} => {"id": "1"};
        "", "notes: null", {} => {"notes": null};
        "", "notes: \"\"", {} => {"notes": ""};
        "($n: String)", "notes: $n, id: 1", {} => {"id": "1"};
        "($n: String)", "notes: $n", {"n": null} => {"notes": null};
        "($n: String)", "notes: $n", {"n": ""} => {"notes": ""};
        "($n: String = null)", "notes: $n", {} => {"notes": null};
        "($n: String = \"d\")", "notes: $n", {} => {"notes": "d"};
        "($n: String = \"d\")", "notes: $n", {"n": null} => {"notes": null};
    }
}

#[test]
fn absent_null_and_given_differ_in_input_fields() {
    arrives! {
        "", "pair: {}", {} => {"pair": {"b": 7}};
        "", "pair: {a: null, b: null}", {} => {"pair": {"a": null, "b": null}};
        "", "pair: {a: 0}", {} => {"pair": {"a": 0, "b": 7}};
        "($n: Int)", "pair: {a: $n, b: $n}", {} => {"pair": {"b": 7}};
        "($n: Int)", "pair: {a: $n, b: $n}", {"n": null} => {"pair": {"a": null, "b": null}};
        "($n: Int)", "pair: {a: $n, b: $n}", {"n": 0} => {"pair": {"a": 0, "b": 0}};
        "($p: Pair)", "pair: $p", {"p": {}} => {"pair": {"b": 7}};
        "($p: Pair)", "pair: $p", {"p": {"a": null, "b": null}} => {"pair": {"a": null, "b": null}};
        "($p: Pair)", "pair: $p", {"p": {"a": 0}} => {"pair": {"a": 0, "b": 7}};
        "($p: Pair)", "pair: $p, id: 1", {} => {"id": "1"};
        "($p: Pair)", "pair: $p", {"p": null} => {"pair": null};
    }
}

#[test]
fn defaults_are_filled_in() {
    arrives! {
        "", "id: 1", {} => {"id": "1", "limit": 500, "flag": false, "required": 1, "priorities": ["LOW"]};
        "($l: Int, $f: Boolean)", "limit: $l, flag: $f", {} => {"limit": 500, "flag": false};
        "($p: [Priority!])", "priorities: $p", {} => {"priorities": ["LOW"]};
        "($l: Int)", "limit: $l", {"l": null} => {"limit": null};
        "", "limit: null", {} => {"limit": null};
        "", "set: {}", {} => {"set": {"done": false, "priority": "NORMAL", "labels": []}};
        "($s: Patch)", "set: $s", {"s": {}} => {"set": {"done": false, "priority": "NORMAL", "labels": []}};
        "($d: Boolean)", "set: {done: $d}", {} => {"set": {"done": false, "priority": "NORMAL", "labels": []}};
        "", "nest: {id: 1}", {} => {"nest": {"id": "1", "pair": {"a": 5, "b": 7}}};
        "($n: Nest)", "nest: $n", {"n": {"id": 1}} => {"nest": {"id": "1", "pair": {"a": 5, "b": 7}}};
        "($n: Nest = {id: 1})", "nest: $n", {} => {"nest": {"id": "1", "pair": {"a": 5, "b": 7}}};
        "($p: Pair)", "nest: {id: 1, pair: $p}", {} => {"nest": {"id": "1", "pair": {"a": 5, "b": 7}}};
        "($p: Pair!)", "nest: {id: 1, pair: $p}", {"p": {}} => {"nest": {"id": "1", "pair": {"b": 7}}};
    }
}

#[test]
fn a_single_value_becomes_a_list_of_one() {
    arrives! {
        "", "ids: 1", {} => {"ids": ["1"]};
        "($i: [ID!])", "ids: $i", {"i": "a"} => {"ids": ["a"]};
        "($i: ID!)", "ids: [$i, 2]", {"i": 1} => {"ids": ["1", "2"]};
        "", "matrix: 1", {} => {"matrix": [[1]]};
        "($m: [[Int]])", "matrix: $m", {"m": 1} => {"matrix": [[1]]};
        "($m: [[Int]])", "matrix: $m", {"m": [[1, null], null]} => {"matrix": [[1, null], null]};
        "($i: Int)", "matrix: [[$i]]", {} => {"matrix": [[null]]};
        "", "priorities: HIGH", {} => {"priorities": ["HIGH"]};
        "", "ids: null", {} => {"ids": null};
    }
    refused! {
        "($i: ID)", "ids: [$i]", {} => Validation, "`ids[0]` cannot take `$i`";
        "($s: String)", "set: {labels: $s}", {"s": "x"} => Validation, "`set.labels` cannot take `$s`";
        "($i: [ID!])", "ids: $i", {"i": ["a", null]} => Variables, "`$i[1]` expects ID!, not null";
    }
}

#[test]
fn built_in_scalars_are_exact() {
    arrives! {
        "($i: ID)", "id: $i", {"i": 5_000_000_000_i64} => {"id": "5000000000"};
        "", "id: 123456789012345678901234567890", {} => {"id": "123456789012345678901234567890"};
        "($l: Int)", "limit: $l", {"l": (i32::MIN)} => {"limit": (i32::MIN)};
        "", "limit: -2147483648", {} => {"limit": (i32::MIN)};
        "($f: Float)", "float: $f", {"f": 3} => {"float": 3.0};
        "", "float: 3", {} => {"float": 3.0};
        "($f: Float)", "float: $f", {"f": 10_000_000_000_000_000_i64} => {"float": 1e16};
        "($f: Float)", "float: $f", {"f": 9_007_199_254_740_993_i64} => {"float": 9_007_199_254_740_992.0};
        "($f: Float)", "float: $f", {"f": (u64::MAX)} => {"float": 18_446_744_073_709_551_615.0};
        "", "float: 100000000000000000000", {} => {"float": 1e20};
        "", "float: -0", {} => {"float": (-0.0)};
        "($f: Float)", "float: $f", {"f": (-0.5)} => {"float": (-0.5)};
        "($p: Priority)", "priority: $p", {"p": "LOW"} => {"priority": "LOW"};
        "", "priority: LOW", {} => {"priority": "LOW"};
    }
    refused! {
        "($l: Int)", "limit: $l", {"l": 5_000_000_000_i64} => Variables, "`$l` expects Int; a number such as this does not fit";
        "", "limit: 5000000000", {} => Validation, "32-bit";
        "($l: Int)", "limit: $l", {"l": (Unrepresentable::Number.mark())} => Variables, "`$l` expects Int; a number such as this";
        "($p: Patch)", "set: $p", {"p": {"done": (Unrepresentable::Number.mark())}} => Variables, "`$p.done` expects Boolean!; a number";
        "($l: Int)", "limit: $l", {"l": "5"} => Variables, "`$l` expects Int; a string such as this";
        "($l: Int)", "limit: $l", {"l": 1.5} => Variables, "`$l` expects Int";
        "($n: String)", "notes: $n", {"n": 5} => Variables, "`$n` expects String";
        "($n: String)", "notes: $n", {"n": ["x"]} => Variables, "`$n` expects String, not a list";
        "($n: String!)", "notes: $n", {"n": null} => Variables, "`$n` expects String!, not null";
        "($p: Priority)", "priority: $p", {"p": "low"} => Variables, "`$p` is not a value of Priority";
        "($p: Priority = \"LOW\")", "priority: $p", {} => Validation, "";
        "", "priority: \"LOW\"", {} => Validation, "";
    }
}

#[test]
fn custom_scalars_take_anything_and_numbers_of_input_objects_what_no_float_holds() {
    arrives! {
        "($j: JSON)", "json: $j", {"j": {"a": [1, 0.5, "x", true, null], "$b": {"": 9_007_199_254_740_993_i64}}}
            => {"json": {"a": [1, 0.5, "x", true, null], "$b": {"": 9_007_199_254_740_993_i64}}};
        "", "json: {a: [1, 0.5, \"x\", true, null, LOW]}", {} => {"json": {"a": [1, 0.5, "x", true, null, "LOW"]}};
        "($n: String)", "json: {a: $n, b: [$n]}", {} => {"json": {"b": [null]}};
        "($n: String)", "json: {a: $n, b: [$n]}", {"n": "x"} => {"json": {"a": "x", "b": ["x"]}};
        "($l: Long)", "long: $l", {"l": "9223372036854775807"} => {"long": "9223372036854775807"};
        "", "long: 9223372036854775807", {} => {"long": 9_223_372_036_854_775_807_i64};
    }
    // The change that carries it decides about it.
    let (number, depth) = (
        Unrepresentable::Number.mark(),
        Unrepresentable::Depth.mark(),
    );
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let cut = (0..120).fold(json!(depth), |inner, _| json!([inner]));
    let long = format!("long: 1{}", "0".repeat(400));
    check("", &long, json!({}), json!({"long": number}));
    arrives! {
        "", "long: 123456789012345678901234567890", {} => {"long": 123_456_789_012_345_678_901_234_567_890.0};
        "", "json: [1e400, -1e400]", {} => {"json": [number, number]};
        "($p: Pair)", "pair: $p", {"p": {"a": number}} => {"pair": {"a": number, "b": 7}};
        "($j: JSON)", "json: $j", {"j": (deep(119))} => {"json": (deep(119))};
        "($j: JSON)", "json: $j", {"j": (deep(125))} => {"json": (cut)};
    }
}

#[test]
fn one_of_takes_exactly_one_field() {
    arrives! {
        "", "choice: {delete: 1}", {} => {"choice": {"delete": "1"}};
        "($d: ID!)", "choice: {delete: $d}", {"d": "a"} => {"choice": {"delete": "a"}};
        "($d: ID! = \"a\")", "choice: {delete: $d}", {} => {"choice": {"delete": "a"}};
        "($c: Choice)", "choice: $c", {"c": {"delete": "a"}} => {"choice": {"delete": "a"}};
    }
    refused! {
        "($c: Choice)", "choice: $c", {"c": {}} => Variables, "`$c` takes exactly one field of Choice, not 0";
        "($c: Choice)", "choice: $c", {"c": {"delete": "a", "create": {"id": 1}}} => Variables, "`$c` takes exactly one";
        "($c: Choice)", "choice: $c", {"c": {"delete": "a", "create": null}} => Variables, "field of Choice, not 2";
        "($c: Choice)", "choice: $c", {"c": {"delete": null}} => Variables, "`$c.delete` is the one field given";
        "($c: Choice)", "choice: $c", {"c": {"other": 1}} => Variables, "`$c.other` is not a field of Choice";
        "($c: Choice)", "choice: $c", {"c": "x"} => Variables, "`$c` expects Choice, not a string";
        "", "choice: {}", {} => Validation, "`choice` takes exactly one field of Choice, not 0";
        "", "choice: {delete: 1, create: {id: 1}}", {} => Validation, "`choice` takes exactly one field of Choice, not 2";
        "", "choice: {delete: null}", {} => Validation, "`choice.delete` is the one field given";
        "($d: ID)", "choice: {delete: $d}", {"d": "a"} => Validation, "`choice.delete` cannot take `$d`";
        "($d: ID = \"a\")", "choice: {delete: $d}", {"d": "b"} => Validation, "`choice.delete` cannot take `$d`";
        "($d: ID! = \"a\")", "choice: {delete: $d}", {"d": null} => Variables, "`$d` expects ID!, not null";
        "($d: ID!, $n: Nest!)", "choice: {delete: $d, create: $n}", {"d": "a", "n": {"id": 1}} => Validation, "not 2";
        "($d: ID, $n: Nest)", "choice: {delete: $d, create: $n}", {"d": "a"} => Validation, "not 2";
    }
}

#[test]
fn mistakes_in_variables_carry_their_path() {
    refused! {
        "($p: Push)", "push: $p", {"p": {}} => Variables, "`$p.changes` of type [Choice!]! is required";
        "($p: Push)", "push: $p", {"p": {"changes": [{"create": {}}]}} => Variables, "`$p.changes[0].create.id` of type ID!";
        "($p: Push)", "push: $p", {"p": {"changes": [{"delete": 1}, null]}} => Variables, "`$p.changes[1]` expects Choice!";
        "($p: Push)", "push: $p", {"p": {"changes": {"create": {"id": 1, "pair": {"c": 1}}}}} => Variables, "create.pair.c` is not";
        "($p: Push)", "push: $p", {"p": {"changes": [], "atomic": null}} => Variables, "`$p.atomic` expects Boolean!, not null";
        "($p: Push)", "push: $p", {"p": {"changes": [], "atomic": "no"}} => Variables, "`$p.atomic` expects Boolean!; a string";
        "($n: Nest)", "nest: $n", {"n": [1]} => Variables, "`$n` expects Nest, not a list";
        "($n: Nest)", "nest: $n", {"n": {"id": null}} => Variables, "`$n.id` expects ID!, not null";
    }
    let query = "query ($p: Push) { echo(push: $p) }";
    let refusal = &refusals(query, json!({"p": {"changes": [1]}}))[0];
    assert_eq!(refusal.path.as_deref(), Some("$p.changes[0]"));
    assert_eq!(refusal.locations, [(1, 8)]);
}

#[test]
fn every_wrong_variable_is_named() {
    let query = "query ($a: ID!, $b: Int) { echo(id: $a, limit: $b) }";
    let found = refusals(query, json!({"b": "x"}));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].message.contains("`$a` of type ID! is required"));
}

#[test]
fn a_variable_without_a_value_cannot_fill_a_required_place() {
    arrives! { "($f: Boolean)", "flag: $f", {} => {"flag": false}; }
    refused! {
        "($f: Boolean)", "flag: $f", {"f": null} => Variables, "`flag` cannot be null, but `$f` is";
        "($i: ID)", "nest: {id: $i}", {} => Validation, "`nest.id` cannot take `$i`";
        "", "flag: null", {} => Validation, "";
    }
    refuse(
        "query ($i: ID) { must(id: $i) }",
        json!({"i": "a"}),
        RequestErrorKind::Validation,
        "$i",
    );
    refuse("{ must }", json!({}), RequestErrorKind::Validation, "");
    refuse(
        "{ must(id: null) }",
        json!({}),
        RequestErrorKind::Validation,
        "",
    );
}

#[test]
fn one_variable_may_serve_many_places() {
    let query = "query ($p: Pair) {
        a: echo(pair: $p) b: echo(pair: $p, nest: {id: 1, pair: {}, base: $p}) ...F
    } fragment F on Query { c: echo(pair: $p) d: echo(pair: $p) }";
    let answer = data(query, json!({"p": {"a": 41}}));
    for alias in ["a", "b", "c", "d"] {
        assert!(answer[alias].as_str().unwrap().contains("41"), "{answer}");
    }
    let query = "query ($n: Int) { task { ... on State { ... on Task { list(first: $n) } } } }";
    assert_eq!(
        data(query, json!({"n": 1}))["task"]["list"],
        json!("{\"first\":1}")
    );
}

#[test]
fn undeclared_values_are_ignored() {
    arrives! { "", "id: 1", {"more": 1} => {"id": "1"}; }
}
