//! What a start does about the model of a store: it compares its own with the one in force, refuses or takes the lead,
//! and brings in step what must not wait until it serves.

use std::{collections::BTreeSet, sync::Arc};

use indicatif::ProgressBar;
use tidegate_core::{
    generation::{Generation, ModelRecord},
    id::{ApiHash, TypeName},
    model::Model,
    query::IndexDefinition,
};

use super::{AppError, DOCUMENTS_LOGGED, now, system_clock};
use crate::{
    graphql::{Api, ApiError, ApiOptions},
    store::{
        Store, StoreError,
        finding::{Finding, Level, refuse_obstacles},
        models::Models,
    },
    sync::{self, ABSENT, Accepted, ModelSurvey, SurveyResult},
};

/// A gateway's own model.
#[derive(Clone)]
pub(crate) struct OwnModel {
    pub(crate) model: Arc<Model>,
    /// The text that it was parsed from.
    pub(crate) text: String,
    pub(crate) api: ApiHash,
    /// What the operator accepts of a change.
    pub(crate) accepted: Accepted,
}

/// What a model changes in a store, with counts.
pub(crate) struct Planned {
    pub(crate) result: SurveyResult,
    pub(crate) findings: Vec<Finding>,
}

/// The model in force; `None` in a store that no model has led.
///
/// # Errors
/// [`StoreError::Unsuitable`] if this version cannot read it.
fn in_force(record: &ModelRecord) -> Result<Option<Model>, StoreError> {
    let Some(lead) = record.known.get(&record.state.lead) else {
        return Ok(None);
    };
    let parsed = Model::parse("the model in force", &lead.text);
    parsed.map(Some).map_err(|mistakes| {
        StoreError::Unsuitable(format!(
            "this version of Tidegate cannot read the model that the store is served with; use the version that wrote it, or a later one: {mistakes}"
        ))
    })
}

