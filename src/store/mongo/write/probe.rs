//! Which documents of a commit the database refuses, and in which order it takes the others. Transactions that are
//! always aborted find out.
//!
//! A refusal ends its transaction, so each costs one. The next transaction repeats only what is related to the refused
//! document ([`mod@related`]), so all of them together cost about as many statements as the commit has.

mod related;

use std::collections::VecDeque;

use mongodb::{ClientSession, bson::RawDocumentBuf};
use tidegate_core::id::DocumentKey;

use self::related::related;
use super::{Batch, Statement, StatementKind, WritePlan};
use crate::store::mongo::{
    MongoContext,
    error::{MongoError, StatementError, is_of_collection},
};

/// How often documents of one group are reordered for a unique index. A value that passes through a longer chain of
/// documents in one transaction is refused.
const DEFERRALS_MAX: usize = 32;

/// How many documents the first transaction tries. The number doubles after one without a refusal, and halves after a
/// refusal.
const TRIED_AT_FIRST: usize = 128;

/// The least number of documents that a transaction tries.
const TRIED_MIN: usize = 2;

/// A commit's write to one of the application's documents.
struct ProbedWrite {
    verb: StatementKind,
    collection: String,
    raw: RawDocumentBuf,
    key: DocumentKey,
    /// The document as it is stored.
    before: Option<RawDocumentBuf>,
}

/// A commit with a document that the database has refused.
pub(in crate::store::mongo) struct Probe<'b> {
    context: &'b MongoContext,
    /// The writes, in the order of the commit.
    writes: Vec<ProbedWrite>,
}

/// The result of a probe.
#[derive(Default)]
pub(in crate::store::mongo) struct ProbeResult {
    /// Refused documents, each once.
    pub(in crate::store::mongo) refused: Vec<StatementError>,
    /// Updates that only succeed after the others, in their order.
    pub(in crate::store::mongo) deferred: Vec<DocumentKey>,
}

impl<'b> Probe<'b> {
    /// The probe of a refused plan; `None` if the plan writes only the refused document.
    pub(in crate::store::mongo) fn of(mut plan: WritePlan<'b>) -> Option<Self> {
        let mut writes = Vec::new();
        for batch in plan.batches {
            let (verb, collection, statements) = batch.into_parts();
            for Statement { raw, key } in statements {
                let Some(key) = key else { continue };
                writes.push(ProbedWrite {
                    verb,
                    collection: collection.clone(),
                    raw,
                    before: plan.before.remove(&key),
                    key,
                });
            }
        }
        let context = plan.context;
        (writes.len() > 1).then_some(Self { context, writes })
    }

    /// Writes one document after the other, without the refused ones. `deferred` is the order of the commit, and
    /// `first` its own refusal.
    pub(in crate::store::mongo) async fn run(
        &self,
        session: &mut ClientSession,
        deferred: &[DocumentKey],
        first: Option<&StatementError>,
    ) -> Result<ProbeResult, MongoError> {
        let groups = related(self.context, &self.writes).await;
        let groups = groups
            .into_iter()
            .map(|left| Group::new(self, left, deferred));
        let mut left: VecDeque<Group> = groups.collect();
        let mut found = ProbeResult::default();
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
                // Another transaction has written meanwhile.
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
                // Others may have taken an id since the commit looked for it. That is a conflict, no refusal.
                let is_first = first.is_some_and(|first| first.keys == error.keys);
                if is_first || !error.is_of_id() {
                    found.refused.push(error);
                }
            }
            found.take(&mut left, 0);
        }
        Ok(found)
    }

    /// Returns the position of the first write that the database refuses after those before it.
    async fn attempt(
        &self,
        session: &mut ClientSession,
        tried: &[usize],
    ) -> Result<Option<(usize, StatementError)>, MongoError> {
        let context = self.context;
        context.begin(session).await?;
        let sent = self.send(session, tried).await;
        drop(context.in_time(session.abort_transaction()).await);
        let error = match sent {
            Ok(()) => return Ok(None),
            Err(failure) if failure.refused().is_none() => return Err(failure),
            Err(MongoError::Statement(error)) => *error,
            Err(failure) => return Err(failure),
        };
        let mut places = tried.iter();
        let place = places.position(|&write| error.keys.contains(&self.writes[write].key));
        Ok(place.map(|place| (place, error)))
    }

    async fn send(&self, session: &mut ClientSession, tried: &[usize]) -> Result<(), MongoError> {
        let mut batches: Vec<Batch> = Vec::new();
        for &write in tried {
            let ProbedWrite {
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
            batch.send(self.context, session).await?;
        }
        Ok(())
    }

    /// The collection of this write takes no document.
    fn refuse_all(
        &self,
        left: &mut VecDeque<Group>,
        write: usize,
        mut error: StatementError,
        found: &mut ProbeResult,
    ) {
        let ProbedWrite {
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

impl ProbeResult {
    /// Marks the next writes as taken. Groups without further writes go.
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
    /// Updates whose early write a unique index refused, in the order in which they are written last.
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

    /// Whether to defer a document that a unique index refuses, since a later write may release its value. It goes
    /// before all deferred so far, or after them if that was tried.
    fn defers(&mut self, probe: &Probe<'_>, error: &StatementError) -> bool {
        let Some(key) = error.keys.first().filter(|_| error.is_unique_order()) else {
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
