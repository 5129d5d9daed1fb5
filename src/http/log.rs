//! One line in the log for each request, with the id that all its lines share. Headers, bodies, tokens, query strings
//! and unknown paths are never logged. A request with an operation has that one's line instead (`crate::record`), and
//! lines of probes are for debugging.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use crate::{metrics::Metrics, record::RequestId};

/// The paths that orchestrators ask every few seconds.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Marks the response to a request that has a line of its own in the log.
#[derive(Clone, Copy)]
pub(super) struct Recorded;

/// Identifies a request across a proxy and the gateway.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids are replaced; UUIDs and trace ids are shorter.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Logs a request once it is answered, and sends its id back.
pub(super) async fn log(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let shared = RequestId::from(id.to_str().unwrap_or_default());
    request.extensions_mut().insert(shared);
    let method = known(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched
        .as_ref()
        .map_or("(none of the gateway's)", MatchedPath::as_str);
    let token_use = id.to_str().unwrap_or_default();
    let span = tracing::info_span!(target: "http", "request", id = token_use);
    let mut response = next.run(request).instrument(span).await;
    let status = response.status().as_u16();
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_recorded = response.extensions().get::<Recorded>().is_some();
    if is_recorded || PROBES.contains(&path) {
        tracing::debug!(target: "http", method, path, status, ms, id = token_use, "answered");
    } else {
        tracing::info!(target: "http", method, path, status, ms, id = token_use, "answered");
    }
    let labels = [path.to_owned().into(), status.to_string().into()];
    metrics.http_responses.of(labels).inc();
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The id of a request that [`log`] has seen.
pub(super) fn id_of(request: &Request) -> RequestId {
    let id = request.extensions().get::<RequestId>();
    id.cloned().unwrap_or_else(|| "".into())
}

/// The name of a method that HTTP knows.
fn known(method: &Method) -> &'static str {
    let mut known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].into_iter();
    known.find(|known| method == known).unwrap_or("(unknown)")
}

/// The id that a proxy sent, if it is fit for a log; otherwise a number of this process.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    match headers.get(REQUEST_ID) {
        Some(given) if is_plain(given.as_bytes()) => given.clone(),
        _ => HeaderValue::from(COUNT.fetch_add(1, Ordering::Relaxed)),
    }
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        for (id, expected) in [
            ("4bf92f35-77b3-4da6", true),
            ("1-67891233:abc_d.e", true),
            ("", false),
            ("two words", false),
            ("id=\"x\"", false),
            (&"a".repeat(65), false),
        ] {
            assert_eq!(is_plain(id.as_bytes()), expected, "{id:?}");
        }
    }
}
