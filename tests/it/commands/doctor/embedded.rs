//! An embedded store: its heads, its feed and the model are examined.

use redb::{Database, TableDefinition};
use serde_json::json;
use tempfile::TempDir;

use super::{Report, assert_says};
use crate::harness::{CONFIG, Server, configured, create};

const SCOPES: TableDefinition<&str, (i64, i64)> = TableDefinition::new("scopes");
type EntryRow = (&'static str, i64, Option<i64>, Option<&'static str>);
const ENTRIES: TableDefinition<(&str, &str), EntryRow> = TableDefinition::new("entries");

async fn served() -> TempDir {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let alice = server.client("alice");
    let task = create("a", json!({ "title": "Stay" }));
    alice.push_all(json!([task])).await;
    server.stop();
    directory
}

fn file(directory: &TempDir) -> Database {
    Database::open(directory.path().join("data/tidegate.redb")).unwrap()
}

#[tokio::test]
async fn a_good_store_is_good_and_says_what_was_examined() {
    let directory = served().await;
    let report = Report::of(&directory);
    report.expect_good();
    assert_says(
        &report.json.to_string(),
        &["of which heads, feed and model are examined"],
    );
    let server = Server::serve(&directory);
    let report = Report::of(&directory);
    assert_eq!(report.code, 2);
    assert_says(
        &report.json["failure"].to_string(),
        &["in use by another process"],
    );
    server.stop();
}

#[test]
fn a_place_without_a_store_stays_empty() {
    let directory = configured(CONFIG);
    Report::of(&directory).expect_good();
    assert!(!directory.path().join("data").exists());
}

#[tokio::test]
async fn a_head_below_the_feed_and_a_record_that_is_not_where_it_should_be_are_found() {
    let directory = served().await;
    let planted = file(&directory).begin_write().unwrap();
    planted
        .open_table(SCOPES)
        .unwrap()
        .insert("user:alice", (0, 0))
        .unwrap();
    planted.commit().unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.only("heads");
    assert_eq!(
        (&fault["count"], &fault["examples"]),
        (&1.into(), &json!(["user:alice"]))
    );

    let directory = served().await;
    let planted = file(&directory).begin_write().unwrap();
    planted
        .open_table(ENTRIES)
        .unwrap()
        .remove(("Task", "a"))
        .unwrap();
    planted.commit().unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.only("feed");
    assert_eq!(
        (&fault["count"], &fault["examples"]),
        (&1.into(), &json!(["Task/a"]))
    );
}
