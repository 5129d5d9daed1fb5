//! How far the import has come: what is true by now, and what of it is saved. It is saved seldom, always after the stamps
//! that made it true, and always what belongs together in one write (rules.md 8.2, 8.3).

use std::{collections::BTreeSet, time::Duration};

use tidegate_core::{id::TypeName, transaction::Fence};
use tokio::time::Instant;

use super::TermEnd;
use crate::store::collections::{Collections, ImportPosition, ImportProgress, TypeImport};

/// How often progress is saved while there is any.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often the position is saved while others write nothing.
const SAVE_IDLE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct ProgressKeeper {
    progress: ImportProgress,
    /// The types whose records have changed since the last save.
    changed: BTreeSet<TypeName>,
    position: Unsaved,
    saved_at: Instant,
}

/// Whether the position has changed since the last save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unsaved {
    Nothing,
    /// It only advanced.
    Idle,
    /// Writes were stamped before it.
    Stamped,
}

impl ProgressKeeper {
    pub(super) fn new(progress: ImportProgress) -> Self {
        Self {
            progress,
            changed: BTreeSet::new(),
            position: Unsaved::Nothing,
            saved_at: Instant::now(),
        }
    }

    /// What others wrote before this position is stamped.
    pub(super) fn advance(&mut self, position: ImportPosition, has_writes: bool) {
        self.progress.position = Some(position);
        let unsaved = if has_writes {
            Unsaved::Stamped
        } else {
            Unsaved::Idle
        };
        self.position = self.position.max(unsaved);
    }

    pub(super) fn record(&self, type_name: &TypeName) -> Option<&TypeImport> {
        self.progress.types.get(type_name)
    }

    /// The record of a type, for a change.
    pub(super) fn change(&mut self, type_name: &TypeName) -> &mut TypeImport {
        self.changed.insert(type_name.clone());
        self.progress.types.entry(type_name.clone()).or_default()
    }

    /// Takes over for which types an operator has accepted deletes since.
    pub(super) fn accept_deletes(&mut self, stored: &ImportProgress) {
        for (type_name, record) in &mut self.progress.types {
            let stored = stored.types.get(type_name);
            record.accepts_deletes = stored.is_some_and(|stored| stored.accepts_deletes);
        }
    }

    pub(super) fn has_held(&self) -> bool {
        self.progress
            .types
            .values()
            .any(|record| record.held.is_some())
    }

    /// When to save next, if there is anything to save.
    pub(super) fn due(&self) -> Option<Instant> {
        let soon = !self.changed.is_empty() || self.position == Unsaved::Stamped;
        match self.position {
            _ if soon => Some(self.saved_at + SAVE_EVERY),
            Unsaved::Idle => Some(self.saved_at + SAVE_IDLE_EVERY),
            _ => None,
        }
    }

    /// Saves all that has changed, in one write.
    pub(super) async fn save(
        &mut self,
        collections: &dyn Collections,
        fence: Fence,
    ) -> Result<(), TermEnd> {
        let types = self.changed.iter();
        let types = types.filter_map(|name| Some((name.clone(), self.record(name)?.clone())));
        let is_changed = self.position > Unsaved::Nothing;
        let changes = ImportProgress {
            position: self.progress.position.clone().filter(|_| is_changed),
            types: types.collect(),
        };
        collections.save(fence, &changes).await?;
        self.changed.clear();
        self.position = Unsaved::Nothing;
        self.saved_at = Instant::now();
        Ok(())
    }
}
