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
use tidegate_testkit::client::Draft;

use super::{OFFICE, World, device::Parcel, hand::Hand};
use crate::{
    oracle::Known,
    people::{self, Edition, TEAMS, USERS},
};

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
        self.edit_within(device, self.document(document), what, value, None);
    }

    /// Makes an edit, in a transaction if one is given. Returns its number, if the device can make it.
    pub(super) fn edit_within(
        &mut self,
        device: usize,
        key: DocumentKey,
        what: u8,
        value: u8,
        transaction: Option<u32>,
    ) -> Option<u32> {
        let owner = &self.devices[device];
        let is_asked = owner.client.page_types.contain(&key.type_name);
        let is_harmed = owner.harm.as_ref().is_some_and(|harm| harm.is_of(&key));
        if !is_asked || is_harmed || !people::knows(owner.app, &key.type_name) {
            return None;
        }
        let knows = self.knows(owner.app);
        let user = USERS[owner.user()];
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
            fills: false,
            what,
            value,
        };
        let client = &self.devices[device].client;
        let act = hand.act(&key, client.view(&key).as_ref());
        let draft = Draft {
            number,
            // Clients of traces always say what an update was made on.
            with_base: hand.shows(&act) || self.devices[device].recorder.is_some(),
            key,
            act,
            changed_at: self.says(value),
            policy: match value {
                64..84 => Some(Policy::ClientWins),
                84..104 => Some(Policy::ServerWins),
                _ => None,
            },
            transaction,
        };
        self.meant.note(&draft);
        if value % 32 == 31 {
            self.meant.misfits.insert(number);
        }
        let now = Timestamp::from_ms(self.clock.load(super::Ordering::Relaxed));
        let editor = &mut self.devices[device];
        editor.record(|it| it.edit(&draft, now.expect("histories are short")));
        let made = editor.client.edit(draft);
        editor.made.push(number);
        self.meant
            .made(number, made.expect("the act suits the view"));
        Some(number)
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
    fn says(&self, value: u8) -> Option<Timestamp> {
        let says =
            |ago: i64| Timestamp::from_ms(self.clock.load(super::Ordering::Relaxed) - ago).ok();
        match value % 7 {
            0 => says(20_000),
            1 => says(5_000),
            2 => says(-120_000),
            _ => None,
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
            makes_cold: edition == Edition::A,
            fills: false,
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
