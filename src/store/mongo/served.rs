//! What is found out of a database before its store is opened, and the note of the model it was last served with. The
//! store itself reads neither.

use mongodb::{
    bson::{Document, doc},
    options::{ClientOptions, ConnectionString, ReadConcern},
};
use tidegate_core::model::Model;

use super::{
    Base, MongoOptions, MongoStore,
    layout::Layout,
    opening::connect,
    places::{Places, SERVED_MODEL},
    server, within,
};
use crate::store::StoreError;

/// What the driver makes of a URL; the hosts of a `mongodb+srv` URL are looked up.
///
/// # Errors
/// [`StoreError`] when they are not found, or its options go against one another.
pub async fn client_options(url: ConnectionString) -> Result<ClientOptions, StoreError> {
    let options = ClientOptions::parse(url).await;
    options.map_err(|error| server::of_options(&error).into())
}

impl MongoStore {
    /// Whether the database has a store; none is made. The server is examined as for an opening.
    ///
    /// # Errors
    /// As [`MongoStore::open`] has them.
    pub async fn exists(options: &MongoOptions, model: &Model) -> Result<bool, StoreError> {
        let places = Places::new(&options.prefix);
        let (client, _) = connect(options, &places, &Layout::of(model)).await?;
        let database = client.database(&options.database);
        let feed = database
            .list_collection_names()
            .filter(doc! { "name": &places.feed });
        let found = within(options.call_max, feed.into_future()).await?;
        Ok(!found.is_empty())
    }

    /// The text of the model that the store was last served with.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn served_model(&self) -> Result<Option<String>, StoreError> {
        let state = self.base.state();
        let find = state
            .find_one(doc! { "_id": SERVED_MODEL })
            .read_concern(ReadConcern::majority());
        let note = self.base.in_time(find).await?;
        Ok(note.and_then(|note| note.get_str("text").map(str::to_owned).ok()))
    }

    /// Keeps the text of the model that the store is served with from now on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn note_served_model(&self, text: &str) -> Result<(), StoreError> {
        let state = self.base.state();
        let note = doc! { "$set": { "text": text } };
        let update = state
            .update_one(doc! { "_id": SERVED_MODEL }, note)
            .upsert(true);
        self.base.in_time(update).await?;
        Ok(())
    }
}

impl Base {
    fn state(&self) -> mongodb::Collection<Document> {
        self.database.collection(&self.places.state)
    }
}
