//! The gateway beside servers that people use today, with the same load on the same mongod. The peer takes the place of
//! the floor.

use super::{Bench, Pusher, Target};
use crate::{
    client::{Device, Puller},
    figure::{Bar, Row},
    gateway::Gateway,
    load::{self, Done, work},
    peer::{Kind, Peer, PeerPuller},
};

/// The gateway must be ahead of the peer.
const BAR: Bar = Bar::AtLeast(1.0);

/// The same for latency and memory.
const COST_BAR: Bar = Bar::AtMost(1.0);

const SCOPE: &str = "team:peers";

/// Rounds that do not count: Node compiles code that runs often, which takes some seconds.
const WARM_UP: usize = 1;

/// Changes in each push, and clients.
const PUSHES: [(usize, usize); 3] = [(1, 16), (1, 64), (100, 8)];

/// The changes, the clients and whether they update, of the pushes that the README shows.
const HEADLINE: (usize, usize, bool) = (1, 16, true);

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in [Kind::Apollo, Kind::Rxdb, Kind::AsyncGraphql] {
        let peer = Peer::start(kind, &bench.mongod.url(kind.database()));
        peer.check(bench.numbers()).await;
        let (gateway, first) = (bench.gateway(), rows.len());
        for (changes, clients) in PUSHES {
            rows.extend(pushes(bench, &peer, &gateway, changes, clients).await);
        }
        let memory = [(peer.memory_kib() / 1024.0, gateway.memory_kib() / 1024.0)];
        let memory = Row::compared("memory after these pushes", "MiB", &memory);
        rows.push(memory.bar(COST_BAR).headline());
        rows.extend(pulls(bench, kind, &gateway).await);
        rows[first..]
            .iter_mut()
            .for_each(|row| row.server = Some(kind.name()));
    }
    rows
}

async fn pushes(
    bench: &mut Bench,
    peer: &Peer,
    gateway: &Gateway,
    changes: usize,
    clients: usize,
) -> Vec<Row> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for client in 0..clients {
        let target = peer.client(SCOPE).await;
        theirs.push(Pusher::new(target, changes, bench.numbers()));
        let target = device(gateway, &format!("user-{client}")).await;
        ours.push(Pusher::new(target, changes, bench.numbers()));
    }
    let mut rows = Vec::new();
    for (verb, updates) in [("create", false), ("update", true)] {
        theirs
            .iter_mut()
            .for_each(|client| client.updates = updates);
        ours.iter_mut().for_each(|client| client.updates = updates);
        let mut rounds = Vec::new();
        for _ in 0..WARM_UP + bench.rounds {
            let (worked, peer) = work(theirs, bench.window).await;
            theirs = worked;
            let (worked, gateway) = work(ours, bench.window).await;
            ours = worked;
            rounds.push((peer, gateway));
        }
        let counted = &rounds[WARM_UP..];
        let (changed, from) = (plural(changes, verb), plural(clients, "client"));
        let name = format!("push of {changed}, {from}");
        let row = compared(&name, "changes/s", counted, Done::rate).bar(BAR);
        if (changes, clients, updates) == HEADLINE {
            rows.push(row.headline());
            for percent in [50.0, 99.0] {
                let name = format!("{name}, p{percent}");
                let latency = |done: &Done| done.percentile_ms(percent);
                let row = compared(&name, "ms", counted, latency).bar(COST_BAR);
                rows.push(row.headline());
            }
        } else {
            rows.push(row);
        }
    }
    rows
}

/// Pulls go to databases of their own with only the pulled documents, since RxDB has no scopes.
async fn pulls(bench: &mut Bench, kind: Kind, gateway: &Gateway) -> Vec<Row> {
    let peer = Peer::start(
        kind,
        &bench.mongod.url(&format!("{}-pulled", kind.database())),
    );
    fill(bench, peer.client(SCOPE).await).await;
    let scope = format!("team:{}", kind.database());
    let reader = gateway.user("reader", &[kind.database().to_owned()]);
    fill(bench, Device::new(&reader, &scope).await).await;
    let mut rows = Vec::new();
    for clients in [1, 4] {
        let mut rounds = Vec::new();
        for _ in 0..WARM_UP + bench.rounds {
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..clients {
                theirs.push(PeerPuller {
                    client: peer.client(SCOPE).await,
                    documents: PULLED,
                });
                ours.push(Puller {
                    connection: reader.connect().await,
                    documents: PULLED,
                });
            }
            let (_, peer) = work(theirs, bench.window).await;
            let (_, gateway) = work(ours, bench.window).await;
            rounds.push((peer, gateway));
        }
        let name = format!("pages of 1000, {}", plural(clients, "client"));
        let row = compared(&name, "documents/s", &rounds[WARM_UP..], Done::rate).bar(BAR);
        rows.push(if clients == 1 { row.headline() } else { row });
    }
    rows
}

/// Not a multiple of a page, so that the last page shows that it is the last.
const PULLED: usize = 10_500;

async fn fill(bench: &mut Bench, target: impl Target) {
    const BATCH: usize = 500;
    let mut pusher = Pusher::new(target, BATCH, bench.numbers());
    for _ in 0..PULLED / BATCH {
        load::Client::step(&mut pusher).await;
    }
}

async fn device(gateway: &Gateway, user: &str) -> Device {
    let user = gateway.user(user, &["peers".to_owned()]);
    Device::new(&user, SCOPE).await
}

fn compared(
    name: &str,
    unit: &'static str,
    rounds: &[(Done, Done)],
    figure: impl Fn(&Done) -> f64,
) -> Row {
    let rounds = rounds.iter();
    let figures = rounds.map(|(peer, gateway)| (figure(peer), figure(gateway)));
    Row::compared(name, unit, &figures.collect::<Vec<_>>())
}

fn plural(count: usize, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}
