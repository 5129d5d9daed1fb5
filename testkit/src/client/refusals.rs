//! Pushes that are refused as a whole: rules 1.12 to 1.15.

use std::collections::BTreeSet;

use tidegate_core::{
    change::BaseVersion,
    id::{ClientId, MutationId},
    push::{Push, PushRefusal},
};

use super::{Client, Edit, Fate, Flight, Slip};

/// Why a push is refused as a whole, by what the client does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// EPOCH_CHANGED and MUTATION_ID_GAP: no copy of it has had an effect, or will have one.
    NoEffect,
    /// MUTATION_ID_REUSED: its ids are consumed, by whichever push.
    Reused,
    /// PUSH_TOO_LARGE, PAYLOAD_TOO_LARGE, CLIENT_TOO_OLD and BAD_USER_INPUT: this copy does not fit.
    Unfit {
        /// The number of its changes that fit, if that is known.
        max: Option<usize>,
    },
}

impl Refusal {
    /// None for refusals that a client of these rules never gets.
    pub fn of(refusal: &PushRefusal) -> Option<Self> {
        match refusal {
            PushRefusal::EpochChanged { .. } | PushRefusal::MutationIdGap { .. } => {
                Some(Self::NoEffect)
            }
            PushRefusal::MutationIdReused => Some(Self::Reused),
            PushRefusal::TooLarge { max } => Some(Self::Unfit { max: Some(*max) }),
            _ => None,
        }
    }
}

/// What the last mutation id of a client id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub client: ClientId,
    /// Distinguishes it from earlier questions.
    pub number: u32,
}

impl Client {
    /// Takes in that a push was refused.
    pub fn refuse(&mut self, to: &Push, refusal: Refusal, heard: u32) {
        let Some(mut flight) = self.flight.take_if(|flight| flight.push == *to) else {
            return;
        };
        if refusal == Refusal::NoEffect {
            return self.send_again(flight);
        }
        self.questions += 1;
        flight.asks = Some((refusal, self.questions));
        let first = flight.first();
        self.flight = Some(flight);
        if self.slips(Slip::SplitUnasked) && refusal != Refusal::Reused {
            self.learn(self.questions, MutationId(first - 1), heard);
        }
    }

    /// What it has to ask before it sends anything.
    pub fn asks(&self) -> Option<Question> {
        let flight = self.flight.as_ref()?;
        let (_, number) = flight.asks?;
        let client = flight.push.client.as_ref()?.id.clone();
        Some(Question { client, number })
    }

    /// Takes in the answer to a question. An answer to an earlier one has no use any more.
    pub fn learn(&mut self, question: u32, last: MutationId, heard: u32) {
        let is_it =
            |flight: &mut Flight| matches!(flight.asks, Some((_, number)) if number == question);
        let Some(flight) = self.flight.take_if(is_it) else {
            return;
        };
        let Some((refusal, _)) = flight.asks else {
            return;
        };
        let consumed = usize::try_from(last.0 + 1 - flight.first()).unwrap_or(0);
        let is_own = flight.by() == Some(&self.id());
        match refusal {
            Refusal::Unfit { max } if consumed == 0 && is_own => self.split(flight, max),
            Refusal::Unfit { .. } if consumed == 0 => self.send_again(flight),
            _ => self.settle_consumed(flight, consumed, last, heard),
        }
    }

    /// 1.12: nothing of it is consumed. A part flies again with the same ids, or nothing of it can be sent.
    fn split(&mut self, mut flight: Flight, max: Option<usize>) {
        let count = flight.edits.len();
        self.next_mutation = flight.first();
        if count == 1 || flight.push.atomic {
            for edit in &flight.edits {
                self.outcomes.insert(edit.number, Fate::Refused);
            }
            for edit in flight.edits.iter().filter(|edit| edit.is_create()) {
                self.drop_queued_on(edit);
            }
            return self.show_sent();
        }
        let fits = max.filter(|max| (1..count).contains(max));
        let rest = flight.edits.split_off(fits.unwrap_or(count / 2));
        self.outbox.splice(..0, rest);
        let epoch = flight.push.epoch.clone();
        self.fly(flight.edits, epoch);
    }

    /// 1.8: counters of what was sent are shown without the edit that was refused before them.
    fn show_sent(&mut self) {
        let sent = self.outbox.iter().take_while(|edit| edit.is_sent()).count();
        for edit in &mut self.outbox[..sent] {
            edit.sent = None;
        }
        for nth in 0..sent {
            self.outbox[nth].sent = Some(self.counters(nth));
        }
    }

