//! Request validation compared with graphql-js, the reference implementation. On random schemas and requests both
//! refuse the same requests, at the same stage, and resolvers get the same arguments.
//!
//! A failure prints a schema and the smallest request found on it. `TIDEGATE_VALIDATION_CASES` asks for more cases than an
//! ordinary run has, `TIDEGATE_VALIDATION_SEED` for others. The limits are set out of the way, since graphql-js has none.

mod behind;
pub(in crate::graphql) mod cases;
mod declared;
mod differences;
pub(in crate::graphql) mod graphql_js;
mod json;
mod literals;
mod operations;
pub(in crate::graphql) mod schemas;
mod selections;
pub(in crate::graphql) mod tape;

use proptest::test_runner::TestCaseError;
use serde::Deserialize;

use self::{
    behind::Behind,
    cases::{compare_each, drawn, setting},
    graphql_js::GraphqlJs,
    tape::Tape,
};
use super::*;

/// Cases of an ordinary run.
const CASES: u64 = 3_000;
/// Requests on each schema.
const REQUESTS: u32 = 100;
/// The most random choices for a schema, and for a request.
const SCHEMA_CHOICES: usize = 2_000;
const REQUEST_CHOICES: usize = 500;

/// The result of a request.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PeerReply {
    Refused {
        refused: String,
        reason: String,
    },
    Ran {
        resolved: Vec<FieldResolution>,
        data: Json,
    },
}

/// One resolver call: its path in the answer, its field such as `Query.task`, and its arguments.
type FieldResolution = (String, String, Json);

#[test]
fn validation_accepts_and_gives_what_graphql_js_does() {
    let cases = setting("TIDEGATE_VALIDATION_CASES").unwrap_or(CASES);
    let seed = setting("TIDEGATE_VALIDATION_SEED").unwrap_or(1);
    let mut graphql_js = GraphqlJs::start("peer.mjs");
    let mut validated = 0;
    for at in 0..cases.div_ceil(u64::from(REQUESTS)) {
        validated += compare_on_schema(&mut graphql_js, seed, at);
    }
    let share = validated * 100 / cases;
    assert!(
        (30..=90).contains(&share),
        "{share} of a hundred requests were admitted: too few or too many to compare"
    );
}

/// Returns how many requests were admitted.
fn compare_on_schema(graphql_js: &mut GraphqlJs, seed: u64, at: u64) -> u64 {
    let (choices, rng) = drawn(seed, at, SCHEMA_CHOICES);
    let sdl = match at % 2 {
        0 => schemas::generated(choices),
        _ => schemas::random(choices),
    };
    graphql_js.set_schema(&sdl);
    let behind = Behind::new(&sdl);
    let validated = compare_each(rng, (REQUESTS, REQUEST_CHOICES), |choices| {
        compare(&behind, graphql_js, choices)
    });
    validated.unwrap_or_else(|found| {
        panic!("{sdl}\nTIDEGATE_VALIDATION_SEED={seed}, schema {at}: {found}")
    })
}

/// Returns whether the request was admitted.
fn compare(
    behind: &Behind,
    graphql_js: &mut GraphqlJs,
    choices: Tape,
) -> Result<bool, TestCaseError> {
    let request = operations::request(behind.schema(), choices);
    let (ours, theirs) = (behind.run(&request), graphql_js.run(&request));
    if is_same(&ours, &theirs) {
        return Ok(matches!(ours, PeerReply::Ran { .. }));
    }
    let variables = Json::Object(request.variables);
    let rest = format!(
        "variables {variables}, operation {:?}",
        request.operation_name
    );
    let difference = difference(&ours, &theirs);
    Err(TestCaseError::fail(format!(
        "{}\n{rest}\n{difference}",
        request.query
    )))
}

fn is_same(ours: &PeerReply, theirs: &PeerReply) -> bool {
    match (ours, theirs) {
        (
            PeerReply::Refused { refused: ours, .. },
            PeerReply::Refused {
                refused: theirs, ..
            },
        ) => {
            // graphql-js checks an argument when its field runs; `differences.rs` says why validation does not wait.
            ours == theirs || (ours == "variables" && theirs == "argument")
        }
        (
            PeerReply::Ran {
                resolved: ours,
                data: our_data,
            },
            PeerReply::Ran {
                resolved: theirs,
                data: their_data,
            },
        ) => ours == theirs && our_data == their_data,
        _ => false,
    }
}

/// The difference: of two that ran, only the resolver calls that differ.
fn difference(ours: &PeerReply, theirs: &PeerReply) -> String {
    let (ours, theirs) = (ours.beside(theirs), theirs.beside(ours));
    format!("gateway: {ours}\ngraphql-js: {theirs}")
}

impl PeerReply {
    /// In one order and with one form for each number, so that results can be compared.
    fn ran(mut resolved: Vec<FieldResolution>, mut data: Json) -> Self {
        resolved.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (_, _, arguments) in &mut resolved {
            make_numbers_plain(arguments);
        }
        make_numbers_plain(&mut data);
        if let Json::Object(fields) = &mut data {
            // Each side has its own answers to introspection.
            fields.retain(|key, _| key != "__schema" && key != "__type");
        }
        Self::Ran { resolved, data }
    }

    fn beside(&self, other: &Self) -> String {
        match (self, other) {
            (Self::Refused { refused, reason }, _) => format!("refused at {refused}: {reason}"),
            (
                Self::Ran { resolved, data },
                Self::Ran {
                    resolved: others, ..
                },
            ) => {
                let only: Vec<_> = resolved.iter().filter(|it| !others.contains(it)).collect();
                format!("{data}, resolvers {only:#?}")
            }
            (Self::Ran { resolved, data }, _) => format!("{data}, resolvers {resolved:?}"),
        }
    }
}

/// JSON has one kind of number, JavaScript writes 2.0 as 2, and its JSON knows no sign of zero.
fn make_numbers_plain(value: &mut Json) {
    match value {
        Json::Number(number) => {
            *value = json!(number.as_f64().expect("JSON numbers are finite") + 0.0)
        }
        Json::Array(items) => items.iter_mut().for_each(make_numbers_plain),
        Json::Object(fields) => fields.values_mut().for_each(make_numbers_plain),
        _ => {}
    }
}
