//! Two gateways on one database: how much of one gateway's throughput remains when both write to one hot scope.

use super::{Bench, Pusher};
use crate::{
    client::Device,
    figure::{Bar, Row},
    gateway::Gateway,
    load::{Done, work},
};

/// The share of one gateway's throughput that two have to keep.
const BAR: Bar = Bar::AtLeast(0.60);

/// In all, however many gateways they are divided among.
const CLIENTS: usize = 32;

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let first = bench.gateway();
    let (mut rates, mut repeated) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds {
        let alone = push(bench, &[&first], round).await.0;
        let second = bench.gateway();
        let (both, aborted) = push(bench, &[&first, &second], round).await;
        rates.push((alone.rate(), both.rate()));
        repeated.push(aborted as f64 / both.count() as f64);
    }
    let name = format!("two for one, {CLIENTS} clients, one scope");
    vec![
        Row::compared(name, "changes/s", &rates).bar(BAR),
        Row::alone("transactions repeated, per push", "", repeated),
    ]
}

/// What the gateways did together, and how many transactions were aborted meanwhile.
async fn push(bench: &mut Bench, gateways: &[&Gateway], round: usize) -> (Done, i64) {
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let gateway = gateways[client % gateways.len()];
        let name = format!("hot-{}-{round}-{client}", gateways.len());
        let user = gateway.user(&name, &["bench".to_owned()]);
        let device = Device::new(&user, "team:bench").await;
        clients.push(Pusher::new(device, 1, bench.numbers()));
    }
    let aborted = bench.mongod.transactions_aborted().await;
    let (_, done) = work(clients, bench.window).await;
    (done, bench.mongod.transactions_aborted().await - aborted)
}
