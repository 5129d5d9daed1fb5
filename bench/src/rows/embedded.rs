//! The embedded store: the same documents pushed and pulled through HTTP and, as the floor, through the store alone; and
//! how soon a gateway on it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use tempfile::TempDir;
use tidegate::store::{
    ScanRange, Store,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use tidegate_core::{
    checkpoint::TokenKey,
    entry::{Entry, Writer},
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, TypeName, Version},
    transaction::{Reads, Writes},
    value::{Document, Timestamp, Value},
};

use super::{Bench, Pusher, memory};
use crate::{
    client::Device,
    documents::{id, notes, title},
    figure::{Bar, Row},
    gateway::Gateway,
    load::Client,
};

/// In milliseconds from the start of the process.
const FIRST_ANSWER_BAR: Bar = Bar::AtMost(300.0);

/// Documents in all.
const DOCUMENTS: usize = 20_000;

/// Of one push, and of one page.
const BATCH: usize = 1_000;

const SCOPE: &str = "user:alice";

pub(super) async fn rows(bench: &Bench) -> Vec<Row> {
    let (mut pushes, mut pulls) = (Vec::new(), Vec::new());
    let (mut first_answers, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let floor = floor().await;
        let gateway = through_http().await;
        pushes.push((floor.push, gateway.rates.push));
        pulls.push((floor.pull, gateway.rates.pull));
        first_answers.push(gateway.first_answer_ms);
        idle.push(gateway.idle_mib);
    }
    let compared = |name, rounds| Row::compared(name, "documents/s", rounds);
    vec![
        compared("push of 1000 creates, 1 client", &pushes),
        compared("pages of 1000, 1 client", &pulls),
        Row::alone("first answer after the start", "ms", first_answers).bar(FIRST_ANSWER_BAR),
        Row::alone("idle", "MiB", idle).bar(memory::IDLE_BAR),
    ]
}

/// Documents per second.
struct Rates {
    push: f64,
    pull: f64,
}

fn rate(began: Instant) -> f64 {
    DOCUMENTS as f64 / began.elapsed().as_secs_f64()
}

async fn floor() -> Rates {
    let directory = TempDir::new().unwrap();
    let options = EmbeddedOptions::new(Epoch::new("bench").unwrap(), TokenKey([7; 32]));
    let store = EmbeddedStore::open(directory.path(), &options).unwrap();
    let began = Instant::now();
    for batch in 0..DOCUMENTS / BATCH {
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
    assert_eq!(scan_all(&store).await, DOCUMENTS);
    Rates {
        push,
        pull: rate(began),
    }
}

async fn scan_all(store: &EmbeddedStore) -> usize {
    let scope = Scope::new(SCOPE).unwrap();
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
            removals: true,
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
    let body = body(number);
    let writer = Writer {
        user: None,
        client: None,
        edited_at: Timestamp::EPOCH,
        mutation: None,
    };
    Entry {
        key: DocumentKey {
            type_name: TypeName::new("Task").unwrap(),
            id: DocumentId::new(&id(number)).unwrap(),
        },
        scope: Scope::new(SCOPE).unwrap(),
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

fn body(number: usize) -> Document {
    let text = |text: String| Value::String(text);
    [
        ("audience", text(SCOPE.into())),
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
    .into()
}

/// What was measured through HTTP.
struct ThroughHttp {
    rates: Rates,
    first_answer_ms: f64,
    idle_mib: f64,
}

async fn through_http() -> ThroughHttp {
    let directory = TempDir::new().unwrap();
    let began = Instant::now();
    let gateway = Gateway::start(directory.path(), None);
    let idle_mib = memory::idle_mib(&gateway).await;
    let first_answer_ms = began.elapsed().as_secs_f64() * 1e3;
    let alice = gateway.user("alice", &[]);
    let mut pusher = Pusher::new(Device::new(&alice, SCOPE).await, BATCH, 0);
    let began = Instant::now();
    for _ in 0..DOCUMENTS / BATCH {
        pusher.step().await;
    }
    let push = rate(began);
    let mut reader = alice.connect().await;
    let began = Instant::now();
    assert_eq!(reader.pull_all().await, DOCUMENTS);
    ThroughHttp {
        rates: Rates {
            push,
            pull: rate(began),
        },
        first_answer_ms,
        idle_mib,
    }
}
