//! `pushChanges`: from an operation to a shape, from the outcomes of a push to the text of its answer.

use std::sync::Arc;

use async_graphql::Value as GraphqlValue;
use tidegate_core::{
    change::Rejection,
    model::{DocumentType, Model},
    outcome::FieldOutcome,
    push::{Outcome, PushOutcome},
    value::{Timestamp, Value},
};

use super::{
    select::{self, Parts, RootPart, TYPENAME, fields, parts, quoted},
    text,
};
use crate::{
    graphql::{
        answer::Answer,
        inputs,
        render::{Key, Text, Written, document::ShownDocument},
        request::{SelectedField, Selection},
        results::{RULES, STATUSES, TAKEN, name_of},
        shape::graphql_value,
    },
    sync::{Caller, SyncService},
};

/// The root field.
pub(super) const FIELD: &str = "pushChanges";

/// What an outcome takes in most answers.
const OUTCOME_BYTES: usize = 64;

/// An operation that pushes.
#[derive(Debug)]
pub(in crate::graphql) struct PushPlan {
    pub(super) model: Arc<Model>,
    pub(super) shape: PushShape,
    /// What it asks for, and where that is written.
    pub(super) selection: Arc<Selection>,
    /// Its argument.
    pub(super) input: GraphqlValue,
}

/// What the answer to an operation looks like.
#[derive(Debug)]
pub(super) struct PushShape {
    root: Parts<RootPart>,
    payload: Parts<PayloadPart>,
}

#[derive(Debug)]
enum PayloadPart {
    Literal(Box<[u8]>),
    Results(Parts<ResultPart>),
    LastMutationId,
    ServerTime,
}

#[derive(Debug)]
enum ResultPart {
    Literal(Box<[u8]>),
    Type,
    DocumentId,
    MutationId,
    Status,
    Duplicate,
    Version,
    Document(ShownDocument),
    Conflict(Parts<ConflictPart>),
    Error(Parts<ErrorPart>),
}

#[derive(Debug)]
enum ConflictPart {
    Literal(Box<[u8]>),
    Id,
    Fields(Parts<FieldPart>),
}

#[derive(Debug)]
enum FieldPart {
    Literal(Box<[u8]>),
    Name,
    Base,
    Mine,
    Theirs,
    Result,
    Taken,
    Rule,
}

#[derive(Debug)]
enum ErrorPart {
    Literal(Box<[u8]>),
    Code,
    Message,
    Field,
}

impl PushShape {
    pub(super) fn of(model: &Model, selection: &Selection) -> Option<Self> {
        let (root, payload) = select::root(selection, FIELD)?;
        let payload = parts(payload, |field| {
            Some(match field.name.as_str() {
                TYPENAME => PayloadPart::Literal(quoted("PushChangesPayload")),
                "results" => {
                    let result = |field: &SelectedField| result_part(model, field);
                    PayloadPart::Results(parts(fields(field)?, result)?)
                }
                "lastMutationId" => PayloadPart::LastMutationId,
                "serverTime" => PayloadPart::ServerTime,
                _ => return None,
            })
        })?;
        Some(Self { root, payload })
    }
}

fn result_part(model: &Model, field: &SelectedField) -> Option<ResultPart> {
    Some(match field.name.as_str() {
        TYPENAME => ResultPart::Literal(quoted("SyncResult")),
        "type" => ResultPart::Type,
        "documentId" => ResultPart::DocumentId,
        "mutationId" => ResultPart::MutationId,
        "status" => ResultPart::Status,
        "duplicate" => ResultPart::Duplicate,
        "version" => ResultPart::Version,
        "document" => ResultPart::Document(select::document(model, field)?),
        "conflict" => ResultPart::Conflict(parts(fields(field)?, conflict_part)?),
        "error" => ResultPart::Error(parts(fields(field)?, error_part)?),
        _ => return None,
    })
}

fn conflict_part(field: &SelectedField) -> Option<ConflictPart> {
    Some(match field.name.as_str() {
        TYPENAME => ConflictPart::Literal(quoted("SyncConflictDetail")),
        "conflictId" => ConflictPart::Id,
        "fields" => ConflictPart::Fields(parts(fields(field)?, field_part)?),
        _ => return None,
    })
}

fn field_part(field: &SelectedField) -> Option<FieldPart> {
    Some(match field.name.as_str() {
        TYPENAME => FieldPart::Literal(quoted("SyncFieldOutcome")),
        "field" => FieldPart::Name,
        "base" => FieldPart::Base,
        "mine" => FieldPart::Mine,
        "theirs" => FieldPart::Theirs,
        "result" => FieldPart::Result,
        "taken" => FieldPart::Taken,
        "rule" => FieldPart::Rule,
        _ => return None,
    })
}

fn error_part(field: &SelectedField) -> Option<ErrorPart> {
    Some(match field.name.as_str() {
        TYPENAME => ErrorPart::Literal(quoted("SyncError")),
        "code" => ErrorPart::Code,
        "message" => ErrorPart::Message,
        "field" => ErrorPart::Field,
        _ => return None,
    })
}

