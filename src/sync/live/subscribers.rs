//! The subscribers of each scope, and the rings that they read.
//!
//! A scope has a ring while it has a subscriber. A write to the scope wakes its subscribers and no others. Thousands
//! are woken a few at a time.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidegate_core::{
    checkpoint::{KnownTypes, Track},
    id::{Scope, Seq, TypeName, UserId},
    mutant::{Mutant, is_active},
};
use tokio::sync::Notify;

use super::ring::Ring;
use crate::{lock::Mutex, store::FeedWrite, sync::StoredChange};

/// How many are woken before other tasks get their turn. Otherwise pushes would wait until thousands have been served.
/// Those that are woken later find more to read.
const AT_ONCE: usize = 64;

/// The most bytes that all rings keep together: a user may watch ten thousand scopes, and write to them.
const RINGS_BYTES_MAX: usize = 256 << 20;

/// All subscribers.
#[derive(Default)]
pub(super) struct SubscriberRegistry {
    /// Boxed, because a map keeps room for as many entries again.
    scopes: HashMap<Scope, Box<WatchedScope>>,
    /// What all rings keep.
    rings_bytes: Arc<AtomicUsize>,
    wakers: HashMap<u64, Arc<Notify>>,
    /// The subscribers of each user.
    users: HashMap<UserId, UserSubscribers>,
    /// Scopes whose subscribers have not all been woken yet.
    waking: VecDeque<Scope>,
    next_id: u64,
    /// Rises when rings lose their continuity or the grants of any user may have changed. Every subscriber then reads
    /// the store once.
    generation: u64,
}

/// The subscribers of one user.
#[derive(Default)]
struct UserSubscribers {
    ids: HashSet<u64>,
    /// Rises when the user's grants may have changed. These subscribers then read the store once.
    generation: u64,
}

#[derive(Default)]
struct WatchedScope {
    ring: Ring,
    watchers: HashSet<u64>,
    wake_batch: Option<Box<WakeBatch>>,
}

/// A batch-wise wake-up of a scope's many subscribers.
struct WakeBatch {
    /// Those that have not been woken yet.
    left: Vec<u64>,
    /// Whether there were further writes since it began. It then runs once more.
    again: bool,
}

impl WatchedScope {
    /// Wakes all if they are few, or the first of them. Returns whether more of them have to be woken.
    fn wake(&mut self, wakers: &HashMap<u64, Arc<Notify>>) -> bool {
        if self.watchers.len() <= AT_ONCE {
            notify(self.watchers.iter(), wakers);
            return false;
        }
        if let Some(batch) = &mut self.wake_batch {
            batch.again = true;
            return false;
        }
        self.wake_batch = Some(Box::new(self.all()));
        self.wake_some(wakers)
    }

    /// Wakes the next few. Returns whether there are more.
    fn wake_some(&mut self, wakers: &HashMap<u64, Arc<Notify>>) -> bool {
        let Some(batch) = &mut self.wake_batch else {
            return false;
        };
        let next = batch.left.len().saturating_sub(AT_ONCE);
        notify(batch.left.drain(next..).as_slice().iter(), wakers);
        if batch.left.is_empty() {
            let again = batch.again;
            self.wake_batch = again.then(|| Box::new(self.all()));
        }
        self.wake_batch.is_some()
    }

    fn all(&self) -> WakeBatch {
        WakeBatch {
            left: self.watchers.iter().copied().collect(),
            again: false,
        }
    }
}

fn notify<'i>(ids: impl Iterator<Item = &'i u64>, wakers: &HashMap<u64, Arc<Notify>>) {
    ids.filter_map(|id| wakers.get(id))
        .for_each(|waker| waker.notify_one());
}

impl SubscriberRegistry {
    /// What all rings keep.
    pub(super) fn rings_bytes(&self) -> usize {
        self.rings_bytes.load(Ordering::Relaxed)
    }

    /// Puts feed writes into their rings and wakes each subscriber of their scopes once: a few at once, and the others
    /// by [`SubscriberRegistry::wake_some`].
    pub(super) fn offer(&mut self, writes: &[FeedWrite]) {
        let mut written = HashSet::new();
        for write in writes {
            if let Some(watched) = self.scopes.get_mut(&write.scope) {
                watched.ring.push(write, &self.rings_bytes);
                written.insert(&write.scope);
            }
        }
        for scope in written {
            self.wake(scope);
        }
        self.bound_rings(RINGS_BYTES_MAX);
    }

