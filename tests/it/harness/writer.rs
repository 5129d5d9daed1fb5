//! A device that pushes one batch after the other under load, and repeats the one without an answer. The stored
//! documents can be compared with what it pushed.
//!
//! Each test decides what happens to the gateway meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Client, Replica, Server, create, delete, numbered, push_query, update, update_from};

/// The counter of all writers: every push adds one to it.
pub(crate) const COUNTER: &str = "counter";

/// The pause before a push is repeated.
const PAUSE: Duration = Duration::from_millis(100);

/// The indexes of the changes of a push.
const SHARED: usize = 0;
const OWN: usize = 1;
const COUNTED: usize = 2;
const RECURRING: usize = 3;
const MOVED: usize = 5;

/// A user with one device; the scopes are the user's own and `team:demo`, which all writers share.
pub(crate) struct Writer {
    client: Client,
    /// Reads what it has written, perhaps at another gateway.
    reader: Client,
    name: String,
    epoch: String,
    /// How long the notes of each shared document are.
    notes_bytes: usize,
    /// How many pushes were acknowledged.
    pub(crate) pushes: i64,
    /// How many of them were answered as repeats.
    pub(crate) repetitions: i64,
    next_mutation: i64,
    unanswered: Option<Value>,
    /// The counter's version and value in the last answer to this writer.
    counter: (i64, i64),
    /// The versions that the last push gave, in the order of its changes.
    versions: Vec<i64>,
}

/// The result of a push.
#[derive(Debug)]
pub(crate) enum Pushed {
    Acknowledged,
    /// The gateway answered with this error.
    Failed(Value),
    /// The gateway did not answer.
    Cut,
}

impl Writer {
    /// This many writers, with a counter that is created here.
    pub(crate) async fn several(server: &Server, count: usize, notes_bytes: usize) -> Vec<Self> {
        let client = server.client("founder");
        let counter = json!({"title": "Counter", "audience": "team:demo"});
        client.push_all(json!([create(COUNTER, counter)])).await;
        let epoch = client.epoch().await;
        let writer = |number| {
            let name = format!("writer-{number}");
            let client = server.client(&name);
            Self {
                reader: client.clone(),
                client,
                name,
                epoch: epoch.clone(),
                notes_bytes,
                pushes: 0,
                repetitions: 0,
                next_mutation: 1,
                unanswered: None,
                counter: (1, 0),
                versions: Vec::new(),
            }
        };
        (0..count).map(writer).collect()
    }

    /// The same device, after the gateway has moved.
    pub(crate) fn at(mut self, server: &Server) -> Self {
        self.client = self.client.at(server);
        self.reading_at(server)
    }

    /// The same device, which reads at another gateway than it writes.
    pub(crate) fn reading_at(mut self, server: &Server) -> Self {
        self.reader = self.client.at(server);
        self
    }

    /// Pushes until the gateway does not answer.
    pub(crate) async fn write_until_cut(mut self) -> Self {
        loop {
            match self.push().await {
                Pushed::Acknowledged => {}
                Pushed::Failed(error) => panic!("{error}"),
                Pushed::Cut => return self,
            }
        }
    }

