//! The models that serve the store: a small row that each view reads, one of types that is read when its hash is new, and
//! one for each model, all as JSON.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use redb::{ReadTransaction, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelRecord, ModelState, Term},
    id::TypeName,
};

use super::{
    snapshot::{SnapshotOpener, off_the_async_threads},
    tables::MODELS,
    view::ReadView,
    writer::{ask, writer_gone},
};
use crate::store::{
    StoreError,
    models::{LeadRecord, ModelCache, Models, TypeRecords, divide},
};

const LEAD: &str = "lead";
const TYPES: &str = "types";

/// The models of a store.
pub(super) struct EmbeddedModels {
    pub(super) reader: SnapshotOpener,
}

#[async_trait]
impl Models for EmbeddedModels {
    async fn record(&self) -> Result<ModelRecord, StoreError> {
        let view = self.reader.view().await?;
        off_the_async_threads(move || view.model_record()).await
    }

    async fn register(&self, text: &str, api_hash: &str) -> Result<Generation, StoreError> {
        let (registered, api_hash) = (text.to_owned(), api_hash.to_owned());
        let change = move |record: &mut ModelRecord| {
            record.register(&registered, Some(&api_hash));
        };
        let record = self.change(change).await?;
        Ok(record.generation_of(text).unwrap_or_default())
    }

    async fn take_lead(&self, change: &LeadChange) -> Result<bool, StoreError> {
        let taken = change.clone();
        let take = move |record: &mut ModelRecord| {
            record.take_lead(&taken);
        };
        let record = self.change(take).await?;
        Ok(record.is_led_by(change))
    }

    async fn moved(&self, term: Term, type_name: &TypeName) -> Result<(), StoreError> {
        let name = type_name.clone();
        let change = move |record: &mut ModelRecord| record.moved(term, &name);
        self.change(change).await.map(drop)
    }

    async fn stamped(&self, term: Term, types: &BTreeSet<TypeName>) -> Result<(), StoreError> {
        let types = types.clone();
        let change = move |record: &mut ModelRecord| record.stamped(term, &types);
        self.change(change).await.map(drop)
    }

    async fn serve_as(&self, generation: Generation) -> Result<(), StoreError> {
        self.reader.file.models.serve_as(generation);
        Ok(())
    }

    /// No other gateway has the file.
    async fn has_later(&self, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }
}

impl EmbeddedModels {
    async fn change(
        &self,
        change: impl FnOnce(&mut ModelRecord) + Send + 'static,
    ) -> Result<ModelRecord, StoreError> {
        let jobs = self.reader.jobs.upgrade().ok_or_else(writer_gone)?;
        ask(&jobs, move |writer| writer.change_models(change)).await
    }
}

/// The state in a view's transaction.
pub(super) fn state(
    transaction: &ReadTransaction,
    cache: &ModelCache,
) -> Result<Arc<ModelState>, StoreError> {
    let table = transaction.open_table(MODELS)?;
    let Some(lead) = table.get(LEAD)? else {
        return Ok(Arc::default());
    };
    let lead: LeadRecord = decode(lead.value())?;
    if let Some(state) = cache.get(&lead) {
        return Ok(state);
    }
    let types = table.get(TYPES)?;
    let types = types.map(|types| decode::<TypeRecords>(types.value()));
    Ok(cache.join(lead, types.transpose()?.unwrap_or_default()))
}

impl ReadView {
    /// All that the file keeps of its models.
    pub(super) fn model_record(&self) -> Result<ModelRecord, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(MODELS)?;
            let mut record = ModelRecord {
                state: Arc::clone(&self.state.models),
                ..ModelRecord::default()
            };
            for row in table.range::<&str>(..LEAD)? {
                let (number, known) = row?;
                let number = number.value().parse();
                let number = number.map_err(|_| corrupt("a model has no number"))?;
                record
                    .known
                    .insert(Generation(number), decode(known.value())?);
            }
            Ok(record)
        })
    }
}

/// Writes what has changed of the record.
pub(super) fn write(
    transaction: &WriteTransaction,
    before: &ModelRecord,
    record: &ModelRecord,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(MODELS)?;
    for (generation, known) in &record.known {
        if before.known.get(generation) != Some(known) {
            table.insert(row(*generation).as_str(), encode(known).as_slice())?;
        }
    }
    let mut forgotten = before.known.keys();
    while let Some(generation) = forgotten.find(|known| !record.known.contains_key(known)) {
        table.remove(row(*generation).as_str())?;
    }
    let (lead, types) = divide(&record.state);
    table.insert(TYPES, encode(&types).as_slice())?;
    table.insert(LEAD, encode(&lead).as_slice())?;
    Ok(())
}

/// The rows of models sort by their numbers, before those of words.
fn row(Generation(number): Generation) -> String {
    format!("{number:010}")
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names and texts are JSON")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| corrupt("its record of models cannot be read"))
}

fn corrupt(problem: &str) -> StoreError {
    StoreError::Corrupt(problem.to_owned())
}
