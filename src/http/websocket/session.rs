//! Runs one socket: frames, timers and operations become events of the [`Protocol`], whose actions it carries out. It
//! writes one answer at a time, and polls operations only when the socket has sent it.

use std::{mem, pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    future::{BoxFuture, pending},
    stream::{self, BoxStream, StreamExt},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};
use tokio_stream::StreamMap;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    message::{ClientMessage, ConnectionParams, InvalidMessage, OperationId},
    protocol::{CloseReason, Protocol, ProtocolAction, ProtocolEvent},
    socket::{IncomingFrame, Socket},
};
use crate::{
    auth::AuthError,
    graphql::{RawRequest, answer::Answer, error::ClientError},
    http::{
        HttpState,
        operation::{self, CountedAnswer},
        server::{AuthenticatedUse, ConnectionPermit},
    },
    large,
    quota::Lease,
    record::{OperationRecord, RequestId, Transport},
    sync::Caller,
};

/// How long a client may take for its first message.
const INIT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the check of a token may take. It may have to fetch keys.
const AUTHENTICATION_DEADLINE: Duration = Duration::from_secs(10);

/// The answers of one operation, and `None` after the last.
type AnswerStream = BoxStream<'static, Option<CountedAnswer>>;

/// A socket while it is open.
pub(super) struct Session {
    state: Arc<HttpState>,
    /// What came with the handshake, for clients that cannot put it into `connection_init`.
    handshake: ConnectionParams,
    protocol: Protocol,
    authentication: Option<BoxFuture<'static, Result<Caller, ClientError>>>,
    /// Set once the protocol is ready for operations.
    caller: Option<Caller>,
    /// The connection's permit, held until the socket is closed.
    permit: Option<Arc<ConnectionPermit>>,
    /// Keeps the connection open, once the caller is known.
    token_use: Option<AuthenticatedUse>,
    operations: StreamMap<OperationId, AnswerStream>,
    /// Counts the answer that is to be sent next, if it had to wait.
    lease: Option<Lease>,
    /// The id of the handshake, which the lines of all its operations have.
    request: RequestId,
    deadline: Pin<Box<Sleep>>,
    ticks: Interval,
    /// The gateway's shutdown.
    going_away: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Session {
    pub(super) fn new(
        state: Arc<HttpState>,
        handshake: ConnectionParams,
        permit: Option<Arc<ConnectionPermit>>,
        request: RequestId,
    ) -> Self {
        let ping_interval = state.times.ping;
        let mut ticks = interval_at(Instant::now() + ping_interval, ping_interval);
        // Ticks that were missed while a frame was written do not count against the peer.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            handshake,
            protocol: Protocol::default(),
            authentication: None,
            caller: None,
            permit,
            token_use: None,
            operations: StreamMap::new(),
            lease: None,
            request,
            deadline: Box::pin(sleep(INIT_DEADLINE)),
            going_away: Box::pin(state.shutdown.end()),
            ticks,
            state,
        }
    }

    /// Runs until one side closes the socket, or the connection breaks.
    pub(super) async fn run(mut self: Box<Self>, mut socket: Box<Socket>) {
        let reason = self.converse(&mut socket).await;
        // Operations end before the closing handshake, which may take a while.
        let _place = (self.token_use.take(), self.permit.take());
        drop(self);
        // Boxed: it needs more memory than the rest, which may last for long.
        Box::pin(socket.close(reason)).await;
    }

    /// Returns how to close the socket, if the client is still connected.
    async fn converse(&mut self, socket: &mut Socket) -> Option<CloseReason> {
        loop {
            let event = self.event(socket).await?;
            match self.protocol.on(event) {
                Some(ProtocolAction::Authenticate(params)) => self.authenticate(params),
                Some(ProtocolAction::Start(id, request)) => self.start(id, request).await,
                Some(ProtocolAction::Stop(id)) => drop(self.operations.remove(&id)),
                Some(ProtocolAction::Send(text)) => {
                    match socket.send(text, self.lease.take()).await {
                        Ok(sent) => sent?,
                        Err(_) => return Some(CloseReason::over_capacity()),
                    }
                }
                Some(ProtocolAction::Close(reason)) => return Some(reason),
                None => {}
            }
        }
    }

