//! Keeps the indexes of a model while a gateway runs: builds what is missing, and drops what no gateway uses.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidegate_core::{model::Model, query::IndexDefinition};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::import::is_logged;
use crate::store::Store;

/// How often a gateway looks for indexes that no other gateway uses any more.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long it waits after a failure.
const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// How long a start waits for the indexes. Those of a new store are complete by then.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The work in the background. It ends when this is dropped. An index that is being built is completed by the next start.
pub struct IndexTask {
    are_complete: watch::Receiver<bool>,
    _task: AbortOnDropHandle<Infallible>,
}

impl IndexTask {
    /// Starts the work on the indexes of a model.
    pub fn spawn(model: &Model, store: Arc<dyn Store>) -> Self {
        let types = model.types.iter();
        let indexes = types.flat_map(|document_type| IndexDefinition::kept_for(document_type));
        let indexes: Vec<Arc<IndexDefinition>> = indexes.collect();
        let (sender, are_complete) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut failures = 0_u32;
            loop {
                let pause = match store.keep_indexes(&indexes).await {
                    Ok(()) => {
                        sender.send_replace(true);
                        failures = 0;
                        LOOK_EVERY
                    }
                    Err(error) => {
                        if is_logged(failures) {
                            tracing::warn!(%error, failures, "the indexes of lists cannot be built or dropped now");
                        }
                        failures = failures.saturating_add(1);
                        REPEAT_AFTER
                    }
                };
                sleep(pause).await;
            }
        });
        Self {
            are_complete,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits until the indexes are complete, but not long.
    pub async fn settle(&mut self) {
        let complete = self.are_complete.wait_for(|complete| *complete);
        // Building may take long, and goes on.
        drop(timeout(FIRST_WAIT, complete).await);
    }
}
