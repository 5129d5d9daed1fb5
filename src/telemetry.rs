//! What the process writes to its log, and how: standard error, filtered by `TIDEGATE_LOG`. This module words errors of
//! reqwest, and texts that a user chose; the store words MongoDB's errors.

use std::{
    env,
    error::Error,
    fmt::{self, Write},
    io::{IsTerminal, stderr},
    panic,
};

use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::{EnvFilter, filter_fn},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// Lines that may wait for standard error, at most 4 MiB of them. Further lines are lost.
const WAITING_LINES_MAX: usize = 8_192;

/// The running log.
pub(crate) struct Log {
    /// Changes the filter.
    set: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    /// Whether `TIDEGATE_LOG` says what is logged.
    is_fixed: bool,
    is_json: bool,
    /// Writes the last lines when it is dropped.
    _writer: WorkerGuard,
}

impl Log {
    /// Logs by this filter from now on, or at `info` without one. `TIDEGATE_LOG` comes before it.
    pub(crate) fn set(&self, filter: Option<&LogFilter>) {
        if !self.is_fixed {
            let filter = filter.cloned().unwrap_or_default();
            (self.set)(filter.made());
        }
    }

    /// Whether it writes JSON lines.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Says in one line why the process ends, whatever is logged otherwise.
    pub(crate) fn ends(&self, reason: &str) {
        (self.set)(EnvFilter::new("error"));
        tracing::error!(reason, "the gateway ends");
    }
}

/// What is logged: directives of `tracing_subscriber::EnvFilter` that were read once, such as `info` or
/// `info,tidegate=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

/// A text that is no [`LogFilter`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} says not what to log; write a level (error, warn, info, debug, trace, off) or target=level, with commas between"
)]
pub(crate) struct InvalidFilter(String);

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl LogFilter {
    /// # Errors
    /// [`InvalidFilter`] with the part that is none. `EnvFilter` itself takes a misspelt level for the name of a target,
    /// and then logs nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidFilter> {
        let invalid = |part: &str| InvalidFilter(part.to_owned());
        let is_level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
        for part in text.split(',').map(str::trim) {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            if !is_level(level) || EnvFilter::builder().parse(part).is_err() {
                return Err(invalid(part));
            }
        }
        Ok(Self(text.to_owned()))
    }

    fn made(&self) -> EnvFilter {
        EnvFilter::builder().parse_lossy(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// The variable that says what is logged.
const VARIABLE: &str = "TIDEGATE_LOG";

/// Starts logging; `structured` writes JSON lines, unless standard error is a terminal. The last lines are written when the
/// [`Log`] is dropped. If `TIDEGATE_LOG` cannot be read, it logs at `info` and returns also what is wrong.
///
/// A thread of its own writes the lines, and ignores errors. Otherwise a full disk would end the gateway, and a reader of the
/// log that stops would stop all requests: strangers can make the log grow.
pub(crate) fn start(structured: bool) -> (Log, Result<(), InvalidFilter>) {
    let variable = env::var_os(VARIABLE).map(|text| text.to_string_lossy().into_owned());
    let variable = variable.filter(|text| !text.is_empty());
    let is_fixed = variable.is_some();
    let filter = variable.map(|text| LogFilter::parse(&text)).transpose();
    let (filter, checked) = match filter {
        Ok(filter) => (filter.unwrap_or_default(), Ok(())),
        Err(invalid) => (LogFilter::default(), Err(invalid)),
    };
    panic::set_hook(Box::new(|panic| {
        // A formatted message may hold a value.
        let said = panic.payload().downcast_ref::<&'static str>();
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, said, "a panic");
    }));
    let lines = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES_MAX);
    let (writer, guard) = lines.finish(stderr());
    let (filter, handle) = reload::Layer::new(filter.made());
    let is_json = structured && !stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match is_json {
        true => layer.json().boxed(),
        false => layer
            .with_target(false)
            .with_ansi(stderr().is_terminal())
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(layer)
        .with(filter)
        .with(filter_fn(is_harmless))
        .init();
    let log = Log {
        set: Box::new(move |filter| handle.reload(filter).is_ok()),
        is_fixed,
        is_json,
        _writer: guard,
    };
    (log, checked)
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
    fn a_filter_names_levels_that_there_are() {
        for text in ["info", "OFF", "info,tidegate=debug", "warn, operation=off"] {
            assert!(LogFilter::parse(text).is_ok(), "{text}");
        }
        for (text, part) in [
            ("verbose", "verbose"),
            ("", ""),
            ("info,tidegate", "tidegate"),
            ("tidegate=loud", "tidegate=loud"),
            ("info,,warn", ""),
        ] {
            let refused = LogFilter::parse(text).unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("{part:?} says not")),
                "{refused}"
            );
        }
    }

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
