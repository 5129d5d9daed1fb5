//! `@default(value)`: a literal of the SDL, read by its field's type.
//!
//! A literal becomes JSON here, and [`json`] makes a value of it. A value that [`json`] refuses or that breaks the
//! field's own rules becomes a mistake.

use apollo_compiler::ast::Value as Literal;
use serde_json::{Map, Value as Json};

use super::{
    directives::DirectiveArguments, fields::OwnerKind, report::DiagnosticReport, templates,
};
use crate::{
    model::{Constraint, DefaultValue, FieldType, Model, Scalar, Shape, Template},
    value::{Value, json},
};

/// The field a default is for.
pub(super) struct DefaultTarget<'a> {
    pub(super) name: &'a str,
    pub(super) owner: OwnerKind,
    pub(super) ty: &'a FieldType,
    pub(super) constraint: &'a Constraint,
}

/// Reads the default of a field; `None` after reporting that it is no value of the field's type.
pub(super) fn read(
    model: &Model,
    target: &DefaultTarget<'_>,
    arguments: DirectiveArguments<'_>,
    report: &mut DiagnosticReport<'_>,
) -> Option<DefaultValue> {
    let literal = arguments.value("value")?;
    if is_claims_template(target.ty, literal) {
        return read_claims(target, arguments, report).map(DefaultValue::Claims);
    }
    match read_value(model, target, literal) {
        Ok(value) => Some(DefaultValue::Literal(value)),
        Err(problem) => {
            report.add(
                literal.location(),
                format!("the default of `{}` {problem}", target.name),
                format!("write {}", example(model, target.ty)),
            );
            None
        }
    }
}

/// A default with braces on a String or an ID is a template over claims.
fn is_claims_template(ty: &FieldType, literal: &Literal) -> bool {
    matches!(ty.shape, Shape::Scalar(Scalar::String | Scalar::Id))
        && literal
            .as_str()
            .is_some_and(|text| text.contains(['{', '}']))
}

fn read_claims(
    target: &DefaultTarget<'_>,
    arguments: DirectiveArguments<'_>,
    report: &mut DiagnosticReport<'_>,
) -> Option<Template> {
    if target.owner == OwnerKind::Embedded {
        report.add(
            arguments.place("value"),
            format!("the default of `{}` asks for claims inside an embedded type", target.name),
            "claims are filled in on a document's own fields only: move the field, or drop the braces",
        );
        return None;
    }
    templates::read_claims(arguments, "value", report)
}

fn read_value(
    model: &Model,
    target: &DefaultTarget<'_>,
    literal: &Literal,
) -> Result<Value, String> {
    let json = to_json(model, &target.ty.shape, literal)?;
    let value = json::decode(model, target.ty, json, "").map_err(|error| {
        if error.path.is_empty() {
            error.problem
        } else {
            format!("at {error}")
        }
    })?;
    check_complete(model, target.ty, &value)?;
    check_not_retired(model, &target.ty.shape, &value)?;
    target.constraint.check(&value)?;
    Ok(value)
}

/// Writes a literal as the JSON that a client would send. JSON cannot distinguish enum values from strings.
fn to_json(model: &Model, shape: &Shape, literal: &Literal) -> Result<Json, String> {
    match (shape, literal) {
        (_, Literal::Null) => Ok(Json::Null),
        (Shape::Enum(_), Literal::Enum(name)) => Ok(name.as_str().into()),
        (Shape::Enum(name), _) => Err(format!(
            "must be a value of the enum {name}, without quotes"
        )),
        (_, Literal::Enum(name)) => Err(format!("cannot be {name}: no enum stands here")),
        (_, Literal::Variable(name)) => Err(format!("cannot be ${name}: a model has no variables")),
        (_, Literal::String(text)) => Ok(text.as_str().into()),
        (_, Literal::Boolean(value)) => Ok((*value).into()),
        (_, Literal::Int(number)) => number_to_json(number.as_str()),
        (_, Literal::Float(number)) => number_to_json(number.as_str()),
        (shape, Literal::List(items)) => {
            let item_shape = match shape {
                Shape::List(item) => &item.shape,
                other => other,
            };
            items
                .iter()
                .map(|item| to_json(model, item_shape, item))
                .collect()
        }
        (shape, Literal::Object(members)) => members
            .iter()
            .map(|(name, member)| {
                let shape = member_shape(model, shape, name);
                Ok((name.to_string(), to_json(model, shape, member)?))
            })
            .collect::<Result<Map<_, _>, _>>()
            .map(Json::Object),
    }
}

