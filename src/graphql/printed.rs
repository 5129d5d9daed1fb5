//! The schema as SDL. async-graphql 7.2 prints the texts of a model unescaped: descriptions as block strings, and the
//! reasons of `@deprecated`. So it prints a copy of the model with escaped texts.

use std::sync::Arc;

use async_graphql::{SDLExportOptions, dynamic::SchemaError};
use tidegate_core::model::{EnumValue, Field, Model, Reference, Reverse};

use super::{introspection::SCHEMA_DESCRIPTION, roots, schema, types::ApiTypes};

/// Stands for a quote until the SDL is printed, because the printer escapes the backslash of an escaped one. Unicode
/// keeps this character out of texts (a noncharacter).
const QUOTE: char = '\u{fffe}';

/// The SDL of the API of `model`.
pub(super) fn sdl(model: &Model) -> Result<String, SchemaError> {
    let model = Arc::new(escaped(model));
    let types = ApiTypes::new(&model);
    let schema = schema(&model, &types, &roots::rows(&model, &types))?;
    let options = SDLExportOptions::new()
        .include_specified_by()
        .use_space_ident();
    let sdl = schema.sdl_with_options(options);
    // The definition of the schema is the last one.
    let (before, definition) = sdl.rsplit_once("schema {").unwrap_or_default();
    let sdl = format!("{before}\"\"\"\n{SCHEMA_DESCRIPTION}\n\"\"\"\nschema {{{definition}");
    Ok(sdl.replace(QUOTE, "\\\""))
}

fn escaped(model: &Model) -> Model {
    let mut model = model.clone();
    for document_type in model.types.iter_mut().map(Arc::make_mut) {
        escape_description(&mut document_type.description);
        escape_description(&mut document_type.id_description);
        document_type.fields.iter_mut().for_each(escape_field);
        document_type
            .references
            .iter_mut()
            .for_each(escape_reference);
        document_type.reverses.iter_mut().for_each(escape_reverse);
    }
    for embedded in model.embedded.values_mut() {
        escape_description(&mut embedded.description);
        embedded.fields.iter_mut().for_each(escape_field);
    }
    for enum_type in model.enums.values_mut() {
        escape_description(&mut enum_type.description);
        enum_type.values.iter_mut().for_each(escape_value);
    }
    model
}

fn escape_field(field: &mut Field) {
    escape_description(&mut field.description);
    escape_reason(&mut field.deprecated);
}

fn escape_reference(reference: &mut Reference) {
    escape_description(&mut reference.description);
    escape_reason(&mut reference.deprecated);
}

fn escape_reverse(reverse: &mut Reverse) {
    escape_description(&mut reverse.description);
    escape_reason(&mut reverse.deprecated);
}

fn escape_value(value: &mut EnumValue) {
    escape_description(&mut value.description);
    escape_reason(&mut value.deprecated);
}

fn escape_description(description: &mut Option<String>) {
    if let Some(text) = description {
        *text = text.replace("\"\"\"", "\\\"\"\"");
    }
}

fn escape_reason(reason: &mut Option<String>) {
    if let Some(text) = reason {
        *text = text.replace('"', &QUOTE.to_string());
    }
}
