//! Asking the application about the changes of a push, outside any transaction, and reading its answers.
//!
//! `webhook` reaches the application. The core decides when it is asked and what an answer does.

mod answer_cache;
mod held;

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use tidegate_core::{
    inbox::ClientChange,
    model::DocumentType,
    push::{
        CommitRequest, PushOutcome, PushRefusal, PushRequest, WebhookAnswer, WebhookDecision,
        WebhookQuestion,
    },
    value::{
        Document, check,
        json::{decode_fields, encode_fields},
    },
};
use tokio::time::Instant;

pub(super) use self::answer_cache::WebhookAnswerCache;
use self::held::Held;
use super::{Caller, SyncError, SyncService};
use crate::webhook::{WebhookError, WebhookRequest};

/// How often a push may ask. A question is asked again if the document has changed meanwhile. After so many rounds the
/// document stays as it is, since the sender itself may be the one that changes it.
const ROUNDS_MAX: usize = 5;

impl SyncService {
    /// Sends a push, and sends it again with the application's answers for as long as it asks. Only the client of this
    /// push waits. If the application could not be asked everything in time, the push is refused; it asks the rest when
    /// it is sent again.
    pub(super) async fn push_with_webhooks(
        &self,
        caller: &Caller,
        request: PushRequest,
    ) -> Result<PushOutcome, SyncError> {
        let mut request = request;
        request.webhook_decisions = self.webhook_answers.take(&request);
        let mut request = Arc::new(request);
        let held = Held::of(caller)?;
        for _ in 0..ROUNDS_MAX {
            let sent = CommitRequest::Push(Arc::clone(&request));
            match self.commits.send(sent, caller.record().cloned()).await? {
                Err(PushRefusal::NeedsWebhook(questions)) => {
                    held.asks(&questions)?;
                    let decisions = self.advise(&request, &questions, &held).await;
                    let crowded = decisions.len() < questions.len();
                    Arc::make_mut(&mut request)
                        .webhook_decisions
                        .extend(decisions);
                    if crowded {
                        self.webhook_answers.keep(&request);
                        return Err(SyncError::Crowded);
                    }
                }
                answer => return Ok(answer?),
            }
        }
        let undecided = (0..request.push.changes.len()).map(|change| WebhookDecision {
            change,
            version: None,
            answer: WebhookAnswer::Current,
        });
        Arc::make_mut(&mut request)
            .webhook_decisions
            .extend(undecided);
        let sent = CommitRequest::Push(request);
        Ok(self.commits.send(sent, caller.record().cloned()).await??)
    }

    /// The application's advice on the questions that could be asked.
    async fn advise(
        &self,
        request: &PushRequest,
        questions: &[WebhookQuestion],
        held: &Held,
    ) -> Vec<WebhookDecision> {
        let decisions = questions.iter().map(async |question| {
            Some(WebhookDecision {
                change: question.change,
                version: Some(question.current.version),
                answer: held.answered(self.ask(request, question).await?)?,
            })
        });
        join_all(decisions).await.into_iter().flatten().collect()
    }

    /// `None` if its turn did not come. An answer that cannot be used counts as none, and the log says why, in words of
    /// the model. If the question itself may be the reason, the document stays as it is: no sender gains by a question
    /// that cannot be answered.
    async fn ask(
        &self,
        request: &PushRequest,
        question: &WebhookQuestion,
    ) -> Option<WebhookAnswer> {
        let unusable = |reason: String| {
            let webhook = &question.webhook;
            let document_type = &question.current.key.type_name;
            tracing::warn!(%webhook, %document_type, %reason, "a webhook has not decided");
        };
        let Some(document_type) = self.model.stored_type(&question.current.key.type_name) else {
            return Some(WebhookAnswer::None);
        };
        let asked = || WebhookRequest {
            id: id(request, question),
            now_ms: self.now().ms(),
            body: self
                .body(request, question, document_type)
                .to_string()
                .into_bytes(),
        };
        let user = &request.identity.user;
        let begun = Instant::now();
        let answer = self.webhooks.ask(user, &question.webhook, asked).await;
        self.measure_webhook(&question.webhook, &answer, begun);
        let answer = match answer {
            Err(WebhookError::Crowded) => return None,
            Err(error @ WebhookError::OfQuestion(_)) => {
                unusable(error.to_string());
                return Some(WebhookAnswer::Current);
            }
            Err(error) => Err(error.to_string()),
            Ok(bytes) => self.read_answer(document_type, &bytes),
        };
        Some(answer.unwrap_or_else(|reason| {
            unusable(reason);
            WebhookAnswer::None
        }))
    }

