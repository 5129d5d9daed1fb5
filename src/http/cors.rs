//! What a browser may do for a page of another origin (CORS, in the Fetch Standard): call, send these headers, read those.
//! [`super::origin`] decides which origins may.

use std::time::Duration;

use axum::http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    api_hash, log,
    origin::{AllowedOrigins, PREFLIGHT_HEADERS},
};

/// A browser asks again after this time. Chromium keeps the answer to a preflight for two hours at most.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Headers of an operation that the gateway reads.
const READ_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    log::REQUEST_ID,
    api_hash::HEADER,
];

/// Headers that front-end tools add to every request of a page, and that change nothing here: names of the client,
/// traces, tokens against forged requests (CSRF). No header that could carry rights is among them, since a proxy in
/// front may trust it.
const HARMLESS_HEADERS: [&str; 49] = [
    // Apollo Client's `clientAwareness`, Apollo Kotlin, GraphQL Hive, fetch-based readers of event streams.
    "apollographql-client-name",
    "apollographql-client-version",
    "x-apollo-operation-id",
    "x-apollo-cache-key",
    "graphql-client-name",
    "graphql-client-version",
    "x-graphql-client-name",
    "x-graphql-client-version",
    "last-event-id",
    "cache-control",
    "if-none-match",
    "pragma",
    // jQuery, axios, Angular.
    "x-csrf-token",
    "x-xsrf-token",
    // W3C Trace Context and Baggage, as OpenTelemetry sends them; B3, Jaeger, AWS X-Ray, Google Cloud.
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "x-correlation-id",
    // Sentry, Datadog, New Relic, Elastic, Application Insights, Instana, Dynatrace, AppDynamics, Highlight, PostHog.
    "sentry-trace",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampled",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-trace-id",
    "newrelic",
    "elastic-apm-traceparent",
    "request-id",
    "request-context",
    "x-instana-t",
    "x-instana-s",
    "x-instana-l",
    "x-dtc",
    "x-dtpc",
    "x-dtreferer",
    "adrum",
    "x-highlight-request",
    "x-posthog-distinct-id",
    "x-posthog-session-id",
    "x-posthog-window-id",
];

/// No other origin may call unless the configuration names it. Tokens come in a header and never in cookies, so that
/// credentials need not be allowed.
pub(super) fn layer(origins: &AllowedOrigins, more_headers: &[HeaderName]) -> Option<CorsLayer> {
    if origins.named.is_empty() && !origins.loopback {
        return None;
    }
    let origins = origins.clone();
    let admits = move |origin: &HeaderValue, _: &_| {
        let origin = origin.to_str();
        origin.is_ok_and(|origin| origins.admit(origin))
    };
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(admits))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(allowed_headers(more_headers))
        .expose_headers([log::REQUEST_ID, RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE);
    Some(cors)
}

/// All headers that a page may send, with those of the configuration.
pub(super) fn allowed_headers(more: &[HeaderName]) -> Vec<HeaderName> {
    let harmless = HARMLESS_HEADERS.map(HeaderName::from_static);
    let ours = READ_HEADERS.into_iter().chain(PREFLIGHT_HEADERS);
    ours.chain(harmless).chain(more.iter().cloned()).collect()
}
