//! Pulls of a whole scope in pages of 1,000, typed and through HTTP, against the raw scan of the same index.

use super::{Bench, Pusher, RawScope};
use crate::{
    client::{Device, Puller, User},
    figure::{Bar, Row},
    floor::Reader,
    gateway::Gateway,
    load::{Client, work},
};

/// The share of the raw scan that a pull has to reach.
const BAR: Bar = Bar::AtLeast(0.50);

/// Documents of each push that creates them.
const BATCH: usize = 1_000;

const SCOPE: &str = "user:reader";

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let gateway = bench.gateway();
    fill_floor(bench).await;
    fill(bench, &gateway).await;
    let reader = reader(&gateway);
    let mut rows = Vec::new();
    for clients in [1, 4] {
        let name = format!("pages of 1000, {clients} clients");
        if bench.wants(&name) {
            rows.push(row(bench, &reader, clients, name).await);
        }
    }
    rows
}

async fn fill_floor(bench: &mut Bench) {
    let target = RawScope {
        lane: bench.lanes[0].clone(),
        scope: SCOPE.to_owned(),
    };
    let mut pusher = Pusher::new(target, BATCH, bench.numbers());
    for _ in 0..bench.pulled / BATCH {
        pusher.step().await;
    }
}

/// A user who may pull it.
pub(super) fn reader(gateway: &Gateway) -> User {
    gateway.user("reader", &[])
}

/// Makes the scope that is pulled, unless it exists.
pub(super) async fn fill(bench: &mut Bench, gateway: &Gateway) {
    if bench.filled {
        return;
    }
    bench.filled = true;
    let target = Device::new(&reader(gateway), SCOPE).await;
    let mut pusher = Pusher::new(target, BATCH, bench.numbers());
    for _ in 0..bench.pulled / BATCH {
        pusher.step().await;
    }
}

async fn row(bench: &Bench, reader: &User, clients: usize, name: String) -> Row {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        let readers = (0..clients).map(|_| Reader {
            floor: bench.floor.clone(),
            scope: SCOPE.to_owned(),
            documents: bench.pulled,
        });
        let (_, floor) = work(readers.collect(), bench.window).await;
        let (_, pulled) = work(pullers(bench, reader, clients).await, bench.window).await;
        rounds.push((floor.rate(), pulled.rate()));
    }
    Row::compared(name, "documents/s", &rounds).bar(BAR)
}

pub(super) async fn pullers(bench: &Bench, reader: &User, clients: usize) -> Vec<Puller> {
    let mut pullers = Vec::new();
    for _ in 0..clients {
        pullers.push(Puller {
            connection: reader.connect().await,
            documents: bench.pulled,
        });
    }
    pullers
}
