//! What the process writes to its log, and how: standard error, filtered by `TIDEGATE_LOG`. This module words errors of
//! reqwest, and texts that a user chose; the store words MongoDB's errors.

use std::{
    error::Error,
    fmt::{self, Write},
    io::{IsTerminal, stderr},
    panic,
};

use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    filter::{EnvFilter, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Lines that may wait for standard error, at most 4 MiB of them. Further lines are lost.
const WAITING_LINES_MAX: usize = 8_192;

/// Starts logging; `structured` writes JSON lines, unless standard error is a terminal. The last lines are written when the
/// guard is dropped.
///
/// A thread of its own writes the lines, and ignores errors. Otherwise a full disk would end the gateway, and a reader of the
/// log that stops would stop all requests: strangers can make the log grow.
///
/// `TIDEGATE_LOG` takes the directives of `tracing_subscriber::EnvFilter`, such as `info` or `tidegate=debug`.
pub(crate) fn start(structured: bool) -> WorkerGuard {
    panic::set_hook(Box::new(|panic| {
        // A formatted message may hold a value.
        let said = panic.payload().downcast_ref::<&'static str>();
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, said, "a panic");
    }));
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES_MAX);
    let (writer, guard) = lines.finish(stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let harmless = filter_fn(is_harmless);
    if structured && !stderr().is_terminal() {
        log.json().finish().with(harmless).init();
    } else {
        let log = log.with_target(false).with_ansi(stderr().is_terminal());
        log.finish().with(harmless).init();
    }
    guard
}

/// Libraries log at `info` and above only, even if `TIDEGATE_LOG` asks for more: at finer levels they show what peers
/// send, tokens included.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let of = |name: &str| {
        let rest = metadata.target().strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    *metadata.level() <= Level::INFO || of("tidegate") || of("http")
}

/// The cause of a failed request: a refused connection, a bad certificate, a time-out. The library's own message does not
/// say it, and holds the URL, whose query may be a secret.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) if error.is_timeout() => "it took too long".to_owned(),
        Some(_) => "it could not be made, or its answer could not be read".to_owned(),
        None => cause.to_string(),
    }
}

/// A text that a user chose, in one line: control characters, and those that turn or break lines, are escaped, and the rest
/// beyond [`SHOWN_CHARS_MAX`] is cut off.
pub(crate) struct Escaped<'t>(pub(crate) &'t str);

const SHOWN_CHARS_MAX: usize = 256;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN_CHARS_MAX) {
            let steers = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            match c.is_control() || steers {
                true => write!(f, "{}", c.escape_unicode())?,
                false => f.write_char(c)?,
            }
        }
        match chars.next() {
            Some(_) => f.write_char('…'),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_chose_stays_in_its_line_and_short() {
        let forged = "1\n2026-01-01 ERROR forged\u{1b}[31m\u{202e}\u{2028}é";
        let shown = Escaped(forged).to_string();
        assert_eq!(
            shown,
            r"1\u{a}2026-01-01 ERROR forged\u{1b}[31m\u{202e}\u{2028}é"
        );
        let long = "x".repeat(SHOWN_CHARS_MAX + 1);
        assert_eq!(
            Escaped(&long).to_string().chars().count(),
            SHOWN_CHARS_MAX + 1
        );
    }
}
