//! The rules of graphql-transport-ws as a pure state machine: events go in, actions come out. No socket, clock, token
//! or operation is touched here.

use std::collections::HashSet;

use axum::body::Bytes;

use super::message::{ClientMessage, InvalidMessage, OperationId, ServerMessage, next};
use crate::graphql::{
    RawRequest,
    answer::Answer,
    error::{Code, Failure},
};

/// More than an app has at a time. Each costs memory in the gateway.
pub const OPERATIONS_MAX: usize = 100;
/// After so many pings without a sign of life the peer counts as dead.
const SILENT_PINGS_MAX: u8 = 2;
/// The longest reason of a close frame (RFC 6455, section 5.5: 125 bytes with the code).
const REASON_BYTES_MAX: usize = 123;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The client sent a message.
    Message(Result<ClientMessage, InvalidMessage>),
    /// A ping or pong of WebSocket came, so the client is alive.
    Heard,
    /// A message came that is larger than a message may be.
    TooLarge,
    /// A message came that exceeds the bytes that may be held.
    NoRoom,
    /// The received bytes are no WebSocket message.
    Broken,
    /// The token was accepted, or not.
    Authenticated(Result<(), Code>),
    /// The deadline of the phase has passed: of the first message, of the token's check, or of the token itself.
    Deadline,
    /// It is time for a ping.
    Tick,
    /// An operation has an answer.
    Answered(OperationId, Answer),
    /// An operation has no more answers.
    Finished(OperationId),
    /// The gateway shuts down.
    GoingAway,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Check the token of the message, or else that of the handshake.
    Authenticate(Option<String>),
    /// Begin an operation.
    Start(OperationId, RawRequest),
    /// Drop an operation.
    Stop(OperationId),
    /// Send a text.
    Send(Bytes),
    /// Close the socket.
    Close(Closing),
}

/// How a socket is closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Closing {
    /// A code of RFC 6455 or of the protocol.
    pub code: u16,
    /// At most 123 bytes, for people to read.
    pub reason: String,
}

impl Closing {
    /// Unfinished messages and unread answers hold as many bytes as they may.
    pub(super) fn for_want_of_room() -> Self {
        Self {
            code: close::TRY_AGAIN_LATER,
            reason: "Too many bytes are unfinished or unread".to_owned(),
        }
    }
}

/// Clients decide by the code whether to reconnect: graphql-ws does not after 1002, 1009, 4400, 4401, 4409 and 4429, and
/// does after the others.
mod close {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const PROTOCOL_ERROR: u16 = 1002;
    pub(super) const TOO_LARGE: u16 = 1009;
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
    pub(super) const BAD_REQUEST: u16 = 4400;
    pub(super) const UNAUTHORIZED: u16 = 4401;
    /// For refused and expired tokens too, so that clients reconnect with a new one.
    pub(super) const FORBIDDEN: u16 = 4403;
    pub(super) const INIT_TIMEOUT: u16 = 4408;
    pub(super) const DUPLICATE_OPERATION: u16 = 4409;
    pub(super) const TOO_MANY_INITS: u16 = 4429;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    AwaitingInit,
    Authenticating,
    Ready,
}

/// One socket's state. The default is that of a new socket.
#[derive(Debug, Default)]
pub struct Protocol {
    phase: Phase,
    operations: HashSet<OperationId>,
    silent_pings: u8,
}

impl Protocol {
    /// What to do about `event`. After [`Action::Close`] there are no more events.
    pub fn on(&mut self, event: Event) -> Option<Action> {
        match event {
            Event::Message(message) => {
                self.silent_pings = 0;
                match message {
                    Ok(message) => self.on_message(message),
                    Err(invalid) => close(close::BAD_REQUEST, &invalid.to_string()),
                }
            }
            Event::Heard => {
                self.silent_pings = 0;
                None
            }
            Event::TooLarge => close(close::TOO_LARGE, "The message is too large"),
            Event::NoRoom => Some(Action::Close(Closing::for_want_of_room())),
            Event::Broken => close(close::PROTOCOL_ERROR, "This is no WebSocket message"),
            Event::Authenticated(result) => self.on_authenticated(result),
            Event::Deadline => self.on_deadline(),
            Event::Tick => self.on_tick(),
            Event::Answered(id, answer) => self.on_answer(&id, answer),
            Event::Finished(id) => self
                .operations
                .remove(&id)
                .then(|| send(&ServerMessage::Complete { id: &id })),
            Event::GoingAway => close(close::GOING_AWAY, "The gateway is shutting down"),
        }
    }

