//! A store in each of the two forms, and gateways that serve it with one model or another.

use std::sync::atomic::{AtomicUsize, Ordering};

use mongodb::{
    Database,
    bson::{Document as Bson, doc},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{device::ID, rows::Row};
use crate::harness::{
    Client, Server, complaint,
    mongod::{Deployment, fresh_database},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreKind {
    Embedded,
    Mongodb,
}

/// A store, and the directory of its gateways.
pub(super) struct Place {
    pub(super) kind: StoreKind,
    directory: TempDir,
    models: AtomicUsize,
    url: String,
    /// The application's database, if it is in MongoDB.
    database: Option<Database>,
}

impl Place {
    pub(super) async fn new(kind: StoreKind) -> Self {
        let (url, database) = match kind {
            StoreKind::Embedded => ("embedded:data".to_owned(), None),
            StoreKind::Mongodb => {
                let (deployment, name) = (Deployment::shared().await, fresh_database());
                let client = deployment.client().await;
                (deployment.url(&name), Some(client.database(&name)))
            }
        };
        Self {
            kind,
            directory: TempDir::new().unwrap(),
            models: AtomicUsize::default(),
            url,
            database,
        }
    }

    /// A gateway with this model. Gateways of one place accept the same tokens.
    pub(super) fn start(&self, model: &str, arguments: &[&str]) -> Server {
        let file = self.write(model);
        let given = ["--store", &self.url, "--model", &file];
        Server::dev_with(self.directory.path(), &[&given, arguments].concat())
    }

    /// Why a gateway does not start with this model.
    pub(super) fn refused(&self, model: &str) -> String {
        let file = self.write(model);
        let dev = ["dev", "--listen", "127.0.0.1:0"];
        let given = ["--store", &self.url, "--model", &file];
        complaint(self.directory.path(), &[&dev[..], &given].concat())
    }

    fn write(&self, model: &str) -> String {
        let file = format!("{}.graphql", self.models.fetch_add(1, Ordering::Relaxed));
        std::fs::write(self.directory.path().join(&file), model).unwrap();
        file
    }

    /// A user who sees one team, and one scope of the other kind.
    pub(super) fn user(&self, gateway: &Server) -> Client {
        gateway.client_with("ada", &json!({"team": "red", "also": "blue"}))
    }

    /// A user who sees all scopes of the rows.
    pub(super) fn admin(&self, gateway: &Server) -> Client {
        let claims = json!({"team": ["red", "blue", "green"], "also": ["red", "blue", "green"]});
        gateway.client_with("root", &claims)
    }

    /// Gives a collection of the application another name.
    pub(super) async fn rename(&self, from: &str, to: &str) {
        if let Some(database) = &self.database {
            let name = database.name();
            // The gateway has made an empty collection for the model that it was to serve.
            let rename = doc! {
                "renameCollection": format!("{name}.{from}"), "to": format!("{name}.{to}"), "dropTarget": true,
            };
            let admin = Deployment::shared().await.client().await.database("admin");
            admin.run_command(rename).await.unwrap();
        }
    }

    /// Another service sets fields of the document. Returns false where no other service can.
    pub(super) async fn set(&self, row: &Row, set: &Json) -> bool {
        let Some(database) = &self.database else {
            return false;
        };
        let set = mongodb::bson::serialize_to_bson(set).unwrap();
        let documents = database.collection::<Bson>(row.collection);
        let changed = documents.update_one(doc! { "_id": ID }, doc! { "$set": set });
        assert_eq!(changed.await.unwrap().modified_count, 1);
        true
    }

    /// The document as the application has it, if it is in MongoDB: the fields that the row names.
    pub(super) async fn stored(&self, row: &Row) -> Option<Json> {
        let documents = self.database.as_ref()?.collection::<Bson>(row.collection);
        let found = documents.find_one(doc! { "_id": ID }).await.unwrap();
        let mut found = found.expect("the document is there");
        found.remove("_id");
        found.remove("team");
        Some(with_whole_numbers(serde_json::to_value(found).unwrap()))
    }
}

/// A whole number is one value, whether it is stored as an integer or as a float.
fn with_whole_numbers(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let fields = fields.into_iter();
            Json::Object(
                fields
                    .map(|(name, value)| (name, with_whole_numbers(value)))
                    .collect(),
            )
        }
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => Json::Number(number),
        },
        other => other,
    }
}
