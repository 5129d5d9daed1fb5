//! Multipart responses as Apollo's clients have subscriptions in them ("Multipart HTTP protocol for GraphQL
//! Subscriptions", `subscriptionSpec=1.0`). Which operations come so is decided by `Accept`, in `accept`.

use serde::Serialize;

use super::delivery::{Ending, Framing};
use crate::auth::AuthError;
use crate::graphql::answer::Answer;
use crate::graphql::error::{Code, Failure};

/// The boundary follows each part at once, since clients take a part for complete when they see it.
pub(super) const FRAMING: Framing = Framing {
    content_type: "multipart/mixed; boundary=\"graphql\"; subscriptionSpec=1.0",
    opening: "\r\n--graphql",
    heartbeat: "\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql",
    answer,
    ending,
};

/// What a part holds. `errors` beside the payload are those of the transport.
#[derive(Serialize)]
struct Part<'a> {
    payload: Option<&'a Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[Failure; 1]>,
}

impl Part<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = b"\r\ncontent-type: application/json\r\n\r\n".to_vec();
        serde_json::to_writer(&mut bytes, self)
            .expect("a part holds only string keys and values JSON can write");
        bytes.extend_from_slice(b"\r\n--graphql");
        bytes
    }
}

fn answer(answer: &Answer) -> Vec<u8> {
    let part = Part {
        payload: Some(answer),
        errors: None,
    };
    part.to_bytes()
}

/// An end before the last answer is an error, or clients would take the operation for complete.
fn ending(ending: Ending) -> Vec<u8> {
    let failure = match ending {
        Ending::Complete => None,
        Ending::Expired => Some(AuthError::Refused.into()),
        Ending::GoingAway => {
            let message = "The gateway is shutting down; connect again.";
            Some(Failure::new(Code::Unavailable, message))
        }
    };
    let mut bytes = failure.map_or_else(Vec::new, |failure| {
        let part = Part {
            payload: None,
            errors: Some([failure]),
        };
        part.to_bytes()
    });
    bytes.extend_from_slice(b"--\r\n");
    bytes
}
