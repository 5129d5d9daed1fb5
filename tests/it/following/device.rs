//! A user's device: it follows the feed at one gateway, by a subscription or by pulling, and pushes edits of what it
//! holds at both.
//!
//! It notes what it was shown. `judge` says what that must be.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tidegate_testkit::Random;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    documents::TEAMS,
    foreign::counter_id,
    kinds::{FIELDS, Kind},
    stage::Stage,
};
use crate::harness::{Client, Documents, Replica, Socket, numbered};

/// The pause between two pages or two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A subscription that is silent for so long is begun again.
const SILENCE: Duration = Duration::from_secs(15);

/// How long the last push may wait for its answer.
const ANSWERED: Duration = Duration::from_secs(60);

/// How a device follows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follows {
    Subscribing,
    Pulling,
}

/// Whom a device belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) user: &'static str,
    pub(super) teams: &'static [&'static str],
    pub(super) staff: &'static [&'static str],
    pub(super) follows: Follows,
}

impl Person {
    pub(super) fn claims(&self) -> Value {
        json!({"teams": self.teams, "staff": self.staff})
    }
}

/// A device at work.
pub(super) struct Device {
    pub(super) person: Person,
    pub(super) view: Arc<Mutex<Replica>>,
    stop: watch::Sender<bool>,
    following: JoinHandle<()>,
    pushing: JoinHandle<Outcomes>,
}

/// What the answers to a device's pushes said.
#[derive(Default)]
pub(super) struct Outcomes {
    /// How often it raised the counter.
    pub(super) counted: i64,
    /// The documents of the outcomes, with their types.
    pub(super) shown: Vec<(Kind, Value)>,
}

/// What both halves of a device know.
#[derive(Clone)]
struct Shared {
    stage: Arc<Stage>,
    client: Client,
    view: Arc<Mutex<Replica>>,
    stopped: watch::Receiver<bool>,
}

impl Device {
    /// A device whose gateway is that of a slot.
    pub(super) async fn at(stage: &Arc<Stage>, slot: usize, person: Person, seed: u64) -> Self {
        let client = stage.client(slot, person.user, &person.claims());
        let view = Arc::<Mutex<Replica>>::default();
        let (stop, stopped) = watch::channel(false);
        let shared = Shared {
            stage: Arc::clone(stage),
            client,
            view: Arc::clone(&view),
            stopped,
        };
        // It pulls before its first push.
        while shared.pull(slot).await != Some(false) {}
        let pusher = Pusher {
            shared: shared.clone(),
            person,
            slot,
            random: Random::new(seed),
            next_mutation: 1,
            created: 0,
            unanswered: None,
            counts: None,
            outcomes: Outcomes::default(),
        };
        Self {
            person,
            view,
            stop,
            following: tokio::spawn(shared.follow(slot, person.follows)),
            pushing: tokio::spawn(pusher.push_until_stopped()),
        }
    }

    /// Stops pushing. The device goes on following.
    pub(super) async fn stop_pushing(&mut self) -> Outcomes {
        self.stop.send_replace(true);
        let pushed = timeout(ANSWERED, &mut self.pushing).await;
        pushed.expect("each push is answered").unwrap()
    }

    /// What it holds.
    pub(super) fn documents(&self) -> Documents {
        self.view.lock().unwrap().documents().clone()
    }

    pub(super) fn end(self) -> Replica {
        self.following.abort();
        self.view.lock().unwrap().clone()
    }
}

impl Shared {
    fn client(&self, slot: usize) -> Client {
        Client {
            url: self.stage.url(slot),
            ..self.client.clone()
        }
    }

    async fn follow(self, slot: usize, follows: Follows) {
        loop {
            match follows {
                Follows::Subscribing => self.subscribe(slot).await,
                Follows::Pulling => drop(self.pull(slot).await),
            }
            sleep(PAUSE).await;
        }
    }

