//! Small parts of the generated schema: type references, arguments, words of descriptions.

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{InputValue, TypeRef},
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

/// The same type, but optional.
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

/// Adds what the model may say of a part of the schema.
pub(super) fn with<B, T>(built: B, said: Option<T>, add: impl FnOnce(B, T) -> B) -> B {
    match said {
        Some(said) => add(built, said),
        None => built,
    }
}

/// Why a retired member is deprecated, if the model does not say.
const RETIRED: &str = "Retired.";

/// Why a member of the model is deprecated, if it is.
pub(super) fn deprecation(reason: Option<&String>, retired: bool) -> Option<&str> {
    reason.map(String::as_str).or(retired.then_some(RETIRED))
}

/// Why an earlier name is deprecated, by which the member that is now called `name` can still be reached.
pub(super) fn renamed(name: &str) -> String {
    format!("Renamed to `{name}`.")
}

pub(super) fn argument(name: &str, ty: TypeRef, description: &str) -> InputValue {
    InputValue::new(name, ty).description(description)
}

pub(super) fn graphql_value(model: &Model, ty: &FieldType, value: &Value) -> GraphqlValue {
    GraphqlValue::from_json(json::encode(model, ty, value))
        .expect("a JSON value is a GraphQL value: numbers are finite, names are strings")
}

/// The words for one document of a type in a generated sentence: "an Article".
pub(super) fn one(type_name: &str) -> String {
    let article = if sounds_like_a_vowel(type_name) {
        "an"
    } else {
        "a"
    };
    format!("{article} {type_name}")
}

/// Beginnings whose first letter does not show their sound, and whether it is a vowel's. The first match counts.
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

/// Initials are spelled out ("an IMO", "a URL"). A U before one consonant and a vowel sounds as in "user" and "usage".
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
