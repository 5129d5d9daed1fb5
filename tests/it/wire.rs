//! The wire protocols in detail, through the real binary: the audits of graphql-http, third-party clients, and each
//! rule of their protocols.
//!
//! `bad_input::transport` tests malformed requests, and `serve::tokens` tokens.

mod audits;
mod clients;
mod devices;
pub(crate) mod generators;
mod graphiql;
mod http;
mod limits;
mod lists;
mod logs;
#[cfg(target_os = "linux")]
mod patience;
mod persisted;
mod sockets;
mod streams;

use std::{path::Path, process::Command};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a script of `tests/wire` that must succeed. Returns its output.
fn node(script: &str, arguments: &[&str]) -> String {
    node_in("tests/wire", script, arguments, &[])
}

/// The same in another directory with npm packages of its own, and with these variables.
pub(crate) fn node_in(
    directory: &str,
    script: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    bring("npm-packages", directory);
    let mut command = Command::new("node");
    command.arg(Path::new(ROOT).join(directory).join(script));
    printed(command.args(arguments).envs(environment.iter().copied()))
}

/// The same in Python.
fn python(script: &str, arguments: &[&str]) -> String {
    python_in("tests/wire", script, arguments)
}

/// The same in another directory with Python packages of its own.
pub(crate) fn python_in(directory: &str, script: &str, arguments: &[&str]) -> String {
    bring("python-packages", directory);
    let directory = Path::new(ROOT).join(directory);
    let mut command = Command::new(directory.join(".venv/bin/python"));
    command.arg(directory.join(script));
    printed(command.args(arguments))
}

/// The browser for the pages.
fn chromium() -> String {
    let path = printed(&mut Command::new(format!("{ROOT}/scripts/chromium")));
    path.trim().to_owned()
}

/// Prepares the packages of a directory with a script of `scripts`.
pub(crate) fn bring(packages: &str, directory: &str) {
    let script = Path::new(ROOT).join("scripts").join(packages);
    let brought = Command::new(script).arg(directory).status().unwrap();
    assert!(brought.success(), "scripts/{packages} says why above");
}

pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {printed}{reported}");
    printed
}
