//! Limits, choice of operation, selections, and the cache.

use std::time::{Duration, Instant};

use super::*;

/// One line a case: a document, its variables, and the answer.
macro_rules! answers {
    ($($query:literal, $variables:tt => $expected:tt;)*) => {
        $(assert_eq!(data($query, json!($variables)), json!($expected), "{}", $query);)*
    };
}

/// `levels` fragments, each spreading the next one twice.
fn doubling(levels: usize) -> String {
    let fragment = |it: usize| format!("fragment F{it} on Query {{ ...F{0} ...F{0} }} ", it + 1);
    let fragments: String = (0..levels).map(fragment).collect();
    format!("{{ ...F0 }} {fragments} fragment F{levels} on Query {{ task {{ id }} }}")
}

/// Like [`doubling`], with fields, and without an operation that uses them.
fn doubling_fields(levels: usize) -> String {
    let fragment = |it: usize| {
        let twice = format!("a: task {{ ...F{0} }} b: task {{ ...F{0} }}", it + 1);
        format!("fragment F{it} on Task {{ project {{ {twice} }} }} ")
    };
    let fragments: String = (0..levels).map(fragment).collect();
    format!("{{ task {{ id }} }} {fragments} fragment F{levels} on Task {{ id }}")
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let fields = |one: &str, times: usize| format!("{{ task {{ {} }} }}", one.repeat(times));
    let operations: String = (0..2_000)
        .map(|it| format!("query A{it} {{ ...F }} "))
        .collect();
    let spread = "fragment F on Query { task { id note title id note title } }";
    let directives = format!(
        "fragment F on Query {{ task {{ id {} }} }}",
        "@a ".repeat(400)
    );
    let cycle = "fragment A on Query { ...B } fragment B on Query { ...A }";
    let cases = [
        (doubling(25), RequestErrorKind::Limit),
        (doubling(5_000), RequestErrorKind::Limit),
        (doubling_fields(30), RequestErrorKind::Limit),
        (format!("{{ ...A }} {cycle}"), RequestErrorKind::Validation),
        (cycle.to_owned(), RequestErrorKind::Validation),
        (format!("{operations}{spread}"), RequestErrorKind::Limit),
        (format!("{operations}{directives}"), RequestErrorKind::Limit),
        (fields("id ", 40_000), RequestErrorKind::Limit),
        (fields("id ", 14_000), RequestErrorKind::Limit),
        (fields("a: id ", 600), RequestErrorKind::Limit),
        (fields("id @skip(if: true) ", 600), RequestErrorKind::Limit),
        (
            format!("{{ {} }}", "task { id }".repeat(51)),
            RequestErrorKind::Limit,
        ),
        (
            format!("{{ task {{ id {} }} }}", "@a".repeat(6_000)),
            RequestErrorKind::Limit,
        ),
        ("{ a ".repeat(10_000), RequestErrorKind::Limit),
        (
            format!("{{ echo(matrix: {}", "[".repeat(20_000)),
            RequestErrorKind::Limit,
        ),
        (
            format!("query ($a: {}", "[".repeat(20_000)),
            RequestErrorKind::Limit,
        ),
        (
            format!("{{ echo(json: {}", "{a:".repeat(9_000)),
            RequestErrorKind::Limit,
        ),
        (" ".repeat(1 << 20), RequestErrorKind::Limit),
    ];
    let validator = validator();
    for (query, kind) in cases {
        let started = Instant::now();
        let refusals = validator.validate(raw(&query, json!({}))).unwrap_err();
        let start: String = query.chars().take(60).collect();
        assert_eq!(refusals[0].kind, kind, "{start}: {refusals:?}");
        let taken = started.elapsed();
        assert!(taken < Duration::from_secs(5), "{start}: {taken:?}");
    }
}

#[test]
fn ordinary_documents_are_within_limits() {
    for query in [doubling(3), format!("{{ {} }}", "task { id } ".repeat(10))] {
        assert!(
            validator().validate(raw(&query, json!({}))).is_ok(),
            "{query}"
        );
    }
}

