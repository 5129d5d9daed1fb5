//! What a gateway can do now, part by part: for probes, and for the metric `tidegate_ready`. Callers share a check, so
//! that probes cost the store next to nothing however often they come.
//!
//! The sentences are for strangers, since probes have no token. The log says more.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap};
use tidegate_core::generation::Standing;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, timeout},
};

use super::{CurrentAuthenticator, vitals::CLOCK_APART_MAX_MS};
use crate::{
    lock::Mutex,
    record::Observer,
    store::{Store, StoreError, StoreVitals},
    sync::{SyncError, SyncService},
};

/// How long a check serves all callers, if all is well, and otherwise. With [`PART_DEADLINE`], a probe says within four
/// seconds that MongoDB is gone.
const SHARED_FOR: Duration = Duration::from_secs(2);
const SHARED_WHEN_BAD: Duration = Duration::from_secs(1);

/// How long a part may take. A probe then gets an answer before its own time-out, so that it learns the reason.
const PART_DEADLINE: Duration = Duration::from_secs(2);

/// A commit that is no older than this shows that the store can be written.
const COMMIT_FRESH: Duration = Duration::from_secs(10);

/// An importer saves its position every ten seconds when nobody writes.
const IMPORT_LAG_MAX_S: u64 = 120;

/// A part of what a gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Reads,
    Writes,
    Keys,
    Clock,
    Importer,
    Model,
    Draining,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Keys => "keys",
            Self::Clock => "clock",
            Self::Importer => "importer",
            Self::Model => "model",
            Self::Draining => "draining",
        }
    }
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// Clients are served all the same.
    Degraded(&'static str),
    /// The gateway is not ready.
    Missing(&'static str),
}

/// All parts, and how each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readiness(pub(crate) Vec<(Part, Health)>);

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        self.missing().next().is_none()
    }

    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.0.iter();
        let missing = parts.filter(|(_, health)| matches!(health, Health::Missing(_)));
        missing.map(|(part, _)| part.name())
    }

    fn is_good(&self) -> bool {
        self.0.iter().all(|(_, health)| *health == Health::Good)
    }

    /// The same for a gateway that is about to stop.
    pub(crate) fn draining(&self) -> Self {
        let mut parts = self.0.clone();
        let reason = "the gateway is shutting down";
        parts.push((Part::Draining, Health::Missing(reason)));
        Self(parts)
    }
}

/// `{status, missing: […], parts: {…}}`.
impl Serialize for Readiness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = match (self.is_ready(), self.is_good()) {
            (true, true) => "ok",
            (true, false) => "degraded",
            (false, _) => "unavailable",
        };
        let parts = self.0.iter().map(|(part, health)| {
            let says = match health {
                Health::Good => "ok",
                Health::Degraded(reason) | Health::Missing(reason) => *reason,
            };
            (part.name(), says)
        });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", status)?;
        map.serialize_entry("missing", &self.missing().collect::<Vec<_>>())?;
        map.serialize_entry(
            "parts",
            &serde_json::Map::from_iter(parts.map(|(name, says)| (name.to_owned(), says.into()))),
        )?;
        map.end()
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<_> = self.missing().collect();
        f.write_str(&missing.join(", "))
    }
}

/// Checks the parts of a gateway.
pub(super) struct HealthCheck {
    pub(super) store: Arc<dyn Store>,
    pub(super) sync: Arc<SyncService>,
    pub(super) authenticator: CurrentAuthenticator,
    pub(super) observer: Arc<Observer>,
    checked: AsyncMutex<Option<(Instant, Arc<Readiness>)>>,
    /// What was measured of the store the last time.
    pub(super) vitals: Mutex<Option<StoreVitals>>,
    /// What was missing when that was logged.
    logged: Mutex<BTreeSet<Part>>,
}

