//! Many subscribers at once. Their sockets are opened like any client's, and then read by one thread that only counts
//! messages, so that thousands of them cost the machine little beside the gateway.

use std::{
    io::{ErrorKind, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, stream};
use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpStream as MioStream};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::client::{Page, User};

/// What every subscriber follows from now on: all eight fields, as in a pull.
const FOLLOW: &str = "subscription { changes(from: NOW) { checkpoint hasMore changes { documentId version document { ... on Task { audience title notes done priority labels minutesSpent due } } } } }";

/// How many sockets are opened at a time.
const OPENING: usize = 32;

/// More than a frame of the gateway, with what may arrive together with it.
const BUFFER_BYTES: usize = 256 * 1024;

/// The ping that the gateway sends, and the answer.
const PING: &[u8] = br#"{"type":"ping"}"#;
const PONG: &[u8] = br#"{"type":"pong"}"#;

/// The longest wait of the reader before it looks for new sockets, and whether to stop.
const WAIT: Duration = Duration::from_millis(100);

/// The longest wait for the last message.
const PATIENCE: Duration = Duration::from_secs(60);

/// A subscriber whose first page has come.
pub(crate) struct Subscriber {
    socket: WebSocketStream<TcpStream>,
    /// Where it began, as it stands in the page, quotes included.
    pub(crate) checkpoint: String,
}

