//! Which gateways are alive, and in which sessions they commit. A gateway that dies in the middle of a transaction
//! leaves its locks behind for a minute (`transactionLifetimeLimitSeconds`). The gateway that meets them ends the
//! sessions of the dead one.
//!
//! Only the server's clock decides which gateways are dead. A session that no dead gateway has listed is never ended:
//! other services may share the database user.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mongodb::{
    bson::{Bson, DateTime, Document, doc},
    options::ReadConcern,
};
use tidegate_core::generation::Generation;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use super::{
    MongoContext,
    error::{MongoError, code},
    names::{LIVE, LIVE_END, live_id},
};
use crate::{lock::Mutex, store::StoreError};

/// How often a gateway writes a heartbeat.
const BEAT: Duration = Duration::from_secs(5);

/// A gateway is dead when its last heartbeat is older than this.
const DEAD_AFTER_S: i32 = 8;

/// No transaction outlives its gateway for so long. After this time the record of a dead gateway is removed.
const FORGOTTEN_AFTER_S: i32 = 300;

/// Records of the dead are removed with every twelfth beat, which is once a minute.
const BEATS_BETWEEN_REMOVALS: u32 = 12;

/// The least time between two looks for dead gateways, however many transactions meet locks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The most dead gateways that one look considers, the last to die first.
const DEAD_MAX: i64 = 100;

/// The most gateways whose sessions an importer passes by. It compares the commits of the others.
const GATEWAYS_MAX: i64 = 1_000;

/// What a gateway knows of its own record and of others'.
pub(super) struct GatewayRecords {
    /// The key of its record.
    id: String,
    checked_at: Mutex<Option<Instant>>,
    /// The dead gateways whose sessions were ended, with their last heartbeats. The log names each death once.
    ended: Mutex<HashMap<String, DateTime>>,
    has_been_refused: AtomicBool,
}

impl GatewayRecords {
    pub(super) fn new(gateway: u64) -> Self {
        Self {
            id: live_id(gateway),
            checked_at: Mutex::default(),
            ended: Mutex::default(),
            has_been_refused: AtomicBool::new(false),
        }
    }

    /// The name of the gateway.
    pub(super) fn name(&self) -> &str {
        self.id.trim_start_matches(LIVE)
    }

    /// Whether a gateway that has met a lock may look for dead gateways now.
    fn may_check(&self) -> bool {
        let mut looked_at = self.checked_at.lock();
        let now = Instant::now();
        let was_just_now = looked_at.is_some_and(|looked_at| now - looked_at < CHECK_INTERVAL);
        if !was_just_now {
            *looked_at = Some(now);
        }
        !was_just_now
    }

    /// Remembers gateways whose sessions were ended. Returns how many of them are new.
    fn remember(&self, dead: Vec<(String, DateTime)>) -> usize {
        let mut ended = self.ended.lock();
        let is_new = |(id, beat): &&(String, DateTime)| ended.get(id) != Some(beat);
        let new = dead.iter().filter(is_new).count();
        *ended = dead.into_iter().collect();
        new
    }
}

/// Writes heartbeats for as long as it is polled.
pub(super) async fn beat(context: Arc<MongoContext>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut has_failed = false;
    for count in 0_u32.. {
        beats.tick().await;
        let mut written = context.beat().await;
        if count.is_multiple_of(BEATS_BETWEEN_REMOVALS) && written.is_ok() {
            written = context.forget_the_dead().await;
        }
        let error = written.err().map(StoreError::from);
        if let (Some(error), false) = (&error, has_failed) {
            tracing::warn!(%error, "other gateways cannot see that this one lives");
        }
        has_failed = error.is_some();
    }
}

impl MongoContext {
    /// Writes a heartbeat at the server's time, with the generation of this gateway's model and the sessions of its
    /// commits.
    pub(super) async fn beat(&self) -> Result<(), MongoError> {
        let Generation(generation) = self.models.own();
        let beat = doc! {
            "$set": {
                "generation": i64::from(generation),
                "sessions": self.local_commits.may_hold_locks(),
            },
            "$currentDate": { "at": true },
        };
        let record = doc! { "_id": &self.live.id };
        let records = self.state();
        self.in_time(records.update_one(record, beat).upsert(true))
            .await?;
        Ok(())
    }

    async fn forget_the_dead(&self) -> Result<(), MongoError> {
        let records = self.state();
        self.in_time(records.delete_many(silent_for(FORGOTTEN_AFTER_S)))
            .await?;
        Ok(())
    }

    /// Whether a gateway with a later model was live within this time. A heartbeat of the future was written before the
    /// server's clock was set.
    pub(super) async fn has_later(&self, within: Duration) -> Result<bool, MongoError> {
        let Generation(own) = self.models.own();
        let within = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let age = doc! { "$abs": { "$subtract": ["$$NOW", "$at"] } };
        let later = doc! {
            "_id": { "$gte": LIVE, "$lt": LIVE_END },
            "generation": { "$gt": i64::from(own) },
            "$expr": { "$lte": [age, within] },
        };
        let records = self.state();
        let find = records
            .find_one(later)
            .read_concern(ReadConcern::majority());
        Ok(self.in_time(find).await?.is_some())
    }

