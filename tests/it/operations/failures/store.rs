//! MongoDB refuses the gateway, is gone, hangs, or cannot write.

use std::time::{Duration, Instant};

use mongodb::{
    Database,
    bson::{Document, doc},
};
use serde_json::json;

use super::{Failure, refused, refused_pull, task};
use crate::harness::{
    Client, Replica, SmallDisk, Watched, complaint_of, configured_on, create,
    mongod::{Deployment, until},
    push_query, with_secret,
};

const USER: &str = "gateway";
const PASSWORD: &str = "of the tests";

/// How soon `/readyz` says that MongoDB is gone: four seconds, and the rest for a machine under load.
const SAID_WITHIN: Duration = Duration::from_secs(15);

const AGAIN: &str = "SERVICE_UNAVAILABLE";

async fn with_user(role: &str) -> (Deployment, Database) {
    let deployment = Deployment::with_users().await;
    let admin = deployment.client().await.database("admin");
    let create = doc! {"createUser": USER, "pwd": PASSWORD, "roles": [of_app(role)]};
    admin.run_command(create).await.unwrap();
    (deployment, admin)
}

fn of_app(role: &str) -> Document {
    doc! {"role": role, "db": "app"}
}

async fn has_written(client: &Client, id: &str) {
    let results = client.push_all(json!([task(id)])).await;
    assert_eq!(results[0]["status"], "APPLIED");
}

