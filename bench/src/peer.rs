//! What people use today, as processes of their own: how they are started, and how a push and a pull are spoken to each.
//!
//! The servers themselves are in `peers/`; what is measured is told in `rows/peers`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

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
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apollo => "Apollo Server",
            Self::Rxdb => "RxDB server",
        }
    }

    pub(crate) fn database(self) -> &'static str {
        match self {
            Self::Apollo => "apollo",
            Self::Rxdb => "rxdb",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Apollo => "apollo.mjs",
            Self::Rxdb => "rxdb.mjs",
        }
    }
}

/// One of them, running.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    process: Child,
    user: User,
}

impl Peer {
    pub(crate) fn start(kind: Kind, mongodb: &str) -> Self {
        let root = workspace::root();
        let packages = Command::new(root.join("scripts/npm-packages"))
            .arg("bench/peers")
            .status();
        assert!(packages.unwrap().success());
        let mut process = Command::new("node")
            .arg(kind.script())
            .current_dir(root.join("bench/peers"))
            .env("NODE_ENV", "production")
            .env("MONGODB_URL", mongodb)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let told = lines.find_map(|line| Some(line.ok()?.strip_prefix("http://")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let address = told.unwrap().trim_end_matches('/').parse().unwrap();
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

/// Who pushes to it, or pulls from it.
pub(crate) struct PeerClient {
    kind: Kind,
    connection: Connection,
    scope: String,
}

impl Target for PeerClient {
    async fn push(&mut self, edits: Vec<Edit>) {
        match self.kind {
            Kind::Apollo => self.push_to_apollo(&edits).await,
            Kind::Rxdb => self.push_to_rxdb(&edits).await,
        }
    }
}

impl PeerClient {
    async fn push_to_apollo(&mut self, edits: &[Edit]) {
        const PUSH: &str = "mutation($scope: ID!, $changes: [ChangeInput!]!) { pushChanges(scope: $scope, changes: $changes) { status version } }";
        let changes = joined(edits, apollo_change);
        let body = format!(
            r#"{{"query":"{PUSH}","variables":{{"scope":"{}","changes":[{changes}]}}}}"#,
            self.scope
        );
        let answer = self.connection.post("/", body).await;
        assert_eq!(count(&answer, br#""status":"APPLIED""#), edits.len());
    }

    async fn push_to_rxdb(&mut self, edits: &[Edit]) {
        let rows = joined(edits, |edit| rxdb_row(edit, &self.scope));
        let conflicts = self
            .connection
            .post("/tasks/0/push", format!("[{rows}]"))
            .await;
        assert_eq!(&conflicts[..], b"[]");
    }

    /// A page of 1,000 after a position; how many documents it has, and the position after it.
    async fn page(&mut self, after: &str) -> (usize, String) {
        match self.kind {
            Kind::Apollo => self.page_of_apollo(after).await,
            Kind::Rxdb => self.page_of_rxdb(after).await,
        }
    }

    async fn page_of_apollo(&mut self, after: &str) -> (usize, String) {
        const PULL: &str = "query($scope: ID!, $after: Int!) { changesSince(scope: $scope, after: $after, limit: 1000) { checkpoint hasMore changes { documentId version document { audience title notes done priority labels minutesSpent due } } } }";
        let after = if after.is_empty() { "0" } else { after };
        let body = format!(
            r#"{{"query":"{PULL}","variables":{{"scope":"{}","after":{after}}}}}"#,
            self.scope
        );
        let answer = self.connection.post("/", body).await;
        let position = between(&answer, r#""checkpoint":"#, ",");
        (count(&answer, br#""due":"1970"#), position)
    }

    async fn page_of_rxdb(&mut self, after: &str) -> (usize, String) {
        let path = format!("/tasks/0/pull?limit=1000{after}");
        let answer = self.connection.get(&path).await;
        let checkpoint = memmem::rfind(&answer, br#""checkpoint":"#).unwrap();
        let checkpoint = &answer[checkpoint..];
        let id = between(checkpoint, r#""id":""#, "\"");
        let time = between(checkpoint, r#""lwt":"#, "}");
        let position = format!("&id={id}&lwt={time}");
        (count(&answer, br#""due":"1970"#), position)
    }
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

fn apollo_change(edit: &Edit) -> String {
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

/// An update carries all of the document, as it was and as it is to be.
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
