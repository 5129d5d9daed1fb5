//! What an examination of a store finds: one sentence each, and whether it prevents a start.
//!
//! A start, `check` and `doctor` share these findings. The examinations themselves are with the stores and in `sync`.

use std::fmt::{self, Display};

use serde::Serialize;

use super::StoreError;
use crate::telemetry::Escaped;

/// How many documents or records a finding names. The rest is counted.
pub const EXAMPLES_MAX: usize = 10;

/// One result of an examination. Its names are those of `doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was examined.
    pub topic: Topic,
    /// How bad it is.
    pub level: Level,
    /// Whether no gateway starts before it is solved.
    pub prevents_start: bool,
    /// What was found. Of a warning or a problem, what to do stands after a semicolon.
    pub message: String,
    /// How many documents or records it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// Documents or records of one kind: how many there are, and the first of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Examples {
    /// All of them.
    pub count: u64,
    /// The first, with what there is to say of each.
    pub first: Vec<String>,
}

impl Examples {
    /// Counts one more.
    pub fn take(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < EXAMPLES_MAX {
            self.first.push(example());
        }
    }
}

/// Whether there is a store at a place, for commands that make and convert none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePresence {
    /// There is none. The first start makes it.
    None,
    /// It has the format before. The next start converts it, and until then it cannot be read.
    Convertible,
    /// It can be opened.
    Current,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    /// The server's version and topology.
    Server,
    /// What the gateway's user may do.
    Rights,
    /// The kinds of the collections.
    Collections,
    /// The `_id`s of documents, by the model's `idType`.
    Ids,
    /// The server's clock.
    Clock,
    /// How far back a change stream can be resumed.
    Oplog,
    /// Tidegate's collections.
    Store,
    /// Their indexes.
    Indexes,
    /// Heads and floors of scopes.
    Heads,
    /// The digests of scopes, by their documents.
    Digests,
    /// The stored documents, by the model.
    Model,
    /// Who imports, and how far it has come.
    Importer,
    /// Documents that are withheld, because they do not fit the model.
    Withheld,
    /// The feed, by the collections.
    Feed,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth a look. Clients are served right.
    Warning,
    /// Something does not work, or is not right.
    Problem,
}

/// By its name in JSON, which is one word.
impl Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}").to_lowercase();
        f.write_str(&name)
    }
}

impl Finding {
    /// Says that something is as it should be.
    pub fn good(topic: Topic, message: impl Into<String>) -> Self {
        Self::new(topic, Level::Good, message)
    }

    /// Something to look at.
    pub fn warning(topic: Topic, message: impl Into<String>) -> Self {
        Self::new(topic, Level::Warning, message)
    }

    /// Something to solve.
    pub fn problem(topic: Topic, message: impl Into<String>) -> Self {
        Self::new(topic, Level::Problem, message)
    }

    /// Something to solve before a gateway starts.
    pub fn obstacle(topic: Topic, message: impl Into<String>) -> Self {
        Self {
            prevents_start: true,
            ..Self::problem(topic, message)
        }
    }

    /// Names what it is about.
    #[must_use]
    pub fn about(self, count: u64, examples: Vec<String>) -> Self {
        Self {
            count: Some(count),
            examples,
            ..self
        }
    }

    fn new(topic: Topic, level: Level, message: impl Into<String>) -> Self {
        Self {
            topic,
            level,
            prevents_start: false,
            message: message.into(),
            count: None,
            examples: Vec::new(),
        }
    }
}

/// The message, and a line for each example. Users and other services have written the examples.
impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for example in &self.examples {
            write!(f, "\n  {}", Escaped(example))?;
        }
        Ok(())
    }
}

/// Whether a gateway can start.
///
/// # Errors
/// [`StoreError::Unsuitable`], with all that prevents it.
pub fn refuse_obstacles(findings: &[Finding]) -> Result<(), StoreError> {
    let obstacles = findings.iter().filter(|finding| finding.prevents_start);
    let obstacles: Vec<String> = obstacles.map(ToString::to_string).collect();
    match obstacles.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Unsuitable(obstacles.join("\n"))),
    }
}
