//! `@bson`: in which BSON type the texts or days of a field are stored.
//!
//! The stores convert them. [`Constraint`](crate::model::Constraint) checks what clients write.

use apollo_compiler::ast::{FieldDefinition, ObjectTypeDefinition};

use super::{directives::DirectiveArguments, report::DiagnosticReport, sdl::Sdl};
use crate::{
    id::IdType,
    model::{Field, FieldType, Reference, Scalar, Shape},
};

/// Reads the directive of a field. One that says nothing of the field's type is reported and left out.
pub(super) fn read(
    definition: &FieldDefinition,
    ty: &FieldType,
    report: &mut DiagnosticReport<'_>,
) -> Option<IdType> {
    let arguments = DirectiveArguments::of(&definition.directives, "bson")?;
    let given = arguments.choice("type", &IdType::NAMES)?;
    let name = &definition.name;
    let (problem, hint) = match ty.leaf() {
        Shape::Scalar(Scalar::Id | Scalar::String) if given == IdType::String => (
            format!("`{name}` is text, which is stored as a string without @bson"),
            "remove it",
        ),
        Shape::Scalar(Scalar::Id | Scalar::String) => return Some(given),
        Shape::Scalar(Scalar::Date) if given == IdType::String => return Some(given),
        Shape::Scalar(Scalar::Date) => (
            format!("`{name}` is a day, which is stored as a date or as a string"),
            "write @bson(type: STRING), or remove it for a date at midnight in UTC",
        ),
        _ => (
            format!("@bson says nothing about the type of `{name}`"),
            "remove it; it is for ID, String and Date, and lists of them",
        ),
    };
    report.add(arguments.place("type"), problem, hint);
    None
}

/// A field that a reference uses is stored as the other type keeps its ids. Its own directive must not differ.
pub(super) fn of_references(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    references: &[Reference],
    fields: &mut [Field],
    report: &mut DiagnosticReport<'_>,
) {
    for reference in references {
        let Some(of_target) = id_type_of(sdl, reference.target.as_str()) else {
            continue;
        };
        let field = fields.iter_mut().find(|field| field.name == reference.by);
        let Some(field) = field.filter(|field| field.bson.unwrap_or_default() != of_target) else {
            continue;
        };
        let definition = object
            .fields
            .iter()
            .find(|it| it.name == field.name.as_str());
        let directive = definition.and_then(|it| DirectiveArguments::of(&it.directives, "bson"));
        match directive {
            None => field.bson = field.bson.or(Some(of_target)),
            Some(directive) => report.add(
                directive.place("type"),
                format!(
                    "`{}` holds ids of {}, whose idType is {of_target}",
                    field.name, reference.target
                ),
                "remove @bson: a field that a @reference uses is stored as those ids are",
            ),
        }
    }
}

/// How a synced type keeps its ids.
fn id_type_of(sdl: &Sdl<'_>, type_name: &str) -> Option<IdType> {
    let object = sdl.synced_type(type_name)?;
    let collection = DirectiveArguments::of(&object.directives, "collection")?;
    let id_type = collection.choice("idType", &IdType::NAMES);
    Some(id_type.unwrap_or_default())
}
