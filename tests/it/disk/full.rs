//! No room left: pushes are refused until there is some, and everything else continues.

use std::{fs, path::Path};

use super::{assert_at_rest, assert_not_writable, assert_says};
use crate::harness::{
    Client, Pushed, Replica, Server, SmallDisk, Socket, Writer, command, complaint_of,
    expect_sound, expect_whole,
};

const DISK_BYTES: u64 = 16 << 20;

/// The size of a shared document of a [`Writer`].
const NOTES_BYTES: usize = 50_000;

/// Pushes until the disk is full. The push without room is still outstanding.
async fn push_until_full(writer: &mut Writer) {
    for _ in 0..100 {
        if let Pushed::Failed(error) = writer.push().await {
            return assert_not_writable(&error);
        }
    }
    panic!("the disk does not fill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_pushes_until_there_is_room_and_loses_nothing() {
    let disk = SmallDisk::new(DISK_BYTES);
    let server = Server::dev_with(&disk.path(), &[]);
    let mut writers = Writer::several(&server, 2, NOTES_BYTES).await;
    let mut socket = Socket::follow(&server.client("reader"), "").await;
    let mut follower = Replica::default();
    follower.apply(&socket.page().await);
    disk.fill(200_000);
    for writer in &mut writers {
        push_until_full(writer).await;
    }
    assert_at_rest(&server).await;
    expect_whole(&server, &writers).await;
    disk.make_room();
    for writer in &mut writers {
        writer.push_well().await;
    }
    let whole = expect_whole(&server, &writers).await;
    while follower.documents() != whole.documents() {
        follower.apply(&socket.page().await);
    }
    assert_eq!(follower.resets, 1, "continuity was never broken");
    server.stop();
    expect_sound(&disk.path().join(".tidegate"));
}

/// Each push without room makes the store open its file again, which cut off the reads under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_beside_pushes_that_find_no_room() {
    let disk = SmallDisk::new(DISK_BYTES);
    let server = Server::dev_with(&disk.path(), &[]);
    let mut writers = Writer::several(&server, 1, NOTES_BYTES).await;
    disk.fill(100_000);
    push_until_full(&mut writers[0]).await;
    let whole = expect_whole(&server, &writers).await;
    let reading = [(); 4].map(|()| tokio::spawn(read_until_cut(server.client("reader"))));
    for _ in 0..50 {
        push_until_full(&mut writers[0]).await;
    }
    server.kill();
    for reader in reading {
        let (pulls, replica) = reader.await.unwrap();
        assert!(pulls > 10, "{pulls} pulls are no reading");
        assert_eq!(replica.documents(), whole.documents());
    }
}

/// Starts over with each pull. Returns how often it came to the end, and what it held then.
async fn read_until_cut(client: Client) -> (usize, Replica) {
    let (mut pulls, mut last) = (0, Replica::default());
    loop {
        let mut replica = Replica::default();
        if replica.try_pull(&client).await.is_none() {
            return (pulls, last);
        }
        (pulls, last) = (pulls + 1, replica);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_on_a_full_disk_starts_there_and_goes_on_once_there_is_room() {
    let disk = SmallDisk::new(DISK_BYTES);
    let mut server = Server::dev_with(&disk.path(), &[]);
    let mut writers = Writer::several(&server, 1, NOTES_BYTES).await;
    disk.fill(100_000);
    for _ in 0..4 {
        push_until_full(&mut writers[0]).await;
        server.kill();
        server = Server::dev_with(&disk.path(), &[]);
        writers = writers.into_iter().map(|w| w.at(&server)).collect();
        expect_whole(&server, &writers).await;
    }
    disk.make_room();
    writers[0].push_well().await;
    expect_whole(&server, &writers).await;
    server.stop();
    expect_sound(&disk.path().join(".tidegate"));
}

/// When the disk became full during the write of the key, an empty key was left, and no later start could use it.
#[test]
fn a_first_start_that_finds_no_room_leaves_nothing_that_stands_in_the_way_of_the_next() {
    let disk = SmallDisk::new(DISK_BYTES);
    let data = disk.path().join(".tidegate");
    // A start writes two files: its key and its store. Each of them runs out of room once.
    for left in (0..).step_by(4096) {
        disk.fill(left);
        let mut dev = command(&disk.path());
        let dev = dev.args(["dev", "--listen", "127.0.0.1:0"]);
        let reported = complaint_of(dev);
        assert_says(&reported, &["No space left on device"]);
        assert_whole_or_absent(&data.join("dev.key"), |key| key.len() == 64);
        disk.make_room();
        if data.join("tidegate.redb").exists() {
            break;
        }
    }
    Server::dev_with(&disk.path(), &[]).stop();
}

fn assert_whole_or_absent(path: &Path, is_whole: impl Fn(&str) -> bool) {
    if let Ok(text) = fs::read_to_string(path) {
        assert!(is_whole(&text), "{} holds {text:?}", path.display());
    }
}

#[tokio::test]
async fn a_changed_model_that_finds_no_room_resets_nobody_later() {
    let disk = SmallDisk::new(DISK_BYTES);
    let model = include_str!("../../../model.graphql");
    let changed = format!("{}{model}", "# A longer model.\n".repeat(1_000));
    let server = Server::dev_with(&disk.path(), &[]);
    let mut writers = Writer::several(&server, 1, NOTES_BYTES).await;
    writers[0].push_well().await;
    let reader = server.client("reader");
    let mut follower = Replica::default();
    follower.pull(&reader).await;
    server.kill();

    fs::write(disk.path().join("model.graphql"), &changed).unwrap();
    disk.fill(0);
    let mut dev = command(&disk.path());
    let reported = complaint_of(dev.args(["dev", "--listen", "127.0.0.1:0"]));
    assert_says(&reported, &["No space left on device"]);
    disk.make_room();
    let server = Server::dev_with(&disk.path(), &[]);
    assert_eq!(follower.pull(&reader.at(&server)).await, 0, "nobody resets");
}
