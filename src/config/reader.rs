//! Reads settings by key and type, and collects their problems and warnings. It knows no setting by
//! name; the rules are in `check`.

use super::{
    problem::{ConfigProblem, SettingSource},
    settings::{FromRaw, Settings},
};

/// Reads settings and collects their problems.
pub(super) struct SettingReader {
    pub(super) settings: Settings,
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) warnings: Vec<ConfigProblem>,
}

impl SettingReader {
    /// `form` completes the sentence "… must be". `None` when the setting is absent, or wrong and
    /// noted.
    pub(super) fn get<R: FromRaw, T>(
        &mut self,
        key: &'static str,
        form: &str,
        accept: impl FnOnce(R) -> Result<T, SettingError>,
    ) -> Option<T> {
        let raw = R::from_raw(&self.settings.get(key)?.value);
        match raw.ok_or(SettingError::Form).and_then(accept) {
            Ok(value) => return Some(value),
            Err(SettingError::Form) => self.refuse(key, &format!("must be {form}")),
            Err(SettingError::Because(reason)) => self.refuse(key, &reason),
        }
        None
    }

    pub(super) fn require(&mut self, key: &str, what: &str) {
        if self.settings.get(key).is_none() {
            self.refuse(key, &format!("is not set; name {what}"));
        }
    }

    pub(super) fn origin(&self, key: &str) -> SettingSource {
        self.settings
            .get(key)
            .map_or(SettingSource::Absent, |setting| setting.origin.clone())
    }

    pub(super) fn refuse(&mut self, key: &str, message: &str) {
        self.problems.push(ConfigProblem {
            origin: self.origin(key),
            message: format!("{key} {message}"),
        });
    }

    pub(super) fn warn(&mut self, key: &str, message: &str) {
        self.warnings.push(ConfigProblem {
            origin: self.origin(key),
            message: format!("{key} {message}"),
        });
    }
}

/// Why a value is not accepted.
pub(super) enum SettingError {
    /// It does not have the form that the reader describes.
    Form,
    /// The end of a sentence that begins with the key.
    Because(String),
}

impl SettingError {
    pub(super) fn because(error: impl std::error::Error) -> Self {
        SettingError::Because(format!("is refused: {error}"))
    }
}
