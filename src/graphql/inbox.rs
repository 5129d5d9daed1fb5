//! The inbox in the schema: `SyncConflict` with its three sides, the connection it comes in, and what resolves it.
//!
//! The root fields are in [`super::roots`].

use std::sync::Arc;

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{
        Field, FieldFuture, FieldValue, InputObject, InputValue, Object, ResolverContext,
        SchemaBuilder, Union,
    },
};
use tidegate_core::{
    change::BaseVersion,
    id::{ConflictId, TypeName},
    model::{self, DocumentType, Model},
    push::Resolution,
    value::Document,
};

use super::{
    documents::{DocumentNode, described},
    enums::{self, Side},
    error::{Code, Failure},
    inputs,
    shape::{
        Purpose, argument, int, list, nullable, one, optional, output_type, plain, required,
        stored, string,
    },
};
use crate::sync::{InboxEntry, InboxPage, InboxRequest};

/// How many conflicts a page carries where the client does not say.
const FIRST_DEFAULT: i32 = 50;

/// A part of the inbox on its way to a client.
pub(super) struct InboxNode(pub(super) InboxPage);

struct EdgeNode(InboxEntry);

pub(super) struct PageInfoNode {
    pub(super) has_next: bool,
    pub(super) end: Option<String>,
}

/// One side of a conflict.
struct StateNode(Document);

pub(super) fn register(
    mut builder: SchemaBuilder,
    model: &Arc<Model>,
    purpose: Purpose,
) -> SchemaBuilder {
    let mut union = Union::new("SyncState").description(
        "A document's fields as one side has them; it has no id, for it is not the document.",
    );
    for document_type in &model.types {
        let name = state_name(&document_type.name);
        union = union.possible_type(&name);
        builder = builder.register(state_object(model, document_type, purpose));
    }
    builder
        .register(union)
        .register(connection_object())
        .register(edge_object())
        .register(page_info_object())
        .register(conflict_object())
        .register(resolution_input(model))
        .register(resolve_input())
}

fn connection_object() -> Object {
    Object::new("SyncConflictConnection")
        .description("Some of the conflicts that you may resolve, the oldest first.")
        .field(plain(
            "edges",
            list("SyncConflictEdge"),
            "The conflicts, each with its cursor.",
            |node: &InboxNode| {
                let entries = node.0.entries.iter().cloned();
                Some(FieldValue::list(
                    entries.map(|entry| FieldValue::owned_any(EdgeNode(entry))),
                ))
            },
        ))
        .field(plain(
            "nodes",
            list("SyncConflict"),
            "The conflicts.",
            |node: &InboxNode| {
                let entries = node.0.entries.iter().cloned();
                Some(FieldValue::list(entries.map(FieldValue::owned_any)))
            },
        ))
        .field(plain(
            "pageInfo",
            required("PageInfo"),
            "Where the page ends.",
            |node: &InboxNode| {
                Some(FieldValue::owned_any(PageInfoNode {
                    has_next: node.0.has_more,
                    end: node.0.end.clone(),
                }))
            },
        ))
}

fn edge_object() -> Object {
    Object::new("SyncConflictEdge")
        .description("A conflict and its place.")
        .field(plain(
            "cursor",
            required("String"),
            "Its place: what `after` takes.",
            |node: &EdgeNode| Some(string(node.0.cursor())),
        ))
        .field(plain(
            "node",
            required("SyncConflict"),
            "The conflict.",
            |node: &EdgeNode| Some(FieldValue::owned_any(node.0.clone())),
        ))
}

fn page_info_object() -> Object {
    Object::new("PageInfo")
        .description("Where a page ends.")
        .field(plain(
            "hasNextPage",
            required("Boolean"),
            "Whether there may be more behind `endCursor`.",
            |node: &PageInfoNode| Some(FieldValue::value(node.has_next)),
        ))
        .field(plain(
            "endCursor",
            nullable("String"),
            "What `after` takes to go on.",
            |node: &PageInfoNode| node.end.clone().map(string),
        ))
}

