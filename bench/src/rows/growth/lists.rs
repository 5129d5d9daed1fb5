//! A page of fifty documents by an index out of a million, typed and through HTTP, against the same find by the driver.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::{
    Collection, Database,
    bson::{Document, RawDocumentBuf, doc},
};
use serde_json::json;
use tokio::time::sleep;

use super::Bench;
use crate::{
    client::{Connection, User, count},
    figure::{Bar, Row},
    load,
};

/// The share of the driver's find that a list has to reach.
const BAR: Bar = Bar::AtLeast(0.5);

const FIRST: usize = 50;

/// The index of a million entries is built in seconds.
const BUILT_WITHIN: Duration = Duration::from_secs(300);

const LIST: &str = "{ tasks(where: {done: {eq: false}}, orderBy: [due_ASC], first: 50) { nodes { id audience title notes done priority labels minutesSpent due syncVersion } pageInfo { hasNextPage endCursor } } }";

/// Lists of a member of the scope, whose documents are all open.
pub(super) async fn row(bench: &Bench, member: &User, database: &Database, scope: &str) -> Row {
    let feed = database.collection::<RawDocumentBuf>("tidegate.feed");
    let index = index_of(database).await;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        let finder = Finder {
            feed: feed.clone(),
            index: index.clone(),
            scope: scope.to_owned(),
        };
        let (_, floor) = load::work(vec![finder], bench.window).await;
        let lister = Lister(member.connect().await);
        let (_, listed) = load::work(vec![lister], bench.window).await;
        rounds.push((floor.rate(), listed.rate()));
    }
    let name = format!("lists of {FIRST} of {} documents", bench.entries);
    Row::compared(name, "documents/s", &rounds).bar(BAR)
}

/// The keys of the gateway's index, once it is built.
async fn index_of(database: &Database) -> Document {
    let feed = database.collection::<Document>("tidegate.feed");
    let keys = doc! { "s": 1, "b.done": 1, "b.due_at": 1, "i": 1 };
    let until = Instant::now() + BUILT_WITHIN;
    loop {
        let found: Vec<_> = feed
            .list_indexes()
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        if found
            .iter()
            .any(|index: &mongodb::IndexModel| index.keys == keys)
        {
            return keys;
        }
        assert!(Instant::now() < until, "the gateway builds no {keys}");
        sleep(Duration::from_millis(500)).await;
    }
}

/// Finds by the driver alone.
struct Finder {
    feed: Collection<RawDocumentBuf>,
    index: Document,
    scope: String,
}

impl load::Client for Finder {
    async fn step(&mut self) -> usize {
        let filter =
            doc! { "t": "Task", "b": { "$exists": true }, "s": &self.scope, "b.done": false };
        let find = self.feed.find(filter).sort(doc! { "b.due_at": 1, "i": 1 });
        let find = find.hint(mongodb::options::Hint::Keys(self.index.clone()));
        let found = find.limit(i64::try_from(FIRST).unwrap()).await.unwrap();
        let found: Vec<RawDocumentBuf> = found.try_collect().await.unwrap();
        assert_eq!(found.len(), FIRST);
        found.len()
    }
}

/// Asks the gateway.
struct Lister(Connection);

impl load::Client for Lister {
    async fn step(&mut self) -> usize {
        let body = json!({ "query": LIST }).to_string();
        let answer = self.0.post("/graphql", body).await;
        let listed = count(&answer, br#""syncVersion":"#);
        assert_eq!(listed, FIRST);
        listed
    }
}
