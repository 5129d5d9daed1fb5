//! Small words the generated schema is spelled with: type references, descriptions, fields without work of their own.

use std::any::Any;

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{Enum, EnumItem, Field, FieldFuture, FieldValue, InputValue, TypeRef},
};
use tidegate_core::{
    model::{FieldType, Model, Shape},
    value::{Value, json},
};

pub(super) fn nullable(name: &str) -> TypeRef {
    TypeRef::named(name)
}

pub(super) fn required(name: &str) -> TypeRef {
    TypeRef::named_nn(name)
}

pub(super) fn list(name: &str) -> TypeRef {
    TypeRef::named_nn_list_nn(name)
}

/// A model field's type in answers.
pub(super) fn output_type(ty: &FieldType) -> TypeRef {
    type_ref(ty, &|name| name.to_owned())
}

/// A model field's type in inputs: embedded types have input types of their own.
pub(super) fn input_type(ty: &FieldType) -> TypeRef {
    type_ref(ty, &embedded_input)
}

/// The same type, but it may be left out.
pub(super) fn optional(ty: TypeRef) -> TypeRef {
    match ty {
        TypeRef::NonNull(inner) => *inner,
        other => other,
    }
}

pub(super) fn embedded_input(name: &str) -> String {
    format!("{name}Input")
}

fn type_ref(ty: &FieldType, embedded: &dyn Fn(&str) -> String) -> TypeRef {
    let inner = match &ty.shape {
        Shape::Scalar(scalar) => TypeRef::named(scalar.name()),
        Shape::Enum(name) => TypeRef::named(name.as_str()),
        Shape::Embedded(name) => TypeRef::named(embedded(name)),
        Shape::List(item) => TypeRef::List(Box::new(type_ref(item, embedded))),
    };
    if ty.required {
        TypeRef::NonNull(Box::new(inner))
    } else {
        inner
    }
}

/// A field computed from its parent alone.
pub(super) fn plain<T: Any>(
    name: &str,
    ty: TypeRef,
    description: &str,
    get: impl Fn(&T) -> Option<FieldValue<'static>> + Send + Sync + 'static,
) -> Field {
    Field::new(name, ty, move |ctx| {
        FieldFuture::Value(ctx.parent_value.downcast_ref::<T>().and_then(&get))
    })
    .description(text(description))
}

pub(super) fn argument(name: &str, ty: TypeRef, description: &str) -> InputValue {
    InputValue::new(name, ty).description(text(description))
}

pub(super) fn enumeration(name: &str, description: &str, items: &[(&str, &str)]) -> Enum {
    items.iter().fold(
        Enum::new(name).description(text(description)),
        |built, (item, meaning)| built.item(EnumItem::new(*item).description(text(meaning))),
    )
}

pub(super) fn string(value: impl Into<String>) -> FieldValue<'static> {
    FieldValue::value(GraphqlValue::String(value.into()))
}

pub(super) fn int(value: i32) -> FieldValue<'static> {
    FieldValue::value(GraphqlValue::from(value))
}

/// A stored value as an answer shows it; null where the value is null, so that nothing looks inside it.
pub(super) fn stored(model: &Model, ty: &FieldType, value: &Value) -> Option<FieldValue<'static>> {
    let value = graphql_value(model, ty, value);
    (value != GraphqlValue::Null).then(|| FieldValue::value(value))
}

pub(super) fn graphql_value(model: &Model, ty: &FieldType, value: &Value) -> GraphqlValue {
    GraphqlValue::from_json(json::encode(model, ty, value))
        .expect("a JSON value is a GraphQL value: numbers are finite, names are strings")
}

/// Text of a model as the SDL printer can take it: it escapes neither block quotes in descriptions nor quotes in
/// reasons.
pub(super) fn text(description: &str) -> String {
    description.replace("\"\"\"", "'''")
}

pub(super) fn reason(deprecated: &str) -> String {
    deprecated
        .replace('"', "'")
        .replace('\\', "/")
        .replace('\n', " ")
}
