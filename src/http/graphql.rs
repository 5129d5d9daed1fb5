//! `/graphql` over POST and GET, and the schema's text: from a request to an operation, and from its answer to a
//! response (GraphQL-over-HTTP, draft of 2025) or a stream. `websocket` serves sockets; `graphql` executes operations.

mod parameters;

use std::sync::Arc;

use axum::{
    body::{Bytes, HttpBody},
    extract::{Request, State},
    http::{
        HeaderMap, Version,
        header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use futures_util::{
    future::BoxFuture,
    stream::{BoxStream, StreamExt},
};
use tidegate_core::id::UserId;
use tokio::time::{sleep, timeout};

pub(super) use self::parameters::from_json;
use super::{
    HttpState,
    accept::{AcceptedTypes, ResponseType, StreamType},
    answer, api_hash,
    connections::UserConnectionPermit,
    log::{self, Recorded},
    operation::{self, CountedAnswer},
    origin, pace,
    response_stream::{self, StreamEnd},
    server::{AuthenticatedUse, ConnectionPermit},
    websocket,
};
use crate::{
    auth::bearer,
    graphql::{
        OperationKind, ValidatedRequest,
        answer::Answer,
        error::{ClientError, Code},
    },
    large,
    quota::{Account, Lease},
    record::{OperationRecord, Transport},
    sync::Caller,
};

/// An operation in a JSON body.
pub(super) async fn post(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let accepted = AcceptedTypes::of(request.headers());
    let requester = match authenticate(&state, &request).await {
        Ok(requester) => requester,
        Err(failure) => return refuse(accepted, failure),
    };
    let record = Arc::clone(&requester.record);
    let answered = answer_post(&state, accepted, requester, request).await;
    recorded(accepted, &record, answered)
}

/// A query or a subscription in the URL, or the handshake of a WebSocket.
pub(super) async fn get(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if websocket::is_handshake(request.headers()) {
        return websocket::upgrade(state, request).await;
    }
    let accepted = AcceptedTypes::of(request.headers());
    let requester = match authenticate(&state, &request).await {
        Ok(requester) => requester,
        Err(failure) => return refuse(accepted, failure),
    };
    let record = Arc::clone(&requester.record);
    let answered = answer_get(&state, accepted, requester, request).await;
    recorded(accepted, &record, answered)
}

/// The response to a request with an operation. The record of the operation notes a failure before its execution.
fn recorded(
    accepted: AcceptedTypes,
    record: &OperationRecord,
    answered: Result<Response, ClientError>,
) -> Response {
    let mut response = answered.unwrap_or_else(|failure| {
        operation::note_failure(record, &failure);
        refuse(accepted, failure)
    });
    response.extensions_mut().insert(Recorded);
    response
}

/// The API as SDL.
pub(super) async fn schema(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let sdl = state.schema.clone();
    if !state.public_schema {
        match authenticate(&state, &request).await {
            Ok(requester) => {
                requester.record.is("schema", None);
                requester.record.answered(sdl.len());
            }
            Err(failure) => return answer::refused(ResponseType::Json, failure),
        }
    }
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], sdl).into_response()
}

async fn answer_post(
    state: &HttpState,
    accepted: AcceptedTypes,
    requester: Requester,
    request: Request,
) -> Result<Response, ClientError> {
    require_form(accepted)?;
    require_json(request.headers())?;
    let (body, _lease) = body(state, &requester.account, request).await?;
    match validate(state, &requester, body).await? {
        Ok(validated) => execute(state, accepted, requester, validated).await,
        Err(refusal) => respond_refused(state, accepted, requester, refusal).await,
    }
}

async fn answer_get(
    state: &HttpState,
    accepted: AcceptedTypes,
    requester: Requester,
    request: Request,
) -> Result<Response, ClientError> {
    require_form(accepted)?;
    origin::check_get(request.headers(), &state.origins)?;
    let validated = match state
        .gateway
        .api
        .validate(parameters::from_uri(request.uri())?)
    {
        Ok(validated) => validated,
        Err(refusal) => return respond_refused(state, accepted, requester, refusal).await,
    };
    // A link or an image can make a browser send a GET.
    if validated.kind() == OperationKind::Mutation {
        let message = "Mutations come by POST; GET takes queries only.";
        return Err(ClientError::new(Code::MethodNotAllowed, message));
    }
    execute(state, accepted, requester, validated).await
}

