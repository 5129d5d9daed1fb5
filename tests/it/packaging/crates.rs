//! `cargo install tidegate`, without a registry that has it: cargo packs both crates, and what it packs can be resolved and has
//! all that the sources include.
//!
//! Every night `cargo package` also builds it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::expect_included;
use crate::wire::printed;

/// Unpacks what cargo has packed of a crate. Returns its directory.
fn unpacked(target: &Path, name: &str) -> PathBuf {
    let packed = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
    let directory = target.join("package");
    let mut tar = Command::new("tar");
    tar.arg("-xf")
        .arg(directory.join(format!("{packed}.crate")));
    printed(tar.arg("-C").arg(&directory));
    directory.join(packed)
}

#[test]
fn what_cargo_packs_can_be_installed() {
    let target = TempDir::new().unwrap();
    let mut package = Command::new(env!("CARGO"));
    package.args(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    package.args(["--locked", "--offline", "--package", "tidegate-core"]);
    package.args(["--package", "tidegate", "--target-dir"]);
    printed(package.arg(target.path()));

    let core = unpacked(target.path(), "tidegate-core");
    let gateway = unpacked(target.path(), "tidegate");
    for packed in [&core, &gateway] {
        expect_included(&packed.join("src"));
    }
    // The registry has no core yet.
    let patch = format!("patch.crates-io.tidegate-core.path={core:?}");
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--depth", "1", "--config", &patch]);
    let tree = printed(tree.current_dir(&gateway));
    assert!(tree.contains("tidegate-core v"), "{tree}");
    let manifest = fs::read_to_string(gateway.join("Cargo.toml")).unwrap();
    assert!(
        !manifest.contains("[dev-dependencies.tidegate-testkit]"),
        "{manifest}"
    );
}
