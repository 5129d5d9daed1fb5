//! The messages of graphql-transport-ws (PROTOCOL.md in the repository enisdenjo/graphql-ws). `protocol` decides which
//! of them may come when.

use std::{fmt, sync::Arc};

use axum::body::Bytes;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tidegate_core::id::ApiHash;

use crate::{
    auth::bearer,
    graphql::{RawRequest, answer::Answer, error::ClientError},
    http::{api_hash, graphql::from_json, json},
};

/// Clients use UUIDs or counters. Each event of an operation repeats its id.
const OPERATION_ID_BYTES_MAX: usize = 256;

/// Names one operation of a socket, as the client chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct OperationId(Arc<str>);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message of a client.
#[derive(Debug)]
pub enum ClientMessage {
    ConnectionInit(ConnectionParams),
    Ping {
        payload: Option<Map<String, Json>>,
    },
    Pong,
    Subscribe {
        id: OperationId,
        request: RawRequest,
    },
    Complete {
        id: OperationId,
    },
}

/// What a client says about itself when it connects.
#[derive(Debug, Default)]
pub struct ConnectionParams {
    /// Its token.
    pub token: Option<String>,
    /// The API that its app was made for.
    pub api: Option<ApiHash>,
}

impl ConnectionParams {
    fn of_payload(payload: &Map<String, Json>) -> Result<Self, InvalidMessage> {
        let api = api_hash::of_payload(payload);
        Ok(Self {
            token: token(payload),
            api: api.map_err(|unreadable| InvalidMessage(unreadable.to_owned()))?,
        })
    }

    /// With what the handshake said, where these say nothing.
    pub(super) fn or(self, handshake: Self) -> Self {
        Self {
            token: self.token.or(handshake.token),
            api: self.api.or(handshake.api),
        }
    }
}

/// A message of the gateway.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Ping,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Json>>,
    },
    Error {
        id: &'a OperationId,
        payload: &'a [ClientError],
    },
    Complete {
        id: &'a OperationId,
    },
}

/// The message `next` with an answer, whose JSON may be written already.
pub(super) fn next(id: &OperationId, answer: Answer) -> Bytes {
    let id = serde_json::to_string(id).expect("an id is a string");
    let payload = answer.into_json();
    let mut text = Vec::with_capacity(payload.len() + id.len() + 32);
    text.extend_from_slice(br#"{"type":"next","id":"#);
    text.extend_from_slice(id.as_bytes());
    text.extend_from_slice(br#","payload":"#);
    text.extend_from_slice(&payload);
    text.push(b'}');
    text.into()
}

impl ServerMessage<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("a message holds only string keys and values JSON can write")
    }
}

/// A message that the protocol does not have. The sentence fits into the reason of a close frame.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMessage(String);

impl InvalidMessage {
    /// The message was no text.
    pub fn binary() -> Self {
        Self("A message must be text, and this one is binary.".to_owned())
    }
}

impl ClientMessage {
    /// Reads one message.
    ///
    /// # Errors
    /// [`InvalidMessage`], saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidMessage> {
        let Ok(Json::Object(mut message)) = json::read(text.as_bytes()) else {
            return invalid("A message must be a JSON object.");
        };
        match message.remove("type").as_ref().and_then(Json::as_str) {
            Some("connection_init") => {
                let payload = payload(&mut message)?.unwrap_or_default();
                Ok(Self::ConnectionInit(ConnectionParams::of_payload(
                    &payload,
                )?))
            }
            Some("ping") => Ok(Self::Ping {
                payload: payload(&mut message)?,
            }),
            Some("pong") => payload(&mut message).map(|_| Self::Pong),
            Some("subscribe") => Ok(Self::Subscribe {
                id: operation_id(&mut message)?,
                request: request(&mut message)?,
            }),
            Some("complete") => Ok(Self::Complete {
                id: operation_id(&mut message)?,
            }),
            _ => invalid("`type` is none that a client may send."),
        }
    }
}

fn operation_id(message: &mut Map<String, Json>) -> Result<OperationId, InvalidMessage> {
    match message.remove("id") {
        Some(Json::String(id)) if (1..=OPERATION_ID_BYTES_MAX).contains(&id.len()) => {
            Ok(OperationId(id.into()))
        }
        _ => invalid("`id` must be a string of 1 to 256 bytes."),
    }
}

fn request(message: &mut Map<String, Json>) -> Result<RawRequest, InvalidMessage> {
    let Some(parameters) = payload(message)? else {
        return invalid("`payload` is missing; it holds `query`.");
    };
    from_json(parameters).map_err(|failure| InvalidMessage(failure.message))
}

fn payload(message: &mut Map<String, Json>) -> Result<Option<Map<String, Json>>, InvalidMessage> {
    match message.remove("payload") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(payload)) => Ok(Some(payload)),
        Some(_) => invalid("`payload` must be a JSON object."),
    }
}

/// The token of `connection_init`. No rule names its place: clients write it as the header that they cannot send, under
/// `headers` as RxDB does, or as `token`, with or without the scheme.
fn token(payload: &Map<String, Json>) -> Option<String> {
    let header = |fields: &Map<String, Json>| {
        let value = fields
            .get("Authorization")
            .or_else(|| fields.get("authorization"));
        value.and_then(Json::as_str).map(str::to_owned)
    };
    let nested = || {
        payload
            .get("headers")
            .and_then(Json::as_object)
            .and_then(header)
    };
    let plain = || {
        payload
            .get("token")
            .and_then(Json::as_str)
            .map(str::to_owned)
    };
    let value = header(payload).or_else(nested).or_else(plain)?;
    let token = bearer(Some(&value)).unwrap_or(value.trim());
    (!token.is_empty()).then(|| token.to_owned())
}

