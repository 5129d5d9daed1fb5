//! What a device asks of gateways, and how the answers arrive.

use std::{collections::BTreeMap, sync::Arc};

use tidegate::sync::{Caller, SyncService};
use tidegate_core::id::MutationId;
use tidegate_testkit::client::{Arrival, Flight, Refusal};

use super::{
    GATEWAYS, World,
    device::{Answer, Heard, PAGES_MAX, Parcel, Pulled, Request, received},
    lock,
};
use crate::oracle::{self, Judged, Property, Violation, expect};

impl World {
    /// The device sends its next push of at most so many changes; it may get lost on the way.
    pub(super) fn send_next(
        &mut self,
        device: usize,
        limit: usize,
        gateway: usize,
        lost: bool,
    ) -> Judged {
        let sender = &mut self.devices[device];
        if sender.client.flight.is_some() {
            return Ok(());
        }
        let push = sender.client.send(limit).cloned();
        sender.record(|it| it.send(Some(limit), push.as_ref()));
        if push.is_none() {
            return Ok(());
        }
        self.dispatch(device, (!lost).then_some(gateway))
    }

    /// The push under way is sent to a gateway, or gets lost.
    fn dispatch(&mut self, device: usize, gateway: Option<usize>) -> Judged {
        let sender = &mut self.devices[device];
        if let Some(flight) = &sender.client.flight
            && let Some(parcel) = sender.parcel()
        {
            let flight = flight.clone();
            if !sender.parcels.iter().any(|sent| sent.push == parcel.push) {
                sender.parcels.push(parcel.clone());
            }
            self.judge_sent(&flight)?;
            if let Some(gateway) = gateway {
                self.deliver(device, parcel, gateway);
            }
        }
        Ok(())
    }

    /// The device does again what it waits for: it asks for its last id, or sends its push.
    pub(super) fn retry(&mut self, device: usize, gateway: usize) -> Judged {
        if self.devices[device].client.asks().is_some() {
            self.ask(device, gateway);
            return Ok(());
        }
        let sender = &mut self.devices[device];
        sender.client.retry();
        if let Some(flight) = &sender.client.flight {
            let push = flight.push.clone();
            sender.record(|it| it.send(None, Some(&push)));
        }
        self.dispatch(device, Some(gateway))
    }

    fn ask(&mut self, device: usize, gateway: usize) {
        let Some(question) = self.devices[device].client.asks() else {
            return;
        };
        self.devices[device].record(|it| it.ask(&question));
        let user = self.devices[device].user();
        let (caller, request) = self.request(device, user, gateway % GATEWAYS);
        let (service, heard) = (self.service(&request), Arc::clone(&self.heard));
        let asked = self.tick;
        tokio::spawn(async move {
            if let Ok(viewer) = service.viewer(&caller, Some(question.client)).await {
                lock(&heard).push(Heard::Last {
                    request,
                    question: question.number,
                    last: viewer.last_mutation.unwrap_or(MutationId(0)),
                    asked,
                });
            }
        });
    }

    pub(super) fn replay(&mut self, device: usize, nth: usize, gateway: usize) {
        let parcels = &self.devices[device].parcels;
        if let Some(parcel) = parcels.get(nth % parcels.len().max(1)).cloned() {
            self.deliver(device, parcel, gateway);
        }
    }

    pub(super) fn deliver(&mut self, device: usize, parcel: Parcel, gateway: usize) {
        let gateway = gateway % GATEWAYS;
        let misfits = &self.meant.misfits;
        let is_misfit = parcel.numbers.iter().any(|it| misfits.contains(it));
        let sender = &mut self.devices[device];
        if std::mem::take(&mut sender.is_blocked) || is_misfit {
            sender.answers.push(Answer::Refused {
                push: parcel.push,
                refusal: Refusal::Unfit { max: None },
            });
        } else if self.is_understood(device, gateway) {
            self.push(device, self.devices[device].user(), parcel, gateway);
        }
    }

