//! Coming to rest: every message arrives, every push is settled, and then all clients must agree.

use std::collections::BTreeMap;

use tidegate_core::{
    id::{DocumentKey, Scope, Version},
    value::Document,
};
use tidegate_testkit::client::Client;

use super::{
    GATEWAYS, GIVEN_UP, World,
    device::{Device, PAGES_MAX},
};
use crate::{
    oracle::{self, Judged, Property, expect},
    people::{self, Edition},
};

/// Documents by key: version, scope, body.
type Holdings = BTreeMap<DocumentKey, (Version, Scope, Document)>;

impl World {
    pub(super) async fn rest(&mut self) -> Judged {
        self.store.release_all();
        (0..GATEWAYS).for_each(|gateway| self.store.catch_up(gateway, None));
        // Long enough that all clients that wait for the store have tried again.
        tokio::time::sleep(GIVEN_UP).await;
        self.settle().await?;
        if self.editions[0] != self.editions[1] {
            for device in 0..self.devices.len() {
                self.alternate(device).await?;
            }
        }
        for edition in self.last_editions() {
            self.start_all(edition).await?;
            self.agree().await?;
        }
        self.store.judge_file()?;
        self.judge_fates()?;
        self.ledger.judge_transactions(&self.meant.transactions)?;
        self.store.look(oracle::judge_order)?;
        let widest = people::model(Edition::B, self.rule);
        self.ledger.judge(&widest, &self.store.now())
    }

    /// The models of all gateways in the end, one after the other. Only B serves apps that were updated.
    fn last_editions(&self) -> Vec<Edition> {
        let mut editions = self.ends.to_vec();
        if editions.is_empty() {
            return vec![Edition::A];
        }
        let is_updated = |device: &Device| device.app == Edition::B;
        if editions.last() == Some(&Edition::A) && self.devices.iter().any(is_updated) {
            editions.push(Edition::B);
        }
        editions
    }

    /// All clients come to agree with the store, as the model of all gateways reads it.
    async fn agree(&mut self) -> Judged {
        self.import_all().await?;
        for device in self.served() {
            let claimed = self.caller(self.devices[device].user()).1.claimed;
            self.devices[device].expire(&claimed);
            self.follow(device).await?;
        }
        // Before pushes wake all subscribers, and after.
        for device in self.served() {
            self.compare_live(device).await?;
        }
        for device in self.served() {
            self.empty_outbox(device).await?;
        }
        for device in self.served() {
            self.compare_live(device).await?;
        }
        for device in self.served() {
            self.mend(device).await?;
            self.pull_all(device, device, 3).await?;
            self.compare(device).await?;
        }
        Ok(())
    }

    /// The devices whose apps the gateways understand.
    fn served(&self) -> Vec<usize> {
        let devices = 0..self.devices.len();
        devices
            .filter(|device| self.is_understood(*device, 0))
            .collect()
    }

    /// Brings a device up to date, by its subscription if it has one.
    async fn follow(&mut self, device: usize) -> Judged {
        let must_pull = self.devices[device].client.epoch().is_none();
        if must_pull || !self.devices[device].is_subscribed() {
            return self.pull_all(device, device, 3).await;
        }
        for _ in 0..PAGES_MAX {
            let before = self.devices[device].client.place.clone();
            self.tick += 1;
            self.listen(device)?;
            self.settle().await?;
            if self.devices[device].client.place == before {
                return Ok(());
            }
        }
        expect(false, Property::Ends, || {
            format!("the subscription of device {device} goes on for ever")
        })
    }

    async fn empty_outbox(&mut self, device: usize) -> Judged {
        for _ in 0..PAGES_MAX {
            if self.devices[device].client.is_quiet() {
                return Ok(());
            }
            self.tick += 1;
            self.devices[device].answers.clear();
            if self.devices[device].client.flight.is_some() {
                self.retry(device, device)?;
            } else {
                self.send_next(device, 2, device, false)?;
            }
            self.settle().await?;
            self.hear(device, 0, false)?;
            self.follow(device).await?;
        }
        expect(false, Property::Ends, || {
            format!("{:?} is never settled", self.devices[device].client)
        })
    }

    /// A client that only listens has everything that is confirmed.
    async fn compare_live(&mut self, device: usize) -> Judged {
        if !self.devices[device].is_subscribed() {
            return Ok(());
        }
        self.follow(device).await?;
        if self.devices[device].harm.is_some() {
            return Ok(());
        }
        let (known, epoch) = (
            &self.devices[device].client.page_epoch,
            &self.store.now().epoch,
        );
        expect(known.as_ref() == Some(epoch), Property::Reset, || {
            format!("device {device} listens in {known:?}, and it is {epoch:?}")
        })?;
        let truth = self.truth(device);
        let mut held = holdings(&self.devices[device].client);
        held.retain(|key, _| self.devices[device].client.held[key].is_confirmed());
        held.retain(|key, _| people::knows(self.store.lead(), &key.type_name));
        let mut confirmed = truth.clone();
        confirmed.retain(|key, _| {
            held.contains_key(key) || !self.devices[device].client.held.contains_key(key)
        });
        expect(held == confirmed, Property::Convergence, || {
            format!("subscribed device {device} holds {held:#?} and not {truth:#?}")
        })
    }

    /// The client holds what is visible to its user in the store, and what a fresh client gets.
    async fn compare(&mut self, device: usize) -> Judged {
        let truth = self.truth(device);
        let mut held = holdings(&self.devices[device].client);
        held.retain(|key, _| people::knows(self.store.lead(), &key.type_name));
        expect(held == truth, Property::Convergence, || {
            format!("device {device} holds {held:#?} and not {truth:#?}")
        })?;
        self.judge_view_at_rest(device)?;
        let mut fresh = Device::new(
            self.devices[device].number,
            &people::model(Edition::B, self.rule),
            None,
        );
        fresh.app = self.devices[device].app;
        fresh.ask_for(self.devices[device].client.types.clone());
        let replaced = std::mem::replace(&mut self.devices[device], fresh);
        self.pull_all(device, device + 1, 0).await?;
        let first = holdings(&self.devices[device].client);
        self.devices[device] = replaced;
        expect(first == truth, Property::Convergence, || {
            format!("a first sync gives {first:#?} and not {truth:#?}")
        })
    }

    fn truth(&self, device: usize) -> Holdings {
        let device = &self.devices[device];
        let grants = self.grants(device.user());
        let state = self.store.now();
        let lead = self.store.lead();
        let visible = state.entries().filter(|entry| {
            grants.can_read(&entry.scope) && device.client.types.contain(&entry.key.type_name)
        });
        visible
            .filter_map(|entry| {
                let body = entry.body.as_ref()?;
                let body = people::shown(lead, device.app, &entry.key.type_name, body)?;
                let held = (entry.version, entry.scope.clone(), body);
                Some((entry.key.clone(), held))
            })
            .collect()
    }
}

fn holdings(client: &Client) -> Holdings {
    let held = client.held.iter();
    held.map(|(key, held)| {
        let state = (held.version, held.scope.clone(), held.body.clone());
        (key.clone(), state)
    })
    .collect()
}
