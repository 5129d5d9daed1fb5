//! What an import logs: counts, names of the model, and what an operator can do. Never an id or a value of a document.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use indexmap::IndexSet;
use tidegate_core::{
    id::{DocumentKey, TypeName},
    transaction::Misfit,
};
use tokio::time::Instant;

use super::plan::CollectionNow;
use crate::store::{
    StoreError,
    collections::{HeldType, TypeImport, TypeScan},
};

/// How often a scan logs its progress: after so many documents, or so much time.
const DOCUMENTS_LOGGED: u64 = 100_000;
const TIME_LOGGED: Duration = Duration::from_secs(60);

/// How many kinds of misfits are logged in a term.
const MISFITS_LOGGED: usize = 100;

pub(super) struct ImportLog {
    begun: Instant,
    logged_at: Instant,
    /// How many documents and entries the scan had looked at by then.
    logged: u64,
    /// What was written since the scan began.
    entries: usize,
    withheld: usize,
    /// The kinds of misfits that were logged: type, path and what is there.
    misfits: HashSet<(TypeName, String, String)>,
}

impl Default for ImportLog {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            logged_at: Instant::now(),
            logged: 0,
            entries: 0,
            withheld: 0,
            misfits: HashSet::new(),
        }
    }
}

impl ImportLog {
    pub(super) fn begins(&mut self, type_name: &TypeName, documents: u64) {
        *self = Self {
            misfits: std::mem::take(&mut self.misfits),
            ..Self::default()
        };
        tracing::info!(r#type = %type_name, documents, "the collection is compared with the feed");
    }

    pub(super) fn progress(&mut self, type_name: &TypeName, record: Option<&TypeImport>) {
        let Some(scan) = record.and_then(|record| record.scan.as_ref()) else {
            return;
        };
        let is_far = scan.done >= self.logged + DOCUMENTS_LOGGED;
        if is_far || self.logged_at.elapsed() >= TIME_LOGGED {
            let (done, total) = (scan.done, scan.total);
            tracing::info!(r#type = %type_name, done, total, "compared so far");
            (self.logged, self.logged_at) = (scan.done, Instant::now());
        }
    }

    pub(super) fn stamped(&mut self, entries: usize, withheld: &[(DocumentKey, Misfit)]) {
        self.entries += entries;
        self.withheld += withheld.len();
        for (key, misfit) in withheld {
            let kind = (
                key.type_name.clone(),
                without_indexes(&misfit.path),
                misfit.found.clone(),
            );
            if self.misfits.len() < MISFITS_LOGGED && self.misfits.insert(kind.clone()) {
                let (type_name, path, found) = kind;
                tracing::warn!(
                    r#type = %type_name, path, found,
                    "documents do not fit the model and are withheld; `tidegate doctor` lists them"
                );
            }
        }
    }

    pub(super) fn passed_over(&self, keys: &IndexSet<DocumentKey>, error: &StoreError) {
        let types: BTreeSet<&str> = keys.iter().map(|key| key.type_name.as_str()).collect();
        tracing::error!(?types, %error, "a document cannot be taken over and is passed over; `tidegate doctor` finds it");
    }

    pub(super) fn finished(&self, type_name: &TypeName, scan: &TypeScan) {
        tracing::info!(
            r#type = %type_name,
            compared = scan.done,
            written = self.entries,
            withheld = self.withheld,
            seconds = self.begun.elapsed().as_secs(),
            "the feed follows the collection"
        );
    }

    pub(super) fn held(&self, type_name: &str, held: HeldType, now: CollectionNow) {
        let HeldType { missing, expected } = held;
        let what = match now {
            CollectionNow::Same => "many documents are missing",
            CollectionNow::Another => "the collection was made again and lacks documents",
            CollectionNow::Missing => "the collection is missing",
        };
        tracing::warn!(
            r#type = type_name,
            missing,
            expected,
            "{what}, and nothing is deleted from devices; bring the documents back, or run `tidegate import --accept-deletes {type_name}`"
        );
    }
}

/// The path of a value without its places in lists: `lines[].price` for `lines[2].price`.
fn without_indexes(path: &str) -> String {
    let mut is_inside = false;
    let keep = |c: &char| {
        let is_kept = !is_inside || *c == ']';
        is_inside = *c == '[' || (is_inside && *c != ']');
        is_kept
    };
    path.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_misfit_names_no_place_in_a_list() {
        assert_eq!(
            without_indexes("lines[12].prices[0].value"),
            "lines[].prices[].value"
        );
        assert_eq!(without_indexes("title"), "title");
    }
}
