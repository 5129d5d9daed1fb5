//! Commits: pushes and resolutions of all users wait here, share transactions and get their answers.
//!
//! This module solves one problem, contention. Each scope numbers its writes by one counter, so two transactions that
//! write one scope cannot both commit: the store lets one succeed, and the work of the other is lost. There are three
//! answers.
//!
//! 1. **Before**: a [`write_set`] predicts what a request will write. The [`scheduler`] joins waiting requests into one
//!    transaction (group commit), and runs transactions at the same time if their write sets are disjoint. Within one
//!    gateway nothing collides, as far as predictions are right.
//! 2. **When to begin**: [`pacing`] delays a group until others may join it, and until another gateway has had its turn
//!    in a scope that both write to.
//! 3. **After a conflict**: the requests of a [`group`] go back to their places in the queue. Their write set pauses
//!    until the other transaction is reported, or for the back-off. Then a group forms again, together with newcomers.
//!    After two conflicts it has half the possible size, and halves again after each two more, so that its transaction
//!    is shorter.
//!
//! The store reports a conflict. It repeats by itself only what has nothing to do with other requests. The core decides
//! what a request does, inside the store's transaction. A wrong prediction or pause costs time and nothing else: the
//! store's own conflicts are the truth (rules.md 5.3). Users take turns in the queue ([`shares`]).

mod group;
mod pacing;
mod scheduler;
mod shares;
mod write_set;

use std::sync::Arc;

use tidegate_core::{
    change::{Action, Submission},
    push::{CommitRequest, PushAnswer, Resolution},
    transaction::{Loaded, Reads, Writes},
    value::document_bytes,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

pub(super) use self::{group::GroupCommitter, pacing::ScopeHeads};
use self::{
    scheduler::CommitScheduler,
    shares::{QueuePermit, Shares},
};
use super::{STORE_DEADLINE, SyncError, import::PushCounter};
use crate::{
    lock::Mutex,
    metrics::Metrics,
    record::OperationRecord,
    store::{Committed, Store, StoreError},
};

/// The most requests that may wait before the scheduler takes them, and the most that may wait after. A further one is
/// refused as busy.
const WAITING_MAX: usize = 512;

/// The requests that wait for their transaction, bounded in number and in bytes.
pub(super) struct CommitQueue {
    waiting: mpsc::Sender<QueuedWork>,
    shares: Shares,
    last: Arc<LastCommit>,
    metrics: Arc<Metrics>,
}

/// When a transaction was sent to the store the last time, and whether the store could write it.
#[derive(Default)]
pub(super) struct LastCommit(Mutex<Option<(Instant, bool)>>);

impl LastCommit {
    pub(super) fn note(&self, is_written: bool) {
        *self.0.lock() = Some((Instant::now(), is_written));
    }

    pub(super) fn get(&self) -> Option<(Instant, bool)> {
        *self.0.lock()
    }
}

/// A request, and the sender that waits for its answer.
struct QueuedWork {
    request: CommitRequest,
    answer: oneshot::Sender<Result<PushAnswer, SyncError>>,
    permit: QueuePermit,
    /// The number of write conflicts of its transactions.
    conflicts: u32,
    /// The record of its operation, whose request the log names if the transaction fails.
    record: Option<Arc<OperationRecord>>,
}

impl CommitQueue {
    pub(super) fn start(
        committer: GroupCommitter,
        bytes_max: usize,
        heads: Arc<ScopeHeads>,
        counter: Arc<PushCounter>,
    ) -> Self {
        let (sender, arriving) = mpsc::channel(WAITING_MAX);
        let (last, metrics) = (Arc::clone(&committer.last), Arc::clone(&committer.metrics));
        tokio::spawn(CommitScheduler::new(committer, heads, counter).run(arriving));
        Self {
            waiting: sender,
            shares: Shares::of(bytes_max),
            last,
            metrics,
        }
    }

    /// Whether the scheduler still takes requests.
    pub(super) fn is_served(&self) -> bool {
        !self.waiting.is_closed()
    }

    /// When a transaction was sent to the store the last time, and whether the store could write it.
    pub(super) fn last_commit(&self) -> Option<(Instant, bool)> {
        self.last.get()
    }

    /// How many requests wait or are carried out, and about how many bytes they have.
    pub(super) fn usage(&self) -> (usize, usize) {
        self.shares.usage()
    }

    /// Waits for the answer to a request.
    ///
    /// # Errors
    /// [`SyncError::Busy`] where the queue has no room or the store takes too long, and what the store says.
    pub(super) async fn send(
        &self,
        request: CommitRequest,
        record: Option<Arc<OperationRecord>>,
    ) -> Result<PushAnswer, SyncError> {
        let (answer, answered) = oneshot::channel();
        let user = &request.identity().user;
        let permit = self.shares.acquire(user, request_bytes(&request));
        let work = QueuedWork {
            permit: permit.ok_or_else(|| self.full())?,
            request,
            answer,
            conflicts: 0,
            record,
        };
        self.waiting.try_send(work).map_err(|_| self.full())?;
        match tokio::time::timeout(STORE_DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(SyncError::Busy),
        }
    }
}

impl CommitQueue {
    /// There is no room for one more request.
    fn full(&self) -> SyncError {
        let limit = "push_queue_bytes".into();
        self.metrics.refusals.of([limit]).inc();
        SyncError::Busy
    }
}

/// One transaction. Returns also what the decision noted when it ran last.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn commit_noting<N: Send + 'static>(
    store: &dyn Store,
    reads: Reads,
    decide: impl Fn(&Loaded) -> (Writes, N) + Send + Sync + 'static,
) -> Result<(Committed, N), StoreError> {
    let last = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&last);
    let decide = move |loaded: &Loaded| {
        let (writes, note) = decide(loaded);
        *noted.lock() = Some(note);
        writes
    };
    let committed = store.commit(reads, Arc::new(decide)).await?;
    let note = last.lock().take();
    Ok((
        committed,
        note.expect("a commit decides before it succeeds"),
    ))
}

