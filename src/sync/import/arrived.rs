//! What the stream has brought and is not stamped yet. Writes to one document are one wake-up.

use std::collections::BTreeSet;

use indexmap::IndexSet;
use tidegate_core::id::{DocumentKey, TypeName};

use super::throttle::DOCUMENTS_MAX;
use crate::store::collections::{ForeignBatch, ForeignChange, ImportPosition};

#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// The documents that were written.
    pub(super) keys: IndexSet<DocumentKey>,
    /// The types whose collections were dropped, made or renamed.
    pub(super) collections: BTreeSet<TypeName>,
    /// The place behind them, if anything arrived.
    pub(super) position: Option<ImportPosition>,
}

impl Arrived {
    pub(super) fn take(&mut self, batch: ForeignBatch) {
        for change in batch.writes {
            match change {
                ForeignChange::Document(key) => drop(self.keys.insert(key)),
                ForeignChange::Collection(type_name) => drop(self.collections.insert(type_name)),
            }
        }
        self.position = Some(batch.position);
    }

    /// Whether further batches have to wait.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= DOCUMENTS_MAX
    }
}
