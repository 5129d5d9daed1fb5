//! The results of gateways, judged before they are queued for the device.

use std::{collections::BTreeSet, sync::Arc};

use tidegate::sync::SyncError;
use tidegate_core::{
    change::{Change, Rejection, RejectionCode},
    entry::Record,
    id::{ClientKey, TypeName, UserId},
    push::{Outcome, Push, PushOutcome, PushRefusal},
};
use tidegate_testkit::client::{Arrival, Refusal};

use super::{
    CLIENTS_MAX, World,
    device::{Answer, Heard, Parcel, Pulled, Request, shown},
};
use crate::{
    oracle::{self, Judged, Property, Sent, expect},
    people::{self, Edition},
};

impl World {
    pub(super) fn judge(&mut self, heard: Heard) -> Judged {
        match heard {
            Heard::Answer {
                request,
                parcel,
                answer,
            } => self.answered(&request, parcel, answer),
            Heard::Page {
                request,
                arrival,
                pull,
            } => {
                let asked = request.asked;
                self.judge_page(&request, &arrival, asked)?;
                self.tally.pages += 1;
                let answered = self.store.moment();
                let device = &mut self.devices[request.device];
                if pull > device.useless {
                    device.pulled.push(Pulled {
                        pull,
                        request,
                        arrival: *arrival,
                        answered,
                    });
                }
                Ok(())
            }
            Heard::Last {
                request,
                question,
                last,
                asked,
            } => {
                let answer = Answer::Last {
                    question,
                    last,
                    asked,
                };
                self.give(&request, answer);
                Ok(())
            }
            Heard::Live {
                request,
                page,
                socket,
            } => {
                if let Some(Err(error)) = &page {
                    let may = matches!(error, SyncError::Unavailable(_) | SyncError::Busy);
                    expect(may, Property::Ends, || {
                        format!("a subscription ended: {error}")
                    })?;
                }
                let (page, now) = (page.and_then(Result::ok), self.store.moment());
                let device = &mut self.devices[request.device];
                let Some((arrival, asked)) = device.live(page, request.edition, socket, now) else {
                    return Ok(());
                };
                self.tally.pages += 1;
                let request = Request { asked, ..request };
                // The time at which its grants were read is not known from outside.
                self.judge_page(&request, &arrival, 0)
            }
        }
    }

    fn judge_page(&self, request: &Request, arrival: &Arrival, since: usize) -> Judged {
        let page = &arrival.page;
        let from = arrival.from.as_ref().map(|from| &from.checkpoint);
        self.store.look(|moments| {
            request.sight.judge_page(&page.changes, moments, since)?;
            for entry in page.changes.iter().filter_map(oracle::entry_of) {
                oracle::judge_placed(entry, request.edition, &moments[request.asked..])?;
            }
            let possible: Vec<bool> = moments[request.asked..]
                .iter()
                .map(|moment| {
                    let given = &page.place.checkpoint;
                    let reads = (request.edition, &arrival.types);
                    oracle::is_continuous(from, given, reads, &moment.state)
                })
                .collect();
            let pulled = arrival.requested.is_some();
            let right = possible.contains(&!page.reset) || !pulled && !page.reset;
            expect(right, Property::Reset, || format!("{page:?} from {from:?}"))
        })?;
        expect(
            !page.has_more || !page.changes.is_empty(),
            Property::Ends,
            || format!("an empty page, and more to come: {page:?}"),
        )?;
        let from = from.filter(|_| !page.reset);
        oracle::judge_no_past(from, &page.place.checkpoint, &page.changes)?;
        match from {
            Some(from) => {
                let may_go_back = !self.ends.is_empty();
                let given = &page.place.checkpoint;
                oracle::judge_monotone(from, given, &page.revoked, may_go_back)
            }
            None => Ok(()),
        }
    }

    fn answered(
        &mut self,
        request: &Request,
        parcel: Parcel,
        answer: Result<PushOutcome, SyncError>,
    ) -> Judged {
        if let Ok(outcome) = &answer {
            self.enter(request, &parcel, outcome)?;
            self.judge_bounds(&request.sight.user)?;
        }
        let answer = match answer {
            Ok(outcome) => Ok(outcome),
            // It is sent again, as after a fault.
            Err(SyncError::Push(PushRefusal::Held { type_name })) => {
                return self.judge_held(request, &type_name);
            }
            Err(SyncError::Push(PushRefusal::OtherModel { type_name })) => {
                return self.judge_other_model(request, &type_name);
            }
            Err(SyncError::Push(refusal)) => {
                self.judge_refusal(&request.sight.user, &refusal)?;
                Err(refusal)
            }
            Err(SyncError::PushTooLarge { max, .. }) => {
                let answer = Answer::Refused {
                    push: parcel.push,
                    refusal: Refusal::Unfit { max: Some(max) },
                };
                self.give(request, answer);
                return Ok(());
            }
            // A fault: it is sent again.
            Err(_) => return Ok(()),
        };
        if request.device == self.hasty_device() {
            self.hasty.answer = Some(answer);
            return Ok(());
        }
        if let Some(device) = self.devices.get(request.device) {
            let shown = answer.map(|outcome| shown_to(device.app, request.edition, outcome));
            let answer = Answer::Given {
                push: parcel.push,
                answer: shown,
            };
            self.give(request, answer);
        }
        Ok(())
    }

