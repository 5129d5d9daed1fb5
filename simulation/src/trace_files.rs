//! The commands that write traces.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tidegate_simulation::{
    Story, record,
    traces::{Choice, Findings, Trace, filled},
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
    /// Writes few short traces that together show each broken rule, and each turn that a client takes, some times. It
    /// takes them from many short histories.
    Choose {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// How many histories.
        #[arg(long, default_value_t = 20_000)]
        histories: u64,
        /// Instead, as many as fit into this number of minutes.
        #[arg(long)]
        minutes: Option<u64>,
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
        TracesCommand::Choose {
            seed,
            histories,
            minutes,
            to,
        } => choose(seed, histories, minutes, &to),
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

/// The histories that run at a time, on all cores. What is chosen follows from their order alone.
const TOGETHER: u64 = 64;

fn choose(first: u64, histories: u64, minutes: Option<u64>, to: &Path) -> Result<String, String> {
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let last = match until {
        Some(_) => u64::MAX,
        None => first.saturating_add(histories),
    };
    let bar = ProgressBar::new(histories).with_style(style(until.is_some()));
    let (mut choice, mut next) = (Choice::default(), first);
    while next < last && until.is_none_or(|until| Instant::now() < until) {
        let seeds = next..last.min(next.saturating_add(TOGETHER));
        next = seeds.end;
        for findings in found_in(seeds) {
            findings?.into_iter().for_each(|it| choice.add(it));
        }
        let (reasons, full) = choice.reached();
        bar.set_position(next - first);
        bar.set_message(format!("{full} of {reasons} shown often enough"));
    }
    bar.finish_and_clear();
    let traces = choice.traces()?;
    for (name, trace) in &traces {
        write(to, name, trace)?;
    }
    Ok(format!(
        "{} traces of {} histories from seed {first}",
        traces.len(),
        next - first
    ))
}

/// What the clients of these histories show, in the order of their seeds.
fn found_in(seeds: Range<u64>) -> Vec<Result<Vec<Findings>, String>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let seeds: Vec<u64> = seeds.collect();
    let find = |seeds: &[u64]| seeds.iter().map(|seed| findings(*seed)).collect::<Vec<_>>();
    thread::scope(|scope| {
        let parts = seeds.chunks(seeds.len().div_ceil(cores));
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || find(part))).collect();
        let found = workers.into_iter().map(|worker| worker.join());
        found
            .flat_map(|found| found.expect("histories catch their panics"))
            .collect()
    })
}

fn findings(seed: u64) -> Result<Vec<Findings>, String> {
    let recordings = record(&Story::of_clients(seed))
        .map_err(|violation| format!("seed {seed}: {violation}"))?;
    let found = recordings
        .into_iter()
        .enumerate()
        .map(|(device, recording)| {
            Findings::of(format!("history-{seed}-device-{device}"), recording)
        });
    found.collect()
}

fn style(by_time: bool) -> ProgressStyle {
    let template = match by_time {
        true => "{pos} histories in {elapsed}, {msg}",
        false => "{bar:40} {pos}/{len} {elapsed}, {eta} to go, {msg}",
    };
    ProgressStyle::with_template(template).expect("the template is well-formed")
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
