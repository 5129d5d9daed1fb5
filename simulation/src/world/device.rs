//! A device: a client, and the messages on their way to it and from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate::sync::{Caller, Page, PullRequest, SyncError, SyncService};
use tidegate_core::{
    checkpoint::{Checkpoint, Refresh, RequestedTypes, Token},
    entry::{Entry, FeedItem, Record},
    id::{ClientKey, TypeName, UserId},
    push::{Push, PushAnswer, PushOutcome},
};
use tidegate_testkit::client::{self, Arrival, Client, Flight, Place, Sending, Slip};

use super::{GATEWAYS, World, lock, socket::Socket};
use crate::{
    oracle::{self, Judged, Property, Reader, Sight, Violation, expect},
    people::{self, Edition, USERS},
};

/// More pages than any history has changes.
pub(super) const PAGES_MAX: usize = 500;

pub(super) struct Device {
    pub(super) number: usize,
    /// The model that its app was built for.
    pub(super) app: Edition,
    /// The types that its next pull begins again: its app selects more of them than before.
    pub(super) wants: BTreeSet<TypeName>,
    pub(super) client: Client,
    /// Every push it ever sent. The network may deliver any of them again.
    parcels: Vec<Parcel>,
    pub(super) answers: Vec<(Push, PushAnswer)>,
    /// Its last pull, and the last of those whose pages are no longer useful.
    pub(super) pull: u32,
    pub(super) useless: u32,
    /// The pages that are on their way, some of them late.
    pub(super) pulled: Vec<Pulled>,
    pub(super) socket: Option<Socket>,
    pub(super) sockets: u32,
}

/// A push, with the numbers of its edits.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) push: Push,
    pub(super) numbers: Vec<u32>,
}

/// The page of a pull.
#[derive(Clone)]
pub(super) struct Pulled {
    pub(super) pull: u32,
    pub(super) request: Request,
    pub(super) arrival: Arrival,
    /// The types that the pull began again.
    pub(super) refreshed: BTreeSet<TypeName>,
    /// The store's moment when it was answered.
    pub(super) answered: usize,
}

/// The device, the gateway and the time of a request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Greater than the last device for requests without one.
    pub(super) device: usize,
    pub(super) gateway: usize,
    /// The gateway's model.
    pub(super) edition: Edition,
    pub(super) life: u32,
    pub(super) sight: Sight,
    /// The store's moment.
    pub(super) asked: usize,
}

/// The result of a request.
pub(super) enum Heard {
    Answer {
        request: Request,
        parcel: Parcel,
        answer: Result<PushOutcome, SyncError>,
    },
    Page {
        request: Request,
        arrival: Box<Arrival>,
        pull: u32,
        /// The types that the pull began again.
        refreshed: BTreeSet<TypeName>,
    },
    /// With an error, or no page, the subscription has ended.
    Live {
        request: Request,
        page: Option<Result<Page, SyncError>>,
        socket: u32,
    },
}

impl Device {
    pub(super) fn new(number: usize, slip: Option<Slip>) -> Self {
        Self {
            number,
            app: Edition::A,
            wants: BTreeSet::new(),
            client: Client::new(&format!("device-{number}"), RequestedTypes::All, slip),
            parcels: Vec::new(),
            answers: Vec::new(),
            pull: 0,
            useless: 0,
            pulled: Vec::new(),
            socket: None,
            sockets: 0,
        }
    }

    pub(super) fn user(&self) -> usize {
        self.number % USERS.len()
    }

    /// The device as it reads from a gateway with this model.
    pub(super) fn reader(&self, gateway: Edition) -> Reader<'_> {
        Reader {
            client: &self.client,
            gateway,
        }
    }

    /// The client whose push is unanswered.
    pub(super) fn sending(&self) -> Option<ClientKey> {
        let client = self.client.flight.as_ref()?.push.client.as_ref()?;
        Some(ClientKey {
            user: UserId::new(USERS[self.user()]).expect("users have short names"),
            client: client.id.clone(),
        })
    }

    /// The push under way, as it is sent.
    fn parcel(&self) -> Option<Parcel> {
        let flight = self.client.flight.as_ref()?;
        let push = flight.push.clone();
        let numbers = flight.edits.iter().map(|edit| edit.number).collect();
        Some(Parcel { push, numbers })
    }

    /// Earlier requests are no longer useful to it.
    pub(super) fn ask_for(&mut self, types: RequestedTypes) {
        self.hang_up();
        self.useless = self.pull;
        self.pulled.clear();
        self.client.types = types;
    }

    pub(super) fn asks(&self, limit: u8) -> PullRequest {
        PullRequest {
            checkpoint: self.client.place.as_ref().map(|place| {
                Token::parse(&place.token).expect("clients hold what pages gave them")
            }),
            types: self.client.types.clone(),
            refresh: Refresh {
                types: self.wants.clone(),
                selection: self.app as u64,
            },
            limit: 1 + usize::from(limit) % 4,
        }
    }
}

