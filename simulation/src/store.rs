//! A store whose every moment is kept, and whose calls can be held back, failed and told out of order.
//!
//! It keeps no rule of the protocol itself. How the gateways reach it is in [`access`], what one moment holds in
//! [`state`], and the file that may lie beneath in [`mod@file`].

mod access;
mod file;
mod state;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate::store::{Decide, FeedWrite, TailEvent};
use tidegate_core::{
    entry::FeedItem,
    id::Epoch,
    transaction::{Reads, Writes},
};
use tokio::sync::{mpsc, oneshot};

use self::file::File;
pub(crate) use self::{access::Access, state::State};
use crate::{oracle::Judged, random::Random};

/// The store behind all gateways.
pub(crate) struct SimStore(Mutex<Inner>);

struct Inner {
    /// What was, commit by commit; the last is what is.
    moments: Vec<Moment>,
    /// Counts down with each call of a gateway; at zero that call is held.
    holds: Vec<u8>,
    held: Vec<Held>,
    tails: Vec<Tail>,
    /// The next decision is first made on an older moment, as by a transaction that has to run again.
    runs_twice: bool,
    random: Random,
    broken: Option<StoreFault>,
    /// Where the gateways' reads and writes go, if not to the moments alone.
    file: Option<File>,
}

/// A way in which the store itself breaks its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// 2.2: a page reads its records in another snapshot than heads and floors.
    TwoSnapshots,
    /// 2.2: floors are read before everything else.
    FloorReadFirst,
}

/// What was after a commit, and what that commit wrote.
pub(crate) struct Moment {
    pub(crate) state: Arc<State>,
    pub(crate) written: Vec<FeedItem>,
}

struct Held {
    gateway: usize,
    resume: oneshot::Sender<Passage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    Free,
    Fails,
}

/// What one gateway is told.
#[derive(Default)]
struct Tail {
    sender: Option<mpsc::UnboundedSender<TailEvent>>,
    lags: bool,
    waiting: VecDeque<TailEvent>,
}

impl SimStore {
    pub(crate) fn new(
        gateways: usize,
        seed: u64,
        broken: Option<StoreFault>,
        on_file: bool,
    ) -> Arc<Self> {
        let first = Moment {
            state: Arc::new(State::new(epoch(1))),
            written: Vec::new(),
        };
        Arc::new(Self(Mutex::new(Inner {
            moments: vec![first],
            holds: Vec::new(),
            held: Vec::new(),
            tails: (0..gateways).map(|_| Tail::default()).collect(),
            runs_twice: false,
            random: Random::new(seed),
            broken,
            file: on_file.then(File::new),
        })))
    }

    /// The number of the present moment.
    pub(crate) fn moment(&self) -> usize {
        self.lock().moments.len() - 1
    }

    pub(crate) fn now(&self) -> Arc<State> {
        self.lock().now()
    }

