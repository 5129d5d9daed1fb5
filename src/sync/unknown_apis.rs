//! The log of apps that name an API which no gateway of the store had: one line a minute for all of them.
//!
//! Any user can send any hash. So the table of hashes is bounded, and begins again with each line.

use std::{collections::BTreeMap, time::Duration};

use tidegate_core::{id::ApiHash, value::Timestamp};
use tokio::time::Instant;

/// The least time between two lines.
const LINE_AFTER: Duration = Duration::from_secs(60);

/// The most hashes that a line names.
const NAMED_MAX: usize = 8;

/// What was refused since the last line.
#[derive(Default)]
pub(super) struct UnknownApis {
    named: BTreeMap<ApiHash, u64>,
    /// Operations with further hashes.
    others: u64,
    since: Option<Timestamp>,
    last_line: Option<Instant>,
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) struct UnknownApisLine {
    /// Each hash with the number of its operations.
    named: Vec<(ApiHash, u64)>,
    others: u64,
    since: Timestamp,
}

impl UnknownApis {
    /// Counts a refused operation. Returns the line that is due with it.
    pub(super) fn add(
        &mut self,
        api: ApiHash,
        now: Timestamp,
        at: Instant,
    ) -> Option<UnknownApisLine> {
        let since = *self.since.get_or_insert(now);
        let has_room = self.named.len() < NAMED_MAX || self.named.contains_key(&api);
        match has_room {
            true => *self.named.entry(api).or_default() += 1,
            false => self.others += 1,
        }
        let waits = |last: Instant| at.duration_since(last) < LINE_AFTER;
        if self.last_line.is_some_and(waits) {
            return None;
        }
        let counted = std::mem::take(self);
        self.last_line = Some(at);
        Some(UnknownApisLine {
            named: counted.named.into_iter().collect(),
            others: counted.others,
            since,
        })
    }
}

impl UnknownApisLine {
    pub(super) fn log(&self) {
        let named = self.named.iter();
        let named: Vec<_> = named
            .map(|(api, count)| format!("{api}: {count}"))
            .collect();
        tracing::warn!(
            operations = named.join(", "),
            others = self.others,
            since = %self.since,
            "apps were made for an API that no gateway of this store had, and operations of theirs do not fit"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(number: u64) -> ApiHash {
        ApiHash((u128::from(number)).to_be_bytes())
    }

    #[test]
    fn a_line_a_minute_names_a_few_hashes_and_counts_the_rest() {
        let mut unknown = UnknownApis::default();
        let begun = Instant::now();
        let at = |second: u64| begun + Duration::from_secs(second);
        let ms = |second: i64| Timestamp::from_ms(1_000 * second).unwrap();
        let first = unknown.add(api(1), ms(0), at(0)).unwrap();
        assert_eq!((first.named, first.others), (vec![(api(1), 1)], 0));
        for number in 0..10_000 {
            assert_eq!(unknown.add(api(number % 1_000), ms(1), at(1)), None);
        }
        assert_eq!(unknown.add(api(7), ms(59), at(59)), None);
        let line = unknown.add(api(2_000), ms(60), at(60)).unwrap();
        let named: Vec<_> = (0..8)
            .map(|number| (api(number), 10 + u64::from(number == 7)))
            .collect();
        let expected = UnknownApisLine {
            named,
            others: 10_000 - 80 + 1,
            since: ms(1),
        };
        assert_eq!(line, expected);
        // A crowd of hashes in one minute hides none of the next.
        assert_eq!(unknown.add(api(2_000), ms(61), at(61)), None);
        let line = unknown.add(api(2_000), ms(121), at(121)).unwrap();
        assert_eq!((line.named, line.others), (vec![(api(2_000), 2)], 0));
    }
}
