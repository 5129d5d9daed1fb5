//! A WebSocket as bounded texts: its frames, its buffers and its closing handshake. `protocol` decides what the texts mean.

use std::{io::ErrorKind, time::Duration};

use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use super::{counted::CountedConnection, protocol::CloseReason};
use crate::{
    http::pace::time_for,
    quota::{Account, Exhausted, Lease},
};

/// An idle socket keeps its buffer, which has 128 KiB by the library's default.
const READ_BUFFER_BYTES: usize = 512;
/// A longer text is sent in several frames: the library keeps a buffer as large as the largest frame it ever wrote.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// The buffer for one frame and the answers to pings that the peer does not read. Beyond it only the newest ping is
/// answered (RFC 6455, section 5.5.3), and the connection ends when the peer reads nothing for `http.write_time`.
const WRITE_BUFFER_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
/// How long the peer may take to answer a close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The gateway's end of a socket.
pub(super) struct Socket {
    stream: WebSocketStream<CountedConnection<TokioIo<Upgraded>>>,
    /// How long the peer may leave data unread before the least rate applies.
    patience: Duration,
    /// Whether the peer may be in the middle of a message that was refused.
    has_refused: bool,
}

/// What the peer sent.
pub(super) enum IncomingFrame {
    Text(Utf8Bytes),
    Binary,
    /// A ping, which is answered, or a pong.
    Control,
    /// A message that is too large.
    TooLarge,
    /// A message that exceeds the bytes that may be held.
    NoRoom,
    /// Bytes that are no WebSocket message.
    Broken,
}

impl Socket {
    /// A stranger's connection after its handshake, for messages of at most `message_bytes_max` bytes.
    pub(super) async fn new(
        connection: Upgraded,
        message_bytes_max: usize,
        patience: Duration,
        account: Account,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let io = CountedConnection::new(TokioIo::new(connection), account);
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self {
            stream,
            patience,
            has_refused: false,
        }
    }

    /// Counts what it holds for a member from now on.
    pub(super) fn belongs_to(&mut self, account: Account) {
        self.stream.get_mut().belongs_to(account);
    }

    /// The next message; `None` when the peer has closed the socket or is gone.
    pub(super) async fn next_frame(&mut self) -> Option<IncomingFrame> {
        let heard = self.stream.next().await?;
        self.stream.get_mut().is_taken();
        self.has_refused = heard.is_err();
        match heard {
            Ok(Message::Text(text)) => Some(IncomingFrame::Text(text)),
            Ok(Message::Binary(_)) => Some(IncomingFrame::Binary),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                Some(IncomingFrame::Control)
            }
            Err(Error::Capacity(_)) => Some(IncomingFrame::TooLarge),
            Err(Error::Io(error)) if error.kind() == ErrorKind::FileTooLarge => {
                Some(IncomingFrame::TooLarge)
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::QuotaExceeded => {
                Some(IncomingFrame::NoRoom)
            }
            Err(Error::Protocol(_) | Error::Utf8(_)) => Some(IncomingFrame::Broken),
            Ok(Message::Close(_)) | Err(_) => None,
        }
    }

    /// Waits until the connection has sent the text; `None` if the peer reads it too slowly or is gone. `counted` counts a
    /// text that had to wait.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(super) async fn send(
        &mut self,
        text: Bytes,
        counted: Option<Lease>,
    ) -> Result<Option<()>, Exhausted> {
        let _lease = match counted {
            Some(lease) => Some(lease),
            None => self.stream.get_ref().lease(text.len())?,
        };
        let time = self.patience + time_for(text.len());
        Ok(timeout(time, self.send_frames(text)).await.ok().flatten())
    }

    /// Answers to pings are sent first: a frame behind them may not fit into the buffer.
    async fn send_frames(&mut self, mut rest: Bytes) -> Option<()> {
        self.stream.flush().await.ok()?;
        let mut kind = Data::Text;
        loop {
            let part = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
            let frame = Frame::message(part, OpCode::Data(kind), rest.is_empty());
            self.stream.send(Message::Frame(frame)).await.ok()?;
            if rest.is_empty() {
                return Some(());
            }
            kind = Data::Continue;
        }
    }

    /// Sends the close frame, if there is one, and reads on until the peer has closed its side: a connection that is dropped
    /// with unread bytes is reset, and the peer would not see the reason.
    pub(super) async fn close(mut self, reason: Option<CloseReason>) {
        let closing_handshake = async {
            if let Some(CloseReason { code, reason }) = reason {
                tracing::debug!(target: "http", code, "closing a socket");
                let (code, reason) = (code.into(), reason.into());
                self.stream.close(Some(CloseFrame { code, reason })).await?;
            }
            while let Some(heard) = self.stream.next().await {
                self.has_refused |= heard.is_err();
            }
            if self.has_refused {
                self.stream.get_mut().take_in().await?;
            }
            Ok::<(), Error>(())
        };
        if !matches!(timeout(CLOSE_DEADLINE, closing_handshake).await, Ok(Ok(()))) {
            tracing::debug!(target: "http", "a socket's peer left without a close frame");
        }
    }
}
