//! Carrying out a group: whole where that goes, its first pushes where transactions collide or one push spoils it.
//!
//! The store repeats what passes by itself; here is only what a different group would make better.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tidegate_core::{
    entry::Entry,
    id::{DocumentKey, Scope},
    model::Model,
    push::{self, PushRequest},
    transaction::{Loaded, Reads, Refusal, Writes},
};

use super::{Clock, Waiting};
use crate::{
    store::{Store, StoreError},
    sync::SyncError,
};

/// What carrying out a group takes.
pub(super) struct Committer {
    pub(super) model: Arc<Model>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
}

/// What became of a group.
pub(super) struct Carried {
    pub(super) written: Vec<Arc<Entry>>,
    /// Nothing was decided about these. They wait again, in their places.
    pub(super) left: Vec<Waiting>,
}

/// Pushes for one transaction, and what the database said to earlier attempts at them.
struct Part {
    pushes: Vec<Waiting>,
    refusals: Vec<Refusal>,
}

impl Committer {
    /// Carries out a group, which is likely to write to these scopes, or its first pushes where it does not go as a whole.
    /// At least one push is answered. The rest is left, so that newcomers whose turn is earlier come before it.
    pub(super) async fn run(&self, group: Vec<Waiting>, scopes: &BTreeSet<Scope>) -> Carried {
        let (mut part, mut left) = (Part::new(group), Vec::new());
        let mut written = Vec::new();
        loop {
            part.pushes.retain(|push| !push.answer.is_closed());
            if part.pushes.is_empty() {
                break;
            }
            match self.commit(&part, scopes).await {
                Ok(writes) => {
                    written.extend(writes.entries.iter().cloned());
                    left.extend(part.answer(writes));
                    break;
                }
                Err(error) => match part.divide(&error) {
                    Ok((first, rest)) => {
                        part = first;
                        left.extend(rest);
                    }
                    Err(part) => {
                        part.fail(&error);
                        break;
                    }
                },
            }
        }
        Carried { written, left }
    }

    async fn commit(&self, part: &Part, scopes: &BTreeSet<Scope>) -> Result<Writes, StoreError> {
        let requests = part.pushes.iter().map(|push| Arc::clone(&push.request));
        let requests: Vec<Arc<PushRequest>> = requests.collect();
        let reads = Reads {
            scopes: scopes.clone(),
            ..push::reads(&self.model, &requests)
        };
        let (model, now, refusals) = (self.model.clone(), (self.clock)(), part.refusals.clone());
        let decide = move |loaded: &Loaded| {
            let attempted = &requests[..attempted(requests.len(), loaded.conflicts)];
            push::decide(&model, now, attempted, &refusals, loaded)
        };
        self.store.commit(reads, Arc::new(decide)).await
    }
}

/// After two conflicts a group is halved, and again after each two more: what it touches is smaller then, and its
/// transaction shorter.
fn attempted(pushes: usize, conflicts: u32) -> usize {
    let halved = pushes.checked_shr(conflicts / 2).unwrap_or(0);
    halved.max(1)
}

impl Part {
    fn new(pushes: Vec<Waiting>) -> Self {
        Self {
            pushes,
            refusals: Vec::new(),
        }
    }

    /// Answers the pushes that were attempted; those that were not are left. Whoever no longer waits has gone away, and
    /// asks again with the same mutation ids.
    fn answer(self, writes: Writes) -> Vec<Waiting> {
        let mut pushes = self.pushes.into_iter();
        for (push, answer) in pushes
            .by_ref()
            .take(writes.answers.len())
            .zip(writes.answers)
        {
            drop(push.answer.send(Ok(answer)));
        }
        pushes.collect()
    }

    /// What is to be tried instead, where something may be better than failing, and what is left then. Nothing was written.
    fn divide(self, error: &StoreError) -> Result<(Self, Vec<Waiting>), Self> {
        let pushes = self.pushes.len();
        match error {
            StoreError::Refused(refusals) if pushes > 1 => {
                let accepted = self.before(refusals);
                Ok(self.split_at(accepted))
            }
            StoreError::Refused(refusals) => self.blaming(refusals).map(|part| (part, Vec::new())),
            StoreError::Undecided(_) | StoreError::Corrupt(_) | StoreError::NotPermitted(_)
                if pushes > 1 =>
            {
                Ok(self.split_at(pushes / 2))
            }
            _ => Err(self),
        }
    }

    /// The first so many pushes, at least one, and the others.
    fn split_at(mut self, pushes: usize) -> (Self, Vec<Waiting>) {
        let rest = self.pushes.split_off(pushes.max(1));
        (Self::new(self.pushes), rest)
    }

    /// How many pushes come before the first one that has to do with a refused document. That one runs alone.
    fn before(&self, refusals: &[Refusal]) -> usize {
        let refused: HashSet<&DocumentKey> = refusals.iter().map(|refusal| &refusal.key).collect();
        let names = |push: &Waiting| {
            let mut changes = push.request.push.changes.iter();
            changes.any(|item| {
                let change = item.change.as_ref();
                change.is_ok_and(|change| refused.contains(&change.key))
            })
        };
        self.pushes.iter().position(names).unwrap_or(0)
    }

    /// A push alone is tried again with the blame put on one of its changes; it has to end when all are blamed.
    fn blaming(mut self, refusals: &[Refusal]) -> Result<Self, Self> {
        let changes: usize = self
            .pushes
            .iter()
            .map(|push| push.request.push.changes.len())
            .sum();
        if self.refusals.len() >= changes {
            return Err(self);
        }
        self.refusals.extend_from_slice(refusals);
        Ok(self)
    }

    fn fail(self, error: &StoreError) {
        tracing::error!(%error, pushes = self.pushes.len(), "a transaction failed");
        let error = SyncError::of_logged(error);
        for push in self.pushes {
            drop(push.answer.send(Err(error.clone())));
        }
    }
}
