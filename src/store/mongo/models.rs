//! The models that serve the store, in its state: one small document that every commit reads, one of types that is read
//! when its hash is new, and one for each model.
//!
//! Gateways may change them at the same time, in transactions that repeat after a conflict.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use mongodb::{
    ClientSession,
    bson::{
        Document, RawDocument, RawDocumentBuf, deserialize_from_slice, doc, serialize_to_document,
    },
    options::{FindOptions, ReturnDocument},
};
use serde::Serialize;
use tidegate_core::{
    generation::{Generation, KnownModel, LeadChange, ModelRecord, ModelState, Term},
    id::TypeName,
    transaction::Fence,
};
use tokio::time::{Instant, sleep};

use super::{
    MongoContext,
    error::{MongoError, RetryAction},
    lease,
    live::is_lock,
    names::{IMPORT, LEASE, MODEL, MODEL_TYPES, MODELS, MODELS_END, model_id},
    progress,
    reader::{SessionReader, text, unreadable},
    write::WritePlan,
};
use crate::store::{
    StoreError,
    models::{LeadRecord, Models, divide},
};

/// The models of a store.
pub(super) struct MongoModels(pub(super) Arc<MongoContext>);

#[async_trait]
impl Models for MongoModels {
    async fn record(&self) -> Result<ModelRecord, StoreError> {
        Ok(self.0.change_models(ModelChange::None).await?)
    }

    async fn register(&self, text: &str, api_hash: &str) -> Result<Generation, StoreError> {
        let change = ModelChange::Register { text, api_hash };
        let record = self.0.change_models(change).await?;
        Ok(record.generation_of(text).unwrap_or_default())
    }

    async fn take_lead(&self, change: &LeadChange) -> Result<bool, StoreError> {
        let record = self.0.change_models(ModelChange::Lead(change)).await?;
        Ok(record.is_led_by(change))
    }

    async fn moved(&self, term: Term, type_name: &TypeName) -> Result<(), StoreError> {
        let moved = doc! { "moving": type_name.as_str() };
        Ok(self.0.pull_from_lead(term, moved).await?)
    }

    async fn stamped(&self, term: Term, types: &BTreeSet<TypeName>) -> Result<(), StoreError> {
        let types: Vec<&str> = types.iter().map(TypeName::as_str).collect();
        let stamped = doc! { "unstamped": { "$in": types } };
        Ok(self.0.pull_from_lead(term, stamped).await?)
    }

    async fn serve_as(&self, generation: Generation) -> Result<(), StoreError> {
        self.0.models.serve_as(generation);
        Ok(self.0.beat().await?)
    }

    async fn has_later(&self, within: Duration) -> Result<bool, StoreError> {
        Ok(self.0.has_later(within).await?)
    }
}

/// What becomes of the record.
#[derive(Clone, Copy)]
enum ModelChange<'c> {
    None,
    Register { text: &'c str, api_hash: &'c str },
    Lead(&'c LeadChange),
}

impl MongoContext {
    /// The record after the change. An attempt whose outcome is unknown is repeated: the same change writes nothing then.
    async fn change_models(&self, change: ModelChange<'_>) -> Result<ModelRecord, MongoError> {
        let deadline = Instant::now() + self.commit_max;
        let mut session = self.in_time(self.client.start_session()).await?;
        for attempt in 0.. {
            let failure = match self.change_once(&mut session, change).await {
                Ok(record) => return Ok(record),
                Err(failure) => failure,
            };
            drop(self.in_time(session.abort_transaction()).await);
            let may_repeat =
                failure.remedy() != RetryAction::GiveUp || failure.is_duplicate_insert();
            if !may_repeat || Instant::now() >= deadline {
                return Err(failure);
            }
            if is_lock(&failure) {
                self.met_lock().await;
            }
            sleep(self.backoff(attempt)).await;
        }
        unreachable!("the attempts are not counted out")
    }

    async fn change_once(
        &self,
        session: &mut ClientSession,
        change: ModelChange<'_>,
    ) -> Result<ModelRecord, MongoError> {
        self.begin(session).await?;
        let before = self.read_models(session).await?;
        let mut record = before.clone();
        match change {
            ModelChange::None => {
                self.in_time(session.abort_transaction()).await?;
                return Ok(record);
            }
            ModelChange::Register { text, api_hash } => {
                record.register(text, Some(api_hash));
            }
            ModelChange::Lead(change) => {
                record.take_lead(change);
            }
        }
        let mut plan = WritePlan::new(self);
        add_models(&mut plan, &before, &record)?;
        plan.send(session).await?;
        if record.state.term > before.state.term {
            let fence = self.depose(session, record.state.lead).await?;
            if let ModelChange::Lead(change) = change {
                self.mark_scans(session, fence, change).await?;
            }
        }
        self.end(session).await?;
        Ok(record)
    }

