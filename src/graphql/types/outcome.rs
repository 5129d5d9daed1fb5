//! `PushChangesPayload`, `ResolveConflictPayload`, `SyncResult` and their parts: the outcomes of changes.

use std::sync::Arc;

use tidegate_core::{
    change::Rejection,
    model::{DocumentType, Model},
    outcome::FieldOutcome,
    push::{Outcome, PushOutcome},
    value::{Timestamp, Value, json},
};

use super::document::DocumentTypes;
use crate::graphql::{
    enums,
    render::Text,
    shape::{list, nullable, required},
    table::{Node, ObjectType},
};

/// The bytes of an outcome in most answers.
const OUTCOME_BYTES: usize = 64;

/// A push's outcomes, and the time of the answer.
pub(in crate::graphql) struct AnsweredPush {
    pub(in crate::graphql) outcome: PushOutcome,
    pub(in crate::graphql) server_time: Timestamp,
}

impl AnsweredPush {
    /// About how many bytes its text has.
    pub(in crate::graphql) fn text_bytes(&self) -> usize {
        OUTCOME_BYTES * (self.outcome.outcomes.len() + 4)
    }
}

pub(in crate::graphql) struct PushChanges;

impl Node for PushChanges {
    type Ref<'n> = &'n AnsweredPush;
}

pub(in crate::graphql) struct ResolveConflict;

impl Node for ResolveConflict {
    type Ref<'n> = &'n PushOutcome;
}

pub(super) struct SyncResult;

impl Node for SyncResult {
    type Ref<'n> = (&'n PushOutcome, &'n Outcome);
}

struct SyncErrorNode;

impl Node for SyncErrorNode {
    type Ref<'n> = &'n Rejection;
}

struct SyncConflictDetail;

impl Node for SyncConflictDetail {
    type Ref<'n> = (&'n Outcome, &'n DocumentType);
}

struct SyncFieldOutcome;

impl Node for SyncFieldOutcome {
    type Ref<'n> = (&'n FieldOutcome, &'n DocumentType);
}

pub(super) fn push(result: &Arc<ObjectType<SyncResult>>) -> ObjectType<PushChanges> {
    ObjectType::<PushChanges>::new(
        "PushChangesPayload",
        "What became of a push. Every change has its outcome, so that one bad change never stops the others.",
    )
    .children("results", list("SyncResult"), "One outcome for each change, in order.", Arc::clone(result), |answer, results| {
        let outcomes = answer.outcome.outcomes.iter();
        results.list(outcomes.map(|outcome| (&answer.outcome, outcome)))
    })
    .leaf("lastMutationId", nullable("Int"), "The last mutation id the gateway has consumed of this client.", |answer, text| {
        text.json(&answer.outcome.last_mutation_id.map(|id| id.0));
    })
    .leaf("serverTime", required("DateTime"), "The gateway's clock.", |answer, text| {
        text.instant(answer.server_time);
    })
}

pub(super) fn resolve(result: &Arc<ObjectType<SyncResult>>) -> ObjectType<ResolveConflict> {
    ObjectType::<ResolveConflict>::new("ResolveConflictPayload", "What became of a resolution.").children(
        "result",
        required("SyncResult"),
        "APPLIED, and the conflict is gone from the inbox; or CONFLICT because the document has another version by now, or REJECTED, and it is still there.",
        Arc::clone(result),
        |answer, result| {
            let outcome = answer.outcomes.first();
            result.one((answer, outcome.expect("a resolution has an outcome")))
        },
    )
}

