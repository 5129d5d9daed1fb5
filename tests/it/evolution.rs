//! Types and fields that have other names now, or that clients no longer write, through the real binary on both stores.

mod generations;
mod renamed;
mod repeats;
mod retired;
mod webhook;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server,
    mongod::{Deployment, fresh_database},
};

/// A store and the directory of its gateway.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    /// How many models were served here. Each has a file of its own, which its gateway follows.
    models: AtomicUsize,
    /// The store, as `--store` takes it.
    pub(crate) url: String,
    /// The name of its database, if it is in MongoDB.
    pub(crate) database: Option<String>,
}

impl Place {
    /// One on each kind of store.
    pub(crate) async fn each() -> [Self; 2] {
        let deployment = Deployment::shared().await;
        [None, Some(fresh_database())].map(|database| Self {
            directory: TempDir::new().unwrap(),
            models: AtomicUsize::default(),
            url: match &database {
                None => "embedded:data".to_owned(),
                Some(database) => deployment.url(database),
            },
            database,
        })
    }

    /// A gateway on this model.
    pub(crate) fn serve(&self, model: &str) -> Server {
        self.serve_with(model, &[])
    }

    fn serve_with(&self, model: &str, arguments: &[&str]) -> Server {
        let directory = self.directory.path();
        let file = format!("{}.graphql", self.models.fetch_add(1, Ordering::Relaxed));
        std::fs::write(directory.join(&file), model).unwrap();
        let given = ["--store", &self.url, "--model", &file];
        Server::dev_with(directory, &[&given, arguments].concat())
    }
}

const RESULTS: &str = "results { documentId status duplicate version error { code field } document { id syncVersion } }";

/// Pushes `input`; the results.
pub(crate) async fn push(client: &Client, input: Json) -> Json {
    let query = format!(
        "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ {RESULTS} }} }}"
    );
    let mut data = client.data(&query, json!({"input": input})).await;
    data["pushChanges"]["results"].take()
}

/// Each result in short: its status, and the code and the field of its error.
pub(crate) fn outcomes(results: &Json) -> Vec<String> {
    let results = results.as_array().unwrap().iter();
    let words = results.map(|result| {
        let error = &result["error"];
        let words = [&result["status"], &error["code"], &error["field"]].map(Json::as_str);
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    words.collect()
}