/// A document has room for several operations, each as large as one alone may be.
#[test]
fn limits_of_an_operation_do_not_count_its_neighbours() {
    let limits = Limits {
        query_aliases: 8,
        query_directives: 8,
        ..Limits::default()
    };
    let options = ApiOptions {
        introspection: false,
        limits,
    };
    let validator = RequestValidator::new(&sdl(), options).unwrap();
    let ask = |part: &str| {
        let operations = "query A { task { ...F } } query B { task { ...F } }";
        validator.validate(RawRequest {
            operation_name: Some("B".to_owned()),
            ..raw(
                &format!("{operations} fragment F on Task {{ id {part} }}"),
                json!({}),
            )
        })
    };
    let neighbour = |name: &str, part: &str| {
        let text = format!("query A {{ task {{ id }} }} query B {{ {part} }}");
        validator.validate(RawRequest {
            operation_name: Some(name.to_owned()),
            ..raw(&text, json!({}))
        })
    };
    let aliases = |count| -> String { (0..count).map(|it| format!("a{it}: id ")).collect() };
    let directives = |count| "id @include(if: true) ".repeat(count);
    for (full, beyond, setting) in [
        (aliases(8), aliases(9), "limits.query_aliases"),
        (directives(8), directives(9), "limits.query_directives"),
    ] {
        assert!(ask(&full).is_ok(), "{:?}", ask(&full));
        let refusals = ask(&beyond).unwrap_err();
        assert_eq!(refusals[0].kind, RequestErrorKind::Limit);
        assert!(refusals[0].message.contains(setting), "{refusals:?}");
    }
    let tasks = |part: String| format!("task {{ {part} }}");
    for (beyond, setting) in [
        (tasks(aliases(9)), "limits.query_aliases"),
        (tasks(directives(9)), "limits.query_directives"),
        ("task { id } ".repeat(11), "limits.query_roots"),
        ("__schema { types { name } }".to_owned(), "introspection"),
    ] {
        // The second time from the cache.
        for _ in 0..2 {
            let asked = neighbour("A", &beyond);
            assert!(asked.is_ok(), "{asked:?}");
            let refusals = neighbour("B", &beyond).unwrap_err();
            assert!(refusals[0].message.contains(setting), "{refusals:?}");
        }
    }
}

#[test]
fn large_variables_are_not_multiplied() {
    let echoes: String = (0..10)
        .map(|it| format!("e{it}: echo(notes: $n) "))
        .collect();
    let query = format!("query ($n: String) {{ {echoes} }}");
    let of = |bytes: usize| json!({"n": "x".repeat(bytes)});
    refuse(
        &query,
        of(1 << 20),
        RequestErrorKind::Limit,
        "too large to repeat",
    );
    assert!(validator().validate(raw(&query, of(1 << 10))).is_ok());
    // Each operation uses it once.
    let several = "query A($n: String) { echo(notes: $n) } query B($n: String) { echo(notes: $n) }";
    let asked = RawRequest {
        operation_name: Some("B".to_owned()),
        ..raw(several, of(5 << 20))
    };
    assert!(validator().validate(asked).is_ok());
}

/// The change decides about the content of a list, and the bytes of a request bound all lists.
#[test]
fn lists_of_any_length_are_taken() {
    for query in [
        "query ($v: JSON) { echo(json: $v) }",
        "query ($v: [[Int]]) { echo(matrix: $v) }",
        "query ($v: JSON) { echo(json: {a: [$v]}) }",
    ] {
        let values = json!({"v": vec![1; 20_000]});
        assert!(validator().validate(raw(query, values)).is_ok(), "{query}");
    }
}

/// Request validation of the example model's API.
fn validator_of_the_example() -> RequestValidator {
    let model = include_str!("../../../../model.graphql");
    let model = tidegate_core::model::Model::parse("model.graphql", model).unwrap();
    let api = crate::graphql::Api::new(&Arc::new(model), Default::default()).unwrap();
    RequestValidator::new(api.sdl(), within(Limits::default())).unwrap()
}

