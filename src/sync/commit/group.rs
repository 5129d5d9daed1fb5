//! Groups: the requests of one transaction. A group is carried out whole where that goes, and else its first requests.
//!
//! The store repeats by itself what passes by itself. Here is only what a smaller group would make better.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tidegate_core::{
    entry::Entry,
    id::{DocumentKey, Scope},
    model::Model,
    push::{self, CommitRequest},
    transaction::{Loaded, Reads, Refusal, Writes},
};

use super::QueuedWork;
use crate::{
    store::{Store, StoreError},
    sync::{Clock, SyncError},
};

/// What carrying out a group takes.
pub(super) struct GroupCommitter {
    pub(super) model: Arc<Model>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
}

/// What became of a group.
pub(super) struct GroupResult {
    pub(super) written: Vec<Arc<Entry>>,
    /// Nothing was decided about these. They wait again, in their places.
    pub(super) left: Vec<QueuedWork>,
}

/// Requests for one transaction, and what the database said to earlier attempts at them.
struct CommitGroup {
    work: Vec<QueuedWork>,
    refusals: Vec<Refusal>,
}

impl GroupCommitter {
    /// Carries out a group, which is likely to write to these scopes, or its first requests where it does not go as a
    /// whole. At least one request is answered. The rest is left, so that newcomers whose turn is earlier come before it.
    pub(super) async fn run(&self, work: Vec<QueuedWork>, scopes: &BTreeSet<Scope>) -> GroupResult {
        let (mut group, mut left) = (CommitGroup::new(work), Vec::new());
        let mut written = Vec::new();
        loop {
            group.work.retain(|work| !work.answer.is_closed());
            if group.work.is_empty() {
                break;
            }
            match self.commit(&group, scopes).await {
                Ok(writes) => {
                    written.extend(writes.entries.iter().cloned());
                    left.extend(group.answer(writes));
                    break;
                }
                Err(error) => match group.divide(&error) {
                    Ok((first, rest)) => {
                        group = first;
                        left.extend(rest);
                    }
                    Err(group) => {
                        group.fail(&error);
                        break;
                    }
                },
            }
        }
        GroupResult { written, left }
    }

    async fn commit(
        &self,
        group: &CommitGroup,
        scopes: &BTreeSet<Scope>,
    ) -> Result<Writes, StoreError> {
        let requests = group.work.iter().map(|work| work.request.clone());
        let requests: Vec<CommitRequest> = requests.collect();
        let reads = Reads {
            scopes: scopes.clone(),
            ..push::reads(&self.model, &requests)
        };
        let (model, now, refusals) = (self.model.clone(), (self.clock)(), group.refusals.clone());
        let decide = move |loaded: &Loaded| {
            let attempted = &requests[..halved(requests.len(), loaded.conflicts)];
            push::decide(&model, now, attempted, &refusals, loaded)
        };
        self.store.commit(reads, Arc::new(decide)).await
    }
}

/// After two conflicts a group is halved, and again after each two more: what it writes is less then, and its transaction
/// shorter.
fn halved(requests: usize, conflicts: u32) -> usize {
    let halved = requests.checked_shr(conflicts / 2).unwrap_or(0);
    halved.max(1)
}

impl CommitGroup {
    fn new(work: Vec<QueuedWork>) -> Self {
        Self {
            work,
            refusals: Vec::new(),
        }
    }

    /// Answers the requests that were attempted, and returns the others. A sender that no longer waits asks again with the
    /// same mutation ids.
    fn answer(self, writes: Writes) -> Vec<QueuedWork> {
        let mut work = self.work.into_iter();
        let answered = work.by_ref().take(writes.answers.len());
        for (work, answer) in answered.zip(writes.answers) {
            drop(work.answer.send(Ok(answer)));
        }
        work.collect()
    }

    /// What to try instead, where a smaller group may succeed, and what is left then. Nothing was written.
    fn divide(self, error: &StoreError) -> Result<(Self, Vec<QueuedWork>), Self> {
        let requests = self.work.len();
        match error {
            StoreError::Refused(refusals) if requests > 1 => {
                let accepted = self.before(refusals);
                Ok(self.split(accepted))
            }
            StoreError::Refused(refusals) => self
                .retry_with_refusal(refusals)
                .map(|group| (group, Vec::new())),
            StoreError::Undecided(_) | StoreError::Corrupt(_) | StoreError::NotPermitted(_)
                if requests > 1 =>
            {
                Ok(self.split(requests / 2))
            }
            _ => Err(self),
        }
    }

    /// The first so many requests, at least one, and the others.
    fn split(mut self, requests: usize) -> (Self, Vec<QueuedWork>) {
        let rest = self.work.split_off(requests.max(1));
        (Self::new(self.work), rest)
    }

    /// How many requests come before the first one that has to do with a refused document. That one runs alone.
    fn before(&self, refusals: &[Refusal]) -> usize {
        let refused: HashSet<&DocumentKey> = refusals.iter().map(|refusal| &refusal.key).collect();
        let names = |work: &QueuedWork| work.request.keys().any(|key| refused.contains(key));
        self.work.iter().position(names).unwrap_or(0)
    }

    /// A request alone is tried again with the blame put on one of its changes; it has to end when all are blamed.
    fn retry_with_refusal(mut self, refusals: &[Refusal]) -> Result<Self, Self> {
        let changes: usize = self.work.iter().map(|work| work.request.changes()).sum();
        if self.refusals.len() >= changes {
            return Err(self);
        }
        self.refusals.extend_from_slice(refusals);
        Ok(self)
    }

    fn fail(self, error: &StoreError) {
        tracing::error!(%error, requests = self.work.len(), "a transaction failed");
        let error = SyncError::of_logged(error);
        for work in self.work {
            drop(work.answer.send(Err(error.clone())));
        }
    }
}
