//! What a push tells its client: `PushChangesPayload`, `SyncResult` and what they are made of.

use std::sync::Arc;

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{FieldValue, Object, SchemaBuilder},
};
use tidegate_core::{
    change::Rejection,
    id::ConflictId,
    model::{DocumentType, Model},
    outcome::FieldOutcome,
    push::{Outcome, PushOutcome},
    value::{Timestamp, Value},
};

use super::{
    documents::DocumentNode,
    enums,
    shape::{graphql_value, int, list, nullable, plain, required, string},
};

/// A push's outcomes on their way to a client.
pub(super) struct PushNode {
    pub(super) outcome: PushOutcome,
    pub(super) server_time: Timestamp,
}

struct ResultNode {
    outcome: Outcome,
    duplicate: bool,
}

struct ConflictNode {
    document_type: Arc<DocumentType>,
    inbox: Option<ConflictId>,
    fields: Vec<FieldOutcome>,
}

struct FieldNode {
    document_type: Arc<DocumentType>,
    outcome: FieldOutcome,
}

pub(super) fn register(builder: SchemaBuilder, model: &Arc<Model>) -> SchemaBuilder {
    builder
        .register(payload_object())
        .register(resolved_object())
        .register(result_object(model))
        .register(error_object())
        .register(conflict_object())
        .register(field_object(model))
}

fn payload_object() -> Object {
    Object::new("PushChangesPayload")
        .description("What became of a push. Every change has its outcome, so that one bad change never stops the others.")
        .field(plain("results", list("SyncResult"), "One outcome for each change, in order.", |node: &PushNode| {
            let duplicate = node.outcome.duplicate;
            let outcomes = node.outcome.outcomes.iter().cloned();
            let results = outcomes.map(|outcome| ResultNode { outcome, duplicate });
            Some(FieldValue::list(results.map(FieldValue::owned_any)))
        }))
        .field(plain("lastMutationId", nullable("Int"), "The last mutation id the gateway has consumed of this client.", |node: &PushNode| {
            node.outcome.last_mutation_id.map(|id| int(id.0))
        }))
        .field(plain("serverTime", required("DateTime"), "The gateway's clock.", |node: &PushNode| {
            Some(string(node.server_time.to_string()))
        }))
}

fn resolved_object() -> Object {
    Object::new("ResolveConflictPayload")
        .description("What became of a resolution.")
        .field(plain(
            "result",
            required("SyncResult"),
            "APPLIED, and the conflict is gone from the inbox; or CONFLICT because the document has another version by now, or REJECTED, and it is still there.",
            |node: &PushOutcome| {
                let outcome = node.outcomes.first()?.clone();
                let duplicate = node.duplicate;
                Some(FieldValue::owned_any(ResultNode { outcome, duplicate }))
            },
        ))
}

fn result_object(model: &Arc<Model>) -> Object {
    let model = model.clone();
    Object::new("SyncResult")
        .description("What became of one change. It is final.")
        .field(plain("type", required("SyncType"), "The document's type.", |node: &ResultNode| {
            Some(string(node.outcome.type_name.as_str()))
        }))
        .field(plain("documentId", required("ID"), "The id as the change named it.", |node: &ResultNode| {
            Some(string(node.outcome.id.as_str()))
        }))
        .field(plain("mutationId", nullable("Int"), "The change's id, where the client numbers its changes.", |node: &ResultNode| {
            node.outcome.mutation.map(|id| int(id.0))
        }))
        .field(plain("status", required("SyncStatus"), "What became of it.", |node: &ResultNode| {
            Some(string(enums::STATUS.word(&node.outcome.status)))
        }))
        .field(plain("duplicate", required("Boolean"), "Whether the push had been answered before; nothing was applied again.", |node: &ResultNode| {
            Some(FieldValue::value(node.duplicate))
        }))
        .field(plain("version", nullable("Int"), "The version the change made or met.", |node: &ResultNode| {
            node.outcome.version.map(|version| int(version.0))
        }))
        .field(plain("document", nullable("SyncDocument"), "The document as it is now, if it is alive and you may see it; a newer copy than yours.", |node: &ResultNode| {
            node.outcome.document.clone().map(DocumentNode::as_interface)
        }))
        .field(plain("conflict", nullable("SyncConflictDetail"), "Field by field, what a stale change met.", move |node: &ResultNode| {
            let (inbox, fields) = (node.outcome.inbox.clone(), node.outcome.conflict.clone());
            if inbox.is_none() && fields.is_none() {
                return None;
            }
            let document_type = model.document_type(node.outcome.type_name.as_str())?.clone();
            Some(FieldValue::owned_any(ConflictNode {
                document_type,
                inbox,
                fields: fields.unwrap_or_default(),
            }))
        }))
        .field(plain("error", nullable("SyncError"), "Why it was rejected.", |node: &ResultNode| {
            node.outcome.error.clone().map(FieldValue::owned_any)
        }))
}

