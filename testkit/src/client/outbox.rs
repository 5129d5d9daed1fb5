//! Sending the user's edits, and taking in their outcomes: rules 1.5 to 1.7, 4.4 and 4.5.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    change::{BaseVersion, Submission},
    id::{ClientId, MutationId},
    outcome::Status,
    push::{Outcome, Push, PushAnswer, PushClient, PushRefusal},
};

use super::{Client, Edit, Flight, Held, Lingering, Sending, Slip};

impl Client {
    /// The next push, if there is one and none is under way. Before the first page there is none (1.1).
    pub fn send(&mut self, sending: Sending) -> Option<&Push> {
        let epoch = self.epoch()?.clone();
        if self.flight.is_some() || self.outbox.is_empty() {
            return None;
        }
        let count = sending.count.min(self.outbox.len());
        let edits: Vec<Edit> = self.outbox.drain(..count).collect();
        let push = Push {
            client: Some(PushClient {
                id: self.id(),
                first: Some(MutationId(self.next_mutation)),
            }),
            changes: edits.iter().map(submission).collect(),
            atomic: sending.atomic,
            policy: sending.policy,
            epoch: Some(epoch),
        };
        self.next_mutation += i32::try_from(count).expect("people make few edits");
        let flight = self.flight.insert(Flight {
            push,
            edits,
            crossed_reset: false,
            deleted: BTreeMap::new(),
            left: BTreeMap::new(),
            revoked: BTreeSet::new(),
        });
        Some(&flight.push)
    }

    /// Sends the push under way once more: as it was sent (1.5).
    pub fn retry(&mut self) {
        let altered = self.slips(Slip::RetryAltered);
        let Some(mut flight) = self.flight.take_if(|_| altered) else {
            return;
        };
        for edit in &mut flight.edits {
            if let (Some(held), Some(_)) = (self.held.get(&edit.change.key), edit.base()) {
                edit.rebase(held.base);
            }
        }
        flight.push.changes = flight.edits.iter().map(submission).collect();
        self.flight = Some(flight);
    }

    /// Takes in the answer to a push, which arrived at `heard`. An answer to another push than the one under way has no
    /// use any more.
    pub fn hear(&mut self, to: &Push, answer: &PushAnswer, heard: u32) {
        let Some(flight) = self
            .flight
            .take_if(|flight| flight.push.client == to.client)
        else {
            return;
        };
        let outcomes = match answer {
            Ok(answer) => &answer.outcomes,
            // Only these two prove that it had no effect (4.4); after any other it would be sent again.
            Err(PushRefusal::EpochChanged { .. } | PushRefusal::MutationIdGap { .. }) => {
                return self.send_again(flight);
            }
            Err(_) => return self.flight = Some(flight),
        };
        for (edit, outcome) in flight.edits.iter().zip(outcomes) {
            let failed = matches!(outcome.status, Status::Conflict | Status::Rejected);
            if edit.is_create() {
                self.settle_queue_of(edit, failed, &flight);
            }
            if !flight.crossed_reset {
                self.settle(&flight, edit, outcome, heard);
            } else if !failed {
                self.linger(&flight, edit, heard);
            }
        }
    }

    fn linger(&mut self, flight: &Flight, edit: &Edit, heard: u32) {
        if let Some(client) = &flight.push.client {
            self.lingering.push(Lingering {
                edit: edit.clone(),
                by: client.id.clone(),
                heard,
            });
        }
    }

    /// 4.4: its edits are sent under another client id, after a pull, unless a page named the other epoch already.
    fn send_again(&mut self, flight: Flight) {
        self.outbox.splice(..0, flight.edits);
        self.begin_client();
        if flight.push.epoch.as_ref() == self.epoch() {
            self.forget_epoch();
        }
    }

    /// 4.4: a new client id for what was not sent, as edits of no known version. Edits queued on an own create stay so,
    /// also on one under way, since it may fail.
    pub(super) fn begin_client(&mut self) {
        if self.slips(Slip::SameClientId) {
            return;
        }
        self.generation += 1;
        self.next_mutation = 1;
        if self.slips(Slip::BasesKept) {
            return;
        }
        let flying = self.flight.iter().flat_map(|flight| &flight.edits);
        let mut created: BTreeSet<_> = flying
            .filter(|edit| edit.is_create())
            .map(|edit| edit.change.key.clone())
            .collect();
        for edit in &mut self.outbox {
            if edit.is_create() {
                created.insert(edit.change.key.clone());
            } else if !created.contains(&edit.change.key) {
                edit.rebase(BaseVersion::OTHER_EPOCH);
            }
        }
    }

    /// 4.5: what was queued on a failed create would meet another document; and 0 does not stand for a create that was
    /// sent under another client id.
    fn settle_queue_of(&mut self, create: &Edit, failed: bool, flight: &Flight) {
        let by_this_client =
            flight.push.client.as_ref().map(|client| &client.id) == Some(&self.id());
        if (failed && self.slips(Slip::QueueKept)) || (!failed && by_this_client) {
            return;
        }
        let key = &create.change.key;
        let mut again = false;
        self.outbox.retain_mut(|edit| {
            again |= edit.is_create() && edit.change.key == *key;
            let queued = edit.change.key == *key && edit.base() == Some(BaseVersion::OWN_CREATE);
            if again || !queued {
                return true;
            }
            edit.rebase(BaseVersion::OTHER_EPOCH);
            !failed
        });
    }

    /// 1.6 and 1.7: the outcome's version of a document, if nothing newer is known of it.
    fn settle(&mut self, flight: &Flight, edit: &Edit, outcome: &Outcome, heard: u32) {
        let key = &edit.change.key;
        let held = self
            .held
            .get(key)
            .map(|held| held.version)
            .unwrap_or_default();
        let Some(entry) = &outcome.document else {
            let deleted = edit.is_delete() && outcome.status == Status::Applied;
            if deleted && outcome.version.is_some_and(|version| held < version) {
                self.held.remove(key);
            }
            return;
        };
        let removed = self.was_removed(flight, edit, outcome);
        if let Some(body) = entry
            .body
            .as_ref()
            .filter(|_| held < entry.version && !removed)
            && self.page_types.contain(&key.type_name)
        {
            let held = Held::new(entry.version, &entry.scope, body).by_outcome(heard);
            self.hold(key, held);
        }
    }

    fn was_removed(&self, flight: &Flight, edit: &Edit, outcome: &Outcome) -> bool {
        let (key, Some(entry)) = (&edit.change.key, &outcome.document) else {
            return false;
        };
        if self.slips(Slip::RemovalsForgotten) {
            return false;
        }
        let deleted = flight
            .deleted
            .get(key)
            .is_some_and(|version| *version >= entry.version);
        let global = self.slips(Slip::RemovalsGlobal);
        let left = flight.left.iter().any(|((left, scope), version)| {
            let newer = *scope == entry.scope && *version > entry.version;
            left == key && (newer || global && *version >= entry.version)
        });
        deleted || left || flight.revoked.contains(&entry.scope)
    }

    pub(super) fn id(&self) -> ClientId {
        ClientId::new(&format!("{}.{}", self.name, self.generation))
            .expect("devices have short names")
    }
}

fn submission(edit: &Edit) -> Submission {
    Submission {
        type_name: edit.change.key.type_name.clone(),
        id: edit.change.key.id.to_string(),
        change: Ok(edit.change.clone()),
    }
}
