//! The application: it connects the modules. It alone owns the clock and randomness.

mod doctor;
mod infer;
mod lead;
mod open_store;
mod readiness;
mod vitals;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tidegate_core::{
    checkpoint::TokenKey,
    generation::Generation,
    grant::Identity,
    id::{Epoch, UserId},
    model::Model,
    value::Timestamp,
};
use tokio_util::task::AbortOnDropHandle;

use self::readiness::HealthCheck;
pub(crate) use self::{
    doctor::{Report, examine_all},
    infer::{InferOptions, infer_model},
    lead::{OwnModel, Planned, Progress, expect_in_force},
    open_store::{Examined, examine, open, open_to_read, sample_documents},
    readiness::{Health, Part, Readiness},
};
use crate::{
    auth::{AuthConfig, AuthError, AuthSetupError, Authenticator},
    config::{Config, StoreConfig, StoreUrl},
    graphql::{Api, ApiError, ApiOptions, error::ClientError},
    limits::Limits,
    lock::Mutex,
    record::Observer,
    store::{
        Store, StoreError,
        finding::{Level, StorePresence},
    },
    sync::{
        self, Accepted, Caller, Clock, ImportTask, Importer, IndexTask, LeadTask, LeadWatch,
        SyncService,
    },
    webhook::{WebhookConfig, Webhooks},
};

/// How often a running gateway collects old tombstones.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);

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
    /// What the operator accepts of a change of the model.
    pub(crate) accepted: Accepted,
    pub(crate) observer: Arc<Observer>,
}

/// What checks tokens, until other settings are loaded.
type CurrentAuthenticator = Arc<Mutex<Arc<Authenticator>>>;

/// Everything a transport needs.
pub(crate) struct Gateway {
    /// The model's API.
    pub(crate) api: Api,
    /// The operations.
    pub(crate) sync: Arc<SyncService>,
    /// What operations are measured and noted by.
    pub(crate) observer: Arc<Observer>,
    authenticator: CurrentAuthenticator,
    health: Arc<HealthCheck>,
    store: Arc<dyn Store>,
    /// The importer, if the store has collections that others write to.
    import: Option<ImportTask>,
    /// The indexes of lists.
    _indexes: IndexTask,
    /// The watch over which model leads.
    _lead: LeadTask,
    _collect: AbortOnDropHandle<()>,
    _vitals: AbortOnDropHandle<Infallible>,
}

impl Gateway {
    /// Opens the store, waiting for a MongoDB that is not there yet, and starts the service on it.
    ///
    /// # Errors
    /// [`AppError`], with what to do.
    pub(crate) async fn start(parts: GatewayConfig) -> Result<Arc<Self>, AppError> {
        let api = Api::new(&parts.model, parts.api.clone())?;
        let observer = parts.observer;
        let metrics = Arc::clone(&observer.metrics);
        let authenticator = Authenticator::measured(&parts.auth, Arc::clone(&metrics))?;
        let webhooks = Webhooks::new(parts.webhooks.clone()).map_err(AppError::Webhooks)?;
        let own = OwnModel {
            model: Arc::clone(&parts.model),
            text: parts.model_text,
            api: api.hash(),
            accepted: parts.accepted,
        };
        let (store, generation) = open_leading(&parts.store, &own).await?;
        let retention = parts.store.tombstone_retention;
        let collect = tokio::spawn(collect_regularly(store.clone(), retention));
        let mut indexes = IndexTask::spawn(&parts.model, Arc::clone(&store));
        indexes.settle().await;
        let (model, limits) = (parts.model, parts.limits);
        let clock = system_clock();
        let watch = LeadWatch::new(Arc::clone(&model), Arc::clone(&store), clock, generation);
        let watch = watch.accepting(parts.accepted);
        let clock = system_clock();
        let (served, asked) = (Arc::clone(&store), webhooks);
        let sync = SyncService::start_measured(model, served, clock, limits, asked, metrics);
        watch.wake_subscribers_of(&sync);
        let importer = match parts.store.follow {
            true => sync.importer(Arc::new(new_epoch)),
            false => None,
        };
        let authenticator = Arc::new(Mutex::new(Arc::new(authenticator)));
        let health = HealthCheck::new(
            Arc::clone(&store),
            Arc::clone(&sync),
            Arc::clone(&authenticator),
            Arc::clone(&observer),
        );
        let vitals = tokio::spawn(vitals::watch(Arc::clone(&health)));
        Ok(Arc::new(Self {
            api,
            sync,
            observer,
            authenticator,
            health,
            store,
            import: importer.map(ImportTask::spawn),
            _indexes: indexes,
            _lead: LeadTask::spawn(watch),
            _collect: AbortOnDropHandle::new(collect),
            _vitals: AbortOnDropHandle::new(vitals),
        }))
    }

