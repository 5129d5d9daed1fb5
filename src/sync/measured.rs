//! What the service measures of pushes, pages and webhooks, and notes in the records of operations.

use std::sync::Arc;

use tidegate_core::{
    model::Policy,
    outcome::Status,
    push::{Outcome, PushOutcome},
};
use tokio::time::Instant;

use super::{Caller, Page, StoredChange, SyncError, SyncService};
use crate::{
    metrics::{Label, Metrics, policy_label, policy_name, seconds, type_label},
    record::Pushed,
    webhook::WebhookError,
};

/// Where the changes of a page come from.
#[derive(Clone, Copy)]
pub(super) enum PageSource {
    /// A read of the store that a client asked for.
    Pull,
    /// A read of the store for a subscription.
    Store,
    /// The rings.
    Ring,
}

impl PageSource {
    fn name(self) -> Label {
        let name = match self {
            Self::Pull => "pull",
            Self::Store => "store",
            Self::Ring => "ring",
        };
        name.into()
    }
}

impl SyncService {
    /// Lets each scrape read what the service counts for its bounds.
    pub(super) fn measure(self: &Arc<Self>) {
        let service = Arc::downgrade(self);
        self.metrics.read_at_scrape(move |metrics| {
            let service = service.upgrade()?;
            let (length, bytes) = service.commits.usage();
            metrics.queue_length.set(length as f64);
            metrics.queue_bytes.set(bytes as f64);
            metrics.ring_bytes.set(service.live.rings_bytes() as f64);
            Some(())
        });
    }

    /// When a transaction was sent to the store the last time, and whether the store could write it.
    pub(crate) fn last_commit(&self) -> Option<(Instant, bool)> {
        self.commits.last_commit()
    }

    /// Measures a push or a resolution, and notes what became of it.
    pub(super) async fn measured_push(
        &self,
        caller: &Caller,
        policy: Option<Policy>,
        pushing: impl Future<Output = Result<PushOutcome, SyncError>>,
    ) -> Result<PushOutcome, SyncError> {
        let begun = Instant::now();
        let pushed = pushing.await;
        let metrics = &self.metrics;
        metrics.push_seconds.observe(seconds(begun.elapsed()));
        let result = match &pushed {
            Ok(outcome) if outcome.duplicate => "repeated",
            Ok(_) => "answered",
            Err(error) => error.kind(),
        };
        metrics.pushes.of([result.into()]).inc();
        if let Ok(outcome) = &pushed {
            self.note(caller, policy, outcome);
        }
        pushed
    }

    fn note(&self, caller: &Caller, policy: Option<Policy>, pushed: &PushOutcome) {
        let mut counted = Pushed {
            is_repeated: pushed.duplicate,
            ..Pushed::default()
        };
        for outcome in &pushed.outcomes {
            counted.count(outcome.status);
            let rejection = outcome.error.as_ref().map(|error| error.code);
            counted.rejection = counted.rejection.or(rejection);
            if !pushed.duplicate {
                self.count(policy, outcome);
            }
        }
        if let Some(record) = caller.record() {
            record.pushed(counted);
        }
    }

    fn count(&self, policy: Option<Policy>, outcome: &Outcome) {
        let type_name = type_label(&self.model, &outcome.type_name);
        let code = outcome.error.as_ref().map_or("", |error| error.code.name());
        let labels = [type_name.clone(), status(outcome.status), code.into()];
        self.metrics.changes.of(labels).inc();
        if outcome.inbox.is_some() {
            let policy = match policy {
                Some(policy) => policy_name(policy).into(),
                None => policy_label(&self.model, &outcome.type_name),
            };
            let labels = [type_name, policy];
            self.metrics.conflicts_opened.of(labels).inc();
        }
    }

    pub(super) fn measure_page(&self, source: PageSource, page: &Page) {
        let metrics = &self.metrics;
        let changes = page.changes.len() as u64;
        let bytes: usize = page.changes.iter().map(StoredChange::bytes).sum();
        metrics.pages.of([source.name()]).inc();
        metrics.page_changes.of([source.name()]).inc_by(changes);
        metrics.page_bytes.of([source.name()]).inc_by(bytes as u64);
        if page.reset {
            metrics.resets.inc();
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn measure_webhook(
        &self,
        webhook: &str,
        answer: &Result<Vec<u8>, WebhookError>,
        begun: Instant,
    ) {
        let result = match answer {
            Ok(_) => "answered",
            Err(error) => error.kind(),
        };
        let labels = [webhook.to_owned().into(), result.into()];
        let time = self.metrics.webhook_seconds.of(labels);
        time.observe(seconds(begun.elapsed()));
    }
}

fn status(status: Status) -> Label {
    let name = match status {
        Status::Applied => "APPLIED",
        Status::Merged => "MERGED",
        Status::Conflict => "CONFLICT",
        Status::Rejected => "REJECTED",
    };
    name.into()
}
