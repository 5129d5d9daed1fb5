//! The APIs of the models that have served the store, in their order: which of an app and a gateway is older.
//!
//! The store keeps the models. What was read of them is kept here, so that a crowd of old apps costs no reads.

use std::time::Duration;

use tidegate_core::id::ApiHash;
use tokio::{sync::Mutex, time::Instant};

use super::{SyncError, SyncService, in_time, unknown_apis::UnknownApis};

/// An API that is not known is looked for again after this time at the earliest.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct ApiHistory(Mutex<ApiHistoryState>);

#[derive(Default)]
struct ApiHistoryState {
    /// What was read last.
    known: Option<KnownApis>,
    unknown: UnknownApis,
}

struct KnownApis {
    /// The oldest first.
    hashes: Vec<ApiHash>,
    read_at: Instant,
}

impl SyncService {
    /// Whether an app was made for an API that this gateway's, `own`, has replaced. If not, the app is newer than the
    /// gateway, or no gateway of this store ever had its API. `None` if the store does not know this gateway's API, as one
    /// that cannot be written.
    ///
    /// # Errors
    /// The error of a store's failure, or [`SyncError::Busy`].
    pub async fn is_replaced(&self, app: ApiHash, own: ApiHash) -> Result<Option<bool>, SyncError> {
        let mut history = self.apis.0.lock().await;
        let ApiHistoryState { known, unknown } = &mut *history;
        let is_due = known.as_ref().is_none_or(|known| {
            let is_missing = [app, own].iter().any(|api| !known.hashes.contains(api));
            is_missing && known.read_at.elapsed() >= READ_AGAIN_AFTER
        });
        if is_due {
            let models = self.store.models();
            let record = in_time(models.record()).await?;
            let hashes = record.apis().filter_map(|hash| hash.parse().ok());
            *known = Some(KnownApis {
                hashes: hashes.collect(),
                read_at: Instant::now(),
            });
        }
        let known = known.as_ref().map(|known| known.hashes.as_slice());
        let known = known.unwrap_or_default();
        // An API may be that of several models. The last one counts: its apps need not be updated.
        let place = |api| known.iter().rposition(|known| *known == api);
        let (app_place, own_place) = (place(app), place(own));
        if app_place.is_none()
            && own_place.is_some()
            && let Some(line) = unknown.add(app, self.now(), Instant::now())
        {
            line.log();
        }
        Ok(own_place.map(|own| app_place.is_some_and(|app| app < own)))
    }
}
