//! `doctor`: examines a store and its server, and says what is good, what to look at and what to solve.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{CliError, ConfigArgs, block_on, model, print, print_error, serve};
use crate::{
    app::{self, OwnModel, Report},
    store::finding::{Finding, Level},
};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Make what is missing in the store, and stamp documents that differ from their entries
    #[arg(long)]
    repair: bool,
}

/// The report as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonReport<'r> {
    problems: usize,
    warnings: usize,
    /// Why not everything could be examined.
    failure: Option<String>,
    findings: &'r [Finding],
}

/// Ends with 0 if there are no problems, 1 if there are, and 2 if not everything could be examined.
pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let (findings, failure) = match examine(args) {
        Ok(Report { findings, failure }) => (findings, failure.map(|error| error.to_string())),
        Err(CliError(complaint)) => (Vec::new(), Some(complaint)),
    };
    let count = |level| findings.iter().filter(|found| found.level == level).count();
    let report = JsonReport {
        problems: count(Level::Problem),
        warnings: count(Level::Warning),
        failure,
        findings: &findings,
    };
    match args.json {
        true => print_json(&report),
        false => print_text(&report),
    }
    match report {
        JsonReport {
            failure: Some(_), ..
        } => ExitCode::from(2),
        JsonReport { problems: 0, .. } => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn examine(args: &DoctorArgs) -> Result<Report, CliError> {
    let config = serve::load(&args.config)?;
    let loaded = model::load(Some(&config.model))?;
    let own = OwnModel::new(&loaded.model, &loaded.text)?;
    block_on(async { Ok(app::examine_all(&config.store, &own, args.repair).await) })
}

fn print_json(report: &JsonReport<'_>) {
    let text = serde_json::to_string_pretty(report);
    print(&(text.unwrap_or_default() + "\n"));
}

/// The problems come last, where they are seen first.
fn print_text(report: &JsonReport<'_>) {
    for (level, heading) in [
        (Level::Good, "good"),
        (Level::Warning, "warning"),
        (Level::Problem, "problem"),
    ] {
        let of_level = report.findings.iter().filter(|found| found.level == level);
        let lines: String = of_level.map(line).collect();
        if !lines.is_empty() {
            print(&format!("{heading}\n{lines}"));
        }
    }
    match &report.failure {
        Some(failure) => print_error(&format!("not everything could be examined: {failure}")),
        None => print(&format!(
            "{}, {}\n",
            counted(report.problems, "problem"),
            counted(report.warnings, "warning")
        )),
    }
}

fn line(finding: &Finding) -> String {
    let topic = finding.topic.to_string();
    let text = finding.to_string().replace('\n', "\n              ");
    let start = match finding.prevents_start {
        true => " (no gateway starts before)",
        false => "",
    };
    format!("  {topic:<12}{text}{start}\n")
}

fn counted(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}