impl PushPlan {
    pub(super) async fn push(self, sync: &SyncService, caller: &Caller) -> Answer {
        let Self {
            model,
            shape,
            selection,
            input,
        } = self;
        let outcome = async { Ok(sync.push(caller, inputs::push(&model, input)?).await?) };
        match outcome.await {
            Ok(outcome) => {
                let writer = Writer {
                    model: &model,
                    outcome: &outcome,
                    server_time: sync.now(),
                };
                writer.answer(&selection, &shape)
            }
            Err(failure) => text::failed(&selection, failure),
        }
    }
}

struct Writer<'w> {
    model: &'w Model,
    outcome: &'w PushOutcome,
    server_time: Timestamp,
}

impl Writer<'_> {
    fn answer(&self, selection: &Selection, shape: &PushShape) -> Answer {
        let room = OUTCOME_BYTES * (self.outcome.outcomes.len() + 4);
        text::answer(selection, &shape.root, room, |text| {
            text.object(&shape.payload, |text, part| self.payload(text, part))
        })
    }

    fn payload(&self, text: &mut Text, part: &PayloadPart) -> Written {
        match part {
            PayloadPart::Literal(json) => text.raw(json),
            PayloadPart::Results(parts) => {
                return text.list(&self.outcome.outcomes, |text, outcome| {
                    text.object(parts, |text, part| self.result(text, part, outcome))
                });
            }
            PayloadPart::LastMutationId => {
                text.json(&self.outcome.last_mutation_id.map(|id| id.0));
            }
            PayloadPart::ServerTime => text.instant(self.server_time),
        }
        Ok(())
    }

    fn result(&self, text: &mut Text, part: &ResultPart, of: &Outcome) -> Written {
        match part {
            ResultPart::Literal(json) => text.raw(json),
            ResultPart::Type => text.json(of.type_name.as_str()),
            ResultPart::DocumentId => text.json(&of.id),
            ResultPart::MutationId => text.json(&of.mutation.map(|id| id.0)),
            ResultPart::Status => text.json(name_of(&STATUSES, &of.status)),
            ResultPart::Duplicate => text.json(&self.outcome.duplicate),
            ResultPart::Version => text.json(&of.version.map(|version| version.0)),
            ResultPart::Document(shapes) => match &of.document {
                Some(entry) => return text.document(&**entry, shapes),
                None => text.null(),
            },
            ResultPart::Conflict(parts) => return self.conflict(text, parts, of),
            ResultPart::Error(parts) => match &of.error {
                None => text.null(),
                Some(error) => {
                    return text.object(parts, |text, part| rejection(text, part, error));
                }
            },
        }
        Ok(())
    }

    fn conflict(&self, text: &mut Text, parts: &[(Key, ConflictPart)], of: &Outcome) -> Written {
        let document_type = self.model.document_type(of.type_name.as_str());
        let is_told = of.inbox.is_some() || of.conflict.is_some();
        let Some(document_type) = document_type.filter(|_| is_told) else {
            text.null();
            return Ok(());
        };
        let outcomes = of.conflict.as_deref().unwrap_or_default();
        text.object(parts, |text, part| {
            match part {
                ConflictPart::Literal(json) => text.raw(json),
                ConflictPart::Id => text.json(&of.inbox.as_ref().map(|id| id.as_str())),
                ConflictPart::Fields(parts) => {
                    return text.list(outcomes, |text, outcome| {
                        text.object(parts, |text, part| {
                            self.field(text, part, document_type, outcome);
                            Ok(())
                        })
                    });
                }
            }
            Ok(())
        })
    }

    fn field(&self, text: &mut Text, part: &FieldPart, of: &DocumentType, outcome: &FieldOutcome) {
        let mut side = |value: &Option<Value>| {
            let field = of.field(&outcome.field).zip(value.as_ref());
            let value = field.map(|(field, value)| graphql_value(self.model, &field.ty, value));
            text.json(&value);
        };
        match part {
            FieldPart::Literal(json) => text.raw(json),
            FieldPart::Name => text.json(&outcome.field),
            FieldPart::Base => side(&outcome.base),
            FieldPart::Mine => side(&outcome.mine),
            FieldPart::Theirs => side(&outcome.theirs),
            FieldPart::Result => side(&outcome.result),
            FieldPart::Taken => text.json(name_of(&TAKEN, &outcome.taken)),
            FieldPart::Rule => text.json(name_of(&RULES, &outcome.rule)),
        }
    }
}

fn rejection(text: &mut Text, part: &ErrorPart, error: &Rejection) -> Written {
    match part {
        ErrorPart::Literal(json) => text.raw(json),
        ErrorPart::Code => text.json(error.code.name()),
        ErrorPart::Message => text.json(&error.message),
        ErrorPart::Field => text.json(&error.field),
    }
    Ok(())
}
