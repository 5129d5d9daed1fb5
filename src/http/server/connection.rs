//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 with prior knowledge
//! (RFC 9113, section 3.3), as proxies speak it. Proxies end TLS, so that nothing can be negotiated before.

use std::{
    convert::Infallible,
    io::{self, Cursor},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Bytes, HttpBody},
    http::Version,
    response::Response,
};
use futures_util::future::{Either, Ready, ready};
use hyper::{
    Request,
    rt::Executor,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::{TowerToHyperService, TowerToHyperServiceFuture},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, join},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_io_timeout::TimeoutWriter;

use super::{ConnectionPermit, Shutdown, handshake::HandshakeSpelling, head};
use crate::{
    config::HttpTimes,
    http::{
        accept::ResponseType,
        answer,
        origin::Peer,
        pace::{self, HTTP2_PART_BYTES},
    },
    quota::{Exhausted, Lease},
};

/// How long the first bytes may take. A client connects to send something.
const FIRST_DEADLINE: Duration = Duration::from_secs(10);
/// A connection's buffer: the largest head over HTTP/1.1, enough for a token of 16 KiB.
const CONNECTION_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// The largest head over HTTP/2, for the same token. Each field counts 32 bytes besides its own, which bounds fields: one
/// byte on the wire may stand for one that takes 72 bytes of memory.
pub(super) const HEAD_BYTES_MAX: u32 = 24 * 1024;
/// Requests under way on one connection of HTTP/2; a proxy opens another for more.
const STREAMS_MAX: u32 = 50;
/// What a client may send before it is read, on one stream and on a whole connection of HTTP/2. The library's own
/// windows are 1 MiB, which every stranger could fill.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * STREAM_WINDOW_BYTES;
/// Streams that a client has reset before the gateway has accepted them; with more the connection ends (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 20;
/// What a connection of HTTP/2 can hold besides heads and bodies, which are counted separately: received bytes that no
/// handler has read yet, and two parts of each stream that cannot be sent. The library asks for a part while it has
/// less than one, and the client can close the window then.
pub(super) const HTTP2_CONNECTION_BYTES: usize =
    CONNECTION_WINDOW_BYTES as usize + STREAMS_MAX as usize * 2 * HTTP2_PART_BYTES;
/// Every connection of HTTP/2 begins with these bytes (RFC 9113, section 3.4). No request of HTTP/1.1 begins with the first
/// three.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Every request of HTTP/1.1 has at least this number of bytes.
const BEGINNING_BYTES: usize = 3;

/// Serves a connection until its client leaves, or until `shutdown` begins and the requests under way are answered.
pub(super) async fn serve(
    stream: TcpStream,
    current: ConnectionService,
    times: HttpTimes,
    shutdown: Shutdown,
) {
    let begun = tokio::select! {
        begun = begin(stream, times) => begun,
        () = shutdown.begun() => return,
    };
    let ended = match begun {
        Ok((HttpVersion::Http1, io)) => {
            let serving = pace::enforced(http1(io, current, times, &shutdown));
            serving.await.unwrap_or(Ok(()))
        }
        Ok((HttpVersion::Http2, io)) => {
            current.permit.carries_streams();
            http2(io, current, times, &shutdown).await
        }
        Err(_) => return,
    };
    if let Err(error) = ended {
        tracing::debug!(target: "http", %error, "connection ended");
    }
}

/// Each request takes the current router: a connection may have come before the gateway had its store.
#[derive(Clone)]
pub(super) struct ConnectionService {
    pub(super) router: watch::Receiver<Router>,
    /// The connection's permit, which its requests and its socket hold as well.
    pub(super) permit: Arc<ConnectionPermit>,
}