/// Commits work that waits in no queue, and repeats it after each write conflict. `work` gets the number of conflicts
/// so far. Returns also what the decision noted when it ran last.
///
/// # Errors
/// [`StoreError`]. Also [`StoreError::Unavailable`] if others write the same for too long; then nothing was written.
pub(super) async fn commit_repeatedly<N: Send + 'static, D>(
    store: &dyn Store,
    work: impl Fn(u32) -> (Reads, D) + Send,
) -> Result<(Writes, N), StoreError>
where
    D: Fn(&Loaded) -> (Writes, N) + Send + Sync + 'static,
{
    let deadline = Instant::now() + STORE_DEADLINE;
    let mut conflicts = 0;
    loop {
        let (reads, decide) = work(conflicts);
        match commit_noting(store, reads, decide).await {
            Err(StoreError::WriteConflict(_)) if Instant::now() >= deadline => {
                let reason = "others write the same without a break; nothing was written";
                return Err(StoreError::Unavailable(reason.to_owned()));
            }
            Err(StoreError::WriteConflict(conflict)) => {
                conflicts += 1;
                sleep(conflict.backoff).await;
            }
            done => return done.map(|(committed, note)| (committed.writes, note)),
        }
    }
}

/// How many of `count` requests to attempt. After two conflicts it is half of them, and it halves again after each two
/// more: a transaction that writes less is shorter, and has better chances among busy writers.
pub(super) fn halved(count: usize, conflicts: u32) -> usize {
    let halved = count.checked_shr(conflicts / 2).unwrap_or(0);
    halved.max(1)
}

/// The bytes of a change beside its documents.
const CHANGE_BYTES: usize = 512;

fn request_bytes(request: &CommitRequest) -> usize {
    match request {
        CommitRequest::Push(request) => request.push.changes.iter().map(submission_bytes).sum(),
        CommitRequest::Resolve(request) => match &request.resolution {
            Resolution::Edited(_, Ok(fields)) => CHANGE_BYTES + document_bytes(fields),
            _ => CHANGE_BYTES,
        },
    }
}

fn submission_bytes(item: &Submission) -> usize {
    let documents = match item.change.as_ref().map(|change| &change.action) {
        Ok(Action::Create { document, .. }) => document_bytes(document),
        Ok(Action::Update { set, seen, .. }) => {
            document_bytes(set) + seen.as_ref().map_or(0, document_bytes)
        }
        Ok(Action::Delete { .. }) | Err(_) => 0,
    };
    CHANGE_BYTES + item.id.len() + documents
}
