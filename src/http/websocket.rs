//! `/graphql` as a WebSocket: whether a handshake is taken, and with which bounds. What is said on the socket is in
//! [`protocol`]; who speaks and listens is in [`session`].

mod message;
mod protocol;
mod session;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::response::Response;

use self::session::Session;
use super::accept::Form;
use super::{HttpState, answer, graphql, guard};
use crate::graphql::error::{Code, Failure};

/// The one protocol spoken; `graphql-ws` names a dead predecessor of another shape.
const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Of each idle socket. With the libraries' defaults of 128 KiB it costs 145 KiB, with these 15.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Beyond it a frame is written at once; what it takes above is given back after each message.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Whether a request wants to become a WebSocket.
pub(super) fn is_handshake(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Answers a handshake. The token may come with it or, since browsers cannot do that, in `connection_init`.
pub(super) async fn upgrade(state: Arc<HttpState>, request: Request) -> Response {
    match admit(&state, request).await {
        Ok((upgrade, token)) => {
            // Taken before the handshake is answered: the shutdown must not end between the two.
            let hold = state.shutdown.hold();
            let session = Session::new(state, token);
            upgrade.on_upgrade(async move |socket| {
                session.run(socket).await;
                drop(hold);
            })
        }
        Err(failure) => answer::refused(Form::Json, failure),
    }
}

async fn admit(
    state: &HttpState,
    request: Request,
) -> Result<(WebSocketUpgrade, Option<String>), Failure> {
    let (mut parts, _) = request.into_parts();
    guard::check_origin(&parts.headers, &state.allowed_origins)?;
    require_subprotocol(&parts.headers)?;
    let token = graphql::token(&parts.headers).ok().map(str::to_owned);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|_| {
        Failure::new(
            Code::BadRequest,
            "The WebSocket handshake is incomplete; it has to be that of version 13 (RFC 6455).",
        )
    })?;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(state.body_bytes_max)
        .max_frame_size(state.body_bytes_max);
    Ok((upgrade, token))
}

fn require_subprotocol(headers: &HeaderMap) -> Result<(), Failure> {
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
    Err(Failure::new(Code::BadRequest, message))
}
