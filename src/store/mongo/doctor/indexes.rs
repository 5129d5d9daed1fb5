//! The indexes of Tidegate's collections against those that a start makes.

use futures_util::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{Bson, Document},
};

use super::{
    super::{
        MongoContext,
        error::{MongoError, NAMESPACE_NOT_FOUND, UNAUTHORIZED, code},
    },
    Finding, Topic, or_good,
};

impl MongoContext {
    pub(in super::super) async fn indexes(&self) -> Result<Vec<Finding>, MongoError> {
        let mut findings = Vec::new();
        for (collection, expected) in self.own_indexes() {
            let of = self.database.collection::<Document>(&collection);
            let existing = async { of.list_indexes().await?.try_collect().await };
            let existing: Vec<IndexModel> = match self.in_time(existing).await {
                Err(MongoError::Driver(error)) if code(&error) == Some(NAMESPACE_NOT_FOUND) => {
                    Vec::new()
                }
                Err(MongoError::Driver(error)) if code(&error) == Some(UNAUTHORIZED) => {
                    findings.push(hidden(&collection));
                    continue;
                }
                existing => existing?,
            };
            let found = expected.iter();
            findings.extend(found.filter_map(|index| compare(&collection, index, &existing)));
        }
        let good = "Tidegate's collections have their indexes";
        Ok(or_good(findings, Topic::Indexes, good))
    }
}

fn hidden(collection: &str) -> Finding {
    let message = format!(
        "the indexes of the collection {collection} are not known: the user may not listIndexes on {collection}; grant it"
    );
    Finding::warning(Topic::Indexes, message)
}

fn compare(collection: &str, expected: &IndexModel, existing: &[IndexModel]) -> Option<Finding> {
    // Documents are equal whatever the order of their fields.
    let of_keys = existing.iter();
    let of_keys = of_keys.filter(|index| index.keys.iter().eq(expected.keys.iter()));
    let of_keys: Vec<&IndexModel> = of_keys.collect();
    if of_keys
        .iter()
        .any(|index| options(index) == options(expected))
    {
        return None;
    }
    let keys = &expected.keys;
    Some(match of_keys.first() {
        None => Finding::problem(
            Topic::Indexes,
            format!(
                "the collection {collection} has no index {keys}, so that reads fail; restart a gateway, or run `tidegate doctor --repair`: either makes it"
            ),
        ),
        // MongoDB refuses a second index of the same name.
        Some(other) => {
            let name = name(other);
            let message = format!(
                "the index {name} of the collection {collection} has other options than Tidegate's; drop it, and the next start makes it: db[\"{collection}\"].dropIndex(\"{name}\")"
            );
            Finding::obstacle(Topic::Indexes, message)
        }
    })
}

fn name(index: &IndexModel) -> String {
    let name = index
        .options
        .as_ref()
        .and_then(|options| options.name.clone());
    name.unwrap_or_default()
}

/// The options that decide which records an index holds, and whether it can be used.
fn options(index: &IndexModel) -> [Option<Bson>; 6] {
    let Some(options) = &index.options else {
        return Default::default();
    };
    let switch = |on: Option<bool>| on.filter(|on| *on).map(Bson::Boolean);
    [
        switch(options.sparse),
        switch(options.unique),
        switch(options.hidden),
        options
            .partial_filter_expression
            .clone()
            .map(Bson::Document),
        options
            .expire_after
            .map(|after| Bson::Int64(i64::try_from(after.as_secs()).unwrap_or(i64::MAX))),
        options
            .collation
            .as_ref()
            .map(|collation| Bson::String(collation.locale.clone())),
    ]
}
