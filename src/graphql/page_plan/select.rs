//! From a selection to a shape. The door has applied conditions, dissolved fragments and made arguments constant; what it
//! leaves are fields, and fragments on the types that a document may be of.

use std::sync::Arc;

use async_graphql::{
    Name, Positioned,
    indexmap::IndexMap,
    parser::types::{Field, Selection, SelectionSet},
};
use tidegate_core::{
    model::{self, DocumentType, FieldType, Model, Scalar, Shape},
    value::json,
};

use super::{Arguments, PagePart, PageShape, RootPart};
use crate::{
    graphql::documents::shown_default,
    sync::{FieldShape, Key, ObjectShape, Part, Projection, Shown, ValueShape},
};

/// The fields of one object by their keys. Several of one key have the same name and arguments; what they select is joined.
type Fields<'s> = IndexMap<&'s Name, Vec<&'s Field>>;

const TYPENAME: &str = "__typename";

/// What the selection of the root type `root` shows, if the one field in it besides its type's name is `page`.
pub(super) fn shape(
    model: &Model,
    selections: &SelectionSet,
    root: &str,
    page: &str,
) -> Option<(PageShape, Arguments)> {
    let mut parts = Vec::new();
    let mut asked: Option<&Positioned<Field>> = None;
    for selection in &selections.items {
        let Selection::Field(field) = &selection.node else {
            return None;
        };
        let key = Key::new(field.node.response_key().node.as_str());
        let part = match field.node.name.node.as_str() {
            TYPENAME => RootPart::Literal(quoted(root)),
            name if name == page && asked.is_none() => {
                asked = Some(field);
                RootPart::Page
            }
            _ => return None,
        };
        parts.push((key, part));
    }
    let asked = asked?;
    let arguments = asked.node.arguments.iter();
    let arguments = arguments.map(|(name, value)| {
        let value = value.node.clone().into_const()?;
        Some((name.node.clone(), value))
    });
    let shape = PageShape {
        root: parts,
        page: page_parts(model, &[&asked.node])?,
        line: asked.pos.line,
        column: asked.pos.column,
    };
    Some((shape, arguments.collect::<Option<_>>()?))
}

fn page_parts(model: &Model, nodes: &[&Field]) -> Option<Vec<(Key, PagePart)>> {
    parts(&collect(nodes, None)?, |name, nodes| {
        Some(match name {
            TYPENAME => PagePart::Literal(quoted("SyncPage")),
            "changes" => PagePart::Changes(Arc::new(projection(model, nodes)?)),
            "checkpoint" => PagePart::Checkpoint,
            "hasMore" => PagePart::HasMore,
            "reset" => PagePart::Reset,
            "revokedScopes" => PagePart::RevokedScopes,
            "epoch" => PagePart::Epoch,
            "serverTime" => PagePart::ServerTime,
            _ => return None,
        })
    })
}

fn projection(model: &Model, nodes: &[&Field]) -> Option<Projection> {
    let parts = parts(&collect(nodes, None)?, |name, nodes| {
        Some(match name {
            TYPENAME => Shown::Literal(quoted("SyncChange")),
            "type" => Shown::Type,
            "documentId" => Shown::DocumentId,
            "kind" => Shown::Kind,
            "version" => Shown::Version,
            "scope" => Shown::Scope,
            "changedAt" => Shown::ChangedAt,
            "document" => {
                let shapes = model.types.iter().map(|document_type| {
                    let shape = document(model, document_type, nodes)?;
                    Some((document_type.name.as_str().into(), shape))
                });
                Shown::Document(shapes.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    })?;
    Some(Projection { parts })
}

/// What is shown of a document of one type; `None` if it refers to others.
fn document(model: &Model, document_type: &DocumentType, nodes: &[&Field]) -> Option<ObjectShape> {
    let type_name = document_type.name.as_str();
    let fields = collect(nodes, Some(type_name))?;
    let parts = parts(&fields, |name, nodes| {
        Some(match name {
            "id" => Part::Id,
            "syncVersion" => Part::Version,
            "syncScope" => Part::Scope,
            "syncChangedAt" => Part::ChangedAt,
            name => part(model, type_name, &document_type.fields, name, nodes)?,
        })
    })?;
    Some(ObjectShape::new(parts))
}

fn embedded(model: &Model, name: &str, nodes: &[&Field]) -> Option<ObjectShape> {
    let embedded = model.embedded.get(name)?;
    let parts = parts(&collect(nodes, None)?, |field, nodes| {
        part(model, name, &embedded.fields, field, nodes)
    })?;
    Some(ObjectShape::new(parts))
}

fn part(
    model: &Model,
    type_name: &str,
    fields: &[model::Field],
    name: &str,
    nodes: &[&Field],
) -> Option<Part> {
    if name == TYPENAME {
        return Some(Part::Literal(quoted(type_name)));
    }
    let field = fields.iter().find(|field| field.name == name)?;
    Some(Part::Field(FieldShape {
        name: name.into(),
        shape: value(model, &field.ty, nodes)?,
        required: field.ty.required,
        default: default(model, field, nodes)?,
    }))
}

/// What a field shows in the place of null. A default that is an object would be shown in parts, which only the executor
/// does.
fn default(model: &Model, field: &model::Field, nodes: &[&Field]) -> Option<Option<Box<[u8]>>> {
    let Some(shown) = shown_default(field) else {
        return Some(None);
    };
    let is_leaf = nodes.iter().all(|node| selections(node).is_empty());
    let json = || json::encode(model, &field.ty, shown).to_string();
    is_leaf.then(|| Some(json().into_bytes().into()))
}

fn value(model: &Model, ty: &FieldType, nodes: &[&Field]) -> Option<ValueShape> {
    Some(match &ty.shape {
        Shape::Scalar(Scalar::Json) => ValueShape::Json,
        Shape::Scalar(_) | Shape::Enum(_) => ValueShape::Plain,
        Shape::List(item) => ValueShape::List {
            item: Box::new(value(model, item, nodes)?),
            required: item.required,
        },
        Shape::Embedded(name) => ValueShape::Embedded(embedded(model, name, nodes)?),
    })
}

fn parts<P>(
    fields: &Fields<'_>,
    part: impl Fn(&str, &[&Field]) -> Option<P>,
) -> Option<Vec<(Key, P)>> {
    let parts = fields.iter().map(|(key, nodes)| {
        let part = part(nodes[0].name.node.as_str(), nodes)?;
        Some((Key::new(key.as_str()), part))
    });
    parts.collect()
}

/// What `nodes` select together of an object of the type `type_name`; `None` if there are fragments where none are
/// expected.
fn collect<'s>(nodes: &[&'s Field], type_name: Option<&str>) -> Option<Fields<'s>> {
    let mut fields = Fields::default();
    for node in nodes {
        add(selections(node), type_name, &mut fields)?;
    }
    Some(fields)
}

fn add<'s>(
    selections: &'s [Positioned<Selection>],
    type_name: Option<&str>,
    fields: &mut Fields<'s>,
) -> Option<()> {
    for selection in selections {
        match &selection.node {
            Selection::Field(field) => {
                let key = &field.node.response_key().node;
                fields.entry(key).or_default().push(&field.node);
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref()?;
                if condition.node.on.node.as_str() == type_name? {
                    add(&fragment.node.selection_set.node.items, type_name, fields)?;
                }
            }
            Selection::FragmentSpread(_) => return None,
        }
    }
    Some(())
}

fn selections(field: &Field) -> &[Positioned<Selection>] {
    &field.selection_set.node.items
}

fn quoted(name: &str) -> Box<[u8]> {
    format!("\"{name}\"").into_bytes().into()
}
