//! `@key`: the field that identifies an item of a list of embedded documents.
//!
//! What an item is identified for is the matter of [`crate::value::content`] and of merges.

use apollo_compiler::ast::FieldDefinition;

use super::{
    directives::DirectiveArguments,
    fields::FieldContext,
    report::{DiagnosticReport, did_you_mean},
};
use crate::model::{Field, FieldType, Scalar, Shape};

/// The scalars of keys: those whose values have one spelling, which people and programs copy without loss.
const IDENTIFYING: [Scalar; 4] = [Scalar::Id, Scalar::String, Scalar::Int, Scalar::Long];

/// The stored name of the field that the `@key` of a field names; `None` also after reporting a mistake in it.
pub(super) fn read(
    context: FieldContext<'_>,
    definition: &FieldDefinition,
    ty: &FieldType,
    report: &mut DiagnosticReport<'_>,
) -> Option<String> {
    let arguments = DirectiveArguments::of(&definition.directives, "key")?;
    let (list, name) = (&definition.name, arguments.text("field")?);
    let Some(items) = ty.shape.embedded_items() else {
        let message = format!(
            "@key cannot stand on `{list}`, whose type is {}",
            definition.ty
        );
        let hint = "it belongs on a list of embedded documents, such as `lines: [Line!]!`";
        report.add(arguments.place(""), message, hint);
        return None;
    };
    let fields = context.outline.embedded_fields(items);
    let key = fields.iter().find(|field| field.name == name);
    let mistake = match key {
        None => Some((
            format!("@key names `{name}`, and {items} has no such field"),
            did_you_mean(name, fields.iter().map(|field| field.name.as_str())),
        )),
        Some(field) => unsuited(context, items, field),
    };
    if let Some((message, hint)) = mistake {
        report.add(arguments.place("field"), message, hint);
    }
    key.map(|field| field.stored_as.clone())
}

/// Why a field of the embedded type `owner` cannot be a key, and what to write.
fn unsuited(context: FieldContext<'_>, owner: &str, field: &Field) -> Option<(String, String)> {
    let name = &field.name;
    let mut owners = context.sdl.embedded.iter();
    let owner = owners.find(|object| object.name == owner)?;
    let definition = owner.fields.iter().find(|it| it.name.as_str() == name)?;
    let identifies = match field.ty.shape {
        Shape::Scalar(scalar) => IDENTIFYING.contains(&scalar),
        Shape::Enum(_) => true,
        Shape::Embedded(_) | Shape::List(_) => false,
    };
    let (problem, hint) = match () {
        () if !identifies => (
            "is none of ID, String, Int, Long and enums",
            "use a field of one of these types",
        ),
        () if !field.ty.required => (
            "may be null",
            "put a `!` behind its type: each item needs a key",
        ),
        () if definition.directives.has("default") => (
            "has a @default, which several items could get",
            "remove the @default, or name another field",
        ),
        () if definition.directives.has("retired") => ("is retired", "name another field"),
        () => return None,
    };
    let message = format!("`{name}` cannot be a key: it {problem}");
    Some((message, hint.to_owned()))
}
