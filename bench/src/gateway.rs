//! The real gateway as a process of its own: how it is started, which users it trusts, and what it costs the machine.
//!
//! What is measured is not known here. `client` talks to it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, OnceLock},
};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use crate::{client::User, workspace};

/// The gateway as it is released.
static PROGRAM: LazyLock<PathBuf> =
    LazyLock::new(|| workspace::build(&["--package", "tidegate", "--bin", "tidegate"]));

/// In the year 2100: no token of a benchmark expires.
const EXPIRES_S: i64 = 4_102_444_800;

/// The key of the gateways here, so that tokens can be made without asking one.
const SECRET: &str = "the key of a benchmark is no secret to anybody";

/// Whether gateways keep digests. None if `dev` starts them, which has no settings.
static DIGESTS: OnceLock<bool> = OnceLock::new();

/// From now on `serve` starts gateways, with digests or without them.
pub(crate) fn serve(digests: bool) {
    DIGESTS.set(digests).unwrap();
}

/// Builds it now, so that no measurement waits for it.
pub(crate) fn build() {
    LazyLock::force(&PROGRAM);
}

/// `tidegate dev` or `tidegate serve` in a directory.
pub(crate) struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts a gateway that keeps its documents in MongoDB, or in the directory. All trust the same users.
    pub(crate) fn start(directory: &Path, store: Option<&str>) -> Self {
        let mut command = match DIGESTS.get() {
            Some(&digests) => serve_command(store.unwrap_or("embedded:data"), digests),
            None => dev_command(directory, store),
        };
        command
            .current_dir(directory)
            .env("TIDEGATE_LOG", "warn")
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let mut words = first.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("http://")).unwrap();
        Self {
            process,
            address: address.parse().unwrap(),
        }
    }

    /// A user of these teams.
    pub(crate) fn user(&self, name: &str, teams: &[String]) -> User {
        let claims = json!({"sub": name, "exp": EXPIRES_S, "teams": teams});
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        User {
            address: self.address,
            token: jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap(),
        }
    }

    /// What it holds in memory now, in KiB.
    pub(crate) fn memory_kib(&self) -> f64 {
        process_kib(&self.process, "VmRSS:")
    }

    /// The most it ever held, in KiB.
    pub(crate) fn memory_peak_kib(&self) -> f64 {
        process_kib(&self.process, "VmHWM:")
    }

    /// The processor time it has used, its ended threads included, in milliseconds.
    pub(crate) fn processor_ms(&self) -> f64 {
        /// Linux counts it in hundredths of a second, whatever its own clock does.
        const MS_A_TICK: f64 = 10.0;
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(path).unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        let fields = after_name.split_whitespace().skip(11).take(2);
        let ticks: f64 = fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks * MS_A_TICK
    }
}

/// The model of all gateways here.
fn model() -> PathBuf {
    workspace::root().join("bench/model.graphql")
}

fn dev_command(directory: &Path, store: Option<&str>) -> Command {
    fs::create_dir_all(directory.join(".tidegate")).unwrap();
    fs::copy(model(), directory.join("model.graphql")).unwrap();
    fs::write(directory.join(".tidegate/dev.key"), SECRET).unwrap();
    let mut command = Command::new(&*PROGRAM);
    command.args(["dev", "--listen", "127.0.0.1:0"]);
    if let Some(url) = store {
        command.args(["--store", url]);
    }
    command
}

fn serve_command(store: &str, digests: bool) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command
        .arg("serve")
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_MODEL", model())
        .env("TIDEGATE_STORE__URL", store)
        .env("TIDEGATE_STORE__DIGESTS", digests.to_string())
        .env("TIDEGATE_AUTH__ALGORITHMS", "HS256")
        .env("TIDEGATE_AUTH__SECRET", SECRET);
    command
}

/// A line of the process's status, in KiB.
pub(crate) fn process_kib(process: &Child, name: &str) -> f64 {
    let path = format!("/proc/{}/status", process.id());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
