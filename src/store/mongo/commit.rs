//! One commit: a transaction that reads, decides and writes, repeated until its outcome is known.
//!
//! [`super::write`] says what is written and in which batches.

use std::{collections::BTreeMap, sync::Arc};

use mongodb::{
    ClientSession,
    bson::Bson,
    options::{ReadConcern, TransactionOptions},
};
use tidegate_core::{
    id::{DocumentKey, Scope, Seq},
    transaction::{Reads, Writes},
};
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::{
    MongoContext,
    error::{MongoError, RetryAction, StatementError},
    grant_order::LocalCommit,
    live::is_lock,
    load::{LoadPlan, LoadedState},
    local_commits,
    opening::{durable, primary},
    reader::SessionReader,
    slots::TransactionSlot,
    state::{CommitState, StateQuery},
    write::{Probe, WritePlan},
};
use crate::store::{
    Committed, DecideFn, StoreError, WriteConflict,
    decision::{changes_nothing, run_decision},
    ended_early,
};

/// The default of MongoDB's `transactionLifetimeLimitSeconds`.
const TRANSACTION_MAX: Duration = Duration::from_secs(60);

/// Caps the back-off after a write conflict at 40 ms, within which the other transaction ends. Longer pauses would let
/// a gateway that writes without a break keep the scope for itself.
const CONFLICT_BACKOFF_STEPS: u32 = 3;

/// Up to this number of documents, the decision runs on the commit thread, where only other commits wait for it.
const AT_ONCE_MAX: usize = 128;

/// Carries out a commit in `slot`.
pub(super) async fn commit(
    context: &Arc<MongoContext>,
    slot: TransactionSlot,
    reads: &Reads,
    decide: Arc<DecideFn>,
) -> Result<Committed, StoreError> {
    let commit = CommitAttempts {
        context,
        slot,
        reads,
        decide,
        optimistic_inserts: context.optimistic_inserts && !reads.created.is_empty(),
        before: BTreeMap::new(),
        session: Bson::Null,
        unknown_attempts: Vec::new(),
        deferred: Vec::new(),
        probe: None,
    };
    let mut session = None;
    let done = commit.run(&mut session).await;
    if let Some(session) = session {
        match &done {
            Err(StoreError::Unavailable(_)) => {
                tokio::spawn(release(Arc::clone(context), session));
            }
            _ => context.local_commits.release_session(session),
        }
    }
    done
}

/// Ends the transaction that an abandoned commit may have left open. Otherwise the server keeps it, with its locks, for
/// a minute. Only the session's next transaction ends one whose commit was not answered.
async fn release(context: Arc<MongoContext>, mut session: ClientSession) {
    let ending = async {
        for attempt in 0.. {
            if ended(&context, &mut session).await.is_ok() {
                return;
            }
            sleep(context.backoff(attempt)).await;
        }
    };
    // By then MongoDB has ended the transaction, or cannot be reached.
    if timeout(TRANSACTION_MAX, ending).await.is_err() {
        drop(context.in_time(session.abort_transaction()).await);
    }
    context.local_commits.release_session(session);
}

async fn ended(context: &MongoContext, session: &mut ClientSession) -> Result<(), MongoError> {
    if context.in_time(session.abort_transaction()).await.is_ok() {
        return Ok(());
    }
    context.begin(session).await?;
    let mut reader = SessionReader { context, session };
    let read = reader.state(&StateQuery::default()).await.map(drop);
    drop(context.in_time(session.abort_transaction()).await);
    read
}

struct CommitAttempts<'c> {
    context: &'c MongoContext,
    slot: TransactionSlot,
    reads: &'c Reads,
    decide: Arc<DecideFn>,
    /// Whether created documents are taken for absent. It ends when that may be why an attempt failed.
    optimistic_inserts: bool,
    /// The heads that the last attempt read.
    before: BTreeMap<Scope, Seq>,
    /// The id of the session of all attempts.
    session: Bson,
    /// Attempts whose outcome is unknown. At most one of them was committed, since each replaces the number that it
    /// read.
    unknown_attempts: Vec<CommitAttempt>,
    /// Documents whose early update a unique index refused. They are written last, in this order.
    deferred: Vec<DocumentKey>,
    /// The writes of the last attempt, if the database refused one document of several.
    probe: Option<Probe<'c>>,
}