fn error_object() -> Object {
    Object::new("SyncError")
        .description("Why a change was rejected.")
        .field(plain(
            "code",
            required("SyncErrorCode"),
            "The stable code.",
            |error: &Rejection| Some(string(error.code.name())),
        ))
        .field(plain(
            "message",
            required("String"),
            "A sentence for people.",
            |error: &Rejection| Some(string(error.message.as_str())),
        ))
        .field(plain(
            "field",
            nullable("String"),
            "The field it is about, as a path from the document.",
            |error: &Rejection| error.field.as_deref().map(string),
        ))
}

fn conflict_object() -> Object {
    Object::new("SyncConflictDetail")
        .description("What a stale change met.")
        .field(plain(
            "conflictId",
            nullable("ID"),
            "The conflict in the inbox that keeps what is to be resolved.",
            |node: &ConflictNode| node.inbox.as_ref().map(|id| string(id.as_str())),
        ))
        .field(plain(
            "fields",
            list("SyncFieldOutcome"),
            "The fields of the change.",
            |node: &ConflictNode| {
                let fields = node.fields.iter().cloned();
                let document_type = node.document_type.clone();
                Some(FieldValue::list(fields.map(move |outcome| {
                    FieldValue::owned_any(FieldNode {
                        document_type: document_type.clone(),
                        outcome,
                    })
                })))
            },
        ))
}

/// One of the values a field outcome shows.
type Side = fn(&FieldOutcome) -> Option<&Value>;

fn field_object(model: &Arc<Model>) -> Object {
    let sides: [(&str, &str, Side); 4] = [
        (
            "base",
            "The value you saw, where the change said so.",
            |outcome| outcome.base.as_ref(),
        ),
        ("mine", "Your value.", |outcome| outcome.mine.as_ref()),
        ("theirs", "The server's value.", |outcome| {
            outcome.theirs.as_ref()
        }),
        ("result", "The value in force now.", |outcome| {
            outcome.result.as_ref()
        }),
    ];
    let object = Object::new("SyncFieldOutcome")
        .description("What became of one field of a stale change.")
        .field(plain(
            "field",
            required("String"),
            "The field's name.",
            |node: &FieldNode| Some(string(node.outcome.field.as_str())),
        ));
    let object = sides
        .into_iter()
        .fold(object, |object, (name, description, side)| {
            let model = model.clone();
            object.field(plain(
                name,
                nullable("JSON"),
                description,
                move |node: &FieldNode| {
                    let ty = &node.document_type.field(&node.outcome.field)?.ty;
                    Some(graphql_value(&model, ty, side(&node.outcome)?))
                        .filter(|value| *value != GraphqlValue::Null)
                        .map(FieldValue::value)
                },
            ))
        });
    object
        .field(plain(
            "taken",
            required("SyncTaken"),
            "Whose value that is.",
            |node: &FieldNode| Some(string(enums::TAKEN.word(&node.outcome.taken))),
        ))
        .field(plain(
            "rule",
            required("SyncRule"),
            "Why.",
            |node: &FieldNode| Some(string(enums::RULE.word(&node.outcome.rule))),
        ))
}