    /// The next event; `None` when the client is gone.
    async fn event(&mut self, socket: &mut Socket) -> Option<ProtocolEvent> {
        self.lease = None;
        tokio::select! {
            heard = socket.next_frame() => heard.map(said),
            result = settled(&mut self.authentication) => {
                let event = self.authenticated(result);
                let account = self.caller.as_ref().and_then(Caller::account);
                if let Some(account) = account {
                    socket.belongs_to(account.clone());
                }
                Some(event)
            }
            Some((id, answer)) = self.operations.next() => Some(match answer {
                Some(CountedAnswer { answer, lease }) => {
                    self.lease = lease;
                    ProtocolEvent::Answered(id, answer)
                }
                None => ProtocolEvent::Finished(id),
            }),
            () = &mut self.deadline => Some(ProtocolEvent::Deadline),
            _ = self.ticks.tick() => Some(ProtocolEvent::Tick),
            () = &mut self.going_away => Some(ProtocolEvent::GoingAway),
        }
    }

    fn authenticate(&mut self, params: ConnectionParams) {
        let ConnectionParams { token, api } = params.or(mem::take(&mut self.handshake));
        let gateway = self.state.gateway.clone();
        self.authentication = Some(Box::pin(async move {
            let token = token.ok_or(AuthError::Missing)?;
            let caller = gateway.authenticate(&token).await?;
            Ok(caller.with_api(api))
        }));
        self.deadline.set(sleep(AUTHENTICATION_DEADLINE));
    }

    /// From here on, the deadline is the token's expiry.
    fn authenticated(&mut self, result: Result<Caller, ClientError>) -> ProtocolEvent {
        self.authentication = None;
        let entered = result.and_then(|caller| self.enter(caller));
        ProtocolEvent::Authenticated(entered.map_err(|failure| {
            if let Some(limit) = failure.limit {
                let refusals = &self.state.gateway.observer.metrics.refusals;
                refusals.of([limit.into()]).inc();
            }
            failure.code
        }))
    }

    fn enter(&mut self, caller: Caller) -> Result<(), ClientError> {
        if let Some(permit) = &self.permit {
            self.token_use = Some(permit.authenticate(&caller.identity.user)?);
        }
        let left = self.state.gateway.sync.left_of_token(&caller);
        self.deadline.set(sleep(left));
        let account = self.state.quota.of_user(&caller.identity.user);
        self.caller = Some(caller.counted_on(account));
        Ok(())
    }

    /// While a large request is validated, the socket is not served.
    async fn start(&mut self, id: OperationId, request: RawRequest) {
        let caller = self.caller.clone();
        let caller = caller.expect("the protocol starts operations after authentication only");
        let (user, api) = (&caller.identity.user, caller.api);
        let (observer, id_of_handshake) = (&self.state.gateway.observer, self.request.clone());
        let record =
            OperationRecord::begin(observer, id_of_handshake, user, api, Transport::WebSocket);
        record.is("none", request.operation_name.as_deref());
        let caller = caller.recorded_in(record);
        let HttpState {
            gateway,
            operation_limiter,
            ..
        } = &*self.state;
        let counted = operation_limiter
            .count(&caller.identity.user)
            .map_err(Answer::from);
        let validated = match counted {
            Ok(()) if request.is_large() => {
                let gateway = Arc::clone(gateway);
                large::run(caller.account(), move || gateway.api.validate(request)).await
            }
            Ok(()) => gateway.api.validate(request),
            Err(refusal) => Err(refusal),
        };
        let answers = match validated {
            Ok(validated) => operation::answers(gateway, operation_limiter, caller, validated),
            Err(refusal) => operation::refused(gateway, caller, refusal),
        };
        let until_finished = answers.map(Some).chain(stream::iter([None]));
        self.operations.insert(id, until_finished.boxed());
    }
}

fn said(heard: IncomingFrame) -> ProtocolEvent {
    match heard {
        IncomingFrame::Text(text) => ProtocolEvent::Message(ClientMessage::parse(&text)),
        IncomingFrame::Binary => ProtocolEvent::Message(Err(InvalidMessage::binary())),
        IncomingFrame::Control => ProtocolEvent::Heard,
        IncomingFrame::TooLarge => ProtocolEvent::TooLarge,
        IncomingFrame::NoRoom => ProtocolEvent::NoRoom,
        IncomingFrame::Broken => ProtocolEvent::Broken,
    }
}

/// Pending for ever while no authentication is under way.
async fn settled(
    authentication: &mut Option<BoxFuture<'static, Result<Caller, ClientError>>>,
) -> Result<Caller, ClientError> {
    match authentication {
        Some(authentication) => authentication.await,
        None => pending().await,
    }
}
