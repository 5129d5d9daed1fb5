//! The inputs of `resolveConflict`.

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{InputObject, SchemaBuilder},
};
use tidegate_core::{
    change::BaseVersion,
    id::ConflictId,
    model::Model,
    push::{PushRefusal, Resolution},
};

use super::{integer, object, present, read_fields, sent, text, with_keys};
use crate::{
    graphql::{
        enums::{self, ConflictSide},
        error::{ClientError, Code},
        shape::{argument, nullable, one, required},
    },
    sync::{SentResolution, SyncError},
};

pub(super) fn register(builder: SchemaBuilder, model: &Model) -> SchemaBuilder {
    builder
        .register(resolution_input(model))
        .register(resolve_input())
}

fn resolve_input() -> InputObject {
    InputObject::new("ResolveConflictInput")
        .description("How a conflict is resolved.")
        .field(argument("conflictId", required("ID"), "The conflict."))
        .field(argument(
            "baseVersion",
            required("Int"),
            "Its `currentVersion`: if the document has another by now, nothing is done, and the answer shows it.",
        ))
        .field(argument(
            "resolution",
            required("SyncResolution"),
            "What becomes of the document.",
        ))
}

fn resolution_input(model: &Model) -> InputObject {
    let input = InputObject::new("SyncResolution")
        .description("What becomes of the document.")
        .oneof()
        .field(argument("take", nullable("SyncSide"), "One of the sides."));
    let input = model.types.iter().fold(input, |input, document_type| {
        let ty = nullable(&format!("{}Patch", document_type.name));
        let description = format!(
            "These fields of {} are written; if it has been deleted, it is created again.",
            one(document_type.name.as_str())
        );
        with_keys(input, document_type, &ty, &description)
    });
    input.field(argument(
        "delete",
        nullable("Boolean"),
        "It is deleted, with `true`.",
    ))
}

/// The input of `resolveConflict`.
pub(in crate::graphql) struct ResolveInput {
    pub(in crate::graphql) conflict: ConflictId,
    pub(in crate::graphql) sent: SentResolution,
}

/// Reads the argument `input` of `resolveConflict`.
pub(in crate::graphql) fn resolve(
    model: &Model,
    input: GraphqlValue,
) -> Result<ResolveInput, ClientError> {
    let mut input = object(input);
    let hash = sent::resolution_hash(&input);
    let id = present(&mut input, "conflictId").and_then(text);
    // A text that cannot be an id is the id of no conflict.
    let conflict = id.and_then(|id| ConflictId::new(&id).ok());
    let base = integer(&mut input, "baseVersion").unwrap_or_default();
    let resolution = present(&mut input, "resolution");
    let chosen = resolution.and_then(|value| object(value).into_iter().next());
    let resolution = match chosen {
        Some((name, value)) => resolution_of(model, name.as_str(), value),
        None => None,
    };
    let says_nothing = || {
        ClientError::new(
            Code::BadUserInput,
            "`resolution` says nothing: take a side, write fields, or write `delete: true`.",
        )
    };
    Ok(ResolveInput {
        conflict: conflict.ok_or(SyncError::Push(PushRefusal::ConflictNotFound))?,
        sent: SentResolution {
            base: BaseVersion(base),
            resolution: resolution.ok_or_else(says_nothing)?,
            hash,
        },
    })
}

fn resolution_of(model: &Model, name: &str, value: GraphqlValue) -> Option<Resolution> {
    match (name, value) {
        ("take", side) => Some(match enums::SIDE.value(&text(side)?)? {
            ConflictSide::Mine => Resolution::Mine,
            ConflictSide::Theirs => Resolution::Theirs,
        }),
        ("delete", GraphqlValue::Boolean(true)) => Some(Resolution::Delete),
        (name, fields @ GraphqlValue::Object(_)) => {
            let mut types = model.types.iter();
            let document_type = types.find(|known| known.has_key(name))?;
            let fields = read_fields(model, document_type, fields);
            Some(Resolution::Edited(document_type.stored_as.clone(), fields))
        }
        _ => None,
    }
}
