//! The floor: the plain work of a push and of a pull, by the official driver and with nothing around it.
//!
//! A push writes its documents, a feed entry for each with the document in it, and the head of its scope, all in one
//! majority-journaled transaction; pushes that wait at a time share one, as they do in the gateway. Nothing is read,
//! checked or decided first, and nobody's mutation ids are kept.

use std::collections::HashMap;

use mongodb::{
    Client, ClientSession, Collection, Database, IndexModel,
    bson::{DateTime, Document, RawDocumentBuf, doc, rawdoc},
    options::{
        Acknowledgment, FindOptions, Hint, ReadConcern, SessionOptions, TransactionOptions,
        WriteConcern,
    },
};
use tokio::sync::{mpsc, oneshot};

use crate::documents::{notes, title};

/// A transaction is not joined by further pushes once it carries so many documents.
const GROUP_DOCUMENTS: usize = 1_000;

/// The collections, as the gateway has them.
#[derive(Clone)]
pub(crate) struct Raw {
    client: Client,
    database: Database,
}

/// A push: so many documents for a scope.
pub(crate) struct Push {
    pub(crate) scope: String,
    /// Their ids, each with the number its content is made of.
    pub(crate) documents: Vec<(String, usize)>,
}

/// The pushes that wait for one writer, which has scopes of its own.
#[derive(Clone)]
pub(crate) struct Lane(mpsc::Sender<(Push, oneshot::Sender<()>)>);

impl Lane {
    /// Returns when it is durable.
    pub(crate) async fn push(&self, push: Push) {
        let (done, durable) = oneshot::channel();
        self.0.send((push, done)).await.unwrap();
        durable.await.unwrap();
    }
}

impl Raw {
    pub(crate) async fn open(url: &str) -> Self {
        let client = Client::with_uri_str(url).await.unwrap();
        let database = client.default_database().unwrap();
        for name in ["tasks", "feed", "scopes"] {
            database.create_collection(name).await.unwrap();
        }
        let index = IndexModel::builder().keys(doc! {"s": 1, "t": 1, "q": 1});
        let feed = database.collection::<Document>("feed");
        feed.create_index(index.build()).await.unwrap();
        Self { client, database }
    }

    /// A writer that carries out one transaction after the other.
    pub(crate) async fn lane(&self) -> Lane {
        let (sender, mut waiting) = mpsc::channel::<(Push, oneshot::Sender<()>)>(1_024);
        let database = self.database.clone();
        let mut session = self.client.start_session().await.unwrap();
        tokio::spawn(async move {
            let mut heads = HashMap::new();
            while let Some(first) = waiting.recv().await {
                let mut documents = first.0.documents.len();
                let mut group = vec![first];
                while documents < GROUP_DOCUMENTS
                    && let Ok(next) = waiting.try_recv()
                {
                    documents += next.0.documents.len();
                    group.push(next);
                }
                let pushes = group.iter().map(|(push, _)| push);
                write(&database, &mut session, &mut heads, pushes).await;
                group
                    .into_iter()
                    .for_each(|(_, done)| done.send(()).unwrap());
            }
        });
        Lane(sender)
    }

    /// Reads a whole scope in pages of 1,000, each by a snapshot session as a consistent page needs; how many entries it
    /// was.
    pub(crate) async fn read_all(&self, scope: &str) -> usize {
        let feed = self.database.collection::<RawDocumentBuf>("feed");
        let (mut after, mut count) = (0, 0);
        loop {
            let options = SessionOptions::builder().snapshot(true).build();
            let session = self.client.start_session().with_options(options);
            let mut session = session.await.unwrap();
            let (read, last) = page(&feed, &mut session, scope, after).await;
            if read == 0 {
                return count;
            }
            count += read;
            after = last;
        }
    }
}

async fn page(
    feed: &Collection<RawDocumentBuf>,
    session: &mut ClientSession,
    scope: &str,
    after: i64,
) -> (usize, i64) {
    let options = FindOptions::builder()
        .sort(doc! {"q": 1})
        .hint(Hint::Keys(doc! {"s": 1, "t": 1, "q": 1}))
        .limit(1_000)
        .batch_size(1_001)
        .build();
    let filter = doc! {"s": scope, "t": "Task", "q": {"$gt": after}};
    let find = feed.find(filter).with_options(options);
    let mut cursor = find.session(&mut *session).await.unwrap();
    let (mut read, mut last) = (0, after);
    while cursor.advance(session).await.unwrap() {
        last = cursor.current().get_i64("q").unwrap();
        read += 1;
    }
    (read, last)
}

/// One transaction.
async fn write(
    database: &Database,
    session: &mut ClientSession,
    heads: &mut HashMap<String, i64>,
    pushes: impl Iterator<Item = &Push>,
) {
    let (mut documents, mut entries, mut touched) = (Vec::new(), Vec::new(), HashMap::new());
    for push in pushes {
        let head = heads.entry(push.scope.clone()).or_default();
        for (id, number) in &push.documents {
            *head += 1;
            documents.push(document(id, *number, &push.scope));
            entries.push(entry(id, *number, &push.scope, *head));
        }
        touched.insert(push.scope.clone(), *head);
    }
    let touched = touched.into_iter();
    let updates: Vec<Document> = touched
        .map(|(scope, head)| doc! {"q": {"_id": scope}, "u": {"h": head, "f": 0_i64}, "upsert": true})
        .collect();
    let options = TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(durable())
        .build();
    let start = session.start_transaction().with_options(options);
    start.await.unwrap();
    let heads = database.run_command(doc! {"update": "scopes", "updates": updates});
    heads.session(&mut *session).await.unwrap();
    for (name, written) in [("tasks", documents), ("feed", entries)] {
        let collection = database.collection::<RawDocumentBuf>(name);
        let insert = collection.insert_many(written);
        insert.session(&mut *session).await.unwrap();
    }
    session.commit_transaction().await.unwrap();
}

fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build()
}

fn document(id: &str, number: usize, scope: &str) -> RawDocumentBuf {
    let due = DateTime::from_millis(0);
    rawdoc! {
        "_id": id, "audience": scope, "title": title(number), "notes": notes(number), "done": false,
        "priority": "NORMAL", "labels": ["home", "shop"], "minutesSpent": 5, "due_at": due,
    }
}

/// As large as the gateway's: it says besides who wrote which field in which version.
fn entry(id: &str, number: usize, scope: &str, seq: i64) -> RawDocumentBuf {
    let at = DateTime::from_millis(1);
    rawdoc! {
        "_id": format!("Task\0{id}"), "t": "Task", "i": id, "s": scope, "q": seq, "v": 1, "at": at, "k": 1, "r": 1,
        "f": {
            "audience": 1, "title": 1, "notes": 1, "done": 1, "priority": 1, "labels": 1, "minutesSpent": 1, "due": 1,
        },
        "w": [{"v": 1, "e": at, "u": "user-1", "c": "device", "m": 1}],
        "b": document(id, number, scope),
    }
}
