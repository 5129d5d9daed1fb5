//! The memory of a gateway: when it has nothing to do, for each waiting subscriber, and while many clients pull.

use super::{Bench, fanout, pull};
use crate::{
    figure::{Bar, Row},
    gateway::Gateway,
    load::Client,
    swarm::Swarm,
};

/// In MiB, of a gateway that has answered once.
pub(super) const IDLE_BAR: Bar = Bar::AtMost(30.0);

/// In KiB.
const SUBSCRIBER_BAR: Bar = Bar::AtMost(8.0);

/// In pages of an answer, for each pull under way: bytes from MongoDB, the answer, and the connection's buffer.
const PAGES_BAR: Bar = Bar::AtMost(8.0);

/// How much more a gateway may hold that has delivered four times as much.
const GROWTH_BAR: Bar = Bar::AtMost(1.15);

const PULLERS: usize = 8;

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let mut idle = Vec::new();
    for _ in 0..bench.rounds {
        let gateway = bench.gateway();
        idle.push(idle_mib(&gateway).await);
    }
    let (one, each) = (crowd(bench).await, strangers(bench).await);
    let mut rows = vec![
        Row::alone("idle, on MongoDB", "MiB", idle)
            .bar(IDLE_BAR)
            .headline(),
        Row::alone("a subscriber of one scope", "KiB", [one])
            .bar(SUBSCRIBER_BAR)
            .headline(),
        Row::alone("a subscriber of its own scope", "KiB", [each]).bar(SUBSCRIBER_BAR),
    ];
    rows.extend(of_pulls(bench).await);
    rows
}

/// Of a gateway that has answered once.
pub(super) async fn idle_mib(gateway: &Gateway) -> f64 {
    gateway.user("first", &[]).connect().await.epoch().await;
    gateway.memory_kib() / 1024.0
}

async fn crowd(bench: &Bench) -> f64 {
    let gateway = bench.gateway();
    let before = idle_mib(&gateway).await * 1024.0;
    a_subscriber_kib(&gateway, before, fanout::crowd(bench, &gateway).await)
}

async fn strangers(bench: &Bench) -> f64 {
    let gateway = bench.gateway();
    let before = idle_mib(&gateway).await * 1024.0;
    a_subscriber_kib(&gateway, before, fanout::strangers(bench, &gateway).await)
}

fn a_subscriber_kib(gateway: &Gateway, before: f64, swarm: Swarm) -> f64 {
    let grown = gateway.memory_kib() - before;
    grown / swarm.size as f64
}

async fn of_pulls(bench: &mut Bench) -> Vec<Row> {
    let gateway = bench.gateway();
    pull::fill(bench, &gateway).await;
    // The gateway that filled the scope has held more than pulls need.
    drop(gateway);
    let gateway = bench.gateway();
    let reader = pull::reader(&gateway);
    let idle = idle_mib(&gateway).await * 1024.0;
    let page = reader.connect().await.page_bytes().await as f64 / 1024.0;
    let mut pullers = pull::pullers(bench, &reader, PULLERS).await;
    let mut peaks = Vec::new();
    for deliveries in [1, 3] {
        for _ in 0..deliveries {
            futures_util::future::join_all(pullers.iter_mut().map(Client::step)).await;
        }
        peaks.push(gateway.memory_peak_kib());
    }
    let pages = (peaks[1] - idle) / page / PULLERS as f64;
    let name = format!("{PULLERS} pulls at a time, for each");
    let later = format!("after {} documents", 4 * PULLERS * bench.pulled);
    let mib = (peaks[0] / 1024.0, peaks[1] / 1024.0);
    vec![
        Row::alone(name, "pages", [pages]).bar(PAGES_BAR),
        Row::compared(later, "MiB", &[mib]).bar(GROWTH_BAR),
    ]
}
