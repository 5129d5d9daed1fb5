//! Code generators that we did not write, on what `tidegate schema` and `tidegate operations` print: what they make compiles.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use super::ROOT;
use crate::{harness::answer, schema::HARBOUR};

const EXAMPLE: &str = include_str!("../../../model.graphql");

/// Names that are hard on generators.
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
fn run(script: &str, directory: &Path) {
    let output: Output = Command::new(format!("{ROOT}/tests/generators/{script}"))
        .arg(directory)
        .output()
        .unwrap();
    let told =
        [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned());
    assert!(output.status.success(), "{script}: {}{}", told[0], told[1]);
}

#[test]
fn generators_take_the_schema_and_the_ready_made_operations() {
    for model in [EXAMPLE, HARBOUR, NAMES] {
        run("generate", printed(model).path());
    }
}
