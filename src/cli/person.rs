//! `erase` and `export`: what a store keeps of a person, and how it goes. An embedded store must not be open in a gateway.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    sync::Arc,
};

use clap::Args;
use tidegate_core::{
    id::{DocumentKey, UserId},
    model::Model,
};

use super::{
    CliError, CliResult, block_on,
    maintain::{StoreArgs, StoreTarget},
    print, print_error,
};
use crate::{
    app,
    store::Store,
    sync::{Erased, Eraser, Export},
};

#[derive(Debug, Args)]
#[group(id = "whose", required = true, multiple = false)]
pub(super) struct Whose {
    /// The person: clients, conflicts and authorship of this user
    #[arg(long)]
    user: Option<String>,
    /// A document, as TYPE/ID; may be given several times
    #[arg(long, value_name = "TYPE/ID")]
    document: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    whose: Whose,
    /// Print what would be erased, and erase nothing
    #[arg(long)]
    dry_run: bool,
    /// Erase it. It cannot be undone
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The person
    #[arg(long)]
    user: String,
}

pub(super) fn erase(args: &EraseArgs) -> CliResult {
    if !args.yes && !args.dry_run {
        return Err(
            "what is erased cannot be brought back; see with --dry-run what it is, then give --yes"
                .into(),
        );
    }
    let place = args.store.resolve()?;
    let documents = args.whose.document.iter();
    let documents = documents.map(|text| document_key(&place.model, text));
    let documents: BTreeSet<DocumentKey> = documents.collect::<Result<_, _>>()?;
    let user = args.whose.user.as_deref().map(UserId::new).transpose()?;
    let erased = block_on(async {
        let eraser = Eraser {
            store: open(&place).await?,
            model: Arc::clone(&place.model),
            clock: app::system_clock(),
            writes: args.yes,
        };
        let passed = app::Progress::new("looked at");
        Ok(match &user {
            Some(user) => {
                eraser
                    .person(user, |entries| passed.passed(entries))
                    .await?
            }
            None => eraser.documents(&documents).await?,
        })
    })?;
    report(&erased, args.yes);
    Ok(())
}

fn report(erased: &Erased, was_erased: bool) {
    let verb = if was_erased { "erased" } else { "would erase" };
    let Erased {
        clients,
        conflicts,
        entries,
        declined,
    } = erased;
    print(&format!(
        "{verb}: clients {clients}, conflicts {conflicts}, entries {entries}, declined givers {declined}\n"
    ));
}

/// A document by its type and id.
pub(super) fn document_key(model: &Model, text: &str) -> Result<DocumentKey, CliError> {
    let (name, id) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} is no document; write it as TYPE/ID"))?;
    let document_type = model
        .document_type(name)
        .ok_or_else(|| format!("the model has no type {name:?}"))?;
    Ok(DocumentKey {
        type_name: document_type.stored_as.clone(),
        id: document_type.id_type.parse(id)?,
    })
}

pub(super) fn export(args: &ExportArgs) -> CliResult {
    let place = args.store.resolve()?;
    let user = UserId::new(&args.user)?;
    block_on(async {
        let export = Export {
            store: open(&place).await?,
            model: Arc::clone(&place.model),
            user,
        };
        let mut output = BufWriter::new(io::stdout());
        let line =
            |value: serde_json::Value| -> Result<(), CliError> { Ok(writeln!(output, "{value}")?) };
        export.run(line).await?;
        Ok(output.flush()?)
    })?;
    print_error("all of it is exported");
    Ok(())
}

/// The store, with the model in force.
async fn open(place: &StoreTarget) -> Result<Arc<dyn Store>, CliError> {
    let store = place.existing().await?;
    app::expect_in_force(store.as_ref(), &place.model, &place.text).await?;
    Ok(store)
}
