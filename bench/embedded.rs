//! What the gateway adds to its embedded store: the same documents pushed and pulled through HTTP and, as the floor of the
//! same run, through the store alone. Prints documents per second, the ratio, and the process's peak memory.
//!
//! `cargo bench` runs it; figures are of this machine and this run, and only the ratios travel.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails, and prints what it found"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
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
    let gateway = gateway().await;
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

fn title(number: usize) -> String {
    format!("Task number {number} of the benchmark")
}

fn notes(number: usize) -> String {
    format!(
        "Some words about task {number}, so that the document has the size of an ordinary one: about 280 bytes in all."
    )
}

/// What was measured through HTTP.
struct Gateway {
    push: f64,
    pull: f64,
    first_answer: Duration,
    peak_few_kib: u64,
    peak_many_kib: u64,
}

async fn gateway() -> Gateway {
    let few = fill(FEW).await;
    let many = fill(MANY).await;
    Gateway {
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
    let server = Server::start(&directory);
    server.post("{ viewer { id } }", json!({})).await;
    let first_answer = began.elapsed();
    let began = Instant::now();
    server.push(0..documents / BATCH).await;
    let push = documents as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for _ in 0..DELIVERED / documents {
        assert_eq!(server.pull_all().await, documents);
    }
    Filled {
        push,
        pull: DELIVERED as f64 / began.elapsed().as_secs_f64(),
        first_answer,
        peak_kib: server.peak_kib(),
    }
}

struct Server {
    child: Child,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Server {
    fn start(directory: &TempDir) -> Self {
        let tidegate = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
            command
                .current_dir(directory.path())
                .env("TIDEGATE_LOG", "warn");
            command
        };
        let mut child = tidegate()
            .args(["dev", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let url = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap();
        let token = tidegate()
            .args(["token", "--sub", "alice"])
            .output()
            .unwrap()
            .stdout;
        let token = String::from_utf8(token).unwrap().trim().to_owned();
        Self {
            child,
            url: format!("{url}/graphql"),
            token,
            http: reqwest::Client::new(),
        }
    }

    async fn post(&self, query: &str, variables: Json) -> Json {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        let answer: Json = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.get("errors"), None);
        answer
    }

    async fn push(&self, batches: std::ops::Range<usize>) {
        let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
        for batch in batches {
            let changes: Vec<Json> = (0..BATCH).map(|i| create(batch * BATCH + i)).collect();
            let answer = self
                .post(query, json!({"input": {"changes": changes}}))
                .await;
            let results = answer["data"]["pushChanges"]["results"].as_array().unwrap();
            assert!(results.iter().all(|result| result["status"] == "APPLIED"));
        }
    }

    async fn pull_all(&self) -> usize {
        let query = "query($c: Checkpoint) { changesSince(checkpoint: $c, limit: 1000) { checkpoint hasMore changes { documentId version document { ... on Task { audience title notes done priority labels minutesSpent due } } } } }";
        let (mut checkpoint, mut count) = (Json::Null, 0);
        loop {
            let mut answer = self.post(query, json!({"c": checkpoint})).await;
            let page = &mut answer["data"]["changesSince"];
            count += page["changes"].as_array().unwrap().len();
            checkpoint = page["checkpoint"].take();
            if page["hasMore"] == false {
                return count;
            }
        }
    }

    /// The most memory the process ever held, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn create(number: usize) -> Json {
    json!({"task": {"create": {"id": format!("task-{number}"), "document": {
        "title": title(number), "notes": notes(number), "labels": ["home", "shop"],
        "minutesSpent": 5, "due": "1970-01-01T00:00:00.000Z"
    }}}})
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
