//! `serve` as an operator runs it: a directory with the example model, a configuration, and the secret in the
//! environment.
//!
//! The rules of a configuration are not known here.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use super::{Server, command};

pub(crate) const SECRET: &str = "a secret that stands nowhere but in the environment";

/// A configuration for shared secrets, without the secret.
pub(crate) const CONFIG: &str = r#"listen = "127.0.0.1:0"
model = "model.graphql"

[store]
url = "embedded:data"

[auth]
algorithms = ["HS256"]
leeway = "0s"
"#;

/// A directory with the example model and this configuration.
pub(crate) fn configured(config: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let model = include_str!("../../../model.graphql");
    fs::write(directory.path().join("model.graphql"), model).unwrap();
    fs::write(directory.path().join("tidegate.toml"), config).unwrap();
    directory
}

/// The same with this store.
pub(crate) fn configured_on(url: &str) -> TempDir {
    configured(&CONFIG.replace("embedded:data", url))
}

pub(crate) fn with_secret(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = command(directory);
    command.args(arguments).env("TIDEGATE_AUTH__SECRET", SECRET);
    command
}

/// Expects that `doctor` finds nothing wrong in the embedded store of a stopped gateway with the example model.
pub(crate) fn expect_sound(data: &Path) {
    let directory = configured_on(&format!("embedded:{}", data.display()));
    let doctor = with_secret(directory.path(), &["doctor"]).output();
    let Output {
        status,
        stdout,
        stderr,
    } = doctor.unwrap();
    let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(status.success(), "{printed}");
    assert!(
        printed.contains("head is at the end of its feed"),
        "{printed}"
    );
}

impl Server {
    /// `tidegate serve` by a directory's configuration.
    pub(crate) fn serve(directory: &TempDir) -> Self {
        Self::serve_with(directory, &[])
    }

    /// The same with these variables.
    pub(crate) fn serve_with(directory: &TempDir, variables: &[(&str, &str)]) -> Self {
        let mut serve = with_secret(directory.path(), &["serve"]);
        serve.envs(variables.iter().copied());
        Self::serving(directory.path(), serve)
    }

    /// A command that serves by a directory's configuration.
    pub(crate) fn serving(directory: &Path, serve: Command) -> Self {
        let mut server = Self::start(directory, serve);
        server.sign = |directory| with_secret(directory, &["token", "--config", "tidegate.toml"]);
        server
    }
}
