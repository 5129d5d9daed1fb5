//! Which store a configuration names, and how it is opened. `sync` works on an open store.

use std::{path::Path, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressFinish};
use tidegate_core::model::Model;
use tokio::time::sleep;

use super::{AppError, DOCUMENTS_LOGGED, new_epoch, new_token_key, random_number};
use crate::{
    config::{MongodbUrl, StoreConfig, StoreUrl},
    store::{
        Store, StoreError,
        conversion::{Converted, Progress},
        embedded::{EmbeddedOptions, EmbeddedStore},
        finding::{Finding, StorePresence},
        mongo::{self, MongoOptions, MongoStore},
    },
};

/// The pauses between two attempts to reach MongoDB: a start follows within seconds.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A long wait logs one attempt in this many.
const ATTEMPTS_LOGGED: u64 = 16;

/// Opens the store, or makes one. Returns also what its operator should know.
///
/// # Errors
/// [`StoreError`], with what to do.
pub(crate) async fn open(
    config: &StoreConfig,
    model: &Model,
) -> Result<(Arc<dyn Store>, Vec<Finding>), StoreError> {
    match &config.url {
        StoreUrl::Embedded(directory) => {
            let options = EmbeddedOptions {
                conversion: shown_conversion(),
                keeps_sums: config.digests,
                ..EmbeddedOptions::new(new_epoch(), new_token_key())
            };
            let store = EmbeddedStore::open(directory, &options)?;
            Ok((Arc::new(store), Vec::new()))
        }
        StoreUrl::Mongodb(url) => {
            let options = mongo_options(config, url).await?;
            let store = MongoStore::open(&options, model).await?;
            let findings = store.findings().to_vec();
            Ok((Arc::new(store), findings))
        }
    }
}

/// Opens a store that is there and commits nothing. In MongoDB it makes nothing either.
///
/// # Errors
/// [`StoreError`], with what to do.
pub(crate) async fn open_to_read(
    config: &StoreConfig,
    model: &Model,
) -> Result<Arc<dyn Store>, StoreError> {
    match &config.url {
        StoreUrl::Embedded(_) => Ok(open(config, model).await?.0),
        StoreUrl::Mongodb(url) => {
            let options = mongo_options(config, url).await?;
            let store = MongoStore::open_to_read(&options, model).await?;
            Ok(Arc::new(store))
        }
    }
}

/// Tries again while MongoDB cannot be reached: it may be starting, or electing a primary.
///
/// # Errors
/// [`AppError`] when waiting does not help.
pub(super) async fn patiently<T>(
    config: &StoreConfig,
    attempt: impl AsyncFn() -> Result<T, AppError>,
) -> Result<T, AppError> {
    let mut pause = PAUSE_MIN;
    let mut looks = 0_u64;
    loop {
        match attempt().await {
            Err(AppError::Store(StoreError::Unavailable(reason)))
                if matches!(config.url, StoreUrl::Mongodb(_)) =>
            {
                looks += 1;
                if looks.is_power_of_two() || looks.is_multiple_of(ATTEMPTS_LOGGED) {
                    tracing::warn!("waiting for the store: {reason}");
                }
            }
            done => return done,
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What is found at the configured place before a store is opened there.
pub(crate) struct Examined {
    /// Whether it has a store.
    pub(crate) presence: StorePresence,
    pub(crate) findings: Vec<Finding>,
}

/// Examines the configured place. It creates and converts no store. A MongoDB is examined whether it has a store or not.
///
/// # Errors
/// [`StoreError`] when a MongoDB cannot be asked, or a file cannot be read.
pub(crate) async fn examine(config: &StoreConfig, model: &Model) -> Result<Examined, StoreError> {
    let (presence, findings) = match &config.url {
        StoreUrl::Embedded(directory) => examine_embedded(directory)?,
        StoreUrl::Mongodb(url) => {
            let options = mongo_options(config, url).await?;
            MongoStore::examine(&options, model).await?
        }
    };
    Ok(Examined { presence, findings })
}

/// Looks at some documents of each collection of a MongoDB. An embedded store is written by gateways alone.
///
/// # Errors
/// [`StoreError`] when a MongoDB cannot be asked.
pub(crate) async fn sample_documents(
    config: &StoreConfig,
    model: &Model,
) -> Result<Vec<Finding>, StoreError> {
    match &config.url {
        StoreUrl::Embedded(_) => Ok(Vec::new()),
        StoreUrl::Mongodb(url) => {
            let options = mongo_options(config, url).await?;
            MongoStore::sample_documents(&options, model).await
        }
    }
}

/// Whether the directory has a store, and what the next start converts of it.
pub(super) fn examine_embedded(
    directory: &Path,
) -> Result<(StorePresence, Vec<Finding>), StoreError> {
    if !directory.join("tidegate.redb").exists() {
        return Ok((StorePresence::None, Vec::new()));
    }
    Ok(match EmbeddedStore::convertible(directory)? {
        None => (StorePresence::Current, Vec::new()),
        Some(finding) => (StorePresence::Convertible, vec![finding]),
    })
}

pub(super) async fn mongo_options(
    config: &StoreConfig,
    url: &MongodbUrl,
) -> Result<MongoOptions, StoreError> {
    let client = mongo::client_options(url.connection.clone()).await?;
    let random = Arc::new(random_number);
    Ok(MongoOptions {
        prefix: config.prefix.clone(),
        conversion: shown_conversion(),
        keeps_sums: config.digests,
        ..MongoOptions::new(client, &url.database, new_epoch(), random)
    })
}

/// Shows on a terminal how far a conversion has come, and logs it.
fn shown_conversion() -> Progress {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    Progress::new(move |Converted { passed, rewritten }| {
        let before = bar.position();
        bar.set_position(passed);
        bar.set_message(format!(
            "{passed} records passed, {rewritten} written again"
        ));
        if before / DOCUMENTS_LOGGED < passed / DOCUMENTS_LOGGED {
            tracing::info!(passed, rewritten, "converted so far");
        }
    })
}
