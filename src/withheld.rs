//! The log of documents that readers cannot show: one line for each, which does not name it.
//!
//! The readers of a document decide what they show instead.

use std::{collections::HashSet, sync::LazyLock};

use tidegate_core::{
    id::{DocumentKey, Version},
    transaction::Misfit,
};

use crate::{lock::Mutex, telemetry::Escaped};

/// The most documents that are logged, as long as the process runs.
const LOGGED_MAX: usize = 1_000;

static LOG: LazyLock<Mutex<LoggedDocuments>> = LazyLock::new(Mutex::default);

/// Logs once why this version of a document cannot be shown, without its values.
pub(crate) fn log(type_name: &str, id: &str, version: Version, misfit: &Misfit) {
    let is_new = LOG.lock().add((type_name.into(), id.into(), version));
    match is_new {
        Added::Known => {}
        Added::New => tracing::error!(
            r#type = type_name,
            version = version.0,
            path = %Escaped(&misfit.path),
            found = misfit.found,
            problem = misfit.problem,
            "a document cannot be shown, and is withheld from clients until its next version; look for it with `tidegate doctor`"
        ),
        Added::Full => tracing::error!(
            "more than {LOGGED_MAX} documents cannot be shown; no further ones are logged"
        ),
    }
}

/// The same for a document that is addressed by its key.
pub(crate) fn log_key(key: &DocumentKey, version: Version, misfit: &Misfit) {
    log(key.type_name.as_str(), key.id.as_str(), version, misfit);
}

/// The documents that have a line.
#[derive(Default)]
struct LoggedDocuments {
    logged: HashSet<(Box<str>, Box<str>, Version)>,
    is_full: bool,
}

#[derive(Debug, PartialEq)]
enum Added {
    New,
    Known,
    /// There was no room, for the first time.
    Full,
}

impl LoggedDocuments {
    fn add(&mut self, document: (Box<str>, Box<str>, Version)) -> Added {
        if self.is_full || self.logged.contains(&document) {
            return Added::Known;
        }
        if self.logged.len() == LOGGED_MAX {
            self.is_full = true;
            self.logged = HashSet::new();
            return Added::Full;
        }
        self.logged.insert(document);
        Added::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_a_document_is_logged_once_and_only_so_many() {
        let mut log = LoggedDocuments::default();
        let mut add = |number: usize, version: i32| {
            log.add(("Task".into(), number.to_string().into(), Version(version)))
        };
        for number in 1..LOGGED_MAX {
            assert_eq!(add(number, 1), Added::New);
            assert_eq!(add(number, 1), Added::Known);
        }
        assert_eq!(add(1, 2), Added::New);
        assert_eq!(add(LOGGED_MAX, 1), Added::Full);
        assert_eq!(add(LOGGED_MAX + 1, 1), Added::Known);
        assert_eq!(add(1, 1), Added::Known);
    }
}
