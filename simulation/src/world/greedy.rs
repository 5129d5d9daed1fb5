//! Members that ask for more than their share, or for what they may not change, and users that decline what others give
//! (rules.md 4.2, 4.6, 4.11 and 4.14).

use std::{collections::BTreeMap, sync::Arc};

use tidegate::sync::DeclineRequest;
use tidegate_core::{
    change::{Action, BaseVersion, Change, Submission},
    id::{ClientId, DocumentKey, MutationId, UserId},
    inbox::PENDING_MAX,
    push::{Push, PushClient},
    value::{Document, Value},
};

use super::{
    CLIENTS_MAX, OFFICE, World,
    device::{Parcel, Request},
};
use crate::{
    oracle::{Judged, Known, Property, Sight, expect},
    people::{self, USERS},
};

/// How many more than the bound are tried.
const MORE: usize = 4;

/// The user of crowds of clients, and of no others.
const CROWD: &str = "mallory";

impl World {
    /// More stale changes of the memo than the inbox keeps for one user.
    pub(super) async fn flood(&mut self, user: u8) -> Judged {
        let (user, key) = (usize::from(user) % USERS.len(), people::memo());
        let title = |title: String| Document::from([("title".to_owned(), Value::String(title))]);
        if self.store.now().entry(&key).is_none() {
            let create = Action::Create {
                document: title("a memo".to_owned()),
                base: None,
            };
            self.push_unnumbered(user, &key, vec![create], None);
            self.settle().await?;
        }
        let next = self.known.len();
        let stale = |n: usize| Action::Update {
            base: BaseVersion::OTHER_EPOCH,
            set: title(format!("edit {}", next + n)),
            seen: None,
        };
        let changes = (0..PENDING_MAX + MORE).map(stale).collect();
        self.push_unnumbered(user, &key, changes, None);
        Ok(())
    }

    /// A change of the board, which its roles may not allow to the user.
    pub(super) fn trespass(&mut self, number: u8) {
        let (user, key) = (usize::from(number) % USERS.len(), people::board());
        let text = |text: String| Value::String(text);
        let title = ("title", text(format!("title {}", self.known.len())));
        let sealed = ("sealed", text(format!("seal {number}")));
        let own = ("author", text(USERS[user].to_owned()));
        let author = ("author", text(USERS[(user + 1) % USERS.len()].to_owned()));
        let fields = |fields: &[(&str, Value)]| -> Document {
            let fields = fields.iter();
            fields
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect()
        };
        let entry = self.store.now().entry(&key).cloned();
        let base = BaseVersion(entry.as_ref().map_or(0, |entry| entry.version.0));
        let create = |document| Action::Create {
            document,
            base: None,
        };
        let update = |set| Action::Update {
            base,
            set,
            seen: None,
        };
        let action = match number / 2 % 6 {
            0 => create(fields(&[title, sealed, own])),
            1 => create(fields(&[title, author])),
            2 => update(fields(&[title])),
            3 => update(fields(&[title, sealed])),
            4 => update(fields(&[author])),
            _ => Action::Delete { base },
        };
        self.push_unnumbered(user, &key, vec![action], None);
    }

    /// More clients than are remembered of one user. Each change of theirs is rejected, and their last ids stay.
    pub(super) fn crowd(&mut self) {
        let identity = people::identity(CROWD, &[]);
        let sight = Sight {
            user: identity.user.clone(),
            claimed: people::claimed(&self.model_of(OFFICE), &identity),
        };
        let caller = self.gateways[OFFICE].caller(identity);
        let caller = caller.expect("no team is few scopes");
        for _ in 0..CLIENTS_MAX + MORE {
            let request = Request {
                device: self.devices.len(),
                gateway: OFFICE,
                edition: self.editions[OFFICE],
                life: self.lives[OFFICE],
                sight: sight.clone(),
                asked: self.store.moment(),
            };
            let parcel = self.next_of_the_crowd();
            self.push_as(caller.clone(), request, parcel);
        }
    }

    fn next_of_the_crowd(&mut self) -> Parcel {
        self.crowded += 1;
        let change = Change {
            key: people::member(CROWD, "nothing"),
            action: Action::Delete {
                base: BaseVersion(1),
            },
            changed_at: None,
        };
        let client = ClientId::new(&format!("crowd-{}", self.crowded)).expect("a short name");
        Parcel {
            numbers: vec![self.next_number(Known::NOTHING)],
            push: Push {
                client: Some(PushClient {
                    id: client,
                    first: Some(MutationId(1)),
                }),
                changes: vec![Submission {
                    type_name: change.key.type_name.clone(),
                    id: change.key.id.to_string(),
                    change: Ok(change),
                }],
                atomic: false,
                policy: None,
                epoch: Some(self.store.now().epoch.clone()),
            },
        }
    }

    /// A user declines what the administrator gives, or accepts it again.
    pub(super) fn decline(&mut self, user: u8, decline: bool) {
        let (caller, _) = self.caller(usize::from(user) % USERS.len());
        let service = Arc::clone(&self.gateways[OFFICE]);
        let administrator = UserId::new(USERS[0]).expect("users here have short names");
        let request = DeclineRequest {
            givers: [administrator].into(),
            decline,
        };
        tokio::spawn(async move { service.decline(&caller, request).await });
    }

    /// What the user caused is within its bounds.
    pub(super) fn judge_bounds(&self, user: &UserId) -> Judged {
        let state = self.store.now();
        let clients = state.clients_of(user);
        expect(clients <= CLIENTS_MAX, Property::Bounded, || {
            format!("{clients} clients of {user} are remembered")
        })?;
        let mut waiting: BTreeMap<&DocumentKey, usize> = BTreeMap::new();
        for open in state
            .conflicts()
            .into_iter()
            .filter(|it| it.opened_by == *user)
        {
            *waiting.entry(&open.key).or_default() += 1;
        }
        let most = waiting.into_values().max().unwrap_or_default();
        expect(most <= PENDING_MAX, Property::Bounded, || {
            format!("{most} conflicts of {user} and one document wait")
        })
    }
}
