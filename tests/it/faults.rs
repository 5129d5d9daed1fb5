//! Faults of a replica set of three nodes, and of a gateway on it, while clients push, pull and subscribe: what was
//! acknowledged stays, what is repeated is applied once, and all end with the store's documents.
//!
//! `cast` has the clients, and `judge` what must hold of the store. `FAULT_ROUNDS` repeats all of it.

mod cast;
mod gone;
mod judge;

use std::time::{Duration, Instant};

use futures_util::{FutureExt, future::LocalBoxFuture};
use mongodb::bson::{Timestamp, doc};
use tempfile::TempDir;

use self::{
    cast::{Cast, Work},
    judge::judge,
};
use crate::harness::{
    Server, configured_on,
    mongod::{Deployment, Proxy, fresh_database},
};

/// A fault, and what it hits.
type Fault = for<'a> fn(&'a Stage, &'a Work) -> LocalBoxFuture<'a, ()>;

const FAULTS: [(&str, Fault); 10] = [
    ("the primary is killed", |stage, work| {
        kill(stage, work).boxed_local()
    }),
    ("the primary hangs", |stage, work| {
        hang(stage, work).boxed_local()
    }),
    ("the primary steps down", |stage, _| {
        stage.set.step_down().boxed_local()
    }),
    ("commits lose their connection", |stage, _| {
        let how = doc! {"failCommands": ["commitTransaction"], "closeConnection": true};
        stage.set.fail_gateways(6, how).boxed_local()
    }),
    ("commits meet a shutdown", |stage, _| {
        // The driver considers the server gone until it answers again, which takes seconds.
        let how = doc! {"failCommands": ["commitTransaction"], "errorCode": 91};
        stage.set.fail_gateways(2, how).boxed_local()
    }),
    ("commits are not replicated in time", |stage, _| {
        let late = doc! {"code": 64, "errmsg": "waiting for replication timed out"};
        let how = doc! {"failCommands": ["commitTransaction"], "writeConcernError": late};
        stage.set.fail_gateways(6, how).boxed_local()
    }),
    ("commits find no transaction", |stage, _| {
        let how = doc! {"failCommands": ["commitTransaction"], "errorCode": 251};
        stage.set.fail_gateways(6, how).boxed_local()
    }),
    ("the streams lose their history", |stage, _| {
        let how = doc! {"failCommands": ["getMore"], "errorCode": 286};
        stage.set.fail_gateways(4, how).boxed_local()
    }),
    ("the streams lose their connection", |stage, _| {
        let how = doc! {"failCommands": ["getMore", "aggregate"], "closeConnection": true};
        stage.set.fail_gateways(4, how).boxed_local()
    }),
    ("the streams' cursors are killed", |stage, _| {
        stage.set.kill_streams(&stage.database).boxed_local()
    }),
];

/// A replica set and a database that two gateways serve.
struct Stage {
    set: Deployment,
    database: String,
    directory: TempDir,
    /// Before the first write.
    began: Timestamp,
}

impl Stage {
    /// A database without earlier use.
    async fn on(set: Deployment) -> Self {
        let database = fresh_database();
        let ping = set
            .client()
            .await
            .database("admin")
            .run_command(doc! {"ping": 1})
            .await;
        Self {
            directory: configured_on(&set.url(&database)),
            database,
            began: ping.unwrap().get_timestamp("operationTime").unwrap(),
            set,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_a_replica_set_lose_nothing_and_double_nothing() {
    let mut set = Deployment::replica_set(3).await;
    for round in 1..=rounds() {
        let began = Instant::now();
        for (what, fault) in FAULTS {
            let (began, stage) = (Instant::now(), Stage::on(set).await);
            let pushes = befall(&stage, fault).await;
            set = stage.set;
            println!("{what}: {pushes} pushes in {:?}", began.elapsed());
        }
        let stage = Stage::on(set).await;
        lose_a_gateway(&stage).await;
        set = stage.set;
        println!("round {round}: {:?}", began.elapsed());
    }
}

fn rounds() -> usize {
    let rounds = std::env::var("FAULT_ROUNDS");
    rounds.map_or(1, |rounds| {
        rounds.parse().expect("FAULT_ROUNDS is a number")
    })
}

/// Two gateways at work before, during and after a fault.
async fn befall(stage: &Stage, fault: Fault) -> i64 {
    let servers = [
        Server::serve(&stage.directory),
        Server::serve(&stage.directory),
    ];
    let cast = Cast::new(&servers).await;
    let work = cast.work().await;
    work.goes_on().await;
    fault(stage, &work).await;
    work.goes_on().await;
    let cast = work.rest().await;
    judge(stage, &servers, &cast).await;
    for server in &servers {
        let ready = reqwest::get(format!("{}/readyz", server.url))
            .await
            .unwrap();
        assert_eq!(ready.status(), 200, "a gateway recovers by itself");
    }
    cast.writers.iter().map(|writer| writer.pushes).sum()
}

async fn kill(stage: &Stage, work: &Work) {
    let primary = stage.set.primary().await;
    stage.set.kill(primary);
    work.goes_on().await;
    stage.set.restart(primary).await;
    stage.set.all_follow().await;
}

/// It hangs for longer than it takes to elect another.
async fn hang(stage: &Stage, work: &Work) {
    let primary = stage.set.primary().await;
    stage.set.pause(primary);
    tokio::time::sleep(Duration::from_secs(10)).await;
    work.goes_on().await;
    stage.set.resume(primary);
    stage.set.all_follow().await;
}

/// A gateway ends after a commit and before its answer.
async fn lose_a_gateway(stage: &Stage) {
    stage.set.all_follow().await;
    let proxy = Proxy::to(&stage.set, stage.set.primary().await).await;
    let through = configured_on(&proxy.url(&stage.database));
    let server = Server::serve(&through);
    let work = Cast::new(&[&server, &server]).await.work().await;
    work.goes_on().await;
    proxy.lose_commits().await;
    server.kill();
    let cast = work.cut().await;

    let server = Server::serve(&stage.directory);
    let mut cast = cast.at(&server);
    cast.settle().await;
    let repetitions: i64 = cast.writers.iter().map(|writer| writer.repetitions).sum();
    assert!(
        repetitions > 0,
        "what was committed without an answer is answered as a duplicate"
    );
    let work = cast.work().await;
    work.goes_on().await;
    judge(stage, &[server], &work.rest().await).await;
}
