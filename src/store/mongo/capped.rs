//! Capped collections. MongoDB cannot read them in a transaction, and reports that as a transient error
//! (`SnapshotUnavailable`). After that error a collection's options are read before the collection itself is read
//! again.
//!
//! The server decides about writes to their documents: it refuses each.

use std::collections::HashSet;

use mongodb::bson::{Bson, Document, doc};

use super::{
    MongoContext,
    error::{MongoError, SNAPSHOT_UNAVAILABLE, code},
};

use crate::lock::Mutex;

/// The collections whose last read in a snapshot failed.
#[derive(Default)]
pub(super) struct Capped(Mutex<HashSet<String>>);

impl MongoContext {
    /// Remembers why a read of this collection failed, if that may be because it is capped.
    pub(super) fn suspect(&self, collection: &str, failure: &MongoError) {
        if let MongoError::Driver(error) = failure
            && code(error) == Some(SNAPSHOT_UNAVAILABLE)
        {
            self.capped.0.lock().insert(collection.to_owned());
        }
    }

    /// Whether the collection is capped. Only a suspected collection is looked up.
    pub(super) async fn is_capped(&self, collection: &str) -> Result<bool, MongoError> {
        if !self.capped.0.lock().contains(collection) {
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
            self.capped.0.lock().remove(collection);
        }
        Ok(is_capped)
    }
}
