//! Which waiting requests share a transaction, and which transactions run at a time: those whose write sets have nothing
//! in common.
//!
//! How a group is carried out is the [`GroupCommitter`]'s.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::{
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
    time::{Duration, Instant, sleep_until},
};

use super::{
    QueuedWork, WAITING_MAX,
    group::{GroupCommitter, GroupResult},
    shares::Place,
    write_set::{WriteSet, WriteSetPredictor},
};

/// A transaction takes no further requests once it carries so many changes.
const GROUP_CHANGES: usize = 1_000;

/// A group waits no longer than this for the senders that were answered just now.
const GROUP_WINDOW_MAX: Duration = Duration::from_millis(5);

/// The requests that wait and the groups that run.
pub(super) struct CommitScheduler {
    committer: Arc<GroupCommitter>,
    predictor: WriteSetPredictor,
    waiting: BTreeMap<Place, (WriteSet, QueuedWork)>,
    running: JoinSet<GroupResult>,
    /// The running groups, by their tasks.
    groups: HashMap<Id, RunningGroup>,
    window: Option<GroupWindow>,
}

/// A group that runs.
struct RunningGroup {
    write_set: WriteSet,
    requests: usize,
    since: Instant,
}

/// Many were answered just now and few wait: those who were answered may send again at once. Without them the few would run
/// alone, the many after them, and so on by turns, though a transaction of one takes nearly as long as one of all.
struct GroupWindow {
    /// So many requests close it,
    requests: usize,
    /// or the time.
    until: Instant,
}

impl CommitScheduler {
    pub(super) fn new(committer: Arc<GroupCommitter>) -> Self {
        Self {
            committer,
            predictor: WriteSetPredictor::new(),
            waiting: BTreeMap::new(),
            running: JoinSet::new(),
            groups: HashMap::new(),
            window: None,
        }
    }

    /// Works until nobody can send any more.
    pub(super) async fn run(mut self, mut arriving: mpsc::Receiver<QueuedWork>) {
        loop {
            let until = self.window.as_ref().map(|window| window.until);
            let mut may_begin = tokio::select! {
                work = arriving.recv(), if self.waiting.len() < WAITING_MAX => match work {
                    Some(work) => self.enqueue_arrived(work, &mut arriving),
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => {
                    self.ended(ended);
                    true
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.window = None;
                    true
                }
            };
            match &self.window {
                Some(window) if self.waiting.len() < window.requests => continue,
                Some(_) => may_begin = true,
                None => {}
            }
            self.window = None;
            let commits_max = self.committer.store.commits_max();
            while may_begin && self.running.len() < commits_max && self.begin_group() {}
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Takes in a request, and with it all that have arrived by now: they may share its transaction. Returns whether one of
    /// them overlaps no running group, so that a group may begin: of those before them none could.
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

    /// Puts a request in its place. Returns whether it overlaps no running group.
    fn enqueue(&mut self, work: QueuedWork) -> bool {
        let write_set = self.write_set(&work);
        let is_free = !self.is_busy(&write_set);
        self.waiting.insert(work.room.place, (write_set, work));
        is_free
    }

    /// Where only one group can run there is nothing to keep apart.
    fn write_set(&mut self, work: &QueuedWork) -> WriteSet {
        let committer = &self.committer;
        if committer.store.commits_max() > 1 {
            self.predictor.predict(&committer.model, &work.request)
        } else {
            WriteSet::default()
        }
    }

    /// Starts the next group, if there is one that may run now.
    fn begin_group(&mut self) -> bool {
        let (write_set, group) = self.next_group();
        if group.is_empty() {
            return false;
        }
        let (requests, since) = (group.len(), Instant::now());
        let committer = Arc::clone(&self.committer);
        let scopes = write_set.scopes();
        let task = self
            .running
            .spawn(async move { committer.run(group, &scopes).await });
        let running = RunningGroup {
            write_set,
            requests,
            since,
        };
        self.groups.insert(task.id(), running);
        true
    }

    /// The requests that overlap no running group, in the order of their places, up to the bound. A request also waits for
    /// those before it that have to wait, or many small ones would for ever overtake one that writes much. Requests whose
    /// senders have gone are left out: after a long wait the senders have sent the same again.
    fn next_group(&mut self) -> (WriteSet, Vec<QueuedWork>) {
        let (mut group, mut written, mut changes) = (Vec::new(), WriteSet::default(), 0);
        let mut passed_over = WriteSet::default();
        for (place, (write_set, work)) in std::mem::take(&mut self.waiting) {
            if work.answer.is_closed() {
                continue;
            }
            if changes >= GROUP_CHANGES {
                self.waiting.insert(place, (write_set, work));
            } else if passed_over.overlaps(&write_set) || self.is_busy(&write_set) {
                passed_over.extend(&write_set);
                self.waiting.insert(place, (write_set, work));
            } else {
                changes += work.request.changes();
                written.extend(&write_set);
                group.push(work);
            }
        }
        (written, group)
    }

    fn is_busy(&self, write_set: &WriteSet) -> bool {
        let mut groups = self.groups.values();
        groups.any(|running| running.write_set.overlaps(write_set))
    }

    fn ended(&mut self, ended: Result<(Id, GroupResult), JoinError>) {
        let (id, left) = match ended {
            Ok((id, result)) => {
                self.predictor.observe(&result.written);
                (id, result.left)
            }
            Err(error) => {
                let panicked = error.is_panic();
                tracing::error!(panicked, "a group of requests was not carried out");
                (error.id(), Vec::new())
            }
        };
        let group = self.groups.remove(&id);
        let answered = group.map(|group| (group.requests - left.len(), group.since));
        for work in left {
            self.enqueue(work);
        }
        if let Some((requests, since)) = answered {
            let (waiting, now) = (self.waiting.len(), Instant::now());
            self.window = group_window(waiting, requests, now - since).map(|wait| GroupWindow {
                requests,
                until: now + wait,
            });
        }
    }
}

/// How long to wait after a group that has ended, if at all: a quarter of the time it took, where it was more than twice as
/// many requests as wait now.
fn group_window(waiting: usize, ended: usize, took: Duration) -> Option<Duration> {
    let few = ended > 1 && 2 * waiting < ended;
    few.then(|| (took / 4).min(GROUP_WINDOW_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_wait_for_the_many_before_them_but_not_for_long() {
        let ms = Duration::from_millis;
        assert_eq!(group_window(1, 15, ms(12)), Some(ms(3)));
        assert_eq!(group_window(0, 2, ms(100)), Some(GROUP_WINDOW_MAX));
        assert_eq!(group_window(8, 15, ms(12)), None);
        assert_eq!(group_window(0, 1, ms(12)), None, "one client never waits");
    }
}
