//! The importer: it takes over what other services wrote to the application's collections (rules.md section 8).
//!
//! Every gateway runs one, and a lease lets one of them work. It proposes which documents to compare. The core decides
//! what becomes of each, inside the store's transaction ([`stamp`]).

mod arrived;
mod follow;
mod freed;
mod log;
mod plan;
mod progress;
mod scan;
mod stamp;
mod status;
mod throttle;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidegate_core::{id::Epoch, model::Model, transaction::Fence};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use self::follow::Term;
pub use self::status::{PendingImport, pending_imports};
pub(super) use self::{status::ImportStatus, throttle::PushCounter};
use super::Clock;
use crate::{
    lock::Mutex,
    metrics::Metrics,
    store::{
        Store, StoreError,
        collections::{Collections, FollowError},
    },
};

/// How often a gateway that does not hold the lease tries to take it.
const LEASE_EVERY: Duration = Duration::from_secs(2);

/// How long a gateway that stops waits for the store to take the lease back.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// The pauses after failures.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A term that lasts longer than this ends a series of failures.
const LASTING: Duration = Duration::from_secs(60);

/// A series of failures logs one in this many.
const FAILURES_LOGGED: u32 = 16;

/// Makes the epoch after a store was restored or replaced. `app.rs` provides the real one.
pub type EpochSource = Arc<dyn Fn() -> Epoch + Send + Sync>;

/// The importer of one gateway.
pub struct Importer {
    model: Arc<Model>,
    store: Arc<dyn Store>,
    collections: Arc<dyn Collections>,
    clock: Clock,
    new_epoch: EpochSource,
    pushes: Arc<PushCounter>,
    metrics: Arc<Metrics>,
    /// The lease, if this gateway holds it.
    lease: Mutex<Option<Fence>>,
    state: Mutex<ImporterState>,
}

/// What an importer does now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImporterState {
    /// It takes the lease, or has met a failure.
    #[default]
    Begins,
    /// Another gateway imports.
    Waits,
    /// It stamps what it finds.
    Works,
    /// It has stamped all that it found, and follows.
    Follows,
}

/// An importer in the background. It ends when this is dropped.
pub struct ImportTask {
    importer: Arc<Importer>,
    task: AbortOnDropHandle<Infallible>,
}

impl ImportTask {
    /// Starts the importer.
    pub fn spawn(importer: Importer) -> Self {
        let importer = Arc::new(importer);
        let running = Arc::clone(&importer);
        let task = tokio::spawn(async move { running.run().await });
        Self {
            importer,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Stops it, and gives its lease back.
    pub async fn stop(&self) {
        self.task.abort();
        self.importer.release().await;
    }
}

/// Why a gateway stops importing for now.
#[derive(Debug)]
enum TermEnd {
    /// Another gateway holds the lease.
    Deposed,
    /// The history since the position is lost, or belongs to another store.
    Lost(FollowError),
    /// The store's failure. The next term begins again at what was saved.
    Failed(StoreError),
}

impl From<StoreError> for TermEnd {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Deposed => Self::Deposed,
            error => Self::Failed(error),
        }
    }
}

impl From<FollowError> for TermEnd {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Store(error) => error.into(),
            lost => Self::Lost(lost),
        }
    }
}

impl Importer {
    /// The importer of a store; `None` if no other service can write to it.
    pub fn new(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        new_epoch: EpochSource,
    ) -> Option<Self> {
        let (pushes, metrics) = (Arc::default(), Metrics::new());
        Self::beside_pushes(model, store, clock, new_epoch, pushes, metrics)
    }

    /// The same, in a gateway that counts the pushes it commits.
    pub(super) fn beside_pushes(
        model: Arc<Model>,
        store: Arc<dyn Store>,
        clock: Clock,
        new_epoch: EpochSource,
        pushes: Arc<PushCounter>,
        metrics: Arc<Metrics>,
    ) -> Option<Self> {
        let collections = store.collections()?;
        Some(Self {
            model,
            store,
            collections,
            clock,
            new_epoch,
            pushes,
            metrics,
            lease: Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// Imports and follows whenever this gateway holds the lease. It never ends by itself, and may be dropped at any
    /// moment.
    pub async fn run(&self) -> Infallible {
        let (mut failures, mut lost) = (0_u32, None);
        loop {
            let since = Instant::now();
            let end = self.lead(lost.take()).await;
            if since.elapsed() >= LASTING || matches!(end, TermEnd::Deposed) {
                failures = 0;
            }
            let pause = match end {
                TermEnd::Deposed => {
                    self.deposed();
                    LEASE_EVERY
                }
                TermEnd::Lost(error) => {
                    self.metrics.importer_failures.inc();
                    self.enter(ImporterState::Begins);
                    lost = Some(error);
                    pause_after(failures)
                }
                TermEnd::Failed(error) => {
                    self.metrics.importer_failures.inc();
                    self.enter(ImporterState::Begins);
                    if is_logged(failures) {
                        tracing::warn!(%error, failures, "the import pauses and goes on where it was");
                    }
                    pause_after(failures)
                }
            };
            failures = failures.saturating_add(1);
            sleep(pause).await;
        }
    }

    /// What it does now.
    pub fn state(&self) -> ImporterState {
        *self.state.lock()
    }

    fn enter(&self, state: ImporterState) {
        *self.state.lock() = state;
        let follows = matches!(state, ImporterState::Works | ImporterState::Follows);
        self.metrics.stream_open.set(f64::from(u8::from(follows)));
        self.metrics
            .importer_leads
            .set(f64::from(u8::from(follows)));
    }

    /// Gives the lease back when the gateway stops, so that the next one need not wait for its end. If the store does
    /// not answer, the lease ends by itself.
    pub async fn release(&self) {
        let held = self.lease.lock().take();
        if let Some(held) = held {
            drop(timeout(RELEASE_MAX, self.collections.release(held)).await);
        }
    }

    fn deposed(&self) {
        self.enter(ImporterState::Waits);
        if self.lease.lock().take().is_some() {
            tracing::info!("another gateway imports from now on");
        }
    }

    /// One term: from taking the lease to losing it, or to a failure.
    async fn lead(&self, lost: Option<FollowError>) -> TermEnd {
        let term = async {
            let fence = self.renew().await?;
            Term::begin(self, fence, lost).await?.run().await
        };
        match term.await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    /// Renews the lease, or takes it.
    async fn renew(&self) -> Result<Fence, TermEnd> {
        let held = *self.lease.lock();
        let fence = self.collections.lease(held).await?;
        let fence = fence.ok_or(TermEnd::Deposed)?;
        *self.lease.lock() = Some(fence);
        Ok(fence)
    }
}

/// Whether a failure is logged that comes after so many others.
pub(super) fn is_logged(failures: u32) -> bool {
    failures.is_power_of_two() || failures.is_multiple_of(FAILURES_LOGGED)
}

fn pause_after(failures: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failures.min(10));
    doubled.min(PAUSE_MAX)
}

#[cfg(test)]
mod tests;