    /// Looks at all moments.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Moment]) -> T) -> T {
        look(&self.lock().moments)
    }

    /// The call after `calls` others is held.
    pub(crate) fn hold_after(&self, calls: u8) {
        self.lock().holds.push(calls);
    }

    /// Lets one held call go on, or fail.
    pub(crate) fn release(&self, nth: usize, fails: bool) {
        let mut inner = self.lock();
        if inner.held.is_empty() {
            return;
        }
        let nth = nth % inner.held.len();
        let held = inner.held.swap_remove(nth);
        let passage = if fails { Passage::Fails } else { Passage::Free };
        // Whoever asked may have given up.
        let _ = held.resume.send(passage);
    }

    /// Holds nothing any more.
    pub(crate) fn release_all(&self) {
        let mut inner = self.lock();
        inner.holds.clear();
        for held in inner.held.drain(..) {
            let _ = held.resume.send(Passage::Free);
        }
    }

    /// The held calls of a gateway that died fail.
    pub(crate) fn fail_those_of(&self, gateway: usize) {
        self.lock().held.retain(|held| held.gateway != gateway);
    }

    pub(crate) fn run_twice(&self) {
        self.lock().runs_twice = true;
    }

    /// From now on a gateway is told nothing.
    pub(crate) fn lag(&self, gateway: usize) {
        self.lock().tails[gateway].lags = true;
    }

    /// A gateway is told some of what it missed, or all and what comes.
    pub(crate) fn catch_up(&self, gateway: usize, events: Option<usize>) {
        let mut inner = self.lock();
        let tail = &mut inner.tails[gateway];
        tail.lags = events.is_some();
        tail.tell(events.unwrap_or(usize::MAX));
    }

    /// A gateway's tail breaks off and begins again: what it missed is lost to it.
    pub(crate) fn restart_tail(&self, gateway: usize) {
        let mut inner = self.lock();
        let tail = &mut inner.tails[gateway];
        tail.waiting.clear();
        tail.offer([TailEvent::Restart]);
    }

    /// A commit of an operator, whom nobody holds up.
    pub(crate) fn commit_now(&self, reads: &Reads, decide: Arc<Decide>) {
        self.lock().commit(reads, decide, None);
    }

    /// What is there now is backed up.
    pub(crate) fn back_up(&self) -> Arc<State> {
        let mut inner = self.lock();
        if let Some(file) = &mut inner.file {
            file.back_up();
        }
        inner.now()
    }

    /// The file, if there is one, holds what the last moment tells.
    pub(crate) fn judge_file(&self) -> Judged {
        let inner = self.lock();
        let file = inner.file.as_ref();
        file.map_or(Ok(()), |file| file.compare(&inner.now()))
    }

    /// Puts back an older state, under another epoch, while the gateways are stopped.
    pub(crate) fn restore(&self, backup: &State, name: Epoch) {
        let mut inner = self.lock();
        let mut state = backup.clone();
        state.epoch = name.clone();
        if let Some(file) = &mut inner.file {
            file.restore(name);
        }
        inner.moments.push(Moment {
            state: Arc::new(state),
            written: Vec::new(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the nth epoch.
pub(crate) fn epoch(number: u32) -> Epoch {
    Epoch::new(&format!("e{number}")).expect("a short name")
}

impl Inner {
    fn now(&self) -> Arc<State> {
        let last = self.moments.last().expect("there is a first moment");
        Arc::clone(&last.state)
    }

    /// A commit by one of the gateways, or by an operator.
    fn commit(&mut self, reads: &Reads, decide: Arc<Decide>, by: Option<usize>) -> Writes {
        if std::mem::take(&mut self.runs_twice) {
            let older = self.random.below(self.moments.len());
            drop(decide(&self.moments[older].state.load(reads)));
        }
        let mut state = State::clone(&self.now());
        let writes = match &self.file {
            Some(file) => file.commit(reads, decide),
            None => decide_counted(&state, reads, &decide),
        };
        let written = state.write(&writes);
        let changed = !written.is_empty();
        self.moments.push(Moment {
            state: Arc::new(state),
            written: written.clone(),
        });
        if !writes.users.is_empty() {
            let users = writes.users.keys().cloned().collect();
            self.tell_grants(&TailEvent::Grants(Some(users)), by);
        }
        if changed {
            self.tell_commit(&written, by);
        }
        if !writes.inbox.is_empty() {
            self.tell_all(&[TailEvent::Inbox(None)]);
        }
        if let Some(epoch) = &writes.epoch {
            self.tell_all(&[TailEvent::Epoch(epoch.clone())]);
        }
        writes
    }

    /// Rules.md 6.1: whoever committed it hears of it at once, however far its tail lags behind; the others in pieces, in no
    /// order.
    fn tell_commit(&mut self, items: &[FeedItem], by: Option<usize>) {
        let whole = TailEvent::Committed(items.iter().map(stored).collect());
        let mut left = items.to_vec();
        let mut pieces = Vec::new();
        while !left.is_empty() {
            let mut piece = Vec::new();
            for _ in 0..=self.random.below(left.len()) {
                piece.push(left.swap_remove(self.random.below(left.len())));
            }
            let piece = piece.iter().map(stored).collect();
            pieces.push(TailEvent::Committed(piece));
        }
        for (gateway, tail) in self.tails.iter_mut().enumerate() {
            if by == Some(gateway) {
                tail.send(whole.clone());
            } else {
                tail.offer(pieces.iter().cloned());
            }
        }
    }

    /// Before the feed writes of its transaction.
    fn tell_grants(&mut self, event: &TailEvent, by: Option<usize>) {
        for (gateway, tail) in self.tails.iter_mut().enumerate() {
            if by == Some(gateway) {
                tail.send(event.clone());
            } else {
                tail.offer([event.clone()]);
            }
        }
    }

    fn tell_all(&mut self, events: &[TailEvent]) {
        for tail in &mut self.tails {
            tail.offer(events.iter().cloned());
        }
    }
}

/// Decides, and again with what it asks to be counted.
fn decide_counted(state: &State, reads: &Reads, decide: &Arc<Decide>) -> Writes {
    let mut loaded = state.load(reads);
    loop {
        let writes = decide(&loaded);
        if writes.uncounted.is_empty() {
            return writes;
        }
        loaded.given.extend(state.given(&writes.uncounted));
    }
}

fn stored(item: &FeedItem) -> FeedWrite {
    FeedWrite::encode(item).expect("names of fields are ordinary here")
}

impl Tail {
    fn offer(&mut self, events: impl IntoIterator<Item = TailEvent>) {
        self.waiting.extend(events);
        if !self.lags {
            self.tell(usize::MAX);
        }
    }

    fn tell(&mut self, events: usize) {
        let told = self.waiting.len().min(events);
        let told: Vec<_> = self.waiting.drain(..told).collect();
        told.into_iter().for_each(|event| self.send(event));
    }

    fn send(&self, event: TailEvent) {
        if let Some(sender) = &self.sender {
            // A gateway that died hears nothing.
            let _ = sender.send(event);
        }
    }
}
