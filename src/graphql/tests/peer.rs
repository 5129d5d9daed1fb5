//! Execution compared with graphql-js, the reference implementation. Both have the same schema and data, and a store that
//! may fail. Random operations get the same text, and errors for the same nulls.
//!
//! A failure prints the smallest operation found. `TIDEGATE_EXECUTION_CASES` asks for more cases than an ordinary run
//! has, `TIDEGATE_EXECUTION_SEED` for others.

mod documents;
pub(super) mod fixture;
mod making;
pub(super) mod operations;
pub(crate) mod staged;

use std::collections::BTreeSet;

use proptest::test_runner::TestCaseError;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use self::{fixture::TestWorld, operations::RandomOperation};
use crate::graphql::request::tests::peer::{
    cases::{compare_each, drawn, setting},
    graphql_js::GraphqlJs,
    tape::Tape,
};

/// Cases of an ordinary run.
const CASES: u64 = 600;
/// Operations on the same data.
const OPERATIONS: u32 = 60;
/// The most random choices for a world, and for an operation.
const WORLD_CHOICES: usize = 20_000;
const OPERATION_CHOICES: usize = 400;

/// The result of an operation in graphql-js.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PeerAnswer {
    Refused { refused: String },
    Answered { data: String, errors: Vec<Json> },
}

#[test]
fn operations_are_answered_as_graphql_js_answers_them() {
    let cases = setting("TIDEGATE_EXECUTION_CASES").unwrap_or(CASES);
    let seed = setting("TIDEGATE_EXECUTION_SEED").unwrap_or(1);
    let mut graphql_js = GraphqlJs::start("execution.mjs");
    let answered = (0..cases.div_ceil(u64::from(OPERATIONS)))
        .map(|at| compare_on_world(&mut graphql_js, seed, at))
        .sum::<u64>();
    let share = answered * 100 / cases;
    assert!(
        share >= 70,
        "{share} of a hundred operations were valid: too few to compare"
    );
}

/// Returns how many operations were answered.
fn compare_on_world(graphql_js: &mut GraphqlJs, seed: u64, at: u64) -> u64 {
    let (choices, rng) = drawn(seed, at, WORLD_CHOICES);
    let world = TestWorld::new(choices);
    graphql_js.ask(world.reported());
    let answered = compare_each(rng, (OPERATIONS, OPERATION_CHOICES), |choices| {
        compare(&world, graphql_js, choices)
    });
    answered.unwrap_or_else(|found| panic!("TIDEGATE_EXECUTION_SEED={seed}, world {at}: {found}"))
}

/// Returns whether the operation was answered.
fn compare(
    world: &TestWorld,
    graphql_js: &mut GraphqlJs,
    choices: Tape,
) -> Result<bool, TestCaseError> {
    let operation = operations::operation(world.schema(), world.roots(), choices);
    let ours = world.run(&operation);
    let theirs = graphql_js.ask(&json!({
        "query": operation.query,
        "variables": operation.variables,
    }));
    let differs = |why: &str| {
        let RandomOperation { query, variables } = &operation;
        let variables = Json::Object(variables.clone());
        let ours = ours.as_deref().unwrap_or("refused");
        TestCaseError::fail(format!(
            "{why}\n{query}\nvariables {variables}\nTidegate: {ours}\ngraphql-js: {theirs}"
        ))
    };
    match (&ours, serde_json::from_value(theirs.clone()).unwrap()) {
        (Err(_), PeerAnswer::Refused { .. }) => Ok(false),
        (Ok(ours), PeerAnswer::Answered { data, errors }) => match difference(ours, &data, &errors)
        {
            None => Ok(true),
            Some(why) => Err(differs(why)),
        },
        (Err(refused), PeerAnswer::Answered { .. }) => Err(differs(&format!("refused: {refused}"))),
        (Ok(_), PeerAnswer::Refused { refused }) => {
            Err(differs(&format!("should refuse: {refused}")))
        }
    }
}

fn difference(ours: &str, data: &str, errors: &[Json]) -> Option<&'static str> {
    let Some(rest) = ours.strip_prefix(&format!("{{\"data\":{data}")) else {
        return Some("the data differ");
    };
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    let ours: Json = serde_json::from_str(&format!("{{{rest}")).unwrap();
    let ours = ours["errors"].as_array().cloned().unwrap_or_default();
    let data: Json = serde_json::from_str(data).unwrap();
    if !ours.iter().all(is_whole) {
        return Some("an error has no path, place, code or message");
    }
    let nulls = |errors: &[Json]| -> BTreeSet<String> {
        let paths = errors.iter().map(|error| &error["path"]);
        paths.map(|path| null_of(&data, path)).collect()
    };
    (nulls(&ours) != nulls(errors)).then_some("errors explain other nulls")
}

fn is_whole(error: &Json) -> bool {
    let has = |name: &str| {
        error[name]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    };
    let code = &error["extensions"]["code"];
    has("path") && has("locations") && code.is_string() && error["message"].is_string()
}

/// The path of the null to which an error at `path` has led.
fn null_of(data: &Json, path: &Json) -> String {
    let mut value = data;
    let mut way = String::new();
    for segment in path.as_array().unwrap() {
        if value.is_null() {
            break;
        }
        way += &format!("/{segment}");
        value = match segment {
            Json::String(key) => &value[key],
            index => &value[index.as_u64().unwrap() as usize],
        };
    }
    assert!(
        value.is_null(),
        "an error at {path}, where there is a value: {data}"
    );
    way
}
