//! The record of one operation: what its line in the log says, and what metrics count of it. It goes down the road with
//! its caller, and each module notes what it alone knows. The line is written when the last of them has let it go.
//!
//! It holds no content: no document, no id of one, no scope, no variable.

use std::{
    fmt, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use tidegate_core::{
    change::RejectionCode,
    id::{ApiHash, ClientId, UserId},
    outcome::Status,
};

use crate::{
    lock::Mutex,
    metrics::{Metrics, seconds},
    telemetry::Escaped,
};

/// The longest name of an operation in the log. Apps name theirs as they like.
const NAME_CHARS_MAX: usize = 64;

/// The digits of a user's hash in the log: enough that a million users share none.
const HASH_BYTES: usize = 10;

/// What observes the operations of a gateway.
pub(crate) struct Observer {
    pub(crate) metrics: Arc<Metrics>,
    /// With a key, the log names users by their hash.
    user_key: Mutex<Option<UserKey>>,
}

/// The key of the hashes of users. Debug output does not show it.
#[derive(Clone)]
pub(crate) struct UserKey(Arc<hmac::Key>);

impl UserKey {
    pub(crate) fn new(secret: &str) -> Self {
        Self(Arc::new(hmac::Key::new(
            hmac::HMAC_SHA256,
            secret.as_bytes(),
        )))
    }

    /// The hash of a user, in hexadecimal.
    fn hash(&self, user: &UserId) -> String {
        let tag = hmac::sign(&self.0, user.as_str().as_bytes());
        let bytes = tag.as_ref().iter().take(HASH_BYTES);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey")
    }
}

impl Observer {
    pub(crate) fn new(metrics: Arc<Metrics>, user_key: Option<UserKey>) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            user_key: Mutex::new(user_key),
        })
    }

    /// Names users by another key from now on.
    pub(crate) fn set_user_key(&self, user_key: Option<UserKey>) {
        *self.user_key.lock() = user_key;
    }

    /// How the log names a user.
    fn name_of(&self, user: &UserId) -> String {
        match &*self.user_key.lock() {
            Some(key) => key.hash(user),
            None => Escaped(user.as_str()).to_string(),
        }
    }
}

/// How an operation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// One request, one answer.
    Http,
    WebSocket,
    EventStream,
    Multipart,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::EventStream => "sse",
            Self::Multipart => "multipart",
        }
    }
}

/// The id of a request, as the log names it.
pub(crate) type RequestId = Arc<str>;

/// One operation of a user.
pub(crate) struct OperationRecord {
    observer: Arc<Observer>,
    begun: Instant,
    request: RequestId,
    user: UserId,
    api: Option<ApiHash>,
    facts: Mutex<Facts>,
}

/// What is noted of an operation.
struct Facts {
    transport: Transport,
    kind: &'static str,
    name: Option<String>,
    client: Option<ClientId>,
    pushed: Option<Pushed>,
    /// The code of the first failure.
    code: Option<&'static str>,
    answers: u64,
    bytes: u64,
    /// When the first answer was ready.
    answered: Option<Duration>,
    is_subscribed: bool,
}

/// What became of the changes of a push, or of a resolution.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) applied: u32,
    pub(crate) merged: u32,
    pub(crate) conflicts: u32,
    pub(crate) rejected: u32,
    /// Why the first rejected change was rejected.
    pub(crate) rejection: Option<RejectionCode>,
    pub(crate) is_repeated: bool,
}

impl Pushed {
    pub(crate) fn count(&mut self, status: Status) {
        *match status {
            Status::Applied => &mut self.applied,
            Status::Merged => &mut self.merged,
            Status::Conflict => &mut self.conflicts,
            Status::Rejected => &mut self.rejected,
        } += 1;
    }
}

