//! Searches for broken promises for any length of time, shows that each broken rule is found, and runs one history
//! again. It also writes traces.

mod trace_files;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use self::trace_files::TracesCommand;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tidegate_simulation::{Broken, CATALOGUE, Story, Tally, Violation, catch, shrink, tell};

/// Random histories of clients, gateways and a store.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs histories of fresh seeds and reports what was found.
    Search {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        runs: u64,
        /// Instead, as many as fit into this number of minutes.
        #[arg(long)]
        minutes: Option<u64>,
        /// The first seed; without it, the time of day.
        #[arg(long)]
        seed: Option<u64>,
        /// Gateways of two models.
        #[arg(long)]
        two_models: bool,
    },
    /// Breaks one rule at a time and prints the table of what shows it.
    Mutants {
        /// The most histories for each.
        #[arg(long, default_value_t = 5_000)]
        runs: u64,
        /// Only the one of this name.
        #[arg(long)]
        only: Option<String>,
        /// Does not cut histories down, which takes longest.
        #[arg(long)]
        uncut: bool,
    },
    /// Runs the history of one seed, and shows how its shortest form breaks a promise, if it does.
    Tell {
        /// The seed.
        seed: u64,
        /// Gateways of two models.
        #[arg(long)]
        two_models: bool,
    },
    /// Writes traces, by which clients of any language are held against the rules (conformance/README.md).
    Traces {
        #[command(subcommand)]
        command: TracesCommand,
    },
}

fn main() -> ExitCode {
    // A panic inside a history is reported with it.
    std::panic::set_hook(Box::new(|_| {}));
    let succeeded = match Arguments::parse().command {
        Command::Search {
            runs,
            minutes,
            seed,
            two_models,
        } => search(
            seed.unwrap_or_else(fresh_seed),
            runs,
            minutes,
            maker(two_models),
        ),
        Command::Mutants { runs, only, uncut } => show_mutants(runs, only.as_deref(), uncut),
        Command::Tell { seed, two_models } => {
            let story = maker(two_models)(seed);
            match tell(&story) {
                Ok(tally) => {
                    say(&format!("{tally:?}"));
                    true
                }
                Err(violation) => {
                    report(&story, violation);
                    false
                }
            }
        }
        Command::Traces { command } => match trace_files::run(command) {
            Ok(said) => {
                say(&said);
                true
            }
            Err(error) => {
                say(&error);
                false
            }
        },
    };
    if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Makes the history of a seed.
type Maker = fn(u64) -> Story;

fn maker(two_models: bool) -> Maker {
    if two_models {
        Story::of_two_models
    } else {
        Story::of
    }
}

/// Runs histories on all cores until there are enough, or one breaks a promise.
fn search(first: u64, runs: u64, minutes: Option<u64>, make: Maker) -> bool {
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let bar = ProgressBar::new(minutes.map_or(runs, |minutes| 60 * minutes));
    bar.set_style(style());
    let reported = AtomicU64::new(0);
    let next = &|| {
        let nth = reported.fetch_add(1, Ordering::Relaxed);
        let goes_on = match until {
            Some(until) => Instant::now() < until,
            None => nth < runs,
        };
        bar.set_position(until.map_or(nth, |until| {
            bar.length().unwrap_or_default()
                - until.saturating_duration_since(Instant::now()).as_secs()
        }));
        goes_on.then_some(first.wrapping_add(nth))
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let found: Vec<Searched> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| scope.spawn(move || search_alone(make, next)))
            .collect();
        let searched = workers.into_iter().map(|worker| worker.join());
        searched
            .map(|searched| searched.expect("histories catch their panics"))
            .collect()
    });
    bar.finish_and_clear();
    let histories: u64 = found.iter().map(|found| found.histories).sum();
    let sum = |of: fn(&Tally) -> usize| found.iter().map(|found| of(&found.tally)).sum::<usize>();
    say(&format!(
        "{histories} histories from seed {first} in {} s: {} changes applied, {} refused, {} pages, {} resets",
        began.elapsed().as_secs(),
        sum(|tally| tally.applied),
        sum(|tally| tally.refused),
        sum(|tally| tally.pages),
        sum(|tally| tally.resets),
    ));
    let broken: Vec<_> = found.into_iter().filter_map(|found| found.broken).collect();
    let clean = broken.is_empty();
    for (story, violation) in broken {
        report(&story, violation);
    }
    clean
}

/// What one core found.
#[derive(Default)]
struct Searched {
    histories: u64,
    tally: Tally,
    broken: Option<(Story, Violation)>,
}

fn search_alone(make: Maker, next: impl Fn() -> Option<u64>) -> Searched {
    let mut searched = Searched::default();
    while let Some(seed) = next() {
        let story = make(seed);
        searched.histories += 1;
        match tell(&story) {
            Ok(tally) => searched.tally.add(tally),
            Err(violation) => {
                searched.broken = Some((story, violation));
                return searched;
            }
        }
    }
    searched
}

fn show_mutants(runs: u64, only: Option<&str>, uncut: bool) -> bool {
    let wanted = |broken: &&Broken| only.is_none_or(|only| broken.name().contains(only));
    let bar = ProgressBar::new(CATALOGUE.len() as u64);
    bar.set_style(style());
    say("| rule | what is done wrong | shown by | in history | cut down to |");
    say("| --- | --- | --- | --- | --- |");
    let mut all = true;
    for broken in CATALOGUE.iter().filter(wanted) {
        let row = match catch(broken.fault, 0..runs) {
            Some((story, violation)) if uncut => {
                format!("{:?} | {} | |", violation.property, story.seed + 1)
            }
            Some((story, violation)) => {
                let (short, shown) = shrink(&story, violation);
                let (seed, steps) = (story.seed, short.ops.len());
                if only.is_some() {
                    report(&short, shown.clone());
                }
                format!("{:?} | {} | {steps} |", shown.property, seed + 1)
            }
            None => {
                all = false;
                format!("**nothing** in {runs} | | |")
            }
        };
        bar.suspend(|| say(&format!("| {} | {} | {row}", broken.rule, broken.says)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    all
}

fn report(story: &Story, violation: Violation) {
    let (short, shown) = shrink(story, violation);
    say(&format!(
        "seed {} breaks a promise; cut down to\n{short:#?}\n{shown}",
        story.seed
    ));
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}, {eta} to go")
        .expect("the template is well-formed")
}

fn fresh_seed() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a search begins elsewhere each time; its seed identifies what it finds"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default() << 16
}

#[expect(
    clippy::print_stdout,
    reason = "this is a command; the text is what it was asked for"
)]
fn say(text: &str) {
    println!("{text}");
}
