//! What the gateway adds to MongoDB: pushes and pulls through HTTP and, as the floor of the same run, the same documents
//! and feed entries written and read by the official driver alone. Both take turns on one mongod; each figure is the
//! median of the rounds, with the least and the most beside it.
//!
//! `cargo bench --bench mongodb` runs it. Load, gateway and mongod share the machine: figures are of this machine and
//! this run, and only the ratios travel.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails, and prints what it found"
)]

mod documents;
mod gateway;
mod mongod;
mod raw;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use self::{
    documents::create,
    gateway::{Gateway, User},
    mongod::Mongod,
    raw::{Lane, Push, Raw},
};

/// How often floor and gateway take turns at each row.
const ROUNDS: usize = 5;

/// How long each pushes in a round. What has begun is ended, and counted with the time it takes.
const WINDOW: Duration = Duration::from_secs(2);

/// Documents of the scope that is pulled.
const PULLED: usize = 50_000;

/// Transactions that the floor has under way where there are many scopes: as many as a gateway.
const LANES: usize = 3;

const CLIENTS_MAX: usize = 64;

#[tokio::main]
async fn main() {
    let mongod = Mongod::start().await;
    let directory = TempDir::new().unwrap();
    let mut bench = Bench::start(&mongod, &directory).await;
    let cores = available_parallelism().unwrap();
    println!(
        "\n{cores} cores, MongoDB {}, one node; documents of 8 fields; medians of {ROUNDS} rounds (least–most)",
        mongod.version().await
    );
    println!(
        "{:<34} {:>28} {:>28} {:>7}",
        "", "raw driver", "through HTTP", "ratio"
    );
    for changes in [1, 100] {
        for scopes in [Scopes::One, Scopes::Many] {
            for clients in [1, 16, 64] {
                let load = Load {
                    changes,
                    clients,
                    scopes,
                };
                bench.push_row(&load).await;
            }
        }
    }
    let reader = bench.fill().await;
    for clients in [1, 4] {
        bench.pull_row(&reader, clients).await;
    }
}

/// How a row pushes.
struct Load {
    /// In each push.
    changes: usize,
    /// At a time, each with one push under way.
    clients: usize,
    scopes: Scopes,
}

#[derive(Clone, Copy)]
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
}

impl Load {
    fn name(&self) -> String {
        let scopes = match self.scopes {
            Scopes::One => "one scope",
            Scopes::Many => "many scopes",
        };
        let (changes, clients) = (self.changes, self.clients);
        format!("push {changes:>3}, {clients:>2} clients, {scopes}")
    }
}

struct Bench {
    raw: Raw,
    lanes: Vec<Lane>,
    gateway: Gateway,
    devices: Vec<Arc<Device>>,
    /// Documents made so far: no number is used twice.
    made: usize,
}

/// One of the gateway's users, at one device.
struct Device {
    user: User,
    next_mutation: AtomicUsize,
}

impl Bench {
    async fn start(mongod: &Mongod, directory: &TempDir) -> Self {
        let raw = Raw::open(&mongod.url("raw")).await;
        let lanes = join_all((0..LANES).map(|_| raw.lane())).await;
        let gateway = Gateway::start(directory.path(), &["--store", &mongod.url("app")]);
        let device = |client| Arc::new(Device::new(gateway.user(&format!("user-{client}"))));
        Self {
            devices: (0..CLIENTS_MAX).map(device).collect(),
            raw,
            lanes,
            gateway,
            made: 0,
        }
    }

    async fn push_row(&mut self, load: &Load) {
        let mut row = Row::new(load.name(), "p/s");
        for _ in 0..ROUNDS {
            let floor = self.push_raw(load).await;
            let gateway = self.push_through_http(load).await;
            row.rounds.push((floor, gateway));
        }
        row.print();
    }

    /// Numbers for a client's documents that no other has.
    fn numbers(&mut self) -> usize {
        const PER_CLIENT: usize = 1_000_000;
        self.made += PER_CLIENT;
        self.made
    }

    async fn push_raw(&mut self, load: &Load) -> f64 {
        let began = Instant::now();
        let clients: Vec<_> = (0..load.clients)
            .map(|client| {
                let lane = match load.scopes {
                    Scopes::One => self.lanes[0].clone(),
                    Scopes::Many => self.lanes[client % LANES].clone(),
                };
                let scope = load.scopes.audience(client);
                push_for_a_while(began, self.numbers(), load.changes, move |numbers| {
                    let (lane, scope) = (lane.clone(), scope.clone());
                    let documents = numbers.map(|number| (id(number), number)).collect();
                    async move { lane.push(Push { scope, documents }).await }
                })
            })
            .collect();
        rate(clients, began).await
    }

