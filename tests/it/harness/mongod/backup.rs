//! A backup of a database and its restore: all documents of all collections, as `mongodump` and `mongorestore` do it.

use futures_util::TryStreamExt;
use mongodb::{
    Database,
    bson::{RawDocumentBuf, doc},
};

/// A database as it was at one moment, if nothing was written meanwhile.
pub(crate) struct Backup(Vec<(String, Vec<RawDocumentBuf>)>);

impl Backup {
    pub(crate) async fn of(database: &Database) -> Self {
        let mut collections = Vec::new();
        for name in database.list_collection_names().await.unwrap() {
            let collection = database.collection::<RawDocumentBuf>(&name);
            let documents = collection.find(doc! {}).await.unwrap();
            collections.push((name, documents.try_collect().await.unwrap()));
        }
        Self(collections)
    }

    /// Replaces the documents of the collections. The collections and their indexes stay.
    pub(crate) async fn restore(&self, database: &Database) {
        for (name, documents) in &self.0 {
            let collection = database.collection::<RawDocumentBuf>(name);
            collection.delete_many(doc! {}).await.unwrap();
            if !documents.is_empty() {
                collection.insert_many(documents).await.unwrap();
            }
        }
    }
}
