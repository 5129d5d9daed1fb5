//! Commits: pushes and resolutions of all users wait here, share transactions and get their answers.
//!
//! One problem shapes this module. Each scope numbers its writes by one counter, so two transactions that write one scope
//! cannot both commit: the store lets one through, and the other is for nothing. Within a gateway a [`write_set`] predicts
//! what a request will write. The [`scheduler`] joins waiting requests into one transaction (group commit), and runs
//! transactions at the same time where their write sets have nothing in common. A [`group`] that the store refuses as a
//! whole is divided. Users take turns ([`shares`]).
//!
//! What a request does is decided by the core, inside the store's transaction. A wrong prediction costs time and nothing
//! else: the store's own conflicts are the truth (rules.md 5.3).

mod group;
mod scheduler;
mod shares;
mod write_set;

use std::sync::Arc;

use tidegate_core::{
    change::{Action, Submission},
    model::Model,
    push::{CommitRequest, PushAnswer, Resolution},
    value::document_bytes,
};
use tokio::sync::{mpsc, oneshot};

use self::{
    group::GroupCommitter,
    scheduler::CommitScheduler,
    shares::{Room, Shares},
};
use super::{Clock, STORE_DEADLINE, SyncError};
use crate::store::Store;

/// The most requests that may wait before the scheduler takes them, and after; a further one is refused as busy.
const WAITING_MAX: usize = 512;

/// The requests that wait for their transaction, bounded in number and in bytes.
pub(super) struct CommitQueue {
    waiting: mpsc::Sender<QueuedWork>,
    shares: Shares,
}

/// A request, and who waits for its answer.
struct QueuedWork {
    request: CommitRequest,
    answer: oneshot::Sender<Result<PushAnswer, SyncError>>,
    room: Room,
}

impl CommitQueue {
    pub(super) fn start(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        bytes_max: usize,
    ) -> Self {
        let (sender, arriving) = mpsc::channel(WAITING_MAX);
        let committer = Arc::new(GroupCommitter {
            model,
            store,
            clock,
        });
        tokio::spawn(CommitScheduler::new(committer).run(arriving));
        Self {
            waiting: sender,
            shares: Shares::of(bytes_max),
        }
    }

    /// Whether the scheduler still takes requests.
    pub(super) fn is_served(&self) -> bool {
        !self.waiting.is_closed()
    }

    /// Waits for the answer to a request.
    ///
    /// # Errors
    /// [`SyncError::Busy`] where the queue has no room or the store takes too long, and what the store says.
    pub(super) async fn send(&self, request: CommitRequest) -> Result<PushAnswer, SyncError> {
        let (answer, answered) = oneshot::channel();
        let user = &request.identity().user;
        let room = self.shares.room(user, request_bytes(&request));
        let work = QueuedWork {
            room: room.ok_or(SyncError::Busy)?,
            request,
            answer,
        };
        self.waiting.try_send(work).map_err(|_| SyncError::Busy)?;
        match tokio::time::timeout(STORE_DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(SyncError::Busy),
        }
    }
}

/// What a change takes beside its documents.
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
