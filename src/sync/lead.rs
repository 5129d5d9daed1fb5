//! The watch over the lead (docs/rules.md 9.1): a gateway takes the lead when no gateway with a later model is there, and
//! notices when another model takes it.
//!
//! The core says what a lead puts in force, and the store changes it in one transaction.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tidegate_core::{
    generation::{Generation, ModelRecord, Standing},
    model::Model,
    mutant::{Mutant, is_active},
};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Clock, SyncService,
    import::is_logged,
    in_step::bring_in_step,
    survey::{Accepted, ModelSurvey},
};
use crate::{
    lock::Mutex,
    store::{Store, StoreError},
};

/// How often a gateway looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A later model keeps the lead for so long after its last gateway was live: a restart takes less.
pub const ABSENT: Duration = Duration::from_secs(60);

/// How long a gateway waits after its model was refused. The look at all documents takes a while.
const REFUSED_EVERY: Duration = Duration::from_secs(10 * 60);

/// The watch of one gateway.
pub struct LeadWatch {
    model: Arc<Model>,
    store: Arc<dyn Store>,
    clock: Clock,
    generation: Generation,
    accepted: Accepted,
    /// What the last look found.
    seen: Mutex<Option<Standing>>,
    service: OnceLock<Weak<SyncService>>,
    /// When its model was refused the last time.
    refused_at: Mutex<Option<Instant>>,
}

/// A watch in the background. It ends when this is dropped.
pub struct LeadTask(
    #[expect(dead_code, reason = "dropping it ends the task")] AbortOnDropHandle<Infallible>,
);

impl LeadTask {
    /// Starts the watch.
    pub fn spawn(watch: LeadWatch) -> Self {
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            watch.run().await
        })))
    }
}

impl LeadWatch {
    /// The watch of a gateway whose model has this number. The store serves as it already.
    pub fn new(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        generation: Generation,
    ) -> Self {
        Self {
            model,
            store,
            clock,
            generation,
            accepted: Accepted::default(),
            seen: Mutex::default(),
            service: OnceLock::new(),
            refused_at: Mutex::default(),
        }
    }

    /// What the operator accepts of the model, whenever it takes the lead.
    #[must_use]
    pub fn accepting(self, accepted: Accepted) -> Self {
        Self { accepted, ..self }
    }

    /// From now on the service's subscribers read the store once when the lead changes (rules.md 2.5a).
    pub fn wake_subscribers_of(&self, service: &Arc<SyncService>) {
        self.service.get_or_init(|| Arc::downgrade(service));
    }

    /// Looks again and again.
    pub async fn run(&self) -> Infallible {
        let mut failures = 0_u32;
        loop {
            sleep(LOOK_EVERY).await;
            failures = match self.look().await {
                Ok(_) => 0,
                Err(error) => {
                    if is_logged(failures) {
                        tracing::warn!(%error, failures, "which model leads is not known now, or memberships are not in step with it");
                    }
                    failures.saturating_add(1)
                }
            };
        }
    }

    /// Takes the lead if this gateway is to have it, and stamps what gateways of the lead wait for (rules.md 9.11). Returns
    /// how its model stands then, and logs it when that is new.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read or written.
    pub async fn look(&self) -> Result<Standing, StoreError> {
        let mut standing = self.store.snapshot().await?.state().standing;
        while !standing.leads && self.may_try().await? && self.take().await? {
            standing = self.store.snapshot().await?.state().standing;
        }
        let stamped = bring_in_step(&self.model, self.store.as_ref(), &self.clock, |_| ()).await?;
        if stamped > 0 {
            tracing::info!(stamped, "memberships were brought in step with the model");
        }
        let before = self.seen.lock().replace(standing);
        if before != Some(standing) {
            self.log(standing);
            if let Some(service) = self.service.get().and_then(Weak::upgrade) {
                service.read_again();
            }
        }
        Ok(standing)
    }

    async fn may_try(&self) -> Result<bool, StoreError> {
        let refused_at = *self.refused_at.lock();
        let is_due = refused_at.is_none_or(|at| at.elapsed() >= REFUSED_EVERY);
        let ignores_later = is_active(Mutant::LaterIgnored);
        Ok(is_due && (ignores_later || !self.store.models().has_later(ABSENT).await?))
    }

    /// Tries to take the lead. Another gateway may have changed it in the meantime. Returns whether nothing stored stands
    /// against the model.
    async fn take(&self) -> Result<bool, StoreError> {
        let models = self.store.models();
        let ModelRecord { state, known } = models.record().await?;
        let before = known.get(&state.lead);
        let before = before.and_then(|known| Model::parse("model.graphql", &known.text).ok());
        let survey = ModelSurvey::new(&self.model, before.as_ref());
        let counted = survey.count_if_needed(self.store.as_ref(), |_| ()).await?;
        let findings = survey.findings(&counted, self.accepted);
        if let Some(obstacle) = findings.iter().find(|finding| finding.prevents_start) {
            *self.refused_at.lock() = Some(Instant::now());
            tracing::error!(
                "the model of this gateway cannot lead: {}",
                obstacle.message
            );
            return Ok(false);
        }
        let mut change = state.led_by(self.generation, &self.model, before.as_ref());
        change.withhold(counted.withheld());
        models.take_lead(&change).await?;
        Ok(true)
    }

    fn log(&self, standing: Standing) {
        let (generation, term) = (standing.generation.0, standing.term.0);
        if standing.leads {
            tracing::info!(generation, term, "the model of this gateway leads");
        } else {
            tracing::warn!(
                generation,
                term,
                "another model leads: this gateway serves what both models say alike"
            );
        }
    }
}
