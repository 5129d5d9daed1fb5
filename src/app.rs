//! The application: it connects the modules. It alone owns the clock and randomness.

mod doctor;
mod open_store;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use indicatif::ProgressBar;
use tidegate_core::{
    checkpoint::TokenKey,
    grant::Identity,
    id::{Epoch, TypeName, UserId},
    model::Model,
    value::Timestamp,
};

use self::open_store::{OpenStore, Restamped};
pub(crate) use self::{
    doctor::{Report, examine_all},
    open_store::{Examined, examine, open},
};
use crate::{
    auth::{AuthConfig, AuthError, AuthSetupError, Authenticator},
    config::StoreConfig,
    graphql::{Api, ApiError, ApiOptions, error::ClientError},
    limits::Limits,
    store::{
        Store, StoreError,
        finding::{Finding, Topic, refuse_obstacles},
    },
    sync::{self, Caller, Clock, ImportTask, Importer, ModelCheck, SyncService},
    webhook::{WebhookConfig, Webhooks},
};

/// How often a running gateway collects old tombstones.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);

/// When a store is restamped for the second time. By then, gateways of an earlier version that ran beside the first
/// time have ended.
const RESTAMP_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);

/// A walk through a store logs its progress each time that it has passed this many records.
const DOCUMENTS_LOGGED: u64 = 100_000;

/// Why an application could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The model's API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The authentication.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client that asks webhooks.
    #[error("webhooks cannot be asked: {0}")]
    Webhooks(reqwest::Error),
    /// The note about the model that the store was last served with.
    #[error("{path} cannot be written: {error}")]
    Note {
        /// The path of the note.
        path: String,
        /// The error of its read or write.
        error: std::io::Error,
    },
}

/// The parts of a gateway.
pub(crate) struct GatewayConfig {
    pub(crate) model: Arc<Model>,
    /// The text the model was parsed from.
    pub(crate) model_text: String,
    pub(crate) store: StoreConfig,
    pub(crate) auth: AuthConfig,
    pub(crate) api: ApiOptions,
    pub(crate) limits: Limits,
    pub(crate) webhooks: WebhookConfig,
}

/// Everything a transport needs.
pub(crate) struct Gateway {
    /// The model's API.
    pub(crate) api: Api,
    /// The operations.
    pub(crate) sync: Arc<SyncService>,
    authenticator: Authenticator,
    /// The importer, if the store has collections that others write to.
    import: Option<ImportTask>,
}

impl Gateway {
    /// Opens the store, waiting for a MongoDB that is not there yet, and starts the service on it.
    ///
    /// # Errors
    /// [`AppError`], with what to do.
    pub(crate) async fn start(parts: GatewayConfig) -> Result<Arc<Self>, AppError> {
        let api = Api::new(&parts.model, parts.api.clone())?;
        let authenticator = Authenticator::new(&parts.auth)?;
        let webhooks = Webhooks::new(parts.webhooks.clone()).map_err(AppError::Webhooks)?;
        let opened = open_fitting(&parts.store, &parts.model, &parts.model_text).await?;
        tokio::spawn(restamp_again(parts.model.clone(), opened.clone()));
        let (store, retention) = (opened.store, parts.store.tombstone_retention);
        tokio::spawn(collect_regularly(store.clone(), retention));
        let (model, limits) = (parts.model, parts.limits);
        let sync = SyncService::start(model, store, system_clock(), limits, webhooks);
        let importer = match parts.store.follow {
            true => sync.importer(Arc::new(new_epoch)),
            false => None,
        };
        Ok(Arc::new(Self {
            api,
            sync,
            authenticator,
            import: importer.map(ImportTask::spawn),
        }))
    }

    /// Stops the work in the background, so that another gateway goes on with it at once.
    pub(crate) async fn stop(&self) {
        if let Some(import) = &self.import {
            import.stop().await;
        }
    }