pub(super) fn result(documents: &Arc<DocumentTypes>) -> ObjectType<SyncResult> {
    let (model, of_documents) = (documents.model(), Arc::clone(documents));
    let conflict = conflict(&model);
    ObjectType::<SyncResult>::new("SyncResult", "What became of one change. It is final.")
        .type_name("The document's type.", documents, |(_, outcome)| outcome.type_name.as_str())
        .leaf("documentId", required("ID"), "The id as the change named it.", |(_, outcome), text| {
            text.string(&outcome.id);
        })
        .leaf("mutationId", nullable("Int"), "The change's id, where the client numbers its changes.", |(_, outcome), text| {
            text.json(&outcome.mutation.map(|id| id.0));
        })
        .leaf("status", required("SyncStatus"), "What became of it.", |(_, outcome), text| {
            text.string(enums::STATUS.word(&outcome.status));
        })
        .leaf("duplicate", required("Boolean"), "Whether the push had been answered before; nothing was applied again.", |(push, _), text| {
            text.json(&push.duplicate);
        })
        .leaf("version", nullable("Int"), "The version the change made or met.", |(_, outcome), text| {
            text.json(&outcome.version.map(|version| version.0));
        })
        .field("document", nullable("SyncDocument"), "The document as it is now, if it is alive and you may see it; a newer copy than yours.", move |field| {
            let plan = of_documents.compile(field);
            Arc::new(move |(_, outcome), text| text.optional_document(outcome.document.as_deref(), &plan))
        })
        .children("conflict", nullable("SyncConflictDetail"), "Field by field, what a stale change met.", conflict, move |(_, outcome), detail| {
            let has_detail = outcome.inbox.is_some() || outcome.conflict.is_some();
            let document_type = model.stored_type(&outcome.type_name);
            let document_type = document_type.filter(|_| has_detail);
            detail.optional(document_type.map(|document_type| (outcome, &**document_type)))
        })
        .children("error", nullable("SyncError"), "Why it was rejected.", error(), |(_, outcome), error| {
            error.optional(outcome.error.as_ref())
        })
}

fn error() -> ObjectType<SyncErrorNode> {
    ObjectType::<SyncErrorNode>::new("SyncError", "Why a change was rejected.")
        .leaf(
            "code",
            required("SyncErrorCode"),
            "The stable code.",
            |error, text| {
                text.string(error.code.name());
            },
        )
        .leaf(
            "message",
            required("String"),
            "A sentence for people.",
            |error, text| {
                text.string(&error.message);
            },
        )
        .leaf(
            "field",
            nullable("String"),
            "The field it is about, as a path from the document.",
            |error, text| {
                text.json(&error.field);
            },
        )
}

fn conflict(model: &Arc<Model>) -> ObjectType<SyncConflictDetail> {
    ObjectType::<SyncConflictDetail>::new("SyncConflictDetail", "What a stale change met.")
        .leaf(
            "conflictId",
            nullable("ID"),
            "The conflict in the inbox that keeps what is to be resolved.",
            |(outcome, _), text| {
                text.json(&outcome.inbox.as_ref().map(|id| id.as_str()));
            },
        )
        .children(
            "fields",
            list("SyncFieldOutcome"),
            "The fields of the change.",
            field_outcome(model),
            |(outcome, document_type), fields| {
                let outcomes = outcome.conflict.iter().flatten();
                fields.list(outcomes.map(|outcome| (outcome, document_type)))
            },
        )
}

fn field_outcome(model: &Arc<Model>) -> ObjectType<SyncFieldOutcome> {
    /// One of the values in a field outcome.
    type Side = fn(&FieldOutcome) -> Option<&Value>;
    let side = |of: Side| {
        let model = Arc::clone(model);
        move |(outcome, document_type): (&FieldOutcome, &DocumentType), text: &mut Text| {
            let field = document_type.stored_field(&outcome.field).zip(of(outcome));
            text.json(&field.map(|(field, value)| json::encode(&model, &field.ty, value)));
        }
    };
    ObjectType::<SyncFieldOutcome>::new(
        "SyncFieldOutcome",
        "What became of one field of a stale change.",
    )
    .leaf(
        "field",
        required("String"),
        "The field's name.",
        |(outcome, document_type), text| {
            text.string(document_type.field_name(&outcome.field));
        },
    )
    .leaf(
        "base",
        nullable("JSON"),
        "The value you saw, where the change said so.",
        side(|it| it.base.as_ref()),
    )
    .leaf(
        "mine",
        nullable("JSON"),
        "Your value.",
        side(|it| it.mine.as_ref()),
    )
    .leaf(
        "theirs",
        nullable("JSON"),
        "The server's value.",
        side(|it| it.theirs.as_ref()),
    )
    .leaf(
        "result",
        nullable("JSON"),
        "The value in force now.",
        side(|it| it.result.as_ref()),
    )
    .leaf(
        "taken",
        required("SyncTaken"),
        "Whose value that is.",
        |(outcome, _), text| {
            text.string(enums::TAKEN.word(&outcome.taken));
        },
    )
    .leaf(
        "rule",
        required("SyncRule"),
        "Why.",
        |(outcome, _), text| {
            text.string(enums::RULE.word(&outcome.rule));
        },
    )
}