impl Subscriber {
    pub(crate) async fn open(user: &User) -> Self {
        let stream = TcpStream::connect(user.address).await.unwrap();
        let mut request = format!("ws://{}/graphql", user.address)
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        let protocol = "graphql-transport-ws".parse().unwrap();
        headers.insert("sec-websocket-protocol", protocol);
        let (socket, _) = client_async(request, stream).await.unwrap();
        let mut subscriber = Self {
            socket,
            checkpoint: String::new(),
        };
        let token = format!(
            r#"{{"type":"connection_init","payload":{{"token":"{}"}}}}"#,
            user.token
        );
        subscriber.say(token).await;
        assert!(subscriber.hear().await.contains("connection_ack"));
        let follow = format!(r#"{{"type":"subscribe","id":"1","payload":{{"query":"{FOLLOW}"}}}}"#);
        subscriber.say(follow).await;
        let first = Page::of(subscriber.hear().await.as_bytes());
        subscriber.checkpoint = first.checkpoint;
        subscriber
    }

    async fn say(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next text message.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            let message = self.socket.next().await.unwrap().unwrap();
            if let Message::Text(text) = message
                && !text.contains(r#""type":"ping""#)
            {
                return text.as_str().to_owned();
            }
        }
    }
}

/// What all subscribers have received.
#[derive(Default)]
struct Counts {
    changes: AtomicU64,
    messages: AtomicU64,
    sockets: AtomicUsize,
    over: AtomicBool,
}

/// Subscribers that are counted for.
pub(crate) struct Swarm {
    counts: Arc<Counts>,
    reader: Option<JoinHandle<Vec<u64>>>,
    pub(crate) size: usize,
}

impl Swarm {
    /// Opens a socket for each user. Those that are open are read, and answer pings, while others are opened.
    pub(crate) async fn open(users: Vec<User>) -> Self {
        let (size, counts) = (users.len(), Arc::new(Counts::default()));
        let (opened, arriving) = mpsc::channel();
        let reader = Reader::new(arriving, Arc::clone(&counts));
        let reader = thread::spawn(move || reader.run());
        let mut streams = stream::iter(users)
            .map(async |user| Subscriber::open(&user).await.socket.into_inner())
            .buffer_unordered(OPENING);
        while let Some(stream) = streams.next().await {
            let stream = MioStream::from_std(stream.into_std().unwrap());
            opened.send(stream).unwrap();
        }
        while counts.sockets.load(Ordering::Acquire) < size {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self {
            counts,
            reader: Some(reader),
            size,
        }
    }

    pub(crate) fn changes(&self) -> u64 {
        self.counts.changes.load(Ordering::Acquire)
    }

    pub(crate) fn messages(&self) -> u64 {
        self.counts.messages.load(Ordering::Acquire)
    }

    /// Waits until all of them together have received this number of changes. Returns the time of that.
    pub(crate) async fn received(&self, changes: u64) -> Instant {
        let began = Instant::now();
        while self.changes() < changes {
            let missing = changes - self.changes();
            assert!(began.elapsed() < PATIENCE, "{missing} changes never came");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Instant::now()
    }

    /// Ends it. Returns what each received, so that a surplus of one cannot hide what another lacks.
    pub(crate) fn end(mut self) -> Vec<u64> {
        self.stop().unwrap()
    }

    /// After it returns no socket is read, and the gateway may end.
    fn stop(&mut self) -> Option<Vec<u64>> {
        self.counts.over.store(true, Ordering::Release);
        self.reader.take()?.join().ok()
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// The thread that reads all sockets.
struct Reader {
    poll: Poll,
    arriving: mpsc::Receiver<MioStream>,
    sockets: Vec<Socket>,
    buffer: Vec<u8>,
    counts: Arc<Counts>,
}

struct Socket {
    stream: MioStream,
    /// The beginning of a frame whose rest has not come yet.
    rest: Vec<u8>,
    /// The frames of a message whose last one has not come yet.
    message: Vec<u8>,
    changes: u64,
}

impl Reader {
    fn new(arriving: mpsc::Receiver<MioStream>, counts: Arc<Counts>) -> Self {
        Self {
            poll: Poll::new().unwrap(),
            arriving,
            sockets: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            counts,
        }
    }

    /// Reads until it is stopped. Returns how many changes each socket received.
    fn run(mut self) -> Vec<u64> {
        let mut events = Events::with_capacity(1_024);
        while !self.counts.over.load(Ordering::Acquire) {
            self.admit();
            match self.poll.poll(&mut events, Some(WAIT)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.unwrap(),
            }
            for event in &events {
                let socket = &mut self.sockets[event.token().0];
                let (changes, messages) = socket.read(&mut self.buffer);
                self.counts.changes.fetch_add(changes, Ordering::AcqRel);
                self.counts.messages.fetch_add(messages, Ordering::AcqRel);
            }
        }
        self.sockets.iter().map(|socket| socket.changes).collect()
    }

    fn admit(&mut self) {
        while let Ok(mut stream) = self.arriving.try_recv() {
            let token = Token(self.sockets.len());
            let registry = self.poll.registry();
            registry
                .register(&mut stream, token, Interest::READABLE)
                .unwrap();
            self.sockets.push(Socket::new(stream));
            self.counts.sockets.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Socket {
    fn new(stream: MioStream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            message: Vec::new(),
            changes: 0,
        }
    }

    /// Reads what has arrived. Returns how many changes came in how many messages.
    fn read(&mut self, buffer: &mut [u8]) -> (u64, u64) {
        let (mut changes, mut messages) = (0, 0);
        loop {
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            let filled = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => panic!("the gateway closed a subscriber's socket"),
                Ok(read) => kept + read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            };
            let mut unread = &buffer[..filled];
            while let Some((frame, following)) = Frame::split(unread) {
                unread = following;
                let (more, of) = self.take(&frame);
                changes += more;
                messages += of;
            }
            self.rest.clear();
            self.rest.extend_from_slice(unread);
            if filled < buffer.len() {
                break;
            }
        }
        self.changes += changes;
        (changes, messages)
    }

    fn take(&mut self, frame: &Frame<'_>) -> (u64, u64) {
        if frame.payload == PING {
            assert_eq!(self.stream.write(&pong()).unwrap(), pong().len());
        }
        if frame.last && self.message.is_empty() {
            return weigh(frame.payload);
        }
        self.message.extend_from_slice(frame.payload);
        if !frame.last {
            return (0, 0);
        }
        let weight = weigh(&self.message);
        self.message = Vec::new();
        weight
    }
}

/// A frame from a client has to be masked; this mask changes nothing.
fn pong() -> Vec<u8> {
    let length = u8::try_from(PONG.len()).unwrap();
    [&[0x81, 0x80 | length, 0, 0, 0, 0], PONG].concat()
}

/// How many changes a message carries, and whether it carries any.
fn weigh(message: &[u8]) -> (u64, u64) {
    let changes = memmem::find_iter(message, br#""documentId":"#).count() as u64;
    (changes, changes.min(1))
}

/// A frame from a server, which is never masked (RFC 6455, section 5.2).
struct Frame<'b> {
    last: bool,
    payload: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The first frame, if it is complete, and what follows.
    fn split(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::try_from(u64::from_be_bytes(*length)).unwrap(), rest)
            }
            short => (usize::from(short), rest),
        };
        let (payload, following) = rest.split_at_checked(length)?;
        let last = first & 0x80 != 0;
        Some((Self { last, payload }, following))
    }
}
