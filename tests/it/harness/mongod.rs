//! MongoDB as the tests need it: servers and replica sets of their own on free ports, which end with the process that
//! started them.
//!
//! `faults` makes them fail; `scripts/mongod` provides the program.

mod backup;
mod faults;
mod process;
mod proxy;
mod tests;

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mongodb::{
    Client,
    bson::{Document, doc},
    options::ClientOptions,
};
use tempfile::TempDir;
use tokio::{sync::OnceCell, time::sleep};

use self::process::Process;
pub(crate) use self::{backup::Backup, faults::Times, process::free_port, proxy::Proxy};

/// How long servers may take to start or to elect a primary: several starts may share two cores.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// The user who may do everything on a server with users.
pub(crate) const ROOT: (&str, &str) = ("root", "the password of root");

/// A standalone server or a replica set.
pub(crate) struct Deployment {
    nodes: Vec<Node>,
    is_replica_set: bool,
    asks_for_users: bool,
}

struct Node {
    port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
    /// `None` while it is killed.
    process: Mutex<Option<Process>>,
}

impl Deployment {
    /// A replica set of one node for all tests of this process; each takes a [`fresh_database`].
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Deployment> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::replica_set(1)).await
    }

    /// A replica set with a primary and, of more nodes, secondaries that follow it.
    pub(crate) async fn replica_set(nodes: usize) -> Self {
        Self::initiated(nodes, None, &[]).await
    }

    /// A replica set of one node with users, of whom it has only [`ROOT`] so far.
    pub(crate) async fn with_users() -> Self {
        let key = "the key that the nodes of a set share";
        let deployment = Self::initiated(1, Some(key), &[]).await;
        let (user, password) = ROOT;
        let admin = deployment.nodes[0].client().await.database("admin");
        let create = doc! {"createUser": user, "pwd": password, "roles": ["root"]};
        admin.run_command(create).await.unwrap();
        deployment
    }

    /// A replica set of one node with its data in this directory, which needs about 20 MiB at first. Its log is elsewhere,
    /// so that a full disk does not silence it.
    pub(crate) async fn on_disk(directory: &Path, of_log: &Path) -> Self {
        symlink(of_log.join("mongod.log"), directory.join("mongod.log")).unwrap();
        let journal = "log=(file_max=4MB,prealloc=false)";
        let small = [
            "--oplogSize",
            "16",
            "--wiredTigerEngineConfigString",
            journal,
        ];
        let arguments = [&["--replSet", "rs0"], &small[..]].concat();
        let node = Node::start_in(directory.to_owned(), &arguments, None);
        Self::of(vec![node.await], false).await
    }

    /// A replica set of one node. Once it is one, it accepts only TLS connections. The harness then has no client of
    /// it, only URLs, which do not mention TLS.
    pub(crate) async fn with_tls(certificate_and_key: &Path, authority: &Path) -> Self {
        let (certificate, authority) = (
            certificate_and_key.to_str().unwrap(),
            authority.to_str().unwrap(),
        );
        let arguments = [
            ["--tlsMode", "allowTLS"],
            ["--tlsCertificateKeyFile", certificate],
            ["--tlsCAFile", authority],
        ];
        let clients = "--tlsAllowConnectionsWithoutCertificates";
        let arguments = [&arguments.concat()[..], &[clients]].concat();
        let deployment = Self::initiated(1, None, &arguments).await;
        let admin = deployment.client().await.database("admin");
        for mode in ["preferTLS", "requireTLS"] {
            let stricter = doc! {"setParameter": 1, "tlsMode": mode};
            admin.run_command(stricter).await.unwrap();
        }
        deployment
    }

    /// One server that belongs to no replica set.
    pub(crate) async fn standalone() -> Self {
        Self {
            nodes: vec![Node::start(&[], None).await],
            is_replica_set: false,
            asks_for_users: false,
        }
    }

    async fn initiated(count: usize, key: Option<&str>, arguments: &[&str]) -> Self {
        let arguments = [&["--replSet", "rs0"], arguments].concat();
        let starts = (0..count).map(|_| Node::start(&arguments, key));
        let nodes = futures_util::future::join_all(starts).await;
        Self::of(nodes, key.is_some()).await
    }

    /// A replica set of these nodes.
    async fn of(nodes: Vec<Node>, asks_for_users: bool) -> Self {
        let count = nodes.len();
        let members = nodes.iter().zip(0_i32..);
        let members: Vec<Document> = members
            .map(|(node, id)| doc! {"_id": id, "host": node.address()})
            .collect();
        // Tests are to see elections, not to wait for them.
        let settings = doc! {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500};
        let set = doc! {"_id": "rs0", "members": members, "settings": settings};
        let first = nodes[0].client().await.database("admin");
        first
            .run_command(doc! {"replSetInitiate": set})
            .await
            .unwrap();
        let deployment = Self {
            nodes,
            is_replica_set: true,
            asks_for_users,
        };
        deployment.primary().await;
        if count > 1 {
            deployment.all_follow().await;
        }
        deployment
    }

    /// The URL of a database, for the user who may do everything.
    pub(crate) fn url(&self, database: &str) -> String {
        match self.asks_for_users {
            true => self.url_of(ROOT.0, ROOT.1, database),
            false => self.url_of_nobody(database),
        }
    }

    /// The URL of a database for a user; the users are in the database `admin`.
    pub(crate) fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        let user = format!("mongodb://{user}:{}@", password.replace(' ', "%20"));
        let url = self.url_of_nobody(database);
        url.replacen("mongodb://", &user, 1) + "&authSource=admin"
    }

    /// The URL of a database without a user.
    pub(crate) fn url_of_nobody(&self, database: &str) -> String {
        let set = if self.is_replica_set {
            "?replicaSet=rs0"
        } else {
            ""
        };
        format!("mongodb://{}/{database}{set}", self.hosts().join(","))
    }

    /// The ports of its nodes, on 127.0.0.1.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.nodes.iter().map(|node| node.port)
    }

    fn hosts(&self) -> Vec<String> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// A client of the whole deployment. It belongs to one test, since a client does not outlive its runtime.
    pub(crate) async fn client(&self) -> Client {
        Client::with_uri_str(self.url("admin")).await.unwrap()
    }

    /// Waits until there is a primary. Returns which node it is.
    pub(crate) async fn primary(&self) -> usize {
        // Not `client`, since this has to work before there is a user.
        let client = Client::with_uri_str(self.url_of_nobody("admin")).await;
        let admin = client.unwrap().database("admin");
        let hello = until("a primary", async || {
            let hello = admin.run_command(doc! {"hello": 1}).await.ok()?;
            hello
                .get_bool("isWritablePrimary")
                .is_ok_and(|is| is)
                .then_some(hello)
        });
        let hello = hello.await;
        let address = hello.get_str("me").unwrap();
        let found = self.hosts().iter().position(|host| host == address);
        found.expect("the primary is one of the nodes")
    }

    /// Waits until one node is primary and all others follow it.
    pub(crate) async fn all_follow(&self) {
        let admin = self.client().await.database("admin");
        let status = doc! {"replSetGetStatus": 1};
        until("a whole replica set", async || {
            let status = admin.run_command(status.clone()).await.ok()?;
            let members = status.get_array("members").ok()?;
            let states = members
                .iter()
                .map(|member| member.as_document()?.get_str("stateStr").ok());
            let follow = |state| matches!(state, Some("PRIMARY" | "SECONDARY"));
            states.into_iter().all(follow).then_some(())
        })
        .await;
    }
}

