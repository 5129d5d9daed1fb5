//! The log of documents that readers cannot show: one line for each.
//!
//! The readers of a document decide what they show instead.

use std::{collections::HashSet, sync::LazyLock};

use tidegate_core::{
    id::{DocumentKey, Version},
    transaction::Misfit,
};

use crate::{lock::Mutex, telemetry::Escaped};

/// The most documents that are named, as long as the process runs.
const NAMED_MAX: usize = 1_000;

static LOG: LazyLock<Mutex<NamedDocuments>> = LazyLock::new(Mutex::default);

/// Logs once why this version of a document cannot be shown, without its values.
pub(crate) fn log(type_name: &str, id: &str, version: Version, misfit: &Misfit) {
    let is_new = LOG.lock().add((type_name.into(), id.into(), version));
    match is_new {
        Added::Known => {}
        Added::New => tracing::error!(
            r#type = type_name,
            id = %Escaped(id),
            version = version.0,
            path = %Escaped(&misfit.path),
            found = misfit.found,
            problem = misfit.problem,
            "a document cannot be shown, and is withheld from clients until its next version"
        ),
        Added::Full => tracing::error!(
            "more than {NAMED_MAX} documents cannot be shown; no further ones are named"
        ),
    }
}

/// The same for a document that is named by its key.
pub(crate) fn log_key(key: &DocumentKey, version: Version, misfit: &Misfit) {
    log(key.type_name.as_str(), key.id.as_str(), version, misfit);
}

/// The documents that the log names.
#[derive(Default)]
struct NamedDocuments {
    named: HashSet<(Box<str>, Box<str>, Version)>,
    is_full: bool,
}

#[derive(Debug, PartialEq)]
enum Added {
    New,
    Known,
    /// There was no room, for the first time.
    Full,
}

impl NamedDocuments {
    fn add(&mut self, document: (Box<str>, Box<str>, Version)) -> Added {
        if self.is_full || self.named.contains(&document) {
            return Added::Known;
        }
        if self.named.len() == NAMED_MAX {
            self.is_full = true;
            self.named = HashSet::new();
            return Added::Full;
        }
        self.named.insert(document);
        Added::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_a_document_is_named_once_and_only_so_many() {
        let mut log = NamedDocuments::default();
        let mut add = |number: usize, version: i32| {
            log.add(("Task".into(), number.to_string().into(), Version(version)))
        };
        for number in 1..NAMED_MAX {
            assert_eq!(add(number, 1), Added::New);
            assert_eq!(add(number, 1), Added::Known);
        }
        assert_eq!(add(1, 2), Added::New);
        assert_eq!(add(NAMED_MAX, 1), Added::Full);
        assert_eq!(add(NAMED_MAX + 1, 1), Added::Known);
        assert_eq!(add(1, 1), Added::Known);
    }
}
