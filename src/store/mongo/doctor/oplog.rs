//! How far back the oplog reaches. A gateway that was away for longer finds what others wrote by a scan of everything.

use futures_util::TryStreamExt;
use mongodb::{
    Database,
    bson::{Document, doc},
    error::Error,
};

use super::{
    super::{
        MongoContext,
        error::{MongoError, UNAUTHORIZED, code, loggable},
    },
    Finding, Topic,
};

/// A day: the least that MongoDB's own documentation advises.
const WINDOW_MIN_S: u32 = 24 * 60 * 60;
/// MongoDB truncates the oplog some time before or after it has reached its size.
const FULL: f64 = 0.9;

impl MongoContext {
    pub(super) async fn oplog(&self) -> Result<Finding, MongoError> {
        if !self.optimistic_inserts {
            let message = "the oplogs of the shards cannot be read through a router; see that each reaches back a day";
            return Ok(Finding::warning(Topic::Oplog, message));
        }
        let local = self.client.database("local");
        let ends = self.in_time(ends(&local)).await;
        let is_full = match self.in_time(is_full(&local)).await {
            Err(MongoError::Driver(error)) if code(&error) == Some(UNAUTHORIZED) => {
                return Ok(unread(&error));
            }
            is_full => is_full.unwrap_or(true),
        };
        let imported = self.imported_until().await?;
        Ok(match ends {
            Ok(ends) => judge(ends, is_full, imported),
            Err(MongoError::Driver(error)) => unread(&error),
            Err(error) => return Err(error),
        })
    }
}

impl MongoContext {
    /// How far the oplog reaches back, in seconds; `None` behind a router, or if the user may not read it.
    pub(in crate::store::mongo) async fn oplog_window_s(&self) -> Option<u64> {
        if !self.optimistic_inserts {
            return None;
        }
        let local = self.client.database("local");
        let (oldest, newest) = self.in_time(ends(&local)).await.ok()?;
        Some(newest.saturating_sub(oldest).into())
    }
}

/// The times of the oldest and the newest entry, in seconds.
async fn ends(local: &Database) -> Result<(u32, u32), Error> {
    let oplog = local.collection::<Document>("oplog.rs");
    let at = async |order: i32| {
        let end = oplog.find_one(doc! {}).sort(doc! { "$natural": order });
        let end = end.projection(doc! { "ts": 1 }).await?.unwrap_or_default();
        Ok::<_, Error>(end.get_timestamp("ts").map_or(0, |at| at.time))
    };
    Ok((at(1).await?, at(-1).await?))
}

/// Whether old entries are removed already.
async fn is_full(local: &Database) -> Result<bool, Error> {
    let stats = doc! { "$collStats": { "storageStats": {} } };
    let oplog = local.collection::<Document>("oplog.rs");
    let mut stats = oplog.aggregate([stats]).await?;
    let stats = stats.try_next().await?.unwrap_or_default();
    let stats = stats
        .get_document("storageStats")
        .cloned()
        .unwrap_or_default();
    let number = |name| {
        let found = stats.get(name)?;
        let whole = found.as_i64().or(found.as_i32().map(i64::from));
        whole.map(|whole| whole as f64).or(found.as_f64())
    };
    let filled = number("size").zip(number("maxSize"));
    Ok(filled.is_none_or(|(size, max)| size >= max * FULL))
}

/// `imported` is the time of the importer's position.
fn judge((oldest, newest): (u32, u32), is_full: bool, imported: Option<u32>) -> Finding {
    let seconds = newest.saturating_sub(oldest);
    let window = duration(seconds);
    if imported.is_some_and(|imported| imported < oldest) {
        let message = format!(
            "the oplog reaches back {window}, and the importer's position is older; enlarge it (replSetResizeOplog), and let a gateway run, which scans all documents"
        );
        return Finding::warning(Topic::Oplog, message);
    }
    if !is_full {
        let message = format!("the oplog reaches back {window}, and has room for more");
        return Finding::good(Topic::Oplog, message);
    }
    if seconds >= WINDOW_MIN_S {
        return Finding::good(Topic::Oplog, format!("the oplog reaches back {window}"));
    }
    let message = format!(
        "the oplog reaches back only {window}; enlarge it (replSetResizeOplog): when no gateway runs for longer than that, the next one has to scan all documents"
    );
    Finding::warning(Topic::Oplog, message)
}

fn unread(error: &Error) -> Finding {
    let message = match code(error) {
        Some(UNAUTHORIZED) => "how far back the oplog reaches is not known: the user may not read it; to let it, in mongosh: db.grantRolesToUser(user, [{role: \"read\", db: \"local\"}])".to_owned(),
        _ => format!("how far back the oplog reaches is not known; see why it cannot be read: {}", loggable(error)),
    };
    Finding::warning(Topic::Oplog, message)
}

/// In the largest unit that it fills twice.
pub(super) fn duration(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::finding::Level;

    #[test]
    fn only_an_oplog_that_loses_entries_can_be_too_short() {
        let level =
            |seconds, is_full, imported| judge((1_000, 1_000 + seconds), is_full, imported).level;
        assert_eq!(level(60, false, None), Level::Good);
        assert_eq!(level(WINDOW_MIN_S, true, None), Level::Good);
        assert_eq!(level(WINDOW_MIN_S, true, Some(1_000)), Level::Good);
        assert_eq!(level(WINDOW_MIN_S, true, Some(999)), Level::Warning);
        let short = judge((0, 3 * 60 * 60), true, None);
        assert_eq!(short.level, Level::Warning);
        assert!(short.message.contains("only 3 h;"), "{}", short.message);
    }
}
