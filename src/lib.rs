//! The gateway: everything of Tidegate that does IO.
//!
//! The binary is [`cli::main`]; tests and benchmarks use the other modules directly.

mod app;
mod auth;
pub mod cli;
mod config;
mod files;
#[cfg(test)]
mod fixtures;
pub mod graphql;
pub mod http;
mod infer;
mod large;
pub mod limits;
mod lock;
mod metrics;
mod quota;
mod record;
pub mod store;
pub mod sync;
mod telemetry;
pub mod webhook;
mod withheld;
