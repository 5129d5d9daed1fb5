//! A terminal of the operator: a shell that lives as long as the page, and the gateway that is started in another one.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;

use super::example;
use crate::{
    harness::{
        Server, command,
        mongod::{Deployment, until},
    },
    wire::bring,
};

/// What the page writes, where the test has something of its own.
const ADDRESS: &str = "127.0.0.1:4000";
const DEPLOYMENT: &str = "mongodb://db1/service?replicaSet=rs0";
const ADMINISTRATOR: &str = " --username admin";
/// Ends what a command prints.
const END: &str = "--- this command has ended";

pub(super) struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    directory: TempDir,
    /// For the administrator.
    url: String,
    /// For a user who is named elsewhere.
    url_of_nobody: String,
    gateway: Option<Server>,
}

impl Shell {
    /// A shell in a directory with the files of the example.
    pub(super) fn new(deployment: &Deployment) -> Self {
        bring("npm-packages", "tests/writers");
        let directory = TempDir::new().unwrap();
        for file in ["model.graphql", "role.js"] {
            fs::write(directory.path().join(file), example(file)).unwrap();
        }
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_tidegate"), bin.join("tidegate")).unwrap();
        let shell =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/writers/node_modules/.bin/mongosh");
        symlink(shell, bin.join("mongosh")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut child = Command::new("bash")
            .current_dir(directory.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", directory.path())
            .env("TIDEGATE_LOG", "warn")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shell = Self {
            child,
            input,
            output: BufReader::new(output),
            directory,
            url: deployment.url("service"),
            url_of_nobody: deployment.url_of_nobody("service"),
            gateway: None,
        };
        shell.run("exec 2>&1");
        shell
    }

    /// Runs a command; returns what it prints.
    pub(super) fn run(&mut self, command: &str) -> String {
        let command = command
            .replace(ADMINISTRATOR, "")
            .replace(DEPLOYMENT, &self.url);
        let command = match &self.gateway {
            Some(gateway) => command.replace(&format!("http://{ADDRESS}"), &gateway.url),
            None => command,
        };
        writeln!(self.input, "{command}\necho '{END}'").unwrap();
        let mut printed = String::new();
        while !printed.ends_with(&format!("{END}\n")) {
            let read = self.output.read_line(&mut printed).unwrap();
            assert!(read > 0, "the shell has ended: {printed}");
        }
        printed.truncate(printed.len() - END.len() - 1);
        printed
    }

    /// Runs a command until it prints what the page shows. A mutation is sent once.
    pub(super) async fn expect(&mut self, command: &str, expected: &str) {
        if command.starts_with("tidegate serve") {
            return self.serve(command, expected);
        }
        let mut last = String::new();
        let repeats = command.starts_with("gql") && !command.contains("mutation");
        until(&format!("{command}:\n{expected}"), async || {
            last = self.run(command);
            let is_shown = is_shown(&last, expected);
            assert!(
                is_shown || repeats,
                "{command}:\n{last}\ninstead of\n{expected}"
            );
            is_shown.then_some(())
        })
        .await;
    }

    /// Runs a script in mongosh as the administrator.
    pub(super) fn mongosh(&mut self, script: &str) {
        fs::write(self.directory.path().join("script.js"), script).unwrap();
        let printed = self.run(&format!(
            "mongosh --quiet '{DEPLOYMENT}' --file script.js || echo failed"
        ));
        assert!(!printed.contains("failed"), "{script}{printed}");
    }

    /// Keeps a configuration.
    pub(super) fn configure(&self, text: &str) {
        assert!(
            text.contains(ADDRESS) && text.contains(DEPLOYMENT),
            "{text}"
        );
        let text = text
            .replace(ADDRESS, "127.0.0.1:0")
            .replace(DEPLOYMENT, &self.url_of_nobody);
        fs::write(self.directory.path().join("tidegate.toml"), text).unwrap();
    }

    /// Starts the gateway with what the shell has exported.
    fn serve(&mut self, shown: &str, expected: &str) {
        self.gateway = None;
        let mut serve = command(self.directory.path());
        serve.args(shown.split(' ').skip(1));
        let exported = self.run("env");
        for (name, value) in exported.lines().filter_map(|line| line.split_once('=')) {
            if name.starts_with("TIDEGATE_") {
                serve.env(name, value);
            }
        }
        let gateway = Server::start(self.directory.path(), serve);
        let first = expected.replace(&format!("http://{ADDRESS}"), &gateway.url);
        assert_eq!(
            first.trim_end(),
            format!("Tidegate serves model.graphql at {}", gateway.url)
        );
        self.gateway = Some(gateway);
    }
}

/// Whether these lines are printed. `…` stands for anything within a line.
fn is_shown(printed: &str, shown: &str) -> bool {
    let is_line = |(printed, shown): (&str, &str)| match shown.split_once('…') {
        Some((start, end)) => printed.starts_with(start) && printed.ends_with(end),
        None => printed == shown,
    };
    printed.lines().count() == shown.lines().count()
        && printed.lines().zip(shown.lines()).all(is_line)
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
