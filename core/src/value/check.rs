//! Checks of documents beyond the form of their values: nulls, constraints, and the present model.
//!
//! [`super::json`] checks the form while it reads JSON.

use super::{
    Document, Value,
    json::{JsonError, decode_fields, encode_fields, join},
};
use crate::model::{DefaultValue, Field, Model, Shape};

/// Checks a value against its field beyond its type: whether null is allowed, and the constraints. Embedded documents are
/// whole.
///
/// # Errors
/// The first [`JsonError`].
pub fn check_value(
    model: &Model,
    field: &Field,
    value: &Value,
    path: &str,
) -> Result<(), JsonError> {
    if field.ty.required && value.is_null() {
        return Err(JsonError::new(path, "must not be null"));
    }
    field
        .constraint
        .check(value)
        .map_err(|problem| JsonError::new(path, problem))?;
    each_embedded(
        model,
        &field.ty.shape,
        value,
        path,
        &|fields, document, path| {
            fields.iter().try_for_each(|field| {
                let path = join(path, &field.name);
                match document.get(&field.stored_as) {
                    Some(value) => check_value(model, field, value, &path),
                    None if field.ty.required && !has_literal_default(field) => {
                        Err(JsonError::new(&path, "is required and has no default"))
                    }
                    None => Ok(()),
                }
            })
        },
    )
}

/// Checks a stored document against the present model: a required field has a value or a default, and every value is of
/// its field's type. Fields that the model no longer has are ignored.
///
/// # Errors
/// The first [`JsonError`].
pub fn check_document(
    model: &Model,
    fields: &[Field],
    document: &Document,
) -> Result<(), JsonError> {
    check_present(model, fields, document, "")?;
    decode_fields(model, fields, encode_fields(model, fields, document)).map(drop)
}

/// A field that is required has a value or a default, in embedded documents too.
fn check_present(
    model: &Model,
    fields: &[Field],
    document: &Document,
    path: &str,
) -> Result<(), JsonError> {
    fields.iter().try_for_each(|field| {
        let path = join(path, &field.name);
        let has_default = has_literal_default(field);
        match document
            .get(&field.stored_as)
            .filter(|value| !value.is_null())
        {
            Some(value) => each_embedded(
                model,
                &field.ty.shape,
                value,
                &path,
                &|fields, document, path| check_present(model, fields, document, path),
            ),
            None if field.ty.required && !has_default => {
                Err(JsonError::new(&path, "is required and has no value"))
            }
            None => Ok(()),
        }
    })
}

fn has_literal_default(field: &Field) -> bool {
    matches!(field.default, Some(DefaultValue::Literal(_)))
}

/// A check of one embedded document: its type's fields, its content, and the path to it.
type Check<'c> = &'c dyn Fn(&[Field], &Document, &str) -> Result<(), JsonError>;

/// Checks the embedded documents that stand directly in a value, in its lists too.
fn each_embedded(
    model: &Model,
    shape: &Shape,
    value: &Value,
    path: &str,
    check: Check<'_>,
) -> Result<(), JsonError> {
    match (shape, value) {
        (Shape::List(item), Value::List(values)) => {
            values.iter().enumerate().try_for_each(|(i, value)| {
                each_embedded(model, &item.shape, value, &format!("{path}[{i}]"), check)
            })
        }
        (Shape::Embedded(name), Value::Object(document)) => {
            check(model.embedded_fields(name), document, path)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::value::json::decode;

    #[test]
    fn the_constraints_of_embedded_documents_hold_and_name_their_path() {
        let model = "extend schema @grant(scope: \"public\", access: WRITE)
            type Order @collection(name: \"orders\") @scope(by: \"public\") { id: ID! lines: [Line!]! }
            type Line { code: String! @constraint(maxLength: 2) note: String }";
        let model = Model::parse("model.graphql", model).unwrap();
        let field = &model.types[0].fields[0];
        let check = |lines: Json| {
            let value = decode(&model, &field.ty, lines, "lines").unwrap();
            check_value(&model, field, &value, "lines").map_err(|error| error.to_string())
        };
        assert_eq!(
            check(json!([{"code": "ab"}, {"code": "cd", "note": null}])),
            Ok(())
        );
        let broken = check(json!([{"code": "ab"}, {"code": "abc"}]));
        assert_eq!(
            broken,
            Err("lines[1].code: must have at most 2 characters".to_owned())
        );
        assert_eq!(
            check(json!([{"code": null}])),
            Err("lines[0].code: must not be null".to_owned())
        );
    }
}
