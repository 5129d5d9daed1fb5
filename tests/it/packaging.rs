//! What is shipped, as far as it can be compared with the repository and the real binary here: the image, the unit of
//! systemd, the manifests for Kubernetes, and the packages for cargo and npm.
//!
//! No engine, systemd or cluster runs it. `scripts/dist` builds what is published.

mod crates;
#[cfg(target_os = "linux")]
mod dist;
mod image;
mod kubernetes;
mod npm;
#[cfg(target_os = "linux")]
mod systemd;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Expects that each file which the sources below a directory include is there.
fn expect_included(sources: &Path) {
    for source in files(sources) {
        let Ok(text) = fs::read_to_string(&source) else {
            continue;
        };
        for included in text.split("include_").skip(1).filter_map(included) {
            let path = source.parent().unwrap().join(included);
            let is_test = source
                .iter()
                .any(|part| part == "tests" || part == "tests.rs");
            assert!(path.exists() || is_test, "{path:?} is missing");
        }
    }
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let below = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    below.collect()
}

/// The path in `str!("…")` or `bytes!("…")`.
fn included(rest: &str) -> Option<&str> {
    let path = rest
        .strip_prefix("str!(\"")
        .or_else(|| rest.strip_prefix("bytes!(\""))?;
    path.split('"').next()
}
