//! The gateway's clock against MongoDB's.

use mongodb::bson::doc;
use tidegate_core::value::Timestamp;

use super::{
    super::{MongoContext, error::MongoError},
    Finding, Topic,
};

/// Clocks that are kept by NTP differ by a few milliseconds.
const APART_MAX_MS: i64 = 1_000;
/// Tokens that are just issued are refused by then, and edits get times that no user recognises.
const FAR_APART_MS: i64 = 60_000;

impl MongoContext {
    pub(super) async fn clock(&self, now: impl Fn() -> Timestamp) -> Result<Finding, MongoError> {
        Ok(judge(self.clock_offset_ms(now).await?))
    }

    /// How far the gateway's clock is ahead of the server's.
    pub(in crate::store::mongo) async fn clock_offset_ms(
        &self,
        now: impl Fn() -> Timestamp,
    ) -> Result<i64, MongoError> {
        let before = now();
        let admin = self.client.database("admin");
        let hello = self.in_time(admin.run_command(doc! { "hello": 1 })).await?;
        let after = now();
        let theirs = hello.get_datetime("localTime").ok();
        let theirs = theirs.map_or(before.ms(), |time| time.timestamp_millis());
        Ok(offset(before.ms(), theirs, after.ms()))
    }
}

/// The server read its clock at some time between `before` and `after`.
fn offset(before: i64, theirs: i64, after: i64) -> i64 {
    match (theirs > after, theirs < before) {
        (true, _) => after - theirs,
        (_, true) => before - theirs,
        _ => 0,
    }
}

fn judge(offset_ms: i64) -> Finding {
    let apart = offset_ms.abs();
    if apart <= APART_MAX_MS {
        return Finding::good(
            Topic::Clock,
            "the clocks of this machine and of MongoDB agree",
        );
    }
    let side = if offset_ms < 0 { "behind" } else { "ahead of" };
    let message = format!(
        "this machine's clock is {} s {side} MongoDB's; set both by NTP: tokens, the times of edits and the retention of tombstones depend on it",
        apart / 1_000
    );
    match apart > FAR_APART_MS {
        true => Finding::problem(Topic::Clock, message),
        false => Finding::warning(Topic::Clock, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::finding::Level;

    #[test]
    fn the_time_that_the_answer_takes_is_no_difference() {
        assert_eq!(judge(offset(0, 2_500, 5_000)).level, Level::Good);
        assert_eq!(judge(offset(0, 6_000, 5_000)).level, Level::Good);
        let late = judge(offset(10_000, 13_000, 10_010));
        assert_eq!(late.level, Level::Warning);
        assert!(
            late.message
                .starts_with("this machine's clock is 2 s behind")
        );
        let early = judge(offset(100_000, 10_000, 100_010));
        assert_eq!(early.level, Level::Problem);
        assert!(
            early
                .message
                .starts_with("this machine's clock is 90 s ahead")
        );
    }
}
