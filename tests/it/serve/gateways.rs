//! Two gateways on one replica set: clients that push at both in turn end with the server's documents.

use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use crate::harness::{
    Client, Replica, Server, Socket, configured_on, create, delete,
    mongod::{Deployment, fresh_database},
    numbered, update, update_from,
};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const ROUNDS: i64 = 5;

/// One user's device, which reaches both gateways.
struct Device {
    user: &'static str,
    gateways: [Client; 2],
    replica: Replica,
    next_id: i64,
}

impl Device {
    /// Reads the present documents, and pushes over them: a count in the shared task, a task of its own for the team,
    /// an edit of another's, and from the third round on the deletion of one that it made.
    async fn round(&mut self, round: i64, epoch: &str) {
        let gateway = &self.gateways[usize::try_from(round).unwrap() % 2];
        self.replica.pull(gateway).await;
        let seen = json!({"minutesSpent": 0});
        let own = json!({"title": "Own", "audience": "team:red"});
        let mut changes = vec![
            update_from("shared", -1, seen, json!({"minutesSpent": 1})),
            create(&format!("{}-{round}", self.user), own),
        ];
        let others: Vec<&str> = self.replica.ids();
        if let Some(other) = others.iter().find(|id| !id.starts_with(self.user)) {
            let version = self.replica.task(other)["syncVersion"].as_i64().unwrap();
            let edit = json!({"title": format!("{} in round {round}", self.user)});
            changes.push(update(other, version, edit));
        }
        if round >= 3 {
            changes.push(delete(&format!("{}-{}", self.user, round - 2), -1));
        }
        let count = i64::try_from(changes.len()).unwrap();
        let push = numbered(self.user, self.next_id, epoch, Value::from(changes));
        let payload = gateway.push(push).await;
        self.next_id += count;
        assert_eq!(payload["lastMutationId"], self.next_id - 1);
        assert_ne!(payload["results"][0]["status"], "REJECTED", "{payload}");
    }
}

/// The ids and tasks that a device holds.
fn held(replica: &Replica) -> Vec<(String, Value)> {
    let ids = replica.ids().into_iter();
    ids.map(|id| (id.to_owned(), replica.task(id).clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_users_on_two_gateways_end_with_what_the_server_has() {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let directory = configured_on(&deployment.url(&database));
    let servers = [Server::serve(&directory), Server::serve(&directory)];
    let mut devices = USERS.map(|user| {
        let here = servers[0].client_with(user, &json!({"teams": ["red"]}));
        Device {
            user,
            gateways: [here.clone(), here.at(&servers[1])],
            replica: Replica::default(),
            next_id: 1,
        }
    });
    let alice = devices[0].gateways.clone();
    let mut socket = Socket::follow(&alice[0], "").await;
    let shared = json!({"title": "Shared", "audience": "team:red"});
    alice[1].push_all(json!([create("shared", shared)])).await;
    let epoch = alice[0].epoch().await;
    let rounds = devices.iter_mut().map(|device| async {
        for round in 1..=ROUNDS {
            device.round(round, &epoch).await;
        }
    });
    join_all(rounds).await;

    let mut fresh = Replica::default();
    fresh.pull(&alice[1]).await;
    let server = held(&fresh);
    assert_eq!(
        fresh.task("shared")["minutesSpent"],
        USERS.len() as i64 * ROUNDS
    );
    for device in &mut devices {
        device.replica.pull(&device.gateways[0]).await;
        assert_eq!(held(&device.replica), server, "{}", device.user);
    }
    let mut live = Replica::default();
    while held(&live) != server {
        live.apply(&socket.page().await);
    }
    let tasks = deployment
        .client()
        .await
        .database(&database)
        .collection::<Document>("tasks");
    let stored = tasks.count_documents(doc! {}).await.unwrap();
    assert_eq!(
        stored,
        server.len() as u64,
        "each is in the application's collection, and no other"
    );
}
