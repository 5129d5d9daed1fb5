//! The input types generated from the model, and the code that reads their values into the core's changes.
//!
//! Request validation has made every input exact: shapes hold, defaults are filled, absent is absent. What the schema
//! cannot express (ids, custom scalars) is checked here, and a value that does not fit becomes that change's rejection.

mod decline;
pub(super) mod lists;
mod read;
mod resolution;
mod sent;

use std::{collections::HashSet, sync::Arc};

use async_graphql::{
    Name, Value as GraphqlValue,
    dynamic::{InputObject, InputValue, SchemaBuilder, TypeRef},
};
use tidegate_core::model::{
    DefaultValue, DocumentType, EmbeddedType, Field, FieldType, Model, Shape,
};

use self::read::{integer, object, present, read_fields, text};
pub(super) use self::{
    decline::decline,
    read::push,
    resolution::{ResolveInput, resolve},
};
use super::shape::{
    argument, deprecation, embedded_input, graphql_value, input_type, list, nullable, one,
    optional, renamed, required, with,
};

pub(super) fn register(mut builder: SchemaBuilder, model: &Arc<Model>) -> SchemaBuilder {
    for embedded in model.embedded.values() {
        builder = builder.register(embedded_object(model, embedded));
    }
    for document_type in &model.types {
        for input in document_inputs(model, document_type) {
            builder = builder.register(input);
        }
    }
    let builder = builder
        .register(delete_input())
        .register(change_input(model))
        .register(client_input())
        .register(push_input())
        .register(decline::input());
    let builder = lists::register(builder, model);
    resolution::register(builder, model)
}

/// The input objects whose defaults are filled in when they are read. A push is known by what was sent.
pub(super) fn filled_when_read(model: &Model) -> HashSet<String> {
    let types = model.types.iter();
    let types = types.map(|document_type| document_input(document_type));
    let embedded = model.embedded.keys().map(|name| embedded_input(name));
    types.chain(embedded).collect()
}

fn document_input(document_type: &DocumentType) -> String {
    format!("{}Input", document_type.name)
}

fn push_input() -> InputObject {
    InputObject::new("PushChangesInput")
        .description("A client's batch of changes.")
        .field(argument(
            "client",
            nullable("SyncClientInput"),
            "Which client pushes; without it a repeated push is applied again.",
        ))
        .field(argument(
            "changes",
            list("SyncChangeInput"),
            "The changes, in the order in which they were made.",
        ))
        .field(
            argument(
                "atomic",
                required("Boolean"),
                "Whether one change that conflicts or is rejected undoes all.",
            )
            .default_value(false),
        )
        .field(argument(
            "policy",
            nullable("SyncPolicy"),
            "The conflict policy the user prefers, where the model lets clients choose.",
        ))
        .field(argument(
            "epoch",
            nullable("ID"),
            "The epoch of the last page; required with `client.firstMutationId`.",
        ))
}

fn client_input() -> InputObject {
    InputObject::new("SyncClientInput")
        .description("The client that pushes.")
        .field(argument("id", required("ID"), "One device or tab, chosen by the client, at most 256 bytes."))
        .field(argument(
            "firstMutationId",
            nullable("Int"),
            "The id of the first change; change i has firstMutationId + i. Ids count up from 1 without holes, for ever.",
        ))
}

fn change_input(model: &Model) -> InputObject {
    let input = InputObject::new("SyncChangeInput")
        .description("One change to one document.")
        .oneof();
    model.types.iter().fold(input, |input, document_type| {
        let ty = nullable(&format!("{}Change", document_type.name));
        let description = format!("A change to {}.", one(document_type.name.as_str()));
        with_keys(input, document_type, &ty, &description)
    })
}

/// Adds the key of a type's changes or resolutions, and the key of its earlier name.
fn with_keys(
    input: InputObject,
    document_type: &DocumentType,
    ty: &TypeRef,
    description: &str,
) -> InputObject {
    let key = argument(&document_type.singular, ty.clone(), description);
    let reason = deprecation(None, document_type.retired);
    let key = with(key, reason, |key, reason| key.deprecation(Some(reason)));
    let earlier = document_type.singular_before.as_ref().map(|before| {
        let reason = renamed(&document_type.singular);
        argument(before, ty.clone(), description).deprecation(Some(&reason))
    });
    with(input.field(key), earlier, InputObject::field)
}

fn delete_input() -> InputObject {
    InputObject::new("SyncDelete")
        .description("Ends a document.")
        .field(id_argument(None))
        .field(base_version_argument())
        .field(changed_at_argument())
}

