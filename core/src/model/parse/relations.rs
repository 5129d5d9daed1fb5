//! Relations: `@reference`, fields that show the documents which others name, and `@reverse`, fields that list those which name
//! theirs.

use apollo_compiler::{
    Node,
    ast::{FieldDefinition, ObjectTypeDefinition, Type},
};

use super::{
    directives::DirectiveArguments,
    fields::{self, FieldContext, outline},
    report::{DiagnosticReport, did_you_mean},
    types::report_idle_directives,
};
use crate::{
    id::TypeName,
    model::{Reference, Reverse, Scalar, Shape},
};

/// Whether a field shows or lists other documents.
pub(super) fn is_marked(field: &FieldDefinition) -> bool {
    let mut relations = ["reference", "reverse"].into_iter();
    relations.any(|name| field.directives.has(name))
}

pub(super) fn read_reference(
    context: FieldContext<'_>,
    object: &ObjectTypeDefinition,
    field: &Node<FieldDefinition>,
    report: &mut DiagnosticReport<'_>,
) -> Option<Reference> {
    let reason = "it shows another document, and only that document's id is stored";
    report_idle_directives(
        field,
        &["reference", "retired", "deprecated"],
        reason,
        report,
    );
    let arguments = DirectiveArguments::of(&field.directives, "reference")?;
    check_target(context, field, report);
    let by = arguments.text("by")?;
    let Some(source) = object.fields.iter().find(|candidate| candidate.name == by) else {
        let names = object.fields.iter().map(|field| field.name.as_str());
        report.add(
            arguments.place("by"),
            format!(
                "`{}` refers by the field `{by}`, which does not exist",
                field.name
            ),
            did_you_mean(by, names.filter(|name| field.name != *name)),
        );
        return None;
    };
    let source_shape = context.sdl.field_type(&source.ty).map(|ty| ty.shape);
    let is_list = field.ty.is_list();
    let ids = match source_shape {
        Some(Shape::List(item)) if is_list => Some(item.shape),
        Some(shape) if !is_list => Some(shape),
        _ => None,
    };
    if !matches!(ids, Some(Shape::Scalar(Scalar::Id | Scalar::String))) {
        let hint = match is_list {
            true => "refer by a list of ID or String, which holds the documents' ids",
            false => "refer by a field of type ID or String, which holds the document's id",
        };
        report.add(
            arguments.place("by"),
            format!(
                "`{}` refers by `{by}`, whose type is {}",
                field.name, source.ty
            ),
            hint,
        );
    }
    Some(Reference {
        name: field.name.to_string(),
        description: field.description.as_ref().map(ToString::to_string),
        deprecated: fields::deprecation(DirectiveArguments::of(&field.directives, "deprecated")),
        retired: field.directives.has("retired"),
        target: TypeName::new(field.ty.inner_named_type()).ok()?,
        by: by.to_owned(),
        is_list,
    })
}

fn check_target(
    context: FieldContext<'_>,
    field: &FieldDefinition,
    report: &mut DiagnosticReport<'_>,
) {
    let target = field.ty.inner_named_type();
    let name = &field.name;
    if context.sdl.synced_type(target).is_none() {
        let synced = context.sdl.synced.iter().map(|object| object.name.as_str());
        report.add(
            target.location(),
            format!("`{name}` refers to {target}, which is no synced type"),
            did_you_mean(target, synced),
        );
    } else if field.ty.is_list() && !is_list_of_nullable(&field.ty) {
        report.add(
            target.location(),
            format!("`{name}` requires each document, and the caller may not be allowed to see it"),
            format!("write `{name}: [{target}]`, without `!`"),
        );
    } else if field.ty.is_non_null() {
        report.add(
            target.location(),
            format!("`{name}` is required, and the caller may not be allowed to see the document"),
            format!(
                "write `{name}: {}`, without `!`",
                if field.ty.is_list() {
                    format!("[{target}]")
                } else {
                    target.to_string()
                }
            ),
        );
    }
}

/// Whether the items of a list may be null. A list of lists shows no documents.
fn is_list_of_nullable(ty: &Type) -> bool {
    match ty {
        Type::List(item) | Type::NonNullList(item) => matches!(**item, Type::Named(_)),
        Type::Named(_) | Type::NonNullNamed(_) => false,
    }
}

pub(super) fn read_reverse(
    context: FieldContext<'_>,
    field: &Node<FieldDefinition>,
    report: &mut DiagnosticReport<'_>,
) -> Option<Reverse> {
    let reason = "it lists documents that refer to this one, and nothing of it is stored";
    report_idle_directives(field, &["reverse", "retired", "deprecated"], reason, report);
    let arguments = DirectiveArguments::of(&field.directives, "reverse")?;
    let (name, target) = (&field.name, field.ty.inner_named_type());
    let Some(object) = context.sdl.synced_type(target) else {
        let synced = context.sdl.synced.iter().map(|object| object.name.as_str());
        report.add(
            target.location(),
            format!("`{name}` lists {target}, which is no synced type"),
            did_you_mean(target, synced),
        );
        return None;
    };
    if !field.ty.is_list() {
        report.add(
            target.location(),
            format!("`{name}` lists documents, and its type is {}", field.ty),
            format!("write `{name}: [{target}!]!`"),
        );
    }
    let by = arguments.text("by")?;
    let Some(source) = object.fields.iter().find(|candidate| candidate.name == by) else {
        let names = object.fields.iter().map(|field| field.name.as_str());
        report.add(
            arguments.place("by"),
            format!("`{name}` lists by the field `{by}`, and {target} has no such field"),
            did_you_mean(by, names.filter(|name| *name != "id")),
        );
        return None;
    };
    let stored = outline(context.sdl, source);
    if !stored
        .as_ref()
        .is_some_and(|field| holds_ids(&field.ty.shape))
    {
        report.add(
            arguments.place("by"),
            format!("`{name}` lists by `{by}`, whose type is {}", source.ty),
            "list by a field of type ID or String, or a list of these, which holds this document's id",
        );
    }
    if !begins_an_index(object, by) {
        report.add(
            arguments.place("by"),
            format!(
                "no index of {target} begins with `{by}`, so that `{name}` would read all of them"
            ),
            format!("add @index(fields: [\"{by}\"]) to {target}"),
        );
    }
    let same_scope = arguments
        .value("sameScope")
        .and_then(|value| value.to_bool());
    Some(Reverse {
        name: name.to_string(),
        description: field.description.as_ref().map(ToString::to_string),
        deprecated: fields::deprecation(DirectiveArguments::of(&field.directives, "deprecated")),
        retired: field.directives.has("retired"),
        target: TypeName::new(target).ok()?,
        by: stored?.stored_as,
        same_scope: same_scope.unwrap_or_default(),
    })
}

/// Whether a field holds an id, or a list of them.
fn holds_ids(shape: &Shape) -> bool {
    let item = match shape {
        Shape::List(item) => &item.shape,
        shape => shape,
    };
    matches!(item, Shape::Scalar(Scalar::Id | Scalar::String))
}

/// Whether an `@index` of the type names the field first.
fn begins_an_index(object: &ObjectTypeDefinition, field: &str) -> bool {
    let mut indexes = DirectiveArguments::all_of(&object.directives, "index");
    indexes.any(|index| {
        let fields = index.value("fields");
        let first = fields.and_then(|fields| fields.as_list()?.first().and_then(|it| it.as_str()));
        let alone = fields.and_then(|fields| fields.as_str());
        first.or(alone) == Some(field)
    })
}
