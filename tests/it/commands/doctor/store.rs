//! Faults of Tidegate's own collections.

use mongodb::{
    Collection, Database, IndexModel,
    bson::{Document, doc},
};

use super::{Report, assert_says, served};
use crate::harness::{Server, complaint_of, with_secret};

fn feed(database: &Database) -> Collection<Document> {
    database.collection("tidegate.feed")
}

fn state(database: &Database) -> Collection<Document> {
    database.collection("tidegate.state")
}

const ALICES: &str = "scope\0user:alice";

#[tokio::test]
async fn a_missing_index_is_a_problem_until_the_next_start_makes_it() {
    let (directory, database) = served().await;
    feed(&database).drop_index("s_1_t_1_q_1").await.unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.faults("indexes")[0];
    assert_says(&fault.to_string(), &["tidegate.feed", "restart a gateway"]);
    assert_eq!(fault["preventsStart"], false);
    Server::serve(&directory).stop();
    Report::of(&directory).expect_good();
}

#[tokio::test]
async fn an_index_with_other_options_prevents_a_start_until_it_is_dropped() {
    let (directory, database) = served().await;
    feed(&database).drop_index("x_1").await.unwrap();
    let other = IndexModel::builder().keys(doc! { "x": 1 }).build();
    feed(&database).create_index(other).await.unwrap();
    let report = Report::of(&directory);
    let fault = report.only("indexes");
    assert_eq!(fault["preventsStart"], true);
    assert_says(&fault.to_string(), &["dropIndex", "x_1"]);
    complaint_of(&mut with_secret(directory.path(), &["serve"]));
    feed(&database).drop_index("x_1").await.unwrap();
    Server::serve(&directory).stop();
    Report::of(&directory).expect_good();
}

#[tokio::test]
async fn heads_below_the_feed_seqs_that_stand_twice_and_floors_above_heads_are_found() {
    let (directory, database) = served().await;
    let (feed, state) = (feed(&database), state(&database));
    let scope = doc! { "_id": ALICES };
    let set = async |values: Document| {
        state
            .update_one(scope.clone(), doc! { "$set": values })
            .await
            .unwrap();
    };
    set(doc! { "h": 0_i64 }).await;
    expect_scope(&Report::of(&directory), "above their head, or a seq twice");
    set(doc! { "h": 1_i64, "f": 2_i64 }).await;
    expect_scope(&Report::of(&directory), "a floor above their head");
    set(doc! { "f": 0_i64 }).await;
    Report::of(&directory).expect_good();
    let mut twin = feed.find_one(doc! {}).await.unwrap().unwrap();
    twin.insert("_id", "Task\0twin");
    twin.insert("i", "twin");
    feed.insert_one(twin).await.unwrap();
    expect_scope(&Report::of(&directory), "above their head, or a seq twice");
}

fn expect_scope(report: &Report, what: &str) {
    assert_eq!(report.code, 1);
    let fault = report.faults("heads")[0];
    assert_says(&fault.to_string(), &[what, "rotate-epoch"]);
    assert_eq!(fault["count"], 1);
    assert_eq!(fault["examples"][0], "user:alice");
}

#[tokio::test]
async fn a_store_of_another_format_prevents_a_start() {
    let (directory, database) = served().await;
    let newer = doc! { "$set": { "v": 99 } };
    let format = doc! { "_id": "format" };
    state(&database).update_one(format, newer).await.unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.only("store");
    assert_eq!(fault["preventsStart"], true);
    assert_says(&fault.to_string(), &["format 99"]);
}

#[tokio::test]
async fn documents_that_the_model_does_not_fit_are_the_same_finding_for_check_and_a_start() {
    let (directory, _) = served().await;
    let path = directory.path().join("model.graphql");
    let model = std::fs::read_to_string(&path).unwrap();
    let stricter = model.replacen("type Task", "type Sub { a: String }\ntype Task", 1);
    let stricter = stricter.replacen("  title: String!", "  title: String!\n  extra: String!", 1);
    std::fs::write(&path, stricter).unwrap();
    let report = Report::of(&directory);
    assert_eq!(report.code, 1);
    let fault = report.only("model");
    assert_eq!(
        (&fault["count"], &fault["preventsStart"]),
        (&1.into(), &true.into())
    );
    assert_says(&fault["examples"][0].to_string(), &["Task/a", "extra"]);
    let message = fault["message"].as_str().unwrap();
    let checked = with_secret(directory.path(), &["check"]).output().unwrap();
    assert_says(&String::from_utf8(checked.stderr).unwrap(), &[message]);
    let refused = complaint_of(&mut with_secret(directory.path(), &["serve"]));
    assert_says(&refused, &[message]);
}
