//! Groups: the requests of one transaction. A group is carried out whole if possible, and otherwise its first requests.
//!
//! The store retries transient failures. This module handles what a smaller group can improve: refusals by the
//! database, and conflicts.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tidegate_core::{
    id::{DocumentKey, Scope},
    model::Model,
    push::{self, CommitRequest, PushAnswer},
    transaction::{DatabaseRefusal, Loaded, Reads},
};
use tokio::time::{Instant, sleep};

use super::{LastCommit, QueuedWork};
use crate::{
    metrics::{Metrics, seconds},
    store::{Committed, Store, StoreError, WriteConflict},
    sync::{Clock, SyncError},
};

/// Carries out groups.
pub(in crate::sync) struct GroupCommitter {
    pub(in crate::sync) model: Arc<Model>,
    pub(in crate::sync) store: Arc<dyn Store>,
    pub(in crate::sync) clock: Clock,
    pub(in crate::sync) metrics: Arc<Metrics>,
    pub(in crate::sync) last: Arc<LastCommit>,
}

/// The most requests that the line about a failed transaction names.
const NAMED_MAX: usize = 16;

/// The result of a group.
#[derive(Default)]
pub(super) struct GroupResult {
    pub(super) end: GroupEnd,
    /// Nothing was decided about these. They wait again, in their places.
    pub(super) left: Vec<QueuedWork>,
}

#[derive(Default)]
pub(super) enum GroupEnd {
    Committed(Box<Committed>),
    /// Another transaction wrote the same data, and nothing of this one was written.
    WriteConflict(WriteConflict),
    /// The store failed, or all senders have gone.
    #[default]
    Failed,
}

/// Requests for one transaction, and what the database refused of earlier attempts.
struct CommitGroup {
    work: Vec<QueuedWork>,
    refusals: Vec<DatabaseRefusal>,
}

impl GroupCommitter {
    /// Carries out a group, which is likely to write to these scopes, or its first requests if it does not succeed as a
    /// whole. Without a conflict at least one request is answered. The rest is left, so that newcomers with an earlier
    /// turn come before it.
    pub(super) async fn run(&self, work: Vec<QueuedWork>, scopes: &BTreeSet<Scope>) -> GroupResult {
        let (mut group, mut left) = (CommitGroup::new(work), Vec::new());
        let end = loop {
            group.work.retain(|work| !work.answer.is_closed());
            if group.work.is_empty() {
                break GroupEnd::Failed;
            }
            match self.commit(&group, scopes).await {
                Ok(mut committed) => {
                    let answers = std::mem::take(&mut committed.writes.answers);
                    left.extend(group.answer(answers));
                    break GroupEnd::Committed(Box::new(committed));
                }
                // The queue would not keep what the database refuses.
                Err(StoreError::WriteConflict(conflict)) if !group.refusals.is_empty() => {
                    sleep(conflict.backoff).await;
                }
                Err(StoreError::WriteConflict(conflict)) => {
                    left.extend(group.collided());
                    break GroupEnd::WriteConflict(conflict);
                }
                Err(error) => match group.retry_smaller(&error) {
                    Ok((first, rest)) => {
                        group = first;
                        left.extend(rest);
                    }
                    Err(group) => {
                        group.fail(&error);
                        break GroupEnd::Failed;
                    }
                },
            }
        };
        GroupResult { end, left }
    }

    async fn commit(
        &self,
        group: &CommitGroup,
        scopes: &BTreeSet<Scope>,
    ) -> Result<Committed, StoreError> {
        let requests = group.work.iter().map(|work| work.request.clone());
        let requests: Vec<CommitRequest> = requests.collect();
        let reads = Reads {
            scopes: scopes.clone(),
            ..push::reads(&self.model, &requests)
        };
        let (model, now, refusals) = (self.model.clone(), (self.clock)(), group.refusals.clone());
        let decide = move |loaded: &Loaded| push::decide(&model, now, &requests, &refusals, loaded);
        let begun = Instant::now();
        let committed = self.store.commit(reads, Arc::new(decide)).await;
        self.measure(&committed, begun);
        committed
    }

