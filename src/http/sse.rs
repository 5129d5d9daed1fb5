//! Event streams of graphql-sse in its "distinct connections mode": one operation, one response (PROTOCOL.md in the
//! repository enisdenjo/graphql-sse). Its "single connection mode" is not supported: HTTP/2 does the same without state.

use super::response_stream::{Framing, StreamEnd};
use crate::graphql::answer::Answer;

/// The heartbeat is a comment. The first one makes proxies forward the response.
pub(super) const FRAMING: Framing = Framing {
    content_type: "text/event-stream; charset=utf-8",
    opening: ":\n\n",
    heartbeat: ":\n\n",
    answer,
    ending,
};

/// The JSON is one line, so that no line of it is read as another field.
fn answer(answer: Answer) -> Vec<u8> {
    [b"event: next\ndata: ", &answer.into_json()[..], b"\n\n"].concat()
}

/// Without `complete` the client reconnects, with a new token if it has one. `data` is present because browsers
/// skip events without it, and has no space, which urql would read as JSON.
fn ending(ending: StreamEnd) -> Vec<u8> {
    match ending {
        StreamEnd::Complete => b"event: complete\ndata:\n\n".to_vec(),
        StreamEnd::Expired | StreamEnd::GoingAway | StreamEnd::Overloaded => Vec::new(),
    }
}