    /// Whether a gateway knows what the app of a device asks for. If not, it answers that the app should try again.
    pub(super) fn is_understood(&self, device: usize, gateway: usize) -> bool {
        self.devices[device].app <= self.editions[gateway]
    }

    /// A push reaches a gateway.
    pub(super) fn push(&mut self, device: usize, user: usize, parcel: Parcel, gateway: usize) {
        let (caller, request) = self.request(device, user, gateway);
        self.push_as(caller, request, parcel);
    }

    pub(super) fn push_as(&self, caller: Caller, request: Request, parcel: Parcel) {
        let (service, heard) = (self.service(&request), Arc::clone(&self.heard));
        tokio::spawn(async move {
            let answer = service.push(&caller, parcel.push.clone()).await;
            lock(&heard).push(Heard::Answer {
                request,
                parcel,
                answer,
            });
        });
    }

    /// The device asks for a page.
    pub(super) fn pull(&mut self, device: usize, gateway: usize, limit: u8) {
        self.devices[device].pull += 1;
        let gateway = gateway % GATEWAYS;
        if !self.is_understood(device, gateway) {
            return;
        }
        let user = self.devices[device].user();
        let (caller, request) = self.request(device, user, gateway);
        let (service, heard) = (self.service(&request), Arc::clone(&self.heard));
        let tick = self.tick;
        let puller = &mut self.devices[device];
        puller.record(|it| it.begin(tick));
        let refreshed = puller.client.refreshes();
        let reread = puller.client.rereads();
        let (pull, app) = (puller.pull, puller.app);
        let from = puller.client.place.clone();
        let (asked, types) = (
            puller.asks(limit, &refreshed, &reread),
            puller.client.types.clone(),
        );
        tokio::spawn(async move {
            if let Ok(page) = service.pull(&caller, asked).await {
                let requested = Some(tick);
                let arrival = Arrival {
                    page: received(&page, request.edition, app),
                    from,
                    types,
                    requested,
                    refreshed,
                    reread,
                };
                lock(&heard).push(Heard::Page {
                    request,
                    arrival: Box::new(arrival),
                    pull,
                });
            }
        });
    }

    /// A page arrives, not necessarily that of the last request. It may arrive again.
    pub(super) fn arrive(&mut self, device: usize, nth: usize, again: bool) -> Judged {
        let pulled = &mut self.devices[device].pulled;
        if pulled.is_empty() {
            return Ok(());
        }
        let nth = nth % pulled.len();
        let Pulled {
            request,
            arrival,
            answered,
            ..
        } = if again {
            pulled[nth].clone()
        } else {
            pulled.remove(nth)
        };
        let requested = arrival.requested.filter(|_| !arrival.page.has_more);
        let taken = self.apply(device, arrival)?;
        let reader = self.devices[device].reader(request.edition);
        let is_harmed = self.devices[device].harm.is_some();
        match requested.filter(|_| taken && !is_harmed) {
            Some(requested) => self.store.look(|moments| {
                let between = request.asked..=answered;
                oracle::judge_end(&reader, &request.sight, requested, moments, between)
            }),
            None => Ok(()),
        }
    }

    /// Returns whether the page was taken.
    pub(super) fn apply(&mut self, device: usize, arrival: Arrival) -> Result<bool, Violation> {
        self.devices[device].record(|it| it.page(&arrival));
        let client = &mut self.devices[device].client;
        self.tally.resets += usize::from(arrival.page.reset);
        let same_epoch = client.page_epoch.as_ref() == Some(arrival.page.epoch());
        let before = if same_epoch {
            client.versions_but_of(&arrival.page.revoked)
        } else {
            BTreeMap::new()
        };
        let page = arrival.page.clone();
        let asked = (arrival.requested, arrival.reread.clone());
        let taken = client.apply(arrival);
        oracle::judge_no_regress(&before, client)?;
        if taken {
            self.judge_compared(device, &page, asked)?;
        }
        self.judge_no_gap(device)?;
        self.judge_views(device)?;
        Ok(taken)
    }

