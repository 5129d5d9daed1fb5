//! `pushChanges`: waiting pushes of all users, joined into one transaction at a time (group commit).
//!
//! What a push does is decided by the core, inside the store's transaction; here they wait and get their answers.

use std::sync::Arc;

use tidegate_core::{
    model::Model,
    push::{self, Push, PushAnswer, PushHash, PushOutcome, PushRequest},
    transaction::Loaded,
};
use tokio::sync::{mpsc, oneshot};

use super::{Caller, Clock, STORE_DEADLINE, SyncError, SyncService};
use crate::store::{Store, StoreError};

/// The most pushes that may wait; a further one is told to try again.
const WAITING_MAX: usize = 1_024;

/// A transaction is not joined by further pushes once it carries so many changes.
const GROUP_CHANGES: usize = 1_000;

impl SyncService {
    /// Applies a push, or tells what became of it before.
    ///
    /// # Errors
    /// [`SyncError::PushTooLarge`] and [`SyncError::Push`]: nothing was applied. [`SyncError::Store`] and
    /// [`SyncError::Busy`]: it may have been applied; the same push sent again tells.
    pub async fn push(&self, caller: &Caller, push: Push) -> Result<PushOutcome, SyncError> {
        let (changes, max) = (push.changes.len(), self.limits.push_changes);
        if changes > max {
            return Err(SyncError::PushTooLarge { changes, max });
        }
        let request = PushRequest {
            identity: caller.identity.clone(),
            claim_grants: caller.claim_grants.clone(),
            hash: PushHash::of(&push),
            push,
        };
        Ok(self.pushes.send(request).await??)
    }
}

/// The pushes that wait for their transaction.
pub(super) struct PushQueue(mpsc::Sender<Waiting>);

struct Waiting {
    request: PushRequest,
    answer: oneshot::Sender<Result<PushAnswer, StoreError>>,
}

impl PushQueue {
    pub(super) fn start(model: Arc<Model>, store: Arc<dyn Store>, clock: Clock) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(commit_groups(model, store, clock, waiting));
        Self(sender)
    }

    /// Whether somebody takes pushes out of the queue.
    pub(super) fn is_served(&self) -> bool {
        !self.0.is_closed()
    }

    async fn send(&self, request: PushRequest) -> Result<PushAnswer, SyncError> {
        let (answer, answered) = oneshot::channel();
        self.0
            .try_send(Waiting { request, answer })
            .map_err(|_| SyncError::Busy)?;
        match tokio::time::timeout(STORE_DEADLINE, answered).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) | Err(_) => Err(SyncError::Busy),
        }
    }
}

async fn commit_groups(
    model: Arc<Model>,
    store: Arc<dyn Store>,
    clock: Clock,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    while let Some(group) = next_group(&mut waiting).await {
        let (requests, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|waiting| (waiting.request, waiting.answer))
            .unzip();
        let requests: Arc<[PushRequest]> = requests.into();
        let committed = commit(&model, store.as_ref(), &clock, requests.clone()).await;
        if committed.as_ref().is_err_and(is_of_one_push) && requests.len() > 1 {
            for (request, answer) in requests.iter().zip(answers) {
                let alone = Arc::from([request.clone()]);
                let committed = commit(&model, store.as_ref(), &clock, alone).await;
                reply(committed, vec![answer]);
            }
        } else {
            reply(committed, answers);
        }
    }
}

/// Whether one push of a group may be the cause, and the others innocent. Nothing was written then.
fn is_of_one_push(error: &StoreError) -> bool {
    matches!(error, StoreError::Undecided(_) | StoreError::Corrupt(_))
}

/// The pushes that wait, up to the bound. Those that nobody waits for any more are left out, or a queue that was once
/// too long would be worked off for clients that have long sent the same again.
async fn next_group(waiting: &mut mpsc::Receiver<Waiting>) -> Option<Vec<Waiting>> {
    let mut next = Some(waiting.recv().await?);
    let mut group = Vec::new();
    let mut changes = 0;
    while let Some(push) = next {
        if !push.answer.is_closed() {
            changes += push.request.push.changes.len();
            group.push(push);
        }
        next = (changes < GROUP_CHANGES)
            .then(|| waiting.try_recv().ok())
            .flatten();
    }
    Some(group)
}

async fn commit(
    model: &Arc<Model>,
    store: &dyn Store,
    clock: &Clock,
    requests: Arc<[PushRequest]>,
) -> Result<Vec<PushAnswer>, StoreError> {
    let reads = push::reads(&requests);
    let (model, now) = (model.clone(), clock());
    let decide = move |loaded: &Loaded| push::decide(&model, now, &requests, loaded);
    Ok(store.commit(reads, Arc::new(decide)).await?.answers)
}

/// Whoever no longer waits has gone away, and asks again with the same mutation ids.
fn reply(
    committed: Result<Vec<PushAnswer>, StoreError>,
    waiting: Vec<oneshot::Sender<Result<PushAnswer, StoreError>>>,
) {
    match committed {
        Ok(answers) => {
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                drop(waiting.send(Ok(answer)));
            }
        }
        Err(error) => {
            tracing::error!(%error, pushes = waiting.len(), "a transaction failed");
            for waiting in waiting {
                drop(waiting.send(Err(error.clone())));
            }
        }
    }
}
