//! `@server`: the fields in which the gateway keeps who created and last changed a document, and when.
//!
//! [`crate::decide`] writes their values.

use apollo_compiler::ast::FieldDefinition;

use super::{directives::DirectiveArguments, fields::OwnerKind, report::DiagnosticReport};
use crate::model::{FieldType, Scalar, ServerValue, Shape};

/// What says of a field how clients set it, or what they may set.
const OF_CLIENTS: [&str; 6] = [
    "readOnly",
    "immutable",
    "access",
    "default",
    "merge",
    "constraint",
];

/// What the gateway keeps in the field, if it does.
pub(super) fn read(
    owner: OwnerKind,
    definition: &FieldDefinition,
    ty: &FieldType,
    report: &mut DiagnosticReport<'_>,
) -> Option<ServerValue> {
    let server = DirectiveArguments::of(&definition.directives, "server")?;
    let name = &definition.name;
    if owner == OwnerKind::Embedded {
        report.add(
            server.place(""),
            format!("@server stands on `{name}`, inside an embedded type"),
            "the gateway keeps fields of the document itself: move the field there",
        );
    }
    for directive in OF_CLIENTS {
        if let Some(idle) = DirectiveArguments::of(&definition.directives, directive) {
            report.add(
                idle.place(""),
                format!("@{directive} means nothing on `{name}`, which is @server"),
                "remove it: the gateway alone sets the field",
            );
        }
    }
    let value = server.choice("value", &ServerValue::NAMES)?;
    let (suits, wanted) = match value.is_user() {
        true => (
            matches!(ty.shape, Shape::Scalar(Scalar::Id | Scalar::String)),
            "ID",
        ),
        false => (ty.shape == Shape::Scalar(Scalar::DateTime), "DateTime"),
    };
    let written = format!("{name}: {wanted} @server(value: {})", value.name());
    if !suits {
        report.add(
            server.place("value"),
            format!(
                "{} cannot stand in `{name}`, whose type is {}",
                value.name(),
                definition.ty
            ),
            format!("write `{written}`"),
        );
    } else if ty.required {
        report.add(
            server.place(""),
            format!(
                "`{name}` is @server and required, and documents that others write may lack it"
            ),
            "remove the `!`",
        );
    }
    Some(value)
}
