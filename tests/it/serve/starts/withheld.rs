//! Documents that a start withholds, and how they come back.

use std::time::Duration;

use mongodb::bson::doc;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Device, Place, assert_says, places, tasks};
use crate::harness::{PATIENCE, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_do_not_fit_are_withheld_before_serving_if_the_operator_accepts_it() {
    for place in places().await {
        let documents = [json!({"text": "1"}), json!({})];
        let mut device = place
            .filled(&tasks("text: String"), "... on Task { text }", &documents)
            .await;
        let narrowed = tasks("text: String!");
        assert_says(
            &place.refused(&narrowed),
            &["1 stored document does", "Task/t1"],
        );
        let server = place.serve_with(&narrowed, &["--withhold"]);
        assert_eq!(device.pull(&server).await, ["REVOKE t1"]);
        assert_eq!(device.documents["t0"], json!({"text": "1"}));
        server.stop();
        // The model is in force now, and needs no flag.
        let server = place.serve(&narrowed);
        assert_eq!(device.pull(&server).await, [""; 0]);
    }
}

/// The model that reads it again may be another one, or the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_a_start_withheld_comes_back_when_it_fits_again() {
    let cases = [
        ("value: String", "value: String!", json!({}), json!(null)),
        (
            "value: Long",
            "value: Int",
            json!({"value": "8589934592"}),
            json!("8589934592"),
        ),
    ];
    for (place, (before, narrowed, odd, shown)) in places_of(cases).await {
        let documents = [json!({"value": "1"}), odd];
        let selection = "... on Task { value }";
        let mut device = place.filled(&tasks(before), selection, &documents).await;
        let server = place.serve_with(&tasks(narrowed), &["--withhold"]);
        assert_eq!(device.pull(&server).await, ["REVOKE t1"], "{narrowed}");
        let mut late = device.fresh();
        late.pull(&server).await;
        assert_eq!(late.documents.len(), 1, "{narrowed}");
        server.stop();
        // Another text: on MongoDB an earlier model waits for a minute before it leads again.
        let server = place.serve(&format!("{}# again\n", tasks(before)));
        for device in [&mut device, &mut late] {
            device.await_document(&server, "t1").await;
            assert_eq!(device.documents["t1"], json!({"value": shown}), "{before}");
        }
    }
}

async fn places_of<T: Clone>(cases: [T; 2]) -> Vec<(Place, T)> {
    let mut all = Vec::new();
    for case in cases {
        all.extend(places().await.map(|place| (place, case.clone())));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_a_start_withheld_comes_back_when_another_service_mends_it() {
    let [_, place] = places().await;
    let selection = "... on Task { text }";
    let documents = [json!({"text": "1"}), json!({})];
    let mut device = place
        .filled(&tasks("text: String"), selection, &documents)
        .await;
    let server = place.serve_with(&tasks("text: String!"), &["--withhold"]);
    assert_eq!(device.pull(&server).await, ["REVOKE t1"]);
    let collection = place.collection("tasks").await.unwrap();
    let mend = doc! { "$set": { "text": "mended" } };
    collection
        .update_one(doc! { "_id": "t1" }, mend)
        .await
        .unwrap();
    device.await_document(&server, "t1").await;
    assert_eq!(device.documents["t1"], json!({"text": "mended"}));
}

impl Device {
    async fn await_document(&mut self, server: &Server, id: &str) {
        let arrived = async {
            while !self.documents.contains_key(id) {
                self.pull(server).await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, arrived).await.expect("it comes back");
    }
}
