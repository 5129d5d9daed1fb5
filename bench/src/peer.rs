//! Servers that people use today, as processes of their own: how they are started, and how a push and a pull are sent
//! to each.
//!
//! The servers themselves are in `peers/`. `rows/peers` says what is measured.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use hyper::body::Bytes;
use memchr::memmem;

use crate::{
    client::{Connection, User, count},
    documents::{Edit, id, notes, retitled, title},
    gateway::process_kib,
    load,
    rows::Target,
    workspace,
};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Apollo Server with the official driver.
    Apollo,
    /// RxDB's server on RxDB's storage for MongoDB.
    Rxdb,
    /// async-graphql on axum with the official driver.
    AsyncGraphql,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apollo => "Apollo Server",
            Self::Rxdb => "RxDB server",
            Self::AsyncGraphql => "async-graphql server",
        }
    }

    pub(crate) fn database(self) -> &'static str {
        match self {
            Self::Apollo => "apollo",
            Self::Rxdb => "rxdb",
            Self::AsyncGraphql => "async-graphql",
        }
    }

    /// The command that starts it. What it needs is downloaded or built first.
    fn command(self) -> Command {
        match self {
            Self::Apollo => node("apollo.mjs"),
            Self::Rxdb => node("rxdb.mjs"),
            Self::AsyncGraphql => Command::new(workspace::build(&[
                "--package=tidegate-bench",
                "--features=peers",
                "--bin=async-graphql-server",
            ])),
        }
    }
}

fn node(script: &str) -> Command {
    let root = workspace::root();
    let packages = Command::new(root.join("scripts/npm-packages"))
        .arg("bench/peers")
        .status();
    assert!(packages.unwrap().success());
    let mut command = Command::new("node");
    command
        .arg(script)
        .current_dir(root.join("bench/peers"))
        .env("NODE_ENV", "production");
    command
}

/// One of them, running.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    process: Child,
    user: User,
}

