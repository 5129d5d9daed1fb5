//! Random edits, moves, grants, collections, epochs and lost messages: all clients agree in the end.
//!
//! These are some short histories, each given by its seed. The simulation searches through many more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_core::{
    id::{DocumentKey, Scope, Seq, Version},
    value::Document,
};
use tidegate_testkit::client::{Client, Held};

use crate::story::{Device, PAGES_MAX, Story};

const SEEDS: u64 = 300;
const STEPS: usize = 80;

#[test]
fn everybody_converges_nothing_is_applied_twice_and_no_seq_is_missing() {
    for seed in 0..SEEDS {
        let reported = std::panic::catch_unwind(|| {
            let mut story = Story::new(seed);
            (0..STEPS).for_each(|_| story.step());
            story.end();
        });
        assert!(reported.is_ok(), "seed {seed}: see the panic above");
    }
}

impl Story {
    /// From here on everything arrives: the outboxes empty, and all clients pull.
    fn end(mut self) {
        for device in 0..self.devices.len() {
            self.pull(device);
            self.settle(device);
        }
        for device in 0..self.devices.len() {
            self.pull(device);
            self.compare(device);
        }
        self.check_seqs();
        self.check_inbox();
    }

    /// A change that was left pending and not resolved is still in the inbox, in the scope of its document.
    fn check_inbox(&self) {
        let open: BTreeSet<_> = self.store.conflicts().map(|open| open.id.clone()).collect();
        assert_eq!(open, self.ledger.open);
        for open in self.store.conflicts() {
            let entry = self.store.entry(&open.key);
            assert!(
                entry.is_none_or(|entry| entry.scope == open.scope),
                "{open:?}"
            );
        }
    }

    fn settle(&mut self, device: usize) {
        for _ in 0..PAGES_MAX {
            self.tick += 1;
            let client = &mut self.devices[device].client;
            if client.flight.is_none() && client.send(2).is_none() {
                assert!(client.is_quiet(), "{client:?} may not send");
                return;
            }
            self.retry(device);
            self.hear(device);
            self.pull(device);
        }
        panic!("the outbox never empties");
    }

    /// The client holds what is visible to its user in the store, and what a fresh client gets.
    fn compare(&mut self, device: usize) {
        let user = self.devices[device].user;
        let grants = self.store.grants(user);
        let visible = self
            .store
            .living()
            .filter(|entry| grants.can_read(&entry.scope));
        let truth: Holdings = visible
            .map(|entry| {
                let body = entry.body.clone().unwrap_or_default();
                let state = (entry.version, entry.scope.clone(), body);
                (entry.key.clone(), state)
            })
            .collect();
        assert_eq!(holdings(&self.devices[device].client), truth, "{user}");
        self.devices.push(Device::new(user, &self.store.model));
        self.pull(self.devices.len() - 1);
        let fresh = self.devices.pop().expect("it was just added");
        assert_eq!(holdings(&fresh.client), truth, "a fresh client of {user}");
    }

    fn check_seqs(&self) {
        let mut heads: HashMap<&Scope, Seq> = HashMap::new();
        for item in &self.store.log {
            let head = heads.entry(item.record.scope()).or_default();
            assert_eq!(item.seq, head.next(), "in {}", item.record.scope());
            *head = item.seq;
        }
        assert!(
            heads
                .iter()
                .all(|(scope, head)| self.store.scope(scope.as_str()).head == *head)
        );
    }
}

/// Documents by key: version, scope, body.
type Holdings = BTreeMap<DocumentKey, (Version, Scope, Document)>;

fn holdings(client: &Client) -> Holdings {
    let state = |held: &Held| (held.version, held.scope.clone(), held.body.clone());
    let held = client.held.iter();
    held.map(|(key, held)| (key.clone(), state(held))).collect()
}
