//! The floor of a push: its documents, a feed entry with the document for each, and the head of its scope, in one
//! majority-journaled transaction. Pushes that wait at the same time share one, as they do in the gateway.

use std::collections::HashMap;

use mongodb::{
    ClientSession, Database,
    bson::{Document, RawArrayBuf, RawDocumentBuf, rawdoc},
    options::{Acknowledgment, ReadConcern, TransactionOptions, WriteConcern},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Floor,
    records::{document, entry, replacement_of_entry, update_of_document},
};
use crate::documents::Edit;

/// A transaction takes no further pushes once it has this number of documents.
const GROUP_DOCUMENTS: usize = 1_000;

/// A push: documents of one scope.
pub(crate) struct Push {
    pub(crate) scope: String,
    pub(crate) edits: Vec<Edit>,
}

type Waiting = (Push, oneshot::Sender<()>);

/// The pushes that wait for one writer, which has scopes of its own.
#[derive(Clone)]
pub(crate) struct Lane(mpsc::Sender<Waiting>);

impl Lane {
    /// Returns when it is durable.
    pub(crate) async fn push(&self, push: Push) {
        let (done, durable) = oneshot::channel();
        self.0.send((push, done)).await.unwrap();
        durable.await.unwrap();
    }
}

impl Floor {
    /// A writer that carries out one transaction after the other.
    pub(crate) async fn lane(&self) -> Lane {
        let (sender, waiting) = mpsc::channel(1_024);
        let writer = Writer {
            database: self.database.clone(),
            session: self.client.start_session().await.unwrap(),
            heads: HashMap::new(),
        };
        tokio::spawn(writer.run(waiting));
        Lane(sender)
    }
}

struct Writer {
    database: Database,
    session: ClientSession,
    heads: HashMap<String, i64>,
}

/// What one transaction writes.
#[derive(Default)]
struct Statements {
    documents: Vec<RawDocumentBuf>,
    entries: Vec<RawDocumentBuf>,
    updates_of_documents: RawArrayBuf,
    replacements_of_entries: RawArrayBuf,
    heads: HashMap<String, i64>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.recv().await {
            let mut documents = first.0.edits.len();
            let mut group = vec![first];
            while documents < GROUP_DOCUMENTS
                && let Ok(next) = waiting.try_recv()
            {
                documents += next.0.edits.len();
                group.push(next);
            }
            let statements = self.statements(group.iter().map(|(push, _)| push));
            self.write(statements).await;
            group
                .into_iter()
                .for_each(|(_, done)| done.send(()).unwrap());
        }
    }

    fn statements<'p>(&mut self, pushes: impl Iterator<Item = &'p Push>) -> Statements {
        let mut statements = Statements::default();
        for push in pushes {
            let head = self.heads.entry(push.scope.clone()).or_default();
            for edit in &push.edits {
                *head += 1;
                statements.add(edit, &push.scope, *head);
            }
            statements.heads.insert(push.scope.clone(), *head);
        }
        statements
    }

    async fn write(&mut self, statements: Statements) {
        let start = self.session.start_transaction();
        start.with_options(durable_snapshot()).await.unwrap();
        let heads = statements.heads.into_iter();
        let heads = heads.map(
            |(scope, head)| rawdoc! {"q": {"_id": scope}, "u": {"h": head, "f": 0_i64}, "upsert": true},
        );
        self.update("scopes", heads.collect()).await;
        self.insert("tasks", statements.documents).await;
        self.update("tasks", statements.updates_of_documents).await;
        self.insert("feed", statements.entries).await;
        self.update("feed", statements.replacements_of_entries)
            .await;
        self.session.commit_transaction().await.unwrap();
    }

    async fn insert(&mut self, collection: &str, documents: Vec<RawDocumentBuf>) {
        if documents.is_empty() {
            return;
        }
        let collection = self.database.collection::<RawDocumentBuf>(collection);
        let insert = collection.insert_many(documents);
        insert.session(&mut self.session).await.unwrap();
    }

    async fn update(&mut self, collection: &str, updates: RawArrayBuf) {
        let statements = updates.into_iter().count();
        if statements == 0 {
            return;
        }
        let command = rawdoc! {"update": collection, "updates": updates};
        let run = self.database.run_raw_command(command);
        let reply: Document = run.session(&mut self.session).await.unwrap();
        let written = reply.get_i32("n").unwrap();
        assert_eq!(usize::try_from(written), Ok(statements), "{reply}");
    }
}

impl Statements {
    fn add(&mut self, edit: &Edit, scope: &str, seq: i64) {
        if edit.creates() {
            self.documents.push(document(edit, scope));
            self.entries.push(entry(edit, scope, seq));
        } else {
            self.updates_of_documents.push(update_of_document(edit));
            let replacement = replacement_of_entry(edit, scope, seq);
            self.replacements_of_entries.push(replacement);
        }
    }
}

/// The options of each transaction.
pub(super) fn durable_snapshot() -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(durable())
        .build()
}

fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build()
}
