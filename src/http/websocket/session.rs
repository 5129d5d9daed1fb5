//! One socket's life: frames, timers and operations become events of the [`Protocol`], and its actions are carried
//! out. One frame is written at a time, and operations are only asked for more when the socket has taken the last.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep, timeout};
use tokio_stream::StreamMap;

use super::message::{ClientMessage, InvalidMessage, OperationId};
use super::protocol::{Action, Closing, Event, Protocol};
use crate::app::Gateway;
use crate::auth::AuthError;
use crate::graphql::answer::Answer;
use crate::graphql::error::Failure;
use crate::graphql::{OperationKind, RawRequest};
use crate::http::HttpState;
use crate::sync::Caller;

/// How long a client may take to introduce itself.
const INIT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the check of a token may take, which may have to fetch keys.
const AUTHENTICATION_DEADLINE: Duration = Duration::from_secs(10);
/// Below the 30 s after which some mobile networks and proxies forget an idle connection.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long a peer may leave a frame lying before it is taken for dead; as long as two unanswered pings.
const WRITE_DEADLINE: Duration = Duration::from_secs(50);
/// How long the peer may take to answer a close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The answers of one operation, and `None` after the last.
type Answers = BoxStream<'static, Option<Answer>>;

/// A socket's conversation.
pub(super) struct Session {
    state: Arc<HttpState>,
    /// The token of the handshake, for clients that cannot put one into `connection_init`.
    handshake_token: Option<String>,
    protocol: Protocol,
    authentication: Option<BoxFuture<'static, Result<Caller, Failure>>>,
    /// There is one once the protocol is ready for operations.
    caller: Option<Caller>,
    operations: StreamMap<OperationId, Answers>,
    deadline: Pin<Box<Sleep>>,
    ticks: Interval,
}

impl Session {
    pub(super) fn new(state: Arc<HttpState>, handshake_token: Option<String>) -> Self {
        let mut ticks = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        // Ticks missed while a frame was being written say nothing of the peer.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            state,
            handshake_token,
            protocol: Protocol::new(),
            authentication: None,
            caller: None,
            operations: StreamMap::new(),
            deadline: Box::pin(sleep(INIT_DEADLINE)),
            ticks,
        }
    }

    /// Speaks until one side has enough, or the connection breaks.
    pub(super) async fn run(mut self, mut socket: WebSocket) {
        let closing = self.converse(&mut socket).await;
        // Operations end before the farewell, which may take a while.
        drop(self);
        say_goodbye(socket, closing).await;
    }

    /// Returns how to close the socket, if there is still somebody to be told.
    async fn converse(&mut self, socket: &mut WebSocket) -> Option<Closing> {
        loop {
            let event = self.event(socket).await?;
            match self.protocol.on(event) {
                Some(Action::Authenticate(token)) => self.authenticate(token),
                Some(Action::Start(id, request)) => self.start(id, request),
                Some(Action::Stop(id)) => drop(self.operations.remove(&id)),
                Some(Action::Send(text)) => send(socket, Message::Text(text.into())).await?,
                Some(Action::Close(closing)) => return Some(closing),
                None => {}
            }
        }
    }

    /// The next thing that happens; `None` when the client is gone.
    async fn event(&mut self, socket: &mut WebSocket) -> Option<Event> {
        tokio::select! {
            frame = socket.recv() => heard(frame),
            result = settled(&mut self.authentication) => Some(self.authenticated(result)),
            Some((id, answer)) = self.operations.next() => Some(match answer {
                Some(answer) => Event::Answered(id, answer),
                None => Event::Finished(id),
            }),
            () = &mut self.deadline => Some(Event::Deadline),
            _ = self.ticks.tick() => Some(Event::Tick),
            () = self.state.shutdown.begun() => Some(Event::GoingAway),
        }
    }

    fn authenticate(&mut self, token: Option<String>) {
        let token = token.or_else(|| self.handshake_token.take());
        let gateway = self.state.gateway.clone();
        self.authentication = Some(Box::pin(async move {
            let token = token.ok_or(AuthError::Missing)?;
            gateway.authenticate(&token).await
        }));
        self.deadline.set(sleep(AUTHENTICATION_DEADLINE));
    }

    /// From here on the deadline is the token's end.
    fn authenticated(&mut self, result: Result<Caller, Failure>) -> Event {
        self.authentication = None;
        Event::Authenticated(result.map_err(|failure| failure.code).map(|caller| {
            let left_ms = caller.identity.expires_at.ms() - self.state.gateway.sync.now().ms();
            let left_ms = u64::try_from(left_ms).unwrap_or_default();
            self.deadline.set(sleep(Duration::from_millis(left_ms)));
            self.caller = Some(caller);
        }))
    }

    fn start(&mut self, id: OperationId, request: RawRequest) {
        let caller = self.caller.clone();
        let caller = caller.expect("the protocol starts operations after authentication only");
        let answers = answers(&self.state.gateway, caller, request);
        let until_finished = answers.map(Some).chain(stream::iter([None]));
        self.operations.insert(id, until_finished.boxed());
    }
}

/// Queries and mutations are streams of one answer.
fn answers(
    gateway: &Arc<Gateway>,
    caller: Caller,
    request: RawRequest,
) -> BoxStream<'static, Answer> {
    let admitted = match gateway.api.admit(request) {
        Ok(admitted) => admitted,
        Err(refusal) => return stream::iter([refusal]).boxed(),
    };
    if admitted.kind == OperationKind::Subscription {
        return gateway.api.subscribe(&gateway.sync, caller, admitted);
    }
    let gateway = gateway.clone();
    stream::once(async move { gateway.api.execute(&gateway.sync, caller, admitted).await }).boxed()
}

fn heard(frame: Option<Result<Message, axum::Error>>) -> Option<Event> {
    match frame? {
        Ok(Message::Text(text)) => Some(Event::Message(ClientMessage::parse(&text))),
        Ok(Message::Binary(_)) => Some(Event::Message(Err(InvalidMessage::binary()))),
        Ok(Message::Ping(_) | Message::Pong(_)) => Some(Event::Heard),
        Ok(Message::Close(_)) => None,
        // A broken connection as well, where nobody hears what is said.
        Err(_) => Some(Event::Unreadable),
    }
}

/// Never, while no authentication is under way.
async fn settled(
    authentication: &mut Option<BoxFuture<'static, Result<Caller, Failure>>>,
) -> Result<Caller, Failure> {
    match authentication {
        Some(authentication) => authentication.await,
        None => pending().await,
    }
}

/// `None` when the peer does not take it.
async fn send(socket: &mut WebSocket, message: Message) -> Option<()> {
    timeout(WRITE_DEADLINE, socket.send(message))
        .await
        .ok()?
        .ok()
}

/// Reads on until the peer has answered, or its own farewell has been: a connection that is dropped with unread bytes
/// is reset, and the reason lost.
async fn say_goodbye(mut socket: WebSocket, closing: Option<Closing>) {
    let goodbye = async {
        if let Some(Closing { code, reason }) = closing {
            tracing::debug!(target: "http", code, "closing a socket");
            let reason = reason.into();
            let frame = Message::Close(Some(CloseFrame { code, reason }));
            socket.send(frame).await?;
        }
        while socket.recv().await.transpose()?.is_some() {}
        Ok::<(), axum::Error>(())
    };
    match timeout(CLOSE_DEADLINE, goodbye).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => {
            tracing::debug!(target: "http", "a socket's peer left without a farewell")
        }
    }
}
