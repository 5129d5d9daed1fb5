//! The real binary in a directory of its own, and clients that use it like any others.
//!
//! Every test has its own process, port and store. A server ends with the value that holds it.

mod changes;
mod configured;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod dns;
mod feed;
mod follower;
pub(crate) mod mongod;
mod outbox;
mod replica;
mod socket;
mod watched;
mod webhook;
mod writer;

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::{
    changes::{create, delete, numbered, statuses, update, update_from},
    configured::{CONFIG, SECRET, configured, configured_on, expect_sound, with_secret},
    feed::expect_no_gap,
    follower::Follower,
    outbox::Outbox,
    replica::{Documents, Replica},
    socket::Socket,
    watched::Watched,
    webhook::Application,
    writer::{COUNTER, Pushed, Writer, expect_whole},
};
#[cfg(target_os = "linux")]
pub(crate) use self::{disk::SmallDisk, dns::NameServer, webhook::Asked};

/// The longest time for any step before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The longest time for any request: the gateway's own limit is 30 seconds, the rest is for a machine under load.
const REQUEST_MAX: Duration = Duration::from_secs(45);

/// Runs a command of the binary to its end.
pub(crate) fn tidegate(directory: &Path, arguments: &[&str]) -> Output {
    command(directory).args(arguments).output().unwrap()
}

/// Runs a command that must fail. Returns its message. A failure prints nothing on standard output.
pub(crate) fn complaint(directory: &Path, arguments: &[&str]) -> String {
    complaint_of(command(directory).args(arguments))
}

/// The same for a command with an environment of its own.
pub(crate) fn complaint_of(command: &mut Command) -> String {
    let output = ended(command);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {printed}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command:?}");
    let lines = printed.lines().map(|line| reason(line) + "\n");
    lines.collect()
}

/// Why a gateway ends, if a line of its log says so, and otherwise the line.
fn reason(line: &str) -> String {
    let logged: Value = serde_json::from_str(line).unwrap_or_default();
    let reason = logged["fields"]["reason"].as_str();
    reason.unwrap_or(line).to_owned()
}

/// The result of a command. A gateway that starts instead of failing is ended after a while.
fn ended(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Runs a command that must succeed; returns its answer.
pub(crate) fn answer(directory: &Path, arguments: &[&str]) -> String {
    answer_of(command(directory).args(arguments))
}

/// The same for a command with an environment of its own.
fn answer_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The binary, in a directory, with nothing of this machine's environment.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .current_dir(directory)
        .env_clear()
        .env("TIDEGATE_LOG", "warn");
    command
}

fn development_signer(directory: &Path) -> Command {
    let mut sign = command(directory);
    sign.arg("token");
    sign
}