impl OwnModel {
    /// A model of which nothing is accepted.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) fn new(model: &Arc<Model>, text: &str) -> Result<Self, ApiError> {
        Ok(Self {
            model: Arc::clone(model),
            text: text.to_owned(),
            api: Api::new(model, ApiOptions::default())?.hash(),
            accepted: Accepted::default(),
        })
    }

    /// Compares the model with the one in force and with what is stored.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) async fn plan(&self, store: &dyn Store) -> Result<Planned, StoreError> {
        let in_force = in_force(&store.models().record().await?)?;
        let survey = ModelSurvey::new(&self.model, in_force.as_ref());
        let shown = Progress::new("compared with the model");
        let counted = survey.count(store, |documents| shown.passed(documents));
        self.planned(store, &survey, counted.await?).await
    }

    /// Whether a start with this model could take the lead now. Nothing changes.
    ///
    /// # Errors
    /// [`StoreError`], with all that stands against the model.
    pub(super) async fn expect_to_lead(&self, store: &dyn Store) -> Result<(), StoreError> {
        let in_force = in_force(&store.models().record().await?)?;
        let survey = ModelSurvey::new(&self.model, in_force.as_ref());
        let counted = survey.count_if_needed(store, |_| ()).await?;
        refuse_obstacles(&self.planned(store, &survey, counted).await?.findings)
    }

    async fn planned(
        &self,
        store: &dyn Store,
        survey: &ModelSurvey<'_>,
        counted: SurveyResult,
    ) -> Result<Planned, StoreError> {
        let result = SurveyResult {
            other_clients: survey.other_clients(store, self.api, now()).await?,
            ..counted
        };
        let findings = survey.findings(&result, self.accepted);
        Ok(Planned { result, findings })
    }

    /// Refuses a model that does not lead a store that another one leads.
    pub(super) async fn expect_in_force(&self, models: &dyn Models) -> Result<(), StoreError> {
        let record = models.record().await?;
        let lead = record.known.get(&record.state.lead);
        if lead.is_some_and(|lead| lead.text != self.text) {
            return Err(StoreError::Unsuitable(
                "the store is served with another model, and this command needs that one: use its file, or start a gateway with this one first; `tidegate check` says what it changes".to_owned(),
            ));
        }
        Ok(())
    }

    /// Takes the lead, or serves beside a later model, and brings the feed in step as far as that must not wait. Returns
    /// the number of the model.
    ///
    /// # Errors
    /// [`AppError`], with all that stands against the model. Then nothing has changed.
    pub(super) async fn lead(&self, store: &Arc<dyn Store>) -> Result<Generation, AppError> {
        let models = store.models();
        loop {
            let record = models.record().await?;
            if let Some(own) = record.generation_of(&self.text) {
                let own = self.register(&record, own, models.as_ref()).await?;
                models.serve_as(own).await?;
                let leads = own == record.state.lead;
                if leads || models.has_later(ABSENT).await? {
                    if !leads {
                        tracing::warn!(
                            own = own.0,
                            lead = record.state.lead.0,
                            "a later model leads this store; this gateway serves what it can beside it"
                        );
                    }
                    self.build_uniques(store.as_ref()).await?;
                    self.bring_in_step(store.as_ref()).await?;
                    return Ok(own);
                }
            }
            self.take_lead(&record, store.as_ref()).await?;
        }
    }

    /// Keeps the hash of the API if the store does not know it. A file that cannot be written can be served otherwise.
    async fn register(
        &self,
        record: &ModelRecord,
        own: Generation,
        models: &dyn Models,
    ) -> Result<Generation, StoreError> {
        let api = self.api.to_string();
        match record.known[&own].api_hash.as_ref() == Some(&api) {
            true => Ok(own),
            false => models.register(&self.text, &api).await,
        }
    }

    /// Takes the lead if nothing stands against the model. Another gateway may have changed the lead meanwhile.
    async fn take_lead(&self, record: &ModelRecord, store: &dyn Store) -> Result<(), AppError> {
        let before = in_force(record)?;
        let survey = ModelSurvey::new(&self.model, before.as_ref());
        let withheld = self.judge(store, &survey).await?;
        let models = store.models();
        let api = self.api.to_string();
        let generation = models.register(&self.text, &api).await?;
        // An older gateway that watches takes the lead back if it sees no gateway of this generation.
        models.serve_as(generation).await?;
        let state = &record.state;
        let mut change = state.led_by(generation, &self.model, before.as_ref());
        change.withhold(withheld);
        if models.take_lead(&change).await? {
            let (generation, term) = (generation.0, change.state.term.0);
            tracing::info!(generation, term, "this model leads the store");
        }
        Ok(())
    }

    /// Logs the plan, and refuses. Returns the types of documents that are withheld.
    async fn judge(
        &self,
        store: &dyn Store,
        survey: &ModelSurvey<'_>,
    ) -> Result<BTreeSet<TypeName>, AppError> {
        let shown = Progress::new("compared with the model");
        let counted = survey.count_if_needed(store, |documents| shown.passed(documents));
        let planned = self.planned(store, survey, counted.await?).await?;
        for finding in planned.findings.iter().filter(|it| !it.prevents_start) {
            // Users have written the examples.
            let message = &finding.message;
            match finding.level {
                // In a store that no model has led, nothing changes.
                Level::Good if survey.in_force.is_none() => {}
                Level::Good => tracing::info!("the model changes: {message}"),
                _ => tracing::warn!("the model changes: {message}"),
            }
        }
        refuse_obstacles(&planned.findings)?;
        Ok(planned.result.withheld())
    }

    /// What is unique is so from the first commit on.
    async fn build_uniques(&self, store: &dyn Store) -> Result<(), StoreError> {
        let types = self.model.types.iter();
        let indexes = types.flat_map(|document_type| IndexDefinition::kept_for(document_type));
        store.build_uniques(&indexes.collect::<Vec<_>>()).await
    }

    /// What decides who sees what, and what is withheld, is stamped before anything is served. In a store without an
    /// importer nothing else moves the rest.
    async fn bring_in_step(&self, store: &dyn Store) -> Result<(), StoreError> {
        let shown = Progress::new("brought in step with the model");
        let passed = |documents| shown.passed(documents);
        let stamped = sync::bring_in_step(&self.model, store, &system_clock(), passed).await?;
        if stamped > 0 {
            tracing::info!(stamped, "documents were brought in step with the model");
        }
        Ok(())
    }
}

/// Expects that the model leads the store, and serves as it: what this process writes is then never of another model.
///
/// # Errors
/// [`AppError`], with what to do.
pub(crate) async fn expect_in_force(
    store: &dyn Store,
    model: &Arc<Model>,
    text: &str,
) -> Result<(), AppError> {
    let own = OwnModel::new(model, text)?;
    let models = store.models();
    own.expect_in_force(models.as_ref()).await?;
    let record = models.record().await?;
    if let Some(lead) = record.generation_of(&own.text) {
        models.serve_as(lead).await?;
    }
    Ok(())
}

/// Shows and logs how far a walk through a store has come.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(format!("documents {what}"));
        Self { bar, what }
    }

    pub(crate) fn passed(&self, documents: usize) {
        let before = self.bar.position();
        self.bar.inc(documents as u64);
        let (documents, what) = (self.bar.position(), self.what);
        if before / DOCUMENTS_LOGGED < documents / DOCUMENTS_LOGGED {
            tracing::info!(documents, "documents {what} so far");
        }
        self.bar
            .set_message(format!("{documents} documents {what}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
