//! `model`: draws a model from a database that is there, for a person to finish.

use std::{env, fs::File, io::Write, path::PathBuf};

use clap::Args;

use super::{CliError, CliResult, block_on, print, print_error};
use crate::{
    app::{self, InferOptions},
    config::MongodbUrl,
};

#[derive(Debug, Args)]
pub(super) struct InferArgs {
    /// The database to draw it from, mongodb://HOSTS/DATABASE. A user and a password that it does not name are read from
    /// TIDEGATE_STORE__USERNAME and TIDEGATE_STORE__PASSWORD
    #[arg(long, value_name = "URL")]
    from: String,
    /// Write it to this new file; without it, to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many documents of each collection are read, at most 10000
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sample: u32,
    /// Only this collection; may be given several times
    #[arg(long = "collection", value_name = "NAME")]
    only: Vec<String>,
    /// The prefix of Tidegate's own collections, which are left out
    #[arg(long, default_value = "tidegate.")]
    prefix: String,
}

pub(super) fn run(args: &InferArgs) -> CliResult {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(CliError(format!(
            "{} is there already, and is not overwritten; give --out another name",
            out.display()
        )));
    }
    let [user, password] = ["TIDEGATE_STORE__USERNAME", "TIDEGATE_STORE__PASSWORD"]
        .map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    let url = MongodbUrl::with_login(&args.from, user.as_deref(), password.as_deref());
    let url = url.map_err(|error| CliError(format!("the URL of --from {error}")))?;
    let options = InferOptions {
        sample: args.sample,
        only: args.only.clone(),
        prefix: args.prefix.clone(),
    };
    let text = block_on(async { Ok(app::infer_model(&url, &options).await?) })?;
    match &args.out {
        None => print(&text),
        Some(out) => {
            let write = || File::create_new(out)?.write_all(text.as_bytes());
            write().map_err(|error| format!("{} cannot be written: {error}", out.display()))?;
            let undecided = text.matches("# TODO").count();
            print_error(&format!(
                "{0} is written; decide what is marked TODO ({undecided} times), then run `tidegate check --model {0}`",
                out.display()
            ));
        }
    }
    Ok(())
}
