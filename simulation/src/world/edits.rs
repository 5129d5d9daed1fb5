//! What people do to documents, chosen by small numbers.

use std::collections::BTreeSet;

use tidegate_core::{
    change::{Action, BaseVersion, Change, Submission},
    checkpoint::RequestedTypes,
    id::{ClientId, DocumentKey, TypeName, Version},
    model::Policy,
    push::{Push, PushClient},
    value::{Document, Timestamp, Value},
};
use tidegate_testkit::client::{Edit, Sending};

use super::{OFFICE, World, device::Parcel};
use crate::{
    oracle::Known,
    people::{self, Edition, TEAMS, USERS},
};

pub(super) fn sending(count: u8, atomic: bool, policy: u8) -> Sending {
    Sending {
        count: count.into(),
        atomic,
        policy: match policy {
            0..20 => Some(Policy::ClientWins),
            20..40 => Some(Policy::ServerWins),
            _ => None,
        },
    }
}

pub(super) fn types(what: u8) -> RequestedTypes {
    let only = |names: &[&str]| {
        let name = |name: &&str| TypeName::new(name).expect("types of the model have good names");
        RequestedTypes::Only(names.iter().map(name).collect::<BTreeSet<_>>())
    };
    match what % 4 {
        0 => only(&["Task"]),
        1 => only(&["Task", "Note"]),
        _ => RequestedTypes::All,
    }
}

impl World {
    /// A user edits a document as the user sees it.
    pub(super) fn edit(&mut self, device: usize, document: u8, what: u8, value: u8) {
        let key = self.document(document);
        let owner = &self.devices[device];
        let is_asked = owner.client.page_types.contain(&key.type_name);
        if !is_asked || !people::knows(owner.app, &key.type_name) {
            return;
        }
        let knows = self.knows(owner.app);
        let user = USERS[owner.user()];
        let base = owner.client.base(&key);
        let held = owner.client.held.get(&key);
        let synced = held.map_or(Version::NONE, |held| held.version);
        let number = self.next_number(Known {
            device: Some(device),
            synced,
            of_create: owner.client.created_by(&key),
        });
        let hand = Hand {
            number,
            user,
            knows,
            makes_cold: false,
            what,
            value,
        };
        let view = self.devices[device].client.view(&key);
        let action = hand.acts(&key, view.as_ref(), base);
        let change = self.changed(key, action, value);
        self.devices[device]
            .client
            .outbox
            .push(Edit { number, change });
    }

    pub(super) fn next_number(&mut self, known: Known) -> u32 {
        let number = self.next_edit();
        self.known.push(known);
        number
    }

    pub(super) fn next_edit(&self) -> u32 {
        u32::try_from(self.known.len()).expect("people make few edits")
    }

    /// Some name the time of the edit, and some of those have wrong clocks.
    fn changed(&self, key: DocumentKey, action: Action, value: u8) -> Change {
        let says =
            |ago: i64| Timestamp::from_ms(self.clock.load(super::Ordering::Relaxed) - ago).ok();
        let changed_at = match value % 7 {
            0 => says(20_000),
            1 => says(5_000),
            2 => says(-120_000),
            _ => None,
        };
        Change {
            key,
            action,
            changed_at,
        }
    }

    /// A membership begins or ends: the work of an administrator, whose client numbers nothing.
    pub(super) fn change_membership(&mut self, user: u8, team: u8, what: u8) {
        let user = USERS[usize::from(user) % USERS.len()];
        let team = TEAMS[usize::from(team) % TEAMS.len()];
        let key = people::member(user, team);
        let text = |text: &str| Value::String(text.to_owned());
        let access = text(if what.is_multiple_of(3) {
            "READ"
        } else {
            "WRITE"
        });
        let there = self
            .store
            .now()
            .entry(&key)
            .filter(|entry| !entry.is_deleted())
            .cloned();
        let action = match there {
            None => Action::Create {
                document: Document::from([
                    ("team".to_owned(), text(team)),
                    ("person".to_owned(), text(user)),
                    ("access".to_owned(), access),
                ]),
                base: None,
            },
            Some(entry) if what.is_multiple_of(2) => Action::Delete {
                base: BaseVersion(entry.version.0),
            },
            Some(entry) => {
                let holds = |name: &&str| {
                    let membership = entry.membership.as_ref();
                    membership.is_some_and(|membership| membership.user.as_str() == *name)
                };
                let other = USERS.into_iter().find(|name| !holds(name));
                let set = match other.filter(|_| what.is_multiple_of(5)) {
                    // It moves to the other user.
                    Some(other) => ("person".to_owned(), text(other)),
                    None => ("access".to_owned(), access),
                };
                Action::Update {
                    base: BaseVersion(entry.version.0),
                    set: Document::from([set]),
                    seen: None,
                }
            }
        };
        self.push_unnumbered(0, &key, vec![action], None);
    }

