//! The rules of graphql-transport-ws as a pure state machine: events go in, actions come out. No socket, clock, token
//! or operation is touched here.

use std::collections::HashSet;

use axum::body::Bytes;

use super::message::{
    ClientMessage, ConnectionParams, InvalidMessage, OperationId, ServerMessage, next,
};
use crate::graphql::{
    RawRequest,
    answer::Answer,
    error::{ClientError, Code},
};

/// More than an app has at a time. Each costs memory in the gateway.
pub const OPERATIONS_MAX: usize = 100;
/// After so many pings without a sign of life the peer counts as dead.
const SILENT_PINGS_MAX: u8 = 2;
/// The longest reason of a close frame (RFC 6455, section 5.5: 125 bytes with the code).
const REASON_BYTES_MAX: usize = 123;

/// What happened.
#[derive(Debug)]
pub enum ProtocolEvent {
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
pub enum ProtocolAction {
    /// Check the token of the message, or else that of the handshake.
    Authenticate(ConnectionParams),
    /// Begin an operation.
    Start(OperationId, RawRequest),
    /// Drop an operation.
    Stop(OperationId),
    /// Send a text.
    Send(Bytes),
    /// Close the socket.
    Close(CloseReason),
}

/// How a socket is closed.
#[derive(Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// A code of RFC 6455 or of the protocol.
    pub code: u16,
    /// At most 123 bytes, for people to read.
    pub reason: String,
}

impl CloseReason {
    /// Unfinished messages and unread answers hold as many bytes as they may.
    pub(super) fn over_capacity() -> Self {
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
enum ProtocolState {
    #[default]
    AwaitingInit,
    Authenticating,
    Ready,
}

/// One socket's state. The default is that of a new socket.
#[derive(Debug, Default)]
pub struct Protocol {
    state: ProtocolState,
    operations: HashSet<OperationId>,
    silent_pings: u8,
}

impl Protocol {
    /// What to do about `event`. After [`ProtocolAction::Close`] there are no more events.
    pub fn on(&mut self, event: ProtocolEvent) -> Option<ProtocolAction> {
        match event {
            ProtocolEvent::Message(message) => {
                self.silent_pings = 0;
                match message {
                    Ok(message) => self.on_message(message),
                    Err(invalid) => close(close::BAD_REQUEST, &invalid.to_string()),
                }
            }
            ProtocolEvent::Heard => {
                self.silent_pings = 0;
                None
            }
            ProtocolEvent::TooLarge => close(close::TOO_LARGE, "The message is too large"),
            ProtocolEvent::NoRoom => Some(ProtocolAction::Close(CloseReason::over_capacity())),
            ProtocolEvent::Broken => close(close::PROTOCOL_ERROR, "This is no WebSocket message"),
            ProtocolEvent::Authenticated(result) => self.on_authenticated(result),
            ProtocolEvent::Deadline => self.on_deadline(),
            ProtocolEvent::Tick => self.on_tick(),
            ProtocolEvent::Answered(id, answer) => self.on_answer(&id, answer),
            ProtocolEvent::Finished(id) => self
                .operations
                .remove(&id)
                .then(|| send(&ServerMessage::Complete { id: &id })),
            ProtocolEvent::GoingAway => close(close::GOING_AWAY, "The gateway is shutting down"),
        }
    }

    fn on_message(&mut self, message: ClientMessage) -> Option<ProtocolAction> {
        match message {
            ClientMessage::ConnectionInit(params) => self.on_init(params),
            ClientMessage::Ping { payload } => Some(send(&ServerMessage::Pong { payload })),
            ClientMessage::Pong => None,
            ClientMessage::Subscribe { id, request } => self.on_subscribe(id, request),
            // An operation may end while the client's message to end it is under way.
            ClientMessage::Complete { id } => self
                .operations
                .remove(&id)
                .then_some(ProtocolAction::Stop(id)),
        }
    }

    fn on_init(&mut self, params: ConnectionParams) -> Option<ProtocolAction> {
        if self.state != ProtocolState::AwaitingInit {
            return close(close::TOO_MANY_INITS, "Too many initialisation requests");
        }
        self.state = ProtocolState::Authenticating;
        Some(ProtocolAction::Authenticate(params))
    }

    fn on_authenticated(&mut self, result: Result<(), Code>) -> Option<ProtocolAction> {
        match result {
            Ok(()) => {
                self.state = ProtocolState::Ready;
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

    fn on_deadline(&self) -> Option<ProtocolAction> {
        match self.state {
            ProtocolState::AwaitingInit => {
                close(close::INIT_TIMEOUT, "Connection initialisation timeout")
            }
            ProtocolState::Authenticating => {
                close(close::TRY_AGAIN_LATER, "The token cannot be checked now")
            }
            ProtocolState::Ready => close(close::FORBIDDEN, "Forbidden"),
        }
    }

    /// Before the acknowledgement no pings are needed: the deadlines of these phases are shorter.
    fn on_tick(&mut self) -> Option<ProtocolAction> {
        if self.state != ProtocolState::Ready {
            return None;
        }
        if self.silent_pings == SILENT_PINGS_MAX {
            return close(close::GOING_AWAY, "No sign of life");
        }
        self.silent_pings += 1;
        Some(send(&ServerMessage::Ping))
    }

    fn on_subscribe(&mut self, id: OperationId, request: RawRequest) -> Option<ProtocolAction> {
        if self.state != ProtocolState::Ready {
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
            let payload = &[ClientError::new(Code::TooManyOperations, message)];
            return Some(send(&ServerMessage::Error { id: &id, payload }));
        }
        self.operations.insert(id.clone());
        Some(ProtocolAction::Start(id, request))
    }

    /// A refusal ends its operation. Answers that were under way when the client completed their operation are dropped.
    fn on_answer(&mut self, id: &OperationId, answer: Answer) -> Option<ProtocolAction> {
        if !self.operations.contains(id) {
            return None;
        }
        let Some(payload) = answer.refusal() else {
            return Some(ProtocolAction::Send(next(id, answer)));
        };
        self.operations.remove(id);
        Some(send(&ServerMessage::Error { id, payload }))
    }
}

fn send(message: &ServerMessage<'_>) -> ProtocolAction {
    ProtocolAction::Send(message.to_json().into())
}

/// Cuts a reason that does not fit its frame, at a character.
fn close(code: u16, reason: &str) -> Option<ProtocolAction> {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason[..end].to_owned();
    Some(ProtocolAction::Close(CloseReason { code, reason }))
}

#[cfg(test)]
mod tests;
