//! `versionField` and `updatedAtField` of `@collection`: what other writers of a collection expect of each write.
//!
//! [`crate::decide`] writes a field that the model names, and a store the others.

use super::{directives::DirectiveArguments, report::DiagnosticReport};
use crate::model::{Field, STORED_ID, Scalar, ServerValue, Shape, Upkeep};

const VERSION: &str = "versionField";
const UPDATED_AT: &str = "updatedAtField";

/// The names that `@collection` gives. `fields` are those of the type.
pub(super) fn read(
    collection: DirectiveArguments<'_>,
    fields: &[Field],
    report: &mut DiagnosticReport<'_>,
) -> Upkeep {
    let read = |argument| collection.text(argument).map(str::to_owned);
    let upkeep = Upkeep {
        version_field: read(VERSION),
        updated_at_field: read(UPDATED_AT),
    };
    let modelled = |name: &str| {
        let has_name = |field: &&Field| {
            field.stored_as == name || field.stored_before.as_deref() == Some(name)
        };
        fields.iter().find(has_name)
    };
    let mut refuse = |argument, name: &str, problem: &str, hint: &str| {
        let message = format!("{argument} names `{name}`, which {problem}");
        report.add(collection.place(argument), message, hint);
    };
    for (argument, name) in [
        (VERSION, &upkeep.version_field),
        (UPDATED_AT, &upkeep.updated_at_field),
    ] {
        let problem = name.as_deref().and_then(unusable);
        if let Some((name, problem)) = name.as_deref().zip(problem) {
            let hint = "name one field of the stored documents, such as \"__v\" or \"updatedAt\"";
            refuse(argument, name, problem, hint);
        }
    }
    if let Some(name) = &upkeep.version_field {
        if let Some(field) = modelled(name) {
            let problem = format!("holds the field `{}`", field.name);
            let hint =
                "remove the field from the model: the gateway counts there for other writers";
            refuse(VERSION, name, &problem, hint);
        }
        if upkeep.updated_at_field.as_ref() == Some(name) {
            refuse(
                UPDATED_AT,
                name,
                "is the versionField",
                "name another field",
            );
        }
    }
    if let Some(name) = &upkeep.updated_at_field
        && let Some(field) = modelled(name)
        && let Some(problem) = unsuited(field)
    {
        let problem = format!("holds the field `{}`, which {problem}", field.name);
        let hint = format!(
            "write `{}: DateTime @readOnly`, or remove the field from the model",
            field.name
        );
        refuse(UPDATED_AT, name, &problem, &hint);
    }
    upkeep
}

/// Why a field of the model is not the one for the time of the last write.
fn unsuited(field: &Field) -> Option<&'static str> {
    let is_time = field.ty.shape == Shape::Scalar(Scalar::DateTime);
    match field.server {
        Some(ServerValue::CreatedAt) => Some("stays as it was created"),
        _ if is_time && field.read_only => None,
        _ => Some("others set too"),
    }
}

/// Why the gateway cannot write to a field of this name.
fn unusable(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        STORED_ID => Some("is the id"),
        name if name.starts_with('$') => Some("begins with `$`, as operators do"),
        name if name.contains('.') => Some("contains `.`, which separates the parts of a path"),
        name if name.contains('\0') => Some("contains the character U+0000"),
        _ => None,
    }
}
