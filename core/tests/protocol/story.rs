//! A random history: clients, a store, and the messages between them, which arrive late, twice or never.
//!
//! [`crate::convergence`] says what must be true of every such history.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    id::ConflictId,
    model::Model,
    outcome::Status,
    push::{Push, PushAnswer, PushRefusal, Resolution, WebhookAnswer, WebhookDecision},
    value::Value,
};
use tidegate_testkit::{
    Random,
    client::{Act, Arrival, Client, Draft, Flight, Intent, Made, NotMade},
};

use crate::{
    drafts::{create, delete, key, update},
    senders::anonymously,
    store::Store,
};

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const RULES: [&str; 8] = [
    "MERGE/SERVER_WINS",
    "SERVER_WINS",
    "CLIENT_WINS",
    "LAST_WRITE_WINS",
    "MANUAL",
    "MERGE/MANUAL",
    "WEBHOOK/MANUAL",
    "WEBHOOK/LAST_WRITE_WINS",
];
const DOCUMENTS: [&str; 2] = ["x", "y"];
const TEAMS: [&str; 2] = ["red", "blue"];
/// More pages than any of these histories has changes.
pub(crate) const PAGES_MAX: usize = 200;

/// A client, with the messages on their way to it.
pub(crate) struct Device {
    pub(crate) user: &'static str,
    pub(crate) client: Client,
    pub(crate) page: Option<Arrival>,
    replies: Vec<(Push, PushAnswer)>,
}

impl Device {
    pub(crate) fn new(user: &'static str, model: &Model) -> Self {
        Self {
            user,
            client: Client::new(user, model, RequestedTypes::All, None),
            page: None,
            replies: Vec::new(),
        }
    }
}

/// What took effect in one history of the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// The edits that were applied.
    applied: BTreeSet<u32>,
    /// The conflicts that were opened and not resolved.
    pub(crate) open: BTreeSet<ConflictId>,
}

pub(crate) struct Story {
    random: Random,
    pub(crate) store: Store,
    pub(crate) devices: Vec<Device>,
    /// What took effect in the store's present history.
    pub(crate) ledger: Ledger,
    backup: Option<(Store, Ledger)>,
    members: BTreeMap<&'static str, Vec<&'static str>>,
    pub(crate) tick: u32,
    epochs: u32,
}

