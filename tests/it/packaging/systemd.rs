//! The unit of systemd, without systemd to run it: systemd finds no fault in it and rates how little the service may do, and
//! the gateway starts as it says.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{
    harness::{CONFIG, SECRET, Server, command, configured},
    wire::printed,
};

const UNIT: &str = "deploy/systemd/tidegate.service";

/// Exposure in tenths, as `systemd-analyze security` counts it: 0 is none, 100 is all. The listed rest is what a gateway needs:
/// the network, its own files, and to raise its limit of open files.
const EXPOSURE_MAX: &str = "15";

fn unit() -> String {
    fs::read_to_string(UNIT).unwrap()
}

/// The value of a line `key=value` of the unit.
fn value(unit: &str, key: &str) -> String {
    let values = unit.lines().filter_map(|line| line.split_once('='));
    let mut values = values.filter(|(named, _)| *named == key);
    values.next().unwrap().1.to_owned()
}

/// Runs systemd-analyze. Returns whether it succeeded, and all it printed.
fn analyze(arguments: &[&str]) -> (bool, String) {
    let mut analyze = Command::new("scripts/systemd-analyze");
    let Output {
        status,
        stdout,
        stderr,
    } = analyze.args(arguments).output().unwrap();
    let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.success(), printed)
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let directory = TempDir::new().unwrap();
    let installed = directory.path().join("tidegate.service");
    // It asks whether the program is there.
    let unit = unit().replace("/usr/local/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"));
    let verify = |unit: &str| {
        fs::write(&installed, unit).unwrap();
        analyze(&["verify", "--man=no", installed.to_str().unwrap()])
    };
    assert_eq!(verify(&unit), (true, String::new()));
    let (_, complaint) = verify(&unit.replace("DynamicUser=", "DynamicUsers="));
    assert!(complaint.contains("DynamicUsers"), "{complaint}");
}

#[test]
fn the_service_may_do_little_more_than_a_gateway_needs() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (good, rated) = analyze(&["security", "--offline=true", &threshold, UNIT]);
    assert!(good, "{rated}");
}

/// A file system of its own, on which the commands of docs/operations.md have installed the gateway.
fn installed() -> TempDir {
    let root = TempDir::new().unwrap();
    let unpacked = configured(CONFIG);
    fs::write(unpacked.path().join("tidegate"), "the binary").unwrap();
    fs::copy(UNIT, unpacked.path().join("tidegate.service")).unwrap();
    for made in ["usr/local/bin", "etc/systemd/system"] {
        fs::create_dir_all(root.path().join(made)).unwrap();
    }
    let page = fs::read_to_string("docs/operations.md").unwrap();
    let commands = page.lines().filter(|line| line.starts_with("install "));
    let commands: Vec<&str> = commands.collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    for line in commands {
        let here = root.path().display();
        let line = line.replace(" /usr/", &format!(" {here}/usr/"));
        let line = line.replace(" /etc/", &format!(" {here}/etc/"));
        let mut shell = Command::new("sh");
        printed(shell.args(["-ec", &line]).current_dir(unpacked.path()));
    }
    root
}

#[test]
fn the_gateway_starts_as_the_unit_says_where_it_is_installed() {
    let root = installed();
    let at = |path: &str| root.path().join(path.trim_start_matches('/'));
    let unit = fs::read_to_string(at("/etc/systemd/system/tidegate.service")).unwrap();
    let secrets = value(&unit, "EnvironmentFile");
    let secrets = at(secrets.trim_start_matches('-'));
    let mode = fs::metadata(&secrets).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let start = value(&unit, "ExecStart");
    let (program, arguments) = start.split_once(' ').unwrap();
    let mode = fs::metadata(at(program)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "{program}");
    let arguments = arguments.split(' ').map(|argument| match argument {
        path if path.starts_with('/') => at(path).display().to_string(),
        other => other.to_owned(),
    });
    // The model, and the embedded store here, are named relative to the working directory.
    let directory = at(&value(&unit, "WorkingDirectory"));
    let mut serve = command(&directory);
    serve.args(arguments).env("TIDEGATE_AUTH__SECRET", SECRET);
    let server = Server::start(&directory, serve);
    assert!(directory.join("data").exists());
    // systemd starts it again after any other end than this one.
    assert_eq!(value(&unit, "Restart"), "on-failure");
    server.stop();
}
