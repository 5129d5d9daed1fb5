//! A connection that counts received bytes until they are a complete message, since a peer may leave a message
//! unfinished. The library bounds one message; this module counts what all unfinished ones hold together.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink};

use crate::quota::{Account, Exhausted, Lease};

/// A stranger sends only its token.
const STRANGER_BYTES_MAX: usize = 64 * 1024;
/// Smaller messages are not counted.
const UNCOUNTED_BYTES: usize = 4 * 1024;

/// A connection after its handshake.
pub(super) struct CountedConnection<S> {
    inner: S,
    account: Account,
    is_stranger: bool,
    /// Bytes read since the last message.
    unfinished: usize,
    /// Boxed: most sockets have none.
    lease: Option<Box<Lease>>,
}

impl<S> CountedConnection<S> {
    /// The connection of a stranger.
    pub(super) fn new(inner: S, account: Account) -> Self {
        Self {
            inner,
            account,
            is_stranger: true,
            unfinished: 0,
            lease: None,
        }
    }

    /// Counts its bytes for a member from now on.
    pub(super) fn belongs_to(&mut self, account: Account) {
        self.account = account;
        self.is_stranger = false;
    }

    /// Counts bytes to be sent. An acknowledgement or a ping is too small to be counted.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(super) fn lease(&self, bytes: usize) -> Result<Option<Lease>, Exhausted> {
        let is_counted = bytes > UNCOUNTED_BYTES;
        is_counted.then(|| self.account.lease(bytes)).transpose()
    }

    /// Counts from 0 again after a complete message.
    pub(super) fn is_taken(&mut self) {
        self.unfinished = 0;
        self.lease = None;
    }

    /// Ends this side of the connection, and drops what still arrives until the peer has ended its own.
    pub(super) async fn take_in(&mut self) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.inner.shutdown().await?;
        copy(&mut self.inner, &mut sink()).await.map(drop)
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.unfinished += bytes;
        if self.is_stranger && self.unfinished > STRANGER_BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if self.unfinished <= UNCOUNTED_BYTES {
            return Ok(());
        }
        let counted = match &mut self.lease {
            Some(lease) => lease.grow_to(self.unfinished),
            None => self
                .account
                .lease(self.unfinished)
                .map(|lease| self.lease = Some(Box::new(lease))),
        };
        counted.map_err(|_| ErrorKind::QuotaExceeded.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedConnection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        Poll::Ready(self.count(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedConnection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
