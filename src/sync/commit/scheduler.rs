//! Which waiting requests share a transaction, and which transactions run at the same time: those with disjoint write
//! sets.
//!
//! The [`GroupCommitter`] carries a group out. [`Pacing`] says when one may begin.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::{
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use super::{
    QueuedWork, WAITING_MAX,
    group::{GroupCommitter, GroupEnd, GroupResult},
    halved,
    pacing::{Pacing, ScopeHeads},
    shares::QueuePosition,
    write_set::{WriteSet, WriteSetPredictor},
};
use crate::sync::import::PushCounter;

/// A transaction takes no further requests once it has this number of changes.
const GROUP_CHANGES: usize = 1_000;

/// The waiting requests and the running groups.
pub(super) struct CommitScheduler {
    committer: Arc<GroupCommitter>,
    predictor: WriteSetPredictor,
    waiting: BTreeMap<QueuePosition, (WriteSet, QueuedWork)>,
    running: JoinSet<GroupResult>,
    /// The running groups, by their tasks.
    groups: HashMap<Id, RunningGroup>,
    pacing: Pacing,
    /// Counts the groups, for an importer that makes room for them.
    counter: Arc<PushCounter>,
}

/// A running group.
struct RunningGroup {
    write_set: WriteSet,
    requests: usize,
    since: Instant,
    /// Whether an earlier attempt at one of its requests had a write conflict.
    had_conflicts: bool,
}

impl CommitScheduler {
    pub(super) fn new(
        committer: GroupCommitter,
        heads: Arc<ScopeHeads>,
        counter: Arc<PushCounter>,
    ) -> Self {
        Self {
            committer: Arc::new(committer),
            predictor: WriteSetPredictor::new(),
            waiting: BTreeMap::new(),
            running: JoinSet::new(),
            groups: HashMap::new(),
            pacing: Pacing::new(heads),
            counter,
        }
    }

    /// Works until all senders are gone.
    pub(super) async fn run(mut self, mut arriving: mpsc::Receiver<QueuedWork>) {
        loop {
            let mut may_begin = tokio::select! {
                work = arriving.recv(), if self.waiting.len() < WAITING_MAX => match work {
                    Some(work) => self.enqueue_arrived(work, &mut arriving),
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => {
                    self.ended(ended);
                    true
                }
                () = self.pacing.changed() => false,
            };
            may_begin |= self.pacing.end(self.waiting.len());
            let commits_max = self.committer.store.commits_max();
            while may_begin
                && !self.pacing.is_window_open()
                && self.running.len() < commits_max
                && self.begin_group()
            {}
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Takes in a request, and all others that have arrived by now, since they may share its transaction. Returns
    /// whether a group with one of them may begin. No group of the requests before them could.
    fn enqueue_arrived(
        &mut self,
        work: QueuedWork,
        arriving: &mut mpsc::Receiver<QueuedWork>,
    ) -> bool {
        let (mut next, mut may_begin) = (Some(work), false);
        while let Some(work) = next {
            may_begin |= self.enqueue(work);
            let has_room = self.waiting.len() < WAITING_MAX;
            next = has_room.then(|| arriving.try_recv().ok()).flatten();
        }
        may_begin
    }

    /// Puts a request in its place. Returns whether a group with it may begin.
    fn enqueue(&mut self, work: QueuedWork) -> bool {
        let write_set = self.write_set(&work);
        let is_free = !self.has_to_wait(&write_set);
        self.waiting.insert(work.permit.position, (write_set, work));
        is_free
    }

    /// If only one group can run, there is nothing to keep apart.
    fn write_set(&mut self, work: &QueuedWork) -> WriteSet {
        let committer = &self.committer;
        if committer.store.commits_max() > 1 {
            self.predictor.predict(&committer.model, &work.request)
        } else {
            WriteSet::anything()
        }
    }

    /// Starts the next group, if there is one that may run now.
    fn begin_group(&mut self) -> bool {
        let group = self.next_group();
        if group.is_empty() {
            return false;
        }
        let mut write_set = WriteSet::default();
        for (of_work, _) in &group {
            write_set.extend(of_work);
        }
        let work: Vec<QueuedWork> = group.into_iter().map(|(_, work)| work).collect();
        let group = RunningGroup {
            requests: work.len(),
            since: Instant::now(),
            had_conflicts: work.iter().any(|work| work.conflicts > 0),
            write_set,
        };
        self.counter.count();
        let committer = Arc::clone(&self.committer);
        let scopes = group.write_set.scopes();
        let running = async move { committer.run(work, &scopes).await };
        self.groups.insert(self.running.spawn(running).id(), group);
        true
    }

    /// The requests that need not wait, in the order of their places, up to the bound. A request also waits for those
    /// before it that have to wait; otherwise many small requests would always overtake one that writes much. Requests
    /// whose senders have gone are left out: after a long wait the senders have sent the same again.
    fn next_group(&mut self) -> Vec<(WriteSet, QueuedWork)> {
        let (mut group, mut changes) = (Vec::new(), 0);
        let mut passed_over = WriteSet::default();
        for (place, (write_set, work)) in std::mem::take(&mut self.waiting) {
            if work.answer.is_closed() {
                continue;
            }
            if changes >= GROUP_CHANGES {
                self.waiting.insert(place, (write_set, work));
            } else if passed_over.overlaps(&write_set) || self.has_to_wait(&write_set) {
                passed_over.extend(&write_set);
                self.waiting.insert(place, (write_set, work));
            } else {
                changes += work.request.changes();
                group.push((write_set, work));
            }
        }
        let conflicts = group.iter().map(|(_, work)| work.conflicts).max();
        let attempted = halved(group.len(), conflicts.unwrap_or_default());
        for (write_set, mut work) in group.split_off(attempted.min(group.len())) {
            work.conflicts = 0;
            self.waiting.insert(work.permit.position, (write_set, work));
        }
        group
    }

    /// Whether a running group has an overlapping write set, or the write set is paused.
    fn has_to_wait(&self, write_set: &WriteSet) -> bool {
        let mut groups = self.groups.values();
        let is_busy = groups.any(|running| running.write_set.overlaps(write_set));
        is_busy || self.pacing.is_paused(write_set)
    }

    fn ended(&mut self, ended: Result<(Id, GroupResult), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => {
                let panicked = error.is_panic();
                tracing::error!(panicked, "a group of requests was not carried out");
                (error.id(), GroupResult::default())
            }
        };
        let Some(group) = self.groups.remove(&id) else {
            return;
        };
        let (answered, took) = (group.requests - result.left.len(), group.since.elapsed());
        for work in result.left {
            self.enqueue(work);
        }
        self.pacing.open_window(answered, self.waiting.len(), took);
        match result.end {
            GroupEnd::Committed(committed) => {
                self.predictor.observe(&committed.writes.entries);
                self.pacing.committed(&committed, group.had_conflicts, took);
            }
            GroupEnd::WriteConflict(conflict) => self.pacing.back_off(group.write_set, conflict),
            GroupEnd::Failed => {}
        }
    }
}
