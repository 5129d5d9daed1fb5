//! How an app says for which API it was made: the header `Tidegate-Schema`, which a socket's client may send in the
//! payload of `connection_init` instead. What follows from it is decided elsewhere.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value as Json};
use tidegate_core::id::ApiHash;

use crate::graphql::error::{ClientError, Code};

/// The header.
pub(super) const HEADER: HeaderName = HeaderName::from_static("tidegate-schema");

/// The names that a payload may have it under.
const PAYLOAD_NAMES: [&str; 2] = ["Tidegate-Schema", "tidegate-schema"];

/// Fits into the reason of a close frame.
pub(super) const UNREADABLE: &str = "`Tidegate-Schema` must be the API hash that `tidegate schema` prints: 32 lower-case hexadecimal digits.";

/// The hash in the headers of a request.
///
/// # Errors
/// `BAD_REQUEST` if it is no hash, or there are several. Without an error the mistake would show only when the model
/// changes.
pub(super) fn of_headers(headers: &HeaderMap) -> Result<Option<ApiHash>, ClientError> {
    let read = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
    let mut values = headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => read(value).map(Some),
        (Some(_), Some(_)) => None,
    }
    .ok_or_else(|| ClientError::new(Code::BadRequest, UNREADABLE))
}

/// The hash in a payload, beside the token or under `headers`.
///
/// # Errors
/// [`UNREADABLE`].
pub(super) fn of_payload(payload: &Map<String, Json>) -> Result<Option<ApiHash>, &'static str> {
    let nested = payload.get("headers").and_then(Json::as_object);
    let found = [Some(payload), nested]
        .into_iter()
        .flatten()
        .flat_map(|fields| PAYLOAD_NAMES.map(|name| fields.get(name)))
        .flatten()
        .find(|value| !value.is_null());
    let hash = found.map(|value| value.as_str().and_then(|text| text.parse().ok()));
    hash.map(|hash| hash.ok_or(UNREADABLE)).transpose()
}
