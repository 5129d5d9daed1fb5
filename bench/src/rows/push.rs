//! Pushes against the floor: of one change and of many, by few clients and by many, to one scope and to many; what the
//! slowest of them wait, and how often a transaction was repeated. The same for the floor's own work behind bare HTTP.

use super::{Bench, LANES, Pusher, RawScope, Target};
use crate::{
    bare::Bare,
    client::{Device, User},
    figure::{Bar, Row},
    load::{Done, work},
};

/// The share of the floor that a push has to reach.
const BAR: Bar = Bar::AtLeast(0.75);

/// How many times as long the slowest of many clients may wait as one client does.
const WAIT_BAR: Bar = Bar::AtMost(4.0);

/// Changes in each push, and clients with one push under way each.
const LOADS: [(usize, usize); 4] = [(1, 1), (1, 16), (1, 64), (100, 8)];

#[derive(Clone, Copy, PartialEq)]
enum Scopes {
    /// All clients write to one.
    One,
    /// Each to its own.
    Many,
}

impl Scopes {
    fn audience(self, client: usize) -> String {
        match self {
            Self::One => "team:bench".to_owned(),
            Self::Many => format!("user:user-{client}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "one scope",
            Self::Many => "many scopes",
        }
    }
}

/// The load of a row.
#[derive(Clone, Copy)]
struct Load {
    changes: usize,
    clients: usize,
    scopes: Scopes,
}

impl Load {
    fn name(&self, verb: &str) -> String {
        let (changes, clients) = (self.changes, self.clients);
        let scopes = self.scopes.name();
        format!("{changes:>3} {verb}, {clients:>2} clients, {scopes}")
    }
}

/// What the gateway did in each round of a row.
type Rounds = Vec<(Done, Done)>;

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let gateway = bench.gateway();
    let mut tally = Tally::default();
    let user = |client: usize| gateway.user(&format!("user-{client}"), &["bench".to_owned()]);
    let mut rows = measure_all(bench, &user, &[Scopes::One, Scopes::Many], &mut tally).await;
    let repeated = Row::alone("transactions repeated, per push", "", [tally.share()]);
    rows.push(repeated.bar(Bar::AtMost(0.01)));
    rows
}

/// What bare HTTP leaves possible: no row of a server can be better than that of a server that does nothing else.
pub(super) async fn rows_of_bare_http(bench: &mut Bench) -> Vec<Row> {
    let bare = Bare::start(&bench.mongod.url("bare"));
    let mut tally = Tally::default();
    let mut rows = measure_all(bench, &|_| bare.user(), &[Scopes::One], &mut tally).await;
    for row in &mut rows {
        row.bar = None;
    }
    rows
}

/// Measures each wanted load, and what its slowest pushes wait.
async fn measure_all(
    bench: &mut Bench,
    user: &dyn Fn(usize) -> User,
    scopes: &[Scopes],
    tally: &mut Tally,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut alone, mut crowded) = (Vec::new(), Vec::new());
    for &scopes in scopes {
        for (changes, clients) in LOADS {
            let load = Load {
                changes,
                clients,
                scopes,
            };
            if !["creates", "updates"]
                .iter()
                .any(|verb| bench.wants(&load.name(verb)))
            {
                continue;
            }
            let [created, updated] = measure(bench, user, load, tally).await;
            if scopes == Scopes::One && changes == 1 {
                match clients {
                    1 => alone = latencies(&created, 50.0),
                    64 => crowded = latencies(&created, 99.0),
                    _ => {}
                }
            }
            for (verb, rounds) in [("creates", created), ("updates", updated)] {
                rows.push(row(load.name(verb), &rounds));
            }
        }
    }
    let waits: Vec<_> = alone.into_iter().zip(crowded).collect();
    if !waits.is_empty() {
        let waits = Row::compared("p99 of 64 clients to p50 of one", "ms", &waits);
        rows.push(waits.bar(WAIT_BAR));
    }
    rows
}

fn row(name: String, rounds: &Rounds) -> Row {
    let rates = rounds
        .iter()
        .map(|(floor, gateway)| (floor.rate(), gateway.rate()));
    Row::compared(name, "changes/s", &rates.collect::<Vec<_>>()).bar(BAR)
}

/// Of the gateway, by round.
fn latencies(rounds: &Rounds, percent: f64) -> Vec<f64> {
    let gateway = rounds.iter().map(|(_, gateway)| gateway);
    gateway.map(|done| done.percentile_ms(percent)).collect()
}

/// How many transactions the gateway's pushes took.
#[derive(Default)]
struct Tally {
    pushes: usize,
    repeated: i64,
}

impl Tally {
    fn share(&self) -> f64 {
        self.repeated as f64 / self.pushes as f64
    }
}

/// Creates documents for some rounds, and updates them in the rest.
async fn measure(
    bench: &mut Bench,
    user: &dyn Fn(usize) -> User,
    load: Load,
    tally: &mut Tally,
) -> [Rounds; 2] {
    let mut floor = floor_clients(bench, load);
    let mut users = server_clients(bench, user, load).await;
    let mut measured = [Vec::new(), Vec::new()];
    for (updates, rounds) in [false, true].into_iter().zip(&mut measured) {
        floor.iter_mut().for_each(|client| client.updates = updates);
        users.iter_mut().for_each(|client| client.updates = updates);
        for _ in 0..bench.rounds {
            let (worked, of_floor) = work(floor, bench.window).await;
            floor = worked;
            let aborted = bench.mongod.transactions_aborted().await;
            let (worked, of_gateway) = work(users, bench.window).await;
            users = worked;
            tally.repeated += bench.mongod.transactions_aborted().await - aborted;
            tally.pushes += of_gateway.count();
            rounds.push((of_floor, of_gateway));
        }
    }
    measured
}

fn floor_clients(bench: &mut Bench, load: Load) -> Vec<Pusher<RawScope>> {
    let lanes = match load.scopes {
        Scopes::One => 1,
        Scopes::Many => LANES,
    };
    let target = |client: usize| RawScope {
        lane: bench.lanes[client % lanes].clone(),
        scope: load.scopes.audience(client),
    };
    let targets: Vec<_> = (0..load.clients).map(target).collect();
    pushers(bench, load, targets)
}

async fn server_clients(
    bench: &mut Bench,
    user: &dyn Fn(usize) -> User,
    load: Load,
) -> Vec<Pusher<Device>> {
    let mut targets = Vec::new();
    for client in 0..load.clients {
        targets.push(Device::new(&user(client), &load.scopes.audience(client)).await);
    }
    pushers(bench, load, targets)
}

fn pushers<T: Target>(bench: &mut Bench, load: Load, targets: Vec<T>) -> Vec<Pusher<T>> {
    let pusher = |target| Pusher::new(target, load.changes, bench.numbers());
    targets.into_iter().map(pusher).collect()
}
