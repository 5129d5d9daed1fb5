//! `@index`: which fields each one names, and in which order.
//!
//! How an index is kept and read is the matter of those who keep it.

use std::slice;

use apollo_compiler::{
    Node,
    ast::{ObjectTypeDefinition, Value},
};

use super::{
    directives::DirectiveArguments,
    relations,
    report::{DiagnosticReport, did_you_mean},
    sdl::Sdl,
};
use crate::model::{Scalar, Shape};

/// The most indexes of a model. A collection of MongoDB has at most 64, and a store has some of its own.
const INDEXES_MAX: usize = 50;

/// The most fields of an index.
const FIELDS_MAX: usize = 8;

/// Reads the indexes of a type: the fields that each of them names.
pub(super) fn read(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    report: &mut DiagnosticReport<'_>,
) -> Vec<Vec<String>> {
    let mut indexes = Vec::new();
    for arguments in DirectiveArguments::all_of(&object.directives, "index") {
        let Some(value) = arguments.value("fields") else {
            continue;
        };
        let items = value.as_list().unwrap_or(slice::from_ref(value));
        let mut fields: Vec<String> = Vec::new();
        let mut lists = 0;
        for item in items {
            check_field(sdl, object, &fields, item, report);
            fields.extend(item.as_str().map(str::to_owned));
            lists += usize::from(item.as_str().is_some_and(|name| is_list(sdl, object, name)));
        }
        let mistake = match fields.len() {
            0 => Some((
                "the index names no field".to_owned(),
                "name fields, such as @index(fields: [\"done\", \"due\"])",
            )),
            count if count > FIELDS_MAX => Some((
                format!("the index names {count} fields, and may have {FIELDS_MAX}"),
                "leave out those that single out few documents among the ones before",
            )),
            _ if lists > 1 => Some((
                "the index names two lists, and may have one".to_owned(),
                "make an index for each of them",
            )),
            _ if indexes.contains(&fields) => Some((
                "another index has the same fields".to_owned(),
                "remove one of them",
            )),
            _ => None,
        };
        if let Some((message, hint)) = mistake {
            report.add(arguments.place("fields"), message, hint);
        }
        indexes.push(fields);
    }
    indexes
}

/// Reports a field that cannot stand in an index behind the `earlier` ones.
fn check_field(
    sdl: &Sdl<'_>,
    object: &ObjectTypeDefinition,
    earlier: &[String],
    item: &Node<Value>,
    report: &mut DiagnosticReport<'_>,
) {
    // A value that is no text is reported with the directive.
    let Some(name) = item.as_str() else { return };
    let found = object.fields.iter().find(|field| field.name == name);
    let (message, hint) = match found {
        None => {
            let names = object.fields.iter().map(|field| field.name.as_str());
            (
                format!("the index names `{name}`, and {} has no such field", object.name),
                did_you_mean(name, names.filter(|name| *name != "id")),
            )
        }
        Some(_) if name == "id" => (
            "the index names `id`, which every index has as its last field".to_owned(),
            "leave it out".to_owned(),
        ),
        Some(_) if earlier.iter().any(|it| it == name) => (
            format!("the index names `{name}` twice"),
            "keep the first of them".to_owned(),
        ),
        Some(field) if field.directives.has("retired") => (
            format!("the index names `{name}`, which is retired"),
            "remove the index, or name another field".to_owned(),
        ),
        // The field's own check reports a type that cannot be stored.
        Some(field) => match sdl.field_type(&field.ty) {
            Some(ty) if is_ordered(item_of(&ty.shape)) => return,
            None if !relations::is_marked(field) => return,
            _ => (
                format!("`{name}` cannot be indexed: its type is {}", field.ty),
                "use a field that holds scalars, neither Bytes nor JSON, or values of an enum: one, or a list of them"
                    .to_owned(),
            ),
        },
    };
    report.add(item.location(), message, hint);
}

fn is_list(sdl: &Sdl<'_>, object: &ObjectTypeDefinition, name: &str) -> bool {
    let field = object.fields.iter().find(|field| field.name == name);
    let ty = field.and_then(|field| sdl.field_type(&field.ty));
    ty.is_some_and(|ty| matches!(ty.shape, Shape::List(_)))
}

/// What each item of a list holds; of another field, what it holds itself.
fn item_of(shape: &Shape) -> &Shape {
    match shape {
        Shape::List(item) => &item.shape,
        shape => shape,
    }
}

fn is_ordered(shape: &Shape) -> bool {
    match shape {
        Shape::Scalar(scalar) => !matches!(scalar, Scalar::Bytes | Scalar::Json),
        Shape::Enum(_) => true,
        Shape::Embedded(_) | Shape::List(_) => false,
    }
}

/// Reports the first index that is too many.
pub(super) fn check_count(sdl: &Sdl<'_>, report: &mut DiagnosticReport<'_>) {
    let objects = sdl.synced.iter();
    let mut indexes = objects.flat_map(|object| {
        let of_lists = DirectiveArguments::all_of(&object.directives, "index");
        of_lists.chain(DirectiveArguments::all_of(&object.directives, "unique"))
    });
    if let Some(surplus) = indexes.nth(INDEXES_MAX) {
        report.add(
            surplus.place(""),
            format!("the model has more than {INDEXES_MAX} indexes, with those of @unique"),
            "keep those that the queries of apps need",
        );
    }
}