impl HealthCheck {
    pub(super) fn new(
        store: Arc<dyn Store>,
        sync: Arc<SyncService>,
        authenticator: CurrentAuthenticator,
        observer: Arc<Observer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            sync,
            authenticator,
            observer,
            checked: AsyncMutex::default(),
            vitals: Mutex::default(),
            logged: Mutex::default(),
        })
    }

    /// What the gateway can do now, as of a few seconds ago at most.
    pub(super) async fn readiness(&self) -> Arc<Readiness> {
        let mut checked = self.checked.lock().await;
        if let Some((at, readiness)) = &*checked {
            let fresh = match readiness.is_good() {
                true => SHARED_FOR,
                false => SHARED_WHEN_BAD,
            };
            if at.elapsed() < fresh {
                return Arc::clone(readiness);
            }
        }
        let readiness = Arc::new(self.check().await);
        self.publish(&readiness);
        *checked = Some((Instant::now(), Arc::clone(&readiness)));
        readiness
    }

    async fn check(&self) -> Readiness {
        let (reads, writes, keys) = tokio::join!(self.reads(), self.writes(), self.keys());
        let (reads, standing) = reads;
        let vitals = self.vitals.lock().clone().unwrap_or_default();
        Readiness(vec![
            (Part::Reads, reads),
            (Part::Writes, writes),
            (Part::Keys, keys),
            (Part::Clock, clock(&vitals)),
            (Part::Importer, importer(&vitals)),
            (Part::Model, model(standing)),
        ])
    }

    async fn reads(&self) -> (Health, Option<Standing>) {
        let ready = timeout(PART_DEADLINE, self.sync.ready()).await;
        match ready.unwrap_or(Err(SyncError::Busy)) {
            Ok(standing) => (Health::Good, Some(standing)),
            Err(error) => {
                tracing::debug!(%error, "the store cannot be read");
                let reason = match error {
                    SyncError::NotPermitted(_) => REFUSED,
                    SyncError::Internal(_) => "the store cannot be read: its content is damaged",
                    SyncError::Busy => "the store does not answer in time",
                    _ => UNREACHABLE,
                };
                (Health::Missing(reason), None)
            }
        }
    }

    /// A commit of late shows it, or something small is written. Of a store without a server the last commit is enough:
    /// nothing changes by itself, and an idle gateway leaves the disk alone.
    async fn writes(&self) -> Health {
        let is_served = self.store.collections().is_some();
        match self.sync.last_commit() {
            Some((at, true)) if at.elapsed() < COMMIT_FRESH => return Health::Good,
            None | Some((_, true)) if !is_served => return Health::Good,
            _ => {}
        }
        let late = || StoreError::Unavailable("it does not answer in time".to_owned());
        let probed = timeout(PART_DEADLINE, self.store.probe_write()).await;
        match probed.unwrap_or_else(|_| Err(late())) {
            Ok(()) => Health::Good,
            Err(error) => {
                tracing::debug!(%error, "the store cannot be written");
                Health::Missing(match error {
                    StoreError::NotPermitted(_) => REFUSED,
                    StoreError::NotWritable(_) => {
                        "the store cannot be written: its disk is full, or writes are blocked"
                    }
                    _ => UNREACHABLE,
                })
            }
        }
    }

    async fn keys(&self) -> Health {
        let now_ms = self.sync.now().ms();
        let authenticator = Arc::clone(&self.authenticator.lock());
        let known = timeout(PART_DEADLINE, authenticator.has_keys(now_ms)).await;
        match known {
            Ok(true) => Health::Good,
            _ => Health::Missing("no key is known yet, because auth.jwks_url cannot be read"),
        }
    }

    fn publish(&self, readiness: &Readiness) {
        for (part, health) in &readiness.0 {
            let is_good = *health == Health::Good;
            let ready = self.observer.metrics.ready.of([part.name().into()]);
            ready.set(f64::from(u8::from(is_good)));
        }
        let bad = readiness.0.iter();
        let bad = bad.filter(|(_, health)| matches!(health, Health::Missing(_)));
        let bad: BTreeSet<Part> = bad.map(|(part, _)| *part).collect();
        let before = std::mem::replace(&mut *self.logged.lock(), bad.clone());
        if before == bad {
            return;
        }
        match bad.is_empty() {
            true => tracing::info!("ready again"),
            false => {
                let parts = serde_json::to_string(readiness).unwrap_or_default();
                tracing::warn!(missing = %readiness, parts, "not ready");
            }
        }
    }
}

const REFUSED: &str =
    "the store refuses the gateway's user; its operator has to grant what `tidegate check` names";
const UNREACHABLE: &str = "the store cannot be reached";

fn clock(vitals: &StoreVitals) -> Health {
    match vitals.clock_offset_ms {
        Some(offset) if offset.abs() > CLOCK_APART_MAX_MS => {
            Health::Missing("the clocks of the gateway and of MongoDB differ by more than a minute")
        }
        _ => Health::Good,
    }
}

fn importer(vitals: &StoreVitals) -> Health {
    let mut types = vitals.import.types.values();
    if types.any(|import| import.held.is_some()) {
        return Health::Degraded(
            "documents are missing, and an operator has to say what becomes of them",
        );
    }
    match vitals.import_lag_s {
        Some(lag) if lag > IMPORT_LAG_MAX_S => {
            Health::Degraded("what other services write arrives late")
        }
        _ => Health::Good,
    }
}

/// A gateway whose model does not lead serves what both models say alike.
fn model(standing: Option<Standing>) -> Health {
    match standing {
        Some(standing) if !standing.leads => Health::Degraded("another model is in force"),
        _ => Health::Good,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(parts: &[(Part, Health)]) -> Readiness {
        Readiness(parts.to_vec())
    }

    #[test]
    fn the_body_names_what_is_missing_and_why() {
        let good = with(&[(Part::Reads, Health::Good)]);
        let expected = json!({"status": "ok", "missing": [], "parts": {"reads": "ok"}});
        assert_eq!(serde_json::to_value(&good).unwrap(), expected);
        let late = with(&[(Part::Importer, Health::Degraded("late"))]);
        assert!(late.is_ready());
        assert_eq!(serde_json::to_value(&late).unwrap()["status"], "degraded");
        let body = serde_json::to_value(good.draining()).unwrap();
        assert_eq!(body["status"], "unavailable");
        assert_eq!(body["missing"], json!(["draining"]));
    }

    #[test]
    fn a_clock_is_off_beyond_a_minute_on_either_side() {
        let offset = |ms| {
            clock(&StoreVitals {
                clock_offset_ms: ms,
                ..StoreVitals::default()
            })
        };
        for good in [None, Some(0), Some(60_000), Some(-60_000)] {
            assert_eq!(offset(good), Health::Good);
        }
        for bad in [60_001, -60_001, 3_600_000] {
            assert!(matches!(offset(Some(bad)), Health::Missing(_)), "{bad}");
        }
    }
}
