//! Who waits for which scope, and the rings they read.
//!
//! A scope has a ring while somebody watches it; a write to it wakes those, and nobody else.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use tidegate_core::{
    checkpoint::Track,
    id::{Scope, Seq},
    mutant::{Mutant, breaks},
};
use tokio::sync::Notify;

use super::{lock, ring::Ring};
use crate::store::{FeedWrite, StoredItem};

/// Everybody who waits.
#[derive(Default)]
pub(super) struct Subscribers {
    /// Boxed, because a map keeps room for as many again.
    scopes: HashMap<Scope, Box<Watched>>,
    wakers: HashMap<u64, Arc<Notify>>,
    next_id: u64,
    /// Raised when rings lose their continuity or grants may have changed: every subscriber reads the store once.
    generation: u64,
}

struct Watched {
    ring: Ring,
    watchers: HashSet<u64>,
}

impl Watched {
    fn wake(&self, wakers: &HashMap<u64, Arc<Notify>>) {
        let watching = self.watchers.iter().filter_map(|id| wakers.get(id));
        watching.for_each(|waker| waker.notify_one());
    }
}

impl Subscribers {
    /// Puts feed writes into their rings and wakes whoever watches one of those scopes, once.
    pub(super) fn offer(&mut self, writes: &[FeedWrite]) {
        let mut written = HashSet::new();
        for write in writes {
            if let Some(watched) = self.scopes.get_mut(&write.scope) {
                watched.ring.offer(write);
                written.insert(&write.scope);
            }
        }
        written
            .into_iter()
            .filter_map(|scope| self.scopes.get(scope))
            .for_each(|watched| watched.wake(&self.wakers));
    }

    /// To be called every few seconds: sends to the store whoever waits for a write that was not told since the last time.
    pub(super) fn sweep(&mut self) {
        for watched in self.scopes.values_mut() {
            if watched.ring.sweep() {
                watched.wake(&self.wakers);
            }
        }
    }

    /// Rules.md 6.3: clear the rings, wake everyone; then each reads the heads.
    pub(super) fn restart(&mut self) {
        if breaks(Mutant::RingsSurvive) {
            return;
        }
        for watched in self.scopes.values_mut() {
            watched.ring = Ring::default();
        }
        self.regrant();
    }

    /// Sends everyone to the store, where grants are read.
    pub(super) fn regrant(&mut self) {
        self.generation += 1;
        self.wakers.values().for_each(|waker| waker.notify_one());
    }
}

/// One subscriber's registration; it ends when dropped.
pub(super) struct Ticket {
    subscribers: Arc<Mutex<Subscribers>>,
    id: u64,
    waker: Arc<Notify>,
    watching: HashSet<Scope>,
    /// The generation at which the store was last read; `None` when it has to be read again.
    read_at: Option<u64>,
}

impl Ticket {
    pub(super) fn new(subscribers: Arc<Mutex<Subscribers>>) -> Self {
        let waker = Arc::new(Notify::new());
        let mut held = lock(&subscribers);
        let id = held.next_id;
        held.next_id += 1;
        held.wakers.insert(id, waker.clone());
        drop(held);
        Self {
            subscribers,
            id,
            waker,
            watching: HashSet::new(),
            read_at: None,
        }
    }

    /// A number from 0 to 1, spread evenly over those who came one after the other: multiples of the golden ratio
    /// without their whole part do that, with no need for randomness.
    pub(super) fn share(&self) -> f64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let high = u32::try_from(self.id.wrapping_mul(GOLDEN) >> 32).unwrap_or_default();
        f64::from(high) / f64::from(u32::MAX)
    }

    /// Waits until a watched scope was written, or everyone is woken.
    pub(super) async fn woken(&self) {
        self.waker.notified().await;
    }

    /// To be called before the store is read: what comes after it wakes again.
    pub(super) fn fresh(&mut self) {
        self.read_at = Some(lock(&self.subscribers).generation);
    }

    /// Takes `fresh` back, the store having failed: it is to be read without waiting for news.
    pub(super) fn unread(&mut self) {
        self.read_at = None;
        self.waker.notify_one();
    }

    /// Watches exactly these scopes. Where one was not watched before, a write may have passed since the store was read,
    /// so the subscriber stays awake.
    pub(super) fn watch<'a>(&mut self, scopes: impl Iterator<Item = &'a Scope>) {
        let wanted: HashSet<Scope> = scopes.cloned().collect();
        if wanted == self.watching {
            return;
        }
        let mut held = lock(&self.subscribers);
        for ended in self.watching.difference(&wanted) {
            unwatch(&mut held, ended, self.id);
        }
        for begun in wanted.difference(&self.watching) {
            let watched = held.scopes.entry(begun.clone()).or_insert_with(|| {
                Box::new(Watched {
                    ring: Ring::default(),
                    watchers: HashSet::new(),
                })
            });
            watched.watchers.insert(self.id);
            if !breaks(Mutant::RegisteredLate) {
                self.read_at = None;
            }
        }
        if self.read_at.is_none() {
            self.waker.notify_one();
        }
        drop(held);
        self.watching = wanted;
    }

    /// The writes since the track's positions, and where these are past them; `None` if the store has to be read: rings do
    /// not reach back so far, more than `limit` wait or more than `bytes_max`, or grants may have changed.
    pub(super) fn read(
        &self,
        track: &Track,
        limit: usize,
        bytes_max: usize,
    ) -> Option<(Vec<StoredItem>, Vec<Seq>)> {
        let held = lock(&self.subscribers);
        if self.read_at != Some(held.generation) {
            return None;
        }
        let (mut changes, mut seqs) = (Vec::new(), Vec::new());
        for (scope, position) in &track.positions {
            let (items, seq) = held.scopes.get(scope)?.ring.read(*position, &track.types)?;
            changes.extend(items);
            seqs.push(seq);
            if changes.len() > limit || !fits(&changes, bytes_max) {
                return None;
            }
        }
        Some((changes, seqs))
    }
}

/// One change fits always, as on a page of the store.
fn fits(changes: &[StoredItem], bytes_max: usize) -> bool {
    changes.len() <= 1 || changes.iter().map(StoredItem::bytes).sum::<usize>() <= bytes_max
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut held = lock(&self.subscribers);
        held.wakers.remove(&self.id);
        for scope in &self.watching {
            unwatch(&mut held, scope, self.id);
        }
    }
}

fn unwatch(subscribers: &mut Subscribers, scope: &Scope, id: u64) {
    if let Some(watched) = subscribers.scopes.get_mut(scope) {
        watched.watchers.remove(&id);
        if watched.watchers.is_empty() {
            subscribers.scopes.remove(scope);
        }
    }
}
