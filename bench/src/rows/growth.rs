//! Growth: the cost of a pull, a push and a list in a feed of a million entries, and of a pull by a user with a thousand
//! scopes.

mod lists;

use std::time::{Duration, Instant};

use futures_util::{TryStreamExt, future::try_join_all};
use mongodb::{
    Client, Database,
    bson::{Document, RawDocument, RawDocumentBuf, doc},
};
use tokio::time::sleep;

use super::{Bench, Pusher};
use crate::{
    client::{Connection, Device, User},
    figure::{Bar, Row, percentile},
    gateway::Gateway,
    load,
    swarm::Subscriber,
};

/// How much more a large feed may cost than a small one.
const FEED_BAR: Bar = Bar::AtMost(1.2);

/// How much more a thousand scopes may cost than one.
const SCOPES_BAR: Bar = Bar::AtMost(2.0);

/// Entries of the small feed, from which the large one is copied.
const SMALL: usize = 10_000;

const BATCH: usize = 1_000;

/// The number of documents that a pull returns here. It is not what is measured.
const BEHIND: usize = 10;

const SCOPES: usize = 1_000;

const SCOPE: &str = "team:grown";

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let mut rows = of_feeds(bench).await;
    rows.push(of_scopes(bench).await);
    rows
}

/// The same scope with few entries and with many, in databases of their own.
async fn of_feeds(bench: &mut Bench) -> Vec<Row> {
    let small = database(bench, "small").await;
    let large = database(bench, "large").await;
    let gateway = start(bench, &small);
    fill(bench, &gateway).await;
    drop(start(bench, &large));
    copy(&small, &large, bench.entries / SMALL).await;
    bench.mongod.flush().await;
    let grown = start(bench, &large);
    settled(&grown).await;
    let mut feeds = [
        Feed::new(bench, &gateway).await,
        Feed::new(bench, &grown).await,
    ];
    let (mut pulls, mut pushes) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let mut pulled = Vec::new();
        let mut pushed = Vec::new();
        for feed in &mut feeds {
            pulled
                .push(pull_ms(&mut feed.connection, &feed.checkpoint, BEHIND, bench.window).await);
            pushed.push(feed.push_ms(bench.window).await);
        }
        pulls.push((pulled[0], pulled[1]));
        pushes.push((pushed[0], pushed[1]));
    }
    let row = |what: &str, rounds: &[(f64, f64)]| {
        let name = format!("{what} at {} entries to {SMALL}, p50", bench.entries);
        Row::compared(name, "ms", rounds).bar(FEED_BAR)
    };
    let lists = lists::row(bench, &member(&grown), &large, SCOPE).await;
    vec![row("pull", &pulls), row("push", &pushes), lists]
}

/// Waits until the importer has compared the copies, which it takes for another service's.
async fn settled(gateway: &Gateway) {
    const LOOK_MS: u64 = 2_000;
    const IDLE: f64 = 0.05;
    loop {
        let before = gateway.processor_ms();
        sleep(Duration::from_millis(LOOK_MS)).await;
        if gateway.processor_ms() - before < IDLE * LOOK_MS as f64 {
            return;
        }
    }
}

async fn database(bench: &Bench, name: &str) -> Database {
    let url = bench.mongod.url(name);
    Client::with_uri_str(url)
        .await
        .unwrap()
        .default_database()
        .unwrap()
}

fn start(bench: &Bench, database: &Database) -> Gateway {
    let url = bench.mongod.url(database.name());
    Gateway::start(bench.directory(), Some(&url))
}

fn member(gateway: &Gateway) -> User {
    gateway.user("member", &["grown".to_owned()])
}

async fn fill(bench: &mut Bench, gateway: &Gateway) {
    let device = Device::new(&member(gateway), SCOPE).await;
    let mut pusher = Pusher::new(device, BATCH, bench.numbers());
    for _ in 0..SMALL / BATCH {
        load::Client::step(&mut pusher).await;
    }
}

/// Fills the large database with copies of what the gateway wrote into the small one. With other ids and further seqs
/// they are what the gateway would have written, in a tenth of the time.
async fn copy(small: &Database, large: &Database, copies: usize) {
    let entries = all(small, "tidegate.feed").await;
    let documents = all(small, "tasks").await;
    for copy in 0..copies {
        let entries = entries.iter().map(|entry| entry_again(entry, copy));
        let documents = documents
            .iter()
            .map(|document| document_again(document, copy));
        try_join_all([
            insert(large, "tidegate.feed", entries.collect()),
            insert(large, "tasks", documents.collect()),
        ])
        .await
        .unwrap();
    }
    copy_head(small, large, i64::try_from(copies * SMALL).unwrap()).await;
}

/// Copies the scope's head, in whichever of its collections a gateway keeps it.
async fn copy_head(small: &Database, large: &Database, head: i64) {
    let filter = doc! {"_id": {"$regex": format!("{SCOPE}$")}, "h": {"$exists": true}};
    for name in small.list_collection_names().await.unwrap() {
        let collection = small.collection::<Document>(&name);
        let found = collection.find_one(filter.clone()).await;
        if let Some(mut state) = found.unwrap() {
            state.insert("h", head);
            let collection = large.collection(&name);
            collection.insert_one(state).await.unwrap();
            return;
        }
    }
    panic!("no head of {SCOPE} is kept");
}

