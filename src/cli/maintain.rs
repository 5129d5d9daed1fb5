//! `collect` and `rotate-epoch`: maintenance of a store. An embedded one must not be open in a gateway.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tidegate_core::model::Model;

use super::{
    CliError, CliResult, ConfigArgs, block_on, dev,
    model::{self, LoadedModel},
    print_error, serve,
};
use crate::{
    app::{self, Examined},
    config::{StoreConfig, StoreUrl, parse_duration},
    store::{
        Store,
        finding::{StorePresence, refuse_obstacles},
    },
    sync,
};

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// The directory of `dev`'s store
    #[arg(long, default_value = dev::DATA, conflicts_with_all = ["config", "store"])]
    data: PathBuf,
    /// The store's URL, such as embedded:/var/lib/tidegate
    #[arg(long, conflicts_with = "config")]
    store: Option<String>,
    /// Work on this configuration's store instead
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Collect what is older than this, such as 90d; without it, the configuration's retention, or 90d
    #[arg(long, value_parser = parse_age)]
    older_than: Option<Duration>,
}

fn parse_age(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// The store to work on, and the model of its documents.
pub(super) struct StoreTarget {
    config: StoreConfig,
    pub(super) model: Arc<Model>,
    /// The text of the model.
    pub(super) text: String,
}

impl StoreArgs {
    /// The configuration, if one is named.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The directory of `dev`'s store and key.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn resolve(&self) -> Result<StoreTarget, CliError> {
        let (config, model) = match (&self.config, &self.store) {
            (Some(path), _) => {
                let config = serve::load(&ConfigArgs {
                    config: Some(path.clone()),
                })?;
                (config.store, Some(config.model))
            }
            (None, Some(url)) => (StoreConfig::new(store_url(url)?), None),
            (None, None) => {
                let url = StoreUrl::Embedded(self.data.clone());
                (StoreConfig::new(url), None)
            }
        };
        let LoadedModel { model, text, .. } = model::load(model.as_deref())?;
        Ok(StoreTarget {
            config,
            model,
            text,
        })
    }
}

/// The value of `--store`.
pub(super) fn store_url(url: &str) -> Result<StoreUrl, CliError> {
    StoreUrl::from_str(url).map_err(|error| format!("--store {error}").into())
}

pub(super) fn collect(args: &CollectArgs) -> CliResult {
    let place = args.store.resolve()?;
    let age = args.older_than.unwrap_or(place.config.tombstone_retention);
    let before = app::expiry(age);
    block_on(async {
        let store = place.existing().await?;
        let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
            "{spinner} {human_pos} collected, {per_sec}",
        )?);
        let collected =
            sync::collect(store.as_ref(), before, |records| bar.inc(records as u64)).await?;
        bar.finish_and_clear();
        print_error(&format!(
            "collected {} tombstones and markers older than {before}",
            collected.records
        ));
        Ok(())
    })
}

pub(super) fn rotate_epoch(args: &StoreArgs) -> CliResult {
    let place = args.resolve()?;
    block_on(async {
        let store = place.existing().await?;
        let epoch = app::new_epoch();
        sync::rotate_epoch(store.as_ref(), epoch.clone()).await?;
        print_error(&format!(
            "the epoch is now {epoch}; every client resets with its next pull"
        ));
        Ok(())
    })
}

impl StoreTarget {
    /// Opens an existing store: maintenance never makes or converts one by mistake.
    pub(super) async fn existing(&self) -> Result<Arc<dyn Store>, CliError> {
        self.expect_store().await?;
        Ok(app::open(&self.config, &self.model).await?.0)
    }

    /// The same to read alone. In MongoDB nothing is made or written.
    pub(super) async fn existing_to_read(&self) -> Result<Arc<dyn Store>, CliError> {
        self.expect_store().await?;
        Ok(app::open_to_read(&self.config, &self.model).await?)
    }

    async fn expect_store(&self) -> CliResult {
        let Self { config, model, .. } = self;
        let Examined { presence, findings } = app::examine(config, model).await?;
        refuse_obstacles(&findings)?;
        match presence {
            StorePresence::Current => Ok(()),
            StorePresence::None => Err(format!("there is no store in {}", config.url).into()),
            StorePresence::Convertible => {
                let reason = "has the format before; start a gateway of this version first, which converts it";
                Err(format!("the store in {} {reason}", config.url).into())
            }
        }
    }
}
