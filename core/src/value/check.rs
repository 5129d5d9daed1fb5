//! Checks of a client's values beyond their form: nulls and constraints.
//!
//! [`super::json`] checks the form while it reads JSON. [`super::fit`] reads stored documents.

use std::collections::HashMap;

use super::{
    Value,
    items::key_of,
    json::{JsonError, join},
};
use crate::model::{Field, Model, Shape};

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
    check_embedded(model, &field.ty.shape, value, path)?;
    check_keys(model, field, value, path)
}

/// Checks that no two items of a list have one key.
fn check_keys(model: &Model, field: &Field, value: &Value, path: &str) -> Result<(), JsonError> {
    let items = field.ty.shape.embedded_items();
    let (Some(key), Some(items), Value::List(values)) = (&field.key, items, value) else {
        return Ok(());
    };
    let fields = model.embedded_fields(items).iter();
    let key_name = fields.filter(|it| it.stored_as == *key).map(|it| &it.name);
    let mut first = HashMap::new();
    for (i, value) in values.iter().enumerate() {
        let earlier = key_of(value, key).and_then(|key| first.insert(key, i));
        if let Some(earlier) = earlier {
            let path = format!("{path}[{i}]");
            let path = key_name.clone().fold(path, |path, name| join(&path, name));
            let problem = format!("is also the key of item {earlier}");
            return Err(JsonError::new(&path, problem));
        }
    }
    Ok(())
}

/// Checks the embedded documents in a value, in its lists too.
fn check_embedded(
    model: &Model,
    shape: &Shape,
    value: &Value,
    path: &str,
) -> Result<(), JsonError> {
    match (shape, value) {
        (Shape::List(item), Value::List(values)) => {
            let mut values = values.iter().enumerate();
            values.try_for_each(|(i, value)| {
                check_embedded(model, &item.shape, value, &format!("{path}[{i}]"))
            })
        }
        (Shape::Embedded(name), Value::Object(document)) => {
            let mut fields = model.embedded_fields(name).iter();
            fields.try_for_each(|field| {
                let path = join(path, &field.name);
                match document.get(&field.stored_as) {
                    Some(value) => check_value(model, field, value, &path),
                    None if field.ty.required && !field.has_literal_default() => {
                        Err(JsonError::new(&path, "is required and has no default"))
                    }
                    None => Ok(()),
                }
            })
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