    /// The sessions in which gateways of the same model commit, as the first [`GATEWAYS_MAX`] of them list these. What the
    /// others commit has to be compared: they keep fields that they do not know, and may read a document otherwise.
    pub(super) async fn listed_sessions(&self) -> Result<Vec<Bson>, MongoError> {
        let Generation(own) = self.models.own();
        let listed = doc! {
            "_id": { "$gte": LIVE, "$lt": LIVE_END },
            "generation": i64::from(own),
        };
        let records = self.state();
        let find = records
            .find(listed)
            .sort(doc! { "_id": 1 })
            .limit(GATEWAYS_MAX)
            .read_concern(ReadConcern::local());
        let found = self.all(find).await?;
        Ok(found.iter().flat_map(sessions_in).cloned().collect())
    }

    /// What has met a lock calls this. Ends the sessions of dead gateways, if it is time to look for them. A failure
    /// here does not end the caller.
    pub(super) async fn met_lock(&self) {
        if !self.live.may_check() {
            return;
        }
        if let Err(failure) = self.end_the_dead().await
            && !self.live.has_been_refused.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                ?failure,
                "sessions of dead gateways cannot be ended; MongoDB ends their transactions by itself, after transactionLifetimeLimitSeconds"
            );
        }
    }

    async fn end_the_dead(&self) -> Result<(), MongoError> {
        let records = self.state();
        let find = records
            .find(silent_for(DEAD_AFTER_S))
            .sort(doc! { "at": -1 })
            .limit(DEAD_MAX)
            .read_concern(ReadConcern::local());
        let found = self.all(find).await?;
        let others = found.iter().filter_map(|record| {
            let id = record.get_str("_id").ok()?;
            (id != self.live.id).then_some((id, record))
        });
        let (mut dead, mut sessions) = (Vec::new(), Vec::new());
        for (id, record) in others {
            let listed = sessions_in(record);
            sessions.extend(listed.map(|session| Bson::from(doc! { "id": session })));
            let beat = record.get_datetime("at").copied();
            dead.push((id.to_owned(), beat.unwrap_or(DateTime::MIN)));
        }
        // Without a list the command would end all sessions of the user.
        if sessions.is_empty() {
            return Ok(());
        }
        self.in_time(self.database.run_command(doc! { "killSessions": sessions }))
            .await?;
        let gateways = self.live.remember(dead);
        if gateways > 0 {
            tracing::warn!(
                gateways,
                "gateways are gone, and their sessions are ended: a transaction of theirs may have held a lock"
            );
        }
        Ok(())
    }
}

/// Whether another transaction, or one that waits for it, holds a lock.
pub(super) fn is_lock(failure: &MongoError) -> bool {
    const LOCK_TIMEOUT: i32 = 24;
    const WRITE_CONFLICT: i32 = 112;
    match failure {
        MongoError::Driver(error) => {
            code(error).is_some_and(|code| [LOCK_TIMEOUT, WRITE_CONFLICT].contains(&code))
        }
        MongoError::Statement(error) => error.code == WRITE_CONFLICT,
        _ => false,
    }
}

fn sessions_in(record: &Document) -> impl Iterator<Item = &Bson> {
    let listed = record.get_array("sessions").map(Vec::as_slice);
    listed.unwrap_or_default().iter()
}

/// The records of gateways that are not dead.
pub(super) fn alive() -> Document {
    let mut alive = silent_for(DEAD_AFTER_S);
    let silent = alive.remove("$expr");
    alive.insert("$expr", doc! { "$not": [silent] });
    alive
}

/// The records of gateways whose last heartbeat is older.
fn silent_for(seconds: i32) -> Document {
    let then =
        doc! { "$dateSubtract": { "startDate": "$$NOW", "unit": "second", "amount": seconds } };
    doc! { "_id": { "$gte": LIVE, "$lt": LIVE_END }, "$expr": { "$lt": ["$at", then] } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_dead_are_looked_for_once_a_second() {
        let live = GatewayRecords::new(7);
        assert!(live.may_check());
        assert!(!live.may_check());
        tokio::time::advance(CHECK_INTERVAL).await;
        assert!(live.may_check());
    }

    #[test]
    fn each_death_is_logged_once() {
        let live = GatewayRecords::new(7);
        let death = |id: &str, ms| (id.to_owned(), DateTime::from_millis(ms));
        assert_eq!(live.remember(vec![death("a", 1), death("b", 1)]), 2);
        assert_eq!(live.remember(vec![death("a", 1), death("b", 2)]), 1);
        assert_eq!(live.remember(vec![death("a", 1)]), 0);
    }
}