impl CommitAttempts<'_> {
    /// Repeats the attempt until one succeeds, meets another transaction or fails for good, or the time is over.
    async fn run(mut self, session: &mut Option<ClientSession>) -> Result<Committed, StoreError> {
        let deadline = Instant::now() + self.context.commit_max;
        let mut failed = MongoError::Late;
        for attempt in 0.. {
            match timeout_at(deadline, self.attempt(session)).await {
                Err(_) => break,
                Ok(Ok(attempt)) => return Ok(self.publish(attempt)),
                Ok(Err(failure))
                    if self.optimistic_inserts && failure.may_be_duplicate_insert() =>
                {
                    self.optimistic_inserts = false;
                    failed = failure;
                    continue;
                }
                Ok(Err(failure)) => match failure.remedy() {
                    RetryAction::GiveUp => {
                        let finding = self.find_refused(failure, session.as_mut());
                        match timeout_at(deadline, finding).await {
                            Err(_) => break,
                            Ok(Ok(again)) => failed = again,
                            Ok(Err(error)) => return Err(error),
                        }
                    }
                    RetryAction::RepeatAfterConflict if self.unknown_attempts.is_empty() => {
                        self.met_lock(&failure).await;
                        return Err(StoreError::WriteConflict(self.conflict()));
                    }
                    RetryAction::RepeatAfterConflict | RetryAction::Repeat => failed = failure,
                },
            }
            tracing::debug!(?failed, attempt, "a transaction is repeated");
            let pause = self.pause(attempt, &failed);
            if timeout_at(deadline, pause).await.is_err() {
                break;
            }
        }
        Err(self.deadline_error(failed))
    }

    async fn pause(&self, attempt: u32, failed: &MongoError) {
        self.met_lock(failed).await;
        let backoff = match failed.remedy() {
            RetryAction::RepeatAfterConflict => self.conflict().backoff,
            RetryAction::Repeat | RetryAction::GiveUp => self.context.backoff(attempt),
        };
        sleep(backoff).await;
    }

    /// Ends the sessions of dead gateways, since one of them may hold the lock.
    async fn met_lock(&self, failed: &MongoError) {
        if is_lock(failed) {
            self.context.met_lock().await;
        }
    }

    fn conflict(&self) -> WriteConflict {
        WriteConflict {
            heads: self.before.clone(),
            backoff: self.context.backoff(CONFLICT_BACKOFF_STEPS),
        }
    }

    /// One transaction. All attempts share a session, because beginning the next transaction ends the one before.
    /// Otherwise the server would keep that open, with its locks, for a minute.
    async fn attempt(
        &mut self,
        session: &mut Option<ClientSession>,
    ) -> Result<CommitAttempt, MongoError> {
        let context = self.context;
        let session = match session {
            Some(session) => session,
            None => session.insert(context.local_commits.session(context).await?),
        };
        self.session = local_commits::id_of(session);
        self.transaction(session).await
    }

    async fn transaction(
        &mut self,
        session: &mut ClientSession,
    ) -> Result<CommitAttempt, MongoError> {
        let context = self.context;
        self.probe = None;
        let number = self.slot.next_number();
        context.begin(session).await?;
        let attempt = match self.transact(session, number).await {
            Ok(attempt) => attempt,
            Err(failure) => {
                // The failure is the answer. If the abort fails too, the next transaction ends this one.
                drop(context.in_time(session.abort_transaction()).await);
                return Err(failure);
            }
        };
        if attempt.number.is_none() {
            return context.end(session).await.map(|()| attempt);
        }
        // From here on it may be committed without an answer, also when this future is dropped.
        self.unknown_attempts.push(attempt);
        match context.end(session).await {
            Err(failure @ MongoError::Unknown(_)) => Err(failure),
            known => {
                let attempt = self.unknown_attempts.pop().expect("it was pushed above");
                known.map(|()| attempt)
            }
        }
    }

    /// Reads, decides and writes. It also settles an earlier attempt whose outcome is unknown: by the number that the
    /// attempt would have left, read in a transaction that writes it, so that the two cannot both be committed.
    async fn transact(
        &mut self,
        session: &mut ClientSession,
        number: i64,
    ) -> Result<CommitAttempt, MongoError> {
        let context = self.context;
        let settling = !self.unknown_attempts.is_empty();
        let load_plan = LoadPlan {
            reads: self.reads,
            optimistic_inserts: self.optimistic_inserts,
            has_memberships: context.layout.has_memberships(),
        };
        let mut reader = SessionReader { context, session };
        let slot = settling.then(|| self.slot.id());
        let state = reader.state(&load_plan.query(slot)).await?;
        let mut plan = WritePlan::new(context).with_group(self.slot.id(), number);
        if let Some(committed) = self.find_committed(&state) {
            plan.send(session).await?;
            return Ok(CommitAttempt {
                number: Some(number),
                ..committed
            });
        }
        let leads = state.models.standing(context.models.own()).leads;
        if self.reads.lease.is_some() && (self.reads.lease != state.found.lease || !leads) {
            return Err(MongoError::Final(StoreError::Deposed));
        }
        let saw = state.found.grants;
        let heads = state.found.scopes.iter();
        self.before = heads
            .map(|(scope, state)| (scope.clone(), state.head))
            .collect();
        let view = load_plan.load(&mut reader, state).await?;
        let (writes, mut view) = self.decided(&mut reader, view).await?;
        let nothing = changes_nothing(&writes);
        if nothing && !settling {
            return Ok(CommitAttempt::of(None, writes));
        }
        if !nothing {
            view.known.entries = view.loaded.entries;
            plan.add(session, &writes, view.known, self.reads, &self.deferred)
                .await?;
        }
        if let Err(failure) = plan.send(session).await {
            if context.is_of_another_model(&failure) {
                return Err(MongoError::Final(StoreError::ValueTaken));
            }
            self.probe = failure.refused().and_then(|_| Probe::of(plan));
            return Err(failure);
        }
        let sent = plan.into_sent();
        Ok(CommitAttempt {
            number: Some(number),
            committed: Committed {
                writes,
                before: self.before.clone(),
                after: sent.heads,
            },
            news: LocalCommit {
                events: sent.news,
                saw,
                raised: sent.raised,
            },
        })
    }

    /// The earlier attempt that was committed, if there is one.
    fn find_committed(&self, state: &CommitState) -> Option<CommitAttempt> {
        let mut unsettled = self.unknown_attempts.iter();
        let committed = unsettled.find(|attempt| attempt.number == state.found.group);
        committed.cloned()
    }

    /// Reports to tails what was committed. Every other attempt is now known not to be.
    fn publish(&mut self, attempt: CommitAttempt) -> Committed {
        self.unknown_attempts.clear();
        self.context.local_commits.committed(attempt.news);
        attempt.committed
    }

    /// Decides, and decides again if the decision asks for a count or for who has a value, or does not prove what was taken
    /// for absent. Each count and each value is asked for once. After a closer look nothing is taken for absent.
    async fn decided(
        &self,
        reader: &mut SessionReader<'_>,
        mut view: LoadedState,
    ) -> Result<(Writes, LoadedState), MongoError> {
        loop {
            let (writes, decided) = self.decide(view).await?;
            view = decided;
            if !writes.uncounted.is_empty() || !writes.unheld.is_empty() {
                let given = reader.given(&writes.uncounted).await?;
                view.loaded.given.extend(given);
                let holders = reader.holders(&writes.unheld).await?;
                view.loaded.holders.extend(holders);
            } else if view.has_unverified_inserts(&writes) {
                view.load_optimistic(reader, self.reads).await?;
            } else {
                return Ok((writes, view));
            }
        }
    }

    /// Decides about a few changes on this thread, and about many, which takes time, on a blocking thread.
    async fn decide(&self, view: LoadedState) -> Result<(Writes, LoadedState), MongoError> {
        let decide = Arc::clone(&self.decide);
        let decide = move || {
            let writes = run_decision(&*decide, &view.loaded);
            (writes, view)
        };
        let (writes, view) = if self.reads.keys.len() <= AT_ONCE_MAX && self.reads.expired.is_none()
        {
            decide()
        } else {
            let decided = tokio::task::spawn_blocking(decide).await;
            decided.map_err(|ended| ended_early(&ended))?
        };
        Ok((writes?, view))
    }

    /// After a failure for good: finds all documents that the database refuses of the attempt, or an order in which it
    /// may succeed.
    async fn find_refused(
        &mut self,
        failure: MongoError,
        session: Option<&mut ClientSession>,
    ) -> Result<MongoError, StoreError> {
        let (Some(probe), Some(session)) = (self.probe.take(), session) else {
            return Err(self.final_error(&[], failure));
        };
        let first = failure.refused();
        let found = match probe.run(session, &self.deferred, first).await {
            Ok(found) => found,
            // Others have written since the attempt. The next attempt sees that.
            Err(other @ MongoError::Final(_)) => return Ok(other),
            Err(other) if other.remedy() == RetryAction::GiveUp => {
                return Err(self.final_error(&[], other));
            }
            Err(other) => return Ok(other),
        };
        let is_known = |key| self.deferred.contains(key);
        if !found.refused.is_empty() || found.deferred.iter().all(is_known) {
            return Err(self.final_error(&found.refused, failure));
        }
        self.deferred = found.deferred;
        Ok(failure)
    }

    /// The error of a failure for good. If an earlier attempt is not settled, the outcome is unknown.
    fn final_error(&self, refused: &[StatementError], failure: MongoError) -> StoreError {
        if !self.unknown_attempts.is_empty() {
            return self.deadline_error(failure);
        }
        let refused = match failure.refused() {
            Some(error) if refused.is_empty() => std::slice::from_ref(error),
            _ => refused,
        };
        if refused.is_empty() {
            return failure.into();
        }
        let refusals = refused.iter();
        let refusals = refusals.flat_map(|error| error.refusals(&self.context.layout));
        StoreError::Refused(refusals.collect())
    }

    fn deadline_error(&self, failure: MongoError) -> StoreError {
        let reason = StoreError::from(failure);
        match self.unknown_attempts.is_empty() {
            true => StoreError::Unavailable(format!("{reason}; nothing was written")),
            false => {
                StoreError::Unavailable(format!("{reason}; whether it was written is not known"))
            }
        }
    }
}

