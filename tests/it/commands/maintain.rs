//! `collect` and `rotate-epoch`: what they remove, which clients they reset, and when they refuse to begin.
//!
//! `crash` tests that they leave a running gateway's store alone.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::assert_says;
use crate::harness::{Server, complaint, tidegate};

#[tokio::test]
async fn collect_takes_old_tombstones_and_rotate_epoch_resets_clients() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice
        .push_all(json!([{"task": {"create": {"id": "a", "document": {"title": "Go"}}}}]))
        .await;
    let before = alice.pull(None).await;
    alice
        .push_all(json!([{"task": {"delete": {"id": "a", "baseVersion": 1}}}]))
        .await;
    server.stop();

    let collect = |age: &str| {
        let output = tidegate(directory.path(), &["collect", "--older-than", age]);
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    };
    assert_says(&collect("1d"), &["collected 0 tombstones and markers"]);
    assert_says(&collect("0s"), &["collected 1 tombstones and markers"]);

    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    let page = alice.pull(before["checkpoint"].as_str()).await;
    assert_eq!(page["reset"], true, "a client below the floor resets");
    assert_eq!(page["changes"], json!([]));
    server.stop();

    let output = tidegate(directory.path(), &["rotate-epoch"]);
    assert!(output.status.success(), "{output:?}");
    let server = Server::dev(&directory);
    let rotated = alice.at(&server).pull(page["checkpoint"].as_str()).await;
    assert_eq!(rotated["reset"], true);
    assert_ne!(rotated["epoch"], page["epoch"]);
    assert_says(
        &String::from_utf8(output.stderr).unwrap(),
        &[rotated["epoch"].as_str().unwrap()],
    );
}

#[test]
fn maintenance_refuses_a_directory_without_a_store_and_makes_none() {
    let directory = TempDir::new().unwrap();
    for arguments in [
        &["collect"][..],
        &["rotate-epoch"],
        &["collect", "--store", "embedded:elsewhere"],
        &["rotate-epoch", "--data", "elsewhere"],
    ] {
        let reported = complaint(directory.path(), arguments);
        assert_says(&reported, &["there is no store in "]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let reported = complaint(
        directory.path(),
        &["collect", "--store", "mongodb://somewhere"],
    );
    assert_says(&reported, &["--store", "names no database"]);
}
