//! What `scripts/dist` packs. A script stands for the binary; `make dist` builds it, and every night two builds are compared.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::wire::{bring, printed};

const BINARY: &str = "#!/bin/sh\necho of the tests\n";

fn name() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("tidegate-{version}-x86_64-unknown-linux-gnu")
}

fn pack(build: &Path, into: &Path) -> Command {
    let mut pack = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dist"));
    pack.arg("--pack").arg(build).arg(into);
    pack
}

/// Unpacks an archive. Returns the paths of its files, sorted.
fn unpacked(archive: &Path, into: &Path) -> Vec<PathBuf> {
    fs::create_dir(into).unwrap();
    let mut tar = Command::new("tar");
    printed(tar.arg("-xf").arg(archive).arg("-C").arg(into));
    let files = super::files(into).into_iter();
    let mut files: Vec<PathBuf> = files
        .map(|file| file.strip_prefix(into).unwrap().to_owned())
        .collect();
    files.sort();
    files
}

fn expect_binary(file: &Path) {
    assert_eq!(fs::read_to_string(file).unwrap(), BINARY);
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "{file:?}");
}

#[test]
fn the_archives_hold_the_binary_its_components_and_licences_and_are_always_the_same() {
    bring("npm-packages", ".");
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let name = name();
    fs::create_dir(at("build")).unwrap();
    let build = |file: &str| at("build").join(file);
    fs::write(build("tidegate"), BINARY).unwrap();
    fs::set_permissions(build("tidegate"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(build("THIRD-PARTY.txt"), "licences").unwrap();
    fs::write(build(&format!("{name}.cdx.json")), "{}").unwrap();
    let sums = printed(&mut pack(&at("build"), &at("one")));
    assert_eq!(printed(&mut pack(&at("build"), &at("two"))), sums);
    assert!(
        !pack(&at("build"), &at("two"))
            .output()
            .unwrap()
            .status
            .success()
    );

    let mut check = Command::new("sha256sum");
    check.args(["--check", "SHA256SUMS"]);
    printed(check.current_dir(at("one")));
    let version = env!("CARGO_PKG_VERSION");
    let packed: Vec<&str> = sums
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(
        packed,
        [
            format!("{name}.cdx.json"),
            format!("{name}.tar.gz"),
            format!("tidegate-{version}.tgz"),
            format!("tidegate-linux-x64-gnu-{version}.tgz"),
        ]
    );
    let archive = unpacked(&at("one").join(packed[1]), &at("archive"));
    let expected = [
        "LICENSE",
        "README.md",
        "THIRD-PARTY.txt",
        "tidegate",
        &format!("{name}.cdx.json"),
        "tidegate.service",
    ];
    let expected = expected.map(|file| Path::new(&name).join(file));
    assert_eq!(archive, expected);
    expect_binary(&at("archive").join(&name).join("tidegate"));
    let package = unpacked(&at("one").join(packed[3]), &at("package"));
    let expected = [
        "LICENSE",
        "README.md",
        "THIRD-PARTY.txt",
        "package.json",
        "tidegate",
    ];
    assert_eq!(
        package,
        expected.map(|file| Path::new("package").join(file))
    );
    expect_binary(&at("package").join("package/tidegate"));
}
