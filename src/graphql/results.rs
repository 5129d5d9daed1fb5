//! What a push tells its client: `PushChangesPayload`, `SyncResult` and what they are made of.

use std::sync::Arc;

use async_graphql::{
    Value as GraphqlValue,
    dynamic::{FieldValue, Object, SchemaBuilder},
};
use tidegate_core::{
    change::{Rejection, RejectionCode},
    id::ConflictId,
    model::{DocumentType, Model, Policy},
    outcome::{FieldOutcome, Rule, Status, Taken},
    push::{Outcome, PushOutcome},
    value::{Timestamp, Value},
};

use super::{
    documents::DocumentNode,
    shape::{enumeration, graphql_value, int, list, nullable, plain, required, string},
};

/// The policies a client may choose from, where the model lets it.
pub(super) const POLICIES: [(Policy, &str, &str); 6] = [
    (
        Policy::ServerWins,
        "SERVER_WINS",
        "A stale change is not applied; its outcome shows the server's document.",
    ),
    (
        Policy::ClientWins,
        "CLIENT_WINS",
        "A stale change is applied.",
    ),
    (
        Policy::LastWriteWins,
        "LAST_WRITE_WINS",
        "Field by field, the later edit time wins.",
    ),
    (
        Policy::Merge,
        "MERGE",
        "Fields nobody else changed are applied; the others are joined as the model says.",
    ),
    (
        Policy::Manual,
        "MANUAL",
        "A stale change is kept in the inbox until somebody resolves it.",
    ),
    (
        Policy::Webhook,
        "WEBHOOK",
        "The application decides what becomes of a stale change.",
    ),
];

pub(super) const STATUSES: [(Status, &str, &str); 4] = [
    (
        Status::Applied,
        "APPLIED",
        "Nobody else had changed the document; the change is in force.",
    ),
    (
        Status::Merged,
        "MERGED",
        "Somebody else had changed the document; some or all of the change is in force.",
    ),
    (
        Status::Conflict,
        "CONFLICT",
        "Somebody else had changed the document; nothing of the change is in force.",
    ),
    (
        Status::Rejected,
        "REJECTED",
        "The change can never be applied; `error` says why.",
    ),
];

pub(super) const TAKEN: [(Taken, &str, &str); 3] = [
    (Taken::Mine, "MINE", "Your value."),
    (Taken::Theirs, "THEIRS", "The server's value."),
    (Taken::Both, "BOTH", "Both, joined."),
];

pub(super) const RULES: [(Rule, &str, &str); 12] = [
    (
        Rule::NoOverlap,
        "NO_OVERLAP",
        "Nobody else had changed the field, or to the same value.",
    ),
    (Rule::Server, "SERVER", "The server wins."),
    (Rule::Client, "CLIENT", "The client wins."),
    (Rule::Latest, "LATEST", "The later edit wins."),
    (Rule::Counter, "COUNTER", "The differences were added up."),
    (
        Rule::Set,
        "SET",
        "What both had added and removed was added and removed.",
    ),
    (Rule::Text, "TEXT", "The sentences of both were joined."),
    (Rule::Max, "MAX", "The larger value wins."),
    (Rule::Min, "MIN", "The smaller value wins."),
    (
        Rule::Nested,
        "NESTED",
        "The fields of the embedded document were settled each by itself.",
    ),
    (
        Rule::Manual,
        "MANUAL",
        "Your value waits in the inbox; until somebody resolves it the server's stays.",
    ),
    (Rule::Webhook, "WEBHOOK", "The application has decided."),
];

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
    let codes = RejectionCode::ALL.map(|(_, name, meaning)| (name, meaning));
    builder
        .register(enumeration(
            "SyncPolicy",
            "What becomes of a stale change.",
            &POLICIES.map(without_value),
        ))
        .register(enumeration(
            "SyncStatus",
            "What became of a change.",
            &STATUSES.map(without_value),
        ))
        .register(enumeration(
            "SyncTaken",
            "Whose value a field has now.",
            &TAKEN.map(without_value),
        ))
        .register(enumeration(
            "SyncRule",
            "Why a field has the value it has now.",
            &RULES.map(without_value),
        ))
        .register(enumeration(
            "SyncErrorCode",
            "Why a change was rejected.",
            &codes,
        ))
        .register(payload_object())
        .register(resolved_object())
        .register(result_object(model))
        .register(error_object())
        .register(conflict_object())
        .register(field_object(model))
}

pub(super) fn without_value<T>(
    (_, name, meaning): (T, &'static str, &'static str),
) -> (&'static str, &'static str) {
    (name, meaning)
}

/// What a value is called in the schema.
pub(super) fn name_of<T: PartialEq>(
    table: &[(T, &'static str, &'static str)],
    value: &T,
) -> &'static str {
    let row = table.iter().find(|(known, ..)| known == value);
    row.expect("the table has a row for each value").1
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
            Some(string(name_of(&STATUSES, &node.outcome.status)))
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
            |node: &FieldNode| Some(string(name_of(&TAKEN, &node.outcome.taken))),
        ))
        .field(plain(
            "rule",
            required("SyncRule"),
            "Why.",
            |node: &FieldNode| Some(string(name_of(&RULES, &node.outcome.rule))),
        ))
}