/// An operation that costs too much, for this reason, or not.
#[track_caller]
fn costs(query: &str, reason: Option<&str>) {
    let validated = validator_of_the_example().validate(raw(query, json!({})));
    match (validated, reason) {
        (Ok(_), None) => {}
        (Err(refusals), Some(reason)) => {
            assert_eq!(refusals[0].kind, RequestErrorKind::Limit, "{query}");
            assert!(
                refusals[0].message.contains(reason),
                "{query}: {refusals:?}"
            );
        }
        (answer, _) => panic!("{query}: {answer:?}"),
    }
}

#[test]
fn an_operation_costs_documents_times_fields() {
    let aliases = |field: &str, count: usize| -> String {
        (0..count).map(|it| format!("a{it}: {field} ")).collect()
    };
    let page = |limit: usize, of_task: &str| {
        format!(
            "{{ changesSince(limit: {limit}) {{ changes {{ kind document {{ ... on Task {{ {of_task} }} }} }} }} }}"
        )
    };
    let whole = "id title notes done labels minutesSpent audience priority due syncVersion";
    costs(&page(5_000, whole), None);
    // A later check refuses what is out of bounds, with a code of its own.
    costs(&page(1_000_000, "title"), None);
    costs(
        &page(5_000, &aliases("syncVersion", 100)),
        Some("documents times fields"),
    );
    costs(
        &page(500, &aliases("notes", 100)),
        Some("bytes of documents"),
    );
    costs(&page(1, &aliases("notes", 100)), Some("bytes of documents"));
    costs(&page(1, &aliases("notes", 16)), None);
    // Fragments on the interface, on the type and around both are one document.
    let spread = format!(
        "{{ changesSince {{ changes {{ document {{ ... on SyncDocument {{ {} }} ... on Task {{ {} }} }} }} }} }}",
        aliases("syncScope", 3),
        aliases("syncScope", 6).replace('a', "b"),
    );
    costs(&spread, Some("bytes of documents"));
    // Each type has its own fields, and a document is of one.
    let types = "{ changesSince { changes { document { ... on Task { a: syncScope b: syncScope c: syncScope } ... on Project { d: syncScope e: syncScope f: syncScope } } } } }";
    costs(types, None);
    let pages = |count: usize| {
        let page = "changesSince { changes { document { ... on Task { title } } } }";
        format!("{{ {} }}", aliases(page, count))
    };
    costs(&pages(5), None);
    costs(&pages(6), Some("bytes of documents"));
    costs(
        "{ a: task(id: 1) { title } b: task(id: 2) { title } viewer { id } }",
        None,
    );
}

#[test]
fn deep_input_objects_are_refused() {
    let sdl = "type Query { echo(tree: Tree): String } input Tree { tree: Tree }";
    let validator = RequestValidator::new(sdl, within(Limits::default())).unwrap();
    let query = "query ($t: Tree) { echo(tree: $t) }";
    let tree = |inner, _| json!({"tree": inner});
    let deep = |levels: usize| json!({"t": (0..levels).fold(json!({}), tree)});
    assert!(validator.validate(raw(query, deep(119))).is_ok());
    let refusals = validator.validate(raw(query, deep(120))).unwrap_err();
    assert_eq!(refusals[0].kind, RequestErrorKind::Limit, "{refusals:?}");
}

#[test]
fn broken_and_invalid_documents_say_where() {
    let long = "query ($d: Int = 1) {\n# é\r\n  echo(notes: \"é→\", required: $d)\n}";
    for (query, kind, location) in [
        ("{\r\n  é: task { id }\n}", RequestErrorKind::Parse, (2, 3)),
        (
            "{\r\n  task { nope }\n}",
            RequestErrorKind::Validation,
            (2, 10),
        ),
        (long, RequestErrorKind::Variables, (3, 31)),
    ] {
        let refusal = &refusals(query, json!({"d": null}))[0];
        assert_eq!(refusal.kind, kind, "{query}: {refusal:?}");
        assert_eq!(refusal.locations, [location], "{query}: {refusal:?}");
    }
    refuse("", json!({}), RequestErrorKind::Parse, "");
    refuse("{\n  task { id ", json!({}), RequestErrorKind::Parse, "");
    refuse(
        "fragment F on Query { task { id } }",
        json!({}),
        RequestErrorKind::Validation,
        "",
    );
    refuse(
        "type A { b: Int }",
        json!({}),
        RequestErrorKind::Validation,
        "",
    );
}

