//! How many documents a transaction stamps, and how long the importer rests after it, so that pushes keep their latency:
//! additive increase, multiplicative decrease, with a target for the time of a transaction.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The most documents of a transaction.
pub(super) const DOCUMENTS_MAX: usize = 500;

/// The time of a transaction while pushes commit.
const TARGET: Duration = Duration::from_millis(25);

/// The longest rest, well within the time of a lease.
const REST_MAX: Duration = Duration::from_secs(1);

/// How many more documents a transaction may have than the last that succeeded.
const STEP: usize = 50;

/// Counts the groups of pushes that a gateway commits.
#[derive(Debug, Default)]
pub(in crate::sync) struct PushCounter(AtomicU64);

impl PushCounter {
    /// A group of pushes begins to be committed.
    pub(in crate::sync) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The size of the next transaction.
#[derive(Debug)]
pub(super) struct Throttle {
    documents: usize,
    /// How many pushes had been counted at the last transaction.
    pushes: u64,
}

impl Throttle {
    pub(super) fn new(pushes: u64) -> Self {
        Self {
            documents: DOCUMENTS_MAX,
            pushes,
        }
    }

    /// How many documents to stamp in the next transaction.
    pub(super) fn documents(&self) -> usize {
        self.documents
    }

    /// A transaction of so many documents took so long. Returns how long to rest: as long as it took, up to
    /// [`REST_MAX`], if pushes are committed meanwhile, and else not at all.
    pub(super) fn succeeded(&mut self, documents: usize, took: Duration, pushes: u64) -> Duration {
        let are_pushed = std::mem::replace(&mut self.pushes, pushes) != pushes;
        let grown = (self.documents + STEP).min(DOCUMENTS_MAX);
        if !are_pushed {
            self.documents = grown;
            return Duration::ZERO;
        }
        let in_target = documents as u128 * TARGET.as_nanos() / took.as_nanos().max(1);
        let in_target = usize::try_from(in_target).unwrap_or(DOCUMENTS_MAX);
        self.documents = in_target.clamp(1, grown);
        took.min(REST_MAX)
    }

    /// A transaction met another one.
    pub(super) fn collided(&mut self) {
        self.documents = (self.documents / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn while_pushes_commit_a_transaction_takes_25_ms_and_a_rest_as_long() {
        let mut throttle = Throttle::new(0);
        assert_eq!(throttle.documents(), DOCUMENTS_MAX);
        assert_eq!(throttle.succeeded(500, 100 * MS, 1), 100 * MS);
        assert_eq!(throttle.documents(), 125);
        assert_eq!(throttle.succeeded(125, 25 * MS, 2), 25 * MS);
        assert_eq!(throttle.documents(), 125);
        // A slow store: one document is the least.
        assert_eq!(throttle.succeeded(125, 10_000 * MS, 3), REST_MAX);
        assert_eq!(throttle.documents(), 1);
    }

    #[test]
    fn without_pushes_transactions_grow_and_nothing_rests() {
        let mut throttle = Throttle::new(7);
        throttle.succeeded(500, 10_000 * MS, 8);
        let mut sizes = Vec::new();
        for _ in 0..12 {
            assert_eq!(throttle.succeeded(100, 100 * MS, 8), Duration::ZERO);
            sizes.push(throttle.documents());
        }
        assert_eq!(sizes[0], 1 + STEP);
        assert_eq!(sizes[11], DOCUMENTS_MAX);
    }

    #[test]
    fn a_conflict_halves_the_next_transaction() {
        let mut throttle = Throttle::new(0);
        for expected in [250, 125, 62, 31, 15, 7, 3, 1, 1] {
            throttle.collided();
            assert_eq!(throttle.documents(), expected);
        }
    }
}
