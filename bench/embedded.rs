//! What the gateway adds to its embedded store: the same documents pushed and pulled through HTTP and, as the floor of the
//! same run, through the store alone. Prints documents per second, the ratio, and the process's peak memory.
//!
//! `cargo bench` runs it; figures are of this machine and this run, and only the ratios travel.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails, and prints what it found"
)]

mod documents;
mod gateway;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tidegate::store::{
    ScanRange, Store,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use tidegate_core::{
    entry::{Entry, Writer},
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, TypeName, Version},
    transaction::{Reads, Writes},
    value::{Document, Timestamp, Value},
};

use self::{
    documents::{create, notes, title},
    gateway::{Gateway, User},
};

/// Documents of one push, and of one page.
const BATCH: usize = 1_000;

/// Documents in all.
const MANY: usize = 100_000;

/// Documents of the smaller store whose memory is compared, more than the cache holds: it must not grow with them.
const FEW: usize = 50_000;

/// How many documents are delivered before memory is looked at, however many there are to deliver: allocators take some
/// time to settle.
const DELIVERED: usize = 300_000;

#[tokio::main]
async fn main() {
    let floor = floor().await;
    let gateway = through_http().await;
    println!("\n{MANY} documents of 8 fields, {BATCH} at a time, one client, embedded store");
    println!(
        "{:<8} {:>16} {:>16} {:>8}",
        "", "store alone", "through HTTP", "ratio"
    );
    row("push", floor.push, gateway.push);
    row("pull", floor.pull, gateway.pull);
    println!(
        "\nfirst answer after {} ms",
        gateway.first_answer.as_millis()
    );
    println!(
        "peak memory, {DELIVERED} documents delivered: {} MiB from a store of {FEW}, {} MiB from one of {MANY}",
        gateway.peak_few_kib / 1024,
        gateway.peak_many_kib / 1024
    );
}

fn row(verb: &str, floor: f64, gateway: f64) {
    println!(
        "{verb:<8} {floor:>12.0} d/s {gateway:>12.0} d/s {:>8.2}",
        gateway / floor
    );
}

/// Documents per second.
struct Rates {
    push: f64,
    pull: f64,
}

fn rate(began: Instant) -> f64 {
    MANY as f64 / began.elapsed().as_secs_f64()
}

async fn floor() -> Rates {
    let directory = TempDir::new().unwrap();
    let options = EmbeddedOptions::new(Epoch::new("bench").unwrap());
    let store = EmbeddedStore::open(directory.path(), &options).unwrap();
    let began = Instant::now();
    for batch in 0..MANY / BATCH {
        let decide = move |_: &_| Writes {
            entries: entries(batch),
            ..Writes::default()
        };
        store
            .commit(Reads::default(), Arc::new(decide))
            .await
            .unwrap();
    }
    let push = rate(began);
    let began = Instant::now();
    assert_eq!(scan_all(&store).await, MANY);
    Rates {
        push,
        pull: rate(began),
    }
}

async fn scan_all(store: &EmbeddedStore) -> usize {
    let scope = Scope::new("user:alice").unwrap();
    let (mut after, mut count) = (Seq::START, 0);
    loop {
        let mut snapshot = store.snapshot().await.unwrap();
        let heads = snapshot
            .scopes(&BTreeSet::from([scope.clone()]))
            .await
            .unwrap();
        let range = ScanRange {
            scope: scope.clone(),
            types: None,
            after,
            through: heads[&scope].head,
            items_max: BATCH,
            bytes_max: usize::MAX,
        };
        let scan = snapshot.scan(&range).await.unwrap();
        count += scan.items.len();
        match scan.items.last() {
            Some(last) => after = last.seq,
            None => return count,
        }
    }
}

fn entries(batch: usize) -> Vec<Arc<Entry>> {
    (0..BATCH)
        .map(|i| Arc::new(entry(batch * BATCH + i)))
        .collect()
}

fn entry(number: usize) -> Entry {
    let text = |text: String| Value::String(text);
    let body: Document = [
        ("audience", text("user:alice".into())),
        ("title", text(title(number))),
        ("notes", text(notes(number))),
        ("done", Value::Bool(false)),
        ("priority", text("NORMAL".into())),
        (
            "labels",
            Value::List(vec![text("home".into()), text("shop".into())]),
        ),
        ("minutesSpent", Value::Int(5)),
        ("due", Value::DateTime(Timestamp::EPOCH)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let writer = Writer {
        user: None,
        client: None,
        edited_at: Timestamp::EPOCH,
        mutation: None,
    };
    Entry {
        key: DocumentKey {
            type_name: TypeName::new("Task").unwrap(),
            id: DocumentId::new(&format!("task-{number}")).unwrap(),
        },
        scope: Scope::new("user:alice").unwrap(),
        version: Version(1),
        began: Version(1),
        run: Version(1),
        field_versions: body.keys().map(|name| (name.clone(), Version(1))).collect(),
        writers: BTreeMap::from([(Version(1), writer)]),
        body: Some(body),
        at: Timestamp::EPOCH,
        membership: None,
        withheld: false,
    }
}

/// What was measured through HTTP.
struct ThroughHttp {
    push: f64,
    pull: f64,
    first_answer: Duration,
    peak_few_kib: u64,
    peak_many_kib: u64,
}

async fn through_http() -> ThroughHttp {
    let few = fill(FEW).await;
    let many = fill(MANY).await;
    ThroughHttp {
        push: many.push,
        pull: many.pull,
        first_answer: many.first_answer,
        peak_few_kib: few.peak_kib,
        peak_many_kib: many.peak_kib,
    }
}

/// What a store of one size shows.
struct Filled {
    push: f64,
    pull: f64,
    first_answer: Duration,
    peak_kib: u64,
}

async fn fill(documents: usize) -> Filled {
    let directory = TempDir::new().unwrap();
    let began = Instant::now();
    let gateway = Gateway::start(directory.path(), &[]);
    let alice = gateway.user("alice");
    alice.post::<Json>("{ viewer { id } }", json!({})).await;
    let first_answer = began.elapsed();
    let began = Instant::now();
    push(&alice, 0..documents / BATCH).await;
    let push = documents as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for _ in 0..DELIVERED / documents {
        assert_eq!(alice.pull_all().await, documents);
    }
    Filled {
        push,
        pull: DELIVERED as f64 / began.elapsed().as_secs_f64(),
        first_answer,
        peak_kib: peak_kib(gateway.process.id()),
    }
}

/// Pushes so many batches for alice.
async fn push(user: &User, batches: std::ops::Range<usize>) {
    for batch in batches {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let changes: Vec<Json> = numbers
            .map(|number| create(&format!("task-{number}"), number, "user:alice"))
            .collect();
        user.push(json!({ "changes": changes })).await;
    }
}

/// The most memory a process ever held, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
