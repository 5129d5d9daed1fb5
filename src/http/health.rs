//! Whether the process is alive, and whether it can serve: for orchestrators and load balancers, without a token.
//! `sync` decides whether the store is available.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderValue,
        header::{CONNECTION, CONTENT_TYPE},
    },
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::timeout;
use tower_http::set_header::SetResponseHeaderLayer;

use super::{HttpState, accept::ResponseType, answer, log};
use crate::{
    graphql::error::{ClientError, Code},
    sync::SyncError,
};

/// The probe gets an answer before its own time-out, so that it learns the reason.
const READY_DEADLINE: Duration = Duration::from_secs(3);

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
pub(crate) fn waiting() -> Router {
    let waits = async || {
        let failure = ClientError::new(Code::Unavailable, "The gateway waits for its store.");
        answer::refused(ResponseType::Json, failure)
    };
    Router::new()
        .route("/healthz", get(async || ok()))
        .fallback(waits)
        .layer(close())
        .layer(from_fn(log::log))
}

/// A gateway that shuts down is not ready, so that no new work is sent to it.
async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    if state.shutdown.has_begun() {
        let failure = ClientError::new(Code::Unavailable, "The gateway is shutting down.");
        return answer::refused(ResponseType::Json, failure);
    }
    let ready = timeout(READY_DEADLINE, state.gateway.sync.ready()).await;
    match ready.unwrap_or(Err(SyncError::Busy)) {
        Ok(()) => ok(),
        Err(error) => {
            tracing::warn!(target: "http", %error, "not ready");
            answer::refused(ResponseType::Json, error.into())
        }
    }
}

fn ok() -> Response {
    ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}
