//! A store that may not be written: a start is refused with advice, and a running gateway refuses only pushes.

use std::{
    fs::{self, File},
    path::Path,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use tempfile::TempDir;

use super::{assert_at_rest, assert_not_writable, assert_says};
use crate::harness::{
    Pushed, Replica, Server, SmallDisk, Socket, Writer, command, complaint_of, expect_whole,
};

/// A directory on the disk of the build: the one for temporary files may be on a file system without immutable files.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A store's file that cannot be written, not by root and not through a file that is already open.
struct Immutable(File);

impl Immutable {
    fn make(directory: &Path) -> Self {
        let file = File::open(directory.join(".tidegate/tidegate.redb")).unwrap();
        let made = ioctl_setflags(&file, flags(&file) | IFlags::IMMUTABLE);
        made.expect("root, and a file system such as ext4, are needed");
        Self(file)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let Self(file) = self;
        ioctl_setflags(&*file, flags(file) - IFlags::IMMUTABLE).unwrap();
    }
}

fn flags(file: &File) -> IFlags {
    ioctl_getflags(file).unwrap()
}

fn refused_start(directory: &Path) -> String {
    complaint_of(command(directory).args(["dev", "--listen", "127.0.0.1:0"]))
}

#[tokio::test]
async fn a_start_on_a_read_only_disk_is_refused_by_name_and_changes_nothing() {
    let disk = SmallDisk::new(16 << 20);
    let server = Server::dev_with(&disk.path(), &[]);
    let mut writers = Writer::several(&server, 1, 20).await;
    writers[0].push_well().await;
    server.kill();
    let file = disk.path().join(".tidegate/tidegate.redb");
    let before = fs::read(&file).unwrap();
    disk.remount("ro");
    let reported = refused_start(&disk.path());
    assert_says(
        &reported,
        &[
            "tidegate.redb: Read-only file system",
            "or let Tidegate write its directory",
        ],
    );
    assert!(fs::read(&file).unwrap() == before, "the file was changed");
    disk.remount("rw");
    let server = Server::dev_with(&disk.path(), &[]);
    let writers: Vec<_> = writers.into_iter().map(|w| w.at(&server)).collect();
    expect_whole(&server, &writers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_becomes_read_only_refuses_pushes_until_it_is_writable_and_is_read_all_the_time()
 {
    let directory = directory();
    let server = Server::dev(&directory);
    let mut writers = Writer::several(&server, 2, 20).await;
    writers[0].push_well().await;
    let mut socket = Socket::follow(&server.client("reader"), "").await;
    let mut follower = Replica::default();
    follower.apply(&socket.page().await);
    let file = Immutable::make(directory.path());
    for _ in 0..3 {
        for writer in &mut writers {
            match writer.push().await {
                Pushed::Failed(error) => assert_not_writable(&error),
                other => panic!("{other:?}"),
            }
        }
        expect_whole(&server, &writers).await;
    }
    assert_at_rest(&server).await;
    drop(file);
    for writer in &mut writers {
        writer.push_well().await;
    }
    let whole = expect_whole(&server, &writers).await;
    while follower.documents() != whole.documents() {
        follower.apply(&socket.page().await);
    }
    assert_eq!(follower.resets, 1, "continuity was never broken");
    server.stop();
}

#[tokio::test]
async fn a_gateway_killed_on_a_read_only_file_is_refused_there_and_starts_once_it_is_writable() {
    let directory = directory();
    let server = Server::dev(&directory);
    let mut writers = Writer::several(&server, 1, 20).await;
    writers[0].push_well().await;
    let file = Immutable::make(directory.path());
    assert!(matches!(writers[0].push().await, Pushed::Failed(_)));
    server.kill();
    let reported = refused_start(directory.path());
    assert_says(
        &reported,
        &[
            "tidegate.redb: Operation not permitted",
            "or let Tidegate write its directory",
        ],
    );
    drop(file);
    let server = Server::dev(&directory);
    writers = writers.into_iter().map(|w| w.at(&server)).collect();
    expect_whole(&server, &writers).await;
    writers[0].push_well().await;
    expect_whole(&server, &writers).await;
}