    /// A user edits the present document without a client id.
    pub(super) fn edit_as_stranger(&mut self, document: u8, what: u8, value: u8) {
        let key = self.document(document);
        let edition = self.editions[OFFICE];
        if !people::knows(edition, &key.type_name) {
            return;
        }
        let entry = self.store.now().entry(&key).cloned();
        let base = entry.as_ref().map_or(0, |entry| entry.version.0);
        let number = self.next_edit();
        let hand = Hand {
            number,
            user: USERS[0],
            knows: self.knows(edition),
            makes_cold: edition == Edition::A && value.is_multiple_of(3),
            what,
            value,
        };
        let body = entry.as_ref().and_then(|entry| entry.body.as_ref());
        let action = hand.acts(&key, body, BaseVersion(base));
        let client = (value.is_multiple_of(2)).then_some("nameless");
        self.push_unnumbered(0, &key, vec![action], client);
    }

    /// A push of one document's changes by a user without a client of their own.
    pub(super) fn push_unnumbered(
        &mut self,
        user: usize,
        key: &DocumentKey,
        actions: Vec<Action>,
        client: Option<&str>,
    ) {
        let mut numbers = Vec::new();
        let changes = actions.into_iter().map(|action| {
            numbers.push(self.next_number(self.known_to_a_stranger(key, &action)));
            Submission {
                type_name: key.type_name.clone(),
                id: key.id.to_string(),
                change: Ok(Change {
                    key: key.clone(),
                    action,
                    changed_at: None,
                }),
            }
        });
        let push = Push {
            changes: changes.collect(),
            client: client.map(|name| PushClient {
                id: ClientId::new(name).expect("a short name"),
                first: None,
            }),
            atomic: false,
            policy: None,
            epoch: None,
        };
        let nobody = self.devices.len();
        self.push(nobody, user, Parcel { push, numbers }, OFFICE);
    }

    /// Strangers edit what is there now.
    fn known_to_a_stranger(&self, key: &DocumentKey, action: &Action) -> Known {
        let synced = match action {
            Action::Create { .. } => self.store.now().entry(key).map(|entry| entry.version),
            Action::Update { base, .. } | Action::Delete { base } => Some(Version(base.0)),
        };
        Known {
            synced: synced.unwrap_or_default(),
            ..Known::NOTHING
        }
    }
}

/// A user about to edit.
pub(super) struct Hand {
    pub(super) number: u32,
    pub(super) user: &'static str,
    /// The model that it knows, if there are two.
    pub(super) knows: Option<Edition>,
    /// Whether it writes a mood that B cannot read.
    pub(super) makes_cold: bool,
    pub(super) what: u8,
    pub(super) value: u8,
}

impl Hand {
    pub(super) fn acts(
        &self,
        key: &DocumentKey,
        view: Option<&Document>,
        base: BaseVersion,
    ) -> Action {
        let Some(view) = view else {
            let document = self.created(key);
            return Action::Create {
                document,
                base: None,
            };
        };
        if self.what.is_multiple_of(8) {
            return Action::Delete { base };
        }
        let set = self.set(key, view);
        // A difference must name the value that it is based on.
        let differs = |name: &String| matches!(name.as_str(), "count" | "tags" | "notes");
        let shows = !self.value.is_multiple_of(4) || set.keys().any(differs);
        let seen = |name: &String| (name.clone(), view.get(name).cloned().unwrap_or(Value::Null));
        let seen = shows.then(|| set.keys().map(seen).collect());
        Action::Update { base, set, seen }
    }

