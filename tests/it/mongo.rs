//! The MongoDB store: it keeps the contract, and what it alone promises of the application's collections and of
//! MongoDB's failures.
//!
//! Every test has a database of its own on a shared server, or a server of its own if it does harm.

mod collections;
mod commits;
mod contention;
mod digests;
mod doctor;
mod documents;
mod elections;
mod fairness;
mod feeds;
mod following;
mod foreign;
mod gateway;
mod lists;
mod many_refused;
mod members;
mod models;
mod odd;
mod opening;
mod presence;
mod refusals;
mod starts;
mod tails;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use mongodb::{
    Database,
    bson::Document,
    event::{EventHandler, command::CommandEvent},
    options::ClientOptions,
};
use tidegate::store::{
    Store,
    mongo::{MongoOptions, MongoStore, Random},
};
use tidegate_core::{id::Epoch, model::Model};

use crate::{
    contract::{Backend, contract},
    harness::mongod::{Deployment, fresh_database},
};

contract!(Mongo);

/// The types of the contract, as far as they have a collection. The others are kept in the feed alone.
const CONTRACT: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{audience}") {
  id: ID! audience: String! title: String text: String bytes: Bytes list: [Long!] nothing: String
}
type Member @collection(name: "members") @scope(by: "{audience}") { id: ID! audience: String! title: String }
"#;

/// A database for one test, on the server that they share.
pub(crate) struct Mongo {
    database: String,
}

impl Backend for Mongo {
    async fn start() -> Self {
        Deployment::shared().await;
        Self {
            database: fresh_database(),
        }
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store(CONTRACT).await)
    }
}

impl Mongo {
    async fn store(&self, model: &str) -> MongoStore {
        open(&self.options().await, model).await
    }

    async fn options(&self) -> MongoOptions {
        options(Deployment::shared().await, &self.database).await
    }

    /// The database as another service sees it.
    async fn database(&self) -> Database {
        Deployment::shared()
            .await
            .client()
            .await
            .database(&self.database)
    }
}

async fn options(deployment: &Deployment, database: &str) -> MongoOptions {
    let client = ClientOptions::parse(deployment.url(database))
        .await
        .unwrap();
    MongoOptions::new(
        client,
        database,
        Epoch::new("the-first-epoch").unwrap(),
        random(),
    )
}

async fn open(options: &MongoOptions, model: &str) -> MongoStore {
    let model = Model::parse("model.graphql", model).unwrap();
    MongoStore::open(options, &model).await.unwrap()
}

/// The commands that a client starts.
fn monitored(commands: &Arc<Mutex<Vec<Document>>>) -> EventHandler<CommandEvent> {
    let commands = Arc::clone(commands);
    EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            commands.lock().unwrap().push(started.command);
        }
    })
}

/// The statements of transactions, each with its collection; Tidegate's own are named without the prefix.
fn round_trips_of(commands: &[Document]) -> String {
    let of_transactions = commands
        .iter()
        .filter(|command| command.contains_key("autocommit"));
    let round_trips = of_transactions.map(|command| {
        let (name, on) = command.iter().next().unwrap();
        let on = on.as_str().unwrap_or_default();
        match name.strip_suffix("Transaction") {
            Some(end) => end.to_owned(),
            None => format!("{name} {}", on.trim_start_matches("tidegate.")),
        }
    });
    round_trips.collect::<Vec<_>>().join(", ")
}

/// Numbers that no other test of this process draws: the same at every run, and different for each gateway.
pub(crate) fn random() -> Random {
    static GATEWAYS: AtomicU64 = AtomicU64::new(1);
    let state = AtomicU64::new(GATEWAYS.fetch_add(1, Ordering::Relaxed) << 32);
    Arc::new(move || {
        // SplitMix64.
        let mut z = state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}