    async fn push_through_http(&mut self, load: &Load) -> f64 {
        let epoch = self.epoch().await;
        let began = Instant::now();
        let clients: Vec<_> = (0..load.clients)
            .map(|client| {
                let device = Arc::clone(&self.devices[client]);
                let (audience, epoch) = (load.scopes.audience(client), epoch.clone());
                push_for_a_while(began, self.numbers(), load.changes, move |numbers| {
                    let (device, audience, epoch) =
                        (Arc::clone(&device), audience.clone(), epoch.clone());
                    async move { device.push(numbers, &audience, &epoch).await }
                })
            })
            .collect();
        rate(clients, began).await
    }

    async fn epoch(&self) -> Json {
        let query = "{ viewer { epoch } }";
        let mut answer: Json = self.devices[0].user.post(query, json!({})).await;
        answer["data"]["viewer"]["epoch"].take()
    }

    /// Makes the scope that is pulled, on both sides; who may pull it.
    async fn fill(&self) -> User {
        const BATCH: usize = 1_000;
        let epoch = self.epoch().await;
        let reader = Device::new(self.gateway.user("reader"));
        for start in (0..PULLED).step_by(BATCH) {
            let numbers = start..start + BATCH;
            let documents = numbers.clone().map(|number| (id(number), number)).collect();
            let scope = "user:reader".to_owned();
            self.lanes[0].push(Push { scope, documents }).await;
            reader.push(numbers, "user:reader", &epoch).await;
        }
        reader.user
    }

    async fn pull_row(&self, reader: &User, clients: usize) {
        let mut row = Row::new(format!("pull, pages of 1000, {clients} clients"), "d/s");
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let reads = (0..clients).map(|_| {
                let raw = self.raw.clone();
                async move { raw.read_all("user:reader").await }
            });
            let floor = rate(reads, began).await;
            let began = Instant::now();
            let pulls = (0..clients).map(|_| {
                let reader = reader.clone();
                async move { reader.pull_all().await }
            });
            let gateway = rate(pulls, began).await;
            row.rounds.push((floor, gateway));
        }
        row.print();
    }
}

impl Device {
    fn new(user: User) -> Self {
        Self {
            user,
            next_mutation: AtomicUsize::new(1),
        }
    }

    /// One push at a time: its mutation ids follow on those of the one before.
    async fn push(&self, numbers: Range<usize>, audience: &str, epoch: &Json) {
        let first = self
            .next_mutation
            .fetch_add(numbers.len(), Ordering::Relaxed);
        let client = json!({"id": "device", "firstMutationId": first});
        let changes: Vec<Json> = numbers
            .map(|number| create(&id(number), number, audience))
            .collect();
        let input = json!({"client": client, "epoch": epoch, "changes": changes});
        self.user.push(input).await;
    }
}

fn id(number: usize) -> String {
    format!("task-{number}")
}

/// Pushes one batch of new documents after the other; how many pushes it was.
async fn push_for_a_while<F: Future<Output = ()>>(
    began: Instant,
    mut number: usize,
    changes: usize,
    push: impl Fn(Range<usize>) -> F,
) -> usize {
    let mut pushes = 0;
    while began.elapsed() < WINDOW {
        push(number..number + changes).await;
        number += changes;
        pushes += 1;
    }
    pushes
}

/// Lets all of them work at a time; what they did a second, together.
async fn rate(
    clients: impl IntoIterator<Item = impl Future<Output = usize> + Send + 'static>,
    began: Instant,
) -> f64 {
    let working: Vec<_> = clients.into_iter().map(tokio::spawn).collect();
    let mut done = 0;
    for client in working {
        done += client.await.unwrap();
    }
    done as f64 / began.elapsed().as_secs_f64()
}

/// What the rounds of one row came to: floor and gateway, in something per second.
struct Row {
    name: String,
    unit: &'static str,
    rounds: Vec<(f64, f64)>,
}

impl Row {
    fn new(name: String, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            rounds: Vec::new(),
        }
    }

    fn print(&self) {
        let spread = |values: Vec<f64>| {
            let (least, median, most) = spread(values);
            format!("{median:.0} {} ({least:.0}–{most:.0})", self.unit)
        };
        let floor = spread(self.rounds.iter().map(|round| round.0).collect());
        let gateway = spread(self.rounds.iter().map(|round| round.1).collect());
        let ratios = self.rounds.iter().map(|(floor, gateway)| gateway / floor);
        let (_, ratio, _) = self::spread(ratios.collect());
        println!("{:<34} {floor:>28} {gateway:>28} {ratio:>7.2}", self.name);
    }
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    )
}