impl Peer {
    pub(crate) fn start(kind: Kind, mongodb: &str) -> Self {
        let mut process = kind
            .command()
            .env("MONGODB_URL", mongodb)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reported = lines.find_map(|line| Some(line.ok()?.strip_prefix("http://")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let address = reported.unwrap().trim_end_matches('/').parse().unwrap();
        let token = String::new();
        Self {
            kind,
            process,
            user: User { address, token },
        }
    }

    /// What it holds in memory now, in KiB.
    pub(crate) fn memory_kib(&self) -> f64 {
        process_kib(&self.process, "VmRSS:")
    }

    /// Checks that it does the work before it is measured: a create and two updates are applied, the first update is
    /// refused once it is stale, and a pull returns what the second one left.
    pub(crate) async fn check(&self, number: usize) {
        let mut client = self.client("team:check").await;
        for version in 1..=3 {
            let edit = Edit { number, version };
            assert_eq!(client.applied(&[edit]).await, 1, "version {version}");
        }
        let stale = Edit { number, version: 2 };
        assert_eq!(client.applied(&[stale]).await, 0, "a stale update");
        let page = client.answer_with_page("").await;
        assert_eq!(count(&page, retitled(number, 3).as_bytes()), 1);
    }

    pub(crate) async fn client(&self, scope: &str) -> PeerClient {
        PeerClient {
            kind: self.kind,
            connection: self.user.connect().await,
            scope: scope.to_owned(),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A client that pushes to it, or pulls from it.
pub(crate) struct PeerClient {
    kind: Kind,
    connection: Connection,
    scope: String,
}

impl Target for PeerClient {
    async fn push(&mut self, edits: Vec<Edit>) {
        assert_eq!(self.applied(&edits).await, edits.len());
    }
}

impl PeerClient {
    /// Pushes. Returns how many of the edits were applied.
    async fn applied(&mut self, edits: &[Edit]) -> usize {
        match self.kind {
            Kind::Apollo | Kind::AsyncGraphql => self.push_by_graphql(edits).await,
            Kind::Rxdb => self.push_to_rxdb(edits).await,
        }
    }

    async fn push_by_graphql(&mut self, edits: &[Edit]) -> usize {
        const PUSH: &str = "mutation($scope: ID!, $changes: [ChangeInput!]!) { pushChanges(scope: $scope, changes: $changes) { status version } }";
        let changes = joined(edits, graphql_change);
        let body = format!(
            r#"{{"query":"{PUSH}","variables":{{"scope":"{}","changes":[{changes}]}}}}"#,
            self.scope
        );
        let answer = self.connection.post("/", body).await;
        count(&answer, br#""status":"APPLIED""#)
    }

    /// It answers with its own version of each document that conflicts.
    async fn push_to_rxdb(&mut self, edits: &[Edit]) -> usize {
        let rows = joined(edits, |edit| rxdb_row(edit, &self.scope));
        let push = self.connection.post("/tasks/0/push", format!("[{rows}]"));
        edits.len() - count(&push.await, br#""_deleted":"#)
    }

    /// A page of 1,000 after a position. Returns the number of its documents, and the position after it.
    async fn page(&mut self, after: &str) -> (usize, String) {
        let answer = self.answer_with_page(after).await;
        let position = match self.kind {
            Kind::Apollo | Kind::AsyncGraphql => between(&answer, r#""checkpoint":"#, ","),
            Kind::Rxdb => position_of_rxdb(&answer),
        };
        (count(&answer, br#""due":"1970"#), position)
    }

    async fn answer_with_page(&mut self, after: &str) -> Bytes {
        const PULL: &str = "query($scope: ID!, $after: Int!) { changesSince(scope: $scope, after: $after, limit: 1000) { checkpoint hasMore changes { documentId version document { audience title notes done priority labels minutesSpent due } } } }";
        if self.kind == Kind::Rxdb {
            let path = format!("/tasks/0/pull?limit=1000{after}");
            return self.connection.get(&path).await;
        }
        let after = if after.is_empty() { "0" } else { after };
        let body = format!(
            r#"{{"query":"{PULL}","variables":{{"scope":"{}","after":{after}}}}}"#,
            self.scope
        );
        self.connection.post("/", body).await
    }
}

fn position_of_rxdb(answer: &[u8]) -> String {
    let checkpoint = memmem::rfind(answer, br#""checkpoint":"#).unwrap();
    let checkpoint = &answer[checkpoint..];
    let id = between(checkpoint, r#""id":""#, "\"");
    let time = between(checkpoint, r#""lwt":"#, "}");
    format!("&id={id}&lwt={time}")
}

/// Pulls everything again and again.
pub(crate) struct PeerPuller {
    pub(crate) client: PeerClient,
    pub(crate) documents: usize,
}

impl load::Client for PeerPuller {
    async fn step(&mut self) -> usize {
        let (mut position, mut documents) = (String::new(), 0);
        loop {
            let (came, next) = self.client.page(&position).await;
            documents += came;
            if came < 1_000 {
                assert_eq!(documents, self.documents);
                return documents;
            }
            position = next;
        }
    }
}

fn joined(edits: &[Edit], write: impl Fn(&Edit) -> String) -> String {
    edits.iter().map(write).collect::<Vec<_>>().join(",")
}

fn graphql_change(edit: &Edit) -> String {
    let id = id(edit.number);
    if edit.creates() {
        let (title, notes) = (title(edit.number), notes(edit.number));
        return format!(
            r#"{{"id":"{id}","create":{{"title":"{title}","notes":"{notes}","labels":["home","shop"],"minutesSpent":5,"due":"1970-01-01T00:00:00.000Z"}}}}"#
        );
    }
    let (base, title) = (edit.version - 1, retitled(edit.number, edit.version));
    let done = edit.done();
    format!(r#"{{"id":"{id}","baseVersion":{base},"set":{{"title":"{title}","done":{done}}}}}"#)
}

/// An update carries the whole document, before and after it.
fn rxdb_row(edit: &Edit, scope: &str) -> String {
    let new = rxdb_document(edit, scope);
    if edit.creates() {
        return format!(r#"{{"newDocumentState":{new}}}"#);
    }
    let before = Edit {
        version: edit.version - 1,
        ..*edit
    };
    let before = rxdb_document(&before, scope);
    format!(r#"{{"newDocumentState":{new},"assumedMasterState":{before}}}"#)
}

fn rxdb_document(edit: &Edit, scope: &str) -> String {
    let title = match edit.creates() {
        true => title(edit.number),
        false => retitled(edit.number, edit.version),
    };
    let (id, notes, done) = (id(edit.number), notes(edit.number), edit.done());
    format!(
        r#"{{"id":"{id}","audience":"{scope}","title":"{title}","notes":"{notes}","done":{done},"priority":"NORMAL","labels":["home","shop"],"minutesSpent":5,"due":"1970-01-01T00:00:00.000Z","_deleted":false}}"#
    )
}

fn between(answer: &[u8], before: &str, after: &str) -> String {
    let start = memmem::find(answer, before.as_bytes()).unwrap() + before.len();
    let length = memmem::find(&answer[start..], after.as_bytes()).unwrap();
    String::from_utf8(answer[start..start + length].to_owned()).unwrap()
}
