//! From what an operation asks for to what is written, as far as pages and pushes ask alike.

use tidegate_core::{
    model::{self, DefaultValue, DocumentType, FieldType, Model, Scalar, Shape},
    value::{Value, json},
};

use crate::graphql::{
    render::{
        Key,
        document::{FieldShape, ObjectShape, Part, ShownDocument, ValueShape},
        fields_of,
    },
    request::{OperationKind, SelectedField, Selection, SubSelection},
};

pub(super) const TYPENAME: &str = "__typename";

/// What stands in an object, in this order.
pub(super) type Parts<P> = Vec<(Key, P)>;

/// A part of an answer.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum RootPart {
    /// The same JSON text in every answer.
    Literal(Box<[u8]>),
    /// The operation's one field.
    Field,
}

/// What an operation asks for that asks for `field` once, and besides for nothing but its root type's name: the parts of
/// its answer, and what it asks for below the field.
pub(super) fn root<'a>(
    selection: &'a Selection,
    field: &str,
) -> Option<(Parts<RootPart>, &'a [SelectedField])> {
    let root = match selection.kind {
        OperationKind::Query => "Query",
        OperationKind::Mutation => "Mutation",
        OperationKind::Subscription => "Subscription",
    };
    let mut of_name = selection.fields.iter().filter(|asked| asked.name == field);
    let (Some(below), None) = (of_name.next(), of_name.next()) else {
        return None;
    };
    let root = parts(&selection.fields, |asked| {
        Some(match asked.name.as_str() {
            TYPENAME => RootPart::Literal(quoted(root)),
            name if name == field => RootPart::Field,
            _ => return None,
        })
    })?;
    Some((root, fields(below)?))
}

/// What `field` asks for of documents, by their type; `None` if they refer to others.
pub(super) fn document(model: &Model, field: &SelectedField) -> Option<ShownDocument> {
    let shapes = model.types.iter().map(|document_type| {
        let name = document_type.name.as_str();
        let shape = of_type(model, document_type, fields_of(&field.below, name))?;
        Some((name.into(), shape))
    });
    shapes.collect()
}

fn of_type(
    model: &Model,
    document_type: &DocumentType,
    asked: &[SelectedField],
) -> Option<ObjectShape> {
    let type_name = document_type.name.as_str();
    let parts = parts(asked, |field| {
        Some(match field.name.as_str() {
            "id" => Part::Id,
            "syncVersion" => Part::Version,
            "syncScope" => Part::Scope,
            "syncChangedAt" => Part::ChangedAt,
            _ => part(model, type_name, &document_type.fields, field)?,
        })
    })?;
    Some(ObjectShape::new(parts))
}

fn part(
    model: &Model,
    type_name: &str,
    fields: &[model::Field],
    asked: &SelectedField,
) -> Option<Part> {
    if asked.name == TYPENAME {
        return Some(Part::Literal(quoted(type_name)));
    }
    let field = fields.iter().find(|field| *asked.name == *field.name)?;
    let default = match &field.default {
        Some(DefaultValue::Literal(default)) if field.ty.required => {
            Some(literal(model, &field.ty, default, asked)?)
        }
        _ => None,
    };
    Some(Part::Field(FieldShape {
        name: field.name.as_str().into(),
        shape: value(model, &field.ty, asked)?,
        required: field.ty.required,
        default,
    }))
}

/// A default as JSON text. One that is an object is shown in parts, which is left to the executor.
fn literal(
    model: &Model,
    ty: &FieldType,
    default: &Value,
    asked: &SelectedField,
) -> Option<Box<[u8]>> {
    matches!(asked.below, SubSelection::Leaf).then(|| {
        json::encode(model, ty, default)
            .to_string()
            .into_bytes()
            .into()
    })
}

fn value(model: &Model, ty: &FieldType, asked: &SelectedField) -> Option<ValueShape> {
    Some(match &ty.shape {
        Shape::Scalar(Scalar::Json) => ValueShape::Json,
        Shape::Scalar(Scalar::Int) => ValueShape::Int,
        Shape::Scalar(Scalar::Float) => ValueShape::Float,
        Shape::Scalar(Scalar::Boolean) => ValueShape::Boolean,
        Shape::Scalar(_) => ValueShape::Text,
        Shape::Enum(name) => {
            let values = model.enums.get(name)?.values.iter();
            ValueShape::Enum(values.map(|value| value.name.as_str().into()).collect())
        }
        Shape::List(item) => ValueShape::List {
            item: Box::new(value(model, item, asked)?),
            required: item.required,
        },
        Shape::Embedded(name) => {
            let embedded = model.embedded.get(name)?;
            let parts = parts(fields(asked)?, |field| {
                part(model, name, &embedded.fields, field)
            })?;
            ValueShape::Embedded(ObjectShape::new(parts))
        }
    })
}

pub(super) fn parts<P>(
    asked: &[SelectedField],
    part: impl Fn(&SelectedField) -> Option<P>,
) -> Option<Parts<P>> {
    let parts = asked.iter();
    parts
        .map(|field| Some((Key::new(field.key.as_str()), part(field)?)))
        .collect()
}

/// What is asked for below a field whose objects are all of one type.
pub(super) fn fields(field: &SelectedField) -> Option<&[SelectedField]> {
    match &field.below {
        SubSelection::Any(fields) => Some(fields),
        SubSelection::Leaf | SubSelection::ByType(_) => None,
    }
}

pub(super) fn quoted(name: &str) -> Box<[u8]> {
    format!("\"{name}\"").into_bytes().into()
}
