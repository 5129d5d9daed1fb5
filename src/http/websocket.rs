//! `/graphql` as a WebSocket: which handshakes are accepted, and the answer to them. [`protocol`] has the rules of the
//! messages; `session` sends and receives them.

mod counted;
pub mod message;
pub mod protocol;
mod session;
mod socket;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderValue,
        header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    },
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::Instrument;

use self::{message::ConnectionParams, session::Session, socket::Socket};
use super::{
    HttpState, accept::ResponseType, answer, api_hash, graphql, log, origin,
    server::ConnectionPermit,
};
use crate::{
    graphql::error::{ClientError, Code},
    metrics::Metrics,
    record::RequestId,
};

/// The one subprotocol that the gateway speaks; `graphql-ws` names an older one that differs from it.
const SUBPROTOCOL: &str = "graphql-transport-ws";

/// Whether a request wants to become a WebSocket.
pub(super) fn is_handshake(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Answers a handshake. The token and the app's API may come with it or, since browsers cannot do that, in
/// `connection_init`.
pub(super) async fn upgrade(state: Arc<HttpState>, mut request: Request) -> Response {
    match accept(&state, &request) {
        Ok((response, handshake)) => {
            let permit = request.extensions().get::<Arc<ConnectionPermit>>().cloned();
            let upgrade = hyper::upgrade::on(&mut request);
            let id = log::id_of(&request);
            let conversation = run_socket(upgrade, state, handshake, (permit.clone(), id));
            // Its log lines carry the id of its handshake.
            let task = tokio::spawn(conversation.in_current_span());
            if let Some(permit) = permit {
                permit.served_by(task.abort_handle());
            }
            response
        }
        Err(failure) => answer::refused(ResponseType::Json, failure),
    }
}

/// The shutdown waits for it from before the handshake is answered, so that it cannot end between the two.
fn run_socket(
    upgrade: OnUpgrade,
    state: Arc<HttpState>,
    handshake: ConnectionParams,
    (permit, request): (Option<Arc<ConnectionPermit>>, RequestId),
) -> impl Future<Output = ()> {
    let hold = state.shutdown.hold();
    async move {
        if let Ok(connection) = upgrade.await {
            let _open = OpenSocket::of(&state.gateway.observer.metrics);
            let (bytes_max, patience) = (state.body_bytes_max, state.times.write);
            let account = state.quota.of_strangers();
            let socket = Socket::new(connection, bytes_max, patience, account).await;
            let socket = Box::new(socket);
            let session = Box::new(Session::new(state, handshake, permit, request));
            session.run(socket).await;
        }
        drop(hold);
    }
}

/// Counts a socket while it is open.
struct OpenSocket(Arc<Metrics>);

impl OpenSocket {
    fn of(metrics: &Arc<Metrics>) -> Self {
        metrics.sockets.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.sockets.dec();
    }
}

fn accept(
    state: &HttpState,
    request: &Request,
) -> Result<(Response, ConnectionParams), ClientError> {
    let headers = request.headers();
    origin::check_origin(headers, &state.origins)?;
    require_subprotocol(headers)?;
    let params = ConnectionParams {
        token: graphql::token(headers).ok().map(str::to_owned),
        api: api_hash::of_headers(headers)?,
    };
    let mut response = create_response_with_body(request, Body::empty).map_err(|_| {
        let message =
            "The WebSocket handshake is incomplete; it has to be that of version 13 (RFC 6455).";
        ClientError::new(Code::BadRequest, message)
    })?;
    let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
    response
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    Ok((response, params))
}

fn require_subprotocol(headers: &HeaderMap) -> Result<(), ClientError> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offers = offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim() == SUBPROTOCOL);
    if offers {
        return Ok(());
    }
    let message =
        format!("The WebSocket's subprotocol must be {SUBPROTOCOL}; no other is spoken here.");
    Err(ClientError::new(Code::BadRequest, message))
}
