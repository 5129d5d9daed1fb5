//! Values of variables, as JSON. As in `literals.rs`, most of them fit their type. `declared.rs` has decided the types
//! of the variables.

use apollo_compiler::{
    ast::Type,
    schema::{ExtendedType, InputObjectType},
};
use serde_json::{Map, Value as Json, json};

use super::{operations::OperationPrinter, tape::Tape};

impl<'s> OperationPrinter<'s> {
    pub(super) fn json(&mut self, ty: &Type, depth: usize) -> Json {
        if self.slip() {
            return self.wrong_json();
        }
        if !ty.is_non_null() && self.tape.one_in(8) {
            return Json::Null;
        }
        match ty {
            Type::List(item) | Type::NonNullList(item) => match self.tape.one_in(5) {
                true => self.json(item, depth),
                false => (0..self.tape.below(3))
                    .map(|_| self.json(item, depth))
                    .collect(),
            },
            Type::Named(name) | Type::NonNullNamed(name) => self.named_json(name, depth),
        }
    }

    fn wrong_json(&mut self) -> Json {
        let wrong = [
            json!(null),
            json!(1),
            json!("x"),
            json!(1.5),
            json!(true),
            json!([]),
            json!([[1]]),
            json!({}),
            json!({"nope": 1}),
            json!(5_000_000_000_i64),
            json!(2_147_483_648.0),
            json!([null]),
            json!("1"),
            json!(-2_147_483_649_i64),
        ];
        let at = self.tape.below(wrong.len());
        wrong[at].clone()
    }

    fn named_json(&mut self, name: &str, depth: usize) -> Json {
        let schema = self.schema;
        match (name, schema.types.get(name)) {
            ("Int", _) => one(
                &mut self.tape,
                [
                    json!(0),
                    json!(1),
                    json!(i32::MAX),
                    json!(i32::MIN),
                    json!(1.0),
                    json!(-0.0),
                    json!(-7.0),
                ],
            ),
            ("Float", _) => one(
                &mut self.tape,
                [
                    json!(0.5),
                    json!(0),
                    json!(-7),
                    json!(1e300),
                    json!(2.0),
                    json!(1_u64 << 53),
                    json!(-0.0),
                    json!(10_000_000_000_000_001_i64),
                    json!(i64::MIN),
                    json!(u64::MAX),
                ],
            ),
            ("Boolean", _) => json!(self.tape.one_in(2)),
            ("ID", _) => one(
                &mut self.tape,
                [
                    json!("a"),
                    json!(1),
                    json!(-7),
                    json!(""),
                    json!(1_u64 << 53),
                    json!(3.0),
                    json!(-0.0),
                ],
            ),
            ("String", _) => one(
                &mut self.tape,
                [
                    json!("x"),
                    json!(""),
                    json!("é\u{1f600}\n\"\\\u{0}"),
                    json!("$a"),
                    json!("LOW"),
                ],
            ),
            (_, Some(ExtendedType::Enum(values))) => {
                let at = self.tape.below(values.values.len());
                json!(values.values[at].value.as_str())
            }
            (_, Some(ExtendedType::InputObject(object))) => self.object_json(object, depth),
            _ => self.custom_json(depth),
        }
    }

    fn object_json(&mut self, object: &'s InputObjectType, depth: usize) -> Json {
        let mut fields = Map::new();
        for (field, one_of) in self.fields_given(object, depth) {
            let mut value = self.json(&field.ty, depth.saturating_sub(1));
            if one_of && value.is_null() && !self.slip() {
                value = self.named_json(field.ty.inner_named_type(), depth.saturating_sub(1));
            }
            fields.insert(field.name.to_string(), value);
        }
        if self.slip() {
            fields.insert("nope".to_owned(), json!(1));
        }
        Json::Object(fields)
    }

    fn custom_json(&mut self, depth: usize) -> Json {
        match self.tape.below(8) {
            6 if depth > 0 => json!([self.custom_json(depth - 1), null]),
            7 if depth > 0 => json!({"a": self.custom_json(depth - 1), "": null, "$b": {}}),
            other => [
                json!("x"),
                json!(0),
                json!(-1.5),
                json!(true),
                json!(1_u64 << 53),
                json!(2.0),
            ][other.min(5)]
            .clone(),
        }
    }
}

fn one<const N: usize>(tape: &mut Tape, values: [Json; N]) -> Json {
    values[tape.below(N)].clone()
}
