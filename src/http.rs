//! The HTTP interface of the gateway: its routes, and the layers around all of them. `graphql` decides what an operation
//! means; nothing here knows a document, a scope or a store.

mod accept;
mod answer;
mod api_hash;
mod assets;
mod coding;
mod compression;
mod connections;
mod cors;
mod dev_token;
mod devices;
mod drain;
mod graphiql;
mod graphql;
mod health;
mod json;
mod log;
mod metrics;
mod multipart;
mod operation;
mod operation_limit;
mod origin;
mod pace;
mod response_stream;
mod server;
mod sse;
pub mod websocket;

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::get,
};
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use self::{
    accept::ResponseType,
    compression::{Compressors, compress},
    operation_limit::OperationLimiter,
};
pub(crate) use self::{
    dev_token::{DevToken, DevTokenSigner},
    graphiql::{DevUser, GraphiqlConfig, Tab},
    health::waiting,
    metrics::router as metrics_router,
    origin::AllowedOrigins,
    server::{ServerOptions, Shutdown, serve},
};
use crate::{
    app::Gateway,
    config::HttpTimes,
    graphql::error::{ClientError, Code},
    limits::Limits,
    metrics::Metrics,
    quota::Quota,
};

/// The settings of a gateway's HTTP interface.
#[derive(Clone)]
pub(crate) struct HttpOptions {
    pub(crate) limits: Limits,
    /// How long the gateway waits for clients.
    pub(crate) times: HttpTimes,
    /// The origins whose pages may call from a browser, besides the gateway's own.
    pub(crate) origins: AllowedOrigins,
    /// What these pages may send besides the headers that front-end tools add.
    pub(crate) allowed_headers: Vec<HeaderName>,
    /// The configuration of GraphiQL; `None` serves no GraphiQL.
    pub(crate) graphiql: Option<GraphiqlConfig>,
    /// Signs the tokens that pages of this machine may ask for; `None` gives nobody a token.
    pub(crate) dev_tokens: Option<DevTokenSigner>,
    /// Whether a `Host` other than this machine's own names is refused. GraphiQL in `dev` holds tokens, and a page on
    /// the web could reach it under its own name if that resolves to 127.0.0.1 (DNS rebinding).
    pub(crate) loopback_hosts_only: bool,
    /// Whether `/schema.graphql` is shown without a token.
    pub(crate) public_schema: bool,
}

/// What the handlers share.
struct HttpState {
    gateway: Arc<Gateway>,
    body_bytes_max: usize,
    operation_limiter: Arc<OperationLimiter>,
    quota: Arc<Quota>,
    times: HttpTimes,
    origins: AllowedOrigins,
    /// The API as SDL. All readers share these bytes.
    schema: Bytes,
    public_schema: bool,
    shutdown: Shutdown,
}

/// All routes of a gateway.
pub(crate) fn router(
    gateway: Arc<Gateway>,
    options: HttpOptions,
    quota: Arc<Quota>,
    shutdown: Shutdown,
) -> Router {
    let HttpOptions {
        limits,
        times,
        origins,
        allowed_headers,
        graphiql,
        dev_tokens,
        loopback_hosts_only,
        public_schema,
    } = options;
    let is_page_served = dev_tokens.is_some();
    let mut router = api();
    if let Some(sign) = dev_tokens {
        router = router.merge(dev_token::router(sign));
    }
    if let Some(cors) = cors::layer(&origins, &allowed_headers) {
        router = router.layer(cors);
    }
    if is_page_served {
        router = router.merge(devices::router());
    }
    router = router.merge(health::router());
    if let Some(config) = graphiql {
        router = router.merge(graphiql::router(config));
    }
    let state = Arc::new(HttpState {
        schema: Bytes::copy_from_slice(gateway.api.sdl().as_bytes()),
        body_bytes_max: limits.body_bytes,
        operation_limiter: OperationLimiter::measured(limits, &gateway.observer.metrics),
        gateway,
        quota,
        times,
        origins,
        public_schema,
        shutdown,
    });
    let metrics = Arc::clone(&state.gateway.observer.metrics);
    around(router, loopback_hosts_only, metrics)
        .layer(from_fn_with_state(times.write, pace::in_parts))
        .with_state(state)
}

/// The routes that pages of other origins may call.
fn api() -> Router<Arc<HttpState>> {
    let endpoint = get(graphql::get).post(graphql::post);
    Router::new()
        .route("/graphql", endpoint)
        // Nothing else is compressed, since strangers may request it.
        .layer(from_fn_with_state(Compressors::default(), compress))
        .layer(always(CACHE_CONTROL, "no-store"))
        .route("/schema.graphql", get(graphql::schema))
        // Here as well as around all routes: CORS has to be the outer layer, to answer preflights.
        .method_not_allowed_fallback(method_not_allowed)
}

/// The layers around every request, from the inside to the outside.
fn around<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    loopback_hosts_only: bool,
    metrics: Arc<Metrics>,
) -> Router<S> {
    let mut router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    if loopback_hosts_only {
        router = router.layer(from_fn(origin::loopback_hosts_only));
    }
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(drain::take_in))
        .layer(always(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(from_fn_with_state(metrics, log::log))
}

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

async fn not_found() -> Response {
    let message = "There is nothing at this path; the API is at /graphql.";
    answer::refused(
        ResponseType::Json,
        ClientError::new(Code::NotFound, message),
    )
}

async fn method_not_allowed() -> Response {
    let message = "This path does not take this method; the header `Allow` names those it takes.";
    answer::refused(
        ResponseType::Json,
        ClientError::new(Code::MethodNotAllowed, message),
    )
}

/// The process's panic hook has logged the panic itself, with its place.
fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(target: "http", "a request was answered 500 because its handler panicked");
    let message = "The gateway failed; its log says how.";
    answer::refused(
        ResponseType::Json,
        ClientError::new(Code::Internal, message),
    )
}

#[cfg(test)]
mod tests;