    /// Applies pages until the connection breaks.
    async fn subscribe(&self, slot: usize) {
        let Some(mut socket) = Socket::try_connect(&self.client(slot)).await else {
            return;
        };
        let checkpoint = json!(self.view.lock().unwrap().checkpoint);
        let changes = format!(
            "changes(checkpoint: {checkpoint}, limit: 50) {{ {} }}",
            page()
        );
        if !socket.try_subscribe("1", &changes).await {
            return;
        }
        while let Ok(Ok(message)) = timeout(SILENCE, socket.try_next()).await {
            match message["type"].as_str().unwrap() {
                "next" => {
                    assert_eq!(message["payload"].get("errors"), None, "{message}");
                    let page = &message["payload"]["data"]["changes"];
                    self.view.lock().unwrap().apply(page);
                }
                "error" => return expect_unavailable(&message["payload"][0]),
                _ => return,
            }
        }
    }

    /// Applies a page. Returns whether there is more, or nothing if the gateway cannot answer.
    async fn pull(&self, slot: usize) -> Option<bool> {
        let query = format!(
            "query($checkpoint: Checkpoint) {{ changesSince(checkpoint: $checkpoint, limit: 50) {{ {} }} }}",
            page()
        );
        let checkpoint = json!(self.view.lock().unwrap().checkpoint);
        let answer = self
            .client(slot)
            .try_send(&query, json!({"checkpoint": checkpoint}))
            .await?;
        if answer.get("errors").is_some() {
            expect_unavailable(&answer["errors"][0]);
            return None;
        }
        let page = &answer["data"]["changesSince"];
        self.view.lock().unwrap().apply(page);
        Some(page["hasMore"] == true)
    }
}

/// All that a user gets now.
pub(super) async fn fresh(client: &Client) -> Option<Replica> {
    let query = format!(
        "query($checkpoint: Checkpoint) {{ changesSince(checkpoint: $checkpoint, limit: 50) {{ {} }} }}",
        page()
    );
    let mut replica = Replica::default();
    loop {
        let answer = client
            .try_send(&query, json!({"checkpoint": replica.checkpoint}))
            .await?;
        if answer.get("errors").is_some() {
            expect_unavailable(&answer["errors"][0]);
            return None;
        }
        replica.apply(&answer["data"]["changesSince"]);
        if replica.is_whole() {
            return Some(replica);
        }
    }
}

fn page() -> String {
    format!(
        "changes {{ type documentId kind version scope document {{ {FIELDS} }} }} checkpoint hasMore reset revokedScopes epoch"
    )
}

/// The one error that passes by itself.
fn expect_unavailable(error: &Value) {
    assert_eq!(
        error["extensions"]["code"], "SERVICE_UNAVAILABLE",
        "{error}"
    );
}

/// The pushing half of a device.
struct Pusher {
    shared: Shared,
    person: Person,
    slot: usize,
    random: Random,
    next_mutation: i64,
    created: usize,
    unanswered: Option<Value>,
    /// The place of the change of the counter in the push without an answer.
    counts: Option<usize>,
    outcomes: Outcomes,
}

impl Pusher {
    async fn push_until_stopped(mut self) -> Outcomes {
        while !*self.shared.stopped.borrow() || self.unanswered.is_some() {
            if self.unanswered.is_none() {
                self.unanswered = self.next_push();
            }
            if let Some(push) = self.unanswered.clone() {
                self.push(push).await;
            }
            sleep(PAUSE).await;
        }
        self.outcomes
    }

    /// Sends a push at the one gateway or the other.
    async fn push(&mut self, push: Value) {
        let slot = (self.slot + self.random.below(2)) % 2;
        let query = format!(
            "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ results {{ type documentId status version document {{ {FIELDS} }} error {{ code message field }} }} }} }}"
        );
        let client = self.shared.client(slot);
        let stage = Arc::clone(&self.shared.stage);
        let _creating = match push.to_string().contains("\"create\"") {
            true => Some(stage.creating.read().await),
            false => None,
        };
        let Some(answer) = client.try_send(&query, json!({"input": push})).await else {
            return;
        };
        match answer["errors"].get(0) {
            Some(error) => expect_unavailable(error),
            None => self.take(&answer["data"]["pushChanges"]["results"]),
        }
    }

    fn take(&mut self, results: &Value) {
        let results = results.as_array().unwrap();
        for result in results {
            let status = result["status"].as_str().unwrap();
            if status == "REJECTED" {
                self.expect_reason(result);
            }
            let kind = Kind::of_name(result["type"].as_str().unwrap());
            if result["document"].is_object() {
                self.outcomes.shown.push((kind, result["document"].clone()));
            }
        }
        if let Some(counts) = self.counts.take() {
            let status = results[counts]["status"].as_str().unwrap();
            assert!(
                ["APPLIED", "MERGED"].contains(&status),
                "{}",
                results[counts]
            );
            self.outcomes.counted += 1;
        }
        self.next_mutation += i64::try_from(results.len()).unwrap();
        self.unanswered = None;
    }