/// The name of a database that no other test of this process has.
pub(crate) fn fresh_database() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Node {
    /// Starts a server and waits until it answers. With a `key` it requires users.
    async fn start(arguments: &[&str], key: Option<&str>) -> Self {
        // Its process removes it, even when this one is killed.
        let directory = TempDir::with_prefix("tidegate-mongod-").unwrap().keep();
        Self::start_in(directory, arguments, key).await
    }

    async fn start_in(directory: PathBuf, arguments: &[&str], key: Option<&str>) -> Self {
        let mut arguments: Vec<String> = arguments.iter().copied().map(String::from).collect();
        if let Some(key) = key {
            let path = directory.join("key");
            fs::write(&path, key.replace(' ', "")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            arguments.extend(["--keyFile".to_owned(), path.display().to_string()]);
        }
        let mut node = Self {
            port: free_port(),
            directory,
            arguments,
            process: Mutex::new(None),
        };
        while !node.run().await {
            // Another process took the port in between.
            node.port = free_port();
        }
        node
    }

    /// Starts the process. Returns whether it answers in the end.
    async fn run(&self) -> bool {
        let process = Process::start(self.port, &self.directory, &self.arguments);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if process.has_ended() {
                process.kill();
                return false;
            }
            let log = self.log();
            assert!(
                began.elapsed() < PATIENCE,
                "mongod does not answer: {log:?}"
            );
            sleep(PAUSE).await;
        }
        *self.process.lock().unwrap() = Some(process);
        true
    }

    fn log(&self) -> PathBuf {
        self.directory.join("mongod.log")
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client of this node alone, whatever its state.
    async fn client(&self) -> Client {
        let url = format!("mongodb://{}/?directConnection=true", self.address());
        let mut options = ClientOptions::parse(url).await.unwrap();
        options.server_selection_timeout = Some(PATIENCE);
        Client::with_options(options).unwrap()
    }
}

/// Asks until there is an answer, up to a time limit.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => sleep(PAUSE).await,
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("no {what} in time"))
}