    /// 1.13: what became of the edits that have consumed ids is not known.
    fn settle_consumed(
        &mut self,
        mut flight: Flight,
        consumed: usize,
        last: MutationId,
        heard: u32,
    ) {
        let reused = matches!(flight.asks, Some((Refusal::Reused, _)));
        let mut edits = std::mem::take(&mut flight.edits);
        // A push consumes its ids at once: the transaction was not applied, and goes back whole.
        let is_torn = flight.push.atomic && consumed < edits.len();
        if !self.slips(Slip::RestForgotten) {
            let sent = self.outbox.iter().take_while(|edit| edit.is_sent());
            let sent = sent.count();
            edits.extend(self.outbox.drain(..sent));
        }
        let resent = reused && self.slips(Slip::ReusedSentAgain);
        let stays = resent || is_torn && !self.slips(Slip::RestOfTransaction);
        let leaves = if stays { 0 } else { consumed };
        let rest = edits.split_off(leaves.min(edits.len()));
        for edit in &edits {
            self.outcomes.insert(edit.number, Fate::Unknown);
            self.linger(&flight, edit, heard, true);
            if edit.is_create() {
                self.unknown_creates.insert(edit.change.key.clone());
            }
        }
        self.outbox.splice(..0, rest);
        self.forget_copies();
        if reused || flight.by() != Some(&self.id()) {
            self.begin_client();
        } else {
            self.next_mutation = last.0 + 1;
        }
    }

    /// 4.4: its edits are sent under another client id, after a pull, unless a page named the other epoch already.
    fn send_again(&mut self, flight: Flight) {
        self.outbox.splice(..0, flight.edits);
        self.forget_copies();
        self.begin_client();
        if flight.push.epoch.as_ref() == self.epoch() {
            self.forget_epoch();
        }
    }

    /// 1.11: no copy of what waits can have an effect any more.
    pub(super) fn forget_copies(&mut self) {
        for edit in &mut self.outbox {
            edit.sent = None;
        }
    }

    /// 1.14: a new client id for what was not sent, as edits of no known version. Edits queued on an own create stay
    /// so, also on one under way or of unknown outcome, since it may fail.
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
        let mut created = self.unknown_creates.clone();
        let creates = flying.filter(|edit| edit.is_create());
        created.extend(creates.map(|edit| edit.change.key.clone()));
        for edit in &mut self.outbox {
            let is_queued_on_it = edit.base() == Some(BaseVersion::OWN_CREATE);
            if edit.is_create() {
                created.insert(edit.change.key.clone());
            } else if !(is_queued_on_it && created.contains(&edit.change.key)) {
                edit.rebase(BaseVersion::OTHER_EPOCH);
            }
        }
    }

    /// 1.15: what was queued on a create that failed would meet another document.
    pub(super) fn drop_queued_on(&mut self, create: &Edit) {
        if self.slips(Slip::QueueKept) {
            return;
        }
        let mut dropped = BTreeSet::new();
        let mut failed = vec![(create.change.key.clone(), 0)];
        while let Some((key, from)) = failed.pop() {
            let later = self.outbox.iter().enumerate().skip(from);
            let of_it = later.filter(|(_, edit)| edit.change.key == key);
            let of_it = of_it.take_while(|(_, edit)| !edit.is_create());
            let queued = of_it.filter(|(_, edit)| edit.base() == Some(BaseVersion::OWN_CREATE));
            let queued: Vec<usize> = queued.map(|(nth, _)| nth).collect();
            for nth in queued.into_iter().flat_map(|nth| self.goes_with(nth)) {
                let edit = &self.outbox[nth];
                if dropped.insert(edit.number) && edit.is_create() {
                    failed.push((edit.change.key.clone(), nth + 1));
                }
            }
        }
        self.outbox.retain(|edit| !dropped.contains(&edit.number));
        if !self.slips(Slip::DroppedUnsaid) {
            let cause = create.number;
            let fates = dropped.into_iter().map(|it| (it, Fate::Dropped { cause }));
            self.outcomes.extend(fates);
        }
    }

    /// The places in the outbox of an edit and of the others of its transaction.
    fn goes_with(&self, nth: usize) -> Vec<usize> {
        let transaction = self.outbox[nth].transaction;
        let whole = transaction.is_some() && !self.slips(Slip::TransactionTorn);
        let edits = self.outbox.iter().enumerate();
        let of_it =
            edits.filter(|(other, edit)| *other == nth || whole && edit.transaction == transaction);
        of_it.map(|(nth, _)| nth).collect()
    }
}

impl Flight {
    fn first(&self) -> i32 {
        let first = self.push.client.as_ref().and_then(|client| client.first);
        first.map_or(0, |first| first.0)
    }

    pub(super) fn by(&self) -> Option<&ClientId> {
        self.push.client.as_ref().map(|client| &client.id)
    }
}
