//! Carrying out a group: whole where that goes, divided where transactions collide or one push spoils it.
//!
//! The store repeats what passes by itself; here is only what a different group would make better.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
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
use crate::store::{Store, StoreError};

/// What carrying out a group takes.
pub(super) struct Committer {
    pub(super) model: Arc<Model>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
}

/// Pushes for one transaction, and what the database said to earlier attempts at them.
struct Part {
    pushes: Vec<Waiting>,
    refusals: Vec<Refusal>,
}

impl Committer {
    /// Carries out all of a group, which is likely to write to these scopes, and answers everybody; returns what it
    /// wrote.
    pub(super) async fn run(
        &self,
        group: Vec<Waiting>,
        scopes: &BTreeSet<Scope>,
    ) -> Vec<Arc<Entry>> {
        let mut written = Vec::new();
        let mut parts = VecDeque::from([Part::new(group)]);
        while let Some(mut part) = parts.pop_front() {
            part.pushes.retain(|push| !push.answer.is_closed());
            if part.pushes.is_empty() {
                continue;
            }
            match self.commit(&part, scopes).await {
                Ok(writes) => {
                    written.extend(writes.entries.iter().cloned());
                    let rest = part.answer(writes);
                    parts.extend(rest);
                }
                Err(error) => match part.divide(&error) {
                    Ok(smaller) => smaller.into_iter().rev().for_each(|p| parts.push_front(p)),
                    Err(part) => part.fail(&error),
                },
            }
        }
        written
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
    fn answer(self, writes: Writes) -> Option<Self> {
        let mut pushes = self.pushes.into_iter();
        for (push, answer) in pushes
            .by_ref()
            .take(writes.answers.len())
            .zip(writes.answers)
        {
            drop(push.answer.send(Ok(answer)));
        }
        let left: Vec<Waiting> = pushes.collect();
        (!left.is_empty()).then(|| Self::new(left))
    }

    /// What is to be tried instead, where something may be better than failing. Nothing was written then.
    fn divide(self, error: &StoreError) -> Result<Vec<Self>, Self> {
        match error {
            StoreError::Refused(refusals) if self.pushes.len() > 1 => Ok(self.without(refusals)),
            StoreError::Refused(refusals) => self.blaming(refusals).map(|part| vec![part]),
            StoreError::Undecided(_) | StoreError::Corrupt(_) | StoreError::NotPermitted(_)
                if self.pushes.len() > 1 =>
            {
                let alone = self.pushes.into_iter().map(|push| Self::new(vec![push]));
                Ok(alone.collect())
            }
            _ => Err(self),
        }
    }

    /// The pushes that have to do with a refused document leave the group, to run alone.
    fn without(self, refusals: &[Refusal]) -> Vec<Self> {
        let refused: HashSet<&DocumentKey> = refusals.iter().map(|refusal| &refusal.key).collect();
        let names = |push: &Waiting| {
            let mut changes = push.request.push.changes.iter();
            changes.any(|item| {
                let change = item.change.as_ref();
                change.is_ok_and(|change| refused.contains(&change.key))
            })
        };
        let (leaving, staying): (Vec<_>, Vec<_>) = self.pushes.into_iter().partition(names);
        let leaving = leaving.into_iter().map(|push| Self::new(vec![push]));
        leaving.chain([Self::new(staying)]).collect()
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
        for push in self.pushes {
            drop(push.answer.send(Err(error.clone())));
        }
    }
}
