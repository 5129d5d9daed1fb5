//! The models that the gateways serve. Each call may be held or failed.

use async_trait::async_trait;
use tidegate::store::{StoreError, models::Models};
use tidegate_core::{
    generation::{Generation, LeadChange, ModelRecord, Term},
    id::TypeName,
};
use tidegate_testkit::store::State;

use super::{Access, Inner};

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

    fn serve_as(&self, generation: Generation) {
        self.store.lock().serving[self.gateway] = generation;
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
        self.add_moment(state);
        done
    }
}
