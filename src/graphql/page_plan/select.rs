//! From what an operation asks for to a shape.

use std::sync::Arc;

use tidegate_core::{
    model::{self, DefaultValue, DocumentType, FieldType, Model, Scalar, Shape},
    value::{Value, json},
};

use super::{PagePart, PageShape, RootPart};
use crate::{
    graphql::request::{Asked, Below},
    sync::{FieldShape, Key, ObjectShape, Part, Projection, Shown, ValueShape},
};

const TYPENAME: &str = "__typename";

/// What an operation on the root type `root` shows that asks for `page` and besides for nothing but its type's name.
pub(super) fn shape(model: &Model, asked: &[Asked], root: &str, page: &str) -> Option<PageShape> {
    let mut pages = asked.iter().filter(|field| field.name == page);
    let (Some(below), None) = (pages.next(), pages.next()) else {
        return None;
    };
    let root = parts(asked, |field| {
        Some(match field.name.as_str() {
            TYPENAME => RootPart::Literal(quoted(root)),
            name if name == page => RootPart::Page,
            _ => return None,
        })
    })?;
    let page = parts(fields(below)?, |field| page_part(model, field))?;
    Some(PageShape { root, page })
}

fn page_part(model: &Model, field: &Asked) -> Option<PagePart> {
    Some(match field.name.as_str() {
        TYPENAME => PagePart::Literal(quoted("SyncPage")),
        "changes" => {
            let parts = parts(fields(field)?, |field| shown(model, field))?;
            PagePart::Changes(Arc::new(Projection { parts }))
        }
        "checkpoint" => PagePart::Checkpoint,
        "hasMore" => PagePart::HasMore,
        "reset" => PagePart::Reset,
        "revokedScopes" => PagePart::RevokedScopes,
        "epoch" => PagePart::Epoch,
        "serverTime" => PagePart::ServerTime,
        _ => return None,
    })
}

fn shown(model: &Model, field: &Asked) -> Option<Shown> {
    Some(match field.name.as_str() {
        TYPENAME => Shown::Literal(quoted("SyncChange")),
        "type" => Shown::Type,
        "documentId" => Shown::DocumentId,
        "kind" => Shown::Kind,
        "version" => Shown::Version,
        "scope" => Shown::Scope,
        "changedAt" => Shown::ChangedAt,
        "document" => {
            let shapes = model.types.iter().map(|document_type| {
                let name = document_type.name.as_str();
                let shape = document(model, document_type, of_type(&field.below, name))?;
                Some((name.into(), shape))
            });
            Shown::Document(shapes.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// What is shown of a document of one type; `None` if it refers to others.
fn document(model: &Model, document_type: &DocumentType, asked: &[Asked]) -> Option<ObjectShape> {
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

fn part(model: &Model, type_name: &str, fields: &[model::Field], asked: &Asked) -> Option<Part> {
    if asked.name == TYPENAME {
        return Some(Part::Literal(quoted(type_name)));
    }
    let field = fields.iter().find(|field| asked.name == field.name)?;
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
fn literal(model: &Model, ty: &FieldType, default: &Value, asked: &Asked) -> Option<Box<[u8]>> {
    let is_leaf = fields(asked)?.is_empty();
    is_leaf.then(|| {
        json::encode(model, ty, default)
            .to_string()
            .into_bytes()
            .into()
    })
}

fn value(model: &Model, ty: &FieldType, asked: &Asked) -> Option<ValueShape> {
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

fn parts<P>(asked: &[Asked], part: impl Fn(&Asked) -> Option<P>) -> Option<Vec<(Key, P)>> {
    let parts = asked.iter();
    parts
        .map(|field| Some((Key::new(field.key.as_str()), part(field)?)))
        .collect()
}

/// What is asked for below a field whose objects are all of one type.
fn fields(field: &Asked) -> Option<&[Asked]> {
    match &field.below {
        Below::Any(fields) => Some(fields),
        Below::ByType(_) => None,
    }
}

/// What is asked for of objects of the type `name`.
fn of_type<'a>(below: &'a Below, name: &str) -> &'a [Asked] {
    match below {
        Below::Any(fields) => fields,
        Below::ByType(types) => types
            .iter()
            .find(|(of, _)| of == name)
            .map_or(&[], |(_, fields)| fields),
    }
}

fn quoted(name: &str) -> Box<[u8]> {
    format!("\"{name}\"").into_bytes().into()
}
