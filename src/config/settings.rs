//! Gathers raw settings from a TOML text and from the environment, remembers the place of each, and refuses unknown
//! names. `check` knows what a value has to look like.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::problem::{ConfigProblem, SettingSource};
use crate::limits::NUMBERS;

/// The settings besides [`NUMBERS`].
pub(super) const KEYS: [&str; 39] = [
    "listen",
    "model",
    "store.url",
    "store.username",
    "store.password",
    "store.prefix",
    "store.tombstone_retention",
    "store.follow",
    "store.digests",
    "auth.algorithms",
    "auth.jwks_url",
    "auth.public_key_file",
    "auth.secret",
    "auth.previous_secret",
    "auth.issuer",
    "auth.audience",
    "auth.user_claim",
    "auth.leeway",
    "graphql.introspection",
    "graphql.graphiql",
    "http.allowed_origins",
    "http.allowed_headers",
    "http.head_time",
    "http.body_time",
    "http.write_time",
    "http.ping_interval",
    "http.token_time",
    "http.drain_delay",
    "http.drain_time",
    "limits.request_time",
    "limits.services",
    "webhooks.urls",
    "webhooks.secret",
    "webhooks.previous_secret",
    "webhooks.timeout",
    "webhooks.concurrency",
    "metrics.listen",
    "log.level",
    "log.user_key",
];

const SECTIONS: [&str; 8] = [
    "store", "auth", "graphql", "http", "limits", "webhooks", "metrics", "log",
];

const PREFIX: &str = "TIDEGATE_";
/// Variables with this prefix that the command line reads by itself.
const OTHER_VARIABLES: [&str; 2] = ["TIDEGATE_CONFIG", "TIDEGATE_LOG"];

/// Raw settings by key. The environment wins over the file.
pub(super) struct Settings(BTreeMap<&'static str, Setting>);

pub(super) struct Setting {
    pub(super) value: RawSetting,
    pub(super) origin: SettingSource,
}

/// A value without a type yet. It has no `Debug`, because it may be a secret.
pub(super) enum RawSetting {
    /// A value of the file. A number beyond 64 bits is none.
    File(Option<toml::Value>),
    /// A variable is text; the reader of the setting knows its type.
    Variable(String),
}

impl Settings {
    pub(super) fn gather(
        text: Option<(&str, &str)>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<ConfigProblem>), Vec<ConfigProblem>> {
        let mut collector = SettingCollector {
            settings: BTreeMap::new(),
            problems: Vec::new(),
        };
        if let Some((name, text)) = text {
            collector.read_file(ConfigFile { name, text })?;
        }
        env.for_each(|(name, value)| collector.read_variable(name, value));
        Ok((Settings(collector.settings), collector.problems))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }
}

struct SettingCollector {
    settings: BTreeMap<&'static str, Setting>,
    problems: Vec<ConfigProblem>,
}

#[derive(Clone, Copy)]
struct ConfigFile<'a> {
    name: &'a str,
    text: &'a str,
}

impl ConfigFile<'_> {
    fn origin(self, byte: usize) -> SettingSource {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        SettingSource::File {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            name: self.name.to_owned(),
        }
    }
}

impl SettingCollector {
    /// A text that is no TOML ends the reading: neither its settings nor their absence can be trusted.
    fn read_file(&mut self, file: ConfigFile<'_>) -> Result<(), Vec<ConfigProblem>> {
        let (table, errors) = DeTable::parse_recoverable(file.text);
        if errors.is_empty() {
            self.read_table(file, "", table.get_ref());
            return Ok(());
        }
        // The parser's own rendering quotes the line, which may hold a secret.
        let problem = |error: toml::de::Error| ConfigProblem {
            origin: file.origin(error.span().map_or(0, |span| span.start)),
            message: format!("this is not TOML: {}", error.message()),
        };
        Err(errors.into_iter().map(problem).collect())
    }

