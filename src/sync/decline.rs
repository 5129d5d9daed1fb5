//! `declineMemberships`: memberships that some givers give to the caller stop counting, or count again.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_core::{
    id::UserId,
    membership::{self, Declined},
    transaction::{Loaded, Reads},
};

use super::{Caller, SyncError, SyncService, commit::commit_repeatedly, in_time};
use crate::{
    lock::Mutex,
    store::{DecideFn, StoreError},
};

/// Which memberships the caller declines, or accepts again.
#[derive(Debug, Clone)]
pub struct DeclineRequest {
    /// The givers.
    pub givers: BTreeSet<UserId>,
    /// Whether they are declined or accepted again.
    pub decline: bool,
}

impl SyncService {
    /// Declines givers or accepts them again. Returns all givers that the caller then declines.
    ///
    /// # Errors
    /// [`SyncError::DeclinesFull`]: nothing was changed. A store's failure and [`SyncError::Busy`]: it may have been
    /// changed; sending the same again does no harm.
    pub async fn decline(
        &self,
        caller: &Caller,
        request: DeclineRequest,
    ) -> Result<BTreeSet<UserId>, SyncError> {
        let user = caller.identity.user.clone();
        let reads = Reads {
            users: [user.clone()].into(),
            ..Reads::default()
        };
        let answer: Arc<Mutex<Declined>> = Arc::default();
        let decided = Arc::clone(&answer);
        let decide: Arc<DecideFn> = Arc::new(move |loaded: &Loaded| {
            let (declined, writes) =
                membership::decline(&user, &request.givers, request.decline, loaded);
            *decided.lock() = declined;
            writes
        });
        let store = Arc::clone(&self.store);
        // The commit runs to its end even if the caller has gone.
        let commit = tokio::spawn(async move {
            let declined = |_| (reads.clone(), Arc::clone(&decide));
            commit_repeatedly(store.as_ref(), declined).await
        });
        in_time(async {
            let committed = commit
                .await
                .map_err(|ended| StoreError::Unavailable(ended.to_string()));
            committed?.map(drop)
        })
        .await?;
        let declined = std::mem::take(&mut *answer.lock());
        declined.ok_or(SyncError::DeclinesFull)
    }
}
