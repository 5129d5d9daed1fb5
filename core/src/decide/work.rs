//! The work that deciding about one push may take, counted in steps before they are taken.
//!
//! Steps are counted, not timed, so that a decision ends the same when it runs again, here or on another gateway.

use std::cell::Cell;

/// The steps that the merges of one push may take. A step takes some nanoseconds, so such a push takes about as long as one of
/// a thousand small changes. The three sides of the largest edit of a default request fit.
pub const WORK_MAX: usize = 4 << 20;

/// The steps that are left to a push, and the bytes that it copies.
#[derive(Debug)]
pub struct Work {
    left: Cell<usize>,
    copied: Cell<usize>,
}

impl Work {
    /// The work of one push.
    pub fn of_a_push() -> Self {
        Self {
            left: Cell::new(WORK_MAX),
            copied: Cell::new(0),
        }
    }

    /// Takes `steps`, if that many are left. If it returns false, the work must not be done.
    pub(super) fn take(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps);
        if let Some(left) = left {
            self.left.set(left);
        }
        left.is_some()
    }

    /// Takes `steps`, or the steps that are left, for work that is done in any case.
    pub fn spend(&self, steps: usize) {
        self.left.set(self.left.get().saturating_sub(steps));
    }

    /// Counts bytes of documents that are copied in any case.
    pub fn copies(&self, bytes: usize) {
        self.copied.set(self.copied.get().saturating_add(bytes));
    }

    /// The bytes copied.
    pub fn copied(&self) -> usize {
        self.copied.get()
    }

    /// The steps taken.
    pub fn spent(&self) -> usize {
        WORK_MAX - self.left.get()
    }
}