    /// The record. It is empty in a new store.
    async fn read_models(&self, session: &mut ClientSession) -> Result<ModelRecord, MongoError> {
        let mut reader = SessionReader {
            context: self,
            session,
        };
        let of_models = doc! { "_id": { "$gte": MODELS, "$lt": MODELS_END } };
        let lead = reader.by_ids(&self.names.state, [MODEL]).await?;
        let found = reader.find(&self.names.state, of_models, FindOptions::default());
        let known = found.await?;
        let lead = lead.first().map(|lead| decode_lead(lead)).transpose()?;
        let state = reader.model_state(lead).await?;
        let known = known.iter().map(|raw| decode_known(raw));
        let known = known.collect::<Result<BTreeMap<_, _>, MongoError>>()?;
        Ok(ModelRecord { state, known })
    }

    /// Takes types out of the lead's lists, if it is still that of this term.
    async fn pull_from_lead(&self, Term(term): Term, types: Document) -> Result<(), MongoError> {
        let term = i64::try_from(term).unwrap_or(i64::MAX);
        let filter = doc! { "_id": MODEL, "term": term };
        let state = self.state();
        let pull = state.update_one(filter, doc! { "$pull": types });
        self.in_time(pull).await?;
        Ok(())
    }

    /// Ends the importer's lease, and gives it to gateways of the lead. The number returned keeps out all that its holder
    /// does from now on.
    async fn depose(
        &self,
        session: &mut ClientSession,
        lead: Generation,
    ) -> Result<Fence, MongoError> {
        let state = self.state();
        let end = state
            .find_one_and_update(doc! { "_id": LEASE }, lease::deposed_by(lead))
            .return_document(ReturnDocument::After);
        let lease = self.in_time(end.session(&mut *session)).await?;
        let fence = lease.map_or(Ok(0), |lease| lease.get_i64("fence").map_err(unreadable));
        Ok(Fence(fence?))
    }

    async fn mark_scans(
        &self,
        session: &mut ClientSession,
        fence: Fence,
        change: &LeadChange,
    ) -> Result<(), MongoError> {
        let state = self.state();
        let marked = progress::marked(fence, &change.scans);
        let mark = state
            .update_one(doc! { "_id": IMPORT }, marked)
            .upsert(true);
        self.in_time(mark.session(&mut *session)).await?;
        Ok(())
    }
}

impl SessionReader<'_> {
    /// The state that belongs to this record, in the same snapshot.
    pub(super) async fn model_state(
        &mut self,
        lead: Option<LeadRecord>,
    ) -> Result<Arc<ModelState>, MongoError> {
        let context = self.context;
        let Some(lead) = lead else {
            return Ok(Arc::default());
        };
        if let Some(state) = context.models.get(&lead) {
            return Ok(state);
        }
        let found = self.by_ids(&context.names.state, [MODEL_TYPES]).await?;
        let types = found
            .first()
            .map(|raw| deserialize_from_slice(raw.as_bytes()));
        let types = types.transpose()?.unwrap_or_default();
        Ok(context.models.join(lead, types))
    }
}

/// Adds what has changed of the record.
pub(super) fn add_models(
    plan: &mut WritePlan<'_>,
    before: &ModelRecord,
    record: &ModelRecord,
) -> Result<(), MongoError> {
    for (generation, known) in &record.known {
        if before.known.get(generation) != Some(known) {
            put(plan, &model_id(generation.0), known)?;
        }
    }
    for generation in before.known.keys() {
        if !record.known.contains_key(generation) {
            plan.remove_state(&model_id(generation.0));
        }
    }
    if record.state != before.state {
        let (lead, types) = divide(&record.state);
        put(plan, MODEL_TYPES, &types)?;
        put(plan, MODEL, &lead)?;
    }
    Ok(())
}

fn put(plan: &mut WritePlan<'_>, id: &str, value: &impl Serialize) -> Result<(), MongoError> {
    let mut document = doc! { "_id": id };
    document.extend(serialize_to_document(value)?);
    plan.put_state(id, RawDocumentBuf::try_from(&document)?, false);
    Ok(())
}

/// Reads the small document.
pub(super) fn decode_lead(raw: &RawDocument) -> Result<LeadRecord, MongoError> {
    Ok(deserialize_from_slice(raw.as_bytes())?)
}

fn decode_known(raw: &RawDocument) -> Result<(Generation, KnownModel), MongoError> {
    let number = text(raw, "_id")?.trim_start_matches(MODELS);
    let number = number.parse().map_err(unreadable)?;
    Ok((Generation(number), deserialize_from_slice(raw.as_bytes())?))
}
