//! Multipart responses, in which Apollo's clients receive subscriptions ("Multipart HTTP protocol for GraphQL
//! Subscriptions", `subscriptionSpec=1.0`). `accept` decides which clients get them.

use super::delivery::{Ending, Framing};
use crate::{
    auth::AuthError,
    graphql::{
        answer::Answer,
        error::{Code, Failure},
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
fn ending(ending: Ending) -> Vec<u8> {
    let failure = match ending {
        Ending::Complete => None,
        Ending::Expired => Some(AuthError::Refused.into()),
        Ending::GoingAway => {
            let message = "The gateway is shutting down; connect again.";
            Some(Failure::new(Code::Unavailable, message))
        }
        Ending::Overloaded => {
            let message =
                "The user's unread answers hold as many bytes as they may; connect again.";
            Some(Failure::new(Code::Overloaded, message))
        }
    };
    // Errors beside the payload are those of the transport.
    let mut bytes = failure.map_or_else(Vec::new, |failure: Failure| {
        let errors = serde_json::to_string(&[failure]).expect("a failure is written as JSON");
        part(format!(r#"{{"payload":null,"errors":{errors}}}"#).as_bytes())
    });
    bytes.extend_from_slice(b"--\r\n");
    bytes
}