    /// Pulls to the end. Gives up when the gateway does not answer at once.
    pub(super) async fn pull_all(&mut self, device: usize, gateway: usize, limit: u8) -> Judged {
        for _ in 0..PAGES_MAX {
            let more = self.pull_one(device, gateway, limit).await?;
            if more != Some(true) {
                return Ok(());
            }
        }
        expect(false, Property::Ends, || {
            format!("device {device} pulls for ever")
        })
    }

    /// Pulls one page. Returns whether there is more; nothing if the gateway does not answer at once.
    pub(super) async fn pull_one(
        &mut self,
        device: usize,
        gateway: usize,
        limit: u8,
    ) -> Result<Option<bool>, Violation> {
        self.devices[device].hang_up();
        self.tick += 1;
        self.pull(device, gateway, limit);
        self.settle().await?;
        let puller = &self.devices[device];
        let is_it = |pulled: &Pulled| pulled.pull == puller.pull;
        let Some(nth) = puller.pulled.iter().position(is_it) else {
            return Ok(None);
        };
        let more = puller.pulled[nth].arrival.page.has_more;
        self.arrive(device, nth, false)?;
        Ok(Some(more))
    }

    /// An answer arrives; it may arrive again.
    pub(super) fn hear(&mut self, device: usize, nth: usize, again: bool) -> Judged {
        let tick = self.tick;
        let hearer = &mut self.devices[device];
        if hearer.answers.is_empty() {
            return Ok(());
        }
        let nth = nth % hearer.answers.len();
        let answer = if again {
            hearer.answers[nth].clone()
        } else {
            hearer.answers.remove(nth)
        };
        hearer.record(|it| match &answer {
            Answer::Given { push, answer } => it.answer(push, answer),
            Answer::Refused { push, refusal } => it.refused(push, *refusal),
            Answer::Last { question, last, .. } => it.last(*question, last.0),
        });
        let client = &mut hearer.client;
        let before: Vec<u32> = client.outcomes.keys().copied().collect();
        let flight = client.flight.clone();
        let mut asked = tick;
        match &answer {
            Answer::Given { push, answer } => client.hear(push, answer, tick),
            Answer::Refused { push, refusal } => client.refuse(push, *refusal, tick),
            Answer::Last {
                question,
                last,
                asked: at,
            } => {
                asked = *at;
                client.learn(*question, *last, tick);
            }
        }
        self.judge_heard(device, &answer, flight)?;
        self.judge_refused(&before, device, asked)?;
        self.judge_accounted(device)?;
        self.judge_views(device)?;
        self.judge_no_gap(device)
    }

    /// What the answer to the push under way does.
    fn judge_heard(&mut self, device: usize, answer: &Answer, flight: Option<Flight>) -> Judged {
        let client = &self.devices[device].client;
        let Some(flight) = flight else { return Ok(()) };
        match answer {
            Answer::Last { .. } if client.flight.is_none() => self.enter_unknown(device, &flight),
            Answer::Given { push, answer } if flight.push == *push => {
                let flies = client.flight.as_ref().is_some_and(|it| it.push == *push);
                let is_settled = !flies || client.asks().is_some();
                expect(is_settled, Property::ExactlyOnce, || {
                    format!("{push:?} is answered {answer:?}")
                })?;
                self.store
                    .look(|moments| oracle::judge_own_writes(client, &flight, answer, moments))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn request(&self, device: usize, user: usize, gateway: usize) -> (Caller, Request) {
        let (caller, sight) = self.caller(user);
        let request = Request {
            device,
            gateway,
            edition: self.editions[gateway],
            life: self.lives[gateway],
            sight,
            asked: self.store.moment(),
        };
        (caller, request)
    }

    pub(super) fn service(&self, request: &Request) -> Arc<SyncService> {
        Arc::clone(&self.gateways[request.gateway])
    }
}
