//! From an answer to a response: status, media type and the headers that go with them. The content of the answer is
//! decided elsewhere.

use axum::{
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use super::accept::ResponseType;
use crate::graphql::{
    answer::Answer,
    error::{ClientError, Code},
};

/// The response to a GraphQL request, executed or not.
pub(super) fn answered(form: ResponseType, answer: Answer) -> Response {
    let status = match (form, answer.refusal_code()) {
        (_, None) => 200,
        // The specification's rule for older clients: a bad document is answered 200, too.
        (ResponseType::Json, Some(code)) if code.status() == 400 => 200,
        (_, Some(code)) => code.status(),
    };
    let header = answer.refusal().and_then(<[_]>::first).and_then(header_of);
    let mut response = respond(form, status, answer);
    response.headers_mut().extend(header);
    response
}

/// The response to a request that was refused before GraphQL. Its status is the failure's in both media types.
pub(super) fn refused(form: ResponseType, failure: ClientError) -> Response {
    let (code, header) = (failure.code, header_of(&failure));
    let mut response = respond(form, code.status(), Answer::from(failure));
    response.headers_mut().extend(header);
    response
}

/// The header that RFC 9110 requires beside some statuses.
fn header_of(failure: &ClientError) -> Option<(HeaderName, HeaderValue)> {
    let retry_after = failure
        .extensions
        .get("retryAfter")
        .and_then(|it| it.as_u64());
    match failure.code {
        Code::Unauthenticated => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        Code::Unavailable | Code::Overloaded => Some((RETRY_AFTER, HeaderValue::from(1))),
        Code::RateLimited => retry_after.map(|seconds| (RETRY_AFTER, seconds.into())),
        _ => None,
    }
}

/// The response to a mutation that came by GET.
pub(super) fn needs_post(form: ResponseType, failure: ClientError) -> Response {
    let mut response = refused(form, failure);
    let post = HeaderValue::from_static("POST");
    response.headers_mut().insert(ALLOW, post);
    response
}

fn respond(form: ResponseType, status: u16, answer: Answer) -> Response {
    let status = StatusCode::from_u16(status).expect("the table of codes holds HTTP statuses");
    let headers = [(CONTENT_TYPE, form.content_type())];
    (status, headers, answer.into_json()).into_response()
}
