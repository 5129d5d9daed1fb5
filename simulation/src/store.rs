//! A store that keeps every moment, and whose calls can be held and failed.
//!
//! The test kit's [`State`] is one moment, beside the [`documents`] of the collections. [`access`] is how gateways reach
//! it, [`committing`] what their commits do, [`importing`] how their importers do, and [`models`] which models they serve. [`foreign`] is what other services do
//! to it, [`tail`] what gateways hear of commits, and [`mod@file`] an optional file beneath.

mod access;
mod committing;
pub(crate) mod documents;
mod file;
mod foreign;
mod importing;
mod marks;
mod models;
mod tail;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate::store::DecideFn;
use tidegate_core::{
    entry::FeedItem,
    generation::Generation,
    id::{DocumentKey, Epoch, TypeName},
    model::Model,
    push::PushAnswer,
    transaction::{ForeignState, Reads},
    value::Document,
};
use tidegate_testkit::{Random, store::State};
use tokio::{sync::oneshot, time::Instant};

pub(crate) use self::access::Access;
use self::{documents::Documents, file::File, foreign::Collections, tail::Tail};
use crate::{
    oracle::Judged,
    people::{self, Edition},
};

/// The store behind all gateways.
pub(crate) struct SimStore(Mutex<Inner>);

struct Inner {
    /// The states after each commit. The last is the present one.
    moments: Vec<Moment>,
    /// The conflict rule of tasks in all models of the history.
    rule: &'static str,
    /// Counts down with each call of a gateway; at zero that call is held.
    holds: Vec<u8>,
    /// The same for calls of importers.
    importer_holds: Vec<u8>,
    /// Every call of an importer is held.
    importers_stand: bool,
    held: Vec<Held>,
    collections: Collections,
    tails: Vec<Tail>,
    /// The generations of the gateways.
    serving: Vec<Generation>,
    /// Also those of their earlier lives, by their models: what they began may go on.
    served: BTreeMap<(usize, Edition), Generation>,
    /// Those of gateways that have ended, and when.
    ended: Vec<(Generation, Instant)>,
    /// A model that took the lead beside a later one, and that one.
    led_beside: Option<(Generation, Generation)>,
    /// The next decision is first made on an older moment, like a transaction that has to run again.
    runs_twice: bool,
    random: Random,
    broken: Option<StoreFault>,
    /// Where the gateways' reads and writes go, if not to the moments alone.
    file: Option<File>,
}

/// A way in which the store itself breaks its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// 2.2: a page reads its records in another snapshot than heads and floors.
    TwoSnapshots,
    /// 2.2: floors are read before everything else.
    FloorReadFirst,
    /// 6.3: a gateway reports its own commits before changed grants that they saw.
    GrantsOvertaken,
    /// 9.4: an importer leaves out the commits of all gateways, also of those with another model.
    OthersUnheard,
}

/// The state after a commit, and what that commit wrote.
pub(crate) struct Moment {
    /// Others' writes in it are read by the model in force.
    pub(crate) state: Arc<State>,
    /// The collections.
    pub(crate) documents: Arc<Documents>,
    pub(crate) written: Vec<FeedItem>,
    /// The answers to the pushes of that commit.
    pub(crate) answers: Vec<PushAnswer>,
    /// The gateway that committed, if one did, and its model.
    pub(crate) by: Option<Committer>,
    /// The gateway that has the importer's lease.
    pub(crate) importer: Option<usize>,
    /// Types whose collection was dropped. Nobody has made it again, or said that its documents are deleted.
    pub(crate) lost: BTreeSet<TypeName>,
}

/// A gateway that commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) gateway: usize,
    pub(crate) edition: Edition,
}

impl Moment {
    /// The model in force.
    pub(crate) fn lead(&self) -> Edition {
        models::lead(&self.state)
    }

    /// The document as its collection has it.
    pub(crate) fn document(&self, key: &DocumentKey) -> Option<&Document> {
        self.documents.get(key)
    }

    /// What others wrote, as a gateway with this model reads it.
    pub(crate) fn foreign(&self, model: &Model) -> BTreeMap<DocumentKey, ForeignState> {
        documents::differences(model, &self.documents, &self.state)
    }
}

/// All that a backup has beside a file.
pub(crate) struct Backup {
    pub(crate) state: Arc<State>,
    documents: Arc<Documents>,
    collections: Collections,
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

impl SimStore {
    pub(crate) fn new(
        gateways: usize,
        seed: u64,
        rule: &'static str,
        broken: Option<StoreFault>,
        on_file: bool,
    ) -> Arc<Self> {
        let collections = Collections::new();
        let first = Moment {
            state: Arc::new(State::new(epoch(1))),
            documents: Arc::default(),
            written: Vec::new(),
            answers: Vec::new(),
            by: None,
            importer: None,
            lost: BTreeSet::new(),
        };
        Arc::new(Self(Mutex::new(Inner {
            moments: vec![first],
            rule,
            holds: Vec::new(),
            importer_holds: Vec::new(),
            importers_stand: false,
            held: Vec::new(),
            collections,
            tails: (0..gateways).map(|_| Tail::default()).collect(),
            serving: vec![Generation::default(); gateways],
            served: BTreeMap::new(),
            ended: Vec::new(),
            led_beside: None,
            runs_twice: false,
            random: Random::new(seed),
            broken,
            file: on_file.then(|| File::new(&people::model(Edition::A, rule))),
        })))
    }

    /// The number of the present moment.
    pub(crate) fn moment(&self) -> usize {
        self.lock().moments.len() - 1
    }

    pub(crate) fn now(&self) -> Arc<State> {
        self.lock().now()
    }