    fn measure(&self, committed: &Result<Committed, StoreError>, begun: Instant) {
        let result = match committed {
            Ok(_) => {
                self.last.note(true);
                "committed"
            }
            Err(StoreError::WriteConflict(_)) => {
                self.metrics.write_conflicts.inc();
                "conflict"
            }
            Err(error) => {
                if is_of_the_store(error) {
                    self.last.note(false);
                }
                "failed"
            }
        };
        let time = self.metrics.commit_seconds.of([result.into()]);
        time.observe(seconds(begun.elapsed()));
    }
}

/// Whether the store could not write, whatever the requests ask for.
fn is_of_the_store(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(_) | StoreError::NotWritable(_) | StoreError::NotPermitted(_)
    )
}

impl CommitGroup {
    fn new(work: Vec<QueuedWork>) -> Self {
        Self {
            work,
            refusals: Vec::new(),
        }
    }

    /// Answers the attempted requests, and returns the others. A sender that no longer waits sends the same mutation
    /// ids again.
    fn answer(self, answers: Vec<PushAnswer>) -> Vec<QueuedWork> {
        let mut work = self.work.into_iter();
        let answered = work.by_ref().take(answers.len());
        for (work, answer) in answered.zip(answers) {
            drop(work.answer.send(Ok(answer)));
        }
        work.collect()
    }

    /// The requests, each with one more write conflict.
    fn collided(mut self) -> Vec<QueuedWork> {
        self.work.iter_mut().for_each(|work| work.conflicts += 1);
        self.work
    }

    /// The group to try instead, if a smaller one may succeed, and the requests that it leaves. Nothing was written.
    fn retry_smaller(self, error: &StoreError) -> Result<(Self, Vec<QueuedWork>), Self> {
        let requests = self.work.len();
        match error {
            StoreError::Refused(refusals) if requests > 1 => {
                let accepted = self.before(refusals);
                Ok(self.split(accepted))
            }
            StoreError::Refused(refusals) => self
                .retry_with_refusal(refusals)
                .map(|group| (group, Vec::new())),
            StoreError::DecisionFailed(_)
            | StoreError::Corrupt(_)
            | StoreError::NotPermitted(_)
            | StoreError::ValueTaken
                if requests > 1 =>
            {
                Ok(self.split(requests / 2))
            }
            _ => Err(self),
        }
    }

    /// The first so many requests, at least one, and the rest.
    fn split(mut self, requests: usize) -> (Self, Vec<QueuedWork>) {
        let rest = self.work.split_off(requests.max(1));
        (Self::new(self.work), rest)
    }

    /// How many requests come before the first one that touches a refused document. That one runs alone.
    fn before(&self, refusals: &[DatabaseRefusal]) -> usize {
        let refused: HashSet<&DocumentKey> = refusals.iter().map(|refusal| &refusal.key).collect();
        let names = |work: &QueuedWork| work.request.keys().any(|key| refused.contains(key));
        self.work.iter().position(names).unwrap_or(0)
    }

    /// Tries a single request again with one of its changes blamed. It ends at the latest when all are blamed.
    fn retry_with_refusal(mut self, refusals: &[DatabaseRefusal]) -> Result<Self, Self> {
        let changes: usize = self.work.iter().map(|work| work.request.changes()).sum();
        if self.refusals.len() >= changes {
            return Err(self);
        }
        self.refusals.extend_from_slice(refusals);
        Ok(self)
    }

    fn fail(self, error: &StoreError) {
        let named = self.work.iter().take(NAMED_MAX);
        let named = named.filter_map(|work| Some(work.record.as_ref()?.request()));
        tracing::error!(
            %error,
            requests = self.work.len(),
            of = named.collect::<Vec<_>>().join(" "),
            "a transaction failed"
        );
        let error = SyncError::of_logged(error);
        for work in self.work {
            drop(work.answer.send(Err(error.clone())));
        }
    }
}
