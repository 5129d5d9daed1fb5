//! A database that other services write to, and two gateways on it that can be killed, stopped and replaced.
//!
//! Devices reach a gateway by its slot, whichever process is in it.

use std::{collections::BTreeSet, fs, process::Command, sync::Mutex};

use futures_util::TryStreamExt;
use mongodb::{
    Collection, Database,
    bson::{Bson, Document, Timestamp, doc},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::RwLock, task::block_in_place};

use super::kinds::Kind;
use crate::harness::{
    Client, Server, configured_on,
    mongod::{Deployment, fresh_database, until},
};

const MODEL: &str = include_str!("../models/fleet.graphql");

pub(super) struct Stage {
    pub(super) set: Deployment,
    pub(super) database: Database,
    directory: TempDir,
    slots: [Slot; 2],
    /// Before the first write.
    pub(super) began: Timestamp,
    /// A rename of the tasks holds this lock: within a second of it, a create would make their collection again.
    pub(super) creating: RwLock<()>,
}

/// The place of a gateway.
#[derive(Default)]
struct Slot {
    url: Mutex<String>,
    gateway: Mutex<Option<Gateway>>,
}

struct Gateway {
    server: Server,
    /// Its name in the records of live gateways.
    id: String,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let set = Deployment::replica_set(1).await;
        let name = fresh_database();
        let database = set.client().await.database(&name);
        let ping = database.run_command(doc! {"ping": 1}).await.unwrap();
        let directory = configured_on(&set.url(&name));
        fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let stage = Self {
            began: ping.get_timestamp("operationTime").unwrap(),
            set,
            database,
            directory,
            slots: Default::default(),
            creating: RwLock::default(),
        };
        for kind in Kind::ALL {
            stage.create_collection(kind.collection()).await;
        }
        stage
    }

    /// Makes a collection whose change streams show each document as each write left it.
    pub(super) async fn create_collection(&self, name: &str) {
        let images = doc! {"create": name, "changeStreamPreAndPostImages": {"enabled": true}};
        self.database.run_command(images).await.unwrap();
    }

    pub(super) fn stored(&self, kind: Kind) -> Collection<Document> {
        self.database.collection(kind.collection())
    }

    /// Starts a gateway in an empty slot.
    pub(super) async fn start(&self, slot: usize) {
        let before = self.live().await;
        let server = block_in_place(|| Server::serve(&self.directory));
        let id = until("record of a new gateway", async || {
            let live = self.live().await;
            live.difference(&before).next().cloned()
        })
        .await;
        *self.slots[slot].url.lock().unwrap() = server.url.clone();
        *self.slots[slot].gateway.lock().unwrap() = Some(Gateway { server, id });
    }

    /// Kills a gateway with -9.
    pub(super) fn kill(&self, slot: usize) {
        let gateway = self.slots[slot].gateway.lock().unwrap().take();
        block_in_place(|| gateway.expect("it runs").server.kill());
    }

    /// Stops a gateway, or lets it go on, by a signal.
    pub(super) fn signal(&self, slot: usize, name: &str) {
        let pid = self.with(slot, |gateway| gateway.server.pid().to_string());
        let signal = format!("-{name}");
        let mut kill = Command::new("kill");
        assert!(kill.args([&signal, &pid]).status().unwrap().success());
    }

    fn with<T>(&self, slot: usize, ask: impl FnOnce(&Gateway) -> T) -> T {
        ask(self.slots[slot]
            .gateway
            .lock()
            .unwrap()
            .as_ref()
            .expect("it runs"))
    }

    /// The address of the gateway that is or was last in a slot.
    pub(super) fn url(&self, slot: usize) -> String {
        self.slots[slot].url.lock().unwrap().clone()
    }

    /// A client of a gateway that runs.
    pub(super) fn client(&self, slot: usize, user: &str, claims: &Value) -> Client {
        self.with(slot, |gateway| gateway.server.client_with(user, claims))
    }

    /// The records of live gateways.
    async fn live(&self) -> BTreeSet<String> {
        let state = self.state();
        let records = state.find(doc! {"_id": {"$gte": "live\0", "$lt": "live\u{1}"}});
        let records: Vec<Document> = records.await.unwrap().try_collect().await.unwrap();
        let name = |record: &Document| record.get_str("_id").unwrap()["live\0".len()..].to_owned();
        records.iter().map(name).collect()
    }

    fn state(&self) -> Collection<Document> {
        self.database.collection("tidegate.state")
    }

    /// The slot of the gateway that imports. Waits until it is another than `before`.
    pub(super) async fn importer_after(&self, before: Option<usize>) -> usize {
        let ids = self.slots.each_ref().map(|slot| {
            let gateway = slot.gateway.lock().unwrap();
            gateway.as_ref().map(|gateway| gateway.id.clone())
        });
        until("importer", async || {
            let lease = self
                .state()
                .find_one(doc! {"_id": "importer"})
                .await
                .unwrap()?;
            let holder = lease.get_str("holder").ok()?;
            let held = ids.iter().position(|id| id.as_deref() == Some(holder))?;
            (Some(held) != before).then_some(held)
        })
        .await
    }

    /// The slot of the gateway that imports.
    pub(super) async fn importer(&self) -> usize {
        self.importer_after(None).await
    }

    /// How far the import has come.
    pub(super) async fn progress(&self) -> Document {
        let progress = self.state().find_one(doc! {"_id": IMPORT}).await.unwrap();
        progress.unwrap_or_default()
    }

    /// Waits until the import of a type is in a state.
    pub(super) async fn until_type(&self, kind: Kind, what: &str, is: impl Fn(&Document) -> bool) {
        until(what, async || {
            let progress = self.progress().await;
            let types = progress.get_document("types").ok()?;
            is(types.get_document(kind.name()).ok()?).then_some(())
        })
        .await;
    }

    /// Changes the stored progress, as nobody may while a gateway imports.
    pub(super) async fn change_progress(&self, change: Document) {
        let key = doc! {"_id": IMPORT};
        self.state().update_one(key, change).await.unwrap();
    }

    /// The ids of the documents that are recorded as withheld, with their types.
    pub(super) async fn withheld(&self) -> Vec<(String, Bson)> {
        let records = self.database.collection::<Document>("tidegate.misfits");
        let records = records.find(doc! {}).await.unwrap();
        let records: Vec<Document> = records.try_collect().await.unwrap();
        let named = records.iter().map(|record| {
            let key = record.get_document("_id").unwrap();
            let name = key.get_str("t").unwrap().to_owned();
            (name, key.get("id").unwrap().clone())
        });
        named.collect()
    }
}

/// The key of how far the import has come.
const IMPORT: &str = "progress\u{0}1";