    /// Turns a token into a caller.
    ///
    /// # Errors
    /// A [`ClientError`] with `UNAUTHENTICATED`, or `SERVICE_UNAVAILABLE` when tokens cannot be verified now.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Caller, ClientError> {
        let now = self.sync.now();
        let verified = self.authenticator.verify(token, now.ms()).await?;
        let user = UserId::new(&verified.user).map_err(|_| AuthError::Refused)?;
        let expires_at =
            Timestamp::from_ms(verified.expires_at_ms).map_err(|_| AuthError::Refused)?;
        let identity = Identity {
            user,
            claims: verified.claims,
            expires_at,
        };
        Ok(self.sync.caller(identity)?)
    }
}

/// Opens the store, waiting for a MongoDB that is not there yet, and checks that the model fits it.
///
/// # Errors
/// [`AppError`], with what to do.
async fn open_fitting(
    config: &StoreConfig,
    model: &Arc<Model>,
    model_text: &str,
) -> Result<OpenStore, AppError> {
    let open = async || Ok(open_store::open(config, model).await?);
    let opened = open_store::patiently(config, open).await?;
    opened.warn();
    let check = async || check_fit(model, model_text, &opened).await;
    open_store::patiently(config, check).await?;
    Ok(opened)
}

/// An importer that runs without a gateway, and the store that it works on. There is none if no other service can write
/// to the store.
///
/// # Errors
/// [`AppError`], with what to do.
pub(crate) async fn importer(
    config: &StoreConfig,
    model: &Arc<Model>,
    model_text: &str,
) -> Result<(Arc<dyn Store>, Option<Importer>), AppError> {
    let store = open_fitting(config, model, model_text).await?.store;
    let (model, new_epoch) = (Arc::clone(model), Arc::new(new_epoch));
    let importer = Importer::new(model, Arc::clone(&store), system_clock(), new_epoch);
    Ok((store, importer))
}

/// Checks the whole store if the model differs from the copy that is kept beside the store, or if an earlier version
/// may have written to it. The check restamps what such a version wrote.
async fn check_fit(
    model: &Arc<Model>,
    model_text: &str,
    opened: &OpenStore,
) -> Result<(), AppError> {
    let served = opened.served_model().await?;
    let restamped = opened.restamped().await?;
    if served.as_deref() == Some(model_text) && restamped >= Restamped::Once {
        return Ok(());
    }
    let store = opened.store.as_ref();
    let clock = system_clock();
    let survey = shown(|progress| sync::restamp(model, store, &clock, progress)).await?;
    warn_of_scopes(&survey);
    refuse_obstacles(&[of_model(&survey)])?;
    if brings_types_back(model, served.as_deref(), &survey) {
        tracing::warn!(
            "types came back to the model with documents; a new epoch makes every client reset"
        );
        sync::rotate_epoch(store, new_epoch()).await?;
    }
    opened.note_served_model(model_text).await?;
    opened.note_restamped(restamped.max(Restamped::Once)).await
}

/// Restamps again what gateways of an earlier version wrote after the first time.
async fn restamp_again(model: Arc<Model>, opened: OpenStore) {
    let again = async {
        while opened.restamped().await? < Restamped::Twice {
            tokio::time::sleep(RESTAMP_AGAIN_AFTER).await;
            let (store, clock) = (opened.store.as_ref(), system_clock());
            let survey = sync::restamp(&model, store, &clock, |_| ()).await?;
            warn_of_scopes(&survey);
            opened.note_restamped(Restamped::Twice).await?;
        }
        Ok::<_, AppError>(())
    };
    if let Err(error) = again.await {
        tracing::warn!(%error, "scopes could not be restamped again; the next start tries it");
    }
}

/// Names no scopes and no documents, because users have written them.
fn warn_of_scopes(survey: &ModelCheck) {
    if survey.unescaped > 0 {
        tracing::warn!(
            documents = survey.unescaped,
            "restamped documents and memberships whose scopes have another text now, with `:` and `%` in values escaped"
        );
    }
    if survey.out_of_reach > 0 {
        tracing::warn!(
            documents = survey.out_of_reach,
            "nobody sees documents whose scope no rule of the model grants; `tidegate check` names some"
        );
    }
}

/// A sentence about the documents that no user can see.
pub(crate) fn out_of_reach(survey: &ModelCheck) -> String {
    let named = survey.named_out_of_reach.iter();
    let named: Vec<String> = named.map(|key| format!("{:?}", key.to_string())).collect();
    format!(
        "{} documents name a scope that no rule of the model grants, so nobody sees them; where it was written before values were escaped, write its new text: {}",
        survey.out_of_reach,
        named.join(", ")
    )
}

