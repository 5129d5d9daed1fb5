//! A device: a client, and the messages on their way to it and from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidegate::sync::{Page, PullRequest, SyncError};
use tidegate_core::{
    checkpoint::{Checkpoint, Refresh, RequestedTypes, Token},
    digest::ScopeDigest,
    entry::{Entry, FeedItem, Record},
    id::{ClientKey, MutationId, Scope, TypeName, UserId},
    model::Model,
    push::{Push, PushAnswer, PushOutcome},
};
use tidegate_testkit::client::{self, Arrival, Client, Place, Refusal, Slip};

use super::{harm::Harm, socket::Socket, viewing::Counts};
use crate::{
    oracle::{Reader, Sight},
    people::{self, Edition, USERS},
    traces::Recorder,
};

/// More pages than any history has changes.
pub(super) const PAGES_MAX: usize = 500;

pub(super) struct Device {
    pub(super) number: usize,
    /// The model that its app was built for.
    pub(super) app: Edition,
    pub(super) client: Client,
    /// Every push it ever sent. The network may deliver any of them again.
    pub(super) parcels: Vec<Parcel>,
    pub(super) answers: Vec<Answer>,
    /// Whether the next copy of a push is refused on its way.
    pub(super) is_blocked: bool,
    /// The numbers of its edits.
    pub(super) made: Vec<u32>,
    pub(super) counts: Counts,
    /// Its last pull, and the last of those whose pages are no longer useful.
    pub(super) pull: u32,
    pub(super) useless: u32,
    /// The pages that are on their way, some of them late.
    pub(super) pulled: Vec<Pulled>,
    pub(super) socket: Option<Socket>,
    pub(super) sockets: u32,
    /// What its disk has done to it, until it has said that it equals the server.
    pub(super) harm: Option<Harm>,
    /// The scopes that pages have read again, until they are equal or the app starts again.
    pub(super) read_again: BTreeSet<Scope>,
    /// What happens to it, if that is recorded.
    pub(super) recorder: Option<Recorder>,
}

/// What arrives about a push.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Given {
        push: Push,
        answer: PushAnswer,
    },
    Refused {
        push: Push,
        refusal: Refusal,
    },
    /// The last id of its client, asked for at that tick.
    Last {
        question: u32,
        last: MutationId,
        asked: u32,
    },
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
    },
    Last {
        request: Request,
        question: u32,
        last: MutationId,
        asked: u32,
    },
    /// With an error, or no page, the subscription has ended.
    Live {
        request: Request,
        page: Option<Result<Page, SyncError>>,
        socket: u32,
    },
}

impl Device {
    pub(super) fn new(number: usize, model: &Model, slip: Option<Slip>) -> Self {
        let name = format!("device-{number}");
        let mut client = Client::new(&name, model, RequestedTypes::All, slip);
        client.folds = number >= 2;
        Self {
            number,
            app: Edition::A,
            client,
            parcels: Vec::new(),
            answers: Vec::new(),
            is_blocked: false,
            made: Vec::new(),
            counts: Counts::default(),
            pull: 0,
            useless: 0,
            pulled: Vec::new(),
            socket: None,
            sockets: 0,
            harm: None,
            read_again: BTreeSet::new(),
            recorder: None,
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
    pub(super) fn parcel(&self) -> Option<Parcel> {
        let flight = self.client.flight.as_ref()?;
        let push = flight.push.clone();
        let numbers = flight.edits.iter().map(|edit| edit.number).collect();
        Some(Parcel { push, numbers })
    }

    pub(super) fn record(&mut self, what: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &mut self.recorder {
            what(recorder);
        }
    }

    /// Earlier requests are no longer useful to it.
    pub(super) fn ask_for(&mut self, types: RequestedTypes) {
        self.hang_up();
        self.useless = self.pull;
        self.pulled.clear();
        self.client.types = types;
    }

    pub(super) fn asks(
        &self,
        limit: u8,
        refresh: &BTreeSet<TypeName>,
        reread: &BTreeSet<Scope>,
    ) -> PullRequest {
        PullRequest {
            checkpoint: self.client.place.as_ref().map(|place| {
                Token::parse(&place.token).expect("clients hold what pages gave them")
            }),
            types: self.client.types.clone(),
            refresh: Refresh {
                types: refresh.clone(),
                selection: self.app as u64,
            },
            limit: 1 + usize::from(limit) % 4,
            reread: reread.clone(),
            digests: true,
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
        digests: digests(page),
    }
}

/// The digests of a page. Devices call types by their stored names.
fn digests(page: &Page) -> BTreeMap<Scope, ScopeDigest> {
    let digests = page.digests(TypeName::to_string).into_iter().flatten();
    let digests = digests.map(|(scope, digest)| (scope.clone(), digest));
    digests.collect()
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
