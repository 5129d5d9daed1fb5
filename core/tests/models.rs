//! Wrong models and their messages.
//!
//! A file of `models/` holds many cases, each begun by a line `#! <kind>: <what is wrong>`. A `file` stands as it is, a
//! `model` gets a grant and a synced type if it has none, and a `field` is put into a synced type. The snapshot of the
//! same name holds the mistakes.

use std::sync::Arc;

use proptest::prelude::*;
use tidegate_core::{
    id::IdType,
    model::{
        ConflictRule, Diagnostics, Format, MergeStrategy, Model, Overlap, Policy, ServerValue,
    },
};

const GRANT: &str = "extend schema @grant(scope: \"user:{sub}\", access: WRITE)";
const OTHER: &str =
    "type Other @collection(name: \"others\") @scope(by: \"public\") { id: ID! name: String }";
const TASK: &str = "type Task @collection(name: \"tasks\") @scope(by: \"public\") { id: ID!";

macro_rules! wrong {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            let cases = include_str!(concat!("models/", stringify!($name), ".graphql"));
            insta::with_settings!(
                { snapshot_path => "models", prepend_module_to_snapshot => false, omit_expression => true },
                { insta::assert_snapshot!(stringify!($name), mistakes_of_all(cases)); }
            );
        }
    )*};
}

wrong! { syntax, directives, foreign, definitions, names, roots, fields, defaults, constraints, merges, types, templates, indexes, relations, evolution, keys, rights, server }

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = "type Task @collection(name: \"\") {\n  done: Bool\n  _x: Int @merg\n}";
    let places: Vec<(usize, usize)> = Model::parse("model.graphql", text)
        .unwrap_err()
        .iter()
        .map(|mistake| (mistake.line, mistake.column))
        .collect();
    assert_eq!(
        places,
        [(1, 1), (1, 6), (1, 6), (1, 29), (2, 9), (3, 3), (3, 11)]
    );
}

#[test]
fn the_example_is_a_model_whose_types_can_be_selected_together() {
    let model = parse(include_str!("../../model.graphql"));
    let names: Vec<&str> = model.types.iter().map(|ty| ty.name.as_str()).collect();
    assert_eq!(names, ["Task", "Project", "Article", "Member"]);
    assert_eq!(model.clashes(), []);
}

#[test]
fn places_count_characters() {
    let text = "type Aufgabe @collection(name: \"größe\", plurl: \"x\") { id: ID! name: String }";
    let mistakes = Model::parse("model.graphql", text).unwrap_err();
    let columns: Vec<usize> = mistakes.iter().map(|mistake| mistake.column).collect();
    assert_eq!(columns, [1, 6, 41]);
}

#[test]
fn everything_a_model_can_say_is_understood() {
    let model = parse(include_str!("models/right.graphql"));
    insta::with_settings!(
        { snapshot_path => "models", prepend_module_to_snapshot => false, omit_expression => true },
        { insta::assert_debug_snapshot!("right", model); }
    );
}

#[test]
fn what_is_doubtful_in_a_good_model_is_warned_of() {
    let cases = include_str!("models/warnings.graphql").split("#! file: ");
    let warnings = cases.skip(1).map(|case| {
        let (title, body) = case.split_once('\n').expect("a case has a title");
        parse(body);
        let warnings = Model::warnings("model.graphql", body);
        let lines: String = warnings.iter().map(|it| format!("{it}\n")).collect();
        format!("# {title}\n{lines}\n")
    });
    insta::with_settings!(
        { snapshot_path => "models", prepend_module_to_snapshot => false, omit_expression => true },
        { insta::assert_snapshot!("warnings", warnings.collect::<String>()); }
    );
    let example = include_str!("../../model.graphql");
    assert_eq!(Model::warnings("model.graphql", example), []);
}

