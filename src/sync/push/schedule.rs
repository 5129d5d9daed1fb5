//! Which waiting pushes share a transaction, and which transactions run at a time: those that touch nothing in common.
//!
//! How a group is carried out is the [`Committer`]'s.

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
    WAITING_MAX, Waiting,
    footprint::{Footprint, Foresight},
    group::{Carried, Committer},
    shares::Place,
};

/// A transaction is not joined by further pushes once it carries so many changes.
const GROUP_CHANGES: usize = 1_000;

/// A group waits no longer for those who were answered just now.
const COMPANY_MAX: Duration = Duration::from_millis(5);

/// The pushes that wait and the groups that run.
pub(super) struct Schedule {
    committer: Arc<Committer>,
    foresight: Foresight,
    waiting: BTreeMap<Place, (Footprint, Waiting)>,
    running: JoinSet<Carried>,
    /// What the running groups touch, by their tasks.
    busy: HashMap<Id, Running>,
    company: Option<Company>,
}

/// A group that runs.
struct Running {
    /// What it touches.
    footprint: Footprint,
    pushes: usize,
    since: Instant,
}

/// Many were answered just now and few wait: who was answered may push again at once. Without them the few would run alone,
/// the many after them, and so on by turns, though a transaction of one takes nearly as long as one of all.
struct Company {
    /// So many are waited for,
    pushes: usize,
    /// until then.
    until: Instant,
}

impl Schedule {
    pub(super) fn new(committer: Arc<Committer>) -> Self {
        Self {
            committer,
            foresight: Foresight::new(),
            waiting: BTreeMap::new(),
            running: JoinSet::new(),
            busy: HashMap::new(),
            company: None,
        }
    }

    /// Works until nobody can send any more.
    pub(super) async fn run(mut self, mut arriving: mpsc::Receiver<Waiting>) {
        loop {
            let until = self.company.as_ref().map(|company| company.until);
            let mut may_begin = tokio::select! {
                push = arriving.recv(), if self.waiting.len() < WAITING_MAX => match push {
                    Some(push) => self.take_in(push, &mut arriving),
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => {
                    self.ended(ended);
                    true
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.company = None;
                    true
                }
            };
            match &self.company {
                Some(company) if self.waiting.len() < company.pushes => continue,
                Some(_) => may_begin = true,
                None => {}
            }
            self.company = None;
            let commits_max = self.committer.store.commits_max();
            while may_begin && self.running.len() < commits_max && self.begin_group() {}
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Takes in a push, and with it all that have arrived by now: they may share its transaction. Whether one of them touches
    /// nothing busy, so that a group may begin: of those before them none could.
    fn take_in(&mut self, push: Waiting, arriving: &mut mpsc::Receiver<Waiting>) -> bool {
        let (mut next, mut may_begin) = (Some(push), false);
        while let Some(push) = next {
            may_begin |= self.wait(push);
            let has_room = self.waiting.len() < WAITING_MAX;
            next = has_room.then(|| arriving.try_recv().ok()).flatten();
        }
        may_begin
    }

    /// Puts a push in its place. Whether it touches nothing busy.
    fn wait(&mut self, push: Waiting) -> bool {
        let footprint = self.footprint(&push);
        let is_free = !self.is_busy(&footprint);
        self.waiting.insert(push.room.place, (footprint, push));
        is_free
    }

    /// Where only one group can run there is nothing to keep apart.
    fn footprint(&mut self, push: &Waiting) -> Footprint {
        let committer = &self.committer;
        if committer.store.commits_max() > 1 {
            self.foresight.footprint(&committer.model, &push.request)
        } else {
            Footprint::default()
        }
    }

    /// Starts the next group, if there is one that may run now.
    fn begin_group(&mut self) -> bool {
        let (footprint, group) = self.next_group();
        if group.is_empty() {
            return false;
        }
        let (pushes, since) = (group.len(), Instant::now());
        let committer = Arc::clone(&self.committer);
        let scopes = footprint.scopes();
        let task = self
            .running
            .spawn(async move { committer.run(group, &scopes).await });
        let running = Running {
            footprint,
            pushes,
            since,
        };
        self.busy.insert(task.id(), running);
        true
    }

    /// The pushes that touch nothing busy, in the order of their places, up to the bound. A push also waits for
    /// those before it that have to wait, or many small ones would for ever overtake one that touches much. Pushes
    /// that nobody waits for any more are left out, or a queue that was once too long would be worked off for clients
    /// that have long sent the same again.
    fn next_group(&mut self) -> (Footprint, Vec<Waiting>) {
        let (mut group, mut touched, mut changes) = (Vec::new(), Footprint::default(), 0);
        let mut passed_over = Footprint::default();
        for (place, (footprint, push)) in std::mem::take(&mut self.waiting) {
            if push.answer.is_closed() {
                continue;
            }
            if changes >= GROUP_CHANGES {
                self.waiting.insert(place, (footprint, push));
            } else if passed_over.meets(&footprint) || self.is_busy(&footprint) {
                passed_over.extend(&footprint);
                self.waiting.insert(place, (footprint, push));
            } else {
                changes += push.request.push.changes.len();
                touched.extend(&footprint);
                group.push(push);
            }
        }
        (touched, group)
    }

    fn is_busy(&self, footprint: &Footprint) -> bool {
        let mut busy = self.busy.values();
        busy.any(|running| running.footprint.meets(footprint))
    }

    fn ended(&mut self, ended: Result<(Id, Carried), JoinError>) {
        let (id, left) = match ended {
            Ok((id, carried)) => {
                self.foresight.learn(&carried.written);
                (id, carried.left)
            }
            Err(error) => {
                let panicked = error.is_panic();
                tracing::error!(panicked, "a group of pushes was not carried out");
                (error.id(), Vec::new())
            }
        };
        let group = self.busy.remove(&id);
        let answered = group.map(|group| (group.pushes - left.len(), group.since));
        for push in left {
            self.wait(push);
        }
        if let Some((pushes, since)) = answered {
            let (waiting, now) = (self.waiting.len(), Instant::now());
            self.company = company(waiting, pushes, now - since).map(|wait| Company {
                pushes,
                until: now + wait,
            });
        }
    }
}

/// How long to wait for a group that has ended, if at all: a quarter of the time it took, where it was more than twice as
/// many as wait now.
fn company(waiting: usize, ended: usize, took: Duration) -> Option<Duration> {
    let few = ended > 1 && 2 * waiting < ended;
    few.then(|| (took / 4).min(COMPANY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_wait_for_the_many_before_them_but_not_for_long() {
        let ms = Duration::from_millis;
        assert_eq!(company(1, 15, ms(12)), Some(ms(3)));
        assert_eq!(company(0, 2, ms(100)), Some(COMPANY_MAX));
        assert_eq!(company(8, 15, ms(12)), None);
        assert_eq!(company(0, 1, ms(12)), None, "one client never waits");
    }
}