fn number_to_json(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|_| "must be a finite number".to_owned())
}

/// A member that the model does not have counts as any JSON here. Decoding then refuses it by name.
fn member_shape<'a>(model: &'a Model, shape: &Shape, name: &str) -> &'a Shape {
    const ANY: &Shape = &Shape::Scalar(Scalar::Json);
    let Shape::Embedded(type_name) = shape else {
        return ANY;
    };
    let mut fields = model.embedded_fields(type_name).iter();
    let field = fields.find(|field| field.name == name);
    field.map_or(ANY, |field| &field.ty.shape)
}

/// Refuses null and absence where the type forbids them. Decoding does not, since it reads patches too.
fn check_complete(model: &Model, ty: &FieldType, value: &Value) -> Result<(), String> {
    match (&ty.shape, value) {
        (_, Value::Null) if ty.required => Err("must not be null".into()),
        (Shape::List(item), Value::List(items)) => items
            .iter()
            .try_for_each(|value| check_complete(model, item, value)),
        (Shape::Embedded(name), Value::Object(document)) => {
            let mut fields = model.embedded_fields(name).iter();
            fields.try_for_each(|field| match document.get(&field.stored_as) {
                Some(value) => check_complete(model, &field.ty, value)
                    .map_err(|problem| format!("at {}: {problem}", field.name)),
                None if field.ty.required => Err(format!("must have the field `{}`", field.name)),
                None => Ok(()),
            })
        }
        _ => Ok(()),
    }
}

/// Refuses retired values of enums, which no create may write.
fn check_not_retired(model: &Model, shape: &Shape, value: &Value) -> Result<(), String> {
    match (shape, value) {
        (Shape::Enum(name), Value::String(word)) if model.is_retired_value(name, word) => {
            Err(format!("is {word}, which is retired"))
        }
        (Shape::List(item), Value::List(items)) => {
            let mut items = items.iter();
            items.try_for_each(|value| check_not_retired(model, &item.shape, value))
        }
        (Shape::Embedded(name), Value::Object(document)) => {
            let mut fields = model.embedded_fields(name).iter();
            fields.try_for_each(|field| match document.get(&field.stored_as) {
                Some(value) => check_not_retired(model, &field.ty.shape, value),
                None => Ok(()),
            })
        }
        _ => Ok(()),
    }
}

fn example(model: &Model, ty: &FieldType) -> String {
    match &ty.shape {
        Shape::List(_) => "a list that fits, such as []".into(),
        Shape::Embedded(name) => format!("an object with every required field of {name}"),
        Shape::Enum(name) => {
            let values = model.enums.get(name).map_or(&[][..], |def| &def.values);
            let values = values.iter().filter(|value| !value.retired);
            let names: Vec<&str> = values.map(|value| value.name.as_str()).collect();
            format!("one of {}, without quotes", names.join(", "))
        }
        Shape::Scalar(scalar) => {
            let literal = match scalar {
                Scalar::Id | Scalar::String => "\"text\"",
                Scalar::Int => "200",
                Scalar::Float => "0.5",
                Scalar::Boolean => "false",
                Scalar::Date => "\"2026-02-28\"",
                Scalar::DateTime => "\"2026-02-28T12:30:00.000Z\"",
                Scalar::Long => "\"9007199254740993\"",
                Scalar::Decimal => "\"12.50\"",
                Scalar::Bytes => "\"AAEC\"",
                Scalar::Json => "{kind: \"note\", size: 2}",
            };
            format!(
                "a literal of {} that fits, such as {literal}",
                scalar.name()
            )
        }
    }
}
