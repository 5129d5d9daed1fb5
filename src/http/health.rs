//! Whether the process is alive, and whether it can serve: for orchestrators and load balancers, without a token.
//! `app` decides what it can do.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER},
    },
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use tower_http::set_header::SetResponseHeaderLayer;

use super::{HttpState, accept::ResponseType, answer, log};
use crate::{
    app::{Health, Part, Readiness},
    graphql::error::{ClientError, Code},
    metrics::Metrics,
};

/// `/healthz` and `/readyz`.
pub(super) fn router() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/healthz", get(async || ok()))
        .route("/readyz", get(readyz))
        .layer(close())
}

/// A probe has no token, so its connection ends with the answer.
fn close() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(CONNECTION, HeaderValue::from_static("close"))
}

/// What is served while the gateway waits for its store.
pub(crate) fn waiting(metrics: &Arc<Metrics>) -> Router {
    let waits = async || {
        let failure = ClientError::new(Code::Unavailable, "The gateway waits for its store.");
        answer::refused(ResponseType::Json, failure)
    };
    let not_ready = async || {
        let reason = "the gateway waits for its store";
        let missing = |part| (part, Health::Missing(reason));
        written(&Readiness(vec![
            missing(Part::Reads),
            missing(Part::Writes),
        ]))
    };
    Router::new()
        .route("/healthz", get(async || ok()))
        .route("/readyz", get(not_ready))
        .fallback(waits)
        .layer(close())
        .layer(from_fn_with_state(Arc::clone(metrics), log::log))
}

/// A gateway that is about to shut down is not ready, so that no new work is sent to it.
async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    let readiness = state.gateway.readiness().await;
    match state.shutdown.is_announced() {
        true => written(&readiness.draining()),
        false => written(&readiness),
    }
}

fn written(readiness: &Readiness) -> Response {
    let body = serde_json::to_vec(readiness).expect("names and sentences can be written as JSON");
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match readiness.is_ready() {
        true => ([content_type], body).into_response(),
        false => {
            let later = (RETRY_AFTER, HeaderValue::from_static("1"));
            (StatusCode::SERVICE_UNAVAILABLE, [content_type, later], body).into_response()
        }
    }
}

fn ok() -> Response {
    ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}
