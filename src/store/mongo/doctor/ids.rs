//! All `_id`s that are not of the model's `idType`, as far as they are found in time.

use futures_util::TryStreamExt;
use mongodb::{
    bson::{Bson, RawDocumentBuf, doc},
    error::Error,
};
use tidegate_core::id::IdType;
use tokio::time::{Duration, timeout};

use super::{
    super::{MongoContext, error::MongoError, layout::is_id, server::SyncedCollection},
    Finding, Topic, or_good,
};
use crate::store::finding::Examples;

/// How long one collection is read.
const READ_MAX: Duration = Duration::from_secs(10);

/// How many odd ids a collection has, and the first of them.
#[derive(Default)]
struct OddIds {
    found: Examples,
    /// Whether there may be more.
    is_cut: bool,
}

impl MongoContext {
    pub(super) async fn odd_ids(&self) -> Result<Vec<Finding>, MongoError> {
        let plain = self.database.list_collection_names();
        let plain = plain.filter(doc! { "type": "collection" });
        let plain = self.in_time(plain).await?;
        let mut findings = Vec::new();
        for collection in self.layout.synced_collections() {
            if plain.contains(&collection.name) {
                let odd = self.odd_ids_of(&collection).await?;
                findings.extend(odd.finding(&collection));
            }
        }
        let good = "all _ids are of the model's idType";
        Ok(or_good(findings, Topic::Ids, good))
    }

    async fn odd_ids_of(&self, collection: &SyncedCollection) -> Result<OddIds, MongoError> {
        let id_type = collection.id_type;
        let suspect = doc! { "_id": { "$type": suspect_types(id_type) } };
        let ids = self.database.collection::<RawDocumentBuf>(&collection.name);
        let find = ids.find(suspect).projection(doc! { "_id": 1 });
        let find = find.max_time(READ_MAX * 2);
        let mut odd = OddIds::default();
        let read = async {
            let mut found = find.await?;
            while let Some(document) = found.try_next().await? {
                odd.take(&document, id_type);
            }
            Ok::<_, Error>(())
        };
        match timeout(READ_MAX, read).await {
            Ok(read) => read?,
            Err(_) => odd.is_cut = true,
        }
        Ok(odd)
    }
}

impl OddIds {
    fn take(&mut self, document: &RawDocumentBuf, id_type: IdType) {
        let Ok(Some(id)) = document.get("_id") else {
            return;
        };
        if !is_id(id_type, id) {
            let shown = || {
                Bson::try_from(id).map_or_else(
                    |_| "one that cannot be read".to_owned(),
                    |id| id.to_string(),
                )
            };
            self.found.take(shown);
        }
    }

    fn finding(self, collection: &SyncedCollection) -> Option<Finding> {
        let SyncedCollection { name, id_type } = collection;
        let seconds = READ_MAX.as_secs();
        let Examples { count, first } = self.found;
        let message = match (count, self.is_cut) {
            (0, false) => return None,
            (0, true) => {
                let message = format!(
                    "the _ids of the collection {name} that were read in {seconds} s are of the model's idType {id_type}; the others were not looked at"
                );
                return Some(Finding::good(Topic::Ids, message));
            }
            (count, is_cut) => {
                let least = if is_cut { "at least " } else { "" };
                format!(
                    "{least}{count} _ids of the collection {name} are not of the model's idType {id_type}, and their documents are withheld; give these documents other _ids, or change idType if it fits the others"
                )
            }
        };
        Some(Finding::warning(Topic::Ids, message).about(count, first))
    }
}

/// The BSON types of which not every `_id` fits, by MongoDB's names. The index gives them without the others.
fn suspect_types(id_type: IdType) -> Vec<&'static str> {
    const ALL: [&str; 18] = [
        "minKey",
        "double",
        "int",
        "long",
        "decimal",
        "symbol",
        "string",
        "object",
        "binData",
        "objectId",
        "bool",
        "date",
        "timestamp",
        "null",
        "undefined",
        "dbPointer",
        "javascript",
        "maxKey",
    ];
    let sure: &[&str] = match id_type {
        IdType::String => &["string"],
        IdType::ObjectId => &["objectId"],
        // A binary value may be of another subtype.
        IdType::Uuid => &[],
        IdType::Int => &["int", "long"],
    };
    let all = ALL.into_iter();
    all.filter(|name| !sure.contains(name)).collect()
}
