//! `collect` and `rotate-epoch`: work on a store while no gateway holds it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Complaint, ConfigArgs, Done, block_on, dev, serve, tell};
use crate::{
    app,
    config::{StoreUrl, parse_duration},
    store::Store,
    sync,
};

/// How long `dev` keeps tombstones; `serve` has it in its configuration.
pub(super) const DEV_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

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

impl StoreArgs {
    /// The store's directory, and the retention that goes with it.
    fn resolve(&self) -> Result<(PathBuf, Duration), Complaint> {
        if let Some(path) = &self.config {
            let config = serve::load(&ConfigArgs {
                config: Some(path.clone()),
            })?;
            return Ok((
                serve::embedded_path(&config)?,
                config.store.tombstone_retention,
            ));
        }
        match &self.store {
            Some(url) => Ok((embedded(url)?, DEV_RETENTION)),
            None => Ok((self.data.clone(), DEV_RETENTION)),
        }
    }
}

/// The path of an `embedded:` URL.
pub(super) fn embedded(url: &str) -> Result<PathBuf, Complaint> {
    match StoreUrl::from_str(url)? {
        StoreUrl::Embedded(path) => Ok(path),
        StoreUrl::Mongodb => Err(serve::NO_MONGODB.into()),
    }
}

pub(super) fn collect(args: &CollectArgs) -> Done {
    let (directory, retention) = args.store.resolve()?;
    let before = app::expiry(args.older_than.unwrap_or(retention));
    block_on(async {
        let store = existing(&directory)?;
        let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
            "{spinner} {human_pos} collected, {per_sec}",
        )?);
        let collected =
            sync::collect(store.as_ref(), before, |records| bar.inc(records as u64)).await?;
        bar.finish_and_clear();
        tell(&format!(
            "collected {} tombstones and markers older than {before}",
            collected.records
        ));
        Ok(())
    })
}

pub(super) fn rotate_epoch(args: &StoreArgs) -> Done {
    let (directory, _) = args.resolve()?;
    block_on(async {
        let store = existing(&directory)?;
        let epoch = app::new_epoch();
        sync::rotate_epoch(store.as_ref(), epoch.clone()).await?;
        tell(&format!(
            "the epoch is now {epoch}; every client resets with its next pull"
        ));
        Ok(())
    })
}

/// Opens a store that is there: maintenance makes none by mistake.
fn existing(directory: &Path) -> Result<Arc<dyn Store>, Complaint> {
    if !has_store(directory) {
        return Err(format!("there is no store in {}", directory.display()).into());
    }
    Ok(app::open_store(directory)?)
}

/// Whether a store has been made in the directory.
pub(super) fn has_store(directory: &Path) -> bool {
    directory.join("tidegate.redb").exists()
}
