//! Documents that are withheld because another one had their value, once that is free.
//!
//! Every commit marks those that wait for what it frees. A gateway of an earlier version does not, a stamp may pass such a
//! commit, and the model may no longer say that the value is unique. So all of them are proposed again when a term begins and
//! every few minutes.

use std::time::Duration;

use tidegate_core::{
    model::Model,
    mutant::{Mutant, is_active},
};
use tokio::time::Instant;

use super::{TermEnd, follow::Term};

/// How often the importer looks for values that are free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it proposes all that wait for a value.
const ALL_EVERY: Duration = Duration::from_secs(5 * 60);

/// The most documents of a look.
const PROPOSED_MAX: usize = 100;

/// When to look.
pub(super) struct FreedWatch {
    /// Whether the model has values that are unique. If not, what waits for one is proposed once.
    has_uniques: bool,
    look_at: Option<Instant>,
    all_at: Instant,
}

impl FreedWatch {
    pub(super) fn of(model: &Model) -> Self {
        let now = Instant::now();
        let mut types = model.types.iter();
        let has_uniques = types.any(|it| !it.uniques.is_empty());
        Self {
            has_uniques,
            look_at: Some(now),
            all_at: now,
        }
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.look_at
    }
}

impl Term<'_> {
    /// Stamps documents whose values are free. Returns whether there were any.
    pub(super) async fn stamp_freed(&mut self) -> Result<bool, TermEnd> {
        let now = Instant::now();
        if self.freed.due().is_none_or(|look_at| look_at > now) {
            return Ok(false);
        }
        let all = self.freed.all_at <= now;
        if all {
            self.freed.all_at = now + ALL_EVERY;
        }
        let collections = self.importer.collections.as_ref();
        let proposed = match is_active(Mutant::FreedUnproposed) {
            true => Vec::new(),
            false => collections.freed(all, PROPOSED_MAX).await?,
        };
        let has_proposed = !proposed.is_empty();
        self.stamp(proposed).await?;
        let goes_on = self.freed.has_uniques || has_proposed;
        self.freed.look_at = goes_on.then(|| Instant::now() + LOOK_EVERY);
        Ok(has_proposed)
    }
}
