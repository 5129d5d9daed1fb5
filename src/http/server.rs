//! The listener and its connections, to an orderly end. Routes know nothing of it, except that a [`Shutdown`] may begin;
//! what is spoken on a connection is in [`connection`].

mod connection;
mod handshake;
mod head;
mod strangers;
mod visitors;
mod weights;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::connection::Current;
use self::visitors::Visitors;
pub(super) use self::visitors::{Presence, Visit};
use crate::config::HttpTimes;
use crate::quota::Quota;

/// How long requests under way may take once the gateway shuts down.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// When the process is out of file descriptors, accepting again at once would only heat the machine.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What connections may take.
#[derive(Clone)]
pub(crate) struct ServerLimits {
    /// At a time, that have shown a good token.
    pub(crate) connections_max: usize,
    /// At a time, that have not.
    pub(crate) new_connections_max: usize,
    /// Of these, from one network; 0 is no bound of its own.
    pub(crate) address_connections_max: usize,
    /// Of one user.
    pub(crate) user_connections_max: usize,
    /// What they may make the gateway hold, counted with what requests and answers hold.
    pub(crate) quota: Arc<Quota>,
    /// How long those at their other ends are waited for.
    pub(crate) times: HttpTimes,
}

/// The end of a gateway: the signal that it has come, and everyone it waits for.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
    signal: CancellationToken,
    work: TaskTracker,
}

impl Shutdown {
    /// Gives the signal. Nothing new is accepted from now on.
    pub(crate) fn begin(&self) {
        self.signal.cancel();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Waits for the signal.
    pub(super) async fn begun(&self) {
        self.signal.cancelled().await;
    }

    /// The same, for whoever keeps it: each that is made takes its place among all that wait.
    pub(super) fn end(&self) -> WaitForCancellationFutureOwned {
        self.signal.clone().cancelled_owned()
    }

    /// Makes the end wait until the token is dropped.
    pub(super) fn hold(&self) -> TaskTrackerToken {
        self.work.token()
    }

    /// Waits for everyone, within bounds.
    async fn drained(&self) {
        self.work.close();
        if timeout(DRAIN_DEADLINE, self.work.wait()).await.is_err() {
            let connections = self.work.len();
            tracing::warn!(target: "http", connections, "shut down before all requests were answered");
        }
    }
}

/// Serves connections until `shutdown` begins; then answers the requests under way and closes the sockets. A request is
/// served by the router there is when it comes.
pub(crate) async fn serve(
    listener: TcpListener,
    router: watch::Receiver<Router>,
    shutdown: Shutdown,
    limits: ServerLimits,
) {
    let house = House {
        visitors: Visitors::new(&limits),
        times: limits.times,
        router,
        shutdown: shutdown.clone(),
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = listener.accept() => house.admit(accepted).await,
        }
    }
    drop(listener);
    shutdown.drained().await;
}

/// What every connection is served with.
struct House {
    visitors: Arc<Visitors>,
    times: HttpTimes,
    router: watch::Receiver<Router>,
    shutdown: Shutdown,
}

impl House {
    async fn admit(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => self.welcome(stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(target: "http", %error, "connections cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        let visit = self.visitors.enter(peer.ip());
        let current = Current {
            router: self.router.clone(),
            visit: visit.clone(),
        };
        let connection = connection::serve(stream, current, self.times, self.shutdown.clone());
        let task = self.shutdown.work.spawn(connection);
        visit.served_by(task.abort_handle());
    }
}

/// A client that went away before it was accepted says nothing of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