/// A page in the form in which an app gets it from a gateway with this model.
pub(super) fn received(page: &Page, gateway: Edition, app: Edition) -> client::Page {
    let items = page.decoded().expect("the store is whole").into_iter();
    let changes: Vec<FeedItem> = page
        .changes
        .iter()
        .zip(items)
        .map(|(change, item)| {
            let record = match item.record {
                Record::Entry(entry) => {
                    let shown = shown(&entry, gateway, app);
                    if shown.withheld && !entry.withheld {
                        page.withhold(change);
                    }
                    Record::Entry(shown)
                }
                marker @ Record::Marker(_) => marker,
            };
            FeedItem { record, ..item }
        })
        .collect();
    client::Page {
        changes,
        place: Place::new(page.token(), Checkpoint::clone(&page.checkpoint)),
        has_more: page.has_more,
        reset: page.reset,
        revoked: page.revoked.clone(),
    }
}

/// The document as an app gets it. One that the gateway cannot read is withheld.
pub(super) fn shown(entry: &Arc<Entry>, gateway: Edition, app: Edition) -> Arc<Entry> {
    let Some(body) = &entry.body else {
        return Arc::clone(entry);
    };
    let body = people::shown(gateway, app, &entry.key.type_name, body);
    Arc::new(Entry {
        withheld: body.is_none(),
        body,
        ..Entry::clone(entry)
    })
}

impl World {
    /// The device sends its next push; it may get lost on the way.
    pub(super) fn send_next(
        &mut self,
        device: usize,
        sending: Sending,
        gateway: usize,
        lost: bool,
    ) {
        let sender = &mut self.devices[device];
        if sender.client.send(sending).is_none() {
            return;
        }
        if let Some(parcel) = sender.parcel() {
            sender.parcels.push(parcel.clone());
            if !lost {
                self.deliver(device, parcel, gateway);
            }
        }
    }

    pub(super) fn retry(&mut self, device: usize, gateway: usize) {
        self.devices[device].client.retry();
        if let Some(parcel) = self.devices[device].parcel() {
            self.deliver(device, parcel, gateway);
        }
    }

    pub(super) fn replay(&mut self, device: usize, nth: usize, gateway: usize) {
        let parcels = &self.devices[device].parcels;
        if let Some(parcel) = parcels.get(nth % parcels.len().max(1)).cloned() {
            self.deliver(device, parcel, gateway);
        }
    }

    fn deliver(&mut self, device: usize, parcel: Parcel, gateway: usize) {
        let gateway = gateway % GATEWAYS;
        if self.is_understood(device, gateway) {
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
        let puller = &self.devices[device];
        let (pull, app, refreshed) = (puller.pull, puller.app, puller.wants.clone());
        let from = puller.client.place.clone();
        let (asked, types) = (puller.asks(limit), puller.client.types.clone());
        tokio::spawn(async move {
            if let Ok(page) = service.pull(&caller, asked).await {
                let requested = Some(tick);
                let arrival = Arrival {
                    page: received(&page, request.edition, app),
                    from,
                    types,
                    requested,
                };
                lock(&heard).push(Heard::Page {
                    request,
                    arrival: Box::new(arrival),
                    pull,
                    refreshed,
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
            refreshed,
            answered,
            ..
        } = if again {
            pulled[nth].clone()
        } else {
            pulled.remove(nth)
        };
        let requested = arrival.requested.filter(|_| !arrival.page.has_more);
        let taken = self.apply(device, arrival)?;
        let puller = &mut self.devices[device];
        if taken {
            puller.wants.retain(|name| !refreshed.contains(name));
        }
        let reader = puller.reader(request.edition);
        match requested.filter(|_| taken) {
            Some(requested) => self.store.look(|moments| {
                let between = request.asked..=answered;
                oracle::judge_end(&reader, &request.sight, requested, moments, between)
            }),
            None => Ok(()),
        }
    }

    /// Returns whether the page was taken.
    pub(super) fn apply(&mut self, device: usize, arrival: Arrival) -> Result<bool, Violation> {
        let client = &mut self.devices[device].client;
        self.tally.resets += usize::from(arrival.page.reset);
        let same_epoch = client.page_epoch.as_ref() == Some(arrival.page.epoch());
        let before = if same_epoch {
            client.versions_but_of(&arrival.page.revoked)
        } else {
            BTreeMap::new()
        };
        let taken = client.apply(arrival);
        oracle::judge_no_regress(&before, client)?;
        oracle::judge_no_gap(client, &self.store.now())?;
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
        let (push, answer) = if again {
            hearer.answers[nth].clone()
        } else {
            hearer.answers.remove(nth)
        };
        let is_it = |flight: &Flight| flight.push.client == push.client;
        let flight = hearer.client.flight.clone().filter(is_it);
        hearer.client.hear(&push, &answer, tick);
        let Some(flight) = flight else { return Ok(()) };
        expect(
            hearer.client.flight.is_none(),
            Property::ExactlyOnce,
            || format!("{push:?} is answered {answer:?}"),
        )?;
        self.store
            .look(|moments| oracle::judge_own_writes(&hearer.client, &flight, &answer, moments))?;
        oracle::judge_no_gap(&hearer.client, &self.store.now())
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
