//! The models that a store is served by, and which of them leads (docs/rules.md section 9).
//!
//! The core says what a lead puts in force. A store keeps it, and changes it in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelRecord, ModelState, Term, TypeNumber, TypeShape},
    id::TypeName,
};

use super::StoreError;
use crate::lock::Mutex;

/// What a gateway asks of the models of its store. The methods fail with [`StoreError`]. What they change is seen by
/// every commit and snapshot that begins after it, in [`Loaded::models`](tidegate_core::transaction::Loaded::models).
#[async_trait]
pub trait Models: Send + Sync {
    /// All that the store keeps of its models. A store that a gateway of an earlier version has served begins with that
    /// model.
    async fn record(&self) -> Result<ModelRecord, StoreError>;

    /// The number of the model with this text. A known text keeps its number, and a new one gets the next, also among
    /// gateways that start at the same time.
    async fn register(&self, text: &str, api_hash: &str) -> Result<Generation, StoreError>;

    /// Puts another lead in force, marks types for a scan and ends the importer's lease, all in one transaction. If the
    /// term has changed since, nothing is written. Returns whether the change is in force.
    async fn take_lead(&self, change: &LeadChange) -> Result<bool, StoreError>;

    /// All documents of the type are in the scopes that their fields make, under the lead of this term. A later term is
    /// left as it is.
    async fn moved(&self, term: Term, type_name: &TypeName) -> Result<(), StoreError>;

    /// Of these types all is stamped that gateways of the lead wait for, under the lead of this term. A later term is left
    /// as it is.
    async fn stamped(&self, term: Term, types: &BTreeSet<TypeName>) -> Result<(), StoreError>;

    /// From now on this store is one of a gateway with this model, and other gateways can see that.
    async fn serve_as(&self, generation: Generation) -> Result<(), StoreError>;

    /// Whether a gateway with a later model was live within this time, by the store's clock.
    async fn has_later(&self, within: Duration) -> Result<bool, StoreError>;
}

/// What every commit and snapshot reads of the models. It is small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeadRecord {
    lead: Generation,
    term: Term,
    moving: BTreeSet<TypeName>,
    #[serde(default)]
    unstamped: BTreeSet<TypeName>,
    /// The hash of the record of types that belongs to it.
    types: String,
}

/// What the lead says of the types. It is read when the gateway has not seen its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TypeRecords {
    numbers: BTreeMap<TypeName, TypeNumber>,
    first: TypeNumber,
    shapes: BTreeMap<TypeName, TypeShape>,
}

/// Divides a state into what is read often and the rest.
pub(super) fn divide(state: &ModelState) -> (LeadRecord, TypeRecords) {
    let types = TypeRecords {
        numbers: state.numbers.clone(),
        first: state.first,
        shapes: state.shapes.clone(),
    };
    let text = serde_json::to_vec(&types).expect("names and texts are JSON");
    let hash = Sha256::digest(&text);
    let lead = LeadRecord {
        lead: state.lead,
        term: state.term,
        moving: state.moving.clone(),
        unstamped: state.unstamped.clone(),
        types: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    (lead, types)
}

/// A gateway's own generation, and the state that it read last.
#[derive(Debug, Default)]
pub(super) struct ModelCache {
    own: AtomicU32,
    last: Mutex<Option<(LeadRecord, Arc<ModelState>)>>,
}

impl ModelCache {
    pub(super) fn serve_as(&self, Generation(own): Generation) {
        self.own.store(own, Ordering::Release);
    }

    pub(super) fn own(&self) -> Generation {
        Generation(self.own.load(Ordering::Acquire))
    }

    /// The state of this record, if it was the last one that was read.
    pub(super) fn get(&self, lead: &LeadRecord) -> Option<Arc<ModelState>> {
        let last = self.last.lock();
        let (known, state) = last.as_ref()?;
        (known == lead).then(|| Arc::clone(state))
    }

    /// Joins what [`divide`] has divided, and keeps it.
    pub(super) fn join(&self, lead: LeadRecord, types: TypeRecords) -> Arc<ModelState> {
        let state = Arc::new(ModelState {
            lead: lead.lead,
            term: lead.term,
            numbers: types.numbers,
            first: types.first,
            shapes: types.shapes,
            moving: lead.moving.clone(),
            unstamped: lead.unstamped.clone(),
        });
        *self.last.lock() = Some((lead, Arc::clone(&state)));
        state
    }
}
