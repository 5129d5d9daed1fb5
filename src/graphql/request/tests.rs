//! Requests in validation: each field is answered with exactly the arguments that it got, one line a case.
//! `interpreter.rs` answers, and `peer.rs` compares with graphql-js.

mod documents;
mod found;
mod input;
mod interpreter;
pub(in crate::graphql) mod peer;
mod persisted;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use self::interpreter::{ExecutionResult, FieldResult};
use super::{OperationKind, RawRequest, RequestError, RequestErrorKind, RequestValidator};
use crate::{graphql::ApiOptions, limits::Limits};

const SDL: &str = r#"
directive @oneOf on INPUT_OBJECT
scalar JSON
scalar Long
enum Priority { LOW NORMAL HIGH }
interface Document { id: ID! note: String }
type Task implements Document { id: ID! note: String title: String project: Project list(first: Int = 50): String }
type Project implements Document { id: ID! note: String name: String tasks(first: Int = 50): String task: Task }
union State = Task | Project

input Patch { done: Boolean! = false priority: Priority! = NORMAL labels: [String!]! = [] notes: String }
input Pair { a: Int b: Int = 7 }
input Nest { id: ID! pair: Pair! = { a: 5 } base: Pair }
input Choice @oneOf { create: Nest delete: ID }
input Push { changes: [Choice!]! atomic: Boolean! = false epoch: ID }

type Query {
  echo(
    notes: String  limit: Int = 500  flag: Boolean! = false  required: Int! = 1  id: ID  ids: [ID!]  matrix: [[Int]]
    float: Float  priority: Priority  priorities: [Priority!] = [LOW]  json: JSON  long: Long
    set: Patch  pair: Pair  nest: Nest  choice: Choice  push: Push
  ): String!
  must(id: ID!): String!
  task: Task
  any: Document
  state: State
}
type Payload { a: String b: String task: Task }
type Mutation { echo(ECHO): String!  push(input: Push!): Payload! }
type Subscription { echo(ECHO): String!  changes(limit: Int = 500): Payload! }
"#;

/// The three roots take the same arguments.
fn sdl() -> String {
    let begin = SDL.find("echo(").expect("the schema has an echo") + "echo(".len();
    let end = begin + SDL[begin..].find("): String!").expect("the echo ends");
    SDL.replace("ECHO", &SDL[begin..end])
}

/// With introspection, within these limits.
fn within(limits: Limits) -> ApiOptions {
    ApiOptions {
        introspection: true,
        limits,
    }
}

fn validator() -> RequestValidator {
    RequestValidator::new(&sdl(), within(Limits::default())).unwrap()
}

fn raw(query: &str, variables: Json) -> RawRequest {
    let Json::Object(variables) = variables else {
        panic!("variables are an object")
    };
    RawRequest {
        query: query.to_owned(),
        hash: None,
        operation_name: None,
        variables,
    }
}

/// The data of the answer to `query`.
fn data(query: &str, variables: Json) -> Json {
    let validator = validator();
    let validated = validator
        .validate(raw(query, variables))
        .unwrap_or_else(|refusals| panic!("{query}: {refusals:#?}"));
    interpreter::answer(&validator.schema, &validated, &mut echo)
}

fn refusals(query: &str, variables: Json) -> Vec<RequestError> {
    match validator().validate(raw(query, variables)) {
        Ok(validated) => panic!("{query} was admitted: {validated:?}"),
        Err(refusals) => refusals,
    }
}

/// `query` is refused, and the first reason is `reason`.
#[track_caller]
fn refuse(query: &str, variables: Json, kind: RequestErrorKind, reason: &str) {
    let refusals = refusals(query, variables);
    assert!(
        refusals[0].message.contains(reason),
        "{query}: {refusals:#?}"
    );
    assert_eq!(refusals[0].kind, kind, "{query}: {refusals:#?}");
}

/// A leaf answers with its arguments, an abstract type with a task.
fn echo(field: &FieldResult<'_>) -> ExecutionResult {
    match field.ty.inner_named_type().as_str() {
        "String" | "ID" => ExecutionResult::Leaf(json!(field.arguments.to_string())),
        "Document" | "State" => ExecutionResult::Object("Task".to_owned()),
        object => ExecutionResult::Object(object.to_owned()),
    }
}