    /// Cuts all rings when they keep more than `bytes_max` together. Readers who lag read the store, and all are woken,
    /// because some may wait for a write that was cut. The others go on in the rings.
    fn bound_rings(&mut self, bytes_max: usize) {
        if self.rings_bytes.load(Ordering::Relaxed) > bytes_max {
            let scopes = self.scopes.values_mut();
            scopes.for_each(|watched| watched.ring.restart_above());
            self.wakers.values().for_each(|waker| waker.notify_one());
        }
    }

    fn wake(&mut self, scope: &Scope) {
        let watched = self.scopes.get_mut(scope);
        if watched.is_some_and(|watched| watched.wake(&self.wakers)) {
            self.waking.push_back(scope.clone());
        }
    }

    /// Whether more subscribers have to be woken.
    pub(super) fn is_waking(&self) -> bool {
        !self.waking.is_empty()
    }

    /// Wakes some of them.
    pub(super) fn wake_some(&mut self) {
        let Some(scope) = self.waking.pop_front() else {
            return;
        };
        let watched = self.scopes.get_mut(&scope);
        if watched.is_some_and(|watched| watched.wake_some(&self.wakers)) {
            self.waking.push_back(scope);
        }
    }

    /// Call it every few seconds. Makes subscribers read the store that have waited for a missing write since the last
    /// call.
    pub(super) fn sweep(&mut self) {
        let scopes = self.scopes.iter_mut();
        let cut =
            scopes.filter_map(|(scope, watched)| watched.ring.drop_stale_gap().then_some(scope));
        let cut: Vec<Scope> = cut.cloned().collect();
        cut.iter().for_each(|scope| self.wake(scope));
    }

    /// Rules.md 6.3: clears the rings and wakes all subscribers. Each then reads the heads.
    pub(super) fn restart(&mut self) {
        if is_active(Mutant::RingsSurvive) {
            return;
        }
        for watched in self.scopes.values_mut() {
            watched.ring = Ring::default();
        }
        self.invalidate_grants();
    }

    /// Makes the subscribers of these users read the store, and with it their grants. Wakes no others.
    pub(super) fn regrant_users(&mut self, users: &[UserId]) {
        for user in users {
            if let Some(of) = self.users.get_mut(user) {
                of.generation += 1;
                notify(of.ids.iter(), &self.wakers);
            }
        }
    }

    /// The generation at which a subscriber of this user must have read the store.
    fn generation(&self, user: &UserId) -> Generation {
        let of = self.users.get(user);
        (self.generation, of.map_or(0, |of| of.generation))
    }

    /// Makes all subscribers read the store, and with it their grants.
    pub(super) fn invalidate_grants(&mut self) {
        self.generation += 1;
        self.wakers.values().for_each(|waker| waker.notify_one());
    }
}

/// The generation of all users, and that of one.
type Generation = (u64, u64);

/// One subscriber's registration; it ends when dropped.
pub(in crate::sync) struct SubscriptionHandle {
    subscribers: Arc<Mutex<SubscriberRegistry>>,
    id: u64,
    user: UserId,
    waker: Arc<Notify>,
    watching: HashSet<Scope>,
    /// The generation at which the store was last read; `None` when it has to be read again.
    read_at: Option<Generation>,
}

impl SubscriptionHandle {
    pub(super) fn new(subscribers: Arc<Mutex<SubscriberRegistry>>, user: &UserId) -> Self {
        let waker = Arc::new(Notify::new());
        let mut held = subscribers.lock();
        let id = held.next_id;
        held.next_id += 1;
        held.wakers.insert(id, waker.clone());
        held.users.entry(user.clone()).or_default().ids.insert(id);
        drop(held);
        Self {
            subscribers,
            id,
            user: user.clone(),
            waker,
            watching: HashSet::new(),
            read_at: None,
        }
    }

