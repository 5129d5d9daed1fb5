//! A replica set and three gateways on it, each with one of the models. They can be killed, stopped and replaced.
//!
//! Devices reach a gateway by its slot, whichever process is in it.

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt;
use mongodb::{
    Collection, Database,
    bson::{Document, Timestamp, doc},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{task::block_in_place, time::sleep};

use super::kinds::{App, Kind, Model};
use crate::harness::{
    Client, Server, answer, configured_on,
    mongod::{Deployment, fresh_database, until},
    with_secret,
};

pub(super) const SLOTS: usize = 3;

pub(super) struct Stage {
    pub(super) set: Deployment,
    pub(super) database: Database,
    /// One for each model.
    directories: [TempDir; 3],
    slots: [Slot; SLOTS],
    /// The hashes of the APIs that apps were made for.
    hashes: [String; 2],
    /// Before the first write.
    pub(super) began: Timestamp,
    /// All gateways have had the second model or a later one.
    pub(super) has_new_api: AtomicBool,
    /// Only the third model leads from now on, so that values may be stored that only it can read.
    pub(super) has_grown: AtomicBool,
}

/// The place of a gateway.
#[derive(Default)]
struct Slot {
    url: Mutex<String>,
    gateway: Mutex<Option<(Model, Server)>>,
}

impl Stage {
    pub(super) async fn new(nodes: usize) -> Self {
        let set = Deployment::replica_set(nodes).await;
        let name = fresh_database();
        let database = set.client().await.database(&name);
        let ping = database.run_command(doc! {"ping": 1}).await.unwrap();
        for kind in Kind::of(Model::C) {
            database.create_collection(kind.collection()).await.unwrap();
        }
        let directories = Model::ALL.map(|model| {
            let directory = configured_on(&set.url(&name));
            fs::write(directory.path().join("model.graphql"), model.text()).unwrap();
            directory
        });
        Self {
            began: ping.get_timestamp("operationTime").unwrap(),
            hashes: [App::Old, App::New].map(hash),
            set,
            database,
            directories,
            slots: Default::default(),
            has_new_api: AtomicBool::new(false),
            has_grown: AtomicBool::new(false),
        }
    }

    fn directory(&self, model: Model) -> &TempDir {
        &self.directories[model as usize]
    }

    /// What serves a model. An earlier binary may serve the first one.
    fn command(&self, model: Model) -> Command {
        let directory = self.directory(model).path();
        let serve = with_secret(directory, &["serve"]);
        match env::var_os("TIDEGATE_DEPLOYS_BEFORE") {
            Some(binary) if model == Model::A => {
                let mut earlier = Command::new(binary);
                let variables = serve
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?)));
                earlier.current_dir(directory).env_clear().envs(variables);
                earlier.args(serve.get_args());
                earlier
            }
            _ => serve,
        }
    }

    /// Ends what is in a slot, in good order or with -9, and starts a gateway with this model there.
    pub(super) fn replace(&self, slot: usize, model: Model, kills: bool) {
        let before = self.slots[slot].gateway.lock().unwrap().take();
        let server = block_in_place(|| {
            match before {
                Some((_, server)) if kills => server.kill(),
                Some((_, server)) => server.stop(),
                None => {}
            }
            Server::serving(self.directory(model).path(), self.command(model))
        });
        *self.slots[slot].url.lock().unwrap() = server.url.clone();
        *self.slots[slot].gateway.lock().unwrap() = Some((model, server));
        if self.models().iter().all(|model| *model >= Some(Model::B)) {
            self.has_new_api.store(true, Ordering::Relaxed);
        }
    }

    /// Kills the gateway of a slot, whose place stays empty.
    pub(super) fn kill(&self, slot: usize) {
        let killed = self.slots[slot].gateway.lock().unwrap().take();
        block_in_place(|| drop(killed));
    }

    /// Starts a further gateway with this model, and kills it after a while, whatever it does then.
    pub(super) async fn start_and_kill(&self, model: Model, after: Duration) {
        let mut serve = self.command(model);
        let mut child = serve.stdout(Stdio::null()).spawn().unwrap();
        sleep(after).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops a gateway, or lets it go on, by a signal.
    pub(super) fn signal(&self, slot: usize, name: &str) {
        let gateway = self.slots[slot].gateway.lock().unwrap();
        let pid = gateway.as_ref().expect("it runs").1.pid().to_string();
        let signal = format!("-{name}");
        let mut kill = Command::new("kill");
        assert!(kill.args([&signal, &pid]).status().unwrap().success());
    }

    /// The models of the gateways that run.
    pub(super) fn models(&self) -> [Option<Model>; SLOTS] {
        self.slots.each_ref().map(|slot| {
            let gateway = slot.gateway.lock().unwrap();
            gateway.as_ref().map(|(model, _)| *model)
        })
    }

    /// The address of the gateway that is or was last in a slot.
    pub(super) fn url(&self, slot: usize) -> String {
        self.slots[slot].url.lock().unwrap().clone()
    }

    pub(super) fn hash(&self, app: App) -> &str {
        &self.hashes[app as usize]
    }

    /// A token that all gateways accept.
    pub(super) fn token(&self, user: &str, claims: &Value) -> String {
        let claims = claims.to_string();
        let mut sign = with_secret(
            self.directories[0].path(),
            &["token", "--config", "tidegate.toml"],
        );
        sign.args(["--sub", user, "--expires", "5h", "--claims", &claims]);
        let signed = sign.output().unwrap();
        assert!(signed.status.success());
        String::from_utf8(signed.stdout).unwrap().trim().to_owned()
    }

    /// A client for any slot.
    pub(super) fn client_at(&self, slot: usize, client: &Client) -> Client {
        Client {
            url: self.url(slot),
            ..client.clone()
        }
    }

    pub(super) fn stored(&self, kind: Kind) -> Collection<Document> {
        self.database.collection(kind.collection())
    }

    fn state(&self) -> Collection<Document> {
        self.database.collection("tidegate.state")
    }

    /// Waits until this model leads, all gateways have it, and nothing is left to do in the background.
    pub(super) async fn until_settled(&self, model: Model) {
        let found = self.state().find(doc! {"text": model.text()}).await;
        let known: Vec<Document> = found.unwrap().try_collect().await.unwrap();
        assert_eq!(known.len(), 1, "a known text keeps its number");
        let number = known[0].get_str("_id").unwrap();
        let number: i64 = number["model\0".len()..].parse().unwrap();
        let of_id = async |id: &str| self.state().find_one(doc! {"_id": id}).await.ok().flatten();
        until("lead of the last model, in step", async || {
            let lead = of_id("model").await?;
            let generation = lead.get("lead").and_then(whole)?;
            let progress = of_id("progress\u{0}1").await?;
            let types = progress.get_document("types").ok()?;
            let is_idle = types.values().all(|it| {
                let it = it.as_document().unwrap();
                !it.contains_key("scan") && !it.contains_key("held")
            });
            let moving = lead.get_array("moving").ok()?;
            (generation == number && moving.is_empty() && is_idle).then_some(())
        })
        .await;
        let seconds =
            doc! {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": 10}};
        let live = doc! {"_id": {"$gte": "live\0", "$lt": "live\u{1}"}, "$expr": {"$gt": ["$at", seconds]}};
        until("gateways of the last model alone", async || {
            let live = self.state().find(live.clone()).await.ok()?;
            let live: Vec<Document> = live.try_collect().await.ok()?;
            let agree = live
                .iter()
                .all(|it| it.get("generation").and_then(whole) == Some(number));
            (agree && live.len() == SLOTS).then_some(())
        })
        .await;
    }

    /// The ids of the documents that are recorded as withheld, with their types.
    pub(super) async fn withheld(&self) -> Vec<(String, String)> {
        let records = self.database.collection::<Document>("tidegate.misfits");
        let records = records.find(doc! {}).await.unwrap();
        let records: Vec<Document> = records.try_collect().await.unwrap();
        let named = records.iter().map(|record| {
            let key = record.get_document("_id").unwrap();
            let part = |name| key.get_str(name).unwrap().to_owned();
            (part("t"), part("id"))
        });
        named.collect()
    }
}

fn whole(value: &mongodb::bson::Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}

/// What the command prints for a model, as a build of an app takes it.
fn hash(app: App) -> String {
    let directory = TempDir::new().unwrap();
    fs::write(
        directory.path().join("model.graphql"),
        app.made_for().text(),
    )
    .unwrap();
    let schema = answer(directory.path(), &["schema"]);
    let first = schema.lines().next().unwrap();
    first.strip_prefix("# API hash: ").unwrap().to_owned()
}
