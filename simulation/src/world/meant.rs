//! What users mean by their edits, and what becomes of each (rules.md 1.9 to 1.16).

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    change::Action,
    id::{ClientKey, DocumentKey, MutationId, UserId, Version},
    outcome::Status,
    push::{Outcome, PushHash, PushOutcome},
    value::{Document, Value},
};
use tidegate_testkit::client::{Act, Draft, Edit, Fate, Flight, Intent, Made};

use super::{World, device::Parcel};
use crate::{
    oracle::{Judged, Property, expect},
    people,
};

/// The edits of all devices, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Meant {
    /// By how much an edit raises the count of its document.
    pub(super) increments: BTreeMap<u32, (DocumentKey, i32)>,
    /// Edits that fit no gateway's API.
    pub(super) misfits: BTreeSet<u32>,
    pub(super) transactions: Vec<Vec<u32>>,
    /// The edits in force, and the tick since which that is known.
    pub(super) took: BTreeMap<u32, u32>,
}

impl Meant {
    pub(super) fn note(&mut self, draft: &Draft) {
        if let Act::Update(intents) = &draft.act
            && let Some(Intent::Increment(by)) = intents.get("count")
        {
            let meant = (draft.key.clone(), *by);
            self.increments.insert(draft.number, meant);
        }
    }

    /// An edit is where its device says.
    pub(super) fn made(&mut self, number: u32, made: Made) {
        let Made::Folded { into } = made else { return };
        if let Some((key, by)) = self.increments.remove(&number) {
            self.increments.entry(into).or_insert((key, 0)).1 += by;
        }
        if self.misfits.remove(&number) {
            self.misfits.insert(into);
        }
    }
}

impl World {
    /// A user edits this document and the next ones in one transaction.
    pub(super) fn transact(&mut self, device: usize, document: u8, what: u8, value: u8) {
        let count = if value.is_multiple_of(3) { 3 } else { 2 };
        let edits = (0..count).map(|nth: u8| {
            let key = self.document(document.wrapping_add(nth));
            (key, what.wrapping_add(nth), value)
        });
        let edits: Vec<_> = edits.collect();
        self.edit_together(device, edits);
    }

    /// A user edits one of the orders and gives numbers to the next ones in one transaction. Each number is the one after
    /// that of the order before, so that some of them pass on. All edits have the policy of the type, since a push has one.
    pub(super) fn claim_together(&mut self, device: usize, order: u8, what: u8, value: u8) {
        const NUMBER: u8 = 18;
        const NEXT: u8 = 4;
        const PLAIN: u8 = 36;
        let count = if value.is_multiple_of(3) { 3 } else { 2 };
        let edits = (0..count).map(|nth: u8| {
            let key = people::order(order.wrapping_add(nth));
            let what = if nth == 0 { what } else { NUMBER };
            (key, what, value % PLAIN + NEXT * nth)
        });
        self.edit_together(device, edits.collect());
    }

    fn edit_together(&mut self, device: usize, edits: Vec<(DocumentKey, u8, u8)>) {
        let group = self.next_edit();
        let made = edits.into_iter().filter_map(|(key, what, value)| {
            self.edit_within(device, key, what, value, Some(group))
        });
        let made = made.collect();
        self.meant.transactions.push(made);
    }

    /// What a device sends is what its user meant.
    pub(super) fn judge_sent(&self, flight: &Flight) -> Judged {
        let sent = flight.edits.iter().filter_map(|edit| {
            let (_, by) = self.meant.increments.get(&edit.number)?;
            Some((edit, *by))
        });
        for (edit, by) in sent {
            let said = difference(edit);
            expect(said.is_none_or(|said| said == by), Property::Exact, || {
                format!("{edit:?} is to add {by}")
            })?;
        }
        Ok(())
    }

    /// Each edit of a device waits or has left, and is in one place.
    pub(super) fn judge_accounted(&self, device: usize) -> Judged {
        let device = &self.devices[device];
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        let waiting = device.client.unanswered().map(|edit| edit.number);
        for number in waiting.chain(device.client.outcomes.keys().copied()) {
            *places.entry(number).or_default() += 1;
        }
        let astray = device
            .made
            .iter()
            .find(|number| places.get(number) != Some(&1));
        expect(astray.is_none(), Property::Accounted, || {
            format!("edit {astray:?} is in {places:?}")
        })
    }

