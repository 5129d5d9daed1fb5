//! A gateway that is killed or stopped between the writes of a transaction and its commit: another gateway continues
//! the scope, nothing is doubled, and sessions of living gateways and others are left alone.

use std::{fs, process::Command};

use mongodb::{
    Client as MongoClient, ClientSession,
    bson::{Bson, Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server, configured_on, create,
    mongod::{Deployment, Proxy, fresh_database, until},
    numbered, statuses, update_from,
};

/// Two gateways on one database. The connection of one can hold its commits back.
struct Pair {
    proxy: Proxy,
    behind_proxy: Server,
    other: Server,
    alice: Client,
    epoch: String,
    _directories: [TempDir; 2],
}

impl Pair {
    async fn on(set: &Deployment, database: &str) -> Self {
        let proxy = Proxy::to(set, 0).await;
        let directories = [proxy.url(database), set.url(database)];
        let directories = directories.map(|url| configured_on(&url));
        // A stamp's commit would be held back as well, and be taken for that of a push.
        let serves_only = [("TIDEGATE_STORE__FOLLOW", "false")];
        let behind_proxy = Server::serve_with(&directories[0], &serves_only);
        let other = Server::serve(&directories[1]);
        let alice = other.client("alice");
        let task = json!({"title": "Shared", "audience": "team:demo"});
        alice.push_all(json!([create("shared", task)])).await;
        let epoch = alice.epoch().await;
        Self {
            proxy,
            behind_proxy,
            other,
            alice,
            epoch,
            _directories: directories,
        }
    }

    /// A push of one count in the task that all share.
    fn count(&self, client: &str) -> Value {
        let count = update_from(
            "shared",
            -1,
            json!({"minutesSpent": 0}),
            json!({"minutesSpent": 1}),
        );
        numbered(client, 1, &self.epoch, json!([count]))
    }

    /// Lets the gateway behind the proxy write a count, and keeps its commit from the server.
    async fn begin_count(&self, client: &str) -> tokio::task::JoinHandle<Option<Value>> {
        self.proxy.hold_commits();
        let (alice, push) = (self.alice.at(&self.behind_proxy), self.count(client));
        let pushing = tokio::spawn(async move {
            let query = crate::harness::push_query();
            alice.try_send(&query, json!({"input": push})).await
        });
        self.proxy.holds_commit().await;
        pushing
    }

    async fn minutes(&self) -> Value {
        self.alice.task("shared").await["minutesSpent"].clone()
    }
}

/// Without an end to its sessions MongoDB keeps the locks for longer than any push is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scope_of_a_killed_gateway_goes_on() {
    let set = Deployment::shared().await;
    let pair = Pair::on(set, &fresh_database()).await;
    let pushing = pair.begin_count("phone").await;
    let Pair {
        behind_proxy,
        other,
        alice,
        epoch,
        proxy,
        _directories,
    } = pair;
    behind_proxy.kill();
    assert_eq!(pushing.await.unwrap(), None);
    let count = update_from(
        "shared",
        -1,
        json!({"minutesSpent": 0}),
        json!({"minutesSpent": 1}),
    );
    for client in ["laptop", "phone"] {
        let push = numbered(client, 1, &epoch, json!([count]));
        let pushed = alice.push(push).await;
        assert_ne!(pushed["results"][0]["status"], "REJECTED", "{pushed}");
        assert_eq!(pushed["results"][0]["duplicate"], false);
    }
    assert_eq!(alice.task("shared").await["minutesSpent"], 2);
    proxy.let_commits_pass();
    other.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_gateway_that_wakes_up_fails_its_commit_and_doubles_nothing() {
    let set = Deployment::shared().await;
    let pair = Pair::on(set, &fresh_database()).await;
    let pushing = pair.begin_count("phone").await;
    signal(&pair.behind_proxy, "STOP");
    // The device has no answer and sends its push again, elsewhere.
    let pushed = pair.alice.push(pair.count("phone")).await;
    assert_eq!(pushed["results"][0]["duplicate"], false, "{pushed}");
    assert_eq!(pair.minutes().await, 1);
    pair.proxy.let_commits_pass();
    signal(&pair.behind_proxy, "CONT");
    let woken = pushing.await.unwrap().expect("it answers after all");
    let woken = &woken["data"]["pushChanges"];
    assert_eq!(woken["results"][0]["duplicate"], true, "{woken}");
    assert_eq!(pair.minutes().await, 1);
    let here = pair.alice.at(&pair.behind_proxy);
    let pushed = here.push(pair.count("laptop")).await;
    assert_ne!(
        statuses(&pushed),
        ["REJECTED"],
        "it goes on with its sessions"
    );
    assert_eq!(pair.minutes().await, 2);
}

fn signal(server: &Server, name: &str) {
    let pid = server.pid().to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status();
    assert!(sent.unwrap().success());
}

/// A database whose importer was killed in the middle of a stamp. MongoDB ends its transaction after an hour, so the
/// lease stays locked, which no push meets.
async fn killed_in_a_stamp() -> (Deployment, String) {
    let set = Deployment::replica_set(1).await;
    let (client, name) = (set.client().await, fresh_database());
    let hour = doc! {"setParameter": 1, "transactionLifetimeLimitSeconds": 3_600};
    client.database("admin").run_command(hour).await.unwrap();
    let proxy = Proxy::to(&set, 0).await;
    let directory = configured_on(&proxy.url(&name));
    let importer = Server::serve(&directory);
    let tasks = client.database(&name).collection("tasks");
    let task = |id: &str| doc! {"_id": id, "audience": "team:demo", "title": "Of a service"};
    tasks.insert_one(task("before")).await.unwrap();
    until_imported(&importer, "before").await;
    proxy.hold_commits();
    tasks.insert_one(task("during")).await.unwrap();
    proxy.holds_commit().await;
    importer.kill();
    (set, name)
}

async fn until_imported(server: &Server, id: &str) {
    let alice = server.client("alice");
    until("import", async || {
        alice.task(id).await.is_object().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_import_of_a_gateway_that_is_killed_in_a_stamp_goes_on() {
    let (set, name) = killed_in_a_stamp().await;
    let directory = configured_on(&set.url(&name));
    let next = Server::serve(&directory);
    until_imported(&next, "during").await;
    next.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_model_takes_the_lead_of_a_gateway_that_is_killed_in_a_stamp() {
    let (set, name) = killed_in_a_stamp().await;
    let directory = configured_on(&set.url(&name));
    let model = directory.path().join("model.graphql");
    let text = fs::read_to_string(&model).unwrap();
    let with_room = text.replace("  projectId: ID\n", "  projectId: ID\n  room: String\n");
    assert_ne!(with_room, text);
    fs::write(&model, with_room).unwrap();
    let next = Server::serve(&directory);
    until_imported(&next, "during").await;
    next.stop();
}

/// A transaction of another program that holds a lock of its own.
struct Holder {
    session: ClientSession,
}

impl Holder {
    async fn of(client: &MongoClient, database: &str, id: &str) -> Self {
        let mut session = client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let others = client.database(database).collection::<Document>("others");
        let held = others.insert_one(doc! {"_id": id}).session(&mut session);
        held.await.unwrap();
        Self { session }
    }

    fn id(&self) -> Bson {
        self.session.id().get("id").unwrap().clone()
    }

    async fn commits(mut self) -> bool {
        self.session.commit_transaction().await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_sessions_of_dead_gateways_are_ended_and_their_records_removed() {
    let set = Deployment::shared().await;
    let (client, name) = (set.client().await, fresh_database());
    let database = client.database(&name);
    database.create_collection("others").await.unwrap();
    let dead = Holder::of(&client, &name, "dead").await;
    let living = Holder::of(&client, &name, "living").await;
    let unlisted = Holder::of(&client, &name, "unlisted").await;
    let state = database.collection::<Document>("tidegate.state");
    let listed = |id: &str, sessions: Bson, seconds: i64| {
        let at =
            doc! {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": seconds}};
        let record = doc! {"$set": {"sessions": [sessions], "at": at}};
        let key = doc! {"_id": format!("live\0{id}")};
        let state = state.clone();
        async move {
            let update = state.update_one(key, vec![record]).upsert(true);
            update.await.unwrap();
        }
    };
    listed("dead", dead.id(), 9).await;
    listed("living", living.id(), -30).await;
    listed("long dead", Bson::Null, 400).await;
    let pair = Pair::on(set, &name).await;
    let long_dead = doc! {"_id": "live\0long dead"};
    until("removal of a record", async || {
        let found = state.find_one(long_dead.clone()).await.unwrap();
        found.is_none().then_some(())
    })
    .await;
    let pushing = pair.begin_count("phone").await;
    signal(&pair.behind_proxy, "STOP");
    pair.alice.push(pair.count("laptop")).await;
    assert_eq!(
        [
            dead.commits().await,
            living.commits().await,
            unlisted.commits().await
        ],
        [false, true, true]
    );
    pair.proxy.let_commits_pass();
    signal(&pair.behind_proxy, "CONT");
    pushing.await.unwrap().expect("it answers");
    let live = state.find(doc! {"_id": {"$gte": "live\0", "$lt": "live\u{1}"}});
    let mut live = live.await.unwrap();
    let mut records = 0;
    while live.advance().await.unwrap() {
        records += 1;
    }
    assert_eq!(records, 4, "two gateways, the dead and the living one");
}
