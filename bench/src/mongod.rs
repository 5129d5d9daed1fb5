//! A replica set of one node for a benchmark, which ends with it.
//!
//! The tests have servers of their own, smaller and made to fail: `tests/it/harness/mongod.rs`.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mongodb::{Client, Database, bson::doc};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::workspace;

/// How long it may take to start and to become primary.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running mongod, with journal and majority as in production.
pub(crate) struct Mongod {
    process: Child,
    port: u16,
    admin: Database,
    _directory: TempDir,
}

impl Mongod {
    pub(crate) async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(program())
            .args(["--replSet", "rs0", "--bind_ip", "127.0.0.1"])
            .args(["--nounixsocket", "--wiredTigerCacheSizeGB", "1"])
            .args(["--port", &port.to_string(), "--dbpath"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        let client = Client::with_uri_str(url).await.unwrap();
        let mongod = Self {
            process,
            port,
            admin: client.database("admin"),
            _directory: directory,
        };
        mongod.initiate().await;
        mongod
    }

    async fn initiate(&self) {
        let admin = &self.admin;
        let host = format!("127.0.0.1:{}", self.port);
        let set = doc! {"_id": "rs0", "members": [{"_id": 0, "host": host}]};
        admin
            .run_command(doc! {"replSetInitiate": set})
            .await
            .unwrap();
        let began = Instant::now();
        loop {
            let hello = admin.run_command(doc! {"hello": 1}).await.unwrap();
            if hello.get_bool("isWritablePrimary").unwrap() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "mongod becomes no primary");
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("mongodb://127.0.0.1:{port}/{database}?replicaSet=rs0")
    }

    /// The version of the server.
    pub(crate) async fn version(&self) -> String {
        let info = self.admin.run_command(doc! {"buildInfo": 1}).await.unwrap();
        info.get_str("version").unwrap().to_owned()
    }

    /// Writes to its files what it has in memory, so that it does not do so during another measurement.
    pub(crate) async fn flush(&self) {
        self.admin.run_command(doc! {"fsync": 1}).await.unwrap();
    }

    /// How many transactions it has aborted, of all clients: each attempt after the first follows one.
    pub(crate) async fn transactions_aborted(&self) -> i64 {
        let status = self.admin.run_command(doc! {"serverStatus": 1});
        let status = status.await.unwrap();
        let transactions = status.get_document("transactions").unwrap();
        transactions.get_i64("totalAborted").unwrap()
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Finds it with the project's own script, which downloads it if necessary.
fn program() -> String {
    let script = workspace::root().join("scripts/mongod");
    let output = Command::new(script).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
