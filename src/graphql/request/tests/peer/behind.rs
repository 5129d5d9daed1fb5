//! The side of the door: an engine behind it that tells what its resolvers were given. What the other side tells is
//! asked in `graphql_js.rs`.

use std::sync::{Arc, Mutex};

use apollo_compiler::Schema;
use apollo_compiler::schema::{ExtendedType, Type};
use async_graphql::dynamic::{FieldValue, ResolverContext, Schema as Engine};
use serde_json::{Value as Json, json};

use super::engine::{self, Resolved};
use super::{
    Door, DoorLimits, RawRequest, Refusal, RefusalKind, Request, Resolution, Told, answer_to,
};

/// One schema with its door.
pub(super) struct Behind {
    door: Door,
    engine: Engine,
}

type Log = Arc<Mutex<Vec<Resolution>>>;

impl Behind {
    pub(super) fn new(sdl: &str) -> Self {
        let door = Door::new(sdl, wide_limits()).unwrap_or_else(|error| panic!("{sdl}\n{error}"));
        let schema = door.schema.clone();
        let answer = move |field: &Resolved, context: &ResolverContext<'_>| {
            let path = context
                .ctx
                .path_node
                .map(|it| it.to_string())
                .unwrap_or_default();
            let arguments = serde_json::to_value(context.args.as_index_map()).unwrap();
            let resolution = (path.clone(), field.coordinate.clone(), arguments);
            context
                .data_unchecked::<Log>()
                .lock()
                .unwrap()
                .push(resolution);
            made(&schema, &field.ty, &path)
        };
        let engine = engine::build(&door.schema, Arc::new(answer)).finish();
        let engine = engine.unwrap_or_else(|error| panic!("{sdl}\n{error}"));
        Self { door, engine }
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.door.schema
    }

    pub(super) fn run(&self, request: &RawRequest) -> Told {
        let admitted = match self.door.admit(copy(request)) {
            Ok(admitted) => admitted,
            Err(refusals) => return refused(&refusals[0]),
        };
        let log = Log::default();
        let logged = |request: Request| request.data(Arc::clone(&log));
        let response = answer_to(admitted, &self.door, &self.engine, logged);
        if let Some(error) = response.errors.first() {
            return Told::Refused {
                refused: "execution".to_owned(),
                reason: error.to_string(),
            };
        }
        let resolved = std::mem::take(&mut *log.lock().unwrap());
        Told::ran(resolved, response.data.into_json().unwrap())
    }
}

fn wide_limits() -> DoorLimits {
    DoorLimits {
        depth_max: 200,
        aliases_max: 10_000,
        root_fields_max: 10_000,
        fragment_expansion_max: 1_000_000,
        // What an operation costs is no matter of the specification.
        cost_max: usize::MAX,
        answer_bytes_max: usize::MAX,
        ..DoorLimits::default()
    }
}

fn copy(request: &RawRequest) -> RawRequest {
    RawRequest {
        query: request.query.clone(),
        hash: None,
        operation_name: request.operation_name.clone(),
        variables: request.variables.clone(),
    }
}

/// The stages have the names that `peer.mjs` gives them.
fn refused(refusal: &Refusal) -> Told {
    let stage = match refusal.kind {
        RefusalKind::Parse => "parse",
        RefusalKind::Validation => "validate",
        RefusalKind::OperationChoice => "operation",
        RefusalKind::Variables => "variables",
        RefusalKind::Limit => "limit",
        RefusalKind::PersistedQueryNotFound | RefusalKind::PersistedQueryMismatch => "persisted",
    };
    Told::Refused {
        refused: stage.to_owned(),
        reason: refusal.message.clone(),
    }
}

/// A value of the type, the same for the same path as `make` of `peer.mjs` makes.
fn made(schema: &Schema, ty: &Type, path: &str) -> FieldValue<'static> {
    let name = match ty {
        Type::List(item) | Type::NonNullList(item) => {
            let item = |index| made(schema, item, &format!("{path}.{index}"));
            return FieldValue::list([item(0), item(1)]);
        }
        Type::Named(name) | Type::NonNullNamed(name) => name,
    };
    match (name.as_str(), &schema.types[name]) {
        ("Int", _) => leaf(json!(1)),
        ("Float", _) => leaf(json!(0.5)),
        ("Boolean", _) => leaf(json!(true)),
        (_, ExtendedType::Enum(values)) => leaf(json!(values.values[0].value.as_str())),
        (_, ExtendedType::Scalar(_)) => leaf(json!("s")),
        (_, ExtendedType::Object(_)) => FieldValue::owned_any(()),
        _ => FieldValue::owned_any(()).with_type(object_of(schema, name, path)),
    }
}

fn leaf(value: Json) -> FieldValue<'static> {
    FieldValue::value(async_graphql::Value::from_json(value).expect("a leaf is a GraphQL value"))
}

/// One of the object types that an interface or a union stands for.
fn object_of(schema: &Schema, name: &str, path: &str) -> String {
    let objects = schema.types.values().filter(|it| it.is_object());
    let mut possible: Vec<_> = objects
        .map(|it| it.name())
        .filter(|it| schema.is_subtype(name, it))
        .collect();
    possible.sort();
    let sum: usize = path.chars().map(|it| it as usize).sum();
    possible[sum % possible.len()].to_string()
}