    fn body(
        &self,
        request: &PushRequest,
        question: &WebhookQuestion,
        document_type: &DocumentType,
    ) -> Json {
        let fields = |document: Option<&Document>| {
            document.map(|document| encode_fields(&self.model, &document_type.fields, document))
        };
        let change = match question.pending.mine {
            ClientChange::Created(_) => "CREATE",
            ClientChange::Changed(_) => "UPDATE",
            ClientChange::Deleted => "DELETE",
        };
        let met = &question.current;
        let named = question.pending.fields.iter();
        let named = named.map(|field| document_type.field_name(field));
        json!({
            "type": document_type.name.as_str(),
            "id": met.key.id.as_str(),
            "change": change,
            "fields": named.collect::<Vec<_>>(),
            "base": fields(question.pending.base.as_ref()),
            "current": fields(met.body.as_ref()),
            "currentVersion": met.version.0,
            "incoming": fields(question.pending.mine.document()),
            "user": request.identity.user.as_str(),
        })
    }

    /// `"current"`, `"incoming"`, or the fields to write, which pass the same checks as a client's.
    fn read_answer(
        &self,
        document_type: &DocumentType,
        bytes: &[u8],
    ) -> Result<WebhookAnswer, String> {
        match serde_json::from_slice(bytes) {
            Ok(Json::String(side)) if side == "current" => Ok(WebhookAnswer::Current),
            Ok(Json::String(side)) if side == "incoming" => Ok(WebhookAnswer::Incoming),
            Ok(Json::Object(fields)) => self
                .read_fields(document_type, fields)
                .map(WebhookAnswer::Document),
            _ => {
                Err("its answer is neither \"current\", nor \"incoming\", nor an object".to_owned())
            }
        }
    }

    fn read_fields(
        &self,
        document_type: &DocumentType,
        fields: Map<String, Json>,
    ) -> Result<Document, String> {
        let unfit = |path: &str| {
            let name = path.split(['.', '[']).next().unwrap_or_default();
            match document_type.field(name) {
                Some(field) => format!("its answer does not fit the field {}", field.name),
                None => "its answer has a field that the type has not".to_owned(),
            }
        };
        let document = decode_fields(&self.model, &document_type.fields, fields)
            .map_err(|error| unfit(&error.path))?;
        for (name, value) in &document {
            let field = document_type.stored_field(name);
            let Some(field) = field.filter(|field| !field.read_only) else {
                let name = document_type.field_name(name);
                return Err(format!("its answer writes {name}, which is read-only"));
            };
            check::check_value(&self.model, field, value, &field.name)
                .map_err(|error| unfit(&error.path))?;
        }
        Ok(document)
    }
}

/// The id of a question. The same question has the same id when it is asked again after a lost answer. No other user's
/// question has it, so an application that keeps answers by id alone mixes up no senders.
fn id(request: &PushRequest, question: &WebhookQuestion) -> String {
    let client = request.push.client.as_ref();
    let sender = (
        &request.identity.user,
        client.map(|client| (&client.id, client.first)),
        request.hash,
    );
    let sender = serde_json::to_vec(&sender).expect("names and numbers can be written as JSON");
    let hash = Sha256::digest(&sender);
    let push: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (change, version) = (question.change, question.current.version.0);
    format!("conflict_{push}_{change}_{version}")
}
