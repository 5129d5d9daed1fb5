//! `pushChanges`: a client's push becomes a request of the commit queue.
//!
//! [`super::commit`] says how requests share transactions, and [`super::webhooks`] what the application is asked.

use tidegate_core::push::{Push, PushHash, PushOutcome, PushRequest};

use super::{Caller, SyncError, SyncService};

/// A push, and the fingerprint of what its client sent.
#[derive(Debug, Clone)]
pub struct SentPush {
    /// The push.
    pub push: Push,
    /// The fingerprint, by which a retry is recognised.
    pub hash: PushHash,
}

impl From<Push> for SentPush {
    /// A push whose changes are what was sent.
    fn from(push: Push) -> Self {
        let hash = PushHash::of(&push);
        Self { push, hash }
    }
}

impl SyncService {
    /// Applies a push, or returns the result of the same push before.
    ///
    /// # Errors
    /// [`SyncError::PushTooLarge`] and [`SyncError::Push`]: nothing was applied. A store's failure and
    /// [`SyncError::Busy`]: it may have been applied; the same push again returns the result.
    pub async fn push(
        &self,
        caller: &Caller,
        push: impl Into<SentPush>,
    ) -> Result<PushOutcome, SyncError> {
        let SentPush { push, hash } = push.into();
        if let (Some(record), Some(client)) = (caller.record(), &push.client) {
            record.of_client(&client.id);
        }
        let policy = push.policy;
        let pushing = self.push_unmeasured(caller, SentPush { push, hash });
        self.measured_push(caller, policy, pushing).await
    }

    async fn push_unmeasured(
        &self,
        caller: &Caller,
        sent: SentPush,
    ) -> Result<PushOutcome, SyncError> {
        let SentPush { push, hash } = sent;
        let (changes, max) = (push.changes.len(), self.limits.push_changes);
        if changes > max {
            return Err(SyncError::PushTooLarge { changes, max });
        }
        let request = PushRequest {
            identity: caller.identity.clone(),
            claim_grants: caller.claim_grants.clone(),
            hash,
            push,
            webhook_decisions: Vec::new(),
            clients_max: self.limits.user_clients,
            api: caller.api,
        };
        self.push_with_webhooks(caller, request).await
    }
}
