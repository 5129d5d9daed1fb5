//! A small disk of a test's own, which can be filled and made read-only.
//!
//! It is a tmpfs in a mount namespace of its own, which ends with the test however that ends. A namespace takes root,
//! or a kernel that gives user namespaces to all users. Without one the test fails and says so.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

const BALLAST: &str = "ballast";

/// Mounts a disk of `$1` bytes at `$0`, prints that, and waits until the test ends, which closes its input.
const HOLD: &str = r#"mount -t tmpfs -o "size=$1" tmpfs "$0" && echo mounted && exec cat"#;

pub(crate) struct SmallDisk {
    holder: Child,
    mounted_at: TempDir,
}

impl SmallDisk {
    pub(crate) fn new(bytes: u64) -> Self {
        let mounted_at = TempDir::new().unwrap();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", HOLD])
            .arg(mounted_at.path())
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux, is needed");
        let mut said = String::new();
        let mut output = BufReader::new(holder.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "mounted\n", "no mount namespace can be had here");
        Self { holder, mounted_at }
    }

    /// Its directory, as seen from outside its namespace.
    pub(crate) fn path(&self) -> PathBuf {
        let inside = self.mounted_at.path().strip_prefix("/").unwrap();
        Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(inside)
    }

    /// A directory on another disk, for as long as this one.
    pub(crate) fn beside(&self) -> &Path {
        self.mounted_at.path()
    }

    /// Leaves no more room than `left` bytes.
    pub(crate) fn fill(&self, left: u64) {
        let mut ballast = File::create(self.path().join(BALLAST)).unwrap();
        let mut bytes = 0;
        let full = loop {
            match ballast.write(&[0; 4096]) {
                Ok(written) => bytes += written as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        ballast.set_len(bytes - left).unwrap();
    }

    /// Gives back the room that [`Self::fill`] took.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.path().join(BALLAST)).unwrap();
    }

    /// Mounts it again, with `ro` or `rw`. None of its files may be open for writing.
    pub(crate) fn remount(&self, option: &str) {
        let status = Command::new("nsenter")
            .args(["--user", "--preserve-credentials", "--mount", "--target"])
            .arg(self.holder.id().to_string())
            .args(["mount", "-o", &format!("remount,{option}")])
            .arg(self.mounted_at.path())
            .status();
        assert!(status.unwrap().success(), "remounted {option}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
