//! `check`: everything that can be wrong before a start, told at once.

use std::path::PathBuf;

use clap::Args;

use super::{ConfigArgs, Done, model, say, serve};
use crate::{
    app,
    auth::Authenticator,
    graphql::{Api, ApiOptions},
};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The model file; without it, the configuration's, or model.graphql here, or the built-in example
    #[arg(long, conflicts_with = "config")]
    model: Option<PathBuf>,
    /// The configuration to check, with its model and its store
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> Done {
    let config = args
        .config
        .as_ref()
        .map(|path| {
            serve::load(&ConfigArgs {
                config: Some(path.clone()),
            })
        })
        .transpose()?;
    let named = config
        .as_ref()
        .map(|config| config.model.clone())
        .or_else(|| args.model.clone());
    let model = model::load(named.as_deref())?.model;
    Api::new(&model, ApiOptions::default())?;
    say(&format!("model: {} synced types\n", model.types.len()));
    for clash in model.clashes() {
        say(&format!(
            "note: {}.{} and {}.{} have one name and different types; a query over both has to alias them, as `tidegate operations` does\n",
            clash.a, clash.field, clash.b, clash.field
        ));
    }
    if let Some(config) = config {
        Authenticator::new(&config.auth)?;
        say("configuration: good\n");
        app::open_store(&serve::embedded_path(&config)?)?;
        say("store: good\n");
    }
    Ok(())
}