    /// Pushes until `stop`, and counts what is acknowledged and seen by the next read. While the gateway reports that
    /// it cannot now, or does not answer, the push is repeated. The last one may be left without an answer.
    pub(crate) async fn write_until(
        mut self,
        stop: watch::Receiver<bool>,
        acknowledged: Arc<AtomicI64>,
    ) -> Self {
        while !*stop.borrow() {
            if self.push_or_wait().await {
                self.expect_own_write(&stop).await;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
        self
    }

    /// The first answered read shows what was acknowledged.
    async fn expect_own_write(&self, stop: &watch::Receiver<bool>) {
        let query = format!("{{ task(id: \"{COUNTER}\") {{ syncVersion }} }}");
        while !*stop.borrow() {
            let answer = self.reader.try_send(&query, json!({})).await;
            if let Some(mut answer) = answer {
                let Some(error) = answer["errors"].get_mut(0) else {
                    let version = answer["data"]["task"]["syncVersion"].as_i64();
                    assert!(
                        version >= Some(self.counter.0),
                        "{version:?} after {:?}",
                        self.counter
                    );
                    return;
                };
                expect_unavailable(&error.take());
            }
            tokio::time::sleep(PAUSE / 10).await;
        }
    }

    /// Repeats the unanswered push, if there is one, until it has an answer.
    pub(crate) async fn settle(&mut self) {
        while self.unanswered.is_some() {
            self.push_or_wait().await;
        }
    }

    /// Whether the outstanding push is acknowledged.
    async fn push_or_wait(&mut self) -> bool {
        match self.push().await {
            Pushed::Acknowledged => return true,
            Pushed::Failed(error) => expect_unavailable(&error),
            Pushed::Cut => {}
        }
        tokio::time::sleep(PAUSE).await;
        false
    }

    /// Sends the outstanding push: the one without an answer, or else the next.
    pub(crate) async fn push(&mut self) -> Pushed {
        let input = self.unanswered.take().unwrap_or_else(|| self.next_push());
        self.unanswered = Some(input.clone());
        let variables = json!({"input": input});
        let Some(mut answer) = self.client.try_send(&push_query(), variables).await else {
            return Pushed::Cut;
        };
        match answer["errors"].get_mut(0) {
            Some(error) => Pushed::Failed(error.take()),
            None => {
                self.take(&answer["data"]["pushChanges"]["results"]);
                Pushed::Acknowledged
            }
        }
    }

    /// Sends the outstanding push, which must be answered.
    pub(crate) async fn push_well(&mut self) {
        let pushed = self.push().await;
        assert!(matches!(pushed, Pushed::Acknowledged), "{pushed:?}");
    }

    fn take(&mut self, results: &Value) {
        let mut versions = Vec::new();
        for result in results.as_array().unwrap() {
            let merged = versions.len() == COUNTED && result["status"] == "MERGED";
            assert!(merged || result["status"] == "APPLIED", "{result}");
            versions.push(number(&result["version"]));
        }
        self.repetitions += i64::from(results[0]["duplicate"] == true);
        let last = self.versions.get(RECURRING);
        assert!(Some(&versions[RECURRING]) > last, "a version came twice");
        let counter = &results[COUNTED]["document"];
        self.counter = (
            number(&counter["syncVersion"]),
            number(&counter["minutesSpent"]),
        );
        self.next_mutation += versions.len() as i64;
        self.versions = versions;
        self.unanswered = None;
        self.pushes += 1;
    }

    /// The next push: a new shared document, and the end of the one before; a new document of the writer's own, while
    /// the one before becomes shared and the one before that ends; one more on the counter, where the writer's token
    /// replaces the one before; and one that comes and goes.
    fn next_push(&self) -> Value {
        let number = self.pushes;
        let (version, value) = self.counter;
        let (seen, set) = (
            json!({"minutesSpent": value, "labels": Vec::from_iter(self.token_after(number))}),
            json!({"minutesSpent": value + 1, "labels": Vec::from_iter(self.token_after(number + 1))}),
        );
        let shared = json!({
            "title": "shared", "audience": "team:demo", "notes": "x".repeat(self.notes_bytes),
        });
        let recurring = self.id("recurring", "document");
        let mut changes = vec![
            create(&self.id("shared", number), shared),
            create(&self.id("own", number), json!({"title": "own"})),
            update_from(COUNTER, version, seen, set),
            match number % 2 {
                0 => create(&recurring, json!({"title": "recurring"})),
                _ => delete(&recurring, self.versions[RECURRING]),
            },
        ];
        if number > 0 {
            let moved = json!({"audience": "team:demo"});
            changes.push(delete(
                &self.id("shared", number - 1),
                self.versions[SHARED],
            ));
            changes.push(update(
                &self.id("own", number - 1),
                self.versions[OWN],
                moved,
            ));
        }
        if number > 1 {
            changes.push(delete(&self.id("own", number - 2), self.versions[MOVED]));
        }
        numbered(&self.name, self.next_mutation, &self.epoch, json!(changes))
    }

    fn id(&self, kind: &str, number: impl std::fmt::Display) -> String {
        format!("{}-{kind}-{number}", self.name)
    }

    /// The writer's part of the counter's labels. A push that took effect late or twice would leave another.
    fn token_after(&self, pushes: i64) -> Option<String> {
        (pushes > 0).then(|| self.id("token", pushes - 1))
    }

    /// What its acknowledged pushes leave alive: the ids of all but the counter.
    pub(crate) fn left(&self) -> impl Iterator<Item = String> {
        assert!(self.unanswered.is_none(), "one more push may be stored");
        self.left_by(self.pushes).into_keys()
    }

    /// What this number of pushes leaves alive: id → scope.
    fn left_by(&self, pushes: i64) -> BTreeMap<String, String> {
        let own = format!("user:{}", self.name);
        let team = "team:demo".to_owned();
        let mut left = BTreeMap::new();
        if pushes > 0 {
            left.insert(self.id("shared", pushes - 1), team.clone());
            left.insert(self.id("own", pushes - 1), own.clone());
        }
        if pushes > 1 {
            left.insert(self.id("own", pushes - 2), team);
        }
        if pushes % 2 == 1 {
            left.insert(self.id("recurring", "document"), own);
        }
        left
    }

    /// Whether the stored documents of this writer are exactly those that this number of whole pushes leaves.
    fn stands_at(&self, replica: &Replica, pushes: i64) -> bool {
        let stored: BTreeMap<_, _> = replica
            .documents()
            .iter()
            .filter(|((_, id), _)| id.starts_with(&format!("{}-", self.name)))
            .map(|((_, id), local)| (id.clone(), local.scope.clone()))
            .collect();
        stored == self.left_by(pushes)
    }

    /// How many pushes of this writer are stored. Each acknowledged one is, the one without an answer may be, and each
    /// is stored whole.
    async fn stored(&self, team: &Replica) -> i64 {
        let mut replica = Replica::default();
        replica.pull(&self.client).await;
        let may_be = self.pushes + i64::from(self.unanswered.is_some());
        let stored = (self.pushes..=may_be).find(|pushes| self.stands_at(&replica, *pushes));
        let stored = stored.unwrap_or_else(|| {
            panic!(
                "after {} acknowledged pushes {} has {:?}",
                self.pushes,
                self.name,
                replica.ids()
            )
        });
        assert_eq!(replica.task(COUNTER), team.task(COUNTER));
        stored
    }
}

/// Compares the store with the pushes of the writers, which are at rest: nothing acknowledged is missing, nothing is
/// there in part or twice. Returns what all should hold of the shared scope.
pub(crate) async fn expect_whole(server: &Server, writers: &[Writer]) -> Replica {
    let mut team = Replica::default();
    team.pull(&server.client("auditor")).await;
    let mut pushes = 0;
    let mut tokens = BTreeSet::new();
    for writer in writers {
        let stored = writer.stored(&team).await;
        tokens.extend(writer.token_after(stored));
        pushes += stored;
    }
    let counter = team.task(COUNTER);
    let mut labels: Vec<String> = serde_json::from_value(counter["labels"].clone()).unwrap();
    labels.sort();
    assert!(labels.iter().eq(&tokens), "{labels:?} are not {tokens:?}");
    assert_eq!(counter["minutesSpent"], pushes, "each once");
    assert_eq!(counter["syncVersion"], pushes + 1, "one version for each");
    team
}

/// The one error that passes by itself.
pub(crate) fn expect_unavailable(error: &Value) {
    assert_eq!(
        error["extensions"]["code"], "SERVICE_UNAVAILABLE",
        "{error}"
    );
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}