    /// An edit that was refused since a device asked for its last id was not in force then.
    pub(super) fn judge_refused(&self, before: &[u32], device: usize, asked: u32) -> Judged {
        let outcomes = &self.devices[device].client.outcomes;
        let is_new = |number: &&u32| !before.contains(number);
        let refused = outcomes
            .iter()
            .filter(|(number, fate)| **fate == Fate::Refused && is_new(number));
        for (number, _) in refused {
            let took = self.meant.took.get(number).filter(|took| **took < asked);
            expect(took.is_none(), Property::Accounted, || {
                format!("edit {number} is refused, and in force since {took:?}")
            })?;
        }
        Ok(())
    }

    /// What was dropped never takes effect.
    pub(super) fn judge_fates(&self) -> Judged {
        for device in &self.devices {
            let dropped = device
                .client
                .outcomes
                .iter()
                .filter(|(_, fate)| matches!(fate, Fate::Dropped { .. } | Fate::Folded { .. }));
            for (number, fate) in dropped {
                let took = self.meant.took.get(number);
                expect(took.is_none(), Property::Accounted, || {
                    format!("edit {number} is {fate:?}, and in force")
                })?;
            }
        }
        Ok(())
    }

    /// The ledger gets the outcomes that a device will never get: the store remembers them.
    pub(super) fn enter_unknown(&mut self, device: usize, flight: &Flight) -> Judged {
        let Some(client) = &flight.push.client else {
            return Ok(());
        };
        let by = ClientKey {
            user: self.caller(self.devices[device].user()).1.user,
            client: client.id.clone(),
        };
        let state = self.store.now();
        let Some(state) = state.client(&by) else {
            return Ok(());
        };
        let is_last = |parcel: &&Parcel| PushHash::of(&parcel.push) == state.hash;
        let parcels = &self.devices[device].parcels;
        let Some(parcel) = parcels.iter().find(is_last).cloned() else {
            return Ok(());
        };
        let ids = state.first.0..;
        let remembered = ids.zip(&state.outcomes).zip(&parcel.push.changes);
        let outcomes = remembered.map(|((id, remembered), item)| Outcome {
            type_name: item.type_name.clone(),
            id: item.id.clone(),
            mutation: Some(MutationId(id)),
            status: remembered.status,
            version: remembered.version,
            document: None,
            conflict: None,
            error: remembered.error.clone(),
            inbox: remembered.inbox.clone(),
        });
        let answer = PushOutcome {
            outcomes: outcomes.collect(),
            duplicate: true,
            last_mutation_id: Some(state.last),
        };
        self.book(&by.user, self.store.lead(), &parcel, &answer)
    }

    /// The version that an edit of a device has made, if it is in force.
    pub(super) fn version_of(
        &self,
        device: usize,
        number: u32,
        key: &DocumentKey,
    ) -> Option<Version> {
        let known = self.ledger.version_of(key, number);
        known.or_else(|| {
            let user = self.caller(self.devices[device].user()).1.user;
            let parcels = self.devices[device].parcels.iter();
            let mut of_it = parcels.filter(|parcel| parcel.numbers.contains(&number));
            of_it.find_map(|parcel| self.remembered(&user, parcel, number))
        })
    }

    fn remembered(&self, user: &UserId, parcel: &Parcel, number: u32) -> Option<Version> {
        let client = parcel.push.client.as_ref()?;
        let state = self.store.now();
        let state = state.client(&ClientKey {
            user: user.clone(),
            client: client.id.clone(),
        })?;
        let is_it = PushHash::of(&parcel.push) == state.hash;
        let nth = parcel.numbers.iter().position(|it| *it == number)?;
        let outcome = state.outcomes.get(nth).filter(|_| is_it)?;
        let took = matches!(outcome.status, Status::Applied | Status::Merged);
        outcome.version.filter(|_| took)
    }
}

/// What an edit adds to a count, as it is sent; nothing if it does not say on which count it was made.
pub(super) fn difference(edit: &Edit) -> Option<i32> {
    let Action::Update { set, seen, .. } = &edit.change.action else {
        return None;
    };
    let Some(Value::Int(mine)) = set.get("count") else {
        return None;
    };
    Some(mine - count(seen.as_ref()?))
}

/// The count of a document; none counts as 0.
pub(super) fn count(body: &Document) -> i32 {
    match body.get("count") {
        Some(Value::Int(count)) => *count,
        _ => 0,
    }
}
