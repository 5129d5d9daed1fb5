//! What the process writes to its log, and how: standard error, filtered by `TIDEGATE_LOG`.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging; `structured` writes JSON lines for machines, unless a person watches.
///
/// `TIDEGATE_LOG` takes the directives of `tracing_subscriber::EnvFilter`, such as `info` or `tidegate=debug`.
pub(crate) fn start(structured: bool) {
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt().with_env_filter(filter).with_writer(stderr);
    let harmless = filter_fn(is_harmless);
    if structured && !stderr().is_terminal() {
        log.json().finish().with(harmless).init();
    } else {
        let log = log.with_target(false).with_ansi(stderr().is_terminal());
        log.finish().with(harmless).init();
    }
}

/// Whatever `TIDEGATE_LOG` asks for: tungstenite tells the messages of sockets, with the tokens in them.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !metadata.target().starts_with("tungstenite")
}