fn conflict_object() -> Object {
    Object::new("SyncConflict")
        .description("A change that waits for somebody to resolve it; the document stays as it is until then.")
        .field(plain("id", required("ID"), "What `resolveConflict` takes.", |node: &InboxEntry| {
            Some(string(node.conflict.id.as_str()))
        }))
        .field(plain("type", required("SyncType"), "The document's type.", |node: &InboxEntry| {
            Some(string(node.conflict.key.type_name.as_str()))
        }))
        .field(plain("documentId", required("ID"), "The document's id.", |node: &InboxEntry| {
            Some(string(node.conflict.key.id.as_str()))
        }))
        .field(plain("openedAt", required("DateTime"), "When the change arrived.", |node: &InboxEntry| {
            Some(string(node.conflict.opened_at.to_string()))
        }))
        .field(plain("openedBy", required("ID"), "Who made the change.", |node: &InboxEntry| {
            Some(string(node.conflict.opened_by.as_str()))
        }))
        .field(plain("currentVersion", required("Int"), "The document's version now, what `resolveConflict` takes as `baseVersion`; 0 if nothing is left of it.", |node: &InboxEntry| {
            Some(int(node.version().0))
        }))
        .field(plain("fields", list("String"), "The fields in question; none if the change was a delete.", |node: &InboxEntry| {
            let fields = node.conflict.held.fields.iter().map(string);
            Some(FieldValue::list(fields))
        }))
        .field(plain("base", nullable("SyncState"), "The fields as the change had seen them, where it said so.", |node: &InboxEntry| {
            state(node, node.conflict.held.base.as_ref())
        }))
        .field(plain("mine", nullable("SyncState"), "The fields as the change wanted them; null if it was a delete.", |node: &InboxEntry| {
            state(node, node.conflict.held.mine.document())
        }))
        .field(plain("theirs", nullable("SyncState"), "The document that the change met; null if it had been deleted.", |node: &InboxEntry| {
            state(node, node.conflict.theirs.as_ref())
        }))
        .field(plain("current", nullable("SyncDocument"), "The document as it is now; null if it has been deleted.", |node: &InboxEntry| {
            let entry = node.entry.clone().filter(|entry| !entry.is_deleted());
            entry.map(DocumentNode::as_interface)
        }))
}

fn state(node: &InboxEntry, side: Option<&Document>) -> Option<FieldValue<'static>> {
    let name = state_name(&node.conflict.key.type_name);
    side.map(|side| FieldValue::owned_any(StateNode(side.clone())).with_type(name))
}

/// Begins with `Sync`, as no type of a model does: `ListingState` is a name for an enum beside a type `Listing`.
pub(super) fn state_name(type_name: &TypeName) -> String {
    format!("Sync{type_name}State")
}

fn state_object(model: &Arc<Model>, document_type: &DocumentType, purpose: Purpose) -> Object {
    let object = Object::new(state_name(&document_type.name)).description(format!(
        "The fields of {} as one side of a conflict has them.",
        one(document_type.name.as_str())
    ));
    document_type.fields.iter().fold(object, |object, field| {
        object.field(state_field(model, field, purpose))
    })
}

fn state_field(model: &Arc<Model>, field: &model::Field, purpose: Purpose) -> Field {
    let (model, shown) = (model.clone(), field.clone());
    let ty = optional(output_type(&field.ty, purpose));
    let resolved = Field::new(&field.name, ty, move |ctx| {
        let node = ctx.parent_value.downcast_ref::<StateNode>();
        let value = node.and_then(|node| node.0.get(&shown.name));
        FieldFuture::Value(value.map(|value| stored(&model, &shown.ty, value)))
    });
    described(resolved, field)
}

