//! From an answer to a response: status, media type and the headers that go with them. Which answer it is has been
//! decided before.

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::accept::Form;
use crate::graphql::answer::Answer;
use crate::graphql::error::{Code, Failure};

/// The response to a request that was one of GraphQL, whether or not it could be executed.
pub(super) fn answered(form: Form, answer: Answer) -> Response {
    let status = match (form, answer.refusal_code()) {
        (_, None) => 200,
        // The specification's rule for older clients: a bad document is answered 200, too.
        (Form::Json, Some(code)) if code.status() == 400 => 200,
        (_, Some(code)) => code.status(),
    };
    respond(form, status, answer)
}

/// The response to a request that did not come as far as GraphQL. Its status is the failure's in both forms.
pub(super) fn refused(form: Form, failure: Failure) -> Response {
    let code = failure.code;
    let mut response = respond(form, code.status(), Answer::from(failure));
    if let Some((name, value)) = header_of(code) {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What RFC 9110 wants beside some statuses.
fn header_of(code: Code) -> Option<(HeaderName, &'static str)> {
    match code {
        Code::Unauthenticated => Some((WWW_AUTHENTICATE, "Bearer")),
        Code::Unavailable => Some((RETRY_AFTER, "1")),
        _ => None,
    }
}

/// A mutation came by GET.
pub(super) fn needs_post(form: Form, failure: Failure) -> Response {
    let mut response = refused(form, failure);
    let post = HeaderValue::from_static("POST");
    response.headers_mut().insert(ALLOW, post);
    response
}

fn respond(form: Form, status: u16, answer: Answer) -> Response {
    let status = StatusCode::from_u16(status).expect("the table of codes holds HTTP statuses");
    let headers = [(CONTENT_TYPE, form.content_type())];
    (status, headers, answer.into_json()).into_response()
}
