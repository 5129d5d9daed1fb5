//! `check`: everything that can be wrong before a start, told at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use clap::Args;
use tidegate_core::{
    id::TypeName,
    model::{FieldClash, Model},
};

use super::{Complaint, ConfigArgs, Done, block_on, model, say, serve};
use crate::{
    app,
    auth::Authenticator,
    config::{Config, StoreConfig},
    graphql::{Api, ApiOptions},
};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The model file; without it, the configuration's, or model.graphql here, or the built-in example
    #[arg(long, conflicts_with = "config")]
    model: Option<PathBuf>,
    /// The configuration to check, with its model and its store; without it, tidegate.toml here if there is one
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> Done {
    let config = config(args)?;
    let named = config
        .as_ref()
        .map_or(args.model.as_deref(), |config| Some(&config.model));
    let loaded = model::load(named)?;
    Api::new(&loaded.model, ApiOptions::default())?;
    let types: Vec<&str> = loaded
        .model
        .types
        .iter()
        .map(|ty| ty.name.as_str())
        .collect();
    say(&format!(
        "model: {} syncs {}\n",
        loaded.source,
        types.join(", ")
    ));
    tell_clashes(&loaded.model);
    if let Some(config) = config {
        Authenticator::new(&config.auth)?;
        serve::check_webhooks(&loaded.model, &config)?;
        say("configuration: good\n");
        block_on(check_store(&loaded.model, &config.store))?;
    }
    Ok(())
}

fn config(args: &CheckArgs) -> Result<Option<Config>, Complaint> {
    let here = args.model.is_none() && Path::new(serve::CONFIG).exists();
    if args.config.is_none() && !here {
        return Ok(None);
    }
    let config = args.config.clone();
    serve::load(&ConfigArgs { config }).map(Some)
}

/// A look makes no store: that is the first start's to do.
async fn check_store(model: &Model, config: &StoreConfig) -> Done {
    if app::exists(config, model).await? {
        let opened = app::open(config, model).await?;
        app::survey(model, opened.store.as_ref()).await?;
        say("store: good\n");
    } else {
        say(&format!(
            "store: none in {} yet; the first start makes it\n",
            config.url
        ));
    }
    Ok(())
}

/// One line for each field, whatever the number of its pairs: twenty types may well share a `kind`.
fn tell_clashes(model: &Model) {
    let mut clashing: BTreeMap<String, BTreeSet<TypeName>> = BTreeMap::new();
    for FieldClash { a, b, field } in model.clashes() {
        clashing.entry(field).or_default().extend([a, b]);
    }
    for (field, types) in &clashing {
        let types: Vec<&str> = types.iter().map(TypeName::as_str).collect();
        say(&format!(
            "note: `{field}` has different types in {}\n",
            types.join(", ")
        ));
    }
    if !clashing.is_empty() {
        say(
            "note: a query over several of them has to alias these fields, as `tidegate operations` does\n",
        );
    }
}