impl Story {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut store = Store::new(random.one_of(&RULES));
        let clients = 2 + random.below(2);
        let members: BTreeMap<_, _> = USERS.iter().map(|user| (*user, TEAMS.to_vec())).collect();
        members
            .iter()
            .for_each(|(user, teams)| store.teams(user, teams));
        Self {
            devices: USERS[..clients]
                .iter()
                .map(|user| Device::new(user, &store.model))
                .collect(),
            random,
            store,
            ledger: Ledger::default(),
            backup: None,
            members,
            tick: 0,
            epochs: 1,
        }
    }

    pub(crate) fn step(&mut self) {
        self.tick += 1;
        let device = self.random.below(self.devices.len());
        match self.random.below(32) {
            0..7 => self.edit(device),
            7 => self.edit_all(device),
            8..12 => self.send(device),
            12 => self.retry(device),
            13..17 => self.hear(device),
            17..20 => self.pull(device),
            20..22 => self.request_page(device),
            22..24 => self.apply_page(device),
            24 => self.devices[device].page = None,
            25 | 26 => self.store.collect(),
            27 => self.toggle(device),
            28 => self.resolve(device),
            29 => self.write_anonymously(),
            30 => self.backup = Some((self.store.clone(), self.ledger.clone())),
            _ => match self.random.below(8) {
                0..2 => self.restore(),
                2 => self.rotate(),
                _ => {}
            },
        }
    }

    fn edit(&mut self, device: usize) {
        let (id, team) = (self.random.one_of(&DOCUMENTS), self.random.one_of(&TEAMS));
        let key = key("Task", id);
        let text = |text: &str| Value::String(text.to_owned());
        let (title, audience) = (text(&self.tick.to_string()), text(&format!("team:{team}")));
        let update = |name: &str, intent| Act::Update([(name.to_owned(), intent)].into());
        let is_in_view = self.devices[device].client.view(&key).is_some();
        let act = match self.random.below(4) {
            _ if !is_in_view => {
                let fields = [("audience", audience), ("title", title)];
                Act::Create(fields.map(|(name, value)| (name.to_owned(), value)).into())
            }
            0 => Act::Delete,
            1 => update("audience", Intent::Set(audience)),
            2 => update("tags", Intent::Add(vec![title])),
            _ => update("title", Intent::Set(title)),
        };
        let with_base = matches!(&act, Act::Update(set) if set.contains_key("tags"));
        let made = self.devices[device].client.edit(Draft {
            number: self.tick,
            key,
            act,
            changed_at: None,
            policy: None,
            transaction: None,
            with_base,
        });
        made.expect("the act suits the view");
    }

    /// Some of its edits of several documents are a transaction.
    fn edit_all(&mut self, device: usize) {
        let tick = self.tick;
        let client = &mut self.devices[device].client;
        for (number, id) in (tick..).step_by(1_000).zip(DOCUMENTS) {
            let set = ("stars".to_owned(), Intent::Set(Value::Int(1)));
            let made = client.edit(Draft {
                number,
                key: key("Task", id),
                act: Act::Update([set].into()),
                changed_at: None,
                policy: None,
                transaction: Some(tick),
                with_base: true,
            });
            assert!(matches!(made, Ok(Made::Queued) | Err(NotMade::Gone)));
        }
    }

    fn send(&mut self, device: usize) {
        let count = 1 + self.random.below(2);
        if self.devices[device].client.send(count).is_some() && self.random.below(5) > 0 {
            self.retry(device);
        }
    }

    /// Sends the push under way again, or for the first time. The answer may be lost.
    pub(crate) fn retry(&mut self, device: usize) {
        let Some(flight) = self.devices[device].client.flight.clone() else {
            return;
        };
        let answer = self.push(self.devices[device].user, &flight.push);
        self.enter(&flight, &answer);
        if self.random.below(4) > 0 {
            self.devices[device].replies.push((flight.push, answer));
        }
    }

    /// The application answers its questions, or does not.
    fn push(&mut self, user: &str, push: &Push) -> PushAnswer {
        let mut decisions = Vec::new();
        loop {
            match self.store.take(user, push, &decisions) {
                Err(PushRefusal::NeedsWebhook(questions)) => {
                    let answers = [
                        WebhookAnswer::Current,
                        WebhookAnswer::Incoming,
                        WebhookAnswer::None,
                    ];
                    decisions.extend(questions.iter().map(|question| WebhookDecision {
                        change: question.change,
                        version: Some(question.current.version),
                        answer: answers[self.random.below(3)].clone(),
                    }));
                }
                answer => return answer,
            }
        }
    }

    /// A user resolves a conflict that the user can see.
    fn resolve(&mut self, device: usize) {
        let user = self.devices[device].user;
        let grants = self.store.grants(user);
        let mut conflicts = self.store.conflicts();
        let model = &self.store.model;
        let Some(conflict) = conflicts.find(|conflict| conflict.is_open_to(model, &grants)) else {
            return;
        };
        let (id, entry) = (conflict.id.clone(), self.store.entry(&conflict.key));
        let version = entry.map_or(0, |entry| entry.version.0);
        let resolutions = [Resolution::Mine, Resolution::Theirs, Resolution::Delete];
        let resolution = resolutions[self.random.below(3)].clone();
        drop(conflicts);
        let answer = self.store.resolve(user, &id, version, resolution.clone());
        let outcome = answer.expect("it was visible").outcomes.remove(0);
        if outcome.status == Status::Applied {
            assert!(self.ledger.open.remove(&id), "{id} was resolved twice");
            let again = self.store.resolve(user, &id, version, resolution);
            assert!(again.is_ok_and(|answer| answer.duplicate));
        }
    }

    fn enter(&mut self, flight: &Flight, answer: &PushAnswer) {
        let Some(answer) = answer.as_ref().ok().filter(|answer| !answer.duplicate) else {
            return;
        };
        for (edit, outcome) in flight.edits.iter().zip(&answer.outcomes) {
            self.note_opened(outcome.inbox.as_ref());
            if matches!(outcome.status, Status::Applied | Status::Merged) {
                assert!(
                    self.ledger.applied.insert(edit.number),
                    "{edit:?} was applied twice"
                );
            }
        }
    }

    /// Takes one of the answers on their way. The others then belong to a push that is settled.
    pub(crate) fn hear(&mut self, device: usize) {
        let Device {
            client, replies, ..
        } = &mut self.devices[device];
        if !replies.is_empty() {
            let (push, answer) = replies.swap_remove(self.random.below(replies.len()));
            replies.clear();
            client.hear(&push, &answer, self.tick);
            assert!(
                client.flight.is_none(),
                "{push:?} is not settled by {answer:?}"
            );
        }
    }

    fn request_page(&mut self, device: usize) {
        let device = &mut self.devices[device];
        if device.page.is_none() {
            let from = device.client.place.clone();
            device.page = Some(Arrival {
                page: self
                    .store
                    .page(device.user, from.as_ref().map(|from| &*from.token), 1),
                from,
                types: RequestedTypes::All,
                requested: Some(self.tick),
                refreshed: Default::default(),
                reread: [].into(),
            });
        }
    }

    fn apply_page(&mut self, device: usize) {
        let Device { client, page, .. } = &mut self.devices[device];
        if let Some(arrival) = page.take() {
            client.apply(arrival);
        }
    }

    fn toggle(&mut self, device: usize) {
        let (user, team) = (self.devices[device].user, self.random.one_of(&TEAMS));
        let teams = self.members.entry(user).or_default();
        match teams.iter().position(|held| *held == team) {
            Some(i) => drop(teams.remove(i)),
            None => teams.push(team),
        }
        self.store.teams(user, teams);
    }

    fn write_anonymously(&mut self) {
        let (id, team) = (self.random.one_of(&DOCUMENTS), self.random.one_of(&TEAMS));
        let base = self
            .store
            .entry(&key("Task", id))
            .map_or(0, |entry| entry.version.0);
        let audience = json!({ "audience": format!("team:{team}") });
        let draft = match self.random.below(3) {
            0 => delete(id, base),
            1 => update(id, base, audience),
            _ => create(id, audience),
        };
        let answer = self.store.push(&anonymously("carol"), &[draft]);
        let outcomes = answer.into_iter().flat_map(|answer| answer.outcomes);
        outcomes.for_each(|outcome| self.note_opened(outcome.inbox.as_ref()));
    }

    /// A client that numbers nothing may get the id of a settled conflict.
    fn note_opened(&mut self, named: Option<&ConflictId>) {
        let mut open = self.store.conflicts().map(|open| &open.id);
        let opened = named.filter(|named| open.any(|open| open == *named));
        self.ledger.open.extend(opened.cloned());
    }

    fn restore(&mut self) {
        if let Some((store, ledger)) = self.backup.take() {
            (self.store, self.ledger) = (store, ledger);
            self.members
                .iter()
                .for_each(|(user, teams)| self.store.teams(user, teams));
            self.rotate();
        }
    }

    fn rotate(&mut self) {
        self.epochs += 1;
        self.store.rotate(&format!("e{}", self.epochs));
    }

    pub(crate) fn pull(&mut self, device: usize) {
        self.apply_page(device);
        for _ in 0..PAGES_MAX {
            self.tick += 1;
            self.request_page(device);
            let has_more = self.devices[device]
                .page
                .as_ref()
                .is_some_and(|arrival| arrival.page.has_more);
            self.apply_page(device);
            if !has_more {
                return;
            }
        }
        panic!("the pull does not end");
    }
}
