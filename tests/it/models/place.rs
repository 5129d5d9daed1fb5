//! A store in each of the two forms, and gateways that serve it with one model or another.

use mongodb::bson::{Document as Bson, doc};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::rows::Row;
use crate::harness::{
    Server, complaint,
    mongod::{Deployment, fresh_database},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    Embedded,
    Mongodb,
}

/// A store, and the directories of its gateways.
pub(super) struct Place {
    directory: TempDir,
    beside: TempDir,
    url: String,
    /// The name of its database, if it is in MongoDB.
    database: Option<String>,
}

impl Place {
    pub(super) async fn new(kind: StoreKind) -> Self {
        let database = (kind == StoreKind::Mongodb).then(fresh_database);
        let url = match &database {
            None => "embedded:data".to_owned(),
            Some(database) => Deployment::shared().await.url(database),
        };
        Self {
            directory: TempDir::new().unwrap(),
            beside: TempDir::new().unwrap(),
            url,
            database,
        }
    }

    /// A gateway with this model.
    pub(super) fn start(&self, model: &str) -> Server {
        self.start_in(&self.directory, model)
    }

    /// The same in another directory, for two gateways at a time.
    pub(super) fn start_beside(&self, model: &str) -> Server {
        self.start_in(&self.beside, model)
    }

    fn start_in(&self, directory: &TempDir, model: &str) -> Server {
        std::fs::write(directory.path().join("model.graphql"), model).unwrap();
        Server::dev_with(directory.path(), &["--store", &self.url])
    }

    /// Why a gateway does not start with this model.
    pub(super) fn refused(&self, model: &str) -> String {
        let directory = self.directory.path();
        std::fs::write(directory.join("model.graphql"), model).unwrap();
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--store", &self.url];
        complaint(directory, &arguments)
    }

    /// The document as the application has it, if it is in MongoDB: the fields that the row names.
    pub(super) async fn stored(&self, row: &Row) -> Option<Json> {
        let database = self.database.as_ref()?;
        let client = Deployment::shared().await.client().await;
        let documents = client.database(database).collection::<Bson>(row.collection);
        let mut found = documents
            .find_one(doc! { "_id": "1" })
            .await
            .unwrap()
            .expect("the document is there");
        found.remove("_id");
        found.remove("team");
        Some(serde_json::to_value(found).unwrap())
    }
}
