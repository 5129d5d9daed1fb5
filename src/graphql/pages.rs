//! Pages in the schema: `SyncPage`, `SyncChange` and what they are made of.

use std::sync::Arc;

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{FieldValue, InputValue, Object, ResolverContext, SchemaBuilder, TypeRef},
};
use tidegate_core::{
    checkpoint::Types,
    entry::{FeedItem, Record},
    id::TypeName,
    model::Model,
    value::Timestamp,
    view::{ChangeKind, RecordHead},
};

use super::{
    documents::DocumentNode,
    enums,
    error::Failure,
    inputs,
    shape::{argument, enumeration, int, list, nullable, plain, required, string},
};
use crate::sync::{Page, PullRequest, Start, SyncService};

/// A page on its way to a client.
pub(super) struct PageNode {
    page: Page,
    changes: Vec<FeedItem>,
    server_time: Timestamp,
}

impl PageNode {
    pub(super) fn value(
        page: Page,
        server_time: Timestamp,
    ) -> Result<FieldValue<'static>, Failure> {
        Ok(FieldValue::owned_any(Self {
            changes: page.decoded()?,
            page,
            server_time,
        }))
    }
}

struct ChangeNode(FeedItem);

/// How many changes a page carries where the client does not say.
const LIMIT_DEFAULT: i32 = 500;

pub(super) fn register(builder: SchemaBuilder, model: &Model) -> SchemaBuilder {
    let types: Vec<(&str, String)> = model
        .types
        .iter()
        .map(|document_type| {
            (
                document_type.name.as_str(),
                format!("The type {}.", document_type.name),
            )
        })
        .collect();
    let types: Vec<(&str, &str)> = types
        .iter()
        .map(|(name, description)| (*name, description.as_str()))
        .collect();
    builder
        .register(enumeration(
            "SyncType",
            "The synced types, each equal to its `__typename`.",
            &types,
        ))
        .register(page_object())
        .register(change_object())
}

fn page_object() -> Object {
    Object::new("SyncPage")
        .description("Some changes, and where the client stands once it has applied them all in one transaction: `revokedScopes` first, then `changes` in order.")
        .field(plain("changes", list("SyncChange"), "The changes in order.", |node: &PageNode| {
            let changes = node.changes.iter().cloned().map(ChangeNode);
            Some(FieldValue::list(changes.map(FieldValue::owned_any)))
        }))
        .field(plain("checkpoint", required("Checkpoint"), "Where the client then stands.", |node: &PageNode| {
            Some(string(node.page.checkpoint.encode()))
        }))
        .field(plain("hasMore", required("Boolean"), "Whether there is more to read now; it alone says so.", |node: &PageNode| {
            Some(FieldValue::value(node.page.has_more))
        }))
        .field(plain("reset", required("Boolean"), "Whether continuity is broken: mark every document unseen, and remove those still unseen once `hasMore` is false.", |node: &PageNode| {
            Some(FieldValue::value(node.page.reset))
        }))
        .field(plain("revokedScopes", list("ID"), "Scopes you may no longer see: remove their documents.", |node: &PageNode| {
            let scopes = node.page.revoked.iter().map(|scope| string(scope.as_str()));
            Some(FieldValue::list(scopes))
        }))
        .field(plain("epoch", required("ID"), "The identity of the store's history.", |node: &PageNode| {
            Some(string(node.page.epoch().as_str()))
        }))
        .field(plain("serverTime", required("DateTime"), "The gateway's clock.", |node: &PageNode| {
            Some(string(node.server_time.to_string()))
        }))
}

fn change_object() -> Object {
    Object::new("SyncChange")
        .description("What became of one document, as far as you may see. A change whose version is not above your copy's is to be ignored.")
        .field(plain("type", required("SyncType"), "The document's type.", |node: &ChangeNode| {
            Some(string(node.0.record.key().type_name.as_str()))
        }))
        .field(plain("documentId", required("ID"), "The document's id.", |node: &ChangeNode| {
            Some(string(node.0.record.key().id.as_str()))
        }))
        .field(plain("kind", required("SyncChangeKind"), "What it tells.", |node: &ChangeNode| {
            Some(string(kind(&node.0.record)))
        }))
        .field(plain("version", required("Int"), "The version it speaks of.", |node: &ChangeNode| {
            Some(int(node.0.record.version().0))
        }))
        .field(plain("scope", required("ID"), "The scope it happened in.", |node: &ChangeNode| {
            Some(string(node.0.record.scope().as_str()))
        }))
        .field(plain("changedAt", required("DateTime"), "When the gateway made the change.", |node: &ChangeNode| {
            Some(string(node.0.record.at().to_string()))
        }))
        .field(plain("document", nullable("SyncDocument"), "The document, with UPSERT.", |node: &ChangeNode| {
            match &node.0.record {
                Record::Entry(entry) if !entry.is_deleted() => {
                    Some(DocumentNode::as_interface(Arc::clone(entry)))
                }
                _ => None,
            }
        }))
}

fn kind(record: &Record) -> &'static str {
    let kind = match record {
        Record::Entry(entry) => entry.kind(),
        Record::Marker(_) => ChangeKind::Revoke,
    };
    enums::KIND.word(&kind)
}

/// The arguments that `changesSince` and `changes` share.
pub(super) fn arguments() -> [InputValue; 3] {
    [
        argument(
            "checkpoint",
            nullable("Checkpoint"),
            "The position of the client; without it the client starts from nothing.",
        ),
        argument(
            "types",
            TypeRef::named_nn_list("SyncType"),
            "The types it wants; left out, all, also those the model gets later.",
        ),
        argument(
            "limit",
            nullable("Int"),
            "The most changes of a page, from 1 to the gateway's bound (5000 unless configured).",
        )
        .default_value(LIMIT_DEFAULT),
    ]
}

/// Reads those arguments.
pub(super) fn request(
    argument: impl Fn(&str) -> Option<GraphqlValue>,
    sync: &SyncService,
) -> Result<PullRequest, Failure> {
    let checkpoint = match argument("checkpoint") {
        Some(GraphqlValue::String(token)) => Some(token),
        None | Some(GraphqlValue::Null) => None,
        Some(other) => Some(other.to_string()),
    };
    let types = match argument("types") {
        Some(GraphqlValue::List(names)) => {
            Types::Only(names.iter().filter_map(type_name).collect())
        }
        _ => Types::All,
    };
    let limit = match argument("limit") {
        Some(GraphqlValue::Number(limit)) => limit.as_i64().unwrap_or_default(),
        _ => i64::from(LIMIT_DEFAULT),
    };
    Ok(PullRequest::new(
        checkpoint.as_deref(),
        types,
        limit,
        sync.limits(),
    )?)
}

/// Reads where a subscription starts.
pub(super) fn start(argument: impl Fn(&str) -> Option<GraphqlValue>) -> Start {
    let word = argument("from").and_then(inputs::text);
    let start = word.and_then(|word| enums::START.value(&word).copied());
    start.unwrap_or(Start::Checkpoint)
}

/// The arguments of a field that is resolved.
pub(super) fn arguments_of(ctx: &ResolverContext<'_>) -> impl Fn(&str) -> Option<GraphqlValue> {
    |name| ctx.args.get(name).map(|value| value.as_value().clone())
}

fn type_name(value: &GraphqlValue) -> Option<TypeName> {
    match value {
        GraphqlValue::Enum(name) => TypeName::new(name).ok(),
        GraphqlValue::String(name) => TypeName::new(name).ok(),
        _ => None,
    }
}