fn resolve_input() -> InputObject {
    InputObject::new("ResolveConflictInput")
        .description("How a conflict is resolved.")
        .field(argument("conflictId", required("ID"), "The conflict."))
        .field(argument(
            "baseVersion",
            required("Int"),
            "Its `currentVersion`: if the document has another by now, nothing is done, and the answer shows it.",
        ))
        .field(argument(
            "resolution",
            required("SyncResolution"),
            "What becomes of the document.",
        ))
}

fn resolution_input(model: &Model) -> InputObject {
    let input = InputObject::new("SyncResolution")
        .description("What becomes of the document.")
        .oneof()
        .field(argument("take", nullable("SyncSide"), "One of the sides."));
    let input = model.types.iter().fold(input, |input, document_type| {
        input.field(argument(
            &document_type.singular,
            nullable(&format!("{}Patch", document_type.name)),
            &format!(
                "These fields of {} are written; if it has been deleted, it is created again.",
                one(document_type.name.as_str())
            ),
        ))
    });
    input.field(argument(
        "delete",
        nullable("Boolean"),
        "It is deleted, with `true`.",
    ))
}

/// The arguments of both forms of `conflicts`.
pub(super) fn first() -> InputValue {
    argument(
        "first",
        nullable("Int"),
        "The most conflicts of a page, from 1 to 100.",
    )
    .default_value(FIRST_DEFAULT)
}

/// Reads the arguments of both forms of `conflicts`.
pub(super) fn request(ctx: &ResolverContext<'_>) -> Result<InboxRequest, Failure> {
    let first = match ctx.args.get("first").map(|first| first.as_value().clone()) {
        Some(GraphqlValue::Number(first)) => first.as_i64().unwrap_or_default(),
        _ => i64::from(FIRST_DEFAULT),
    };
    let after = ctx.args.get("after").map(|after| after.as_value().clone());
    let after = match &after {
        Some(GraphqlValue::String(after)) => Some(after.as_str()),
        _ => None,
    };
    Ok(InboxRequest::new(first, after)?)
}

/// What `resolveConflict` is asked for.
pub(super) struct Resolve {
    pub(super) conflict: ConflictId,
    pub(super) base: BaseVersion,
    pub(super) resolution: Resolution,
}

/// Reads the argument `input` of `resolveConflict`.
pub(super) fn resolve(model: &Model, input: GraphqlValue) -> Result<Resolve, Failure> {
    let mut input = inputs::object(input);
    let id = inputs::present(&mut input, "conflictId").and_then(inputs::text);
    // What cannot be an id is the id of no conflict.
    let conflict = id.and_then(|id| ConflictId::new(&id).ok());
    let base = inputs::integer(&mut input, "baseVersion").unwrap_or_default();
    let resolution = inputs::present(&mut input, "resolution");
    let chosen = resolution.and_then(|value| inputs::object(value).into_iter().next());
    let resolution = match chosen {
        Some((name, value)) => resolution_of(model, name.as_str(), value),
        None => None,
    };
    Ok(Resolve {
        conflict: conflict.ok_or(crate::sync::SyncError::Push(
            tidegate_core::push::PushRefusal::ConflictNotFound,
        ))?,
        base: BaseVersion(base),
        resolution: resolution.ok_or_else(|| {
            Failure::new(
                Code::BadUserInput,
                "`resolution` says nothing: take a side, write fields, or write `delete: true`.",
            )
        })?,
    })
}

fn resolution_of(model: &Model, name: &str, value: GraphqlValue) -> Option<Resolution> {
    match (name, value) {
        ("take", side) => Some(match enums::SIDE.value(&inputs::text(side)?)? {
            Side::Mine => Resolution::Mine,
            Side::Theirs => Resolution::Theirs,
        }),
        ("delete", GraphqlValue::Boolean(true)) => Some(Resolution::Delete),
        (name, fields @ GraphqlValue::Object(_)) => {
            let mut types = model.types.iter();
            let document_type = types.find(|known| known.singular == name)?;
            let fields = inputs::read_fields(model, document_type, fields);
            Some(Resolution::Edited(document_type.name.clone(), fields))
        }
        _ => None,
    }
}
