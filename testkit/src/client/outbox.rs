//! Sending the user's edits, and taking in their outcomes: rules 1.5 to 1.7, 1.11 and 4.5.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    change::{BaseVersion, Submission},
    id::{ClientId, Epoch, MutationId},
    outcome::Status,
    push::{Outcome, Push, PushAnswer, PushClient},
};

use super::{Client, Edit, Fate, Flight, Held, Lingering, Refusal, Slip};

impl Client {
    /// The next push of at most so many changes, if there is one and none is under way (1.11). Before the first page
    /// there is none (1.1).
    pub fn send(&mut self, limit: usize) -> Option<&Push> {
        let epoch = self.epoch()?.clone();
        if self.flight.is_some() {
            return None;
        }
        let first = self.outbox.first()?;
        let goes_with_it =
            |edit: &&Edit| (edit.transaction, edit.policy) == (first.transaction, first.policy);
        let together = self.outbox.iter().take_while(goes_with_it).count();
        let count = match first.transaction {
            Some(_) => together,
            None => together.min(limit),
        };
        // In their order, since each counts on those before.
        for nth in 0..count {
            if !self.outbox[nth].is_sent() {
                self.outbox[nth].sent = Some(self.counters(nth));
            }
        }
        let edits = self.outbox.drain(..count).collect();
        self.fly(edits, Some(epoch));
        self.flight.as_ref().map(|flight| &flight.push)
    }

    pub(super) fn fly(&mut self, edits: Vec<Edit>, epoch: Option<Epoch>) {
        let push = Push {
            client: Some(PushClient {
                id: self.id(),
                first: Some(MutationId(self.next_mutation)),
            }),
            changes: edits.iter().map(submission).collect(),
            atomic: edits.iter().any(|edit| edit.transaction.is_some()),
            policy: edits.first().and_then(|edit| edit.policy),
            epoch,
        };
        self.next_mutation += i32::try_from(edits.len()).expect("people make few edits");
        self.flight = Some(Flight {
            push,
            edits,
            crossed_reset: false,
            deleted: BTreeMap::new(),
            left: BTreeMap::new(),
            revoked: BTreeSet::new(),
            asks: None,
        });
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
        let answer = match answer {
            Ok(answer) => answer,
            // Without a rule for the refusal, the push stays in flight.
            Err(refusal) => {
                if let Some(refusal) = Refusal::of(refusal) {
                    self.refuse(to, refusal, heard);
                }
                return;
            }
        };
        let Some(flight) = self.flight.take_if(|flight| flight.push == *to) else {
            return;
        };
        self.answered = heard;
        self.forget_copies();
        for (edit, outcome) in flight.edits.iter().zip(&answer.outcomes) {
            let fate = Fate::Answered(outcome.status);
            self.outcomes.insert(edit.number, fate);
            let failed = matches!(outcome.status, Status::Conflict | Status::Rejected);
            if edit.is_create() {
                self.unknown_creates.remove(&edit.change.key);
            }
            if edit.is_create() && failed {
                self.drop_queued_on(edit);
            } else if edit.is_create() && flight.by() != Some(&self.id()) {
                self.end_queue_of(edit);
            }
            if !flight.crossed_reset {
                self.settle(&flight, edit, outcome, heard);
            } else if !failed {
                self.linger(&flight, edit, heard, false);
            }
        }
    }

    pub(super) fn linger(&mut self, flight: &Flight, edit: &Edit, heard: u32, is_unknown: bool) {
        if let Some(by) = flight.by() {
            self.lingering.push(Lingering {
                edit: edit.clone(),
                by: by.clone(),
                heard,
                is_unknown,
            });
        }
    }

    /// 4.5: 0 does not stand for a create that was sent under another client id.
    fn end_queue_of(&mut self, create: &Edit) {
        let later = self.outbox.iter_mut();
        let of_it = later.filter(|edit| edit.change.key == create.change.key);
        for edit in of_it.take_while(|edit| !edit.is_create()) {
            if edit.base() == Some(BaseVersion::OWN_CREATE) {
                edit.rebase(BaseVersion::OTHER_EPOCH);
            }
        }
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

    /// The client id under which it sends.
    pub fn id(&self) -> ClientId {
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