#[test]
fn every_name_a_directive_takes_has_its_meaning() {
    let task = |collection: &str, conflict: &str, field: &str| {
        let ty = format!(
            "{GRANT} type Task @collection(name: \"tasks\" {collection}) @scope(by: \"public\") {conflict} {{ id: ID! {field} name: String }}"
        );
        Arc::clone(&parse(&ty).types[0])
    };
    for (name, policy) in [
        ("SERVER_WINS", Policy::ServerWins),
        ("CLIENT_WINS", Policy::ClientWins),
        ("LAST_WRITE_WINS", Policy::LastWriteWins),
        ("MERGE", Policy::Merge),
        ("MANUAL", Policy::Manual),
    ] {
        let rule = &task(
            "",
            &format!("@conflict(policy: {name} clientMayChoose: {name})"),
            "",
        )
        .conflict;
        assert_eq!(
            (rule.policy, &rule.client_may_choose[..]),
            (policy, &[policy][..])
        );
    }
    for (name, value) in ServerValue::NAMES {
        let ty = if value.is_user() { "ID" } else { "DateTime" };
        let task = task("", "", &format!("kept: {ty} @server(value: {name})"));
        let kept = &task.fields[0];
        assert_eq!((kept.server, kept.read_only), (Some(value), true));
    }
    for (name, overlap) in [
        ("SERVER_WINS", Overlap::ServerWins),
        ("CLIENT_WINS", Overlap::ClientWins),
        ("LAST_WRITE_WINS", Overlap::LastWriteWins),
        ("MANUAL", Overlap::Manual),
    ] {
        let rule = &task("", &format!("@conflict(overlap: {name})"), "").conflict;
        assert_eq!((rule.policy, rule.overlap), (Policy::Merge, overlap));
    }
    let asking = "@conflict(policy: WEBHOOK, webhook: \"review_2\", overlap: CLIENT_WINS)";
    let rule = &task("", asking, "").conflict;
    assert_eq!(
        (rule.policy, rule.webhook.as_deref(), rule.overlap),
        (Policy::Webhook, Some("review_2"), Overlap::ClientWins)
    );
    for (name, id_type) in [
        ("STRING", IdType::String),
        ("OBJECT_ID", IdType::ObjectId),
        ("UUID", IdType::Uuid),
        ("INT", IdType::Int),
    ] {
        assert_eq!(task(&format!("idType: {name}"), "", "").id_type, id_type);
    }
    for (name, format) in [
        ("EMAIL", Format::Email),
        ("URI", Format::Uri),
        ("UUID", Format::Uuid),
        ("DATE", Format::Date),
    ] {
        let field = format!("a: String @constraint(format: {name})");
        assert_eq!(
            task("", "", &field).fields[0].constraint.format,
            Some(format)
        );
    }
    for (name, ty, strategy) in [
        ("SERVER", "JSON", MergeStrategy::Server),
        ("CLIENT", "JSON", MergeStrategy::Client),
        ("LATEST", "JSON", MergeStrategy::Latest),
        ("COUNTER", "Int", MergeStrategy::Counter),
        ("SET", "[Int!]", MergeStrategy::Set),
        ("MAX", "DateTime", MergeStrategy::Max),
        ("MIN", "Decimal", MergeStrategy::Min),
        ("TEXT", "String", MergeStrategy::Text),
    ] {
        let field = format!("a: {ty} @merge(with: {name})");
        assert_eq!(task("", "", &field).fields[0].merge, Some(strategy));
    }
}

#[test]
fn a_type_without_a_conflict_rule_merges_and_the_server_wins_where_edits_overlap() {
    let model = parse(&format!("{GRANT} {OTHER}"));
    let rule = ConflictRule {
        policy: Policy::Merge,
        overlap: Overlap::ServerWins,
        client_may_choose: Vec::new(),
        webhook: None,
    };
    assert_eq!(model.types[0].conflict, rule);
}

proptest! {
    /// Half-written models reach the parser at every key stroke of an editor.
    #[test]
    fn no_text_makes_the_parser_panic(start in 0_usize..2000, length in 0_usize..60, middle in "[a-z{}()\\[\\]\":@!$ é]{0,6}") {
        let text = include_str!("models/right.graphql");
        let before: String = text.chars().take(start).collect();
        let after: String = text.chars().skip(start + length).collect();
        let _: Result<Model, Diagnostics> = Model::parse("model.graphql", &(before + &middle + &after));
    }
}

#[test]
fn fields_of_one_name_and_different_types_are_named() {
    let clashes = parse(include_str!("models/clashes.graphql")).clashes();
    let fields: Vec<String> = clashes
        .iter()
        .map(|clash| format!("{} {} {}", clash.a, clash.b, clash.field))
        .collect();
    assert_eq!(
        fields,
        [
            "A B nullable",
            "A B list",
            "A B leaf",
            "A B choice",
            "A B deep",
            "A B deepToo",
            "A B mixed",
            "A C nullable",
            "A C friend",
        ]
    );
}

fn parse(text: &str) -> Model {
    Model::parse("model.graphql", text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn mistakes_of_all(cases: &str) -> String {
    cases.split("#! ").skip(1).map(mistakes_of).collect()
}

fn mistakes_of(case: &str) -> String {
    let (title, body) = case
        .split_once('\n')
        .expect("a case has a title and a body");
    let (kind, wrong) = title
        .split_once(": ")
        .expect("a title has a kind and says what is wrong");
    let body = body.trim_end();
    match Model::parse("model.graphql", &complete(kind, body)) {
        Ok(_) => panic!("{wrong}: no mistake was found"),
        Err(mistakes) => format!("# {wrong}\n{body}\n{mistakes}\n\n"),
    }
}

/// Additions follow the case, so that the places in the mistakes are those of the case.
fn complete(kind: &str, body: &str) -> String {
    let text = match kind {
        "file" => return body.to_owned(),
        "model" => body.to_owned(),
        "field" => format!("{TASK}\n{body}\n}}"),
        other => panic!("there is no kind of case called {other}"),
    };
    let grant = if text.contains("@grant(") { "" } else { GRANT };
    let synced = if text.contains("@collection") {
        ""
    } else {
        OTHER
    };
    format!("{text}\n{grant}\n{synced}")
}