    /// The document as its collection has it.
    pub(crate) fn document(&self, key: &DocumentKey) -> Option<Document> {
        self.lock().last().document(key).cloned()
    }

    /// Looks at all moments.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Moment]) -> T) -> T {
        look(&self.lock().moments)
    }

    /// The call after `calls` others is held.
    pub(crate) fn hold_after(&self, calls: u8) {
        self.lock().holds.push(calls);
    }

    /// The importers' call after `calls` others is held.
    pub(crate) fn hold_importer_after(&self, calls: u8) {
        self.lock().importer_holds.push(calls);
    }

    /// All importers' calls are held from now on.
    pub(crate) fn stop_importers(&self) {
        self.lock().importers_stand = true;
    }

    /// The gateway whose call was held last.
    pub(crate) fn last_held(&self) -> Option<usize> {
        self.lock().held.last().map(|held| held.gateway)
    }

    /// Lets one held call continue, or fail.
    pub(crate) fn release(&self, nth: usize, fails: bool) {
        let mut inner = self.lock();
        if inner.held.is_empty() {
            return;
        }
        let nth = nth % inner.held.len();
        let held = inner.held.swap_remove(nth);
        let passage = if fails { Passage::Fails } else { Passage::Free };
        // The caller may have given up.
        let _ = held.resume.send(passage);
    }

    /// Releases all held calls.
    pub(crate) fn release_all(&self) {
        let mut inner = self.lock();
        inner.holds.clear();
        inner.importer_holds.clear();
        inner.importers_stand = false;
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

    /// From now on a gateway hears nothing.
    pub(crate) fn lag(&self, gateway: usize) {
        self.lock().tails[gateway].lags = true;
    }

    /// A gateway hears some of what it missed, or all and what comes.
    pub(crate) fn catch_up(&self, gateway: usize, events: Option<usize>) {
        let mut inner = self.lock();
        let tail = &mut inner.tails[gateway];
        tail.lags = events.is_some();
        tail.tell(events.unwrap_or(usize::MAX));
    }

    /// A gateway's tail breaks off and begins again: what it missed is lost to it.
    pub(crate) fn restart_tail(&self, gateway: usize) {
        self.lock().tails[gateway].restart();
    }

    /// A commit of an operator, which is never held.
    pub(crate) fn commit_now(&self, reads: &Reads, decide: Arc<DecideFn>) {
        let committed = self.lock().commit(reads, &decide, None);
        committed.expect("an operator's decision can be stored");
    }

    /// Backs up the present state.
    pub(crate) fn back_up(&self) -> Backup {
        let mut inner = self.lock();
        if let Some(file) = &mut inner.file {
            file.back_up();
        }
        Backup {
            state: inner.now(),
            documents: inner.documents(),
            collections: inner.collections.clone(),
        }
    }

    /// Checks that the file, if there is one, holds the last moment.
    pub(crate) fn judge_file(&self) -> Judged {
        let inner = self.lock();
        let file = inner.file.as_ref();
        file.map_or(Ok(()), |file| file.compare(&inner.now()))
    }

    /// Puts back an older state, under another epoch, while the gateways are stopped.
    pub(crate) fn restore(&self, backup: Backup, name: Epoch) {
        let mut inner = self.lock();
        let mut state = State::clone(&backup.state);
        state.epoch = name.clone();
        if let Some(file) = &mut inner.file {
            file.restore(name);
        }
        inner.restore_collections(backup.collections);
        inner.add_moment(state, backup.documents);
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
    fn last(&self) -> &Moment {
        self.moments.last().expect("there is a first moment")
    }

    fn now(&self) -> Arc<State> {
        Arc::clone(&self.last().state)
    }

    fn documents(&self) -> Arc<Documents> {
        Arc::clone(&self.last().documents)
    }

    /// The model of gateways of this edition.
    fn model(&self, edition: Edition) -> Arc<Model> {
        people::model(edition, self.rule)
    }

    /// The state of a moment as a gateway reads it, or an operator with the model in force.
    fn read_by(&self, by: Option<Committer>, moment: &Moment) -> State {
        let mut state = State::clone(&moment.state);
        let lead = state.models.state.lead;
        state.serving = by.map_or(lead, |by| self.generation(by.gateway, by.edition));
        if let Some(by) = by.filter(|by| by.edition != moment.lead()) {
            state.foreign = moment.foreign(&self.model(by.edition));
        }
        let edition = by.map_or(moment.lead(), |by| by.edition);
        state.origins = marks::marks_of(&self.model(edition), &moment.documents);
        state
    }

    /// A moment without writes.
    fn moment_of(&self, mut state: State, documents: Arc<Documents>) -> Moment {
        state.held = self.collections.held();
        let lead = self.model(models::lead(&state));
        state.foreign = documents::differences(&lead, &documents, &state);
        Moment {
            state: Arc::new(state),
            documents,
            written: Vec::new(),
            answers: Vec::new(),
            by: None,
            importer: self.collections.holder(),
            lost: self.collections.lost.clone(),
        }
    }
}

/// Results on this store hold for the others, because it passes the same contract.
#[cfg(test)]
mod tests {
    use tidegate::store::Store;

    use super::*;
    use crate::contract::{Backend, contract};

    struct Maps(Arc<SimStore>);

    impl Backend for Maps {
        async fn start() -> Self {
            Self(SimStore::new(1, 1, people::RULES[0], None, false))
        }

        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(Access {
                store: Arc::clone(&self.0),
                gateway: 0,
                edition: Edition::A,
                may_fail: false,
                imports: false,
            })
        }
    }

    contract!(Maps);
}
