//! Raw connections that send without reading, and what a gateway holds meanwhile.
//!
//! Frames are written by hand: no client library sends what an attacker sends.

use std::{io::ErrorKind, net::IpAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::harness::{PATIENCE, Server};

/// A gateway that reads nothing for this long has stopped reading.
const STALL: Duration = Duration::from_secs(2);
/// The bytes of one write.
const CHUNK_BYTES: usize = 64 << 10;

/// Every connection of HTTP/2 begins so: the preface and empty SETTINGS.
pub(super) const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A handshake that any stranger may send.
pub(super) const HANDSHAKE: &str = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n";

pub(super) async fn connect(server: &Server) -> TcpStream {
    connect_from([127, 0, 0, 1], server).await
}

/// A connection from this address of this machine.
pub(super) async fn connect_from(address: [u8; 4], server: &Server) -> TcpStream {
    let gateway = server.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(address), 0).into()).unwrap();
    socket.connect(gateway.parse().unwrap()).await.unwrap()
}

/// What the gateway sends on a connection until it ends it.
pub(super) async fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    // A connection that is reset has ended as well.
    drop(ended.expect("the gateway ends the connection"));
    heard
}

/// Whether the gateway has ended the connection. It does not wait.
pub(super) fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// A socket after its handshake, of a stranger who has sent nothing else.
pub(super) async fn websocket(server: &Server) -> TcpStream {
    let mut stream = connect(server).await;
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await;
        head.push(byte.expect("an answer in time").unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A frame of a WebSocket as clients send it, under a mask of zeros.
pub(super) fn ws_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(super) fn h2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sends `parts` one after the other, and never reads, until all are sent or the gateway reads no more. Returns how many
/// bytes it read.
pub(super) async fn flood(stream: &mut TcpStream, parts: impl Iterator<Item = Vec<u8>>) -> usize {
    let (mut sent, mut chunk) = (0, Vec::new());
    for part in parts {
        chunk.extend(part);
        if chunk.len() >= CHUNK_BYTES {
            match timeout(STALL, stream.write_all(&chunk)).await {
                Ok(Ok(())) => sent += chunk.len(),
                _ => return sent,
            }
            chunk.clear();
        }
    }
    sent
}

/// A number that Linux has of the process, such as `VmHWM:`, the most it ever held.
pub(super) fn kib_of(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

/// Resets `VmHWM:`, so that it shows the peak from now on.
pub(super) fn forget_peak(server: &Server) {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
}

/// Kind, flags and payload of the next frame.
pub(super) async fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], head[4], payload))
}
