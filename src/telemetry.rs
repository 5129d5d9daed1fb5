//! What the process writes to its log, and how: standard error, filtered by `TIDEGATE_LOG`.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt};

/// At `trace` it writes the messages of sockets, with the tokens in them.
const QUIET: &str = "tungstenite=info";

/// Starts logging; `structured` writes JSON lines for machines, unless a person watches.
///
/// `TIDEGATE_LOG` takes the directives of `tracing_subscriber::EnvFilter`, such as `info` or `tidegate=debug`.
pub(crate) fn start(structured: bool) {
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = filter.add_directive(QUIET.parse().expect("this is a directive"));
    let log = fmt().with_env_filter(filter).with_writer(stderr);
    if structured && !stderr().is_terminal() {
        log.json().init();
    } else {
        log.with_target(false)
            .with_ansi(stderr().is_terminal())
            .init();
    }
}
