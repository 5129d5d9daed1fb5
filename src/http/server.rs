//! The listener and its connections, to an orderly end. Routes know nothing of it, except that a [`Shutdown`] may begin;
//! what is spoken on a connection is in [`connection`].

mod connection;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long requests under way may take once the gateway shuts down.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// When the process is out of file descriptors, accepting again at once would only heat the machine.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

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
) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.begun() => break,
            accepted = listener.accept() => admit(accepted, &router, &shutdown).await,
        }
    }
    drop(listener);
    shutdown.drained().await;
}

async fn admit(
    accepted: io::Result<(TcpStream, SocketAddr)>,
    router: &watch::Receiver<Router>,
    shutdown: &Shutdown,
) {
    match accepted {
        Ok((stream, _)) => {
            let connection = connection::serve(stream, router.clone(), shutdown.clone());
            shutdown.work.spawn(connection);
        }
        Err(error) if is_of_one_connection(&error) => {}
        Err(error) => {
            tracing::error!(target: "http", %error, "connections cannot be accepted");
            sleep(ACCEPT_PAUSE).await;
        }
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
