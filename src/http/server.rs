//! The listener and its connections, up to an orderly shutdown. Routes know nothing of it, except that a [`Shutdown`]
//! may begin. [`connection`] speaks the protocols.

mod connection;
mod connection_limit;
mod handshake;
mod head;
mod strangers;
mod weights;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub(super) use self::connection_limit::{AuthenticatedUse, ConnectionPermit};
use self::{connection::ConnectionService, connection_limit::ConnectionLimiter};
use crate::{
    config::HttpTimes,
    limits::Limits,
    metrics::Metrics,
    quota::{Quota, QuotaLimits},
};

/// The pause after an error. When the process is out of file descriptors, accepting again at once fails again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// How connections are served.
#[derive(Clone)]
pub(crate) struct ServerOptions {
    pub(crate) limits: Limits,
    /// Counts the bytes that connections hold, together with those of requests and answers.
    pub(crate) quota: Arc<Quota>,
    /// How long the gateway waits for peers.
    pub(crate) times: HttpTimes,
    pub(crate) metrics: Arc<Metrics>,
}

impl ServerOptions {
    pub(crate) fn new(limits: Limits, times: HttpTimes) -> Self {
        let quota = Quota::new(QuotaLimits {
            bytes_max: limits.buffer_bytes,
            user_bytes_max: limits.user_buffer_bytes,
        });
        Self {
            limits,
            quota,
            times,
            metrics: Metrics::new(),
        }
    }

    /// The same, for a gateway whose metrics are read.
    pub(crate) fn measured(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }
}

/// The shutdown of a gateway: its signal, and the tasks that it waits for.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
    /// Comes before the signal, so that load balancers send new work elsewhere.
    notice: CancellationToken,
    signal: CancellationToken,
    work: TaskTracker,
}

impl Shutdown {
    /// The shutdown of one gateway of several that serve one after the other. The whole one begins it too, and waits for
    /// its tasks.
    pub(crate) fn of_one(&self) -> Self {
        Self {
            notice: self.notice.child_token(),
            signal: self.signal.child_token(),
            work: self.work.clone(),
        }
    }

    /// Announces the signal. The gateway is not ready from then on, and serves as before.
    pub(crate) fn announce(&self) {
        self.notice.cancel();
    }

    pub(super) fn is_announced(&self) -> bool {
        self.notice.is_cancelled() || self.has_begun()
    }

    /// Gives the signal. The gateway accepts nothing new from then on.
    pub(crate) fn begin(&self) {
        self.signal.cancel();
    }

    fn has_begun(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Waits for the signal.
    pub(super) async fn begun(&self) {
        self.signal.cancelled().await;
    }

    /// The same as an owned future, for a task that polls it for a long time.
    pub(super) fn end(&self) -> WaitForCancellationFutureOwned {
        self.signal.clone().cancelled_owned()
    }

    /// Makes the shutdown wait until the token is dropped.
    pub(super) fn hold(&self) -> TaskTrackerToken {
        self.work.token()
    }

    /// Waits for all tasks, so long at most.
    async fn drained(&self, time_max: Duration) {
        self.work.close();
        if timeout(time_max, self.work.wait()).await.is_err() {
            let connections = self.work.len();
            tracing::warn!(target: "http", connections, "shut down before all requests were answered");
        }
    }
}

/// Serves connections until `shutdown` begins; then answers the requests under way and closes the sockets. Each request is
/// served by the current router.
pub(crate) async fn serve(
    listener: TcpListener,
    router: watch::Receiver<Router>,
    shutdown: Shutdown,
    options: ServerOptions,
) {
    let context = ServerContext {
        limiter: ConnectionLimiter::new(&options),
        times: options.times,
        router,
        shutdown: shutdown.clone(),
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = listener.accept() => context.admit(accepted).await,
        }
    }
    drop(listener);
    shutdown.drained(options.times.drain).await;
}

/// What all connections share.
struct ServerContext {
    limiter: Arc<ConnectionLimiter>,
    times: HttpTimes,
    router: watch::Receiver<Router>,
    shutdown: Shutdown,
}

impl ServerContext {
    async fn admit(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => self.register(stream, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(target: "http", %error, "connections cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn register(&self, stream: TcpStream, peer: SocketAddr) {
        let permit = self.limiter.enter(peer.ip());
        let current = ConnectionService {
            router: self.router.clone(),
            permit: permit.clone(),
        };
        let connection = connection::serve(stream, current, self.times, self.shutdown.clone());
        let task = self.shutdown.work.spawn(connection);
        permit.served_by(task.abort_handle());
    }
}

/// A client that disconnects before it is accepted is no fault of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
