//! An import: a collection that another service filled, and a gateway that starts on it. It is measured once.

use std::time::{Duration, Instant};

use mongodb::Client;
use serde_json::json;
use tokio::time::sleep;

use super::Bench;
use crate::{
    figure::{Bar, Row},
    floor::{Floor, TEAMS, fill},
    gateway::Gateway,
};

const RATE_BAR: Bar = Bar::AtLeast(0.3);

/// In MiB.
const MEMORY_BAR: Bar = Bar::AtMost(100.0);

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    // It makes its collections, and the gateway meets one that it has not made.
    let plain = Floor::open(&bench.mongod.url("plain")).await;
    for name in ["plain", "imported"] {
        let client = Client::with_uri_str(bench.mongod.url(name)).await.unwrap();
        fill(&client.default_database().unwrap(), bench.imported).await;
    }
    bench.mongod.flush().await;
    let began = Instant::now();
    plain.import(bench.imported).await;
    let floor = bench.imported as f64 / began.elapsed().as_secs_f64();
    bench.mongod.flush().await;
    let began = Instant::now();
    let gateway = Gateway::start(bench.directory(), Some(&bench.mongod.url("imported")));
    until_imported(&gateway).await;
    let rate = bench.imported as f64 / began.elapsed().as_secs_f64();
    let peak = gateway.memory_peak_kib() / 1024.0;
    assert_eq!(pulled(&gateway).await, bench.imported);
    let documents = bench.imported;
    vec![
        Row::compared(
            format!("import of {documents} documents"),
            "documents/s",
            &[(floor, rate)],
        )
        .bar(RATE_BAR)
        .headline(),
        Row::alone(
            format!("peak memory, {documents} documents"),
            "MiB",
            vec![peak],
        )
        .bar(MEMORY_BAR),
    ]
}

async fn until_imported(gateway: &Gateway) {
    let mut connection = gateway.user("watcher", &[]).connect().await;
    loop {
        let query = "{ viewer { importing { type } } }";
        let answer = connection.ask(query, json!({})).await;
        if answer["data"]["viewer"]["importing"] == json!([]) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// What a member of all teams gets.
async fn pulled(gateway: &Gateway) -> usize {
    let teams: Vec<String> = (0..TEAMS).map(|team| team.to_string()).collect();
    let mut connection = gateway.user("reader", &teams).connect().await;
    connection.pull_all().await
}
