//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 by a client that knows that it is spoken here
//! (RFC 9113, section 3.3), as proxies do. TLS is theirs, so that nothing can be negotiated before.

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Shutdown;

/// How long a request's head may take, and a kept-alive connection may stay idle. Longer than the 60 s for which
/// common load balancers keep idle connections, or they would send requests into closing ones.
const HEAD_DEADLINE: Duration = Duration::from_secs(75);
/// Of a connection's buffers: the largest head, for a token of 16 KiB with room to spare.
const CONNECTION_BUFFER_BYTES_MAX: usize = 64 * 1024;
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Requests under way on one connection of HTTP/2; a proxy opens another for more.
const STREAMS_MAX: u32 = 100;
/// As sockets are pinged.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Every connection of HTTP/2 begins so (RFC 9113, section 3.4), and no request of HTTP/1.1 with the first bytes of it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As many bytes as the shortest request of HTTP/1.1 has at least.
const BEGINNING_BYTES: usize = 3;

/// Serves a connection until its client leaves, or until `shutdown` begins and the requests under way are answered.
pub(super) async fn serve(stream: TcpStream, router: watch::Receiver<Router>, shutdown: Shutdown) {
    let begun = tokio::select! {
        begun = begin(stream) => begun,
        () = shutdown.begun() => return,
    };
    let ended = match begun {
        Ok((Spoken::Http1, io)) => http1(io, Current(router), &shutdown).await,
        Ok((Spoken::Http2, io)) => http2(io, Current(router), &shutdown).await,
        Err(_) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(target: "http", %error, "connection ended");
    }
}

/// Each request takes the router that there is then: a connection may have come before the gateway had its store.
#[derive(Clone)]
struct Current(watch::Receiver<Router>);

impl Service<Request<Incoming>> for Current {
    type Response = Response;
    type Error = Infallible;
    type Future = TowerToHyperServiceFuture<Router, Request<Incoming>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let router = self.0.borrow().clone();
        TowerToHyperService::new(router).call(request)
    }
}

enum Spoken {
    Http1,
    Http2,
}

/// What the first bytes say that is spoken, and the connection as if they had not been read. The whole preface of HTTP/2
/// has to come in time, since its library would wait for it without a limit.
async fn begin(
    mut stream: TcpStream,
) -> io::Result<(Spoken, impl AsyncRead + AsyncWrite + Unpin + Send + 'static)> {
    // Answers are written whole; waiting to fill packets would only delay live changes.
    stream.set_nodelay(true)?;
    let mut beginning = vec![0; BEGINNING_BYTES];
    let reading = async {
        stream.read_exact(&mut beginning).await?;
        if !PREFACE.starts_with(&beginning) {
            return Ok(Spoken::Http1);
        }
        beginning.resize(PREFACE.len(), 0);
        stream.read_exact(&mut beginning[BEGINNING_BYTES..]).await?;
        Ok::<_, io::Error>(Spoken::Http2)
    };
    let spoken = timeout(HEAD_DEADLINE, reading).await??;
    let (reader, writer) = stream.into_split();
    let reader = Cursor::new(beginning).chain(reader);
    Ok((spoken, join(reader, writer)))
}

async fn http1(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Current,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.begun() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn http2(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Current,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_send_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.begun() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
