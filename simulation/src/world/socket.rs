//! A device's subscription: pages arrive by themselves, one at a time.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use futures_util::StreamExt;
use tidegate::sync::{Page, Start};
use tidegate_core::grant::Grants;
use tidegate_testkit::client::{Arrival, Place};
use tokio::{sync::Semaphore, task::AbortHandle};

use super::{
    GATEWAYS, World,
    device::{Device, Heard, received},
    lock,
};
use crate::{oracle::Judged, people::Edition};

/// An open subscription: pages come one at a time, each when the one before was taken.
pub(super) struct Socket {
    number: u32,
    gateway: usize,
    /// What its token gives.
    claimed: Grants,
    task: AbortHandle,
    room: Arc<Semaphore>,
    /// Where the last page left off.
    stands: Option<Place>,
    pages: VecDeque<Arrival>,
    /// The store's moment when the last page came, or when it was opened.
    reported: usize,
}

impl Device {
    pub(super) fn hang_up(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.task.abort();
        }
    }

    /// Its token expires, and the next one grants this.
    pub(super) fn expire(&mut self, claimed: &Grants) {
        if self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.claimed != *claimed)
        {
            self.hang_up();
        }
    }

    /// The gateway of its connection died.
    pub(super) fn lose(&mut self, gateway: usize) {
        if self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.gateway == gateway)
        {
            self.hang_up();
        }
    }

    /// Whether its subscription continues from its position.
    pub(super) fn is_subscribed(&self) -> bool {
        let goes_on = |socket: &Socket| match socket.pages.front() {
            Some(next) => next.from == self.client.place,
            None => socket.stands == self.client.place,
        };
        self.socket.as_ref().is_some_and(goes_on)
    }

    /// A page of its subscription is on its way, or it has ended.
    /// The page, and the store's moment since which it can have been read.
    pub(super) fn live(
        &mut self,
        page: Option<Page>,
        gateway: Edition,
        number: u32,
        now: usize,
    ) -> Option<(Arrival, usize)> {
        let socket = self
            .socket
            .as_mut()
            .filter(|socket| socket.number == number)?;
        let Some(page) = page else {
            self.socket = None;
            return None;
        };
        let page = received(&page, gateway, self.app);
        let arrival = Arrival {
            from: socket.stands.replace(page.place.clone()),
            page,
            types: self.client.types.clone(),
            requested: None,
            refreshed: BTreeSet::new(),
            reread: BTreeSet::new(),
        };
        socket.pages.push_back(arrival.clone());
        Some((arrival, std::mem::replace(&mut socket.reported, now)))
    }

    fn next_live(&mut self) -> Option<Arrival> {
        let socket = self.socket.as_mut()?;
        let arrival = socket.pages.pop_front()?;
        socket.room.add_permits(1);
        Some(arrival)
    }
}

impl World {
    pub(super) fn subscribe(&mut self, device: usize, gateway: usize, limit: u8) {
        self.devices[device].hang_up();
        let gateway = gateway % GATEWAYS;
        // Only a pull says which types it begins again.
        if !self.is_understood(device, gateway) || !self.devices[device].client.refresh.is_empty() {
            return;
        }
        let user = self.devices[device].user();
        let (caller, request) = self.request(device, user, gateway);
        let (service, heard) = (self.service(&request), Arc::clone(&self.heard));
        let tick = self.tick;
        let subscriber = &mut self.devices[device];
        subscriber.sockets += 1;
        subscriber.record(|it| it.begin(tick));
        let number = subscriber.sockets;
        let asked = subscriber.asks(limit, &BTreeSet::new(), &BTreeSet::new());
        let room = Arc::new(Semaphore::new(1));
        let permits = Arc::clone(&room);
        let (gateway, claimed) = (request.gateway, request.sight.claimed.clone());
        let reported = request.asked;
        let task = tokio::spawn(async move {
            let mut pages = Box::pin(service.subscribe(caller, asked, Start::Checkpoint));
            while let Ok(permit) = permits.acquire().await {
                permit.forget();
                let (request, socket) = (request.clone(), number);
                let page = pages.next().await;
                let ended = !matches!(page, Some(Ok(_)));
                lock(&heard).push(Heard::Live {
                    request,
                    page,
                    socket,
                });
                if ended {
                    return;
                }
            }
        });
        subscriber.socket = Some(Socket {
            number,
            gateway,
            claimed,
            task: task.abort_handle(),
            room,
            stands: subscriber.client.place.clone(),
            pages: VecDeque::new(),
            reported,
        });
    }

    /// The device takes a page from its subscription.
    pub(super) fn listen(&mut self, device: usize) -> Judged {
        match self.devices[device].next_live() {
            Some(arrival) => self.apply(device, arrival).map(drop),
            None => Ok(()),
        }
    }
}