async fn all(database: &Database, collection: &str) -> Vec<RawDocumentBuf> {
    let collection = database.collection::<RawDocumentBuf>(collection);
    let found = collection.find(doc! {}).await.unwrap();
    found.try_collect().await.unwrap()
}

async fn insert(
    database: &Database,
    collection: &str,
    documents: Vec<RawDocumentBuf>,
) -> mongodb::error::Result<()> {
    let collection = database.collection::<RawDocumentBuf>(collection);
    collection.insert_many(documents).ordered(false).await?;
    Ok(())
}

fn document_again(document: &RawDocument, copy: usize) -> RawDocumentBuf {
    let mut again = RawDocumentBuf::new();
    for element in document {
        let (name, value) = element.unwrap();
        match name.as_str() {
            "_id" => again.append(name, format!("{}-{copy}", value.as_str().unwrap())),
            _ => again.append(name, value.to_owned()),
        }
    }
    again
}

fn entry_again(entry: &RawDocument, copy: usize) -> RawDocumentBuf {
    let mut again = RawDocumentBuf::new();
    for element in entry {
        let (name, value) = element.unwrap();
        match name.as_str() {
            "_id" | "i" => again.append(name, format!("{}-{copy}", value.as_str().unwrap())),
            "q" => {
                let before = i64::try_from(copy * SMALL).unwrap();
                again.append(name, before + value.as_i64().unwrap());
            }
            _ => again.append(name, value.to_owned()),
        }
    }
    again
}

/// A scope under measurement: a client that is a few changes behind, and a client that pushes.
struct Feed {
    connection: Connection,
    checkpoint: String,
    pusher: Vec<Pusher<Device>>,
}

impl Feed {
    async fn new(bench: &mut Bench, gateway: &Gateway) -> Self {
        let member = member(gateway);
        let checkpoint = Subscriber::open(&member).await.checkpoint;
        let device = Device::new(&member, SCOPE).await;
        let mut behind = Pusher::new(device, BEHIND, bench.numbers());
        load::Client::step(&mut behind).await;
        let device = Device::new(&gateway.user("pusher", &[]), "user:pusher").await;
        Self {
            connection: member.connect().await,
            checkpoint,
            pusher: vec![Pusher::new(device, 1, bench.numbers())],
        }
    }

    async fn push_ms(&mut self, window: Duration) -> f64 {
        let pusher = std::mem::take(&mut self.pusher);
        let (pusher, done) = load::work(pusher, window).await;
        self.pusher = pusher;
        done.percentile_ms(50.0)
    }
}

/// The median time of a pull after the same checkpoint, which returns this number of documents.
async fn pull_ms(
    connection: &mut Connection,
    checkpoint: &str,
    documents: usize,
    window: Duration,
) -> f64 {
    let (began, mut latencies_ms) = (Instant::now(), Vec::new());
    while began.elapsed() < window {
        let start = Instant::now();
        let page = connection.page(checkpoint).await;
        latencies_ms.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!((page.documents, page.has_more), (documents, false));
    }
    latencies_ms.sort_by(f64::total_cmp);
    percentile(&latencies_ms, 50.0)
}

/// Two members of one team, one of them in many other teams too. Both pull what changes in that team.
async fn of_scopes(bench: &mut Bench) -> Row {
    let gateway = bench.gateway();
    let teams: Vec<String> = (0..SCOPES - 1).map(|team| format!("m{team}")).collect();
    let many = gateway.user("many", &teams);
    let one = gateway.user("one", &teams[..1]);
    write_to_each(bench, &many, &teams).await;
    let mut watchers = Vec::new();
    for user in [one, many.clone()] {
        let mut connection = user.connect().await;
        let checkpoint = connection.last_checkpoint().await;
        watchers.push((connection, checkpoint));
    }
    let device = Device::new(&many, &format!("team:{}", teams[0])).await;
    load::Client::step(&mut Pusher::new(device, 1, bench.numbers())).await;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        let mut latencies_ms = Vec::new();
        for (connection, checkpoint) in &mut watchers {
            latencies_ms.push(pull_ms(connection, checkpoint, 1, bench.window).await);
        }
        rounds.push((latencies_ms[0], latencies_ms[1]));
    }
    let name = format!("pull of 1 change, {SCOPES} scopes to 2, p50");
    Row::compared(name, "ms", &rounds).bar(SCOPES_BAR)
}

async fn write_to_each(bench: &mut Bench, user: &User, teams: &[String]) {
    let mut device = Device::new(user, "").await;
    for some in teams.chunks(100) {
        let scopes: Vec<String> = some.iter().map(|team| format!("team:{team}")).collect();
        let edits = super::new_documents(bench.numbers(), scopes.len());
        let changes = edits.iter().zip(scopes.iter().map(String::as_str));
        device.push_to(changes).await;
    }
}
