//! An engine that answers each field with exactly the arguments it was given, and the door before
//! it. The engine knows no defaults and validates nothing, so that what arrives is the door's work
//! alone.

mod documents;
mod input;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apollo_compiler::Schema;
use apollo_compiler::schema::{ExtendedType, FieldDefinition, Type};
use async_graphql::dynamic::{
    Enum, Field, FieldFuture, FieldValue, InputObject, InputValue, Interface, InterfaceField,
    Object, ResolverContext, Scalar, Schema as Engine, Subscription, SubscriptionField,
    SubscriptionFieldFuture, TypeRef, Union,
};
use async_graphql::{Request, Response, ValidationMode};
use futures_util::StreamExt;
use serde_json::{Value as Json, json};

use super::{Door, DoorLimits, OperationKind, RawRequest, Refusal, RefusalKind};

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
        operation_name: None,
        variables,
    }
}

/// What the engine answers to `query` behind the door.
fn run(query: &str, variables: Json) -> Response {
    let admitted = door()
        .admit(raw(query, variables))
        .unwrap_or_else(|refusals| panic!("{query}: {refusals:#?}"));
    execute(&engine().0, admitted.kind, admitted.request)
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
    let mut builder = Engine::build("Query", Some("Mutation"), Some("Subscription"))
        .validation_mode(ValidationMode::Fast)
        .data(Arc::clone(&pushes));
    for definition in schema
        .types
        .values()
        .filter(|definition| !definition.is_built_in())
    {
        builder = match definition {
            ExtendedType::Scalar(scalar) => builder.register(Scalar::new(scalar.name.as_str())),
            ExtendedType::Enum(values) => builder.register(
                values
                    .values
                    .keys()
                    .fold(Enum::new(values.name.as_str()), |it, value| {
                        it.item(value.as_str())
                    }),
            ),
            ExtendedType::InputObject(input) => {
                let fields = input
                    .fields
                    .values()
                    .map(|field| InputValue::new(field.name.as_str(), type_ref(&field.ty)));
                let built = fields.fold(InputObject::new(input.name.as_str()), InputObject::field);
                builder.register(if input.directives.has("oneOf") {
                    built.oneof()
                } else {
                    built
                })
            }
            ExtendedType::Union(union) => builder.register(
                union
                    .members
                    .iter()
                    .fold(Union::new(union.name.as_str()), |it, member| {
                        it.possible_type(member.as_str())
                    }),
            ),
            ExtendedType::Interface(interface) => {
                let fields = interface
                    .fields
                    .values()
                    .map(|it| InterfaceField::new(it.name.as_str(), type_ref(&it.ty)));
                builder.register(
                    fields.fold(Interface::new(interface.name.as_str()), Interface::field),
                )
            }
            ExtendedType::Object(object) if object.name == "Subscription" => builder.register(
                object
                    .fields
                    .values()
                    .fold(Subscription::new("Subscription"), |it, field| {
                        it.field(stream(field))
                    }),
            ),
            ExtendedType::Object(object) => {
                let fields = object.fields.values().map(|field| resolved(field));
                let built = fields.fold(Object::new(object.name.as_str()), Object::field);
                builder.register(
                    object
                        .implements_interfaces
                        .iter()
                        .fold(built, |it, name| it.implement(name.as_str())),
                )
            }
        };
    }
    (builder.finish().unwrap(), pushes)
}

fn resolved(definition: &FieldDefinition) -> Field {
    let returned = definition.ty.inner_named_type().to_string();
    let field = Field::new(
        definition.name.as_str(),
        type_ref(&definition.ty),
        move |context| FieldFuture::Value(Some(answer(&returned, &context))),
    );
    definition.arguments.iter().fold(field, |it, argument| {
        it.argument(InputValue::new(
            argument.name.as_str(),
            type_ref(&argument.ty),
        ))
    })
}

fn stream(definition: &FieldDefinition) -> SubscriptionField {
    let returned = definition.ty.inner_named_type().to_string();
    let field = SubscriptionField::new(
        definition.name.as_str(),
        type_ref(&definition.ty),
        move |context| {
            let event = answer(&returned, &context);
            SubscriptionFieldFuture::new(async { Ok(futures_util::stream::iter([Ok(event)])) })
        },
    );
    definition.arguments.iter().fold(field, |it, argument| {
        it.argument(InputValue::new(
            argument.name.as_str(),
            type_ref(&argument.ty),
        ))
    })
}

/// A leaf answers with its arguments, an abstract type with a task.
fn answer(returned: &str, context: &ResolverContext<'_>) -> FieldValue<'static> {
    if context.field().name() == "push" {
        context
            .data_unchecked::<Arc<AtomicUsize>>()
            .fetch_add(1, Ordering::Relaxed);
    }
    match returned {
        "String" | "ID" => {
            FieldValue::value(serde_json::to_string(context.args.as_index_map()).unwrap())
        }
        "Document" | "State" => FieldValue::owned_any(()).with_type("Task"),
        _ => FieldValue::owned_any(()),
    }
}

fn type_ref(ty: &Type) -> TypeRef {
    match ty {
        Type::Named(name) => TypeRef::named(name.as_str()),
        Type::NonNullNamed(name) => TypeRef::named_nn(name.as_str()),
        Type::List(item) => TypeRef::List(Box::new(type_ref(item))),
        Type::NonNullList(item) => {
            TypeRef::NonNull(Box::new(TypeRef::List(Box::new(type_ref(item)))))
        }
    }
}
