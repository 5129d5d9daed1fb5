//! `declineMemberships`: memberships that some givers give to the caller stop counting, or count again.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_core::{
    id::UserId,
    membership,
    transaction::{Loaded, Reads},
};

use super::{Caller, SyncError, SyncService, commit::commit_repeatedly, in_time};
use crate::store::ended_early;

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
        let (store, user) = (Arc::clone(&self.store), caller.identity.user.clone());
        let work = move |_| {
            let (user, request) = (user.clone(), request.clone());
            let reads = Reads {
                users: [user.clone()].into(),
                ..Reads::default()
            };
            let decide = move |loaded: &Loaded| {
                membership::decline(&user, &request.givers, request.decline, loaded)
            };
            (reads, decide)
        };
        // The commit runs to its end even if the caller has gone.
        let commit = tokio::spawn(async move { commit_repeatedly(store.as_ref(), work).await });
        let committed = async { commit.await.map_err(|ended| ended_early(&ended))? };
        let (_, declined) = in_time(committed).await?;
        declined.ok_or(SyncError::DeclinesFull)
    }
}
