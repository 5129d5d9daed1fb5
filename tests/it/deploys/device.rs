//! A user's device: an app made for one of the models, which pulls or subscribes at any gateway, edits, and sends its
//! edits until they are answered, whatever the models of the gateways are by then.
//!
//! It notes what was acknowledged. `judge` says what that must lead to.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use tidegate_testkit::Random;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    kinds::App,
    stage::{SLOTS, Stage},
};
use crate::harness::{Client, Documents, Replica, Socket, numbered};

/// The note that all devices count in.
pub(super) const COUNTER: &str = "counter";

const PAUSE: Duration = Duration::from_millis(60);

/// A gateway that is silent for so long is left for another.
const SILENCE: Duration = Duration::from_secs(8);

/// How a device behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) user: &'static str,
    pub(super) teams: &'static [&'static str],
    pub(super) lists: &'static [&'static str],
    pub(super) staff: &'static [&'static str],
    pub(super) subscribes: bool,
    /// Whether it sees the counter under every model, by its claims.
    pub(super) counts: bool,
    /// Whether its app is updated to the next one while it works.
    pub(super) updates: bool,
}

/// A device.
pub(super) struct Device {
    pub(super) person: Person,
    pub(super) app: App,
    pub(super) replica: Replica,
    pub(super) ledger: Ledger,
    stage: Arc<Stage>,
    client: Client,
    random: Random,
    next_mutation: i64,
    created: usize,
    unanswered: Option<Push>,
    /// Set after an update of the app, until a page has answered it.
    refreshes: bool,
}

/// What was acknowledged, and shown.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) pushes: usize,
    pub(super) repetitions: usize,
    pub(super) counted: i64,
    /// Type and id of what it created.
    pub(super) created: Vec<(String, String)>,
    /// The last title of the note that only this device names.
    pub(super) own_title: Option<String>,
    /// The latest version of each document that was shown to it.
    pub(super) versions: BTreeMap<(String, String), i64>,
}

/// A push that is repeated, byte for byte, until it is answered.
struct Push {
    input: Value,
    effects: Vec<Effect>,
    /// Before this moment the device is offline.
    at: Instant,
}

enum Effect {
    Counts,
    Creates(&'static str, String),
    Names(String),
    /// Others may prevent it.
    May,
}

impl Device {
    pub(super) fn new(stage: &Arc<Stage>, person: Person, app: App, seed: u64) -> Self {
        let claims = json!({"teams": person.teams, "lists": person.lists, "staff": person.staff});
        let client = Client {
            url: String::new(),
            token: stage.token(person.user, &claims),
            http: http(stage, app),
        };
        Self {
            person,
            app,
            replica: Replica::default(),
            ledger: Ledger::default(),
            stage: Arc::clone(stage),
            client,
            random: Random::new(seed),
            next_mutation: 1,
            created: 0,
            unanswered: None,
            refreshes: false,
        }
    }

    /// Works until it is stopped, and until its last push is answered.
    pub(super) async fn work_until(mut self, stopped: watch::Receiver<bool>) -> Self {
        while !*stopped.borrow() || self.unanswered.is_some() {
            let slot = self.random.below(SLOTS);
            if self.person.updates
                && self.app == App::Old
                && self.stage.has_new_api.load(Ordering::Relaxed)
                && self.random.once_in(40)
            {
                self.update_app();
            }
            match self.person.subscribes && !self.random.once_in(4) {
                true => self.subscribe(slot).await,
                false => drop(self.page(slot).await),
            }
            let is_over = *stopped.borrow();
            if self.unanswered.is_none() && !is_over {
                self.unanswered = self.next_push();
            }
            self.send(is_over).await;
            sleep(PAUSE).await;
        }
        self
    }

    fn update_app(&mut self) {
        self.app = App::New;
        self.client.http = http(&self.stage, self.app);
        self.refreshes = true;
    }