#[test]
fn positions_stay_those_of_the_document() {
    let query = "{\n  task {\n    t: title } }";
    let validated = validator().validate(raw(query, json!({}))).unwrap();
    let place = validated.selection.fields[0].position.0;
    assert_eq!((place.line, place.column), (2, 3));
}

#[test]
fn the_operation_is_chosen_by_name() {
    let two = "query A { task { id } } mutation B { push(input: {changes: []}) { a } }";
    for (name, query, expected) in [
        (Some("A"), two, Ok(OperationKind::Query)),
        (Some("B"), two, Ok(OperationKind::Mutation)),
        (Some("C"), two, Err(RequestErrorKind::OperationChoice)),
        (None, two, Err(RequestErrorKind::OperationChoice)),
        (None, "query A { task { id } }", Ok(OperationKind::Query)),
        (
            Some("A"),
            "{ task { id } }",
            Err(RequestErrorKind::OperationChoice),
        ),
        (
            None,
            "subscription { changes { a } }",
            Ok(OperationKind::Subscription),
        ),
    ] {
        let operation_name = name.map(str::to_owned);
        let request = RawRequest {
            operation_name,
            ..raw(query, json!({}))
        };
        let validated = validator().validate(request);
        let found = validated
            .map(|it| it.kind())
            .map_err(|refusals| refusals[0].kind);
        assert_eq!(found, expected, "{name:?} of {query}");
    }
}

#[test]
fn duplicate_root_keys_run_once() {
    let query = "mutation {
        push(input: {changes: []}) { a }
        ...M
        push(input: {changes: []}) { task { id } }
    } fragment M on Mutation { push(input: {changes: []}) { b task { title } } }";
    let validator = validator();
    let validated = validator.validate(raw(query, json!({}))).unwrap();
    let mut pushes = 0;
    let answer = interpreter::answer(&validator.schema, &validated, &mut |field| {
        pushes += usize::from(field.coordinate == "Mutation.push");
        echo(field)
    });
    let expected = json!({"push": {"a": "{}", "b": "{}", "task": {"title": "{}", "id": "{}"}}});
    assert_eq!(answer, expected);
    assert_eq!(pushes, 1);
}

#[test]
fn selections_keep_their_meaning() {
    answers! {
        "{ task { id id ...T ... { note } } } fragment T on Task { title id }", {}
            => {"task": {"id": "{}", "title": "{}", "note": "{}"}};
        "{ any { id ... on Task { id title } ... on Project { name } } }", {} => {"any": {"id": "{}", "title": "{}"}};
        "{ any { __typename ... on Document { note } } }", {} => {"any": {"__typename": "Task", "note": "{}"}};
        "{ any { ... on Task { title } ... on Project { name } } }", {} => {"any": {"title": "{}"}};
        "{ any { ... on State { ... on Task { title } } } }", {} => {"any": {"title": "{}"}};
        "{ any { ...T ...P } } fragment T on Task { project { id } } fragment P on Task { project { name } }", {}
            => {"any": {"project": {"id": "{}", "name": "{}"}}};
        "{ state { __typename ... on Document { id } ... on Task { title } } }", {}
            => {"state": {"__typename": "Task", "id": "{}", "title": "{}"}};
        "{ task { ... on Document { id } ... on State { ... on Task { note } } } }", {}
            => {"task": {"id": "{}", "note": "{}"}};
        "{ task { project { p: tasks q: tasks(first: 2) } } }", {}
            => {"task": {"project": {"p": "{\"first\":50}", "q": "{\"first\":2}"}}};
        "query { __typename t: __typename }", {} => {"__typename": "Query", "t": "Query"};
        "mutation { __typename }", {} => {"__typename": "Mutation"};
    }
}