/// An attempt that is not settled may be committed without this gateway's knowledge.
impl Drop for CommitAttempts<'_> {
    fn drop(&mut self) {
        if !self.unknown_attempts.is_empty() {
            self.context
                .local_commits
                .mark_unknown(std::mem::take(&mut self.session));
        }
    }
}

/// What one transaction does.
#[derive(Clone)]
struct CommitAttempt {
    /// The group number it writes, if it writes anything.
    number: Option<i64>,
    committed: Committed,
    /// What tails report once it is committed.
    news: LocalCommit,
}

impl CommitAttempt {
    fn of(number: Option<i64>, writes: Writes) -> Self {
        Self {
            number,
            committed: writes.into(),
            news: LocalCommit::default(),
        }
    }
}

impl MongoContext {
    /// Begins a transaction. All concerns are set here, because the defaults of sessions, databases and collections do
    /// not reach a transaction.
    pub(super) async fn begin(&self, session: &mut ClientSession) -> Result<(), MongoError> {
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(durable())
            .selection_criteria(primary())
            .max_commit_time(self.call_max)
            .build();
        let begin = session.start_transaction().with_options(options);
        self.in_time(begin).await
    }

    /// Commits the transaction.
    pub(super) async fn end(&self, session: &mut ClientSession) -> Result<(), MongoError> {
        let committed = self.in_time(session.commit_transaction()).await;
        committed.map_err(MongoError::after_commit)
    }
}
