//! Third-party code generators, on the output of `tidegate schema` and `tidegate operations`, and on the schema of a
//! running gateway: their code compiles.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use super::ROOT;
use crate::{
    harness::{Server, answer},
    schema::HARBOUR,
};

const EXAMPLE: &str = include_str!("../../../model.graphql");

/// Names that are hard for generators.
pub(crate) const NAMES: &str = include_str!("../models/names.graphql");

/// A directory with a model and what is printed for it.
fn printed(model: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("model.graphql", model);
    for what in ["schema", "operations"] {
        write(
            &format!("{what}.graphql"),
            &answer(directory.path(), &[what]),
        );
    }
    directory
}

/// Runs a script of `tests/generators` in a directory; it must succeed.
fn run(script: &str, directory: &Path, environment: &[(&str, &str)]) {
    let output: Output = Command::new(format!("{ROOT}/tests/generators/{script}"))
        .arg(directory)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let reported = [output.stdout, output.stderr]
        .map(|reported| String::from_utf8_lossy(&reported).into_owned());
    assert!(
        output.status.success(),
        "{script}: {}{}",
        reported[0],
        reported[1]
    );
}

#[test]
fn generators_take_the_schema_and_the_ready_made_operations() {
    for model in [EXAMPLE, HARBOUR, NAMES] {
        run("generate", printed(model).path(), &[]);
    }
}

/// The generator's own client on Node 20 offers zstd and cannot read it.
#[test]
fn a_generator_makes_the_same_of_the_schema_by_url_as_of_the_file() {
    for model in [HARBOUR, NAMES] {
        let directory = printed(model);
        run("generate", directory.path(), &[]);
        let server = Server::dev(&directory);
        let url = format!("{}/graphql", server.url);
        let token = server.client("alice").token;
        let environment = [("SCHEMA_URL", url.as_str()), ("TOKEN", token.as_str())];
        run("generate-by-url", directory.path(), &environment);
    }
}
