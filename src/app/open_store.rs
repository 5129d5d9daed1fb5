//! Which store a configuration names, how it is opened, and the note of its restamping. `sync` works on an open store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressFinish};
use tidegate_core::model::Model;
use tokio::time::sleep;

use super::{AppError, DOCUMENTS_LOGGED, new_epoch, new_token_key, random_number};
use crate::{
    config::{MongodbUrl, StoreConfig, StoreUrl},
    files,
    store::{
        Store, StoreError,
        conversion::{Converted, Progress},
        embedded::{EmbeddedOptions, EmbeddedStore},
        finding::{Finding, Level, StorePresence},
        mongo::{self, MongoOptions, MongoStore},
    },
};

/// The pauses between two attempts to reach MongoDB: a start follows within seconds.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A long wait logs one attempt in this many.
const ATTEMPTS_LOGGED: u64 = 16;

/// An open store.
#[derive(Clone)]
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn Store>,
    note: NotePlace,
}

/// The place of the note about whether the store has been restamped.
#[derive(Clone)]
enum NotePlace {
    Beside(PathBuf),
    Inside(Arc<MongoStore>),
}

/// How often a store of one epoch has been restamped: once before it is served, and again after gateways of an earlier
/// version beside it have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Restamped {
    Never,
    Once,
    Twice,
}

/// Opens the store, or makes one.
///
/// # Errors
/// [`StoreError`], with what to do.
pub(crate) async fn open(config: &StoreConfig, model: &Model) -> Result<OpenStore, StoreError> {
    match &config.url {
        StoreUrl::Embedded(directory) => open_embedded(directory),
        StoreUrl::Mongodb(url) => {
            let options = mongo_options(config, url).await?;
            let store = Arc::new(MongoStore::open(&options, model).await?);
            Ok(OpenStore {
                store: store.clone(),
                note: NotePlace::Inside(store),
            })
        }
    }
}

fn open_embedded(directory: &Path) -> Result<OpenStore, StoreError> {
    let options = EmbeddedOptions {
        conversion: shown_conversion(),
        ..EmbeddedOptions::new(new_epoch(), new_token_key())
    };
    Ok(OpenStore {
        store: Arc::new(EmbeddedStore::open(directory, &options)?),
        note: NotePlace::Beside(directory.join("restamped")),
    })
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

impl OpenStore {
    /// Logs what its operator should know.
    pub(super) fn warn(&self) {
        if let NotePlace::Inside(store) = &self.note {
            let not_good = |found: &&Finding| found.level > Level::Good;
            for finding in store.findings().iter().filter(not_good) {
                tracing::warn!("{finding}");
            }
        }
    }

    /// How often the store has been restamped. A new epoch, as after a restore, may bring scopes of an earlier version.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(super) async fn restamped(&self) -> Result<Restamped, StoreError> {
        let note = match &self.note {
            NotePlace::Beside(path) => fs::read_to_string(path).ok(),
            NotePlace::Inside(store) => store.restamped().await?,
        };
        let epoch = self.store.snapshot().await?.epoch().clone();
        Ok(
            match note.as_deref().and_then(|note| note.split_once(' ')) {
                Some(("once", of)) if of == epoch.as_str() => Restamped::Once,
                Some(("twice", of)) if of == epoch.as_str() => Restamped::Twice,
                _ => Restamped::Never,
            },
        )
    }

    /// Notes that the store has been restamped again.
    ///
    /// # Errors
    /// [`AppError::Note`], or [`AppError::Store`] when the store cannot be read or written.
    pub(super) async fn note_restamped(&self, restamped: Restamped) -> Result<(), AppError> {
        let times = match restamped {
            Restamped::Never => return Ok(()),
            Restamped::Once => "once",
            Restamped::Twice => "twice",
        };
        let note = format!("{times} {}", self.store.snapshot().await?.epoch());
        match &self.note {
            NotePlace::Beside(path) => write_note(path, &note),
            NotePlace::Inside(store) => Ok(store.note_restamped(&note).await?),
        }
    }
}

fn write_note(path: &Path, text: &str) -> Result<(), AppError> {
    files::replace_whole(path, text).map_err(|error| AppError::Note {
        path: path.display().to_string(),
        error,
    })
}
