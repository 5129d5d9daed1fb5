//! Users of the gateway over HTTP/1.1. Each keeps one connection, writes bodies as text, and searches answers rather
//! than parsing them, so that the load costs the machine as little as possible.
//!
//! Each answer is still checked to be complete: what was applied, and how many documents came.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
    http::request,
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;

use crate::{documents::Edit, load};

/// The page that every benchmark asks for: all eight fields.
const PULL: &str = "query($c: Checkpoint) { changesSince(checkpoint: $c, limit: 1000) { checkpoint hasMore changes { documentId version document { ... on Task { audience title notes done priority labels minutesSpent due } } } } }";

/// The push, and the parts of its answer that are checked.
const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status version } } }";

/// A user that the gateway accepts.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

/// A user's connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    user: User,
}

impl User {
    pub(crate) async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Connection {
            sender,
            user: self.clone(),
        }
    }
}

impl Connection {
    /// Sends a body to a path. Returns the body of the answer, which must have status 200.
    pub(crate) async fn post(&mut self, path: &str, body: String) -> Bytes {
        self.send(Request::post(path), body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Bytes {
        self.send(Request::get(path), String::new()).await
    }

    async fn send(&mut self, request: request::Builder, body: String) -> Bytes {
        let request = request
            .header(HOST, self.user.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.user.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        if self.sender.ready().await.is_err() {
            // The server ends a connection that has been idle for a while.
            *self = self.user.clone().connect().await;
        }
        let answer = self.sender.send_request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status == StatusCode::OK, "{status}: {}", lossy(&body));
        body
    }

    /// Sends an operation whose answer is to be read.
    pub(crate) async fn ask(&mut self, query: &str, variables: Json) -> Json {
        let body = json!({"query": query, "variables": variables}).to_string();
        let answer = self.post("/graphql", body).await;
        serde_json::from_slice(&answer).unwrap()
    }

    pub(crate) async fn epoch(&mut self) -> String {
        let answer = self.ask("{ viewer { epoch } }", json!({})).await;
        answer["data"]["viewer"]["epoch"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The page after a checkpoint, whose text is given as JSON.
    pub(crate) async fn page(&mut self, checkpoint: &str) -> Page {
        let body = page_after(checkpoint);
        Page::of(&self.post("/graphql", body).await)
    }

    /// Pulls everything from the beginning, page after page. Returns the number of documents.
    pub(crate) async fn pull_all(&mut self) -> usize {
        self.catch_up().await.0
    }

    /// The same. Returns the last checkpoint.
    pub(crate) async fn last_checkpoint(&mut self) -> String {
        self.catch_up().await.1
    }

    async fn catch_up(&mut self) -> (usize, String) {
        let (mut checkpoint, mut documents) = ("null".to_owned(), 0);
        loop {
            let page = self.page(&checkpoint).await;
            documents += page.documents;
            if !page.has_more {
                return (documents, page.checkpoint);
            }
            checkpoint = page.checkpoint;
        }
    }

    /// The size of the first page.
    pub(crate) async fn page_bytes(&mut self) -> usize {
        let body = page_after("null");
        self.post("/graphql", body).await.len()
    }
}

fn page_after(checkpoint: &str) -> String {
    format!(r#"{{"query":"{PULL}","variables":{{"c":{checkpoint}}}}}"#)
}

/// What a client needs of a page.
pub(crate) struct Page {
    pub(crate) documents: usize,
    pub(crate) has_more: bool,
    /// As it stands in the answer, quotes included.
    pub(crate) checkpoint: String,
}

impl Page {
    pub(crate) fn of(answer: &[u8]) -> Self {
        let checkpoint =
            after(answer, br#""checkpoint":"#).unwrap_or_else(|| panic!("{}", lossy(answer)));
        let end = memchr::memchr(b'"', &checkpoint[1..]).unwrap() + 2;
        let has_more = after(answer, br#""hasMore":"#).unwrap();
        // Of every change there are a document and all of its fields up to the last one.
        let documents = count(answer, br#""due":"1970"#);
        assert_eq!(documents, count(answer, br#""documentId":"#));
        Self {
            documents,
            has_more: has_more.starts_with(b"true"),
            checkpoint: String::from_utf8(checkpoint[..end].to_owned()).unwrap(),
        }
    }
}

fn after<'a>(answer: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    memmem::find(answer, name).map(|at| &answer[at + name.len()..])
}

pub(crate) fn count(answer: &[u8], what: &[u8]) -> usize {
    memmem::find_iter(answer, what).count()
}

fn lossy(answer: &[u8]) -> String {
    let start = &answer[..answer.len().min(2_000)];
    String::from_utf8_lossy(start).into_owned()
}

/// A user who pushes, with mutation ids, to one scope.
pub(crate) struct Device {
    connection: Connection,
    scope: String,
    epoch: String,
    client: String,
    next_mutation: usize,
}

impl Device {
    pub(crate) async fn new(user: &User, scope: &str) -> Self {
        static DEVICES: AtomicUsize = AtomicUsize::new(0);
        let mut connection = user.connect().await;
        Self {
            epoch: connection.epoch().await,
            connection,
            scope: scope.to_owned(),
            client: format!("device-{}", DEVICES.fetch_add(1, Ordering::Relaxed)),
            next_mutation: 1,
        }
    }

    /// One push at a time: its mutation ids follow those of the one before. All of it must be applied.
    pub(crate) async fn push(&mut self, edits: &[Edit]) {
        let scope = self.scope.clone();
        self.push_to(edits.iter().map(|edit| (edit, scope.as_str())))
            .await;
    }

    /// The same, each change in a scope of its own.
    pub(crate) async fn push_to<'e>(
        &mut self,
        edits: impl ExactSizeIterator<Item = (&'e Edit, &'e str)>,
    ) {
        let changes = edits.len();
        let body = self.body(edits);
        self.next_mutation += changes;
        let answer = self.connection.post("/graphql", body).await;
        let applied = count(&answer, br#""status":"APPLIED""#);
        assert_eq!(applied, changes, "{}", lossy(&answer));
    }

    fn body<'e>(&self, edits: impl Iterator<Item = (&'e Edit, &'e str)>) -> String {
        let mut body = format!(
            r#"{{"query":"{PUSH}","variables":{{"input":{{"client":{{"id":"{}","firstMutationId":{}}},"epoch":"{}","changes":["#,
            self.client, self.next_mutation, self.epoch
        );
        for (i, (edit, scope)) in edits.enumerate() {
            if i > 0 {
                body.push(',');
            }
            edit.write_change(scope, &mut body);
        }
        body.push_str("]}}}");
        body
    }
}

/// Pulls its scope again and again.
pub(crate) struct Puller {
    pub(crate) connection: Connection,
    /// The number of documents that each pull must return.
    pub(crate) documents: usize,
}

impl load::Client for Puller {
    async fn step(&mut self) -> usize {
        let documents = self.connection.pull_all().await;
        assert_eq!(documents, self.documents);
        documents
    }
}
