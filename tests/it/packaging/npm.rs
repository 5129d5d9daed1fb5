//! `npx tidegate`, without a registry that has it: the packages are packed and installed by npm, and the launcher runs the real
//! binary.
//!
//! `scripts/dist` puts the binary that is shipped into its package. Here a script stands for it, which runs the one under test.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::Server,
    wire::{bring, printed},
};

const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packages/tidegate");

fn manifest(package: &str) -> Value {
    let text = fs::read_to_string(Path::new(PACKAGES).join(package).join("package.json"));
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// Packs a package into the directory. Returns the archive, and the files in it.
fn packed(package: &Path, into: &Path) -> (PathBuf, Vec<String>) {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--json", "--pack-destination"]).arg(into);
    let report: Value = serde_json::from_str(&printed(npm.arg(package))).unwrap();
    let report = match &report {
        Value::Array(reports) => &reports[0],
        // npm 12 names each package.
        reports => reports.as_object().unwrap().values().next().unwrap(),
    };
    let files = report["files"].as_array().unwrap().iter();
    let files = files.map(|file| file["path"].as_str().unwrap().to_owned());
    let archive = into.join(report["filename"].as_str().unwrap());
    (archive, files.collect())
}

/// A directory in which the packages are installed, as `npx tidegate` does it.
fn installed() -> TempDir {
    bring("npm-packages", ".");
    let directory = TempDir::new().unwrap();
    let platform = directory.path().join("platform");
    fs::create_dir(&platform).unwrap();
    for name in ["package.json", "README.md", "LICENSE"] {
        let from = Path::new(PACKAGES).join("linux-x64-gnu").join(name);
        fs::copy(from, platform.join(name)).unwrap();
    }
    let binary = platform.join("tidegate");
    let program = format!(
        "#!/bin/sh\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_tidegate")
    );
    fs::write(&binary, program).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();

    let (launcher, files) = packed(&Path::new(PACKAGES).join("launcher"), directory.path());
    assert_eq!(
        files,
        ["LICENSE", "README.md", "bin/tidegate.js", "package.json"]
    );
    let (platform, files) = packed(&platform, directory.path());
    assert_eq!(files, ["LICENSE", "README.md", "package.json", "tidegate"]);

    let project = directory.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("package.json"), "{}").unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--offline", "--no-audit", "--no-fund"]);
    printed(npm.args([launcher, platform]).current_dir(&project));
    directory
}

/// A command that npm has put into the project.
fn tidegate(project: &Path) -> Command {
    let mut command = Command::new(project.join("node_modules/.bin/tidegate"));
    command.current_dir(project);
    command
}

#[test]
fn npx_runs_the_gateway_that_npm_has_installed_and_ends_as_it_ends() {
    let directory = installed();
    let project = directory.path().join("project");
    let mut npx = Command::new("npx");
    npx.args(["--no", "--offline", "tidegate"]).arg("--version");
    let version = printed(npx.current_dir(&project));
    let expected = concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(version, expected);

    let refused = tidegate(&project).arg("nonsense").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "as clap ends");

    let mut dev = tidegate(&project);
    dev.args(["dev", "--listen", "127.0.0.1:0"]);
    let server = Server::start(&project, dev);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    TcpStream::connect(&address).unwrap();
    // The launcher gets SIGTERM, and the gateway has ended in order when the launcher has.
    server.stop();
    TcpStream::connect(&address).unwrap_err();

    fs::remove_dir_all(project.join("node_modules/@tidegate")).unwrap();
    let without = tidegate(&project).output().unwrap();
    assert_eq!(without.status.code(), Some(1));
    let complaint = String::from_utf8(without.stderr).unwrap();
    let expected = "tidegate: the package @tidegate/linux-x64-gnu is missing;";
    assert!(complaint.starts_with(expected), "{complaint}");
}

#[test]
fn the_packages_have_the_version_of_the_gateway_and_name_one_another() {
    let launcher = manifest("launcher");
    let platform = manifest("linux-x64-gnu");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(launcher["version"], version);
    assert_eq!(platform["version"], version);
    let name = platform["name"].as_str().unwrap();
    assert_eq!(launcher["optionalDependencies"], json!({name: version}));
    let program = fs::read_to_string(format!("{PACKAGES}/launcher/bin/tidegate.js")).unwrap();
    let listed = format!("const PACKAGES = {{ \"linux x64\": \"{name}\" }};");
    assert!(program.contains(&listed), "{listed}");
}

#[test]
fn publint_finds_no_fault_in_the_packages() {
    bring("npm-packages", ".");
    for package in ["launcher", "linux-x64-gnu"] {
        let publint = concat!(env!("CARGO_MANIFEST_DIR"), "/node_modules/.bin/publint");
        let mut lint = Command::new(publint);
        lint.arg("--strict").arg(Path::new(PACKAGES).join(package));
        printed(&mut lint);
    }
}
