//! Whether the `_id`s of a collection are of the model's `idType`. With ids of another type, a push would make a second
//! document beside the one that it means.
//!
//! A start looks at a bounded number of them. [`crate::store::mongo`]'s `doctor` looks for all that do not fit.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::{
    Client, Collection,
    bson::{Document, RawDocument, RawDocumentBuf, doc, raw::RawBsonRef},
    error::Error,
};
use tidegate_core::id::IdType;
use tokio::time::Duration;

use super::{ServerRequirements, SyncedCollection, collections::is_plain};
use crate::store::{
    finding::{Finding, Topic},
    mongo::{error::loggable, layout::is_id, legacy_uuids::is_legacy_uuid},
};

/// The number of ids that are read at each end of the `_id` index. Ids of one BSON type stand beside each other there.
const AT_EACH_END: i64 = 100;
/// The number of ids that are read at random too, if most of those at the ends do not fit. It is so much larger that
/// they decide.
const AT_RANDOM: i64 = 1_000;
const SAMPLE_MAX: Duration = Duration::from_secs(5);
/// How many collections are looked at at the same time.
const AT_ONCE: usize = 8;

/// What is found in the collections that exist.
pub(super) async fn sample(
    client: &Client,
    existing: &[Document],
    needs: &ServerRequirements,
) -> Vec<Finding> {
    let database = client.database(&needs.database);
    let is_read = |collection: &&SyncedCollection| {
        let of = |described: &&Document| {
            let name = described.get_str("name");
            name.is_ok_and(|name| name == collection.name)
        };
        existing.iter().find(of).is_some_and(is_plain)
    };
    let samples = needs.application.iter().filter(is_read).map(|collection| {
        let ids = database.collection(&collection.name);
        async move {
            match IdSample::of(&ids, collection.id_type).await {
                Ok(sample) => sample.judge(&collection.name, collection.id_type),
                Err(error) => Some(unread(&collection.name, &error)),
            }
        }
    });
    let found = stream::iter(samples).buffered(AT_ONCE);
    let found: Vec<Finding> = found.filter_map(|found| async { found }).collect().await;
    match found.is_empty() {
        true => vec![Finding::good(
            Topic::Ids,
            "the _ids that were looked at are of the model's idType",
        )],
        false => found,
    }
}

fn unread(name: &str, error: &Error) -> Finding {
    let error = loggable(error);
    let message = format!(
        "the _ids of the collection {name} cannot be read: {error}; run `tidegate doctor` again"
    );
    Finding::warning(Topic::Ids, message)
}

/// Documents with an `_id` and nothing else.
struct IdSample(BTreeSet<Vec<u8>>);

impl IdSample {
    /// The ids at both ends of the index. A few odd ones may stand there before all others. If most do not fit, ids at
    /// random are added.
    async fn of(collection: &Collection<RawDocumentBuf>, id_type: IdType) -> Result<Self, Error> {
        let mut sample = Self(BTreeSet::new());
        for order in [1, -1] {
            let found = collection
                .find(doc! {})
                .sort(doc! { "_id": order })
                .limit(AT_EACH_END)
                .projection(doc! { "_id": 1 })
                .max_time(SAMPLE_MAX);
            sample.add(found.await?.try_collect().await?);
        }
        if sample.is_of_another_type(id_type) {
            let pipeline = [
                doc! { "$sample": { "size": AT_RANDOM } },
                doc! { "$project": { "_id": 1 } },
            ];
            let found = collection.aggregate(pipeline).max_time(SAMPLE_MAX);
            let found = found.with_type::<RawDocumentBuf>().await?;
            sample.add(found.try_collect().await?);
        }
        Ok(sample)
    }

    fn add(&mut self, found: Vec<RawDocumentBuf>) {
        let found = found.into_iter().map(RawDocumentBuf::into_bytes);
        self.0.extend(found);
    }

    fn judge(&self, name: &str, id_type: IdType) -> Option<Finding> {
        let (odd, all) = (self.odd(id_type), self.0.len());
        if odd == 0 {
            return None;
        }
        let mut found = format!(
            "{odd} of {all} _ids that were looked at in the collection {name} are not of the model's idType {id_type}"
        );
        let legacy = self.count(is_legacy_uuid);
        if legacy > 0 {
            found += &format!(
                ", and {legacy} of them are legacy UUIDs (binary subtype 3), which drivers read differently: give these documents _ids of subtype 4"
            );
        }
        if !self.is_of_another_type(id_type) {
            let message = format!("{found}; their documents are withheld from clients");
            return Some(Finding::warning(Topic::Ids, message));
        }
        let others = IdType::NAMES.into_iter();
        let fits = others.map(|(name, other)| (all - self.odd(other), name));
        let advice = match fits.max() {
            Some((fitting, other)) if fitting * 2 > all => {
                format!("{fitting} of them are: write @collection(name: \"{name}\", idType: {other})")
            }
            _ => "no idType fits most of them: take the type out of the model, or give its documents other _ids".to_owned(),
        };
        let message = format!(
            "{found}, so that a push would make a second document beside the first; {advice}"
        );
        Some(Finding::obstacle(Topic::Ids, message))
    }

    /// One bad document stops nothing, so a start is refused by a majority only.
    fn is_of_another_type(&self, id_type: IdType) -> bool {
        self.odd(id_type) * 2 > self.0.len()
    }

    fn odd(&self, id_type: IdType) -> usize {
        self.0.len() - self.count(|id| is_id(id_type, id))
    }

    fn count(&self, is_such: impl Fn(RawBsonRef<'_>) -> bool) -> usize {
        let is_such = |bytes: &&Vec<u8>| {
            let id = RawDocument::from_bytes(bytes).ok();
            let id = id.and_then(|document| document.get("_id").ok().flatten());
            id.is_some_and(&is_such)
        };
        self.0.iter().filter(is_such).count()
    }
}
