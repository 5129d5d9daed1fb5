//! `/graphql` over POST and GET, and the schema's text: from a request to an operation, and from its answer to a
//! response (GraphQL-over-HTTP, draft of 2025). Sockets have a room of their own; what operations do is `graphql`'s.

mod raw;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

pub(super) use self::raw::from_json;
use super::accept::Form;
use super::{HttpState, answer, websocket};
use crate::app::Gateway;
use crate::auth::bearer;
use crate::graphql::answer::Answer;
use crate::graphql::error::{Code, Failure};
use crate::graphql::{Admitted, OperationKind};
use crate::sync::Caller;

/// A body that comes slower than this holds its connection for nothing.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Any operation but a subscription, in a JSON body.
pub(super) async fn post(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let form = Form::negotiate(request.headers());
    let answer = answer_post(&state, form, request).await;
    respond(form, answer)
}

/// A query in the URL, or the handshake of a WebSocket.
pub(super) async fn get(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if websocket::is_handshake(request.headers()) {
        return websocket::upgrade(state, request).await;
    }
    let form = Form::negotiate(request.headers());
    let answer = answer_get(&state, form, request).await;
    respond(form, answer)
}

/// The API as SDL.
pub(super) async fn schema(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    if !state.public_schema
        && let Err(failure) = authenticate(&state.gateway, &headers).await
    {
        return answer::refused(Form::Json, failure);
    }
    let sdl = state.gateway.api.sdl().to_owned();
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], sdl).into_response()
}

async fn answer_post(
    state: &HttpState,
    form: Option<Form>,
    request: Request,
) -> Result<Answer, Failure> {
    let caller = authenticate(&state.gateway, request.headers()).await?;
    require_form(form)?;
    require_json(request.headers())?;
    let body = body(request, state.body_bytes_max).await?;
    let admitted = match state.gateway.api.admit(raw::from_body(&body)?) {
        Ok(admitted) => admitted,
        Err(answer) => return Ok(answer),
    };
    execute(&state.gateway, caller, admitted).await
}

async fn answer_get(
    state: &HttpState,
    form: Option<Form>,
    request: Request,
) -> Result<Answer, Failure> {
    let caller = authenticate(&state.gateway, request.headers()).await?;
    require_form(form)?;
    let admitted = match state.gateway.api.admit(raw::from_uri(request.uri())?) {
        Ok(admitted) => admitted,
        Err(answer) => return Ok(answer),
    };
    // A link or an image could make a browser send it.
    if admitted.kind == OperationKind::Mutation {
        let message = "Mutations come by POST; GET takes queries only.";
        return Err(Failure::new(Code::MethodNotAllowed, message));
    }
    execute(&state.gateway, caller, admitted).await
}

async fn execute(gateway: &Gateway, caller: Caller, admitted: Admitted) -> Result<Answer, Failure> {
    if admitted.kind == OperationKind::Subscription {
        let message = "Subscriptions need a WebSocket at this path, with the subprotocol graphql-transport-ws.";
        return Err(Failure::new(Code::BadRequest, message));
    }
    Ok(gateway.api.execute(&gateway.sync, caller, admitted).await)
}

fn respond(form: Option<Form>, answer: Result<Answer, Failure>) -> Response {
    let form = form.unwrap_or(Form::Json);
    match answer {
        Ok(answer) => answer::answered(form, &answer),
        Err(failure) if failure.code == Code::MethodNotAllowed => answer::needs_post(form, failure),
        Err(failure) => answer::refused(form, failure),
    }
}

async fn authenticate(gateway: &Gateway, headers: &HeaderMap) -> Result<Caller, Failure> {
    gateway.authenticate(token(headers)?).await
}

/// The token of `Authorization`.
///
/// # Errors
/// `UNAUTHENTICATED` when there is none.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, Failure> {
    let value = headers.get(AUTHORIZATION);
    Ok(bearer(value.and_then(|value| value.to_str().ok()))?)
}

fn require_form(form: Option<Form>) -> Result<(), Failure> {
    let message = "Answers come as application/graphql-response+json or application/json; accept one of them.";
    form.map(drop)
        .ok_or_else(|| Failure::new(Code::NotAcceptable, message))
}

/// Forms of web pages send text/plain, urlencoded and multipart bodies to other sites without asking; none is taken.
fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    if essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = "Operations come as JSON; send `Content-Type: application/json`.";
    Err(Failure::new(Code::UnsupportedMediaType, message))
}

async fn body(request: Request, bytes_max: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let message = format!("The body is larger than {bytes_max} bytes; send less at a time.");
        Failure::new(Code::PayloadTooLarge, message)
    };
    if announced(request.headers()).is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let bad = |message: &str| Failure::new(Code::BadRequest, message);
    match timeout(BODY_DEADLINE, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            Err(too_large())
        }
        Ok(Err(_)) => Err(bad("The body ended before it was complete.")),
        Err(_) => Err(bad("The body took too long to arrive.")),
    }
}

/// The length of the body, if the client said it.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
