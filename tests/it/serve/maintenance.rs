//! `collect` and `rotate-epoch` on a MongoDB with gateways at work: nothing is lost, all readers converge, and only
//! those reset that have to.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{TryStreamExt, future::join_all};
use mongodb::{
    Collection,
    bson::{Document, doc},
    options::ReadConcern,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_core::{
    checkpoint::{Checkpoint, Token, TokenKey},
    generation::ModelState,
    id::{Epoch, Scope, ScopeNumber, UserId},
};

use crate::harness::{
    Client, Outbox, Replica, Server, Socket, Writer, command, create, expect_whole,
    mongod::{Deployment, fresh_database},
    update_from,
};

/// Two gateways on one database.
struct Bench {
    gateways: [Server; 2],
    url: String,
    state: Collection<Document>,
    directory: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let deployment = Deployment::shared().await;
        let name = fresh_database();
        let url = deployment.url(&name);
        let directory = TempDir::new().unwrap();
        let start = || Server::dev_with(directory.path(), &["--store", &url]);
        let database = deployment.client().await.database(&name);
        Self {
            gateways: [start(), start()],
            state: database.collection("tidegate.state"),
            url,
            directory,
        }
    }

    /// Runs a command on the store. Returns its output.
    async fn run(&self, arguments: &[&str]) -> String {
        let mut command = command(self.directory.path());
        command.args(arguments).args(["--store", &self.url]);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = run.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Collects again and again until `ended`. Returns the number of tombstones and markers.
    async fn collect_until(&self, ended: &AtomicBool) -> usize {
        let mut collected = 0;
        loop {
            let last = ended.load(Ordering::Relaxed);
            let reported = self.run(&["collect", "--older-than", "0s"]).await;
            // A busy MongoDB may be warned of before.
            let (_, number) = reported.rsplit_once("collected ").unwrap();
            let number = number.split_whitespace().next();
            collected += number.unwrap().parse::<usize>().unwrap();
            if last {
                return collected;
            }
        }
    }

    /// The checkpoint in a token, by the secret and the numbers in the state.
    async fn opened(&self, user: &str, token: &str) -> Checkpoint {
        let state = async |filter| -> Vec<Document> {
            let found = self
                .state
                .find(filter)
                .read_concern(ReadConcern::majority());
            found.await.unwrap().try_collect().await.unwrap()
        };
        let secret = state(doc! { "_id": "tokenKey" }).await;
        let secret = secret[0].get_binary_generic("k").unwrap().as_slice();
        let key = TokenKey(secret.try_into().unwrap());
        let epoch = state(doc! { "_id": "format" }).await;
        let epoch = Epoch::new(epoch[0].get_str("epoch").unwrap()).unwrap();
        let scopes = state(of_scopes()).await;
        let numbered = scopes.iter().map(|scope| {
            let id = scope.get_str("_id").unwrap().split_once('\0').unwrap();
            let number = u32::try_from(scope.get_i64("i").unwrap()).unwrap();
            (ScopeNumber(number), Scope::new(id.1).unwrap())
        });
        let user = UserId::new(user).unwrap();
        let token = Token::parse(token).unwrap();
        let unsealed = token.unseal(&epoch, &key, &user).unwrap().unwrap();
        unsealed
            .checkpoint(&numbered.collect(), &ModelState::default())
            .unwrap()
    }

    async fn floors(&self) -> BTreeMap<String, i64> {
        let found = self
            .state
            .find(of_scopes())
            .read_concern(ReadConcern::majority());
        let found: Vec<Document> = found.await.unwrap().try_collect().await.unwrap();
        found
            .iter()
            .map(|scope| {
                let id = scope.get_str("_id").unwrap().split_once('\0').unwrap();
                (id.1.to_owned(), scope.get_i64("f").unwrap())
            })
            .collect()
    }

    /// Pulls page after page until it holds the last document. Each page has to be a reset if the client was below a
    /// floor when it asked, and may be one only if it was below a floor when it was answered.
    async fn pull_to_the_end(&self, user: &str, server: &Server) -> Replica {
        let client = &server.client(user);
        let mut replica = Replica::default();
        while !is_at_the_end(&replica) {
            let before = self.floors().await;
            let asked = replica.checkpoint.clone();
            let page = client.pull(asked.as_deref()).await;
            if let Some(asked) = asked {
                let is_reset = page["reset"] == true;
                let asked = self.opened(user, &asked).await;
                assert!(is_reset || !is_below(&asked, &before), "no reset: {page}");
                assert!(!is_reset || is_below(&asked, &self.floors().await));
            }
            replica.apply(&page);
        }
        replica
    }

    /// The same with the pages of a subscription, which rings may serve whatever the floors are.
    async fn follow_to_the_end(&self, user: &str, server: &Server) -> Replica {
        let client = &server.client(user);
        let mut socket = Socket::follow(client, "").await;
        let mut replica = Replica::default();
        while !is_at_the_end(&replica) {
            let page = socket.page().await;
            let is_same_epoch = replica.epoch.as_deref() == page["epoch"].as_str();
            if page["reset"] == true && is_same_epoch {
                let stood = replica.checkpoint.as_deref().unwrap();
                let stood = self.opened(user, stood).await;
                assert!(is_below(&stood, &self.floors().await), "a needless reset");
            }
            replica.apply(&page);
        }
        replica
    }
}

/// The states of scopes.
fn of_scopes() -> Document {
    doc! { "_id": { "$gt": "scope\0", "$lt": "scope\u{1}" } }
}

/// What is made last.
const END: &str = "the-end";

async fn make_the_end(client: &Client) {
    let end = json!({"title": "The end", "audience": "team:demo"});
    client.push_all(json!([create(END, end)])).await;
}

fn is_at_the_end(replica: &Replica) -> bool {
    replica.is_whole() && replica.ids().contains(&END)
}

/// Whether a client at this checkpoint has missed something that is gone (rules.md 2.3).
fn is_below(checkpoint: &Checkpoint, floors: &BTreeMap<String, i64>) -> bool {
    let mut positions = checkpoint.tracks.iter().flat_map(|track| &track.positions);
    positions.any(|(scope, position)| {
        let floor = floors.get(scope.as_str()).copied().unwrap_or_default();
        position.start.0 < floor
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collecting_under_load_loses_nothing_and_resets_only_who_missed_something() {
    const PUSHES: usize = 12;
    let bench = Bench::start().await;
    let [here, there] = &bench.gateways;
    let writers = Writer::several(here, 4, 20).await;
    let mut away = Replica::default();
    let traveller = there.client("traveller");
    away.pull(&traveller).await;
    let ended = AtomicBool::new(false);
    let write = async {
        let gateways = [here, there].into_iter().cycle();
        let writing = writers.into_iter().zip(gateways);
        let writing = writing.map(|(writer, gateway)| async move {
            let mut writer = writer.at(gateway);
            for _ in 0..PUSHES {
                writer.push_well().await;
            }
            writer
        });
        let writers = join_all(writing).await;
        make_the_end(&traveller).await;
        ended.store(true, Ordering::Relaxed);
        writers
    };
    let (writers, collected, pulled, followed) = tokio::join!(
        write,
        bench.collect_until(&ended),
        bench.pull_to_the_end("puller", here),
        bench.follow_to_the_end("subscriber", there),
    );
    let everything = expect_whole(there, &writers).await;
    assert!(collected > 0, "there was nothing to collect");
    for replica in [&pulled, &followed] {
        assert_eq!(replica.documents(), everything.documents());
    }
    assert_eq!(away.pull(&traveller).await, 1, "it was away for too long");
    assert_eq!(away.documents(), everything.documents());
}

/// A device's edits of one round: a document of its own, and one more on the shared counter.
fn round(device: &str, round: usize) -> [Value; 2] {
    let own = json!({"title": "Own", "audience": "team:demo"});
    let (seen, set) = (json!({"minutesSpent": 0}), json!({"minutesSpent": 1}));
    [
        create(&format!("{device}-{round}"), own),
        update_from("counter", -1, seen, set),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_the_epoch_under_load_loses_nothing_and_resets_once_for_each_epoch() {
    const ROTATE_BEFORE: [usize; 2] = [2, 4];
    const ROUNDS: usize = 6;
    const DEVICES: [&str; 4] = ["phone", "tablet", "laptop", "watch"];
    let bench = Bench::start().await;
    let [here, there] = &bench.gateways;
    let founder = here.client("founder");
    let counter = json!({"title": "Counter", "audience": "team:demo"});
    founder.push_all(json!([create("counter", counter)])).await;
    let bench = &bench;
    let work = async |name: &'static str, gateway: &Server| {
        let mut device = Outbox::new(gateway.client(name), name).await;
        for number in 0..ROUNDS {
            if name == DEVICES[0] && ROTATE_BEFORE.contains(&number) {
                bench.run(&["rotate-epoch"]).await;
            }
            let edits = round(name, number);
            edits.into_iter().for_each(|edit| device.keep(edit));
            for result in device.flush().await {
                let status = &result["status"];
                assert!(status == "APPLIED" || status == "MERGED", "{result}");
            }
        }
        device
    };
    let write = async {
        let gateways = [here, there].into_iter().cycle();
        let working = DEVICES.into_iter().zip(gateways);
        let working = working.map(|(name, gateway)| work(name, gateway));
        let devices = join_all(working).await;
        make_the_end(&founder).await;
        devices
    };
    let subscriber = there.client("subscriber");
    let (devices, followed) = tokio::join!(write, bench.follow_to_the_end("subscriber", there));

    let mut fresh = Replica::default();
    fresh.pull(&subscriber).await;
    let rounds = DEVICES.len() * ROUNDS;
    assert_eq!(fresh.task("counter")["minutesSpent"], rounds, "each once");
    assert_eq!(fresh.ids().len(), rounds + 2, "all that was made");
    let epochs = ROTATE_BEFORE.len() + 1;
    assert_eq!(followed.documents(), fresh.documents());
    assert!((2..=epochs).contains(&followed.resets));
    for mut device in devices {
        device.replica.pull(&device.client).await;
        assert_eq!(device.replica.documents(), fresh.documents());
        assert!((2..=epochs).contains(&device.replica.resets));
        assert!(device.generation < epochs, "a new client id for each epoch");
    }
}
