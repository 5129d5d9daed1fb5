//! The log of refused tokens: one line in a while for each reason, with how often it was met. Strangers send tokens as
//! fast as they like.

use std::{collections::HashMap, sync::PoisonError};

use super::TokenRejection;

/// The least time between two lines with the same reason.
const LINE_EVERY_MS: i64 = 10_000;

#[derive(Default)]
pub(super) struct RefusalLog(std::sync::Mutex<HashMap<&'static str, Refusals>>);

/// The refusals for one reason.
#[derive(Default)]
struct Refusals {
    logged_at_ms: Option<i64>,
    /// How many there were since.
    unlogged: u64,
}

impl RefusalLog {
    pub(super) fn note(&self, reason: &TokenRejection, now_ms: i64) {
        if let Some(times) = self.count(reason.kind(), now_ms) {
            tracing::info!(%reason, times, "tokens are refused");
        }
    }

    /// How many refusals a line has to report, if one is due.
    fn count(&self, kind: &'static str, now_ms: i64) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = kinds.entry(kind).or_default();
        of_kind.unlogged += 1;
        let is_early = |at: i64| now_ms.abs_diff(at) < LINE_EVERY_MS.unsigned_abs();
        if of_kind.logged_at_ms.is_some_and(is_early) {
            return None;
        }
        of_kind.logged_at_ms = Some(now_ms);
        Some(std::mem::take(&mut of_kind.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_bad_tokens_is_a_line_in_a_while_for_each_reason() {
        let log = RefusalLog::default();
        assert_eq!(log.count("expired", 0), Some(1));
        let lines = (1..=9_999).filter_map(|at| log.count("expired", at));
        assert_eq!(lines.count(), 0);
        assert_eq!(log.count("signature", 5_000), Some(1));
        assert_eq!(log.count("expired", 10_000), Some(10_000));
    }
}
