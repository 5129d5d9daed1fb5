//! `doctor`: it finds each fault that is planted, finds none in a good database, and its forms and exit codes.

mod embedded;
mod feed;
mod server;
mod store;

use std::process::Output;

use mongodb::{
    Database,
    bson::{Bson, Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::assert_says;
use crate::harness::{
    Server, configured_on, create,
    mongod::{Deployment, fresh_database, until},
    with_secret,
};

/// The result of `doctor --json`.
struct Report {
    code: i32,
    json: Value,
}

impl Report {
    fn of(directory: &TempDir) -> Self {
        Self::with(directory, &[])
    }

    fn with(directory: &TempDir, arguments: &[&str]) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = run(directory, &[&["--json"], arguments].concat());
        let text = String::from_utf8(stdout).unwrap();
        let json = serde_json::from_str(&text);
        Self {
            code: status.code().unwrap(),
            json: json.unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&stderr))),
        }
    }

    /// The findings of a topic that are not good.
    fn faults(&self, topic: &str) -> Vec<&Value> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        findings
            .filter(|found| found["topic"] == topic && found["level"] != "good")
            .collect()
    }

    /// The one fault that was planted, and nothing else.
    fn only(&self, topic: &str) -> &Value {
        let findings = self.json["findings"].as_array().unwrap();
        let faults = findings.iter().filter(|found| found["level"] != "good");
        let faults: Vec<&Value> = faults.collect();
        assert_eq!(faults.len(), 1, "{:#}", self.json);
        assert_eq!(faults[0]["topic"], topic, "{:#}", self.json);
        faults[0]
    }

    fn expect_good(&self) {
        assert_eq!(self.code, 0, "{:#}", self.json);
        assert_eq!(self.json["problems"], 0);
        assert_eq!(self.json["warnings"], 0, "{:#}", self.json);
        assert_eq!(self.json["failure"], Value::Null);
    }
}

fn run(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut doctor = with_secret(directory.path(), &["doctor"]);
    doctor.args(arguments).output().unwrap()
}

/// A configuration for a fresh database that a gateway has served, with a task of alice's.
async fn served() -> (TempDir, Database) {
    let deployment = Deployment::shared().await;
    let name = fresh_database();
    let directory = configured_on(&deployment.url(&name));
    let server = Server::serve(&directory);
    let alice = server.client("alice");
    let task = create("a", json!({ "title": "Stay" }));
    alice.push_all(json!([task])).await;
    let database = deployment.client().await.database(&name);
    imported(&database).await;
    server.stop();
    (directory, database)
}

/// Waits until all types are imported.
async fn imported(database: &Database) {
    let state = database.collection::<Document>("tidegate.state");
    until("end of the import", async || {
        let progress = state.find_one(doc! { "_id": IMPORT }).await.unwrap()?;
        let types = progress.get_document("types").ok()?;
        let is_done = |import: &Bson| {
            let import = import.as_document().unwrap();
            !import.contains_key("scan")
        };
        (types.len() == 4 && types.values().all(is_done)).then_some(())
    })
    .await;
}

/// The key of the importer's progress.
const IMPORT: &str = "progress\u{0}1";

#[tokio::test]
async fn a_good_database_has_no_fault_in_any_form() {
    let (directory, _) = served().await;
    Report::of(&directory).expect_good();
    let Output {
        status,
        stdout,
        stderr,
    } = run(&directory, &[]);
    assert!(status.success());
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    let text = String::from_utf8(stdout).unwrap();
    assert!(text.starts_with("good\n  server      MongoDB "), "{text}");
    assert!(text.ends_with("\n0 problems, 0 warnings\n"), "{text}");
    assert!(!text.contains("\nproblem\n") && !text.contains("\nwarning\n"));
}

#[tokio::test]
async fn a_database_without_a_store_is_examined_and_nothing_is_made_there() {
    let deployment = Deployment::shared().await;
    let name = fresh_database();
    let directory = configured_on(&deployment.url(&name));
    let report = Report::of(&directory);
    report.expect_good();
    assert_says(
        &report.json.to_string(),
        &["no store in the database", "the first start makes it"],
    );
    let database = deployment.client().await.database(&name);
    let made = database.list_collection_names().await.unwrap();
    assert_eq!(made, Vec::<String>::new());
}