    /// What the gateway can do now, as of a few seconds ago at most.
    pub(crate) async fn readiness(&self) -> Arc<Readiness> {
        self.health.readiness().await
    }

    /// Takes keys and secrets from these settings, and names users in the log as they say. All else stays as it is.
    ///
    /// # Errors
    /// [`AuthSetupError`]. Then nothing has changed.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), AuthSetupError> {
        let authenticator = self.authenticator().reloaded(&config.auth)?;
        *self.authenticator.lock() = Arc::new(authenticator);
        self.sync.reload_webhook_secrets(&config.webhooks);
        self.observer.set_user_key(config.log.user_key.clone());
        Ok(())
    }

    fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator.lock())
    }

    /// Whether a gateway with another model could start in the place of this one. Nothing changes.
    ///
    /// # Errors
    /// [`StoreError`], with all that stands against that model.
    pub(crate) async fn judge(
        &self,
        config: &StoreConfig,
        other: &OwnModel,
    ) -> Result<(), StoreError> {
        let store = match &config.url {
            StoreUrl::Embedded(_) => Arc::clone(&self.store),
            StoreUrl::Mongodb(_) => open_to_read(config, &other.model).await?,
        };
        other.expect_to_lead(store.as_ref()).await
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
        let authenticator = self.authenticator();
        let verified = authenticator.verify(token, now.ms()).await?;
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

/// Opens the store, waiting for a MongoDB that is not there yet, and takes the lead with the model.
///
/// # Errors
/// [`AppError`], with what to do.
async fn open_leading(
    config: &StoreConfig,
    own: &OwnModel,
) -> Result<(Arc<dyn Store>, Generation), AppError> {
    let open = async || Ok(open_store::open(config, &own.model).await?);
    let (store, findings) = open_store::patiently(config, open).await?;
    for finding in findings.iter().filter(|it| it.level > Level::Good) {
        tracing::warn!("{finding}");
    }
    let generation = open_store::patiently(config, async || own.lead(&store).await).await?;
    Ok((store, generation))
}

/// An importer that runs without a gateway, and the store that it works on; `None` if no other service can write to the
/// store. It imports by the model in force, and takes the lead only of a store that no model leads.
///
/// # Errors
/// [`AppError`], with what to do.
pub(crate) async fn importer(
    config: &StoreConfig,
    model: &Arc<Model>,
    model_text: &str,
) -> Result<Option<(Arc<dyn Store>, Importer)>, AppError> {
    if let StoreUrl::Embedded(_) = config.url {
        return Ok(None);
    }
    let own = OwnModel::new(model, model_text)?;
    let in_force = async || {
        if examine(config, model).await?.presence == StorePresence::Current {
            let store = open_to_read(config, model).await?;
            own.expect_in_force(store.models().as_ref()).await?;
        }
        Ok(())
    };
    open_store::patiently(config, in_force).await?;
    let store = open_leading(config, &own).await?.0;
    let (model, new_epoch) = (Arc::clone(model), Arc::new(new_epoch));
    let importer = Importer::new(model, Arc::clone(&store), system_clock(), new_epoch);
    Ok(importer.map(|importer| (store, importer)))
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
pub(crate) fn system_clock() -> Clock {
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
