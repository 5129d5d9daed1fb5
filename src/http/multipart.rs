//! Multipart responses, in which Apollo's clients receive subscriptions ("Multipart HTTP protocol for GraphQL
//! Subscriptions", `subscriptionSpec=1.0`). `accept` decides which clients get them.

use super::response_stream::{Framing, StreamEnd};
use crate::{
    auth::AuthError,
    graphql::{
        answer::Answer,
        error::{ClientError, Code},
    },
};

/// The boundary follows each part at once: clients handle a part when they see it.
pub(super) const FRAMING: Framing = Framing {
    content_type: "multipart/mixed; boundary=\"graphql\"; subscriptionSpec=1.0",
    opening: "\r\n--graphql",
    heartbeat: "\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql",
    answer,
    ending,
};

fn answer(answer: Answer) -> Vec<u8> {
    part(&[br#"{"payload":"#, &answer.into_json()[..], b"}"].concat())
}

fn part(json: &[u8]) -> Vec<u8> {
    let head = b"\r\ncontent-type: application/json\r\n\r\n";
    [head, json, b"\r\n--graphql"].concat()
}

/// An end before the last answer is sent as an error. Otherwise clients would take the operation for complete.
fn ending(ending: StreamEnd) -> Vec<u8> {
    let failure = match ending {
        StreamEnd::Complete => None,
        StreamEnd::Expired => Some(AuthError::Refused.into()),
        StreamEnd::GoingAway => {
            let message = "The gateway is shutting down; connect again.";
            Some(ClientError::new(Code::Unavailable, message))
        }
        StreamEnd::Overloaded => {
            let message =
                "The user's unread answers hold as many bytes as they may; connect again.";
            Some(ClientError::new(Code::Overloaded, message))
        }
    };
    // Errors beside the payload are those of the transport.
    let mut bytes = failure.map_or_else(Vec::new, |failure: ClientError| {
        let errors = serde_json::to_string(&[failure]).expect("a failure is written as JSON");
        part(format!(r#"{{"payload":null,"errors":{errors}}}"#).as_bytes())
    });
    bytes.extend_from_slice(b"--\r\n");
    bytes
}
