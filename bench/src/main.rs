//! What the gateway adds to its store: the same work through HTTP and, as the floor of the same run, by the official
//! driver alone. Both take turns on one mongod; each figure is the median of the rounds, with the least and the most.
//!
//! `make bench` runs it. Load, gateway and mongod share the machine: figures are of this machine and this run, and only
//! the ratios travel.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails, and prints what it found"
)]

mod bare;
mod client;
mod documents;
mod figure;
mod floor;
mod gateway;
mod load;
mod mongod;
mod peer;
mod report;
mod rows;
mod swarm;
mod workspace;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, builder::PossibleValuesParser};

use self::{
    report::{FLOOR, PEER, Report},
    rows::{Bench, Extent, GROUPS, PEERS},
};

/// Measures the gateway against the plain work of MongoDB's driver
#[derive(Parser)]
struct Options {
    /// What to measure; if absent, everything, and the documents with the results are rewritten
    #[arg(value_parser = PossibleValuesParser::new(all().map(|(group, _)| group)))]
    groups: Vec<String>,
    /// How often floor and gateway take turns at each row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each works in a round, in milliseconds
    #[arg(long, default_value_t = 1_500)]
    window_ms: u64,
    /// How many subscribers there are where there are many; a multiple of 500
    #[arg(long, default_value_t = 5_000)]
    subscribers: usize,
    /// How many documents the scope has that is pulled; a multiple of 1,000
    #[arg(long, default_value_t = 50_000)]
    pulled: usize,
    /// How many entries the store has that has grown; a multiple of 10,000
    #[arg(long, default_value_t = 1_000_000)]
    entries: usize,
    /// How many documents are imported
    #[arg(long, default_value_t = 1_000_000)]
    imported: usize,
    /// Of the groups push, http, pull and fanout, measure only the rows whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// Start gateways by `serve`, with digests or without them; the documents with the results stay
    #[arg(long, value_name = "KEPT")]
    digests: Option<bool>,
    /// Fail if a row misses its bar
    #[arg(long)]
    strict: bool,
    /// Serve the floor's work by HTTP instead, from this database, until the process is ended
    #[arg(long, hide = true)]
    serve_bare: Option<String>,
}

impl Options {
    fn wants(&self, group: &str) -> bool {
        let chosen = self.groups.iter().any(|chosen| chosen == group);
        chosen || self.groups.is_empty() && group != PEERS.0
    }

    fn extent(&self) -> Extent {
        Extent {
            rounds: self.rounds,
            window: Duration::from_millis(self.window_ms),
            subscribers: self.subscribers,
            pulled: self.pulled,
            entries: self.entries,
            imported: self.imported,
            only: self.only.clone(),
        }
    }
}

fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.into_iter().chain([PEERS])
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(mongodb) = &options.serve_bare {
        bare::serve(mongodb).await;
    }
    gateway::build();
    if let Some(digests) = options.digests {
        gateway::serve(digests);
    }
    // Thousands of subscribers are as many sockets, here and in the gateway.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut bench = Bench::start(options.extent()).await;
    let mut report = Report::begin(bench.mongod.version().await, options.rounds);
    for (group, about) in all() {
        if options.wants(group) {
            let is_peers = (group, about) == PEERS;
            report.heading(about, if is_peers { PEER } else { FLOOR });
            report.add(bench.measure(group).await);
        }
    }
    if options.digests.is_some() {
        report.write("part.json");
    } else if options.groups.is_empty() {
        report.write("results.json");
        report.publish();
    } else if options.groups == [PEERS.0] {
        report.write("peers.json");
        report.publish_peers();
    } else {
        report.write("part.json");
    }
    if options.strict && report.missed() > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
