//! Code generators on random models, which the integration tests run on three fixed ones.
//!
//! `TIDEGATE_GENERATORS_CASES` asks for more models than the one of an ordinary run.

use std::process::Command;

use tempfile::TempDir;

use super::*;

#[test]
fn generators_take_what_is_made_of_random_models() {
    let cases = setting("TIDEGATE_GENERATORS_CASES").unwrap_or(1);
    for (text, model) in random_models(cases) {
        let directory = TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write("operations.graphql", &Operations::new(&model).text());
        write("schema.graphql", api(model, Limits::default()).sdl());
        let output = Command::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/generators/generate"
        ))
        .arg(directory.path())
        .output()
        .unwrap();
        let reported = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{reported}");
    }
}
