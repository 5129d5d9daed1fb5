//! Our side of the comparison: the interpreter answers what validation accepts, and notes the arguments of each field.
//! `graphql_js.rs` asks the other side.

use apollo_compiler::{
    Schema,
    schema::{ExtendedType, Type},
};
use serde_json::json;

use super::{
    PeerReply, RawRequest, RequestError, RequestErrorKind, RequestValidator,
    interpreter::{self, ExecutionResult, FieldResult},
    within,
};
use crate::limits::Limits;

/// One schema with its request validation.
pub(super) struct Behind {
    validator: RequestValidator,
}

impl Behind {
    pub(super) fn new(sdl: &str) -> Self {
        let validator = RequestValidator::new(sdl, within(wide_limits()))
            .unwrap_or_else(|error| panic!("{sdl}\n{error}"));
        Self { validator }
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.validator.schema
    }

    pub(super) fn run(&self, request: &RawRequest) -> PeerReply {
        let validated = match self.validator.validate(copy(request)) {
            Ok(validated) => validated,
            Err(refusals) => return refused(&refusals[0]),
        };
        let mut resolved = Vec::new();
        let data = interpreter::answer(self.schema(), &validated, &mut |field| {
            let FieldResult {
                coordinate,
                path,
                ty,
                arguments,
            } = field;
            resolved.push(((*path).to_owned(), coordinate.clone(), arguments.clone()));
            made(self.schema(), ty, path)
        });
        PeerReply::ran(resolved, data)
    }
}

fn wide_limits() -> Limits {
    Limits {
        query_depth: 200,
        query_aliases: 10_000,
        query_roots: 10_000,
        query_nodes: 1_000_000,
        // The specification has no costs.
        query_cost: usize::MAX,
        answer_bytes: usize::MAX,
        ..Limits::default()
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
fn refused(refusal: &RequestError) -> PeerReply {
    let stage = match refusal.kind {
        RequestErrorKind::Parse => "parse",
        RequestErrorKind::Validation => "validate",
        RequestErrorKind::OperationChoice => "operation",
        RequestErrorKind::Variables => "variables",
        RequestErrorKind::Limit => "limit",
        RequestErrorKind::PersistedQueryNotFound | RequestErrorKind::PersistedQueryMismatch => {
            "persisted"
        }
    };
    PeerReply::Refused {
        refused: stage.to_owned(),
        reason: refusal.message.clone(),
    }
}

/// A value of the type. For the same path it is the same that `make` of `peer.mjs` makes.
fn made(schema: &Schema, ty: &Type, path: &str) -> ExecutionResult {
    let name = match ty {
        Type::List(item) | Type::NonNullList(item) => {
            let item = |index| made(schema, item, &format!("{path}.{index}"));
            return ExecutionResult::List(vec![item(0), item(1)]);
        }
        Type::Named(name) | Type::NonNullNamed(name) => name,
    };
    match (name.as_str(), &schema.types[name]) {
        ("Int", _) => ExecutionResult::Leaf(json!(1)),
        ("Float", _) => ExecutionResult::Leaf(json!(0.5)),
        ("Boolean", _) => ExecutionResult::Leaf(json!(true)),
        (_, ExtendedType::Enum(values)) => {
            ExecutionResult::Leaf(json!(values.values[0].value.as_str()))
        }
        (_, ExtendedType::Scalar(_)) => ExecutionResult::Leaf(json!("s")),
        (_, ExtendedType::Object(_)) => ExecutionResult::Object(name.to_string()),
        _ => ExecutionResult::Object(object_of(schema, name, path)),
    }
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