async fn until_ready(watched: &Watched) {
    until("a gateway that is ready again", async || {
        (watched.ready().await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password() {
    let failure = Failure::named("A wrong password");
    let (deployment, admin) = with_user("readWrite").await;
    let wrong = configured_on(&deployment.url_of(USER, "a wrong one", "app"));
    let complaint = complaint_of(&mut with_secret(wrong.path(), &["serve"]));
    let said = failure.says("MongoDB refuses the user");
    assert!(complaint.contains(said), "{complaint}");

    let watched = Watched::serve(
        configured_on(&deployment.url_of(USER, PASSWORD, "app")),
        &[],
    );
    let alice = watched.client("alice");
    has_written(&alice, "before").await;
    let change = async |password: &str| {
        let change = doc! {"updateUser": USER, "pwd": password};
        until("another password", async || {
            admin.run_command(change.clone()).await.ok()
        })
        .await;
    };
    change("another").await;
    has_written(&alice, "on an open connection").await;
    deployment.kill(0);
    deployment.restart(0).await;
    deployment.primary().await;
    let said = failure.says("the store refuses the gateway's user");
    assert_eq!(watched.until_part("writes", &[said]).await.0, 503);
    let (code, message) = refused(&alice, "a").await;
    assert_eq!(code, AGAIN);
    assert!(message.contains("its operator"), "{message}");
    // Some reads end while they wait for a connection, before it is refused.
    until("a pull that says why", async || {
        let (code, message) = refused_pull(&alice).await;
        assert_eq!(code, AGAIN);
        message.contains("its operator").then_some(())
    })
    .await;
    let logged = failure.says("MongoDB no longer takes its name and password");
    watched.until_logged(logged).await;
    failure.says("a gateway that runs needs no restart");
    change(PASSWORD).await;
    until_ready(&watched).await;
    has_written(&alice, "after").await;
}

#[tokio::test]
async fn a_missing_right() {
    let failure = Failure::named("A missing right");
    let (deployment, admin) = with_user("read").await;
    let directory = configured_on(&deployment.url_of(USER, PASSWORD, "app"));
    let complaint = complaint_of(&mut with_secret(directory.path(), &["serve"]));
    failure.says("A start is refused, and names it");
    assert!(complaint.contains("may not insert"), "{complaint}");

    let rights = async |role: &str| {
        let update = doc! {"updateUser": USER, "roles": [of_app(role)]};
        admin.run_command(update).await.unwrap();
    };
    rights("readWrite").await;
    let watched = Watched::serve(directory, &[]);
    let alice = watched.client("alice");
    has_written(&alice, "before").await;
    rights("read").await;
    let (code, message) = refused(&alice, "a").await;
    assert_eq!(code, AGAIN);
    assert!(message.contains("lacks a right"), "{message}");
    let said = failure.says("the store refuses the gateway's user");
    assert_eq!(watched.until_part("writes", &[said]).await.0, 503);
    failure.says("`tidegate_pushes_total{result=\"not_permitted\"}`");
    let series = "tidegate_pushes_total{result=\"not_permitted\"}";
    watched.until_value(series, |pushes| pushes >= 1.0).await;
    watched
        .until_logged(failure.says("a transaction failed"))
        .await;

    failure.says("a gateway that runs needs no restart");
    rights("readWrite").await;
    has_written(&alice, "after").await;
    until_ready(&watched).await;
}

#[tokio::test]
async fn a_lost_primary() {
    let failure = Failure::named("A lost primary");
    let signs = [
        failure.says("the store cannot be reached"),
        failure.says("the store does not answer in time"),
    ];
    let deployment = Deployment::replica_set(1).await;
    let watched = Watched::serve(configured_on(&deployment.url("app")), &[]);
    let alice = watched.client("alice");
    has_written(&alice, "before").await;
    assert_eq!(watched.ready().await.0, 200);
    deployment.pause(0);
    expect_said(&watched, &signs).await;
    deployment.resume(0);
    until_ready(&watched).await;

    deployment.kill(0);
    expect_said(&watched, &signs).await;
    // It waits through an election.
    let (push, pull) = tokio::join!(refused(&alice, "a"), refused_pull(&alice));
    assert_eq!((push.0.as_str(), pull.0.as_str()), (AGAIN, AGAIN));
    failure.says("`tidegate_pushes_total{result=\"unavailable\"}`");
    let series = "tidegate_pushes_total{result=\"unavailable\"}";
    watched.until_value(series, |pushes| pushes >= 1.0).await;
    deployment.restart(0).await;
    until_ready(&watched).await;
    has_written(&alice, "after").await;
}

async fn expect_said(watched: &Watched, signs: &[&str]) {
    let began = Instant::now();
    let (status, body) = watched.until_part("reads", signs).await;
    assert!(began.elapsed() < SAID_WITHIN, "{:?}", began.elapsed());
    assert_eq!(status, 503, "{body}");
    watched.until_part("writes", signs).await;
}

#[tokio::test]
async fn writes_that_are_blocked() {
    let failure = Failure::named("A full disk");
    let deployment = Deployment::replica_set(1).await;
    let watched = Watched::serve(configured_on(&deployment.url("app")), &[]);
    let alice = watched.client("alice");
    has_written(&alice, "before").await;
    let admin = deployment.client().await.database("admin");
    let block = async |global: bool| {
        let mode = doc! {"setUserWriteBlockMode": 1, "global": global};
        admin.run_command(mode).await.unwrap();
    };
    block(true).await;
    let (code, message) = refused(&alice, "a").await;
    assert_eq!(code, AGAIN);
    assert!(message.contains("cannot be written now"), "{message}");
    let said = failure.says("its disk is full, or writes are blocked");
    let said = format!("the store cannot be written: {said}");
    let (status, body) = watched.until_part("writes", &[&said]).await;
    assert_eq!(
        (status, &body["parts"]["reads"]),
        (503, &json!("ok")),
        "{body}"
    );
    failure.says("`tidegate_pushes_total{result=\"read_only\"}`");
    let series = "tidegate_pushes_total{result=\"read_only\"}";
    watched.until_value(series, |pushes| pushes >= 1.0).await;
    let mut replica = Replica::default();
    replica.pull(&alice).await;
    assert_eq!(replica.ids(), ["before"], "pulls go on");
    block(false).await;
    has_written(&alice, "after").await;
    until_ready(&watched).await;
}

/// MongoDB 6.0 ends when its journal finds no room.
#[tokio::test]
async fn a_full_disk() {
    const DISK_BYTES: u64 = 160 << 20;
    let failure = Failure::named("A full disk");
    let disk = SmallDisk::new(DISK_BYTES);
    let deployment = Deployment::on_disk(&disk.path(), disk.beside()).await;
    let watched = Watched::serve(configured_on(&deployment.url("app")), &[]);
    let alice = watched.client("alice");
    disk.fill(1 << 20);
    let notes = "x".repeat(50_000);
    let mut written = Vec::new();
    let failed = loop {
        assert!(written.len() < 200, "the disk does not fill");
        let id = format!("{:03}", written.len());
        let document = json!({"title": "Stay", "audience": "team:demo", "notes": notes});
        let input = json!({"input": {"changes": [create(&id, document)]}});
        let answer = alice.send(&push_query(), input).await;
        match answer["errors"].is_null() {
            true => written.push(id),
            false => break super::failure(&answer).0,
        }
    };
    assert_eq!(failed, AGAIN);
    let said = failure.says("the store cannot be reached");
    let late = "the store does not answer in time";
    assert_eq!(watched.until_part("writes", &[said, late]).await.0, 503);
    let said = failure.says("No space left on device");
    until("reason in the log of MongoDB", async || {
        deployment.logged(0).contains(said).then_some(())
    })
    .await;

    disk.make_room();
    deployment.kill(0);
    deployment.restart(0).await;
    until_ready(&watched).await;
    has_written(&alice, "after").await;
    let mut replica = Replica::default();
    replica.pull(&alice).await;
    let held = replica.ids();
    let lost = written.iter().find(|id| !held.contains(&id.as_str()));
    assert_eq!(lost, None, "what was acknowledged");
}
