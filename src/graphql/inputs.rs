//! The input types generated from the model, and the code that reads their values into the core's changes.
//!
//! Request validation has made every input exact: shapes hold, defaults are filled, absent is absent. What the schema
//! cannot express (ids, custom scalars) is checked here, and a value that does not fit becomes that change's rejection.

mod decline;
mod read;
mod resolution;

use std::sync::Arc;

use async_graphql::{
    Name, Value as GraphqlValue,
    dynamic::{InputObject, InputValue, SchemaBuilder},
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
    argument, embedded_input, graphql_value, input_type, list, nullable, one, optional, required,
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
    resolution::register(builder, model)
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
        input.field(argument(
            &document_type.singular,
            ty,
            &format!("A change to {}.", one(document_type.name.as_str())),
        ))
    })
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
            required(&named("Input")),
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
        InputObject::new(named("Input")).description(format!("A whole {name}.")),
        |input, field| input.field(create_field(model, field)),
    );
    let patch = settable().fold(
        InputObject::new(named("Patch")).description(format!(
            "Some fields of {one}: absent and null are two different things."
        )),
        |input, field| {
            input.field(described(
                InputValue::new(&field.name, optional(input_type(&field.ty))),
                field,
                false,
            ))
        },
    );
    [change, create, update, input, patch]
}

/// Required unless it has a default. A default over claims cannot stand in the schema, so its field may be left out.
fn create_field(model: &Model, field: &Field) -> InputValue {
    let ty = input_type(&field.ty);
    let built = match &field.default {
        None => InputValue::new(&field.name, ty),
        Some(DefaultValue::Claims(_) | DefaultValue::Scope(_)) => {
            InputValue::new(&field.name, optional(ty))
        }
        Some(DefaultValue::Literal(value)) => {
            let default = with_enum_names(model, &field.ty, graphql_value(model, &field.ty, value));
            InputValue::new(&field.name, ty).default_value(default)
        }
    };
    described(built, field, field.ty.required && field.default.is_none())
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
        object.field(create_field(model, field))
    })
}

/// The field with its description in the model. A required field cannot be deprecated (GraphQL specification, section
/// 3.10).
fn described(built: InputValue, field: &Field, has_to_be_given: bool) -> InputValue {
    let built = match &field.description {
        Some(description) => built.description(description),
        None => built,
    };
    match &field.deprecated {
        Some(reason) if !has_to_be_given => built.deprecation(Some(reason)),
        _ => built,
    }
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
