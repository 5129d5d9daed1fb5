//! `/metrics`, on a listener of its own: an operator's network reads it, and clients do not reach it. `crate::metrics`
//! measures.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{
        HeaderValue,
        header::{CONNECTION, CONTENT_TYPE},
    },
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::get,
};
use tokio::time::Instant;
use tower_http::set_header::SetResponseHeaderLayer;

use super::{method_not_allowed, not_found, pace};
use crate::{
    config::HttpTimes,
    lock::Mutex,
    metrics::{CONTENT_TYPE as TEXT_FORMAT, Metrics},
};

/// How long a text serves all readers. Readers that come faster cost no more.
const SHARED_FOR: Duration = Duration::from_millis(500);

/// What the handler shares.
struct Scrapes {
    metrics: Arc<Metrics>,
    last: Mutex<Option<(Instant, Bytes)>>,
}

/// The one route. A reader that reads too slowly is cut off like any client.
pub(crate) fn router(metrics: Arc<Metrics>, times: HttpTimes) -> Router {
    let state = Arc::new(Scrapes {
        metrics,
        last: Mutex::default(),
    });
    let close = HeaderValue::from_static("close");
    Router::new()
        .route("/metrics", get(scrape))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(SetResponseHeaderLayer::overriding(CONNECTION, close))
        .layer(from_fn_with_state(times.write, pace::in_parts))
        .with_state(state)
}

async fn scrape(State(scrapes): State<Arc<Scrapes>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT_FORMAT)], scrapes.text())
}

impl Scrapes {
    fn text(&self) -> Bytes {
        let mut last = self.last.lock();
        if let Some((at, text)) = &*last
            && at.elapsed() < SHARED_FOR
        {
            return text.clone();
        }
        let text = Bytes::from(self.metrics.text());
        *last = Some((Instant::now(), text.clone()));
        text
    }
}