fn document_inputs(model: &Model, document_type: &DocumentType) -> [InputObject; 5] {
    let name = &document_type.name;
    let one = one(name.as_str());
    let named = |suffix: &str| format!("{name}{suffix}");
    let change = InputObject::new(named("Change"))
        .description(format!("A change to {one}."))
        .oneof()
        .field(argument(
            "create",
            nullable(&named("Create")),
            "Brings it into being.",
        ))
        .field(argument(
            "update",
            nullable(&named("Update")),
            "Changes some of its fields.",
        ))
        .field(argument("delete", nullable("SyncDelete"), "Ends it."));
    let create = InputObject::new(named("Create"))
        .description(format!("Brings {one} into being."))
        .field(id_argument(document_type.id_description.as_deref()))
        .field(argument(
            "document",
            required(&document_input(document_type)),
            "The document.",
        ))
        .field(argument(
            "baseVersion",
            nullable("Int"),
            "The version of the tombstone it knowingly replaces.",
        ))
        .field(changed_at_argument());
    let update = InputObject::new(named("Update"))
        .description(format!("Changes some fields of {one}."))
        .field(id_argument(document_type.id_description.as_deref()))
        .field(base_version_argument())
        .field(argument(
            "set",
            required(&named("Patch")),
            "What to write: an absent field is unchanged, null clears it.",
        ))
        .field(argument(
            "base",
            nullable(&named("Patch")),
            "The same fields as the user saw them, so that edits can be merged.",
        ))
        .field(changed_at_argument());
    let settable = || document_type.fields.iter().filter(|field| !field.read_only);
    let input = settable().fold(
        InputObject::new(document_input(document_type)).description(format!("A whole {name}.")),
        |input, field| with_earlier_name(input.field(create_field(model, field)), field),
    );
    let patch = settable().fold(
        InputObject::new(named("Patch")).description(format!(
            "Some fields of {one}: absent and null are two different things."
        )),
        |input, field| with_earlier_name(input.field(optional_field(field)), field),
    );
    [change, create, update, input, patch]
}

/// Required unless it has a default or an earlier name. A default over claims cannot stand in the schema, so its field may
/// be left out, and so may one that can be given by its earlier name. The core requires it.
fn create_field(model: &Model, field: &Field) -> InputValue {
    let ty = input_type(&field.ty);
    match &field.default {
        None if field.renamed_from.is_none() && field.ty.required => {
            // A required field cannot be deprecated (GraphQL specification, section 3.10).
            described(InputValue::new(&field.name, ty), field)
        }
        None | Some(DefaultValue::Claims(_) | DefaultValue::Scope(_)) => optional_field(field),
        Some(DefaultValue::Literal(value)) => {
            let default = with_enum_names(model, &field.ty, graphql_value(model, &field.ty, value));
            let built = InputValue::new(&field.name, ty).default_value(default);
            deprecated(described(built, field), field)
        }
    }
}

fn optional_field(field: &Field) -> InputValue {
    let built = InputValue::new(&field.name, optional(input_type(&field.ty)));
    deprecated(described(built, field), field)
}

/// Adds the field by its earlier name, if it has one.
fn with_earlier_name(input: InputObject, field: &Field) -> InputObject {
    let Some(from) = &field.renamed_from else {
        return input;
    };
    let built = InputValue::new(from, optional(input_type(&field.ty)));
    input.field(described(built, field).deprecation(Some(&renamed(&field.name))))
}

/// An enum value is text in a document and a bare name in SDL.
fn with_enum_names(model: &Model, ty: &FieldType, value: GraphqlValue) -> GraphqlValue {
    match (&ty.shape, value) {
        (Shape::Enum(_), GraphqlValue::String(name)) => GraphqlValue::Enum(Name::new(name)),
        (Shape::List(item), GraphqlValue::List(values)) => GraphqlValue::List(
            values
                .into_iter()
                .map(|value| with_enum_names(model, item, value))
                .collect(),
        ),
        (Shape::Embedded(name), GraphqlValue::Object(mut values)) => {
            for field in model
                .embedded
                .get(name)
                .into_iter()
                .flat_map(|embedded| &embedded.fields)
            {
                if let Some(value) = values.get_mut(field.name.as_str()) {
                    *value = with_enum_names(model, &field.ty, std::mem::take(value));
                }
            }
            GraphqlValue::Object(values)
        }
        (_, value) => value,
    }
}

fn embedded_object(model: &Model, embedded: &EmbeddedType) -> InputObject {
    let description = match &embedded.description {
        Some(description) => description.clone(),
        None => format!("A whole {}.", embedded.name),
    };
    let object = InputObject::new(embedded_input(&embedded.name)).description(description);
    embedded.fields.iter().fold(object, |object, field| {
        with_earlier_name(object.field(create_field(model, field)), field)
    })
}

/// The field with its description in the model.
fn described(built: InputValue, field: &Field) -> InputValue {
    with(built, field.description.as_ref(), InputValue::description)
}

fn deprecated(built: InputValue, field: &Field) -> InputValue {
    let reason = deprecation(field.deprecated.as_ref(), field.retired);
    with(built, reason, |built, reason| {
        built.deprecation(Some(reason))
    })
}

/// The argument with its description in the model, if it has one.
fn id_argument(description: Option<&str>) -> InputValue {
    let usual = "The document's id, chosen by the client that creates it.";
    argument("id", required("ID"), description.unwrap_or(usual))
}

fn base_version_argument() -> InputValue {
    argument(
        "baseVersion",
        required("Int"),
        "The `syncVersion` the edit was made on; 0 while the client's own create is unanswered; -1 for a version of another epoch.",
    )
}

fn changed_at_argument() -> InputValue {
    argument(
        "changedAt",
        nullable("DateTime"),
        "When the user made the edit; absent means now.",
    )
}
