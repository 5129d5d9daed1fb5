//! Runs one socket: frames, timers and operations become events of the [`Protocol`], whose actions it carries out. It
//! writes one answer at a time, and polls operations only when the socket has sent it.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{
    future::{BoxFuture, pending},
    stream::{self, BoxStream, StreamExt},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};
use tokio_stream::StreamMap;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    message::{ClientMessage, InvalidMessage, OperationId},
    protocol::{Action, Closing, Event, Protocol},
    socket::{Heard, Socket},
};
use crate::{
    auth::AuthError,
    graphql::{RawRequest, answer::Answer, error::Failure},
    http::{
        HttpState,
        operation::{self, CountedAnswer},
        server::{Presence, Visit},
    },
    quota::Lease,
    sync::Caller,
};

/// How long a client may take for its first message.
const INIT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the check of a token may take. It may have to fetch keys.
const AUTHENTICATION_DEADLINE: Duration = Duration::from_secs(10);

/// The answers of one operation, and `None` after the last.
type Answers = BoxStream<'static, Option<CountedAnswer>>;

/// A socket while it is open.
pub(super) struct Session {
    state: Arc<HttpState>,
    /// The token of the handshake, for clients that cannot put one into `connection_init`.
    handshake_token: Option<String>,
    protocol: Protocol,
    authentication: Option<BoxFuture<'static, Result<Caller, Failure>>>,
    /// Set once the protocol is ready for operations.
    caller: Option<Caller>,
    /// The connection's permit, held until the socket is closed.
    visit: Option<Arc<Visit>>,
    /// Keeps the connection open, once the caller is known.
    presence: Option<Presence>,
    operations: StreamMap<OperationId, Answers>,
    /// Counts the answer that is to be sent next, if it had to wait.
    lease: Option<Lease>,
    deadline: Pin<Box<Sleep>>,
    ticks: Interval,
    /// The gateway's shutdown.
    going_away: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Session {
    pub(super) fn new(
        state: Arc<HttpState>,
        handshake_token: Option<String>,
        visit: Option<Arc<Visit>>,
    ) -> Self {
        let ping_interval = state.times.ping;
        let mut ticks = interval_at(Instant::now() + ping_interval, ping_interval);
        // Ticks that were missed while a frame was written do not count against the peer.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            handshake_token,
            protocol: Protocol::default(),
            authentication: None,
            caller: None,
            visit,
            presence: None,
            operations: StreamMap::new(),
            lease: None,
            deadline: Box::pin(sleep(INIT_DEADLINE)),
            going_away: Box::pin(state.shutdown.end()),
            ticks,
            state,
        }
    }

    /// Runs until one side closes the socket, or the connection breaks.
    pub(super) async fn run(mut self: Box<Self>, mut socket: Box<Socket>) {
        let closing = self.converse(&mut socket).await;
        // Operations end before the closing handshake, which may take a while.
        let _place = (self.presence.take(), self.visit.take());
        drop(self);
        // Boxed: it needs more memory than the rest, which may last for long.
        Box::pin(socket.close(closing)).await;
    }

    /// Returns how to close the socket, if the client is still connected.
    async fn converse(&mut self, socket: &mut Socket) -> Option<Closing> {
        loop {
            let event = self.event(socket).await?;
            match self.protocol.on(event) {
                Some(Action::Authenticate(token)) => self.authenticate(token),
                Some(Action::Start(id, request)) => self.start(id, request),
                Some(Action::Stop(id)) => drop(self.operations.remove(&id)),
                Some(Action::Send(text)) => match socket.send(text, self.lease.take()).await {
                    Ok(sent) => sent?,
                    Err(_) => return Some(Closing::for_want_of_room()),
                },
                Some(Action::Close(closing)) => return Some(closing),
                None => {}
            }
        }
    }

    /// The next event; `None` when the client is gone.
    async fn event(&mut self, socket: &mut Socket) -> Option<Event> {
        self.lease = None;
        tokio::select! {
            heard = socket.hear() => heard.map(said),
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
                    Event::Answered(id, answer)
                }
                None => Event::Finished(id),
            }),
            () = &mut self.deadline => Some(Event::Deadline),
            _ = self.ticks.tick() => Some(Event::Tick),
            () = &mut self.going_away => Some(Event::GoingAway),
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

    /// From here on, the deadline is the token's expiry.
    fn authenticated(&mut self, result: Result<Caller, Failure>) -> Event {
        self.authentication = None;
        let entered = result.and_then(|caller| self.enter(caller));
        Event::Authenticated(entered.map_err(|failure| failure.code))
    }

    fn enter(&mut self, caller: Caller) -> Result<(), Failure> {
        if let Some(visit) = &self.visit {
            self.presence = Some(visit.show(&caller.identity.user)?);
        }
        let left = self.state.gateway.sync.left_of_token(&caller);
        self.deadline.set(sleep(left));
        let account = self.state.quota.of_user(&caller.identity.user);
        self.caller = Some(caller.counted_on(account));
        Ok(())
    }

    fn start(&mut self, id: OperationId, request: RawRequest) {
        let caller = self.caller.clone();
        let caller = caller.expect("the protocol starts operations after authentication only");
        let HttpState {
            gateway, traffic, ..
        } = &*self.state;
        let counted = traffic.count(&caller.identity.user).map_err(Answer::from);
        let answers = match counted.and_then(|()| gateway.api.admit(request)) {
            Ok(admitted) => operation::answers(gateway, traffic, caller, admitted),
            Err(refusal) => operation::refused(refusal),
        };
        let until_finished = answers.map(Some).chain(stream::iter([None]));
        self.operations.insert(id, until_finished.boxed());
    }
}

fn said(heard: Heard) -> Event {
    match heard {
        Heard::Text(text) => Event::Message(ClientMessage::parse(&text)),
        Heard::Binary => Event::Message(Err(InvalidMessage::binary())),
        Heard::Control => Event::Heard,
        Heard::TooLarge => Event::TooLarge,
        Heard::NoRoom => Event::NoRoom,
        Heard::Broken => Event::Broken,
    }
}

/// Pending for ever while no authentication is under way.
async fn settled(
    authentication: &mut Option<BoxFuture<'static, Result<Caller, Failure>>>,
) -> Result<Caller, Failure> {
    match authentication {
        Some(authentication) => authentication.await,
        None => pending().await,
    }
}