/// A running gateway.
pub(crate) struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:41234`.
    pub(crate) url: String,
    /// The lines it has printed after the first.
    pub(crate) printed: Receiver<String>,
    directory: PathBuf,
    /// The command that signs the tokens that it accepts.
    sign: fn(&Path) -> Command,
}

impl Server {
    /// `tidegate dev` on the example model.
    pub(crate) fn dev(directory: &TempDir) -> Self {
        Self::dev_with(directory.path(), &[])
    }

    /// `tidegate dev` on a model of the test's own.
    pub(crate) fn dev_on(directory: &TempDir, model: &str) -> Self {
        std::fs::write(directory.path().join("model.graphql"), model).unwrap();
        Self::dev(directory)
    }

    pub(crate) fn dev_with(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = command(directory);
        command
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(arguments);
        Self::start(directory, command)
    }

    /// Starts a command that prints its URL on its first line.
    pub(crate) fn start(directory: &Path, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the server says where it is").unwrap();
        let (sender, printed) = channel();
        // The pipe is read even if the test is not: it would fill.
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        });
        let url = first
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let url = url.expect("the first line has the URL").to_owned();
        Self {
            child,
            url,
            printed,
            directory: directory.to_owned(),
            sign: development_signer,
        }
    }

    /// A client of `user`, who is in the team `demo`.
    pub(crate) fn client(&self, user: &str) -> Client {
        self.client_with(user, &json!({"teams": ["demo"]}))
    }

    /// A client of `user` with these claims.
    pub(crate) fn client_with(&self, user: &str, claims: &Value) -> Client {
        Client {
            url: self.url.clone(),
            token: self.token(user, claims, "1h"),
            http: reqwest::Client::new(),
        }
    }

    /// A token that the server accepts.
    pub(crate) fn token(&self, user: &str, claims: &Value, expires: &str) -> String {
        let mut sign = (self.sign)(&self.directory);
        sign.args(["--sub", user, "--expires", expires]);
        sign.args(["--claims", &claims.to_string()]);
        answer_of(&mut sign).trim().to_owned()
    }

    /// The id of its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it. Returns what it wrote to its standard error, if that was piped.
    #[cfg(target_os = "linux")]
    pub(crate) fn complaints(mut self) -> String {
        self.child.kill().unwrap();
        let mut reported = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut reported).unwrap();
        reported
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(
            self.child.wait().unwrap().success(),
            "it stops in good order"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One user at one device, over HTTP.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) http: reqwest::Client,
}

/// A page with everything in it.
pub(crate) const PAGE: &str = "changes { type documentId kind version scope document { __typename id syncVersion ... on Task { title notes done labels minutesSpent audience priority due } } } checkpoint hasMore reset revokedScopes epoch";

/// Outcomes with everything in them.
pub(crate) const RESULTS: &str = "lastMutationId results { type documentId mutationId status duplicate version document { __typename id syncVersion ... on Task { title notes done labels minutesSpent audience priority due } } conflict { fields { field base mine theirs result taken } } error { code message field } }";

impl Client {
    /// The same device, after the gateway has moved.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self {
            url: server.url.clone(),
            ..self.clone()
        }
    }

    /// Sends an operation and returns the whole answer.
    pub(crate) async fn send(&self, query: &str, variables: Value) -> Value {
        let answer = self.try_send(query, variables).await;
        answer.expect("the gateway answers")
    }

    /// Sends an operation. Returns nothing if the connection breaks before the answer is complete.
    pub(crate) async fn try_send(&self, query: &str, variables: Value) -> Option<Value> {
        let text = self.text(query, variables).await?;
        Some(serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
    }

    /// The same, byte for byte. A wait beyond the limit is a failure of its own.
    pub(crate) async fn text(&self, query: &str, variables: Value) -> Option<String> {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request = self
            .http
            .post(format!("{}/graphql", self.url))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body);
        let answer = async { request.send().await.ok()?.text().await.ok() };
        let answered = tokio::time::timeout(REQUEST_MAX, answer).await;
        answered.expect("every request is answered within the gateway's limits")
    }

    /// Sends a request of an app that was made for the API with this hash.
    pub(crate) async fn send_as(&self, api: Option<&str>, request: Value) -> Value {
        let post = self.http.post(format!("{}/graphql", self.url));
        let post = post
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(request.to_string());
        let post = match api {
            Some(api) => post.header("tidegate-schema", api),
            None => post,
        };
        let answer = async { post.send().await.unwrap().text().await.unwrap() };
        let text = tokio::time::timeout(REQUEST_MAX, answer).await;
        serde_json::from_str(&text.expect("every request is answered within the gateway's limits"))
            .unwrap()
    }

    /// Sends an operation that must succeed and returns its data.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.send(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].take()
    }

    /// Sends an operation that must fail and returns the code of its first error.
    pub(crate) async fn code(&self, query: &str, variables: Value) -> String {
        let answer = self.send(query, variables).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("no failure: {answer}"))
            .to_owned()
    }

    /// `pushChanges` with this input; its payload.
    pub(crate) async fn push(&self, input: Value) -> Value {
        self.data(&push_query(), json!({"input": input})).await["pushChanges"].take()
    }

    /// Pushes changes without mutation ids; their results.
    pub(crate) async fn push_all(&self, changes: Value) -> Vec<Value> {
        let mut payload = self.push(json!({"changes": changes})).await;
        serde_json::from_value(payload["results"].take()).unwrap()
    }

    /// One page.
    pub(crate) async fn pull(&self, checkpoint: Option<&str>) -> Value {
        self.pull_with(json!({"checkpoint": checkpoint})).await
    }

    /// One page, asked for with these arguments.
    pub(crate) async fn pull_with(&self, arguments: Value) -> Value {
        self.data(&pull_query(), arguments).await["changesSince"].take()
    }

    /// The task as this user sees it.
    pub(crate) async fn task(&self, id: &str) -> Value {
        let query = "query($id: ID!) { task(id: $id) { id syncVersion syncScope audience title notes done labels minutesSpent } }";
        self.data(query, json!({"id": id})).await["task"].take()
    }

    /// The store's epoch.
    pub(crate) async fn epoch(&self) -> String {
        self.data("{ viewer { epoch } }", json!({})).await["viewer"]["epoch"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

pub(crate) fn pull_query() -> String {
    format!(
        "query($checkpoint: Checkpoint, $types: [SyncType!], $limit: Int) {{ changesSince(checkpoint: $checkpoint, types: $types, limit: $limit) {{ {PAGE} }} }}"
    )
}

pub(crate) fn push_query() -> String {
    format!("mutation($input: PushChangesInput!) {{ pushChanges(input: $input) {{ {RESULTS} }} }}")
}
