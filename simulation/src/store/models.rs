//! The models that the gateways serve. Each call of theirs may be held or failed.

use std::sync::Arc;

use std::time::Duration;

use async_trait::async_trait;
use tidegate::store::{StoreError, models::Models};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelRecord, Term},
    id::TypeName,
};
use tidegate_testkit::store::State;

use super::{Access, Inner, SimStore};
use crate::people::{self, Edition};

#[async_trait]
impl Models for Access {
    async fn record(&self) -> Result<ModelRecord, StoreError> {
        self.pass().await?;
        Ok(ModelRecord::clone(&self.store.now().models))
    }

    async fn register(&self, text: &str, api_hash: &str) -> Result<Generation, StoreError> {
        self.change(|state| state.register(text, api_hash)).await
    }

    async fn take_lead(&self, change: &LeadChange) -> Result<bool, StoreError> {
        self.pass().await?;
        let leads = {
            let mut inner = self.store.lock();
            let leads = inner.change(|state| state.take_lead(change));
            if leads {
                inner.collections.depose();
                inner.collections.progress.mark_scans(&change.scans);
            }
            leads
        };
        // It is written now, whatever happens to the answer.
        self.pass().await?;
        Ok(leads)
    }

    async fn moved(&self, term: Term, type_name: &TypeName) -> Result<(), StoreError> {
        self.change(|state| state.moved(term, type_name)).await
    }

    async fn serve_as(&self, generation: Generation) -> Result<(), StoreError> {
        self.store.lock().serving[self.gateway] = generation;
        Ok(())
    }

    async fn has_later(&self, _: Duration) -> Result<bool, StoreError> {
        self.pass().await?;
        let inner = self.store.lock();
        let own = inner.serving[self.gateway];
        Ok(inner.serving.iter().any(|other| *other > own))
    }
}

impl Access {
    async fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.pass().await?;
        let done = self.store.lock().change(change);
        self.pass().await?;
        Ok(done)
    }
}

impl Inner {
    fn change<T>(&mut self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = State::clone(&self.now());
        let done = change(&mut state);
        self.add_moment(state, self.documents());
        done
    }
}

/// The model that leads in a state.
pub(super) fn lead(state: &State) -> Edition {
    edition(&state.models, state.models.state.lead)
}

fn edition(record: &ModelRecord, generation: Generation) -> Edition {
    let model = record.known.get(&generation);
    match model.is_some_and(|model| model.text.contains(people::GIFT)) {
        true => Edition::B,
        false => Edition::A,
    }
}

impl SimStore {
    /// The model in force.
    pub(crate) fn lead(&self) -> Edition {
        self.lock().last().lead()
    }

    /// A gateway starts with a model.
    pub(crate) fn serve(&self, gateway: usize, edition: Edition) {
        let mut inner = self.lock();
        let text = people::sdl(edition, inner.rule);
        let generation = inner.change(|state| state.register(&text, ""));
        inner.serving[gateway] = generation;
    }

    /// The newest model of the gateways takes the lead.
    pub(crate) fn lead_by_newest(&self) {
        let mut inner = self.lock();
        let newest = inner.serving.iter().copied().max().unwrap_or_default();
        let record = Arc::clone(&inner.now().models);
        if record.state.lead == newest {
            return;
        }
        let before = record.known.contains_key(&record.state.lead);
        let before = before.then(|| inner.model(inner.last().lead()));
        let model = inner.model(edition(&record, newest));
        let change = record.state.led_by(newest, &model, before.as_deref());
        inner.change(|state| state.take_lead(&change));
        inner.collections.depose();
        if inner.file.is_none() {
            inner.collections.progress.mark_scans(&change.scans);
        }
    }
}
