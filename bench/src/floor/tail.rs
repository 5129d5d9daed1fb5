//! The floor of a live change: the change stream of the feed, as the driver returns it.

use futures_util::StreamExt;
use mongodb::{
    bson::RawDocumentBuf,
    change_stream::{ChangeStream, event::ChangeStreamEvent},
};

use super::Floor;

pub(crate) struct Tail(ChangeStream<ChangeStreamEvent<RawDocumentBuf>>);

impl Floor {
    pub(crate) async fn tail(&self) -> Tail {
        let feed = self.database.collection::<RawDocumentBuf>("feed");
        Tail(feed.watch().await.unwrap())
    }
}

impl Tail {
    /// Waits for the next entry.
    pub(crate) async fn next(&mut self) {
        let event = self.0.next().await.unwrap().unwrap();
        event.full_document.unwrap();
    }
}
