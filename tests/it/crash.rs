//! The real binary killed without warning under load: what was acknowledged stays, what is repeated is applied once.
//!
//! Kills come at random moments; what must hold, holds whatever they are.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_core::{checkpoint::Checkpoint, id::Scope};

use crate::harness::{Client, PAGE, Server, Socket, command, complaint, push_query};

const ROUNDS: u32 = 10;
const WRITERS: usize = 4;

/// The changes of each push of a [`Writer`].
const CHANGES: i64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_nothing_acknowledged_and_repeats_apply_once() {
    let directory = TempDir::new().unwrap();
    let (mut writers, mut puller, mut subscriber) = cast(&directory).await;
    let mut restarts = Vec::new();
    for round in 0..ROUNDS {
        if round % 2 == 1 {
            kill_while_starting(&directory).await;
        }
        let began = Instant::now();
        let server = Server::dev(&directory);
        subscriber.client = subscriber.client.at(&server);
        puller.client = puller.client.at(&server);
        puller.pull().await.expect("it answers after a restart");
        restarts.push(began.elapsed());
        let socket = subscriber.follow().await;
        let writing = writers
            .into_iter()
            .map(|writer| tokio::spawn(writer.at(&server).write()))
            .collect::<Vec<_>>();
        let pulling = tokio::spawn(puller.pull_until_cut());
        let following = tokio::spawn(subscriber.apply_until_cut(socket));
        tokio::time::sleep(random_ms(20..250)).await;
        server.kill();
        (puller, subscriber) = (pulling.await.unwrap(), following.await.unwrap());
        writers = Vec::new();
        for writer in writing {
            writers.push(writer.await.unwrap());
        }
    }
    expect_quick(&restarts);

    let server = Server::dev(&directory);
    let mut pushes = 0;
    for writer in writers {
        let mut writer = writer.at(&server);
        writer
            .push()
            .await
            .expect("the last push is answered at last");
        writer.expect_all_there().await;
        pushes += writer.pushes;
    }
    assert!(pushes > i64::from(ROUNDS), "{pushes} pushes are no load");

    let mut fresh = Replica::new(puller.client.at(&server));
    fresh.pull().await.unwrap();
    let counter = &fresh.documents["counter"];
    assert_eq!(counter["document"]["minutesSpent"], pushes, "each once");
    assert_eq!(counter["version"], pushes + 1, "one version for each");
    assert_eq!(fresh.documents.len() as i64, pushes + 1);
    for mut replica in [puller, subscriber] {
        replica.client = replica.client.at(&server);
        replica.pull().await.unwrap();
        assert_eq!(replica.documents, fresh.documents, "followed without a gap");
    }
}

/// Several writers, one who pulls and one who subscribes; they share the scope `team:demo` and a counter in it.
async fn cast(directory: &TempDir) -> (Vec<Writer>, Replica, Replica) {
    let server = Server::dev(directory);
    let puller = Replica::new(server.client("puller"));
    let subscriber = Replica::new(server.client("subscriber"));
    let counter = json!({"title": "Counter", "audience": "team:demo"});
    let create = json!([{"task": {"create": {"id": "counter", "document": counter}}}]);
    puller.client.push_all(create).await;
    let epoch = puller.client.epoch().await;
    let writers = (0..WRITERS)
        .map(|number| {
            let name = format!("writer-{number}");
            Writer {
                client: server.client(&name),
                name,
                epoch: epoch.clone(),
                pushes: 0,
                unanswered: None,
                counter: (1, 0),
            }
        })
        .collect();
    server.kill();
    (writers, puller, subscriber)
}

