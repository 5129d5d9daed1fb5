//! The spelling of a WebSocket's handshake. Names of headers have no case, but some clients look up `Sec-WebSocket-Protocol` as
//! RFC 6455 writes it: gql (Python) takes an answer in lower case for one of the legacy protocol.
//!
//! hyper writes names in lower case, or as `Sec-Websocket-Protocol`. So this module spells them as they are written.

use std::{
    borrow::Cow,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

const SWITCHING: &[u8] = b"HTTP/1.1 101 ";
const NAMES: [&[u8]; 4] = [
    b"Connection",
    b"Upgrade",
    b"Sec-WebSocket-Accept",
    b"Sec-WebSocket-Protocol",
];

/// A writer that spells the headers of a response 101 as RFC 6455 does, and writes everything else as it is. hyper
/// writes such a response whole and by itself. Only the case changes, so that a partial write counts the same.
pub(super) struct HandshakeSpelling<W>(pub(super) W);

impl<W: AsyncWrite + Unpin> AsyncWrite for HandshakeSpelling<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, &spelled(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.first() {
            Some(first) if first.starts_with(SWITCHING) => self.poll_write(context, first),
            _ => Pin::new(&mut self.0).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

fn spelled(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.starts_with(SWITCHING) {
        return Cow::Borrowed(bytes);
    }
    let mut bytes = bytes.to_vec();
    for line in bytes.split_mut(|byte| *byte == b'\n') {
        let name_bytes = line.iter().take_while(|byte| **byte != b':').count();
        let written = &mut line[..name_bytes];
        let canonical = NAMES.iter().find(|name| name.eq_ignore_ascii_case(written));
        if let Some(name) = canonical {
            written.copy_from_slice(name);
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_a_handshake_are_spelled() {
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-accept: upgrade\r\nsec-websocket-protocol: graphql-transport-ws\r\nx-upgrade: connection\r\n\r\n";
        let expected = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: upgrade\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\nx-upgrade: connection\r\n\r\n";
        assert_eq!(spelled(head.as_bytes()), expected.as_bytes());
        for other in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            "connection:",
            "",
        ] {
            assert_eq!(spelled(other.as_bytes()), other.as_bytes());
        }
    }
}
