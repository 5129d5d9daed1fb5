//! Heads and floors of scopes against the feed: no seq stands twice, none is above its scope's head, and no floor is.

use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    options::{AggregateOptions, Hint},
};
use tokio::time::{Duration, timeout};

use super::{
    super::{
        MongoContext,
        error::MongoError,
        names::{SCOPES, SCOPES_END},
    },
    Finding, Topic, or_good,
};
use crate::store::finding::EXAMPLES_MAX;

/// How long the whole feed may be read. The server sorts what is beyond its memory on its disk.
const READ_MAX: Duration = Duration::from_secs(600);

const ADVICE: &str = "restore Tidegate's collections and the application's from one moment, then run `tidegate rotate-epoch`";

impl MongoContext {
    /// `by_index` says that the feed has its indexes. Without them all of its records are read.
    pub(super) async fn heads(&self, by_index: bool) -> Result<Vec<Finding>, MongoError> {
        let checks = [
            (
                self.scopes_beyond_heads(by_index).await?,
                "have entries above their head, or a seq twice",
            ),
            (
                self.floors_beyond_heads().await?,
                "have a floor above their head",
            ),
        ];
        let findings = checks.into_iter().filter_map(|((count, first), what)| {
            let message = format!("{count} scopes {what}; {ADVICE}");
            let finding = Finding::problem(Topic::Heads, message).about(count, first);
            (count > 0).then_some(finding)
        });
        let good = "each scope's head is at the end of its feed, and no seq stands twice";
        Ok(or_good(findings.collect(), Topic::Heads, good))
    }

    /// A head is read after the feed, so that one which rises meanwhile is no finding.
    async fn scopes_beyond_heads(&self, by_index: bool) -> Result<(u64, Vec<String>), MongoError> {
        let pipeline = vec![
            doc! { "$group": { "_id": { "s": "$s", "q": "$q" }, "n": { "$sum": 1 } } },
            doc! { "$group": {
                "_id": "$_id.s", "last": { "$max": "$_id.q" }, "most": { "$max": "$n" },
            } },
            doc! { "$set": { "key": { "$concat": [SCOPES, "$_id"] } } },
            doc! { "$lookup": {
                "from": &self.names.state, "localField": "key", "foreignField": "_id", "as": "state",
            } },
            doc! { "$set": { "head": { "$ifNull": [{ "$first": "$state.h" }, 0] } } },
            doc! { "$match": { "$expr": { "$or": [
                { "$gt": ["$last", "$head"] }, { "$gt": ["$most", 1] },
            ] } } },
        ];
        let index = by_index.then(|| doc! { "s": 1, "t": 1, "q": 1 });
        self.counted(&self.names.feed, pipeline, index).await
    }

    async fn floors_beyond_heads(&self) -> Result<(u64, Vec<String>), MongoError> {
        let pipeline = vec![
            doc! { "$match": {
                "_id": { "$gte": SCOPES, "$lt": SCOPES_END }, "$expr": { "$gt": ["$f", "$h"] },
            } },
            doc! { "$set": { "_id": { "$substrBytes": ["$_id", SCOPES.len() as i32, -1] } } },
        ];
        self.counted(&self.names.state, pipeline, None).await
    }

    /// How many scopes a pipeline gives, and the first of them.
    async fn counted(
        &self,
        collection: &str,
        mut pipeline: Vec<Document>,
        index: Option<Document>,
    ) -> Result<(u64, Vec<String>), MongoError> {
        pipeline.push(doc! { "$group": {
            "_id": null, "count": { "$sum": 1 },
            "first": { "$firstN": { "input": "$_id", "n": EXAMPLES_MAX as i32 } },
        } });
        let options = AggregateOptions::builder()
            .allow_disk_use(true)
            .max_time(READ_MAX)
            .hint(index.map(Hint::Keys))
            .build();
        let collection = self.database.collection::<Document>(collection);
        let found = collection.aggregate(pipeline).with_options(options);
        let found = async { found.await?.try_next().await };
        let found = timeout(READ_MAX, found)
            .await
            .map_err(|_| MongoError::Late)??;
        let Some(found) = found else {
            return Ok((0, Vec::new()));
        };
        let count = found.get_i32("count").unwrap_or_default();
        let first = found
            .get_array("first")
            .map(Vec::as_slice)
            .unwrap_or_default();
        let first = first
            .iter()
            .filter_map(|scope| Some(scope.as_str()?.to_owned()));
        Ok((u64::from(count.unsigned_abs()), first.collect()))
    }
}
