//! Commits of gateways and operators.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tidegate::store::{DecideFn, FeedWrite, StoreError};
use tidegate_core::{
    push::PushRefusal,
    transaction::{LoadBytesMax, Reads, Writes},
};
use tidegate_testkit::store::State;

use super::{
    Committer, Inner, Moment,
    documents::{self, Documents},
    marks,
};
use crate::op::PUSH_CHANGES_MAX;

impl Inner {
    /// A commit by one of the gateways, or by an operator. Every third one has little room.
    pub(super) fn commit(
        &mut self,
        reads: &Reads,
        decide: &Arc<DecideFn>,
        by: Option<Committer>,
    ) -> Result<Writes, StoreError> {
        let edition = by.map_or(self.last().lead(), |by| by.edition);
        if reads
            .lease
            .is_some_and(|fence| self.collections.is_deposed(fence))
        {
            return Err(StoreError::Deposed);
        }
        let mut reads = reads.clone();
        if self.moments.len().is_multiple_of(3) && self.file.is_none() {
            reads.bytes_max = self
                .room_of_first(&reads, decide, by)
                .unwrap_or(reads.bytes_max);
        }
        if std::mem::take(&mut self.runs_twice) {
            let older = self.random.below(self.moments.len());
            let older = self.read_by(by, &self.moments[older]);
            drop(decide(&older.load(&reads)));
        }
        let mut state = self.read_by(by, self.last());
        let mut writes = match &self.file {
            Some(file) => file.commit(&reads, Arc::clone(decide)),
            None => decided(&state, &reads, decide)?,
        };
        let mut documents = Documents::clone(&self.documents());
        documents::write(&self.model(edition), &mut documents, &writes.entries);
        if !state.origins.is_empty() {
            marks::strip(&mut writes);
        }
        let written = state.write(&writes);
        self.make_for(&documents);
        self.collections.note_duplicates(&writes);
        if reads.lease.is_some() && !written.is_empty() {
            self.collections.renew();
        }
        let stored = written.iter().map(FeedWrite::encode);
        let stored: Vec<FeedWrite> = stored.collect::<Result<_, _>>()?;
        let moment = Moment {
            written,
            answers: writes.answers.clone(),
            by,
            ..self.moment_of(state, Arc::new(documents))
        };
        let by_model = by.map(|by| by.edition);
        let keys: BTreeSet<_> = moment.written.iter().map(|it| it.record.key()).collect();
        for key in keys {
            self.collections.note_commit(key.clone(), by_model);
        }
        self.moments.push(moment);
        self.announce(&writes, stored, by.map(|by| by.gateway));
        Ok(writes)
    }

    /// The room for documents in which the first push of a commit is not too large, while later ones may be left out. A
    /// repeat is never too large, and shows its documents only as far as they have room.
    fn room_of_first(
        &self,
        reads: &Reads,
        decide: &Arc<DecideFn>,
        by: Option<Committer>,
    ) -> Option<LoadBytesMax> {
        let state = self.read_by(by, self.last());
        if reads.lease.is_some() {
            return Some(LoadBytesMax(0));
        }
        for documents in 1..=PUSH_CHANGES_MAX {
            let bytes_max = LoadBytesMax(state.bytes_of_largest(documents));
            let reads = Reads {
                bytes_max,
                ..reads.clone()
            };
            let writes = decided(&state, &reads, decide).ok()?;
            match writes.answers.first()? {
                Err(PushRefusal::TooLarge { .. }) => {}
                Ok(answer) if answer.duplicate => return None,
                _ => return Some(bytes_max),
            }
        }
        None
    }
}

/// A decision that panics writes nothing.
fn decided(state: &State, reads: &Reads, decide: &Arc<DecideFn>) -> Result<Writes, StoreError> {
    let decided = catch_unwind(AssertUnwindSafe(|| state.decide(reads, &**decide)));
    decided.map_err(|_| StoreError::DecisionFailed("the decision panicked".to_owned()))
}
