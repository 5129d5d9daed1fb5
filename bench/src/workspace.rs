//! The repository around the benchmark: its path, and its other programs, which cargo builds for the benchmark.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value as Json;

/// The repository's directory.
pub(crate) fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the benchmark is a directory of the repository")
}

/// Builds the program that these arguments of `cargo build` name, for release. It is a build of its own, so that the
/// program has the features that it ships with and none that only the benchmark needs.
pub(crate) fn build(arguments: &[&str]) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // `cargo run` sets these for the benchmark. Build scripts would see a change of them and run again, each time.
    let of_benchmark = env::vars().map(|(name, _)| name).filter(|name| {
        let described = ["CARGO_MANIFEST_", "CARGO_PKG_"];
        described.iter().any(|prefix| name.starts_with(prefix))
    });
    for name in of_benchmark {
        cargo.env_remove(name);
    }
    let build = cargo
        .args(["build", "--release", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .args(arguments)
        .current_dir(root())
        .stderr(Stdio::inherit());
    let output = build.output().unwrap();
    assert!(output.status.success(), "cargo could not build the program");
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Json>();
    let executable = |message: Json| Some(message["executable"].as_str()?.into());
    let mut programs = messages.filter_map(|message| executable(message.unwrap()));
    programs.next().expect("one program was built")
}