    /// Reads known sections only, which are one level deep.
    fn read_table(&mut self, file: ConfigFile<'_>, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{section}{}", name.get_ref());
            let origin = file.origin(name.span().start);
            if let Some(known) = known(&key) {
                self.settings.insert(
                    known,
                    Setting {
                        value: RawSetting::File(owned(value)),
                        origin,
                    },
                );
            } else if !SECTIONS.contains(&key.as_str()) {
                let message = format!(
                    "{key} is not a setting; the nearest one is {}",
                    nearest(&key, keys().chain(SECTIONS))
                );
                self.problems.push(ConfigProblem { origin, message });
            } else if let DeValue::Table(inner) = value.get_ref() {
                self.read_table(file, &format!("{key}."), inner);
            } else {
                let message = format!("{key} is a section: write [{key}], with its settings below");
                self.problems.push(ConfigProblem { origin, message });
            }
        }
    }

    fn read_variable(&mut self, name: String, value: String) {
        let Some(path) = name.strip_prefix(PREFIX) else {
            return;
        };
        if OTHER_VARIABLES.contains(&name.as_str()) || is_from_kubernetes(path, &value) {
            return;
        }
        let key = path.to_lowercase().replace("__", ".");
        if let Some(known) = known(&key).filter(|known| variable(known) == name) {
            let origin = SettingSource::Variable(name);
            self.settings.insert(
                known,
                Setting {
                    value: RawSetting::Variable(value),
                    origin,
                },
            );
        } else {
            let message = format!(
                "this variable is not a setting; the nearest one is {}",
                variable(nearest(&key, keys()))
            );
            self.problems.push(ConfigProblem {
                origin: SettingSource::Variable(name),
                message,
            });
        }
    }
}

/// Kubernetes puts the addresses of a service called `tidegate` into the environment of the other containers.
fn is_from_kubernetes(path: &str, value: &str) -> bool {
    path.starts_with("SERVICE_")
        || path.starts_with("PORT_")
        || (path == "PORT" && value.contains("://"))
}

/// The variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn known(key: &str) -> Option<&'static str> {
    keys().find(|known| *known == key)
}

/// All settings.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter()
        .chain(NUMBERS.iter().map(|number| number.key))
}

/// The name most like `key`, as a whole or by its last part, since people put settings into the wrong section as often
/// as they mistype them.
fn nearest(key: &str, names: impl IntoIterator<Item = &'static str>) -> &'static str {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(key, name);
        let part = strsim::normalized_damerau_levenshtein(&last(key), &last(name));
        whole.max(part * 0.95)
    };
    names
        .into_iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .expect("there are known names")
}

fn owned(value: &Spanned<DeValue<'_>>) -> Option<toml::Value> {
    toml::Value::deserialize(ValueDeserializer::from(value.clone())).ok()
}

/// A type that a setting can have.
pub(super) trait FromRaw: DeserializeOwned {
    /// The value of a variable. `None` when its text has another form.
    fn from_text(text: &str) -> Option<Self>;

    /// `None` when the raw value has another form.
    fn from_raw(raw: &RawSetting) -> Option<Self> {
        match raw {
            RawSetting::File(value) => value.clone()?.try_into().ok(),
            RawSetting::Variable(text) => Self::from_text(text),
        }
    }
}

impl FromRaw for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromRaw for i64 {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromRaw for bool {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A list in a variable is a TOML array, or its items with commas between them.
impl FromRaw for Vec<String> {
    fn from_text(text: &str) -> Option<Self> {
        if text.trim_start().starts_with('[') {
            let array: toml::Value = text.trim().parse().ok()?;
            return array.try_into().ok();
        }
        let items = text.split(',').map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        Some(items.map(str::to_owned).collect())
    }
}

/// Texts by name: a table, or in a variable `name=text` with commas between.
impl FromRaw for BTreeMap<String, String> {
    fn from_text(text: &str) -> Option<Self> {
        let pairs = Vec::<String>::from_text(text)?;
        let pairs = pairs.iter().map(|pair| {
            let (name, text) = pair.split_once('=')?;
            Some((name.trim().to_owned(), text.trim().to_owned()))
        });
        pairs.collect()
    }
}