#[test]
fn conditions_leave_the_plain_selection() {
    answers! {
        "query ($y: Boolean!) { task { id @include(if: $y) note @skip(if: $y) } }", {"y": true} => {"task": {"id": "{}"}};
        "query ($y: Boolean!) { task { id @include(if: $y) note @skip(if: $y) } }", {"y": false} => {"task": {"note": "{}"}};
        "query ($y: Boolean!) { task { id ...T @include(if: $y) } } fragment T on Task { title }", {"y": false}
            => {"task": {"id": "{}"}};
        "query ($y: Boolean!) { task { id ... @skip(if: $y) { title } } }", {"y": true} => {"task": {"id": "{}"}};
        "query ($y: Boolean!) { task { id @skip(if: $y) @include(if: $y) id @include(if: $y) } }", {"y": true}
            => {"task": {"id": "{}"}};
        "query ($y: Boolean = false) { task { id @skip(if: $y) } }", {} => {"task": {"id": "{}"}};
    }
    let query = "query ($y: Boolean = false) { task { id @skip(if: $y) } }";
    refuse(
        query,
        json!({"y": null}),
        RequestErrorKind::Variables,
        "$y has no value",
    );
}

#[test]
fn an_object_without_fields_is_not_null() {
    answers! {
        "{ any { ... on Project { name } } }", {} => {"any": {}};
        "{ task { id @skip(if: true) } }", {} => {"task": {}};
        "{ task @skip(if: true) { id } }", {} => {};
        "mutation { push(input: {changes: []}) @skip(if: true) { a } }", {} => {};
    }
}

#[test]
fn a_subscription_has_one_unconditional_root_field() {
    for query in [
        "subscription { changes { a } echo }",
        "subscription { changes { a } b: changes { a } }",
        "subscription { ...S } fragment S on Subscription { changes { a } echo }",
        "subscription { __typename }",
        "subscription { changes @skip(if: true) { a } }",
        "subscription ($y: Boolean!) { ... @include(if: $y) { changes { a } } }",
    ] {
        refuse(query, json!({"y": true}), RequestErrorKind::Validation, "");
    }
    answers! {
        "subscription { ...S } fragment S on Subscription { changes { a } }", {} => {"changes": {"a": "{}"}};
    }
}

#[test]
fn introspection_passes() {
    let tools = include_str!("introspection.graphql");
    assert!(validator().validate(raw(tools, json!({}))).is_ok());
    let deep = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    refuse(deep, json!({}), RequestErrorKind::Limit, "introspection");
}

#[test]
fn a_text_is_validated_once() {
    let validator = validator();
    let checked = |text: &str| validator.checked(text).unwrap();
    let (first, again) = (checked("{ task { id } }"), checked("{ task { id } }"));
    assert!(Arc::ptr_eq(&first, &again));
    assert!(!Arc::ptr_eq(&first, &checked("{ task { note } }")));
}

#[test]
fn the_cache_is_bounded() {
    let limits = Limits {
        cached_bytes: 40,
        ..Limits::default()
    };
    let validator = RequestValidator::new(&sdl(), within(limits)).unwrap();
    let checked = |text: &str| validator.checked(text).unwrap();
    let first = checked("{ task { id } }");
    checked("{ task { note } }");
    assert!(Arc::ptr_eq(&first, &checked("{ task { id } }")));
    checked("{ task { title } }");
    checked("{ task { id note } }");
    assert!(!Arc::ptr_eq(&first, &checked("{ task { id } }")));
}

#[test]
fn a_large_push_arrives_whole() {
    let change = |it: usize| json!({"create": {"id": it, "pair": {"a": it}}});
    let changes: Vec<_> = (0..1_000).map(change).collect();
    let query = "query ($push: Push!) { echo(push: $push) }";
    let answer = data(query, json!({"push": {"changes": changes}}));
    let echoed: Json = serde_json::from_str(answer["echo"].as_str().unwrap()).unwrap();
    let last = json!({"create": {"id": "999", "pair": {"a": 999, "b": 7}}});
    assert_eq!(echoed["push"]["changes"][999], last);
}

#[test]
fn only_a_valid_schema_builds_a_validator() {
    let builds = |sdl: &str| RequestValidator::new(sdl, within(Limits::default())).is_ok();
    assert!(!builds("type Query { a: Missing }"));
    assert!(!builds("type Query {"));
    assert!(builds(
        "input A @oneOf { b: Int } type Query { a(a: A): Int }"
    ));
}