/// Compares every stored document with the model.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) async fn check_model(
    model: &Arc<Model>,
    store: &dyn Store,
) -> Result<ModelCheck, StoreError> {
    shown(|progress| sync::check_model(model, store, progress)).await
}

/// Logs how far a check of the store has come.
async fn shown<W: Future<Output = Result<ModelCheck, StoreError>>>(
    walk: impl FnOnce(Box<dyn FnMut(usize) + Send>) -> W,
) -> Result<ModelCheck, StoreError> {
    let bar = ProgressBar::new_spinner().with_message("documents compared with the model");
    let shown = bar.clone();
    let progress = move |documents: usize| {
        let before = shown.position();
        shown.inc(documents as u64);
        if before / DOCUMENTS_LOGGED < shown.position() / DOCUMENTS_LOGGED {
            tracing::info!(
                documents = shown.position(),
                "compared with the model so far"
            );
        }
        shown.set_message(format!(
            "{} documents compared with the model",
            shown.position()
        ));
    };
    let survey = walk(Box::new(progress)).await;
    bar.finish_and_clear();
    survey
}

/// Whether the model has a type whose documents were in the store while it was served without that type. Clients that
/// follow all types have already passed these documents.
fn brings_types_back(model: &Model, served: Option<&str>, survey: &ModelCheck) -> bool {
    let served = served.and_then(|text| Model::parse("served-model.graphql", text).ok());
    let was_served = |name: &TypeName| {
        served
            .as_ref()
            .is_some_and(|served| served.stored_type(name).is_some())
    };
    let mut names = survey.types.iter();
    names.any(|name| model.stored_type(name).is_some() && !was_served(name))
}

/// What a comparison of the stored documents with the model finds.
pub(crate) fn of_model(survey: &ModelCheck) -> Finding {
    let count = match survey.misfits {
        0 => {
            let message = "all documents of the feed fit the model";
            return Finding::good(Topic::Model, message);
        }
        1 => "1 stored document does".to_owned(),
        misfits => format!("{misfits} stored documents do"),
    };
    let named = survey.named.iter();
    let named = named.map(|(key, problem)| format!("{key}: {problem}"));
    let message = format!(
        "{count} not fit the model; give a new required field a @default or make it nullable, undo the change of type, `@scope` or `@grants`, or start on an empty store"
    );
    Finding::obstacle(Topic::Model, message).about(survey.misfits as u64, named.collect())
}

/// Collects while the gateway runs. After a failure it tries again the next time.
async fn collect_regularly(store: Arc<dyn Store>, retention: Duration) {
    let mut every = tokio::time::interval(COLLECT_EVERY);
    loop {
        every.tick().await;
        match sync::collect(store.as_ref(), expiry(retention), |_| ()).await {
            Ok(collected) if collected.records > 0 => {
                tracing::info!(
                    records = collected.records,
                    "collected old tombstones and markers"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old tombstones could not be collected"),
        }
    }
}

/// The moment before which tombstones are old.
pub(crate) fn expiry(retention: Duration) -> Timestamp {
    let ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    now().plus_ms(ms.saturating_neg())
}

/// The clock of the whole gateway.
fn system_clock() -> Clock {
    Arc::new(now)
}

/// Now. A clock before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub(crate) fn now() -> Timestamp {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::EPOCH.plus_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// A new, unpredictable epoch.
pub(crate) fn new_epoch() -> Epoch {
    Epoch::new(&random_hex::<12>()).expect("24 hexadecimal digits are a usable name")
}

/// `BYTES` random bytes in hexadecimal.
pub(crate) fn random_hex<const BYTES: usize>() -> String {
    let bytes = random::<BYTES>();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A secret for the checkpoints of a store.
pub(crate) fn new_token_key() -> TokenKey {
    TokenKey(random())
}

fn random_number() -> u64 {
    u64::from_ne_bytes(random())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one source of randomness"
)]
fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

#[cfg(test)]
mod tests;