    /// A number from 0 to 1. Numbers of consecutive subscribers are spread evenly, without randomness: they are the
    /// fractional parts of multiples of the golden ratio.
    pub(super) fn spread(&self) -> f64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let high = u32::try_from(self.id.wrapping_mul(GOLDEN) >> 32).unwrap_or_default();
        f64::from(high) / f64::from(u32::MAX)
    }

    /// Waits until a watched scope is written, the user's grants may have changed, or all subscribers are woken.
    pub(in crate::sync) async fn woken(&self) {
        self.waker.notified().await;
    }

    /// Call it before the store is read: events after the call wake again. Returns whether the only reason for the read
    /// is that the user's grants may have changed, and rings are not concerned.
    pub(super) fn mark_read(&mut self) -> bool {
        let now = self.subscribers.lock().generation(&self.user);
        let before = self.read_at.replace(now);
        before.is_some_and(|before| before.0 == now.0 && before.1 != now.1)
    }

    /// Makes the subscriber read the rings without waiting for news.
    pub(super) fn wake(&self) {
        self.waker.notify_one();
    }

    /// Undoes `mark_read` after the store failed: the store is read again without waiting for news.
    pub(super) fn mark_unread(&mut self) {
        self.read_at = None;
        self.wake();
    }

    /// Watches these scopes in addition, before they are read.
    pub(super) fn watch_also(&mut self, scopes: Vec<&Scope>) {
        let mut held = self.subscribers.lock();
        for scope in scopes {
            watch(&mut held, scope, self.id);
            self.watching.insert(scope.clone());
        }
    }

    /// Watches exactly these scopes. If one was not watched before, a write may have been missed since the store was
    /// read, so the subscriber stays awake.
    pub(super) fn watch<'a>(&mut self, scopes: impl Iterator<Item = &'a Scope>) {
        let wanted: HashSet<Scope> = scopes.cloned().collect();
        if wanted == self.watching {
            return;
        }
        let mut held = self.subscribers.lock();
        for ended in self.watching.difference(&wanted) {
            unwatch(&mut held, ended, self.id);
        }
        for begun in wanted.difference(&self.watching) {
            watch(&mut held, begun, self.id);
            if !is_active(Mutant::RegisteredLate) {
                self.read_at = None;
            }
        }
        if self.read_at.is_none() {
            self.wake();
        }
        drop(held);
        self.watching = wanted;
    }

    /// The writes of the track's known types since its positions, and the positions after them. `None` if the store has to be read: the
    /// rings do not reach back far enough, more than `limit` writes or `bytes_max` wait, or grants may have changed.
    pub(super) fn read(
        &self,
        track: &Track,
        known: &KnownTypes,
        limit: usize,
        bytes_max: usize,
    ) -> Option<(Vec<StoredChange>, Vec<Seq>)> {
        let held = self.subscribers.lock();
        if self.read_at != Some(held.generation(&self.user)) {
            return None;
        }
        let (mut changes, mut seqs) = (Vec::new(), Vec::new());
        for (scope, position) in &track.positions {
            let wanted = |name: &TypeName| known.cover(track, name);
            let (items, seq) = held.scopes.get(scope)?.ring.read(*position, wanted)?;
            changes.extend(items);
            seqs.push(seq);
            if changes.len() > limit || !fits(&changes, bytes_max) {
                return None;
            }
        }
        Some((changes, seqs))
    }
}

/// One change always fits, as on a page of the store.
fn fits(changes: &[StoredChange], bytes_max: usize) -> bool {
    changes.len() <= 1 || changes.iter().map(StoredChange::bytes).sum::<usize>() <= bytes_max
}

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        let mut held = self.subscribers.lock();
        held.wakers.remove(&self.id);
        if let Some(of) = held.users.get_mut(&self.user) {
            of.ids.remove(&self.id);
            if of.ids.is_empty() {
                held.users.remove(&self.user);
            }
        }
        for scope in &self.watching {
            unwatch(&mut held, scope, self.id);
        }
    }
}

fn watch(subscribers: &mut SubscriberRegistry, scope: &Scope, id: u64) {
    let watched = subscribers.scopes.entry(scope.clone()).or_default();
    watched.watchers.insert(id);
}

fn unwatch(subscribers: &mut SubscriberRegistry, scope: &Scope, id: u64) {
    if let Some(watched) = subscribers.scopes.get_mut(scope) {
        watched.watchers.remove(&id);
        if watched.watchers.is_empty() {
            subscribers.scopes.remove(scope);
        }
    }
}

#[cfg(test)]
mod tests;