impl OperationRecord {
    /// An operation that begins now.
    pub(crate) fn begin(
        observer: &Arc<Observer>,
        request: RequestId,
        user: &UserId,
        api: Option<ApiHash>,
        transport: Transport,
    ) -> Arc<Self> {
        Arc::new(Self {
            observer: Arc::clone(observer),
            begun: Instant::now(),
            request,
            user: user.clone(),
            api,
            facts: Mutex::new(Facts {
                transport,
                kind: "none",
                name: None,
                client: None,
                pushed: None,
                code: None,
                answers: 0,
                bytes: 0,
                answered: None,
                is_subscribed: false,
            }),
        })
    }

    /// The request that it came with.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// What it is, once that is known. `name` is the operation's own.
    pub(crate) fn is(&self, kind: &'static str, name: Option<&str>) {
        let mut facts = self.facts.lock();
        facts.kind = kind;
        facts.name = name.map(bounded);
    }

    /// Its answers come in a stream.
    pub(crate) fn comes_by(&self, transport: Transport) {
        self.facts.lock().transport = transport;
    }

    /// It follows from now on, until the record is dropped.
    pub(crate) fn subscribed(&self) {
        let mut facts = self.facts.lock();
        if !mem::replace(&mut facts.is_subscribed, true) {
            let transport = facts.transport.name().into();
            let subscribers = self.observer.metrics.subscribers.of([transport]);
            subscribers.inc();
        }
    }

    /// The client that it names.
    pub(crate) fn of_client(&self, client: &ClientId) {
        self.facts.lock().client = Some(client.clone());
    }

    /// What became of its changes. An operation may push more than once.
    pub(crate) fn pushed(&self, pushed: Pushed) {
        let mut facts = self.facts.lock();
        let sum = facts.pushed.get_or_insert_default();
        sum.applied += pushed.applied;
        sum.merged += pushed.merged;
        sum.conflicts += pushed.conflicts;
        sum.rejected += pushed.rejected;
        sum.is_repeated |= pushed.is_repeated;
        sum.rejection = sum.rejection.or(pushed.rejection);
    }

    /// It failed, in whole or in part. `limit` is the bound that it met, if it was one.
    pub(crate) fn failed(&self, code: &'static str, limit: Option<&'static str>) {
        self.facts.lock().code.get_or_insert(code);
        if let Some(limit) = limit {
            self.observer.metrics.refusals.of([limit.into()]).inc();
        }
    }

    /// An answer of so many bytes is ready.
    pub(crate) fn answered(&self, bytes: usize) {
        let mut facts = self.facts.lock();
        facts.answers += 1;
        facts.bytes += bytes as u64;
        let time = self.begun.elapsed();
        facts.answered.get_or_insert(time);
        let transport = facts.transport.name().into();
        let counter = self.observer.metrics.answer_bytes.of([transport]);
        counter.inc_by(bytes as u64);
    }
}

/// Names the request and nothing of its content.
impl fmt::Debug for OperationRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OperationRecord")
            .field(&self.request)
            .finish()
    }
}

/// A name that fits into a line.
fn bounded(name: &str) -> String {
    let shown = name.chars().take(NAME_CHARS_MAX).collect::<String>();
    Escaped(&shown).to_string()
}

impl Facts {
    /// The code under which the operation is counted.
    fn code(&self) -> &'static str {
        match (self.code, self.answered) {
            (Some(code), _) => code,
            (None, Some(_)) => "OK",
            (None, None) => "CANCELLED",
        }
    }
}

