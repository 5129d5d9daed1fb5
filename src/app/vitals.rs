//! The watch over the store's vitals: it measures them every few seconds, and compares the clocks.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidegate_core::model::Model;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::readiness::HealthCheck;
use crate::{
    metrics::{policy_label, type_label},
    store::StoreVitals,
};

/// How often they are measured.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// The longest time for one measurement. What MongoDB is slow to count must not hide that its clock differs.
const MEASURE_MAX: Duration = Duration::from_secs(30);

/// Clocks that are kept by NTP differ by a few milliseconds.
const CLOCK_APART_MS: i64 = 1_000;

/// Beyond this a gateway is not ready: tokens that were just issued are refused, and edits get times that no user
/// recognises.
pub(super) const CLOCK_APART_MAX_MS: i64 = 60_000;

/// How often the log repeats that the clocks differ.
const CLOCK_LOGGED_EVERY: Duration = Duration::from_secs(10 * 60);

/// Measures again and again.
pub(super) async fn watch(health: Arc<HealthCheck>) -> Infallible {
    let mut ticks = interval(MEASURE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clock_logged = None;
    loop {
        ticks.tick().await;
        health.measure(&mut clock_logged).await;
        health.readiness().await;
    }
}

impl HealthCheck {
    /// Measures once. What was measured before stays while the store cannot be asked.
    async fn measure(&self, clock_logged: &mut Option<Instant>) {
        let clock = self.sync.clock();
        let measured = self.store.vitals(&*clock);
        match tokio::time::timeout(MEASURE_MAX, measured).await {
            Ok(Ok(vitals)) => {
                log_clock(&vitals, clock_logged);
                self.publish_vitals(&vitals);
                *self.vitals.lock() = Some(vitals);
            }
            Ok(Err(error)) => tracing::debug!(%error, "the store could not be measured"),
            Err(_) => tracing::debug!("the store could not be measured in time"),
        }
        if let Ok(standing) = self.sync.standing().await {
            let metrics = &self.observer.metrics;
            metrics
                .model_generation
                .set(f64::from(standing.generation.0));
            metrics.model_leads.set(f64::from(u8::from(standing.leads)));
        }
    }

    fn publish_vitals(&self, vitals: &StoreVitals) {
        let metrics = &self.observer.metrics;
        let or_nan = |value: Option<u64>| value.map_or(f64::NAN, |value| value as f64);
        let offset = vitals.clock_offset_ms;
        let offset = offset.map_or(f64::NAN, |offset| offset as f64 / 1_000.0);
        metrics.clock_offset.set(offset);
        metrics.store_bytes.set(or_nan(vitals.bytes));
        metrics.oplog_window.set(or_nan(vitals.oplog_window_s));
        metrics.importer_lag.set(or_nan(vitals.import_lag_s));
        let model: &Model = self.sync.model();
        for (stored_as, import) in &vitals.import.types {
            if model.stored_type(stored_as).is_none() {
                continue;
            }
            let label = || [type_label(model, stored_as)];
            let scan = import.scan.as_ref();
            let (done, total) = scan.map_or((0, 0), |scan| (scan.done, scan.total));
            metrics.import_done.of(label()).set(done as f64);
            metrics.import_total.of(label()).set(total as f64);
            let held = import.held.map_or(0, |held| held.missing);
            metrics.import_held.of(label()).set(held as f64);
        }
        metrics.withheld_now.clear();
        for ((stored_as, found), count) in &vitals.withheld {
            let labels = [type_label(model, stored_as), found.clone().into()];
            metrics.withheld_now.of(labels).inc_by(*count as f64);
        }
        metrics.conflicts_open.clear();
        for (stored_as, count) in &vitals.conflicts {
            let labels = [type_label(model, stored_as), policy_label(model, stored_as)];
            metrics.conflicts_open.of(labels).inc_by(*count as f64);
        }
    }
}

/// Warns when the clocks begin to differ, and again after a while.
fn log_clock(vitals: &StoreVitals, logged: &mut Option<Instant>) {
    let offset_ms = vitals.clock_offset_ms.unwrap_or_default();
    if offset_ms.abs() <= CLOCK_APART_MS {
        if logged.take().is_some() {
            tracing::info!("the clocks of this gateway and of MongoDB agree again");
        }
        return;
    }
    if logged.is_some_and(|at| at.elapsed() < CLOCK_LOGGED_EVERY) {
        return;
    }
    *logged = Some(Instant::now());
    let seconds = offset_ms as f64 / 1_000.0;
    tracing::warn!(
        ahead_s = seconds,
        "the clocks of this gateway and of MongoDB differ; set both by NTP: tokens, the times of edits and the retention of tombstones depend on it"
    );
}
