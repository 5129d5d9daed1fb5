//! `import`: takes over what other services wrote to MongoDB, in the foreground. A gateway does the same in the
//! background; if one of them holds the lease, this command shows how far that one is.

use std::{collections::BTreeMap, fmt::Write, sync::Arc, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tidegate_core::{
    id::TypeName,
    model::{DocumentType, Model},
};
use tokio::time::sleep;

use super::{
    CliError, CliResult, ConfigArgs, block_on,
    model::{self, LoadedModel},
    print, print_error, serve,
};
use crate::{
    app,
    store::{
        StoreError,
        collections::{Collections, ImportProgress},
    },
    sync::{Importer, ImporterState, pending_imports},
};

/// How often the progress is read.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// How many withheld documents are read at a time, and how many are counted.
const WITHHELD_PAGE: usize = 1_000;
const WITHHELD_MAX: u64 = 100_000;

const NOTHING_TO_IMPORT: &str =
    "no other service can write to an embedded store, so there is nothing to import";

const INTERRUPTED: &str =
    "stopped; what was imported is kept, and `tidegate import` or a gateway goes on from there";

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The documents that are missing in this type's collection are deleted: delete them on devices too
    #[arg(long, value_name = "TYPE")]
    accept_deletes: Vec<String>,
}

pub(super) fn run(args: &ImportArgs) -> CliResult {
    let config = serve::load(&args.config)?;
    let LoadedModel { model, text, .. } = model::load(Some(&config.model))?;
    let accepted = types(&model, &args.accept_deletes)?;
    block_on(async {
        let stop = serve::stop_requested()?;
        let importer = app::importer(&config.store, &model, &text).await?;
        let (store, importer) = importer.ok_or(NOTHING_TO_IMPORT)?;
        let collections = store.collections().ok_or(NOTHING_TO_IMPORT)?;
        for document_type in accepted {
            accept_deletes(collections.as_ref(), document_type).await?;
        }
        let done = tokio::select! {
            never = importer.run() => match never {},
            done = watch(&model, collections.as_ref(), &importer) => done,
            () = stop => Err(INTERRUPTED.into()),
        };
        importer.release().await;
        report(&model, collections.as_ref(), &done?).await
    })
}

/// The types of these names.
fn types<'m>(model: &'m Model, names: &[String]) -> Result<Vec<&'m DocumentType>, CliError> {
    let find = |name: &String| match model.document_type(name) {
        Some(document_type) => Ok(&**document_type),
        None => {
            let known: Vec<&str> = model.types.iter().map(|it| it.name.as_str()).collect();
            let known = known.join(", ");
            Err(format!("the model has no type {name:?}; its types are {known}").into())
        }
    };
    names.iter().map(find).collect()
}

async fn accept_deletes(collections: &dyn Collections, document_type: &DocumentType) -> CliResult {
    let progress = collections.progress().await?;
    let record = progress.types.get(&document_type.stored_as);
    if record.is_none_or(|record| record.held.is_none()) {
        print_error(&format!(
            "{} is not held, so there is nothing to accept",
            document_type.name
        ));
    }
    Ok(collections.accept_deletes(&document_type.stored_as).await?)
}

/// Shows the progress until nothing is left to do but to follow.
async fn watch(
    model: &Model,
    collections: &dyn Collections,
    importer: &Importer,
) -> Result<ImportProgress, CliError> {
    let style = "{msg} {wide_bar} {human_pos}/{human_len} compared, {per_sec}, {eta} left";
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(style)?);
    let (mut shown, mut is_waiting) = (None, false);
    loop {
        let state = importer.state();
        let progress = match collections.progress().await {
            // The importer tries again too, and logs why.
            Err(StoreError::Unavailable(_)) => {
                sleep(SHOWN_EVERY).await;
                continue;
            }
            progress => progress?,
        };
        if state == ImporterState::Waits && !is_waiting {
            print_error("a gateway imports already; this is its progress");
            is_waiting = true;
        }
        let mut working = pending_imports(model, &progress).filter(|import| {
            let record = progress.types.get(&import.stored_as);
            !import.held || record.is_some_and(|it| it.scan.is_some() || it.accepts_deletes)
        });
        let first = working.next();
        let others = working.count();
        match first {
            Some(import) => {
                if shown.as_ref() != Some(&import.type_name) {
                    bar.reset();
                    shown = Some(import.type_name.clone());
                }
                let others = match others {
                    0 => String::new(),
                    others => format!(" and {others} more"),
                };
                bar.set_message(format!("{}{others}", import.type_name));
                bar.set_length(import.total);
                bar.set_position(import.done);
            }
            None if matches!(state, ImporterState::Waits | ImporterState::Follows) => {
                bar.finish_and_clear();
                return Ok(progress);
            }
            None => {}
        }
        sleep(SHOWN_EVERY).await;
    }
}

/// Says what was imported, what is withheld and what is held.
async fn report(
    model: &Arc<Model>,
    collections: &dyn Collections,
    progress: &ImportProgress,
) -> CliResult {
    let (withheld, is_more) = withheld(collections).await?;
    let mut text = String::new();
    for document_type in &model.types {
        let DocumentType {
            name, stored_as, ..
        } = &**document_type;
        let record = progress.types.get(stored_as);
        let Some(record) = record.filter(|it| it.held.is_none()) else {
            continue;
        };
        let documents = match &record.collection {
            Some(_) => format!("about {} documents", collections.count(stored_as).await?),
            None => "no collection yet".to_owned(),
        };
        writeln!(text, "{name}: imported, {documents}")?;
    }
    for (stored_as, count) in withheld {
        let name = model.type_name(stored_as.as_str());
        let more = if is_more { "at least " } else { "" };
        writeln!(
            text,
            "{name}: documents that do not fit the model: {more}{count}; they are withheld, and `tidegate doctor` lists them"
        )?;
    }
    print(&text);
    let held: Vec<String> = model
        .types
        .iter()
        .filter_map(|it| held(it, progress))
        .collect();
    match held.is_empty() {
        true => Ok(()),
        false => Err(CliError(held.join("\n"))),
    }
}

/// What to do about a held type.
fn held(document_type: &DocumentType, progress: &ImportProgress) -> Option<String> {
    let record = progress.types.get(&document_type.stored_as)?;
    let name = &document_type.name;
    let held = record.held?;
    Some(format!(
        "{name}: held, since {} of {} documents are missing in its collection and nobody has said that they are deleted; bring them back, or run `tidegate import --accept-deletes {name}`",
        held.missing, held.expected
    ))
}

/// How many documents of each type are withheld, and whether there are more than were counted.
async fn withheld(
    collections: &dyn Collections,
) -> Result<(BTreeMap<TypeName, u64>, bool), CliError> {
    let (mut counts, mut counted, mut after) = (BTreeMap::new(), 0, None);
    while counted < WITHHELD_MAX {
        let page = collections.withheld(after.as_ref(), WITHHELD_PAGE).await?;
        counted += page.documents.len() as u64;
        for document in page.documents {
            *counts.entry(document.type_name).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok((counts, false));
        }
    }
    Ok((counts, true))
}