    /// Pulls until nothing is left. Returns whether a gateway has answered all of it.
    pub(super) async fn pull(&mut self, slot: usize) -> bool {
        loop {
            match self.page(slot).await {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
        }
    }

    /// What it holds.
    pub(super) fn documents(&self) -> &Documents {
        self.replica.documents()
    }

    fn at(&self, slot: usize) -> Client {
        self.stage.client_at(slot, &self.client)
    }

    /// The arguments of a page, and its selection.
    fn changes(&self, field: &str) -> String {
        let refresh = match self.refreshes {
            true => ", refresh: [Note, Task, Member, Tag]",
            false => "",
        };
        format!(
            "{field}(checkpoint: {}, limit: 20{refresh}) {{ changes {{ type documentId kind version scope document {{ {} }} }} checkpoint hasMore reset revokedScopes epoch }}",
            json!(self.replica.checkpoint),
            self.app.fields()
        )
    }

    /// Applies a page. Returns whether there is more, or nothing if the gateway cannot answer.
    async fn page(&mut self, slot: usize) -> Option<bool> {
        let query = format!("{{ {} }}", self.changes("changesSince"));
        let client = self.at(slot);
        let answer = timeout(SILENCE, client.try_send(&query, json!({}))).await;
        let answer = answer.ok().flatten()?;
        if let Some(error) = answer["errors"].get(0) {
            expect_unavailable(error);
            return None;
        }
        let page = &answer["data"]["changesSince"];
        self.apply(page);
        Some(page["hasMore"] == true)
    }

    /// Applies pages for a while.
    async fn subscribe(&mut self, slot: usize) {
        let client = self.at(slot);
        let hash = self.stage.hash(self.app);
        let connecting = Socket::try_connect_with(&client, json!({"Tidegate-Schema": hash}));
        let Ok(Some(mut socket)) = timeout(SILENCE, connecting).await else {
            return;
        };
        if !socket.try_subscribe("1", &self.changes("changes")).await {
            return;
        }
        let end = Instant::now() + Duration::from_millis(100 + self.random.below(2_500) as u64);
        while let Ok(Ok(message)) = tokio::time::timeout_at(end, socket.try_next()).await {
            match message["type"].as_str().unwrap() {
                "next" => {
                    assert_eq!(message["payload"].get("errors"), None, "{message}");
                    self.apply(&message["payload"]["data"]["changes"]);
                }
                "error" => return expect_unavailable(&message["payload"][0]),
                _ => return,
            }
        }
    }

    fn apply(&mut self, page: &Value) {
        let is_first = self.replica.checkpoint.is_none();
        assert!(
            is_first || page["reset"] == false,
            "no model and no fault resets a device: {} {page}",
            self.person.user
        );
        for change in page["changes"].as_array().unwrap() {
            self.ledger.note(
                &change["type"],
                &change["documentId"],
                change["version"].as_i64(),
            );
        }
        let own = format!("{}-own", self.person.user);
        let mut notes = vec![own.as_str()];
        notes.extend(self.person.counts.then_some(COUNTER));
        notes.retain(|id| self.held("Note", id).is_some());
        self.replica.apply(page);
        self.refreshes = false;
        // Every model shows them to this user.
        for id in notes {
            assert!(self.held("Note", id).is_some(), "{id} is taken: {page}");
        }
    }

    /// Sends the push that has no answer, and sometimes does not wait for it.
    async fn send(&mut self, waits: bool) {
        let slot = self.random.below(SLOTS);
        let is_lost = self.random.once_in(5);
        let Some(push) = &self.unanswered else {
            return;
        };
        if Instant::now() < push.at && !waits {
            return;
        }
        let query = format!(
            "mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ results {{ type documentId status version duplicate document {{ {} }} error {{ code message field }} }} }} }}",
            self.app.fields()
        );
        let patience = match is_lost && !waits {
            true => Duration::from_millis(self.random.below(60) as u64),
            false => SILENCE,
        };
        let client = self.at(slot);
        let sending = client.try_send(&query, json!({"input": push.input}));
        let Ok(Some(answer)) = timeout(patience, sending).await else {
            return;
        };
        match answer["errors"].get(0) {
            Some(error) => expect_unavailable(error),
            None => self.take(&answer["data"]["pushChanges"]["results"]),
        }
    }

    fn take(&mut self, results: &Value) {
        let results = results.as_array().unwrap();
        let push = self.unanswered.take().unwrap();
        assert_eq!(results.len(), push.effects.len());
        self.next_mutation += i64::try_from(results.len()).unwrap();
        self.ledger.pushes += 1;
        self.ledger.repetitions += usize::from(results[0]["duplicate"] == true);
        for (result, effect) in results.iter().zip(push.effects) {
            let ledger = &mut self.ledger;
            ledger.note(
                &result["type"],
                &result["documentId"],
                result["version"].as_i64(),
            );
            let is_written = ["APPLIED", "MERGED"].contains(&result["status"].as_str().unwrap());
            if matches!(effect, Effect::May) && !is_written {
                expect_reason(result);
                continue;
            }
            assert!(is_written, "{}: {result}", self.person.user);
            match effect {
                Effect::Counts => ledger.counted += 1,
                Effect::Creates(kind, id) => ledger.created.push((kind.to_owned(), id)),
                Effect::Names(title) => ledger.own_title = Some(title),
                Effect::May => {}
            }
        }
    }

    /// One to three changes, of which the last ones may be of what others change too.
    fn next_push(&mut self) -> Option<Push> {
        let epoch = self.replica.epoch.clone()?;
        let (mut changes, mut effects, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + self.random.below(3) {
            let Some((id, change, effect)) = self.change() else {
                continue;
            };
            if !ids.contains(&id) {
                ids.push(id);
                changes.push(change);
                effects.push(effect);
            }
        }
        let offline = match self.random.once_in(6) {
            true => Duration::from_millis(self.random.below(8_000) as u64),
            false => Duration::ZERO,
        };
        let push = || Push {
            input: numbered(self.person.user, self.next_mutation, &epoch, json!(changes)),
            effects,
            at: Instant::now() + offline,
        };
        (!ids.is_empty()).then(push)
    }

    fn change(&mut self) -> Option<(String, Value, Effect)> {
        match self.random.below(8) {
            0 | 1 if self.person.counts => self.count(),
            2 | 3 => self.name_own(),
            4 => Some(self.create()),
            5 => self.delete(),
            _ => self.edit(),
        }
    }

    fn count(&self) -> Option<(String, Value, Effect)> {
        let (version, held) = self.held("Note", COUNTER)?;
        let count = held["count"].as_i64()?;
        let update = json!({
            "id": COUNTER, "baseVersion": version, "base": {"count": count}, "set": {"count": count + 1},
        });
        let change = json!({"note": {"update": update}});
        Some((COUNTER.to_owned(), change, Effect::Counts))
    }

    fn name_own(&mut self) -> Option<(String, Value, Effect)> {
        let id = format!("{}-own", self.person.user);
        let Some((version, held)) = self.held("Note", &id) else {
            // Once it was created it stays.
            let is_new = self.ledger.own_title.is_none();
            return is_new.then(|| {
                let document = json!({"team": self.person.teams[0], self.app.title(): "own"});
                let create = json!({"note": {"create": {"id": id, "document": document}}});
                (id, create, Effect::Names("own".to_owned()))
            });
        };
        let name = self.app.title();
        let seen = held[name].clone();
        let title = format!("own {}", self.random.below(1_000_000));
        let update = json!({
            "id": id, "baseVersion": version, "base": {name: seen}, "set": {name: title},
        });
        let change = json!({"note": {"update": update}});
        Some((id, change, Effect::Names(title)))
    }

    fn create(&mut self) -> (String, Value, Effect) {
        self.created += 1;
        let id = format!("{}-{}", self.person.user, self.created);
        let (team, list) = (self.person.teams[0], self.person.lists[0]);
        let (key, kind, document) = match self.random.once_in(2) {
            true => (
                "note",
                "Note",
                json!({"team": team, self.app.title(): "new", "size": self.created, "state": "OPEN"}),
            ),
            false => (
                "task",
                "Task",
                json!({"team": team, "list": list, "title": "new"}),
            ),
        };
        let change = json!({key: {"create": {"id": id, "document": document}}});
        (id.clone(), change, Effect::Creates(kind, id))
    }

    /// Deletes what another service made.
    fn delete(&mut self) -> Option<(String, Value, Effect)> {
        let (kind, id, version) = self.any(|id| id.starts_with("foreign-"))?;
        let delete = json!({"delete": {"id": id, "baseVersion": version}});
        Some((id, json!({kind.to_lowercase(): delete}), Effect::May))
    }

    fn edit(&mut self) -> Option<(String, Value, Effect)> {
        let (kind, id, version) = self.any(|id| id != COUNTER)?;
        let held = self.held(&kind, &id)?.1.clone();
        let number = self.random.below(1_000);
        let (name, value) = match (kind.as_str(), self.random.below(6)) {
            ("Note", 0) => ("size", json!(number)),
            ("Note", 1) => ("state", json!(["OPEN", "DONE"][number % 2])),
            ("Note", 2) if self.app == App::Old => ("hint", json!(format!("hint {number}"))),
            ("Note", 2) => ("rank", json!(number)),
            _ => ("text", json!(format!("{} {number}", self.person.user))),
        };
        let base = match held[name].as_str().filter(|_| name == "size") {
            Some(long) => json!(long.parse::<i64>().unwrap()),
            None => held[name].clone(),
        };
        let update = json!({
            "id": id, "baseVersion": version, "base": {name: base}, "set": {name: value},
        });
        let change = json!({kind.to_lowercase(): {"update": update}});
        Some((id, change, Effect::May))
    }

    /// A note or a task that it holds.
    fn any(&mut self, is_wanted: impl Fn(&str) -> bool) -> Option<(String, String, i64)> {
        let held = self.documents().iter();
        let held =
            held.filter(|((kind, id), _)| ["Note", "Task"].contains(&&**kind) && is_wanted(id));
        let held: Vec<_> = held
            .map(|((kind, id), local)| (kind.clone(), id.clone(), local.version))
            .collect();
        let place = self.random.below(held.len().max(1));
        held.get(place).cloned()
    }

    fn held(&self, kind: &str, id: &str) -> Option<(i64, &Value)> {
        let local = self.documents().get(&(kind.to_owned(), id.to_owned()))?;
        Some((local.version, &local.document))
    }
}

impl Ledger {
    fn note(&mut self, kind: &Value, id: &Value, version: Option<i64>) {
        let part = |value: &Value| value.as_str().unwrap().to_owned();
        if let Some(version) = version {
            let shown = self.versions.entry((part(kind), part(id))).or_default();
            *shown = version.max(*shown);
        }
    }
}

/// Others have changed, ended, moved or spoiled the document, or the field is retired.
fn expect_reason(result: &Value) {
    if result["status"] == "CONFLICT" {
        return;
    }
    let code = result["error"]["code"].as_str();
    let allowed = ["NOT_FOUND", "INVALID_VALUE", "FORBIDDEN", "RETIRED"];
    assert!(code.is_some_and(|code| allowed.contains(&code)), "{result}");
}

/// The one error that passes by itself.
fn expect_unavailable(error: &Value) {
    assert_eq!(
        error["extensions"]["code"], "SERVICE_UNAVAILABLE",
        "{error}"
    );
}

/// It says with each request which API the app was made for.
fn http(stage: &Stage, app: App) -> reqwest::Client {
    let name = HeaderName::from_static("tidegate-schema");
    let headers = HeaderMap::from_iter([(name, stage.hash(app).parse().unwrap())]);
    let http = reqwest::Client::builder().default_headers(headers);
    http.build().unwrap()
}
