//! A restored backup: what devices then see, with a new epoch and without one.

use mongodb::Database;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Outbox, Replica, Server, Socket, create, delete,
    mongod::{Backup, Deployment, fresh_database},
    tidegate, update, update_from,
};

/// A gateway, and the database as an operator reaches it.
struct Bench {
    gateway: Server,
    url: String,
    database: Database,
    directory: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let deployment = Deployment::shared().await;
        let name = fresh_database();
        let url = deployment.url(&name);
        let directory = TempDir::new().unwrap();
        Self {
            gateway: Server::dev_with(directory.path(), &["--store", &url]),
            url,
            database: deployment.client().await.database(&name),
            directory,
        }
    }

    fn rotate(&self) {
        let arguments = ["rotate-epoch", "--store", &self.url];
        let output = tidegate(self.directory.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
    }

    async fn device(&self, name: &str) -> Outbox {
        Outbox::new(self.gateway.client(name), name).await
    }

    /// What a new device gets.
    async fn server(&self) -> Replica {
        let mut replica = Replica::default();
        replica.pull(&self.gateway.client("auditor")).await;
        replica
    }
}

fn task(id: &str, title: &str) -> Value {
    create(id, json!({"title": title, "audience": "team:demo"}))
}

/// One more on a counter, made on this version.
fn count(id: &str, base: i64, seen: i64) -> Value {
    let set = json!({"minutesSpent": seen + 1});
    update_from(id, base, json!({"minutesSpent": seen}), set)
}

fn statuses(results: &[Value]) -> Vec<&str> {
    let statuses = results.iter();
    statuses
        .map(|result| result["status"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_with_a_new_epoch_all_devices_reset_and_their_outboxes_survive() {
    let bench = Bench::start().await;
    let mut early = bench.device("early").await;
    let mut late = bench.device("late").await;
    early.keep(task("tea", "Tea"));
    early.keep(task("coffee", "Coffee"));
    early.flush().await;
    early.keep(count("tea", 1, 0));
    early.send_unheard().await;
    let backup = Backup::of(&bench.database).await;
    // All of this is after the backup, so a restore removes it.
    late.keep(update("tea", -1, json!({"title": "Green tea"})));
    late.keep(delete("coffee", 1));
    late.keep(task("milk", "Milk"));
    late.flush().await;
    late.replica.pull(&late.client).await;
    assert_eq!(late.replica.ids(), ["milk", "tea"]);
    late.keep(count("tea", 3, 1));
    late.send_unheard().await;
    late.keep(count("milk", 1, 0));
    late.keep(task("sugar", "Sugar"));
    let mut live = Replica::default();
    let mut socket = Socket::follow(&bench.gateway.client("live"), "").await;
    live.apply(&socket.page().await);
    assert_eq!(live.ids(), ["milk", "tea"]);

    backup.restore(&bench.database).await;
    bench.rotate();

    // Its push is in the backup, so that a repeat gets the earlier answer. The next push reports the other epoch.
    early.keep(task("cocoa", "Cocoa"));
    let answered = early.flush().await;
    assert_eq!(statuses(&answered), ["APPLIED", "APPLIED"]);
    assert_eq!(answered[0]["duplicate"], true);
    assert_eq!((early.generation, early.replica.resets), (1, 2));
    // Its push is not, so nothing of it happened. It is sent again, and with it what waited.
    let answered = late.flush().await;
    assert_eq!(late.generation, 1);
    let applied = ["MERGED", "REJECTED", "APPLIED"];
    assert_eq!(statuses(&answered), applied, "{answered:?}");
    assert_eq!(answered[1]["error"]["code"], "NOT_FOUND", "milk is lost");

    let server = bench.server().await;
    assert_eq!(server.ids(), ["cocoa", "coffee", "sugar", "tea"]);
    assert_eq!(server.task("tea")["title"], "Tea");
    assert_eq!(server.task("tea")["minutesSpent"], 2, "each counts once");
    for mut device in [early, late] {
        device.replica.pull(&device.client).await;
        assert_eq!(device.replica.resets, 2);
        assert_eq!(device.replica.documents(), server.documents());
    }
    while live.documents() != server.documents() {
        live.apply(&socket.page().await);
    }
    // With the new epoch, and perhaps before: its position was beyond the restored store.
    assert!((2..=3).contains(&live.resets), "it resets");
}

/// A restored database looks like one in which nothing happened. A client above a head is reset, and a client that
/// continues lost mutation ids gets an error. The others learn it from the new epoch, however late it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_without_a_new_epoch_devices_ahead_of_it_are_reset_or_refused() {
    let bench = Bench::start().await;
    let mut founder = bench.device("founder").await;
    founder.keep(task("tea", "Tea"));
    founder.flush().await;
    founder.replica.pull(&founder.client).await;
    let backup = Backup::of(&bench.database).await;
    let mut ahead = bench.device("ahead").await;
    ahead.keep(update("tea", 1, json!({"title": "Green tea"})));
    ahead.keep(task("milk", "Milk"));
    ahead.flush().await;
    ahead.replica.pull(&ahead.client).await;
    let mut overtaken = bench.device("overtaken").await;
    assert_eq!(overtaken.replica.ids(), ["milk", "tea"]);

    backup.restore(&bench.database).await;

    // Its position is beyond the store.
    assert_eq!(ahead.replica.pull(&ahead.client).await, 1);
    assert_eq!(ahead.replica.ids(), ["tea"]);
    // Its mutation ids follow some that the store never saw: nothing of the push happens until it starts again.
    ahead.keep(task("sugar", "Sugar"));
    ahead.keep(count("tea", 1, 0));
    assert_eq!(statuses(&ahead.flush().await), ["APPLIED", "MERGED"]);
    assert_eq!(ahead.generation, 1);
    // At its position there are new changes now, which it takes for the following ones.
    overtaken.replica.pull(&overtaken.client).await;

    // What both still hold of the lost versions goes with the epoch.
    bench.rotate();
    let server = bench.server().await;
    assert_eq!(server.ids(), ["sugar", "tea"]);
    assert_eq!(server.task("tea")["title"], "Tea");
    for mut device in [founder, ahead, overtaken] {
        assert_eq!(device.replica.pull(&device.client).await, 1);
        assert_eq!(device.replica.documents(), server.documents());
    }
}
