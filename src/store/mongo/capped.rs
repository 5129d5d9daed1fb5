//! Capped collections. MongoDB reads them in no transaction and says so as if it would pass (`SnapshotUnavailable`), so a
//! collection of which it has said so is looked at before it is read again.
//!
//! What becomes of changes of their documents is the server's to say: it refuses every write.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mongodb::bson::{Bson, Document, doc};

use super::{
    Base,
    failure::{Failure, code},
};

const SNAPSHOT_UNAVAILABLE: i32 = 246;

/// The collections that could not be read in a snapshot when this was tried last.
#[derive(Default)]
pub(super) struct Capped(Mutex<HashSet<String>>);

impl Capped {
    /// A panic while the lock was held leaves a set all the same.
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Base {
    /// Remembers why reading this collection failed, if that may be because it is capped.
    pub(super) fn suspect(&self, collection: &str, failure: &Failure) {
        if let Failure::Driver(error) = failure
            && code(error) == Some(SNAPSHOT_UNAVAILABLE)
        {
            self.capped.lock().insert(collection.to_owned());
        }
    }

    /// Whether the collection is capped, as far as it was ever suspected.
    pub(super) async fn is_capped(&self, collection: &str) -> Result<bool, Failure> {
        if !self.capped.lock().contains(collection) {
            return Ok(false);
        }
        let filter = doc! { "name": collection, "options.capped": true };
        let list = doc! { "listCollections": 1, "filter": filter, "nameOnly": false };
        let found: Document = self.in_time(self.database.run_command(list)).await?;
        let batch = found.get_document("cursor").ok();
        let batch = batch.and_then(|cursor| cursor.get("firstBatch"));
        let is_capped = batch
            .and_then(Bson::as_array)
            .is_some_and(|found| !found.is_empty());
        if !is_capped {
            self.capped.lock().remove(collection);
        }
        Ok(is_capped)
    }
}