fn invalid<T>(message: &str) -> Result<T, InvalidMessage> {
    Err(InvalidMessage(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_where_clients_put_it() {
        for (payload, expected) in [
            (r#"{"Authorization":"Bearer a.b.c"}"#, Some("a.b.c")),
            (r#"{"authorization":"bearer a.b.c"}"#, Some("a.b.c")),
            (r#"{"Authorization":"a.b.c"}"#, Some("a.b.c")),
            (r#"{"token":"a.b.c"}"#, Some("a.b.c")),
            (r#"{"token":" Bearer a.b.c "}"#, Some("a.b.c")),
            (
                r#"{"headers":{"Authorization":"Bearer a.b.c"}}"#,
                Some("a.b.c"),
            ),
            (r#"{"headers":{"authorization":"a.b.c"}}"#, Some("a.b.c")),
            (
                r#"{"token":"no","Authorization":"Bearer a.b.c"}"#,
                Some("a.b.c"),
            ),
            (r#"{"token":7}"#, None),
            (r#"{"token":""}"#, None),
            (r#"{"headers":"Bearer a.b.c"}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            let text = format!(r#"{{"type":"connection_init","payload":{payload}}}"#);
            let Ok(ClientMessage::ConnectionInit(params)) = ClientMessage::parse(&text) else {
                panic!("{payload} is an init");
            };
            assert_eq!(params.token.as_deref(), expected, "{payload}");
        }
    }

    #[test]
    fn the_api_of_an_app_is_found_beside_its_token() {
        let hash = "0f8fad5bd9cb469fa16570867728950e";
        for (payload, expected) in [
            (
                format!(r#"{{"token":"t","Tidegate-Schema":"{hash}"}}"#),
                Some(hash),
            ),
            (format!(r#"{{"tidegate-schema":"{hash}"}}"#), Some(hash)),
            (
                format!(r#"{{"headers":{{"Tidegate-Schema":"{hash}"}}}}"#),
                Some(hash),
            ),
            (r#"{"Tidegate-Schema":null}"#.to_owned(), None),
            ("{}".to_owned(), None),
        ] {
            let text = format!(r#"{{"type":"connection_init","payload":{payload}}}"#);
            let Ok(ClientMessage::ConnectionInit(params)) = ClientMessage::parse(&text) else {
                panic!("{payload} is an init");
            };
            assert_eq!(
                params.api,
                expected.map(|hash| hash.parse().unwrap()),
                "{payload}"
            );
        }
    }

    #[test]
    fn each_fault_has_its_own_sentence() {
        let long = format!(r#"{{"type":"complete","id":"{}"}}"#, "x".repeat(257));
        for (text, expected) in [
            ("", "A message must be a JSON object."),
            ("[]", "A message must be a JSON object."),
            ("{}", "`type` is none that a client may send."),
            (
                r#"{"type":"next"}"#,
                "`type` is none that a client may send.",
            ),
            (
                r#"{"type":"start","id":"1"}"#,
                "`type` is none that a client may send.",
            ),
            (
                r#"{"type":"ping","payload":[]}"#,
                "`payload` must be a JSON object.",
            ),
            (
                r#"{"type":"pong","payload":1}"#,
                "`payload` must be a JSON object.",
            ),
            (
                r#"{"type":"connection_init","payload":{"Tidegate-Schema":"v2"}}"#,
                api_hash::UNREADABLE,
            ),
            (
                r#"{"type":"connection_init","payload":{"headers":{"tidegate-schema":7}}}"#,
                api_hash::UNREADABLE,
            ),
            (
                r#"{"type":"connection_init","payload":{"Tidegate-Schema":["0f8fad5bd9cb469fa16570867728950e"]}}"#,
                api_hash::UNREADABLE,
            ),
            (
                r#"{"type":"connection_init","payload":{"Tidegate-Schema":{"hash":"0f8fad5bd9cb469fa16570867728950e"}}}"#,
                api_hash::UNREADABLE,
            ),
            (
                r#"{"type":"connection_init","payload":{"Tidegate-Schema":"0f8fad5bd9cb469fa16570867728950e\u0000"}}"#,
                api_hash::UNREADABLE,
            ),
            (
                r#"{"type":"complete"}"#,
                "`id` must be a string of 1 to 256 bytes.",
            ),
            (
                r#"{"type":"complete","id":""}"#,
                "`id` must be a string of 1 to 256 bytes.",
            ),
            (
                r#"{"type":"complete","id":1}"#,
                "`id` must be a string of 1 to 256 bytes.",
            ),
            (&long, "`id` must be a string of 1 to 256 bytes."),
            (
                r#"{"type":"subscribe","id":"1"}"#,
                "`payload` is missing; it holds `query`.",
            ),
            (
                r#"{"type":"subscribe","id":"1","payload":{}}"#,
                "`query` is missing; it holds the GraphQL document.",
            ),
            (
                r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}"#,
                "`variables` must be a JSON object.",
            ),
        ] {
            let invalid = ClientMessage::parse(text).expect_err("it is invalid");
            assert_eq!(invalid.to_string(), expected, "{text}");
            assert!(expected.len() <= 123, "it fits a close frame");
        }
    }
}