/// Validates the operation in a body.
async fn validate(
    state: &HttpState,
    requester: &Requester,
    body: Bytes,
) -> Result<Result<ValidatedRequest, Answer>, ClientError> {
    let (gateway, record) = (Arc::clone(&state.gateway), Arc::clone(&requester.record));
    let is_large = body.len() > large::TEXT_BYTES;
    let validate = move || {
        let raw = parameters::from_body(&body)?;
        record.is("none", raw.operation_name.as_deref());
        Ok(gateway.api.validate(raw))
    };
    match is_large {
        true => large::run(Some(&requester.account), validate).await,
        false => validate(),
    }
}

/// One answer is sent in a media type for one answer if the client accepts that, and otherwise as a stream of one.
async fn execute(
    state: &HttpState,
    accepted: AcceptedTypes,
    requester: Requester,
    validated: ValidatedRequest,
) -> Result<Response, ClientError> {
    let form = accepted
        .form
        .filter(|_| validated.kind() != OperationKind::Subscription);
    let gateway = &state.gateway;
    let record = Arc::clone(&requester.record);
    record.is(validated.kind().name(), validated.name());
    match form {
        Some(form) => {
            let _arguments = operation::arguments(&requester.caller, &validated)?;
            let permit = state.operation_limiter.enter(requester.user()).await?;
            let executing = gateway
                .api
                .execute(&gateway.sync, requester.caller, validated);
            let answer = state.operation_limiter.in_time(executing).await;
            operation::note_refusal(&record, &answer);
            let response = answer::answered(form, answer);
            let bytes = response.body().size_hint().lower();
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let lease = requester.account.lease(bytes)?;
            record.answered(bytes);
            Ok(pace::keep(response, (permit, requester.token_use, lease)))
        }
        None => stream(state, accepted, requester, |caller| {
            operation::answers(gateway, &state.operation_limiter, caller, validated)
        }),
    }
}

async fn respond_refused(
    state: &HttpState,
    accepted: AcceptedTypes,
    requester: Requester,
    refusal: Answer,
) -> Result<Response, ClientError> {
    let gateway = &state.gateway;
    match accepted.form {
        Some(form) => {
            let explaining = gateway
                .api
                .explain(&gateway.sync, &requester.caller, refusal);
            let answer = explaining.await;
            operation::note_refusal(&requester.record, &answer);
            requester.record.answered(0);
            Ok(answer::answered(form, answer))
        }
        None => stream(state, accepted, requester, |caller| {
            operation::refused(gateway, caller, refusal)
        }),
    }
}

/// Executes nothing before the user has a permit for the stream.
fn stream(
    state: &HttpState,
    accepted: AcceptedTypes,
    requester: Requester,
    answers: impl FnOnce(Caller) -> BoxStream<'static, CountedAnswer>,
) -> Result<Response, ClientError> {
    let Some(form) = accepted.stream else {
        let message = "Subscriptions come in a stream: accept text/event-stream or multipart/mixed;subscriptionSpec=1.0, \
                       or open a WebSocket here with the subprotocol graphql-transport-ws.";
        return Err(ClientError::new(Code::NotAcceptable, message));
    };
    requester.record.comes_by(match form {
        StreamType::Sse => Transport::EventStream,
        StreamType::Multipart => Transport::Multipart,
    });
    let place = requester.stream_place()?;
    let cut = cut(state, &requester.caller);
    let response =
        response_stream::respond(form, answers(requester.caller), cut, requester.account);
    Ok(pace::keep(response, (place, requester.token_use)))
}

/// What ends a stream early: the token's expiry, or the gateway's shutdown.
fn cut(state: &HttpState, caller: &Caller) -> BoxFuture<'static, StreamEnd> {
    let expiry = sleep(state.gateway.sync.left_of_token(caller));
    let shutdown = state.shutdown.clone();
    Box::pin(async move {
        tokio::select! {
            () = expiry => StreamEnd::Expired,
            () = shutdown.begun() => StreamEnd::GoingAway,
        }
    })
}

/// A client that accepts only streams can still read the failures of HTTP as JSON.
fn refuse(accepted: AcceptedTypes, failure: ClientError) -> Response {
    let form = accepted.form.unwrap_or(ResponseType::Json);
    if failure.code == Code::MethodNotAllowed {
        return answer::needs_post(form, failure);
    }
    answer::refused(form, failure)
}

