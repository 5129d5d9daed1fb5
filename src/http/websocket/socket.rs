//! A WebSocket as bounded texts: its frames, buffers and farewell. What the texts mean is the protocol's matter.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::protocol::Closing;
use crate::http::pace::time_for;

/// An idle socket keeps its buffer, which the library would make of 128 KiB.
const READ_BUFFER_BYTES: usize = 512;
/// A longer text goes out in several frames: the library keeps a buffer as large as the largest frame it ever wrote.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// Of answers to pings that the peer does not read, beside one frame. Beyond it only the newest ping is answered (RFC
/// 6455, section 5.5.3), and the connection ends when the peer reads nothing for `http.write_time`.
const WRITE_BUFFER_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
/// How long the peer may take to answer a close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The gateway's end of a socket.
pub(super) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// How long the peer may leave what it is sent lying before its speed counts.
    patience: Duration,
}

/// What the peer sent.
pub(super) enum Heard {
    Text(Utf8Bytes),
    Binary,
    /// A ping, which is answered, or a pong.
    Control,
    /// More than a message may have.
    TooLarge,
    /// No WebSocket message.
    Broken,
}

impl Socket {
    /// A connection after its handshake, for messages of at most `message_bytes_max` bytes.
    pub(super) async fn new(
        connection: Upgraded,
        message_bytes_max: usize,
        patience: Duration,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let io = TokioIo::new(connection);
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { stream, patience }
    }

    /// The next message; `None` when the peer has closed the socket or is gone.
    pub(super) async fn hear(&mut self) -> Option<Heard> {
        match self.stream.next().await? {
            Ok(Message::Text(text)) => Some(Heard::Text(text)),
            Ok(Message::Binary(_)) => Some(Heard::Binary),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Some(Heard::Control),
            Err(Error::Capacity(_)) => Some(Heard::TooLarge),
            Err(Error::Protocol(_) | Error::Utf8(_)) => Some(Heard::Broken),
            Ok(Message::Close(_)) | Err(_) => None,
        }
    }

    /// Waits until the connection has taken the text; `None` if it does not, or too slowly: until then the text lies here.
    pub(super) async fn send(&mut self, text: Bytes) -> Option<()> {
        let time = self.patience + time_for(text.len());
        timeout(time, self.send_frames(text)).await.ok()?
    }

    /// Answers to pings go out first: behind them a frame may not fit into the buffer.
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

    /// Says goodbye, if there is something to say, and reads on until the peer has answered or its own farewell has
    /// been: a connection that is dropped with unread bytes is reset, and the reason lost.
    pub(super) async fn close(mut self, closing: Option<Closing>) {
        let goodbye = async {
            if let Some(Closing { code, reason }) = closing {
                tracing::debug!(target: "http", code, "closing a socket");
                let (code, reason) = (code.into(), reason.into());
                self.stream.close(Some(CloseFrame { code, reason })).await?;
            }
            while self.stream.next().await.transpose()?.is_some() {}
            Ok::<(), Error>(())
        };
        if !matches!(timeout(CLOSE_DEADLINE, goodbye).await, Ok(Ok(()))) {
            tracing::debug!(target: "http", "a socket's peer left without a farewell");
        }
    }
}
