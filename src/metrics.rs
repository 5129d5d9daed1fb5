//! What the gateway measures: one struct of instruments, which goes down the road that requests take, and the text that
//! Prometheus reads. What a module already counts for its bounds is read at a scrape and counted nowhere else.
//!
//! A label has one of a bounded set of values: a type of the model, a code, a status, a transport, a limit. No label
//! names a user, a scope, a document or an operation.

mod instrument;
mod process;

use std::sync::Arc;

use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, gauge, histogram::Histogram},
    registry::Registry,
};
use tidegate_core::{
    id::TypeName,
    model::{Model, Policy},
};

#[cfg(test)]
use self::instrument::Kind;
pub(crate) use self::instrument::{Label, Labelled, seconds};
use self::{instrument::Instrument, process::ProcessFigures};
use crate::lock::Mutex;

/// The media type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

type Gauge = gauge::Gauge<f64, std::sync::atomic::AtomicU64>;
type Counters<const N: usize> = Labelled<Counter, N>;
type Gauges<const N: usize> = Labelled<Gauge, N>;
type Histograms<const N: usize> = Labelled<Histogram, N>;

macro_rules! metrics {
    ($($field:ident: $kind:ty = $name:literal, $labels:expr, $help:literal;)*) => {
        /// The instruments. One gateway has one of it.
        pub(crate) struct Metrics {
            registry: Registry,
            readings: Mutex<Vec<Box<Reading>>>,
            process: ProcessFigures,
            $(#[doc = $help] pub(crate) $field: $kind,)*
        }

        impl Metrics {
            /// Instruments that have measured nothing.
            pub(crate) fn new() -> Arc<Self> {
                let mut registry = Registry::default();
                $(
                    let $field = <$kind as Instrument>::made(&$labels);
                    $field.register(&mut registry, $name, $help);
                )*
                let metrics = Self {
                    process: ProcessFigures::new(&mut registry),
                    registry,
                    readings: Mutex::default(),
                    $($field,)*
                };
                metrics.mark_unknown();
                Arc::new(metrics)
            }
        }

        /// The metrics but those of the process.
        #[cfg(test)]
        const OWN: &[(&str, Kind, &[&str], &str)] =
            &[$(($name, <$kind as Instrument>::KIND, &$labels, $help),)*];
    };
}

metrics! {
    build_info: Gauges<1> = "tidegate_build_info", ["version"], "1, with the version of the gateway";
    ready: Gauges<1> = "tidegate_ready", ["part"], "1 if this part of `/readyz` is good, as of the last check, otherwise 0";

    operations: Counters<3> = "tidegate_operations", ["transport", "kind", "code"], "Operations that have ended; `OK`, `CANCELLED` if the client left before its answer, or the code of the first failure";
    operation_seconds: Histograms<1> = "tidegate_operation_duration_seconds", ["kind"], "Time from the arrival of a query or a mutation to its answer";
    answer_bytes: Counters<1> = "tidegate_answer_bytes", ["transport"], "Bytes of answers, before compression";
    http_responses: Counters<2> = "tidegate_http_responses", ["path", "status"], "Responses, by the path and the status; handshakes of sockets are 101";
    requests_underway: Gauge = "tidegate_requests_underway", [], "Queries and mutations under way (`limits.requests`)";
    connections: Gauges<1> = "tidegate_connections", ["kind"], "Open connections: `authenticated` ones have shown a good token (`limits.connections`), `new` ones have not (`limits.new_connections`)";
    sockets: Gauge = "tidegate_sockets", [], "Open WebSockets";
    buffer_bytes: Gauge = "tidegate_buffer_bytes", [], "Bytes of arriving requests and unread answers (`limits.buffer_bytes`)";
    refusals: Counters<1> = "tidegate_refusals", ["limit"], "Requests and connections beyond a limit, by the name of the setting without `limits.`";
    tokens: Counters<1> = "tidegate_token_verifications", ["result"], "Verified tokens: `accepted`, or why a token was refused";
    key_set_age: Gauge = "tidegate_key_set_age_seconds", [], "Time since `auth.jwks_url` was fetched the last time; NaN without one, or before the first fetch";
    key_set_fetches: Counters<1> = "tidegate_key_set_fetches", ["result"], "Fetches of `auth.jwks_url`: `fetched` or `failed`";

    pushes: Counters<1> = "tidegate_pushes", ["result"], "Pushes and resolutions: `answered`, `repeated` if the same was answered before, or the kind of failure";
    push_seconds: Histogram = "tidegate_push_duration_seconds", [], "Time that a push or a resolution takes, with its wait in the queue and questions to webhooks";
    changes: Counters<3> = "tidegate_changes", ["type", "status", "code"], "Changes that were decided, by the type of the document, the status and, if REJECTED, the code. Repeated pushes do not count";
    conflicts_opened: Counters<2> = "tidegate_conflicts_opened", ["type", "policy"], "Changes that were put into the inbox, by the policy that left them open";
    conflicts_open: Gauges<2> = "tidegate_conflicts_open", ["type", "policy"], "Conflicts that wait in the inbox, of all gateways, up to 10,000 in all, by the policy that the model has for the type";
    queue_length: Gauge = "tidegate_push_queue_length", [], "Pushes that wait or are carried out";
    queue_bytes: Gauge = "tidegate_push_queue_bytes", [], "About the bytes of these (`limits.push_queue_bytes`)";
    commit_seconds: Histograms<1> = "tidegate_commit_duration_seconds", ["result"], "Time that the transaction of a group of pushes takes: `committed`, `conflict` or `failed`";
    write_conflicts: Counter = "tidegate_write_conflicts", [], "Groups of pushes that are repeated because another gateway wrote to the same scopes";
    webhook_seconds: Histograms<2> = "tidegate_webhook_duration_seconds", ["webhook", "result"], "Time that a question to a webhook takes, with its wait: `answered`, `late`, `crowded`, `refused` or `failed`";

    pages: Counters<1> = "tidegate_pages", ["source"], "Pages for clients: a `pull`, or of a subscription, from the `store` or from a `ring`";
    page_changes: Counters<1> = "tidegate_page_changes", ["source"], "Changes on these pages";
    page_bytes: Counters<1> = "tidegate_page_bytes", ["source"], "Bytes of these changes, as stored";
    resets: Counter = "tidegate_page_resets", [], "Pages that tell a client to begin again";
    subscribers: Gauges<1> = "tidegate_subscribers", ["transport"], "Open subscriptions";
    delivery_seconds: Histogram = "tidegate_delivery_duration_seconds", [], "Time from the arrival of a commit at this gateway to the moment at which its page, from a ring, has been handed to the client's connection";
    ring_misses: Counter = "tidegate_ring_misses", [], "Reads of the store by subscriptions that a ring could not serve";
    ring_bytes: Gauge = "tidegate_ring_bytes", [], "Bytes that rings keep, at most 256 MiB";

    importer_leads: Gauge = "tidegate_importer_leads", [], "1 if this gateway is the importer, otherwise 0";
    stream_open: Gauge = "tidegate_importer_stream_open", [], "1 if this gateway follows the change stream of what others write, otherwise 0";
    stream_opens: Counter = "tidegate_importer_stream_opens", [], "Openings of that stream";
    importer_failures: Counter = "tidegate_importer_failures", [], "Ends of that stream, and of imports, by a failure";
    importer_lag: Gauge = "tidegate_importer_lag_seconds", [], "How old the importer's position is by MongoDB's time, whichever gateway imports; NaN before the first. Ten seconds are normal when nobody writes";
    import_done: Gauges<1> = "tidegate_import_done_documents", ["type"], "Documents and entries that the scan of a type has compared; 0 without a scan";
    import_total: Gauges<1> = "tidegate_import_total_documents", ["type"], "About how many it has to compare; 0 without a scan";
    import_held: Gauges<1> = "tidegate_import_held_documents", ["type"], "Documents that are missing and not deleted from devices until an operator says so";
    imported: Counters<1> = "tidegate_importer_written", ["type"], "Entries that this gateway wrote for what others did";
    withheld: Counters<2> = "tidegate_importer_withheld", ["type", "found"], "Documents that this gateway has withheld because they do not fit the model, by the BSON type of the value that does not fit; `missing` if there is none";
    withheld_now: Gauges<2> = "tidegate_withheld_documents", ["type", "found"], "Documents that are withheld now, up to 10,000 in all; MongoDB only";

    store_bytes: Gauge = "tidegate_store_bytes", [], "Bytes of the store: of the embedded file, or of Tidegate's own collections with their indexes; NaN if unknown";
    oplog_window: Gauge = "tidegate_oplog_window_seconds", [], "How far the oplog reaches back; NaN if it is unknown or there is none";
    clock_offset: Gauge = "tidegate_clock_offset_seconds", [], "How far this gateway's clock is ahead of MongoDB's; NaN if there is none";
    model_generation: Gauge = "tidegate_model_generation", [], "The number of this gateway's model among those of the store";
    model_leads: Gauge = "tidegate_model_leads", [], "1 if this gateway's model is in force, 0 if another one is";
}

/// Reads at a scrape what a module counts anyway. `None` once its module is gone.
type Reading = dyn Fn(&Metrics) -> Option<()> + Send + Sync;

impl Metrics {
    /// From now on, `reading` is called before each scrape, as long as it returns `Some`.
    pub(crate) fn read_at_scrape(
        &self,
        reading: impl Fn(&Self) -> Option<()> + Send + Sync + 'static,
    ) {
        self.readings.lock().push(Box::new(reading));
    }

    /// What nothing has measured yet is not 0.
    fn mark_unknown(&self) {
        let version = env!("CARGO_PKG_VERSION").into();
        self.build_info.of([version]).set(1.0);
        for gauge in [
            &self.key_set_age,
            &self.importer_lag,
            &self.store_bytes,
            &self.oplog_window,
            &self.clock_offset,
        ] {
            gauge.set(f64::NAN);
        }
    }

    /// All that is measured, in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        self.readings
            .lock()
            .retain(|reading| reading(self).is_some());
        self.process.read();
        let mut text = String::with_capacity(64 << 10);
        prometheus_text::encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }
}

/// A type as labels name it.
pub(crate) fn type_label(model: &Model, stored_as: &TypeName) -> Label {
    let document_type = model.stored_type(stored_as);
    document_type.map_or("unknown".into(), |document_type| {
        document_type.name.as_str().to_owned().into()
    })
}

/// The policy that the model has for a type.
pub(crate) fn policy_label(model: &Model, stored_as: &TypeName) -> Label {
    let document_type = model.stored_type(stored_as);
    document_type
        .map_or("", |document_type| {
            policy_name(document_type.conflict.policy)
        })
        .into()
}

pub(crate) fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::ServerWins => "SERVER_WINS",
        Policy::ClientWins => "CLIENT_WINS",
        Policy::LastWriteWins => "LAST_WRITE_WINS",
        Policy::Merge => "MERGE",
        Policy::Manual => "MANUAL",
        Policy::Webhook => "WEBHOOK",
    }
}

#[cfg(test)]
mod tests;
