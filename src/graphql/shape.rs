//! Small words the generated schema is spelled with: type references, descriptions, fields without work of their own.

use std::any::Any;

use async_graphql::{
    Name, Value as GraphqlValue,
    dynamic::{self, Enum, EnumItem, FieldFuture, FieldValue, InputValue, TypeRef},
};
use tidegate_core::{
    model::{DefaultValue, Field, FieldType, Model, Shape},
    value::{Document, Value, json},
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

/// What a schema is built for. async-graphql 7.2 knows no null in a list of enums, objects or lists; so the schema that it
/// executes has JSON for the fields of documents, and `complete.rs` makes the types of the other one of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// To be told to clients.
    Shown,
    /// To be executed.
    Executed,
}

/// A model field's type in answers.
pub(super) fn output_type(ty: &FieldType, purpose: Purpose) -> TypeRef {
    match purpose {
        Purpose::Shown => type_ref(ty, &|name| name.to_owned()),
        Purpose::Executed => nullable("JSON"),
    }
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
) -> dynamic::Field {
    dynamic::Field::new(name, ty, move |ctx| {
        FieldFuture::Value(ctx.parent_value.downcast_ref::<T>().and_then(&get))
    })
    .description(description)
}

pub(super) fn argument(name: &str, ty: TypeRef, description: &str) -> InputValue {
    InputValue::new(name, ty).description(description)
}

pub(super) fn enumeration(name: &str, description: &str, items: &[(&str, &str)]) -> Enum {
    items.iter().fold(
        Enum::new(name).description(description),
        |built, (item, meaning)| built.item(EnumItem::new(*item).description(*meaning)),
    )
}

pub(super) fn string(value: impl Into<String>) -> FieldValue<'static> {
    FieldValue::value(GraphqlValue::String(value.into()))
}

pub(super) fn int(value: i32) -> FieldValue<'static> {
    FieldValue::value(GraphqlValue::from(value))
}

/// A stored value as `complete.rs` takes it.
pub(super) fn stored(model: &Model, ty: &FieldType, value: &Value) -> FieldValue<'static> {
    FieldValue::value(whole(model, ty, value))
}

/// A value with the defaults that its embedded documents show.
fn whole(model: &Model, ty: &FieldType, value: &Value) -> GraphqlValue {
    match (&ty.shape, value) {
        (Shape::List(item), Value::List(items)) => {
            let items = items.iter().map(|value| whole(model, item, value));
            GraphqlValue::List(items.collect())
        }
        (Shape::Embedded(name), Value::Object(document)) => {
            let fields = model.embedded.get(name).map_or(&[][..], |it| &it.fields);
            let shown = fields.iter().filter_map(|field| {
                let value = shown(field, document)?;
                Some((Name::new(&field.name), whole(model, &field.ty, value)))
            });
            GraphqlValue::Object(shown.collect())
        }
        _ => graphql_value(model, ty, value),
    }
}

/// What a document shows of a field: what it holds, or the default of a required field that came into the model later.
pub(super) fn shown<'a>(field: &'a Field, document: &'a Document) -> Option<&'a Value> {
    let held = document.get(&field.name).filter(|value| !value.is_null());
    held.or(match &field.default {
        Some(DefaultValue::Literal(default)) if field.ty.required => Some(default),
        _ => None,
    })
}

pub(super) fn graphql_value(model: &Model, ty: &FieldType, value: &Value) -> GraphqlValue {
    GraphqlValue::from_json(json::encode(model, ty, value))
        .expect("a JSON value is a GraphQL value: numbers are finite, names are strings")
}

/// A generated sentence's word for one document of a type: "an Article".
pub(super) fn one(type_name: &str) -> String {
    let article = if sounds_like_a_vowel(type_name) {
        "an"
    } else {
        "a"
    };
    format!("{article} {type_name}")
}

/// Beginnings whose sound their first letter does not tell, and whether it is a vowel's. The first that fits counts.
const SOUNDS: [(&str, bool); 9] = [
    ("eu", false),
    ("one", false),
    ("once", false),
    ("uni", false),
    ("un", true),
    ("hour", true),
    ("heir", true),
    ("hono", true),
    ("honest", true),
];

/// Initials are spelled out ("an IMO", "a URL"); an U before one consonant and a vowel is that of "user" and "usage".
fn sounds_like_a_vowel(name: &str) -> bool {
    let is_vowel = |letter: char| "aeiou".contains(letter);
    let mut letters = name.chars();
    let first = letters.next().unwrap_or_default();
    if first.is_ascii_uppercase() && !letters.next().is_some_and(|it| it.is_ascii_lowercase()) {
        return "AEFHILMNORSX".contains(first);
    }
    let name = name.to_ascii_lowercase();
    if let Some((_, sound)) = SOUNDS.iter().find(|(it, _)| name.starts_with(it)) {
        return *sound;
    }
    let letters: Vec<char> = name.chars().take(3).collect();
    match letters[..] {
        ['u', second, third] => is_vowel(second) == is_vowel(third),
        [first, ..] => is_vowel(first),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_article_follows_the_sound_of_a_name() {
        for expected in [
            "a Task",
            "an Article",
            "an Order",
            "an entry",
            "a User",
            "a Unit",
            "an Upload",
            "an Umbrella",
            "a URLBookmark",
            "an IMO",
            "an MP3File",
            "a PDF",
            "an Item",
            "a B",
            "an A",
            "an M",
            "an Hour",
            "an Honor",
            "an Heir",
            "a House",
            "an Unordered",
            "a Euro",
            "a One",
            "a Once",
            "an Onion",
        ] {
            let (_, name) = expected.split_once(' ').unwrap();
            assert_eq!(one(name), expected);
        }
    }
}
