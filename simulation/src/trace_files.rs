//! The commands that write traces.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use tidegate_simulation::{
    Story, record,
    traces::{Trace, filled},
};

#[derive(Subcommand)]
pub(crate) enum TracesCommand {
    /// Writes what happens to each client of some histories, one trace each.
    Record {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// How many histories.
        #[arg(long, default_value_t = 100)]
        histories: u64,
        /// The directory.
        to: PathBuf,
    },
    /// Writes what must follow into traces, by the reference client. It is for traces that are written by hand.
    Fill {
        /// The traces.
        files: Vec<PathBuf>,
    },
}

/// Returns what there is to say.
pub(crate) fn run(command: TracesCommand) -> Result<String, String> {
    match command {
        TracesCommand::Record {
            seed,
            histories,
            to,
        } => record_all(seed, histories, &to),
        TracesCommand::Fill { files } => {
            files.iter().try_for_each(|file| fill(file))?;
            Ok(format!("{} filled", files.len()))
        }
    }
}

/// Histories of gateways with one model, since traces have one.
fn stories(seed: u64, histories: u64) -> impl Iterator<Item = Story> {
    let stories = (seed..).map(Story::of);
    let of_one_model = stories.filter(|story| story.ends.is_empty());
    of_one_model.take(usize::try_from(histories).unwrap_or(usize::MAX))
}

fn record_all(seed: u64, histories: u64, to: &Path) -> Result<String, String> {
    let mut written = 0;
    for story in stories(seed, histories) {
        let recordings = record(&story).map_err(|violation| violation.to_string())?;
        for (device, recording) in recordings.iter().enumerate() {
            let name = format!("seed-{}-device-{device}", story.seed);
            let trace = recording
                .trace(Vec::new())
                .map_err(|error| format!("{name}: {error}"))?;
            write(to, &name, &trace)?;
            written += 1;
        }
    }
    Ok(format!("{written} traces from seed {seed}"))
}

fn fill(file: &Path) -> Result<(), String> {
    let named = |error: String| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    let Trace { head, lines } = Trace::read(&text).map_err(named)?;
    let steps = lines.into_iter().map(|line| line.step).collect();
    let trace = filled(head, steps).map_err(named)?;
    fs::write(file, trace.text()).map_err(|error| named(error.to_string()))
}

fn write(to: &Path, name: &str, trace: &Trace) -> Result<(), String> {
    let file = to.join(format!("{name}.jsonl"));
    let written = fs::create_dir_all(to).and_then(|()| fs::write(&file, trace.text()));
    written.map_err(|error| format!("{}: {error}", file.display()))
}
