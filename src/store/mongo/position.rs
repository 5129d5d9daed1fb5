//! The importer's position: a resume token, with what shows whether it belongs to this store and its history.
//!
//! MongoDB itself resumes from any token that it can read: from another server's, and from one of the future.

use mongodb::{
    bson::{Document, RawDocument, Timestamp, doc},
    raw_batch_cursor::RawBatch,
};

use super::{MongoContext, error::MongoError, opening::primary, reader::unreadable};
use crate::store::{
    StoreError,
    collections::{FollowError, ImportPosition},
};

/// Which store this is. A restored dump has another UUID, another cluster another name too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoreIdentity {
    /// The UUID of the state's collection.
    state: String,
    /// The name of the replica set; empty behind a router.
    set: String,
}

impl MongoContext {
    /// Which store this is, and the time of its last operation.
    pub(super) async fn store_identity(&self) -> Result<(StoreIdentity, Timestamp), MongoError> {
        let hello = self.database.run_command(doc! { "hello": 1 });
        let hello = self.in_time(hello.selection_criteria(primary())).await?;
        let mut found = self.collection_ids([self.names.state.as_str()]).await?;
        let state = found.remove(&self.names.state).ok_or_else(|| {
            let reason = format!("the collection {} is missing", self.names.state);
            MongoError::Final(StoreError::Unavailable(reason))
        })?;
        let set = hello.get_str("setName").unwrap_or_default().to_owned();
        let now = hello.get_timestamp("operationTime");
        Ok((StoreIdentity { state, set }, now.map_err(unreadable)?))
    }
}

impl StoreIdentity {
    /// The position behind a batch.
    pub(super) fn position(&self, batch: &RawBatch) -> Result<ImportPosition, MongoError> {
        let reply: &RawDocument = batch.as_raw_document();
        let token = reply
            .get_document("cursor")
            .and_then(|cursor| cursor.get_document("postBatchResumeToken"));
        let token = Document::try_from(token.map_err(unreadable)?)?;
        let at = reply.get_timestamp("operationTime").map_err(unreadable)?;
        let position = doc! { "token": token, "at": at, "state": &self.state, "set": &self.set };
        Ok(ImportPosition(position.to_vec()?))
    }

    /// Refuses another store than the one that was followed.
    pub(super) fn expect(&self, followed: &Self) -> Result<(), FollowError> {
        if self == followed {
            return Ok(());
        }
        let Self { state, set } = followed;
        Err(FollowError::Replaced(format!(
            "it is of the replica set {set:?} and the collection {state}, and this store is of {:?} and {}",
            self.set, self.state
        )))
    }

    /// The token of a position, if it is one of this store's past.
    pub(super) fn trusted(
        &self,
        ImportPosition(position): &ImportPosition,
        now: Timestamp,
    ) -> Result<Document, FollowError> {
        let unreadable = || FollowError::Lost("the position cannot be read".to_owned());
        let position = Document::from_reader(position.as_slice()).map_err(|_| unreadable())?;
        let text = |name| {
            let found = position.get_str(name).map_err(|_| unreadable());
            found.map(str::to_owned)
        };
        let (state, set) = (text("state")?, text("set")?);
        self.expect(&Self { state, set })?;
        let at = position.get_timestamp("at").map_err(|_| unreadable())?;
        if at > now {
            return Err(FollowError::Lost(
                "the position is later than the last operation of this store".to_owned(),
            ));
        }
        let token = position.get_document("token").map_err(|_| unreadable())?;
        Ok(token.clone())
    }
}