/// Counts a head until the request's extensions are dropped.
#[derive(Clone)]
struct HeadLease(#[expect(dead_code, reason = "it is held, and never read")] Arc<Lease>);

impl<B> Service<Request<B>> for ConnectionService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<TimedResponse<B>, Ready<Result<Response, Infallible>>>;

    fn call(&self, mut request: Request<B>) -> Self::Future {
        if request.version() == Version::HTTP_2 {
            match self.permit.lease(head::bytes(&request)) {
                Ok(lease) => drop(request.extensions_mut().insert(HeadLease(Arc::new(lease)))),
                Err(exhausted) => return Either::Right(ready(Ok(refused(exhausted)))),
            }
        }
        let extensions = request.extensions_mut();
        extensions.insert(Peer(self.permit.peer()));
        extensions.insert(self.permit.clone());
        let router = self.router.borrow().clone();
        Either::Left(TowerToHyperService::new(router).call(request))
    }
}

type TimedResponse<B> = TowerToHyperServiceFuture<Router, Request<B>>;

/// The answer when the heads of all requests hold as many bytes as they may.
fn refused(exhausted: Exhausted) -> Response {
    answer::refused(ResponseType::Json, exhausted.into())
}

/// Spawns the streams of a connection of HTTP/2. The client has to read each at the least rate.
#[derive(Clone)]
struct Streams;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(pace::enforced(stream));
    }
}

enum HttpVersion {
    Http1,
    Http2,
}

/// Reads the first bytes, which identify the protocol, and returns the connection as if they had not been read. The
/// whole preface of HTTP/2 has to arrive in time, since the library would wait for it without a limit.
async fn begin(
    mut stream: TcpStream,
    times: HttpTimes,
) -> io::Result<(
    HttpVersion,
    impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
)> {
    // Answers are written whole. Waiting to fill packets would only delay live changes.
    stream.set_nodelay(true)?;
    end_when_unheard(&stream, times.write * 2);
    let mut beginning = vec![0; BEGINNING_BYTES];
    let reading = async {
        stream.read_exact(&mut beginning).await?;
        if !PREFACE.starts_with(&beginning) {
            return Ok(HttpVersion::Http1);
        }
        beginning.resize(PREFACE.len(), 0);
        stream.read_exact(&mut beginning[BEGINNING_BYTES..]).await?;
        Ok::<_, io::Error>(HttpVersion::Http2)
    };
    let spoken = timeout(FIRST_DEADLINE.min(times.head), reading).await??;
    let (reader, writer) = stream.into_split();
    let reader = Cursor::new(beginning).chain(reader);
    let mut writer = TimeoutWriter::new(HandshakeSpelling(writer));
    writer.set_timeout(Some(times.write));
    Ok((spoken, join(reader, Box::pin(writer))))
}

/// Ends the connection of a peer that vanished, when it does not acknowledge what it was sent; by default the system
/// tries for a quarter of an hour. Nothing else shows that the reader of an event stream is gone.
#[cfg(target_os = "linux")]
fn end_when_unheard(stream: &TcpStream, patience: Duration) {
    let set = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(patience));
    if let Err(error) = set {
        tracing::debug!(target: "http", %error, "a dead peer will be noticed late");
    }
}

/// Other systems have their own time-out.
#[cfg(not(target_os = "linux"))]
fn end_when_unheard(_stream: &TcpStream, _patience: Duration) {}

async fn http1(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: ConnectionService,
    times: HttpTimes,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let permit = service.permit.clone();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    served(connection, |it| it.graceful_shutdown(), &permit, shutdown).await
}

async fn http2(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: ConnectionService,
    times: HttpTimes,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let permit = service.permit.clone();
    let connection = http2::Builder::new(Streams)
        .timer(TokioTimer::new())
        .keep_alive_interval(times.ping)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_send_buf_size(HTTP2_PART_BYTES)
        .serve_connection(TokioIo::new(io), service);
    served(connection, |it| it.graceful_shutdown(), &permit, shutdown).await
}

/// Serves a connection to its end. `announce` announces the end, at a shutdown or to a peer that shows no good token.
async fn served<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    announce: impl Fn(Pin<&mut C>),
    permit: &ConnectionPermit,
    shutdown: &Shutdown,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.begun() => announce(connection.as_mut()),
        () = permit.overstayed() => {
            announce(connection.as_mut());
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = permit.parted() => return Ok(()),
            }
        }
    }
    connection.await
}