    /// Others have ended, moved or spoiled the document, or dave's membership has another role.
    fn expect_reason(&self, result: &Value) {
        let code = result["error"]["code"].as_str().unwrap();
        match code {
            "NOT_FOUND" => {}
            "INVALID_VALUE" => assert!(result["error"]["field"].is_string(), "{result}"),
            "FORBIDDEN" => assert_eq!(self.person.user, "dave", "{result}"),
            _ => panic!("{result}"),
        }
    }

    /// One to three changes of what the device holds.
    fn next_push(&mut self) -> Option<Value> {
        let view = self.shared.view.lock().unwrap().clone();
        let mut changes = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let is_taken =
                |change: &Value, id: &str| change.to_string().contains(&format!("\"{id}\""));
            let Some((id, change)) = self.change(view.documents()) else {
                continue;
            };
            if !changes.iter().any(|change| is_taken(change, &id)) {
                changes.push(change);
            }
        }
        let counter = counter_id().to_hex();
        let counts = changes
            .iter()
            .position(|change| change.to_string().contains(&counter));
        self.counts = counts;
        let epoch = view.epoch.as_deref()?;
        let push = || numbered(self.person.user, self.next_mutation, epoch, json!(changes));
        (!changes.is_empty()).then(push)
    }

    /// A change, with the id of its document.
    fn change(&mut self, held: &Documents) -> Option<(String, Value)> {
        if self.random.once_in(4) {
            return Some(self.create());
        }
        let of = |kind: Kind| {
            let held = held
                .iter()
                .filter(move |((name, _), _)| name == kind.name());
            held.map(|((_, id), local)| (id.clone(), local.version, &local.document))
        };
        let counter = counter_id().to_hex();
        if self.random.once_in(4) {
            let (id, version, document) = of(Kind::Machine).find(|(id, ..)| *id == counter)?;
            let hours = document["hours"].as_i64().unwrap();
            let (seen, set) = (json!({"hours": hours}), json!({"hours": hours + 1}));
            let update = json!({"id": id, "baseVersion": version, "base": seen, "set": set});
            return Some((id, json!({"machine": {"update": update}})));
        }
        let tasks: Vec<_> = of(Kind::Task).collect();
        let (id, version, document) = tasks.get(self.random.below(tasks.len().max(1)))?.clone();
        if self.random.once_in(12) {
            let delete = json!({"id": id, "baseVersion": version});
            return Some((id, json!({"task": {"delete": delete}})));
        }
        let set = self.set(document);
        let names = set.as_object().unwrap().keys();
        let seen: Value = names
            .map(|name| (name.clone(), document[name].clone()))
            .collect();
        let update = json!({"id": id, "baseVersion": version, "base": seen, "set": set});
        Some((id, json!({"task": {"update": update}})))
    }

    fn create(&mut self) -> (String, Value) {
        self.created += 1;
        let id = format!("{}-{}", self.person.user, self.created);
        let audience = format!("team:{}", self.person.teams[0]);
        let title = format!("{} made this", self.person.user);
        let document = json!({"audience": audience, "title": title, "labels": ["own"]});
        let create = json!({"task": {"create": {"id": id, "document": document}}});
        (id, create)
    }

    fn set(&mut self, document: &Value) -> Value {
        let number = self.random.below(1_000);
        let text = format!("{} {number}", self.person.user);
        let city = |street: &Value| json!({"street": street, "city": text.clone()});
        match self.random.below(7) {
            0 => json!({"title": text}),
            1 => json!({"notes": text}),
            2 => json!({"done": number.is_multiple_of(2)}),
            3 => json!({"minutes": document["minutes"].as_i64().unwrap() / 2 + 1}),
            4 => json!({"labels": [text, "own"]}),
            5 => json!({"address": city(&document["address"]["street"])}),
            _ => {
                let team = self.random.one_of(self.person.teams);
                assert!(TEAMS.contains(&team));
                json!({"audience": format!("team:{team}")})
            }
        }
    }
}
