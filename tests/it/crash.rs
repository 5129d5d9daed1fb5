//! The real binary killed without warning under load: what was acknowledged stays, and what is repeated is applied
//! once.
//!
//! Kills come at random moments. The promises hold at each.

mod cast;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use self::cast::{Cast, random_ms};
use crate::harness::{Server, Socket, command, complaint, expect_sound, expect_whole};

/// How often the gateway is killed under load. In addition it is killed while it starts, and so is `collect`.
const KILLS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_acknowledged_and_tear_nothing() {
    let directory = TempDir::new().unwrap();
    let mut cast = Cast::new(&directory).await;
    let mut restarts = Vec::new();
    for round in 0..KILLS {
        match round % 5 {
            1 => kill_while(&directory, &["dev", "--listen", "127.0.0.1:0"], 100),
            3 => cast = collect_with_kills(&directory, cast).await,
            _ => {}
        }
        let began = Instant::now();
        let server = Server::dev(&directory);
        cast = cast.at(&server);
        cast.puller.client.epoch().await;
        restarts.push(began.elapsed());
        expect_whole(&server, &cast.writers).await;
        cast = cast.work_until_killed(server, random_ms(10..150)).await;
    }
    expect_quick(&restarts);

    let server = Server::dev(&directory);
    let cast = cast.at(&server).settle().await;
    let pushes: i64 = cast.writers.iter().map(|writer| writer.pushes).sum();
    assert!(pushes > KILLS as i64, "{pushes} pushes are no load");
    cast.expect_followed(&server).await;
    server.kill();
    expect_sound(&directory.path().join(".tidegate"));
}

/// A command that is killed as well collects tombstones and markers. A client that has kept up need not reset.
async fn collect_with_kills(directory: &TempDir, cast: Cast) -> Cast {
    let server = Server::dev(directory);
    let cast = cast.at(&server).settle().await;
    server.kill();
    let collect = ["collect", "--older-than", "0s"];
    kill_while(directory, &collect, 50);
    kill_while(directory, &collect, 150);
    cast
}

/// Runs a command and kills it within `ms_max` milliseconds.
fn kill_while(directory: &TempDir, arguments: &[&str], ms_max: u64) {
    let mut command = command(directory.path());
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.args(arguments).spawn().unwrap();
    std::thread::sleep(random_ms(0..ms_max));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The promise is one second. A machine that runs other tests too may miss it every other time.
fn expect_quick(restarts: &[Duration]) {
    let mut sorted = restarts.to_owned();
    sorted.sort();
    let median = sorted[sorted.len() / 2];
    assert!(median < Duration::from_secs(1), "restarts took {sorted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_under_load_keeps_what_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let cast = Cast::new(&directory).await;
    let server = Server::dev(&directory);
    let cast = cast.at(&server);
    let writing: Vec<_> = cast
        .writers
        .into_iter()
        .map(|writer| tokio::spawn(writer.write_until_cut()))
        .collect();
    let mut socket = Socket::follow(&server.client("subscriber"), "").await;
    tokio::time::sleep(random_ms(100..300)).await;
    tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let code = socket.close_code().await;
    assert!(
        [1001, 1012].contains(&code),
        "clients come back after 1001 and 1012, not {code}"
    );

    let server = Server::dev(&directory);
    let mut writers = Vec::new();
    for writer in writing {
        writers.push(writer.await.unwrap().at(&server));
    }
    expect_whole(&server, &writers).await;
    for writer in &mut writers {
        writer.push_well().await;
    }
    expect_whole(&server, &writers).await;
    server.stop();
    expect_sound(&directory.path().join(".tidegate"));
}

#[test]
fn a_second_process_on_one_store_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let dev = ["dev", "--listen", "127.0.0.1:0"];
    for arguments in [&dev[..], &["collect"], &["rotate-epoch"]] {
        let complaint = complaint(directory.path(), arguments);
        let says = |part: &str| assert!(complaint.contains(part), "{arguments:?}: {complaint}");
        says(".tidegate/tidegate.redb is in use by another process");
        says("stop that one first");
    }
    server.stop();
    Server::dev(&directory).stop();
}
