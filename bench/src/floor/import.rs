//! The floor of an import: reads the documents of a collection and writes an entry for each, in transactions as large as
//! the gateway's, with nothing compared.

use futures_util::TryStreamExt;
use mongodb::{
    Database,
    bson::{Document, RawDocumentBuf, doc, rawdoc},
};

use super::{Floor, push::durable_snapshot, records};
use crate::documents::Edit;

/// The documents of a transaction.
const BATCH: usize = 500;

/// The documents of an insert that fills a collection.
const FILLED: usize = 5_000;

/// How many teams share the documents.
pub(crate) const TEAMS: usize = 100;

/// The team of a document.
fn scope(number: usize) -> String {
    format!("team:{}", number % TEAMS)
}

/// Fills a collection as another service would.
pub(crate) async fn fill(database: &Database, documents: usize) {
    let tasks = database.collection::<RawDocumentBuf>("tasks");
    for first in (0..documents).step_by(FILLED) {
        let numbers = first..documents.min(first + FILLED);
        let made = numbers.map(|number| records::document(&created(number), &scope(number)));
        tasks.insert_many(made).ordered(false).await.unwrap();
    }
}

fn created(number: usize) -> Edit {
    Edit { number, version: 1 }
}

impl Floor {
    /// Imports the documents that its database was filled with.
    pub(crate) async fn import(&self, documents: usize) {
        let database = &self.database;
        let tasks = database.collection::<RawDocumentBuf>("tasks");
        let found = tasks.find(doc! {}).sort(doc! {"_id": 1});
        let found = found
            .batch_size(u32::try_from(BATCH).unwrap())
            .await
            .unwrap();
        let mut batches = found.try_chunks(BATCH);
        let mut session = database.client().start_session().await.unwrap();
        let mut number = 0;
        while let Some(batch) = batches.try_next().await.unwrap() {
            let entries = batch.iter().enumerate().map(|(i, _)| {
                let number = number + i;
                records::entry(&created(number), &scope(number), number as i64)
            });
            let entries: Vec<_> = entries.collect();
            number += batch.len();
            let start = session.start_transaction();
            start.with_options(durable_snapshot()).await.unwrap();
            let feed = database.collection::<RawDocumentBuf>("feed");
            let insert = feed.insert_many(entries).session(&mut session);
            insert.await.unwrap();
            let heads = (0..TEAMS).map(|team| {
                rawdoc! {"q": {"_id": scope(team)}, "u": {"h": number as i64}, "upsert": true}
            });
            let heads: mongodb::bson::RawArrayBuf = heads.collect();
            let update = rawdoc! {"update": "scopes", "updates": heads};
            let update = database.run_raw_command(update).session(&mut session);
            let _: Document = update.await.unwrap();
            session.commit_transaction().await.unwrap();
        }
        assert_eq!(number, documents);
    }
}