    fn created(&self, key: &DocumentKey) -> Document {
        let mut document = Document::from([
            (
                "audience".to_owned(),
                people::audience(self.user, self.value),
            ),
            ("title".to_owned(), self.text()),
        ]);
        if key.type_name.as_str() == "Task" && self.what.is_multiple_of(2) {
            document.insert("done".to_owned(), Value::Bool(false));
            document.insert("tags".to_owned(), Value::List(vec![self.text()]));
        }
        if key.type_name.as_str() == "Card" {
            let keeper = people::audience(self.user, self.value / 4);
            document.insert("keeper".to_owned(), keeper);
        }
        document
    }

    fn set(&self, key: &DocumentKey, view: &Document) -> Document {
        let (small, null) = (i32::from(self.value % 3), Value::Null);
        let task = key.type_name.as_str() == "Task";
        let (name, value) = match self.what % 16 {
            1 | 2 => ("audience", people::audience(self.user, self.value)),
            3 | 4 => ("title", self.text()),
            5 => (
                "title",
                if small == 0 {
                    null
                } else {
                    Value::String(String::new())
                },
            ),
            6 | 7 => (
                "done",
                if small == 2 {
                    null
                } else {
                    Value::Bool(small == 0)
                },
            ),
            9..=12 if key.type_name.as_str() == "Card" => {
                ("keeper", people::audience(self.user, self.value))
            }
            9..=14 if key.type_name.as_str() == "Note" && self.knows.is_some() => {
                ("mood", self.mood())
            }
            _ if !task => ("title", self.text()),
            9 | 10 => ("count", Value::Int(number(view, "count") + small - 1)),
            11 | 12 => ("tags", self.tags(view)),
            13 => ("notes", self.notes(view)),
            14 if small == 0 => ("least", Value::Int(i32::from(self.value % 5))),
            14 => ("best", Value::Int(small)),
            15 => {
                let name = ["latest", "ours", "yours"][usize::from(self.value % 3)];
                (name, self.text())
            }
            _ => ("place", self.place(small)),
        };
        let mut set = Document::from([(name.to_owned(), value)]);
        if task && self.value > 200 {
            set.insert("stars".to_owned(), Value::Int(small));
        }
        let aims = self.knows == Some(Edition::B) && self.value.is_multiple_of(5);
        if aims && matches!(key.type_name.as_str(), "Task" | "Note") {
            set.insert(people::ONLY_B.to_owned(), self.text());
        }
        set
    }

    fn mood(&self) -> Value {
        let mood = match self.value % 4 {
            0 => "CALM",
            1 => "KEEN",
            _ if self.makes_cold => people::COLD,
            _ if self.knows == Some(Edition::B) => people::WARM,
            _ => "CALM",
        };
        Value::String(mood.to_owned())
    }

    fn text(&self) -> Value {
        Value::String(format!("edit {}", self.number))
    }

    fn place(&self, floor: i32) -> Value {
        let floor = if floor == 0 {
            Value::Null
        } else {
            Value::Int(floor - 1)
        };
        let place = [
            ("name".to_owned(), self.text()),
            ("floor".to_owned(), floor),
        ];
        Value::Object(Document::from(place))
    }

    fn tags(&self, view: &Document) -> Value {
        let mut tags = match view.get("tags") {
            Some(Value::List(tags)) => tags.clone(),
            _ => Vec::new(),
        };
        if self.value.is_multiple_of(3) && !tags.is_empty() {
            tags.remove(0);
        } else {
            tags.push(self.text());
        }
        Value::List(tags)
    }

    fn notes(&self, view: &Document) -> Value {
        let text = view
            .get("notes")
            .and_then(Value::as_str)
            .unwrap_or("one two three");
        let words: Vec<&str> = text.split(' ').collect();
        let changed = usize::from(self.value) % words.len();
        let word = self.number.to_string();
        let words = words
            .iter()
            .enumerate()
            .map(|(i, old)| if i == changed { &word } else { *old });
        Value::String(words.collect::<Vec<_>>().join(" "))
    }
}

fn number(view: &Document, name: &str) -> i32 {
    match view.get(name) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}
