//! Backups of a database and their restores: all documents of all collections, as `mongodump` and `mongorestore` do it, or the
//! files of a server, as a snapshot of its disk has them.

use std::{path::Path, process::Command};

use futures_util::TryStreamExt;
use mongodb::{
    ClientSession, Database,
    bson::{RawDocumentBuf, doc},
    error::Result,
};
use tempfile::TempDir;

use super::{Deployment, until};

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

    /// Replaces the documents of the collections, all at one moment. The collections and their indexes stay. Gateways
    /// that run meanwhile write there too, so it may take some attempts.
    pub(crate) async fn restore(&self, database: &Database) {
        let mut session = database.client().start_session().await.unwrap();
        until("restored backup", async || {
            session.start_transaction().await.unwrap();
            let restored = match self.replace_all(database, &mut session).await {
                Ok(()) => session.commit_transaction().await,
                error => {
                    drop(session.abort_transaction().await);
                    error
                }
            };
            restored.ok()
        })
        .await;
    }

    async fn replace_all(&self, database: &Database, session: &mut ClientSession) -> Result<()> {
        for (name, documents) in &self.0 {
            let collection = database.collection::<RawDocumentBuf>(name);
            let deleting = collection.delete_many(doc! {});
            deleting.session(&mut *session).await?;
            if !documents.is_empty() {
                let inserting = collection.insert_many(documents);
                inserting.session(&mut *session).await?;
            }
        }
        Ok(())
    }
}

/// The files of a server.
pub(crate) struct Snapshot(TempDir);

impl Deployment {
    /// Copies the files of a node, which is killed and started again.
    pub(crate) async fn snapshot(&self, node: usize) -> Snapshot {
        let snapshot = Snapshot(TempDir::new().unwrap());
        self.kill(node);
        copy(&self.nodes[node].directory, snapshot.0.path());
        self.restart(node).await;
        self.primary().await;
        snapshot
    }

    /// Replaces the files of a node, which is killed and started again.
    pub(crate) async fn put_back(&self, node: usize, snapshot: &Snapshot) {
        self.kill(node);
        copy(snapshot.0.path(), &self.nodes[node].directory);
        self.restart(node).await;
        self.primary().await;
    }
}

/// Gives a directory the files of another one, and no others.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(to).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
    }
    let mut copy = Command::new("cp");
    let copied = copy.arg("--archive").arg(from.join(".")).arg(to).status();
    assert!(copied.unwrap().success(), "{copy:?}");
}
