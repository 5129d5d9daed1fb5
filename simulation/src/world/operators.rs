//! What operators and time do: collections, epochs, backups, gateways that die, tokens that are renewed.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use tidegate_core::{
    collect,
    id::{ClientKey, Epoch},
    transaction::{Loaded, Reads},
    value::Timestamp,
};

use super::{OFFICE, OP_MS, World, next_epoch};
use crate::{
    oracle::Judged,
    people::{TEAMS, USERS},
};

impl World {
    pub(super) fn collect(&mut self, ticks: u8) {
        let now = self.clock.load(Ordering::Relaxed) - OP_MS * i64::from(ticks);
        let before = self.store.now();
        let Ok(limit) = Timestamp::from_ms(now) else {
            return;
        };
        // An unanswered push is sent again within the retention, so what its client is answered is not collected.
        let flights = self.devices.iter().filter_map(|device| device.sending());
        let sending: BTreeSet<ClientKey> = flights.collect();
        let decide = move |loaded: &Loaded| {
            let mut loaded = loaded.clone();
            loaded.idle.retain(|(client, _)| !sending.contains(client));
            collect::decide(&loaded)
        };
        // An operator's calls are never held.
        self.store
            .commit_now(&collect::reads(limit, usize::MAX), Arc::new(decide));
        self.ledger.collect(&before, &self.store.now());
    }

    fn next_epoch(&self) -> Epoch {
        next_epoch(&self.epochs)
    }

    pub(super) fn rotate(&mut self) {
        let name = self.next_epoch();
        let decide = move |_: &Loaded| collect::rotate(name.clone());
        self.store.commit_now(&Reads::default(), Arc::new(decide));
    }

    /// Everything on its way to the store arrives before a backup or a restore: an operator stops the gateways for it.
    async fn quiesce(&mut self) -> Judged {
        self.store.release_all();
        self.settle().await
    }

    pub(super) async fn back_up(&mut self) -> Judged {
        self.quiesce().await?;
        self.backup = Some((self.store.back_up(), self.ledger.clone()));
        Ok(())
    }

    pub(super) async fn restore(&mut self) -> Judged {
        self.quiesce().await?;
        if let Some((backup, ledger)) = self.backup.take() {
            let (name, state) = (self.next_epoch(), Arc::clone(&backup.state));
            self.store.restore(backup, name);
            (0..=OFFICE).for_each(|gateway| self.crash(gateway));
            self.ledger = std::mem::take(&mut self.ledger).restored(ledger, &state);
            self.meant.took.clear();
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, number: usize) {
        self.lives[number] += 1;
        self.store.fail_those_of(number);
        for device in &mut self.devices {
            device.lose(number);
        }
        self.gateways[number] = self.gateway(number);
        self.watches[number].abort();
        self.watches[number] = self.watch(number);
        if number != OFFICE {
            self.importers[number].abort();
            self.importers[number] = self.import(number);
        }
    }

    pub(super) fn renew_token(&mut self, user: u8, team: u8) {
        let (user, team) = (
            usize::from(user) % USERS.len(),
            TEAMS[usize::from(team) % TEAMS.len()],
        );
        if !self.teams[user].remove(team) {
            self.teams[user].insert(team);
        }
    }
}
