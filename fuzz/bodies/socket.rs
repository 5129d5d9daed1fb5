//! Any conversation on a socket, by the rules of graphql-transport-ws. A line is a message of the client or, after an
//! exclamation mark, another event. Frames, timers and tokens are not part of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use serde_json::Value as Json;
use tidegate::{
    graphql::{
        Api, ApiOptions,
        answer::Answer,
        error::{ClientError, Code},
    },
    http::websocket::{
        message::{ClientMessage, InvalidMessage, OperationId},
        protocol::{CloseReason, OPERATIONS_MAX, Protocol, ProtocolAction, ProtocolEvent},
    },
};
use tidegate_core::model::Model;

const MODEL: &str = include_str!("push.graphql");
/// The codes that the protocol and RFC 6455 have.
const CODES: [u16; 10] = [1001, 1002, 1009, 1013, 4400, 4401, 4403, 4408, 4409, 4429];
/// Of a close frame's reason (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// The state of the socket as seen from outside.
#[derive(Default)]
struct Reported {
    is_acknowledged: bool,
    /// The operations that were begun and have not ended, by their names.
    running: BTreeSet<String>,
    /// The same, in the order in which they began.
    order: Vec<OperationId>,
}

/// Speaks line by line until the socket is closed.
pub(crate) fn run(bytes: &[u8]) {
    let mut protocol = Protocol::default();
    let mut reported = Reported::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(event) = event(line, &reported) else {
            continue;
        };
        match protocol.on(event) {
            Some(ProtocolAction::Close(closing)) => return closed(&closing),
            Some(action) => reported.expect(action),
            None => {}
        }
    }
}

/// The event of a line; `None` if it names an operation and none runs.
fn event(line: &[u8], reported: &Reported) -> Option<ProtocolEvent> {
    let first = reported.order.first().cloned();
    let failure = || ClientError::new(Code::ValidationFailed, "no such field");
    Some(match line {
        b"!heard" => ProtocolEvent::Heard,
        b"!large" => ProtocolEvent::TooLarge,
        b"!broken" => ProtocolEvent::Broken,
        b"!ok" => ProtocolEvent::Authenticated(Ok(())),
        b"!refused" => ProtocolEvent::Authenticated(Err(Code::Unauthenticated)),
        b"!busy" => ProtocolEvent::Authenticated(Err(Code::Unavailable)),
        b"!full" => ProtocolEvent::Authenticated(Err(Code::TooManyConnections)),
        b"!deadline" => ProtocolEvent::Deadline,
        b"!tick" => ProtocolEvent::Tick,
        b"!bye" => ProtocolEvent::GoingAway,
        b"!answer" => ProtocolEvent::Answered(first?, Answer::Written(b"{}".to_vec())),
        b"!fail" => ProtocolEvent::Answered(first?, failure().into()),
        b"!end" => ProtocolEvent::Finished(first?),
        line => ProtocolEvent::Message(match str::from_utf8(line) {
            Ok(text) => ClientMessage::parse(text),
            Err(_) => Err(InvalidMessage::binary()),
        }),
    })
}

fn closed(closing: &CloseReason) {
    assert!(CODES.contains(&closing.code), "{closing:?}");
    assert!(closing.reason.len() <= REASON_BYTES_MAX, "{closing:?}");
}

impl Reported {
    /// Checks an action, and remembers it.
    fn expect(&mut self, action: ProtocolAction) {
        match action {
            ProtocolAction::Send(text) => {
                let text = std::str::from_utf8(&text).expect("a text is in UTF-8");
                self.expect_message(text);
            }
            ProtocolAction::Start(id, request) => {
                assert!(self.is_acknowledged, "nothing runs before that");
                assert!(self.running.insert(id.to_string()), "an id names one");
                assert!(self.running.len() <= OPERATIONS_MAX);
                self.order.push(id);
                // Request validation accepts or refuses it; both are answers.
                drop(api().validate(request));
            }
            ProtocolAction::Stop(id) => self.end(&id.to_string()),
            ProtocolAction::Authenticate(params) => {
                assert!(!self.is_acknowledged, "once");
                assert!(params.token.is_none_or(|token| !token.is_empty()));
            }
            ProtocolAction::Close(closing) => closed(&closing),
        }
    }

    fn expect_message(&mut self, text: &str) {
        let message: Json = serde_json::from_str(text).expect("a message is JSON");
        let id = message["id"].as_str().unwrap_or_default();
        match message["type"].as_str() {
            Some("connection_ack") => self.is_acknowledged = true,
            Some("ping" | "pong") => {}
            Some("next") => assert!(self.running.contains(id), "{text}"),
            Some("complete") => self.end(id),
            // One that could not begin, because there were too many, never existed.
            Some("error") if self.running.len() == OPERATIONS_MAX && !self.running.contains(id) => {
            }
            Some("error") => self.end(id),
            _ => panic!("{text}"),
        }
    }

    fn end(&mut self, id: &str) {
        assert!(self.running.remove(id), "{id:?} ran");
        self.order.retain(|one| one.to_string() != id);
    }
}

fn api() -> &'static Api {
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| {
        let model = Model::parse("push.graphql", MODEL).expect("the model is right");
        Api::new(&Arc::new(model), ApiOptions::default()).expect("a model has an API")
    })
}
