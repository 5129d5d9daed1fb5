//! What is wrong with a setting and where it was set, for the person who set it. A problem never repeats the value of a
//! setting that may hold a secret.

use std::fmt;

/// A mistake in the configuration, or a warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConfigProblem {
    pub(crate) origin: SettingSource,
    /// A sentence that begins with the key.
    pub(crate) message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            SettingSource::Absent => formatter.write_str(&self.message),
            origin => write!(formatter, "{origin}: {}", self.message),
        }
    }
}

/// The place of a setting. Problems are reported in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SettingSource {
    /// Lines count from 1.
    File {
        line: usize,
        name: String,
    },
    Variable(String),
    /// It is missing.
    Absent,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingSource::File { line, name } => write!(formatter, "{name}:{line}"),
            SettingSource::Variable(name) => formatter.write_str(name),
            SettingSource::Absent => formatter.write_str("not set"),
        }
    }
}