impl Drop for OperationRecord {
    fn drop(&mut self) {
        let facts = self.facts.lock();
        let (transport, code) = (facts.transport.name(), facts.code());
        let metrics = &self.observer.metrics;
        let labels = [transport.into(), facts.kind.into(), code.into()];
        metrics.operations.of(labels).inc();
        if facts.is_subscribed {
            metrics.subscribers.of([transport.into()]).dec();
        } else if let Some(answered) = facts.answered {
            let time = metrics.operation_seconds.of([facts.kind.into()]);
            time.observe(seconds(answered));
        }
        // A subscription takes as long as it is open.
        let time = facts.answered.filter(|_| !facts.is_subscribed);
        let time = time.unwrap_or_else(|| self.begun.elapsed());
        let pushed = facts.pushed.as_ref();
        tracing::info!(
            target: "operation",
            request = &*self.request,
            transport,
            kind = facts.kind,
            operation = facts.name.as_deref(),
            user = self.observer.name_of(&self.user),
            client = facts.client.as_ref().map(|client| Escaped(client.as_str()).to_string()),
            api = self.api.map(|api| api.to_string()),
            code,
            applied = pushed.map(|pushed| pushed.applied),
            merged = pushed.map(|pushed| pushed.merged),
            conflicts = pushed.map(|pushed| pushed.conflicts),
            rejected = pushed.map(|pushed| pushed.rejected),
            rejection = pushed.and_then(|pushed| pushed.rejection).map(RejectionCode::name),
            repeated = pushed.map(|pushed| pushed.is_repeated),
            answers = facts.answers,
            bytes = facts.bytes,
            ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            "operation"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::user;

    fn observer(key: Option<&str>) -> Arc<Observer> {
        Observer::new(Metrics::new(), key.map(UserKey::new))
    }

    #[test]
    fn the_log_names_a_user_or_a_hash_that_only_the_key_makes() {
        let alice = user("alice");
        assert_eq!(observer(None).name_of(&alice), "alice");
        let [one, same, other] = ["key", "key", "yek"].map(|key| observer(Some(key)));
        let hash = one.name_of(&alice);
        assert_eq!(hash.len(), 2 * HASH_BYTES);
        assert_eq!(hash, same.name_of(&alice));
        assert_ne!(hash, other.name_of(&alice));
        assert_ne!(hash, one.name_of(&user("bob")));
    }

    #[test]
    fn names_and_users_add_no_series() {
        let observer = observer(None);
        for number in 0..1_000 {
            let user = user(&format!("user-{number}"));
            let request: RequestId = number.to_string().into();
            let record = OperationRecord::begin(&observer, request, &user, None, Transport::Http);
            record.is("query", Some(&format!("Operation{number}")));
            record.answered(10);
        }
        let text = observer.metrics.text();
        let series = text
            .lines()
            .filter(|line| line.starts_with("tidegate_operations_total{"));
        let series: Vec<&str> = series.collect();
        let expected = r#"tidegate_operations_total{transport="http",kind="query",code="OK"} 1000"#;
        assert_eq!(series, [expected]);
        assert!(!text.contains("user-1") && !text.contains("Operation1"));
    }

    #[test]
    fn an_operation_counts_with_its_first_failure_or_as_left() {
        let observer = observer(None);
        let begin = || {
            OperationRecord::begin(
                &observer,
                "1".into(),
                &user("alice"),
                None,
                Transport::WebSocket,
            )
        };
        let failed = begin();
        failed.failed("RATE_LIMITED", Some("user_rate"));
        failed.failed("INTERNAL_SERVER_ERROR", None);
        failed.answered(0);
        drop(failed);
        drop(begin());
        let text = observer.metrics.text();
        for line in [
            r#"tidegate_operations_total{transport="websocket",kind="none",code="RATE_LIMITED"} 1"#,
            r#"tidegate_operations_total{transport="websocket",kind="none",code="CANCELLED"} 1"#,
            r#"tidegate_refusals_total{limit="user_rate"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_subscriber_counts_while_its_record_lives() {
        let observer = observer(None);
        let record = OperationRecord::begin(
            &observer,
            "1".into(),
            &user("alice"),
            None,
            Transport::EventStream,
        );
        record.subscribed();
        record.subscribed();
        let subscribers = || observer.metrics.subscribers.of(["sse".into()]).get();
        assert_eq!(subscribers(), 1.0);
        drop(record);
        assert_eq!(subscribers(), 0.0);
    }

    #[test]
    fn a_name_is_short_and_stays_in_its_line() {
        assert_eq!(bounded("PullTasks"), "PullTasks");
        assert_eq!(bounded(&"x".repeat(1_000)).len(), NAME_CHARS_MAX);
    }
}
