//! Which documents of a commit the database refuses, and the order in which it takes the others: found in transactions
//! that are always aborted.
//!
//! A refusal ends its transaction, so each costs one. It repeats no more than what has to do with the refused document
//! ([`mod@related`]), and so all of them cost about as many statements as the commit has.

mod related;

use std::collections::VecDeque;

use mongodb::{ClientSession, bson::RawDocumentBuf};
use tidegate_core::id::DocumentKey;

use self::related::related;
use super::{Batch, Plan, Statement, Verb};
use crate::store::mongo::{
    Base,
    commit::transaction_options,
    failure::{Failure, StatementError, is_of_collection},
};

/// So often documents of one group change their order for the sake of a unique index. A value that passes through a longer
/// chain of documents in one transaction is refused.
const DEFERRALS_MAX: usize = 32;

/// A transaction tries so many documents at first; twice as many after one without a refusal, half as many after a refusal,
const TRIED_AT_FIRST: usize = 128;

/// and never fewer than this.
const TRIED_MIN: usize = 2;

/// What a commit does to one of the application's documents.
struct Write {
    verb: Verb,
    collection: String,
    raw: RawDocumentBuf,
    key: DocumentKey,
    /// The document as it is stored.
    before: Option<RawDocumentBuf>,
}

/// A commit of which the database has refused a document.
pub(in crate::store::mongo) struct Probe<'b> {
    base: &'b Base,
    /// In the order of the commit.
    writes: Vec<Write>,
}

/// What a probe finds.
#[derive(Default)]
pub(in crate::store::mongo) struct Found {
    /// No document stands in two of them.
    pub(in crate::store::mongo) refused: Vec<StatementError>,
    /// Updates that only succeed behind the others, in their order.
    pub(in crate::store::mongo) deferred: Vec<DocumentKey>,
}

impl<'b> Probe<'b> {
    /// Of a plan that was refused a document; nothing where it writes only this one.
    pub(in crate::store::mongo) fn of(mut plan: Plan<'b>) -> Option<Self> {
        let mut writes = Vec::new();
        for batch in plan.batches {
            let (verb, collection, statements) = batch.into_parts();
            for Statement { raw, key } in statements {
                let Some(key) = key else { continue };
                writes.push(Write {
                    verb,
                    collection: collection.clone(),
                    raw,
                    before: plan.before.remove(&key),
                    key,
                });
            }
        }
        let base = plan.base;
        (writes.len() > 1).then_some(Self { base, writes })
    }

    /// Writes one document after the other, without those that were refused. `deferred` is the order of the commit, and
    /// `first` what it was refused itself.
    pub(in crate::store::mongo) async fn run(
        &self,
        session: &mut ClientSession,
        deferred: &[DocumentKey],
        first: Option<&StatementError>,
    ) -> Result<Found, Failure> {
        let groups = related(self.base, &self.writes).await;
        let groups = groups
            .into_iter()
            .map(|left| Group::new(self, left, deferred));
        let mut left: VecDeque<Group> = groups.collect();
        let mut found = Found::default();
        let mut most = TRIED_AT_FIRST;
        while let Some(group) = left.front() {
            let repeated = group.taken.len();
            let tried = left.iter().flat_map(|group| &group.left).take(most);
            let tried: Vec<usize> = group.taken.iter().chain(tried).copied().collect();
            let refused = self.attempt(session, &tried).await?;
            let Some((place, error)) = refused else {
                found.take(&mut left, tried.len() - repeated);
                most *= 2;
                continue;
            };
            let Some(taken) = place.checked_sub(repeated) else {
                // Somebody else has written meanwhile.
                break;
            };
            found.take(&mut left, taken);
            most = TRIED_MIN.max(most / 2);
            if is_of_collection(error.code) {
                self.refuse_all(&mut left, tried[place], error, &mut found);
            } else if let Some(group) = left.front_mut()
                && !group.defers(self, &error)
            {
                group.left.pop_front();
                // Others may have taken an id since the commit looked for it, which is a conflict and no refusal.
                let is_first = first.is_some_and(|first| first.keys == error.keys);
                if is_first || !error.is_of_id() {
                    found.refused.push(error);
                }
            }
            found.take(&mut left, 0);
        }
        Ok(found)
    }

