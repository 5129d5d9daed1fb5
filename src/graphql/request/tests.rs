//! The door before an engine that answers each field with exactly the arguments it was given: one line a case. The
//! engine itself is in `engine.rs`, what is compared with graphql-js in `peer.rs`.

mod documents;
mod engine;
mod found;
mod input;
pub(in crate::graphql) mod peer;
mod persisted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apollo_compiler::Schema;
use async_graphql::dynamic::{FieldValue, ResolverContext, Schema as Engine};
use async_graphql::{Request, Response};
use futures_util::StreamExt;
use serde_json::{Value as Json, json};

use self::engine::Resolved;
use super::{Admitted, Door, DoorLimits, OperationKind, RawRequest, Refusal, RefusalKind, request};
use crate::graphql::complete::Completion;
use crate::graphql::joined;

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

fn door() -> Door {
    Door::new(&sdl(), DoorLimits::default()).unwrap()
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

/// What the engine answers to `query` behind the door.
fn run(query: &str, variables: Json) -> Response {
    let door = door();
    let admitted = door
        .admit(raw(query, variables))
        .unwrap_or_else(|refusals| panic!("{query}: {refusals:#?}"));
    answer_to(admitted, &door, &engine().0, |request| request)
}

/// As `Api::execute` puts an answer together; what resolvers are to find is in `prepared`.
fn answer_to(
    admitted: Admitted,
    door: &Door,
    engine: &Engine,
    prepared: impl FnOnce(Request) -> Request,
) -> Response {
    let completion = Completion::new(door.schema(), admitted.kind, &admitted.asked);
    let of_schema = admitted.introspection.map(|document| {
        let response = execute(engine, OperationKind::Query, request(document));
        response.data
    });
    let mut response = execute(engine, admitted.kind, prepared(request(admitted.document)));
    response.data = joined(response.data, of_schema.unwrap_or_default());
    completion.complete(response)
}

fn execute(engine: &Engine, kind: OperationKind, request: Request) -> Response {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        match kind {
            OperationKind::Subscription => engine
                .execute_stream(request)
                .next()
                .await
                .expect("one event"),
            _ => engine.execute(request).await,
        }
    })
}

fn data(query: &str, variables: Json) -> Json {
    let response = run(query, variables);
    assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
    response.data.into_json().unwrap()
}

fn refusals(query: &str, variables: Json) -> Vec<Refusal> {
    match door().admit(raw(query, variables)) {
        Ok(admitted) => panic!("{query} was admitted: {admitted:?}"),
        Err(refusals) => refusals,
    }
}

/// `query` is refused, first of all for `reason`.
#[track_caller]
fn refuse(query: &str, variables: Json, kind: RefusalKind, reason: &str) {
    let refusals = refusals(query, variables);
    assert!(
        refusals[0].message.contains(reason),
        "{query}: {refusals:#?}"
    );
    assert_eq!(refusals[0].kind, kind, "{query}: {refusals:#?}");
}

/// An engine of the test schema and its count of resolved `push` fields.
fn engine() -> (Engine, Arc<AtomicUsize>) {
    let schema = Schema::parse_and_validate(sdl(), "test").unwrap();
    let pushes = Arc::new(AtomicUsize::new(0));
    let builder = engine::build(&schema, Arc::new(answer)).data(Arc::clone(&pushes));
    (builder.finish().unwrap(), pushes)
}

/// A leaf answers with its arguments, an abstract type with a task.
fn answer(field: &Resolved, context: &ResolverContext<'_>) -> FieldValue<'static> {
    if context.field().name() == "push" {
        context
            .data_unchecked::<Arc<AtomicUsize>>()
            .fetch_add(1, Ordering::Relaxed);
    }
    match field.ty.inner_named_type().as_str() {
        "String" | "ID" => {
            FieldValue::value(serde_json::to_string(context.args.as_index_map()).unwrap())
        }
        "Document" | "State" => FieldValue::owned_any(()).with_type("Task"),
        _ => FieldValue::owned_any(()),
    }
}