    fn on_message(&mut self, message: ClientMessage) -> Option<Action> {
        match message {
            ClientMessage::ConnectionInit { token } => self.on_init(token),
            ClientMessage::Ping { payload } => Some(send(&ServerMessage::Pong { payload })),
            ClientMessage::Pong => None,
            ClientMessage::Subscribe { id, request } => self.on_subscribe(id, request),
            // An operation may end while the client's message to end it is under way.
            ClientMessage::Complete { id } => {
                self.operations.remove(&id).then_some(Action::Stop(id))
            }
        }
    }

    fn on_init(&mut self, token: Option<String>) -> Option<Action> {
        if self.phase != Phase::AwaitingInit {
            return close(close::TOO_MANY_INITS, "Too many initialisation requests");
        }
        self.phase = Phase::Authenticating;
        Some(Action::Authenticate(token))
    }

    fn on_authenticated(&mut self, result: Result<(), Code>) -> Option<Action> {
        match result {
            Ok(()) => {
                self.phase = Phase::Ready;
                Some(send(&ServerMessage::ConnectionAck))
            }
            Err(Code::Unavailable) => {
                close(close::TRY_AGAIN_LATER, "The token cannot be checked now")
            }
            Err(Code::TooManyConnections) => close(
                close::TRY_AGAIN_LATER,
                "The user holds too many connections",
            ),
            Err(Code::Overloaded) => {
                close(close::TRY_AGAIN_LATER, "There are too many connections")
            }
            Err(_) => close(close::FORBIDDEN, "Forbidden"),
        }
    }

    fn on_deadline(&self) -> Option<Action> {
        match self.phase {
            Phase::AwaitingInit => close(close::INIT_TIMEOUT, "Connection initialisation timeout"),
            Phase::Authenticating => {
                close(close::TRY_AGAIN_LATER, "The token cannot be checked now")
            }
            Phase::Ready => close(close::FORBIDDEN, "Forbidden"),
        }
    }

    /// Before the acknowledgement no pings are needed: the deadlines of these phases are shorter.
    fn on_tick(&mut self) -> Option<Action> {
        if self.phase != Phase::Ready {
            return None;
        }
        if self.silent_pings == SILENT_PINGS_MAX {
            return close(close::GOING_AWAY, "No sign of life");
        }
        self.silent_pings += 1;
        Some(send(&ServerMessage::Ping))
    }

    fn on_subscribe(&mut self, id: OperationId, request: RawRequest) -> Option<Action> {
        if self.phase != Phase::Ready {
            return close(close::UNAUTHORIZED, "Unauthorized");
        }
        if self.operations.contains(&id) {
            let reason = format!("Subscriber for {id} already exists");
            return close(close::DUPLICATE_OPERATION, &reason);
        }
        if self.operations.len() == OPERATIONS_MAX {
            let message = format!(
                "A socket carries {OPERATIONS_MAX} operations; complete one, then begin the next."
            );
            let payload = &[Failure::new(Code::TooManyOperations, message)];
            return Some(send(&ServerMessage::Error { id: &id, payload }));
        }
        self.operations.insert(id.clone());
        Some(Action::Start(id, request))
    }

    /// A refusal ends its operation. Answers that were under way when the client completed their operation are dropped.
    fn on_answer(&mut self, id: &OperationId, answer: Answer) -> Option<Action> {
        if !self.operations.contains(id) {
            return None;
        }
        let Some(payload) = answer.refusal() else {
            return Some(Action::Send(next(id, answer)));
        };
        self.operations.remove(id);
        Some(send(&ServerMessage::Error { id, payload }))
    }
}

fn send(message: &ServerMessage<'_>) -> Action {
    Action::Send(message.to_json().into())
}

/// Cuts a reason that does not fit its frame, at a character.
fn close(code: u16, reason: &str) -> Option<Action> {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason[..end].to_owned();
    Some(Action::Close(Closing { code, reason }))
}

#[cfg(test)]
mod tests;
