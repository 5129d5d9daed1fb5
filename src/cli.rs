//! The command line: one module for each command, and what each prints.
//!
//! The result goes to standard output, everything else to standard error. There is no `eyre`: a command fails with one sentence,
//! or with a list of sentences.

mod check;
mod dev;
mod doctor;
mod explain;
mod import;
mod infer;
mod maintain;
mod model;
mod person;
mod serve;
mod token;

use std::{
    fmt::Display,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::telemetry::{self, Log};

/// An offline-first sync gateway for MongoDB: your model in, a typed GraphQL sync API out.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run on this machine with an embedded store, a development key and GraphiQL
    Dev(dev::DevArgs),
    /// Run in production, by a configuration
    Serve(serve::ServeArgs),
    /// Draw a model from a MongoDB database, for you to finish
    Model(infer::InferArgs),
    /// Print the generated API as SDL
    Schema(ModelArgs),
    /// Print ready-made operations for the model, for code generators
    Operations(OperationsArgs),
    /// Check the model, and the configuration and its store if there is one
    Check(check::CheckArgs),
    /// Examine the store and its server, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Say why the bearer of a token sees a document or does not, and may change it or not
    Explain(explain::ExplainArgs),
    /// Print a signed token, and nothing else
    Token(token::TokenArgs),
    /// Collect tombstones and markers that are older than the retention
    Collect(maintain::CollectArgs),
    /// Import what other services wrote to MongoDB, and show how far that is
    Import(import::ImportArgs),
    /// Erase what the store keeps of a person, or documents
    Erase(person::EraseArgs),
    /// Print what the store keeps of a person, as JSON lines
    Export(person::ExportArgs),
    /// Begin a new epoch, as after a restore from backup: every client resets
    RotateEpoch(maintain::StoreArgs),
}

/// Where the model is.
#[derive(Debug, Args)]
struct ModelArgs {
    /// The model file; without it, model.graphql here, or the built-in example
    #[arg(long)]
    model: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OperationsArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// As a module for @tidegate/client: the model's types, and what the client knows of it
    #[arg(long)]
    typescript: bool,
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file; without it, tidegate.toml here if there is one, and the environment
    #[arg(long, env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
}

/// What a command prints when it fails.
#[derive(Debug)]
struct CliError(String);

impl<E: Display> From<E> for CliError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type CliResult = Result<(), CliError>;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (log, variable) = telemetry::start(matches!(cli.command, Command::Serve(_)));
    let done = match variable {
        Ok(()) => run(cli.command, &log),
        Err(error) => Err(CliError(format!("TIDEGATE_LOG: {error}"))),
    };
    match done {
        Ok(code) => code,
        Err(CliError(complaint)) => {
            match log.is_json() {
                true => log.ends(&complaint),
                false => print_error(&complaint),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, log: &Log) -> Result<ExitCode, CliError> {
    let done = match command {
        Command::Dev(args) => dev::run(args),
        Command::Serve(args) => serve::run(args, log),
        Command::Model(args) => infer::run(&args),
        Command::Schema(args) => model::schema(&args),
        Command::Operations(args) => model::operations(&args),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => return Ok(doctor::run(&args)),
        Command::Explain(args) => explain::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Collect(args) => maintain::collect(&args),
        Command::Import(args) => import::run(&args),
        Command::Erase(args) => person::erase(&args),
        Command::Export(args) => person::export(&args),
        Command::RotateEpoch(args) => maintain::rotate_epoch(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Prints the result to standard output.
#[expect(clippy::print_stdout, reason = "this is where commands answer")]
fn print(text: &str) {
    print!("{text}");
}

/// Prints further messages to standard error. A command continues if that cannot be written, as on a full disk.
fn print_error(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Runs asynchronous work to its end, just before the process ends.
fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(work);
    // A task of MongoDB's driver panics if another one that it waits for is dropped first: a dropped cursor is closed by
    // such a task.
    std::mem::forget(runtime);
    done
}

/// Where `dev` listens by default: this machine alone.
const DEV_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);