    /// An answer is on its way to the device that asked, unless its gateway died.
    fn give(&mut self, request: &Request, answer: Answer) {
        let alive = request.life == self.lives[request.gateway];
        if let Some(device) = self.devices.get_mut(request.device).filter(|_| alive) {
            device.answers.push(answer);
        }
    }

    /// A type is held only while its collection is missing or another one.
    fn judge_held(&self, request: &Request, type_name: &TypeName) -> Judged {
        let is_held = self.store.look(|moments| {
            let mut since = moments[request.asked..].iter();
            since.any(|moment| moment.state.held.contains(type_name))
        });
        expect(is_held, Property::NoFalseConflict, || {
            format!("{type_name} was not held")
        })
    }

    /// Only a gateway whose model does not lead leaves a push to others.
    fn judge_other_model(&self, request: &Request, type_name: &TypeName) -> Judged {
        let led_otherwise = self.store.look(|moments| {
            let mut since = moments[request.asked..].iter();
            since.any(|moment| moment.lead() != request.edition)
        });
        expect(led_otherwise, Property::NoFalseConflict, || {
            format!("a push about {type_name} was refused by the model that leads")
        })
    }

    fn judge_refusal(&self, user: &UserId, refusal: &PushRefusal) -> Judged {
        let many = matches!(refusal, PushRefusal::TooManyClients { .. });
        let clients = self.store.now().clients_of(user);
        expect(!many || clients >= CLIENTS_MAX, Property::Bounded, || {
            format!("{user} has {clients} clients: {refusal:?}")
        })
    }

    fn enter(&mut self, request: &Request, parcel: &Parcel, answer: &PushOutcome) -> Judged {
        self.book(&request.sight.user, request.edition, parcel, answer)?;
        let push = &parcel.push;
        for (nth, (item, outcome)) in push.changes.iter().zip(&answer.outcomes).enumerate() {
            let Ok(change) = &item.change else { continue };
            self.judge_outcome(request, push, change, outcome, answer.duplicate)?;
            if !answer.duplicate {
                self.store.look(|moments| {
                    oracle::judge_not_unique(push, answer, nth, &moments[request.asked..])
                })?;
            }
        }
        Ok(())
    }

    /// Enters outcomes into the ledger.
    pub(super) fn book(
        &mut self,
        user: &UserId,
        gateway: Edition,
        parcel: &Parcel,
        answer: &PushOutcome,
    ) -> Judged {
        let push = &parcel.push;
        let by = push.client.as_ref().map(|client| ClientKey {
            user: user.clone(),
            client: client.id.clone(),
        });
        let items = push
            .changes
            .iter()
            .zip(&parcel.numbers)
            .zip(&answer.outcomes);
        let mut failed = BTreeSet::new();
        for ((item, number), outcome) in items {
            let Ok(change) = item.change.clone() else {
                continue;
            };
            let sent = Sent {
                number: *number,
                known: self.known[*number as usize],
                by: by.clone(),
                mutation: outcome.mutation,
                policy: push.policy,
                gateway,
                excused: push.atomic || failed.contains(&change.key),
                is_of_withheld: false,
                change,
            };
            if sent.is_create() && !oracle::took(outcome) {
                failed.insert(sent.change.key.clone());
            }
            self.ledger.enter(sent, outcome, answer.duplicate)?;
            if oracle::took(outcome) {
                self.tally.applied += 1;
                self.meant.took.entry(*number).or_insert(self.tick);
            } else {
                self.tally.refused += 1;
            }
        }
        Ok(())
    }

    /// What an outcome shows was true at some moment since the push was sent.
    fn judge_outcome(
        &self,
        request: &Request,
        push: &Push,
        change: &Change,
        outcome: &Outcome,
        repeated: bool,
    ) -> Judged {
        let (sight, key) = (&request.sight, &change.key);
        let alone = push
            .changes
            .iter()
            .filter(|item| item.id == outcome.id && item.type_name == outcome.type_name)
            .count()
            == 1;
        self.store.look(|moments| {
            let since = &moments[request.asked..];
            if let Some(entry) = &outcome.document {
                sight.judge_record(&Record::Entry(Arc::clone(entry)), moments)?;
                oracle::judge_placed(entry, request.edition, since)?;
            }
            sight.judge_shown(key, outcome, request.edition, since)?;
            if repeated {
                return Ok(());
            }
            let client = push.client.as_ref().map(|client| &client.id);
            if let (true, Some(version)) = (oracle::took(outcome), outcome.version) {
                sight.judge_write(client, (key, version), moments)?;
            }
            let speaks = |error: &&Rejection| alone || error.code == RejectionCode::InboxFull;
            match outcome.error.as_ref().filter(speaks) {
                Some(error) => {
                    let code = error.code.name();
                    let model = people::model(request.edition, self.rule);
                    let gateway = (&*model, request.edition);
                    sight.judge_rejection(gateway, code, change, push.atomic, since)
                }
                None => Ok(()),
            }
        })
    }
}

/// The answer as an app gets it from a gateway with this model.
fn shown_to(app: Edition, gateway: Edition, mut answer: PushOutcome) -> PushOutcome {
    for outcome in &mut answer.outcomes {
        let document = outcome.document.take();
        let document = document.map(|entry| shown(&entry, gateway, app));
        outcome.document = document.filter(|entry| !entry.is_deleted());
    }
    answer
}
