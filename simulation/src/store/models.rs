//! The models that the gateways serve. Each call of theirs may be held or failed.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use tidegate::store::{StoreError, models::Models};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelRecord, Term},
    id::TypeName,
};
use tidegate_testkit::store::State;
use tokio::time::Instant;

use super::{Access, Inner, SimStore};
use crate::{
    oracle::{Judged, Property, expect},
    people::{self, Edition},
};

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
                let own = inner.generation(self.gateway, self.edition);
                let later = inner.served_within(KEEPS_LEAD).find(|other| *other > own);
                inner.led_beside = later.map(|later| (own, later)).or(inner.led_beside);
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

    async fn stamped(&self, term: Term, types: &BTreeSet<TypeName>) -> Result<(), StoreError> {
        self.change(|state| state.stamped(term, types)).await
    }

    async fn serve_as(&self, generation: Generation) -> Result<(), StoreError> {
        self.store
            .lock()
            .serve(self.gateway, self.edition, generation);
        Ok(())
    }

    async fn has_later(&self, within: Duration) -> Result<bool, StoreError> {
        self.pass().await?;
        let inner = self.store.lock();
        let own = inner.generation(self.gateway, self.edition);
        Ok(inner.served_within(within).any(|other| other > own))
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

    fn serve(&mut self, gateway: usize, edition: Edition, generation: Generation) {
        self.serving[gateway] = generation;
        self.served.insert((gateway, edition), generation);
    }

    /// The generation of a gateway while it has this model.
    pub(super) fn generation(&self, gateway: usize, edition: Edition) -> Generation {
        let served = self.served.get(&(gateway, edition));
        served.copied().unwrap_or_default()
    }

    /// The models of gateways that serve, or have ended since.
    fn served_within(&self, within: Duration) -> impl Iterator<Item = Generation> {
        let ended = self.ended.iter();
        let ended = ended.filter(move |(_, at)| at.elapsed() < within);
        let ended = ended.map(|(other, _)| *other);
        self.serving.iter().copied().chain(ended)
    }
}

/// A later model keeps the lead for so long after its last gateway (rules.md 9.1).
const KEEPS_LEAD: Duration = Duration::from_secs(60);

/// The model that leads in a state.
pub(super) fn lead(state: &State) -> Edition {
    edition(&state.models, state.models.state.lead)
}

fn edition(record: &ModelRecord, generation: Generation) -> Edition {
    let model = record.known.get(&generation);
    match model.is_some_and(|model| model.text.ends_with(people::GIFT)) {
        true => Edition::B,
        false => Edition::A,
    }
}

impl SimStore {
    /// The model in force.
    pub(crate) fn lead(&self) -> Edition {
        self.lock().last().lead()
    }

    /// No model took the lead while a later one was served, or in the minute after (rules.md 9.1).
    pub(crate) fn judge_leads(&self) -> Judged {
        let led_beside = self.lock().led_beside;
        expect(led_beside.is_none(), Property::Led, || {
            format!("a model led beside a later one: {led_beside:?}")
        })
    }

    /// A gateway starts with a model. Returns its number.
    pub(crate) fn serve(&self, gateway: usize, edition: Edition) -> Generation {
        let mut inner = self.lock();
        let text = people::sdl(edition, inner.rule);
        let generation = inner.change(|state| state.register(&text, ""));
        let before = inner.serving[gateway];
        inner.serve(gateway, edition, generation);
        inner.ended.push((before, Instant::now()));
        generation
    }

    /// The model of the first gateways leads.
    pub(crate) fn lead_first(&self, generation: Generation) {
        let mut inner = self.lock();
        let model = inner.model(Edition::A);
        let change = inner.now().models.state.led_by(generation, &model, None);
        inner.change(|state| state.take_lead(&change));
    }
}
