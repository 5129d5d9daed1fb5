//! Random values by the types of a model, each in the store's form and in JSON.

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    model::{DefaultValue, Field, FieldType, Model, Scalar, Shape},
    value::{self, Document, Value},
};

use crate::graphql::request::tests::peer::tape::Tape;

/// Draws documents.
pub(super) struct Draw<'t> {
    pub(super) model: &'t Model,
    pub(super) tape: &'t mut Tape,
    /// The possible ids.
    pub(super) ids: &'t [&'t str],
}

impl Draw<'_> {
    /// The fields of a document or an embedded one; with `defaults`, absent required fields show theirs.
    pub(super) fn fields(
        &mut self,
        fields: &[Field],
        defaults: bool,
    ) -> (Document, Map<String, Json>) {
        let (mut held, mut shown) = (Document::new(), Map::new());
        for field in fields {
            let drawn = match self.tape.one_in(5) {
                true => self.absent(field),
                false => Some(self.value(&field.ty)),
            };
            let is_null = drawn.as_ref().is_none_or(|(value, _)| value.is_null());
            let json = match (&drawn, &field.default) {
                (_, Some(DefaultValue::Literal(default)))
                    if is_null && field.ty.required && defaults =>
                {
                    value::json::encode(self.model, &field.ty, default)
                }
                (Some((_, json)), _) => json.clone(),
                (None, _) => Json::Null,
            };
            shown.insert(field.name.clone(), json);
            if let Some((value, _)) = drawn {
                held.insert(field.name.clone(), value);
            }
        }
        (held, shown)
    }

    /// No value, where that is allowed.
    fn absent(&mut self, field: &Field) -> Option<(Value, Json)> {
        if !field.ty.required || field.default.is_some() {
            return None;
        }
        Some(self.value(&field.ty))
    }

    fn value(&mut self, ty: &FieldType) -> (Value, Json) {
        if !ty.required && self.tape.one_in(4) {
            return (Value::Null, Json::Null);
        }
        match &ty.shape {
            Shape::List(item) => {
                let count = self.tape.of(&[0, 1, 2, 3]);
                let (held, shown) = (0..count).map(|_| self.value(item)).unzip();
                (Value::List(held), Json::Array(shown))
            }
            Shape::Embedded(name) => {
                let model = self.model;
                let (held, shown) = self.fields(&model.embedded[name].fields, true);
                (Value::Object(held), Json::Object(shown))
            }
            Shape::Enum(name) => {
                let values = &self.model.enums[name].values;
                let name = values[self.tape.below(values.len())].name.clone();
                (Value::String(name.clone()), json!(name))
            }
            Shape::Scalar(scalar) => self.scalar(*scalar, ty),
        }
    }

    fn scalar(&mut self, scalar: Scalar, ty: &FieldType) -> (Value, Json) {
        let choices: &[Json] = match scalar {
            Scalar::Id => return self.id(),
            Scalar::String => &[json!("text"), json!(""), json!("é \"q\" \\ \n")],
            Scalar::Int => &[json!(7), json!(0), json!(-2_147_483_648)],
            Scalar::Float => &[json!(0.5), json!(-12.25), json!(1e-7)],
            Scalar::Boolean => &[json!(false), json!(true)],
            Scalar::Date => &[json!("2024-02-29")],
            Scalar::DateTime => &[json!("2026-02-28T12:30:00.000Z")],
            Scalar::Long => &[json!("9007199254740993"), json!("-1")],
            Scalar::Decimal => &[json!("12.50")],
            Scalar::Bytes => &[json!("AAEC"), json!("")],
            Scalar::Json => &[
                json!({"b": [1, null, {}], "a": "x"}),
                json!([]),
                json!(false),
                json!("s"),
            ],
        };
        let shown = choices[self.tape.below(choices.len())].clone();
        let held = value::json::decode(self.model, ty, shown.clone(), "").unwrap();
        // The store keeps the fields of JSON in the order of their names.
        let shown = value::json::encode(self.model, ty, &held);
        (held, shown)
    }

    fn id(&mut self) -> (Value, Json) {
        let id = self.tape.of(self.ids);
        (Value::String(id.to_owned()), json!(id))
    }
}
