//! MongoDB's own history of the feed: a change stream that begins before the first write.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use mongodb::{
    Database,
    bson::{Document, Timestamp, doc},
};

/// Every seq up to a scope's head was written once, and the rest of the feed is of these writes.
pub(crate) async fn expect_no_gap(database: &Database, since: Timestamp) {
    let state = database.collection::<Document>("tidegate.state");
    let of_scopes = doc! { "_id": { "$gt": "scope\0", "$lt": "scope\u{1}" } };
    let mut scopes = state.find(of_scopes).await.unwrap();
    let mut history = history(database, since).await;
    let mut heads = 0;
    while scopes.advance().await.unwrap() {
        let scope = scopes.deserialize_current().unwrap();
        let (_, name) = scope.get_str("_id").unwrap().split_once('\0').unwrap();
        let head = scope.get_i64("h").unwrap();
        let mut seqs = history.remove(name).unwrap_or_default();
        seqs.sort_unstable();
        assert!(
            seqs.iter().copied().eq(1..=head),
            "{name} up to {head}: {seqs:?}"
        );
        heads += 1;
    }
    assert!(heads > 1 && history.is_empty(), "{history:?}");
}

/// The seqs of all writes to the feed, by scope, from the first to that of a document which is written now.
async fn history(database: &Database, since: Timestamp) -> BTreeMap<String, Vec<i64>> {
    let end = database.collection::<Document>("end");
    end.insert_one(doc! {}).await.unwrap();
    let stream = database.watch().start_at_operation_time(since);
    let mut stream = stream.await.unwrap().with_type::<Document>();
    let mut history: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    loop {
        let event = stream.next().await.expect("the end is in it").unwrap();
        let collection = event.get_document("ns").unwrap().get_str("coll");
        match (collection, event.get_document("fullDocument")) {
            (Ok("end"), _) => return history,
            (Ok("tidegate.feed"), Ok(record)) => {
                let (scope, seq) = (record.get_str("s").unwrap(), record.get_i64("q").unwrap());
                history.entry(scope.to_owned()).or_default().push(seq);
            }
            _ => {}
        }
    }
}