/// The sender of a request.
struct Requester {
    caller: Caller,
    account: Account,
    record: Arc<OperationRecord>,
    /// Keeps the connection open, if there is one.
    token_use: Option<AuthenticatedUse>,
    /// Whether the connection carries other requests at the same time.
    is_shared: bool,
}

impl Requester {
    fn user(&self) -> &UserId {
        &self.caller.identity.user
    }

    /// A stream that has a connection for itself counts as that connection.
    fn stream_place(&self) -> Result<Option<UserConnectionPermit>, ClientError> {
        let shared = self.token_use.as_ref().filter(|_| self.is_shared);
        shared
            .map(|token_use| token_use.stream_of(self.user()))
            .transpose()
    }
}

/// Identifies the sender of a request, and counts the request as an operation of this user.
fn authenticate(
    state: &HttpState,
    request: &Request,
) -> impl Future<Output = Result<Requester, ClientError>> {
    let (headers, permit) = (
        request.headers(),
        request.extensions().get::<Arc<ConnectionPermit>>(),
    );
    let is_shared = request.version() == Version::HTTP_2;
    let id = log::id_of(request);
    async move {
        let caller = state.gateway.authenticate(token(headers)?).await?;
        let user = &caller.identity.user;
        let api = api_hash::of_headers(headers);
        let observer = &state.gateway.observer;
        let known_api = api.as_ref().ok().copied().flatten();
        let record = OperationRecord::begin(observer, id, user, known_api, Transport::Http);
        let admitted = || {
            let token_use = permit.map(|permit| permit.authenticate(user)).transpose()?;
            state.operation_limiter.count(user)?;
            Ok((token_use, api?))
        };
        let admitted: Result<_, ClientError> = admitted();
        let (token_use, api) =
            admitted.inspect_err(|failure| operation::note_failure(&record, failure))?;
        let account = state.quota.of_user(user);
        let caller = caller.with_api(api).counted_on(account.clone());
        Ok(Requester {
            caller: caller.recorded_in(Arc::clone(&record)),
            account,
            record,
            token_use,
            is_shared,
        })
    }
}

/// The token of `Authorization`.
///
/// # Errors
/// `UNAUTHENTICATED` when there is none.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, ClientError> {
    let value = headers.get(AUTHORIZATION);
    Ok(bearer(value.and_then(|value| value.to_str().ok()))?)
}

fn require_form(accepted: AcceptedTypes) -> Result<(), ClientError> {
    if accepted.form.is_some() || accepted.stream.is_some() {
        return Ok(());
    }
    let message = "Answers come as application/graphql-response+json or application/json, or in a stream; accept one of them.";
    Err(ClientError::new(Code::NotAcceptable, message))
}

/// Forms of web pages send text/plain, urlencoded and multipart bodies to other sites without a preflight, so these are
/// refused. So are compressed bodies: a bound on their bytes does not bound their content.
fn require_json(headers: &HeaderMap) -> Result<(), ClientError> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    let is_json =
        essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if is_json && !headers.contains_key(CONTENT_ENCODING) {
        return Ok(());
    }
    let message = "Operations come as JSON, uncompressed; send `Content-Type: application/json`.";
    Err(ClientError::new(Code::UnsupportedMediaType, message))
}

/// Reads the body of a request whose token is good, and counts its bytes as they arrive.
async fn body(
    state: &HttpState,
    account: &Account,
    request: Request,
) -> Result<(Bytes, Lease), ClientError> {
    let bytes_max = state.body_bytes_max;
    let too_large = || {
        let message = format!("The body is larger than {bytes_max} bytes; send less at a time.");
        ClientError::new(Code::PayloadTooLarge, message)
    };
    if announced(request.headers()).is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let mut parts = request.into_body().into_data_stream();
    let collecting = async {
        let (mut body, mut lease) = (BytesMut::new(), account.lease(0)?);
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| {
                ClientError::new(Code::BadRequest, "The body ended before it was complete.")
            })?;
            let bytes = body.len() + part.len();
            if bytes > bytes_max {
                return Err(too_large());
            }
            lease.grow_to(bytes)?;
            body.extend_from_slice(&part);
        }
        Ok((body.freeze(), lease))
    };
    let collected = timeout(state.times.body, collecting).await;
    collected.unwrap_or_else(|_| {
        let message = "The body took too long to arrive.";
        Err(ClientError::new(Code::RequestTimeout, message))
    })
}

/// The length of the body, if the client announced it.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