    /// The place of the first write that the database refuses after those before it.
    async fn attempt(
        &self,
        session: &mut ClientSession,
        tried: &[usize],
    ) -> Result<Option<(usize, StatementError)>, Failure> {
        let base = self.base;
        let options = transaction_options(base);
        base.in_time(session.start_transaction().with_options(options))
            .await?;
        let sent = self.send(session, tried).await;
        drop(base.in_time(session.abort_transaction()).await);
        let error = match sent {
            Ok(()) => return Ok(None),
            Err(failure) if failure.refused().is_none() => return Err(failure),
            Err(Failure::Statement(error)) => *error,
            Err(failure) => return Err(failure),
        };
        let mut places = tried.iter();
        let place = places.position(|&write| error.keys.contains(&self.writes[write].key));
        Ok(place.map(|place| (place, error)))
    }

    async fn send(&self, session: &mut ClientSession, tried: &[usize]) -> Result<(), Failure> {
        let mut batches: Vec<Batch> = Vec::new();
        for &write in tried {
            let Write {
                verb,
                collection,
                raw,
                key,
                ..
            } = &self.writes[write];
            let statement = Statement {
                raw: raw.clone(),
                key: Some(key.clone()),
            };
            match batches.last_mut() {
                Some(batch) if batch.has_room(*verb, collection) => batch.push(statement),
                _ => batches.push(Batch::new(*verb, collection, statement)),
            }
        }
        for batch in batches {
            batch.send(self.base, session).await?;
        }
        Ok(())
    }

    /// The collection of this write takes none.
    fn refuse_all(
        &self,
        left: &mut VecDeque<Group>,
        write: usize,
        mut error: StatementError,
        found: &mut Found,
    ) {
        let Write {
            collection, verb, ..
        } = &self.writes[write];
        error.keys.clear();
        for group in left {
            group.left.retain(|&write| {
                let write = &self.writes[write];
                let is_refused = write.collection == *collection && write.verb == *verb;
                if is_refused {
                    error.keys.push(write.key.clone());
                }
                !is_refused
            });
        }
        found.refused.push(error);
    }
}

impl Found {
    /// The next writes are taken. Groups of which nothing is left go.
    fn take(&mut self, left: &mut VecDeque<Group>, mut taken: usize) {
        while let Some(group) = left.front_mut() {
            while taken > 0
                && let Some(write) = group.left.pop_front()
            {
                group.taken.push(write);
                taken -= 1;
            }
            if !group.left.is_empty() {
                return;
            }
            self.deferred.append(&mut group.deferred);
            left.pop_front();
        }
    }
}

/// Writes that no write of another group can make succeed or fail.
struct Group {
    taken: Vec<usize>,
    left: VecDeque<usize>,
    /// Updates that a unique index refused to have written so early, in the order in which they are written last.
    deferred: Vec<DocumentKey>,
    deferrals: usize,
}

impl Group {
    fn new(probe: &Probe<'_>, left: Vec<usize>, deferred: &[DocumentKey]) -> Self {
        let keys = left.iter().map(|&write| &probe.writes[write].key);
        let deferred = keys.filter(|key| deferred.contains(key)).cloned().collect();
        Self {
            taken: Vec::new(),
            left: left.into(),
            deferred,
            deferrals: 0,
        }
    }

    /// Whether to write a document that a unique index refuses after others, which may give up its value: before all that
    /// were deferred so far, or after them where that was tried.
    fn defers(&mut self, probe: &Probe<'_>, error: &StatementError) -> bool {
        let Some(key) = error.keys.first().filter(|_| error.is_too_early()) else {
            return false;
        };
        let place = self.deferred.iter().position(|deferred| deferred == key);
        let is_last = place.is_some_and(|place| place + 1 == self.deferred.len());
        if self.left.len() == 1 || is_last || self.deferrals == DEFERRALS_MAX {
            return false;
        }
        self.deferrals += 1;
        match place {
            None => self.deferred.insert(0, key.clone()),
            Some(place) => self.deferred[place..].rotate_left(1),
        }
        let deferred = &self.deferred;
        let place = |key: &DocumentKey| deferred.iter().position(|deferred| deferred == key);
        self.left.make_contiguous().sort_by_key(|&write| {
            let write = &probe.writes[write];
            (write.verb, place(&write.key))
        });
        true
    }
}
