//! Event streams as graphql-sse has them in "distinct connections mode": one operation, one response (PROTOCOL.md in the
//! repository enisdenjo/graphql-sse). Its "single connection mode" is not served: HTTP/2 does the same without state.

use super::delivery::{Ending, Framing};
use crate::graphql::answer::Answer;

/// A comment is the heartbeat, and the first one makes proxies pass the response on.
pub(super) const FRAMING: Framing = Framing {
    content_type: "text/event-stream; charset=utf-8",
    opening: ":\n\n",
    heartbeat: ":\n\n",
    answer,
    ending,
};

/// JSON text is one line, so that no line of it can be taken for another field.
fn answer(answer: Answer) -> Vec<u8> {
    [b"event: next\ndata: ", &answer.into_json()[..], b"\n\n"].concat()
}

/// Without `complete` the client comes back, with a new token if it has one. The empty `data` is there because browsers
/// pass over events without any; without a space, since urql would read that as JSON.
fn ending(ending: Ending) -> Vec<u8> {
    match ending {
        Ending::Complete => b"event: complete\ndata:\n\n".to_vec(),
        Ending::Expired | Ending::GoingAway | Ending::Overloaded => Vec::new(),
    }
}
