//! `pushChanges`: waiting pushes of all users, joined into few transactions (group commit).
//!
//! What a push does is decided by the core, inside the store's transaction; here they wait and get their answers.

mod footprint;
mod group;
mod schedule;
mod shares;

use std::sync::Arc;

use tidegate_core::{
    change::{Action, Submission},
    model::Model,
    push::{Push, PushAnswer, PushHash, PushOutcome, PushRequest},
    value::document_bytes,
};
use tokio::sync::{mpsc, oneshot};

use self::{
    group::Committer,
    schedule::Schedule,
    shares::{Room, Shares},
};
use super::{Caller, Clock, STORE_DEADLINE, SyncError, SyncService};
use crate::store::Store;

/// The most pushes that may wait before they are looked at, and after; a further one is told to try again.
const WAITING_MAX: usize = 512;

impl SyncService {
    /// Applies a push, or tells what became of it before.
    ///
    /// # Errors
    /// [`SyncError::PushTooLarge`] and [`SyncError::Push`]: nothing was applied. A store's failure and
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
            advice: Vec::new(),
            clients_max: self.limits.user_clients,
        };
        self.send_advised(request).await
    }
}

/// The pushes that wait for their transaction, bounded in number and in bytes. Users take turns.
pub(super) struct PushQueue {
    waiting: mpsc::Sender<Waiting>,
    shares: Shares,
}

/// A push, and who waits for its answer.
struct Waiting {
    request: Arc<PushRequest>,
    answer: oneshot::Sender<Result<PushAnswer, SyncError>>,
    room: Room,
}

impl PushQueue {
    pub(super) fn start(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        bytes_max: usize,
    ) -> Self {
        let (sender, arriving) = mpsc::channel(WAITING_MAX);
        let committer = Arc::new(Committer {
            model,
            store,
            clock,
        });
        tokio::spawn(Schedule::new(committer).run(arriving));
        Self {
            waiting: sender,
            shares: Shares::of(bytes_max),
        }
    }

    /// Whether somebody takes pushes out of the queue.
    pub(super) fn is_served(&self) -> bool {
        !self.waiting.is_closed()
    }

    pub(super) async fn send(&self, request: Arc<PushRequest>) -> Result<PushAnswer, SyncError> {
        let (answer, answered) = oneshot::channel();
        let bytes = request.push.changes.iter().map(bytes).sum();
        let room = self.shares.room(&request.identity.user, bytes);
        let waiting = Waiting {
            room: room.ok_or(SyncError::Busy)?,
            request,
            answer,
        };
        self.waiting
            .try_send(waiting)
            .map_err(|_| SyncError::Busy)?;
        match tokio::time::timeout(STORE_DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(SyncError::Busy),
        }
    }
}

/// What an item of a push takes beside its documents.
const ITEM_BYTES: usize = 512;

fn bytes(item: &Submission) -> usize {
    let documents = match item.change.as_ref().map(|change| &change.action) {
        Ok(Action::Create { document, .. }) => document_bytes(document),
        Ok(Action::Update { set, seen, .. }) => {
            document_bytes(set) + seen.as_ref().map_or(0, document_bytes)
        }
        Ok(Action::Delete { .. }) | Err(_) => 0,
    };
    ITEM_BYTES + item.id.len() + documents
}