/// A restart may be cut short as well, while the store is being repaired.
async fn kill_while_starting(directory: &TempDir) {
    let mut command = command(directory.path());
    let dev = ["dev", "--listen", "127.0.0.1:0"];
    let mut child = command.args(dev).stdout(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(random_ms(0..80)).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The promise is one second; a machine that runs other tests beside is forgiven now and then.
fn expect_quick(restarts: &[Duration]) {
    let mut sorted = restarts.to_owned();
    sorted.sort();
    assert!(
        sorted[sorted.len() / 4] < Duration::from_secs(1),
        "restarts took {sorted:?}"
    );
}

fn random_ms(range: std::ops::Range<u64>) -> Duration {
    let random = RandomState::new().hash_one(());
    Duration::from_millis(range.start + random % (range.end - range.start))
}

/// A device that pushes one batch after the other, and repeats the one it has no answer for.
struct Writer {
    client: Client,
    name: String,
    epoch: String,
    /// How many pushes were acknowledged.
    pushes: i64,
    unanswered: Option<Value>,
    /// The counter's version and value when this writer last heard of it.
    counter: (i64, i64),
}

impl Writer {
    fn at(mut self, server: &Server) -> Self {
        self.client = self.client.at(server);
        self
    }

    async fn write(mut self) -> Self {
        while self.push().await.is_some() {}
        self
    }

    /// Sends the push that is due; nothing if the gateway does not answer.
    async fn push(&mut self) -> Option<()> {
        let input = self.unanswered.take().unwrap_or_else(|| self.next_push());
        self.unanswered = Some(input.clone());
        let variables = json!({"input": input});
        let answer = self.client.try_send(&push_query(), variables).await?;
        let results = &answer["data"]["pushChanges"]["results"];
        for (index, status) in ["APPLIED", "APPLIED", ""].into_iter().enumerate() {
            let found = results[index]["status"].as_str();
            let right = found == Some(status) || status.is_empty() && found > Some("");
            assert!(right, "{answer}");
        }
        let counter = &results[2]["document"];
        let number = |name: &str| counter[name].as_i64().unwrap();
        self.counter = (number("syncVersion"), number("minutesSpent"));
        self.unanswered = None;
        self.pushes += 1;
        Some(())
    }

    /// A document for everybody, one of the writer's own, and one more on the counter.
    fn next_push(&self) -> Value {
        let (name, number) = (&self.name, self.pushes);
        let create = |kind: &str, audience: &str| {
            let document = json!({"title": kind, "audience": audience});
            json!({"task": {"create": {"id": format!("{name}-{kind}-{number}"), "document": document}}})
        };
        let (version, value) = self.counter;
        let count = json!({
            "id": "counter", "baseVersion": version,
            "set": {"minutesSpent": value + 1}, "base": {"minutesSpent": value},
        });
        json!({
            "client": {"id": name, "firstMutationId": 1 + CHANGES * number},
            "epoch": self.epoch,
            "changes": [
                create("shared", "team:demo"),
                create("own", &format!("user:{name}")),
                {"task": {"update": count}},
            ],
        })
    }

    /// Each acknowledged document is there, and the writer's own scope has one seq for each.
    async fn expect_all_there(&self) {
        let mut replica = Replica::new(self.client.clone());
        replica.pull().await.unwrap();
        for (kind, number) in (0..self.pushes).flat_map(|n| [("shared", n), ("own", n)]) {
            let id = format!("{}-{kind}-{number}", self.name);
            let version = replica.documents.get(&id).map(|change| &change["version"]);
            assert_eq!(version, Some(&json!(1)), "{id}");
        }
        let checkpoint = Checkpoint::decode(&replica.checkpoint.unwrap()).unwrap();
        let own = Scope::new(&format!("user:{}", self.name)).unwrap();
        let seq = checkpoint.tracks[0].positions[&own].seq.0;
        assert_eq!(seq, self.pushes, "seqs of {} have no gap", self.name);
    }
}

/// What a device holds, by the rules for clients (protocol.md, section 1).
struct Replica {
    client: Client,
    checkpoint: Option<String>,
    documents: BTreeMap<String, Value>,
}

impl Replica {
    fn new(client: Client) -> Self {
        Self {
            client,
            checkpoint: None,
            documents: BTreeMap::new(),
        }
    }

    /// Pulls until there is no more; nothing if the gateway does not answer.
    async fn pull(&mut self) -> Option<()> {
        let query = format!(
            "query($c: Checkpoint) {{ changesSince(checkpoint: $c, limit: 50) {{ {PAGE} }} }}"
        );
        loop {
            let variables = json!({"c": self.checkpoint});
            let mut answer = self.client.try_send(&query, variables).await?;
            if !self.apply(answer["data"]["changesSince"].take()) {
                return Some(());
            }
        }
    }

    async fn pull_until_cut(mut self) -> Self {
        while self.pull().await.is_some() {}
        self
    }

    async fn follow(&self) -> Socket {
        let checkpoint = json!(self.checkpoint);
        let arguments = format!("(checkpoint: {checkpoint}, limit: 50)");
        Socket::follow(&self.client, &arguments).await
    }

    async fn apply_until_cut(mut self, mut socket: Socket) -> Self {
        while let Ok(mut message) = socket.try_next().await {
            self.apply(message["payload"]["data"]["changes"].take());
        }
        self
    }

    /// Applies a page; whether there is more.
    fn apply(&mut self, mut page: Value) -> bool {
        assert_eq!(page["reset"], self.checkpoint.is_none(), "{page}");
        let Value::Array(changes) = page["changes"].take() else {
            panic!("no page but {page}");
        };
        for change in changes {
            let id = change["documentId"].as_str().unwrap().to_owned();
            let version = |change: &Value| change["version"].as_i64();
            let held = self.documents.get(&id).and_then(version);
            if version(&change) > held {
                self.documents.insert(id, change);
            }
        }
        self.checkpoint = page["checkpoint"].as_str().map(str::to_owned);
        page["hasMore"] == true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_under_load_keeps_what_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let (writers, ..) = cast(&directory).await;
    let server = Server::dev(&directory);
    let writing = writers
        .into_iter()
        .map(|writer| tokio::spawn(writer.at(&server).write()))
        .collect::<Vec<_>>();
    let mut socket = Socket::follow(&server.client("subscriber"), "").await;
    tokio::time::sleep(random_ms(100..300)).await;
    tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let code = socket.close_code().await;
    assert!(
        [1001, 1012].contains(&code),
        "clients come back after 1001 and 1012, not {code}"
    );

    let server = Server::dev(&directory);
    for writer in writing {
        let mut writer = writer.await.unwrap().at(&server);
        writer.push().await.expect("an answer after the restart");
        writer.expect_all_there().await;
    }
}

#[test]
fn a_second_process_on_one_store_is_refused_and_told_what_to_do() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let dev = ["dev", "--listen", "127.0.0.1:0"];
    for arguments in [&dev[..], &["collect"], &["rotate-epoch"]] {
        let complaint = complaint(directory.path(), arguments);
        let says = |part: &str| assert!(complaint.contains(part), "{arguments:?}: {complaint}");
        says(".tidegate/tidegate.redb is in use by another process");
        says("stop that one first");
    }
    server.stop();
    Server::dev(&directory).stop();
}
