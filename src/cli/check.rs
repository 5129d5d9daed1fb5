//! `check`: reports at once everything that can be wrong before a start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use clap::Args;
use tidegate_core::{
    id::TypeName,
    model::{FieldAmbiguity, Model},
};

use super::{
    CliError, CliResult, ConfigArgs, block_on,
    model::{self, LoadedModel},
    print, print_error, serve,
};
use crate::{
    app::{self, Examined, OwnModel, Planned},
    auth::Authenticator,
    config::{Config, StoreConfig},
    graphql::{Api, ApiOptions, Operations, RawRequest},
    store::{
        Store,
        finding::{Level, StorePresence, refuse_obstacles},
    },
    sync::SurveyResult,
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

pub(super) fn run(args: &CheckArgs) -> CliResult {
    let config = config(args)?;
    let named = config
        .as_ref()
        .map_or(args.model.as_deref(), |config| Some(&config.model));
    let loaded = model::load(named)?;
    let limits = config.as_ref().map(|config| config.limits.clone());
    let options = ApiOptions {
        limits: limits.unwrap_or_default(),
        ..ApiOptions::default()
    };
    let api = Api::new(&loaded.model, options)?;
    let types: Vec<&str> = loaded
        .model
        .types
        .iter()
        .map(|ty| ty.name.as_str())
        .collect();
    print(&format!(
        "model: {} syncs {}\n",
        loaded.source,
        types.join(", ")
    ));
    report_warnings(&loaded);
    report_limits(&api, &Operations::new(&loaded.model));
    report_ambiguities(&loaded.model);
    if let Some(config) = config {
        Authenticator::new(&config.auth)?;
        serve::check_webhooks(&loaded.model, &config)?;
        print("configuration: good\n");
        let own = OwnModel::new(&loaded.model, &loaded.text)?;
        block_on(check_store(&own, &config.store))?;
    }
    Ok(())
}

fn config(args: &CheckArgs) -> Result<Option<Config>, CliError> {
    let here = args.model.is_none() && Path::new(serve::CONFIG).exists();
    if args.config.is_none() && !here {
        return Ok(None);
    }
    let config = args.config.clone();
    serve::load(&ConfigArgs { config }).map(Some)
}

/// A check creates and converts no store. The first start does.
async fn check_store(own: &OwnModel, config: &StoreConfig) -> CliResult {
    let Examined {
        presence,
        mut findings,
    } = app::examine(config, &own.model).await?;
    refuse_obstacles(&findings)?;
    findings.extend(app::sample_documents(config, &own.model).await?);
    for finding in findings {
        if finding.level > Level::Good {
            print_error(&format!("warning: {finding}"));
        }
    }
    match presence {
        StorePresence::None => print(&format!(
            "store: none in {} yet; the first start makes it\n",
            config.url
        )),
        StorePresence::Convertible => print(
            "store: of the format before; `check` compares its documents with the model once it is converted\n",
        ),
        StorePresence::Current => {
            let store = app::open_to_read(config, &own.model).await?;
            report_plan(own, store.as_ref()).await?;
            print("store: good\n");
        }
    }
    Ok(())
}

/// Prints what a start changes in the store, with counts.
///
/// # Errors
/// All that prevents the start.
async fn report_plan(own: &OwnModel, store: &dyn Store) -> CliResult {
    let Planned { result, findings } = own.plan(store).await?;
    for finding in findings.iter().filter(|finding| !finding.prevents_start) {
        match finding.level {
            Level::Good => print(&format!("plan: {finding}\n")),
            _ => print(&format!("warning: {finding}\n")),
        }
    }
    refuse_obstacles(&findings)?;
    report_scopes(&result);
    Ok(())
}

fn report_scopes(result: &SurveyResult) {
    let unseen = &result.out_of_reach;
    if unseen.count > 0 {
        print(&format!(
            "note: {} documents name a scope that no rule of the model grants, so nobody sees them: {}\n",
            unseen.count,
            unseen.first.join(", ")
        ));
    }
}

/// Prints the warnings. The exit code still says that the model can be served.
fn report_warnings(loaded: &LoadedModel) {
    for warning in Model::warnings(&loaded.source.to_string(), &loaded.text) {
        print(&format!("{warning}\n"));
    }
}

/// One line for each field, whatever the number of its pairs: twenty types may well share a `kind`.
fn report_ambiguities(model: &Model) {
    let mut clashing: BTreeMap<String, BTreeSet<TypeName>> = BTreeMap::new();
    for FieldAmbiguity { a, b, field } in model.clashes() {
        clashing.entry(field).or_default().extend([a, b]);
    }
    for (field, types) in &clashing {
        let types: Vec<&str> = types.iter().map(TypeName::as_str).collect();
        print(&format!(
            "note: `{field}` has different types in {}\n",
            types.join(", ")
        ));
    }
    if !clashing.is_empty() {
        print(
            "note: a query over several of them has to alias these fields, as `tidegate operations` does\n",
        );
    }
}

/// Prints which ready-made operations exceed the limits, and which setting to raise.
fn report_limits(api: &Api, operations: &Operations) {
    let refusal = |request| {
        let answer = api.validate(request).err()?;
        let failure = answer.refusal()?.first()?;
        Some(failure.message.clone())
    };
    let mut refused = false;
    for request in operations.each() {
        let name = request.operation_name.clone().unwrap_or_default();
        if let Some(reason) = refusal(request) {
            refused = true;
            let what = format!("the ready-made operation {name} is refused");
            print(&beyond_limit(&what, &reason));
        }
    }
    let whole = RawRequest {
        query: operations.text(),
        operation_name: Some("Viewer".to_owned()),
        ..RawRequest::default()
    };
    if let (false, Some(reason)) = (refused, refusal(whole)) {
        let what =
            "each ready-made operation can be sent with its fragments, but not all in one document";
        print(&beyond_limit(what, &reason));
    }
}

/// A refusal by a limit ends with its setting in brackets.
fn beyond_limit(what: &str, reason: &str) -> String {
    let bracketed = reason.rsplit_once('(').map(|(_, rest)| rest);
    let setting = bracketed.and_then(|rest| rest.strip_suffix(')'));
    let hint = setting.map(|setting| format!("  hint: raise {setting} in the configuration\n"));
    format!("warning: {what}: {reason}\n{}", hint.unwrap_or_default())
}
