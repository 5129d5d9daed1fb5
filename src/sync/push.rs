//! `pushChanges`: a client's push becomes a request of the commit queue.
//!
//! [`super::commit`] says how requests share transactions, and [`super::webhooks`] what the application is asked.

use tidegate_core::push::{Push, PushHash, PushOutcome, PushRequest};

use super::{Caller, SyncError, SyncService};

impl SyncService {
    /// Applies a push, or returns the result of the same push before.
    ///
    /// # Errors
    /// [`SyncError::PushTooLarge`] and [`SyncError::Push`]: nothing was applied. A store's failure and
    /// [`SyncError::Busy`]: it may have been applied; the same push again returns the result.
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
            webhook_decisions: Vec::new(),
            clients_max: self.limits.user_clients,
            api: caller.api,
        };
        self.push_with_webhooks(caller, request).await
    }
}
