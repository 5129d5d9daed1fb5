//! One mongod process with a directory of its own, watched so that it cannot outlive the tests. The deployment that it
//! belongs to is not known here.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use crate::harness::PATIENCE;

/// Runs a server, prints its pid, and sends it the signals that it reads; after `KILL` it ends and the data stays. The
/// end of its input, which comes with the end of its owner, however that ends, kills the server and removes its data.
/// Ctrl-C is for the tests alone: it ends them, and with them the input.
const WATCHER: &str = r#"
trap '' INT
ulimit -c 0
"$@" </dev/null >/dev/null 2>&1 &
echo $!
while read -r signal; do
    kill -"$signal" $!
    [ "$signal" != KILL ] || { wait; exit; }
    echo sent
done
kill -KILL $!
wait
rm -rf "$DIRECTORY"
"#;

/// Below the ports that systems give to outgoing connections, so that a restarted server finds its port free.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// A running mongod. Dropping it kills it and removes its directory.
pub(super) struct Process {
    watcher: Child,
    /// `None` only while it ends.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pid: String,
}

impl Process {
    /// Starts a mongod on `port` with its data in `directory`. It may not answer yet.
    pub(super) fn start(port: u16, directory: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", WATCHER, "sh"]).arg(mongod());
        command.arg("--port").arg(port.to_string());
        command.arg("--dbpath").arg(directory);
        command.arg("--logpath").arg(directory.join("mongod.log"));
        command.args(["--logappend", "--bind_ip", "127.0.0.1", "--nounixsocket"]);
        command.args(["--wiredTigerCacheSizeGB", "0.25"]);
        command.args(["--setParameter", "enableTestCommands=1"]);
        command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        command.args(arguments).env("DIRECTORY", directory);
        let mut watcher = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Self {
            input: watcher.stdin.take(),
            output: BufReader::new(watcher.stdout.take().unwrap()),
            pid: String::new(),
            watcher,
        };
        process.pid = process.line();
        process
    }

    /// Sends a signal, such as `STOP`.
    pub(super) fn signal(&mut self, name: &str) {
        self.tell(name);
        assert_eq!(self.line(), "sent");
    }

    /// Whether none of its threads runs any more: a stop signal reaches them one after the other.
    pub(super) fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let mut states =
            threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
        states.all(|state| state.is_ok_and(|state| state.contains(") T ")))
    }

    /// Kills it as a power cut would; its data stays.
    pub(super) fn kill(mut self) {
        self.tell("KILL");
        self.watcher.wait().unwrap();
    }

    /// Whether it ended by itself. The watcher does not wait for it, so that it stays a zombie.
    pub(super) fn has_ended(&self) -> bool {
        let state = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        state.is_ok_and(|state| state.contains(") Z "))
    }

    fn tell(&mut self, signal: &str) {
        writeln!(self.input.as_mut().unwrap(), "{signal}").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.watcher.wait());
    }
}

/// The program, as `scripts/mongod` finds or downloads it.
fn mongod() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mongod");
        let output = Command::new(script).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// A port that is free and that this process gives out only once. Another process begins elsewhere, but could still
/// take it before it is used.
pub(crate) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(97)));
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let step = next.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + step).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}
