//! Two gateways that push to one scope without a pause: each has its share, and nothing is lost or done twice.
//!
//! It is judged by counts, since times depend on the machine.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use tidegate_core::outcome::Status::{Applied, Merged};

use super::{Mongo, gateway::Gateway};
use crate::contract::Backend;

/// Pushes of all clients together, after which all stop.
const PUSHES: usize = 240;

/// Pushes as long as there are pushes left. Returns how many it made.
async fn push_until_all_are_made(gateway: &Gateway, user: &str, made: &AtomicUsize) -> usize {
    let mut own = 0;
    while made.fetch_add(1, Ordering::Relaxed) < PUSHES {
        own += 1;
        let first = i32::try_from(own).unwrap();
        let count = vec![gateway.count_on("shared")];
        let outcomes = gateway.numbered(user, first, count).await;
        assert!(matches!(outcomes[0].status, Applied | Merged));
    }
    own
}

async fn share_a_hot_scope(clients: usize) {
    let mongo = Mongo::start().await;
    let gateways = [
        Gateway::start(&mongo.options().await).await,
        Gateway::start(&mongo.options().await).await,
    ];
    let fields = json!({ "audience": "team:red", "title": "Tea" });
    let create = gateways[0].create("shared", fields);
    gateways[0].push("alice", vec![create]).await;
    let made = AtomicUsize::new(0);
    let of_gateway = |number: usize| {
        let (gateway, made) = (&gateways[number], &made);
        let clients = (0..clients).map(move |client| async move {
            let user = format!("user-{number}-{client}");
            push_until_all_are_made(gateway, &user, made).await
        });
        join_all(clients)
    };
    let (here, there) = tokio::join!(of_gateway(0), of_gateway(1));
    let shares = [here, there].map(|clients| clients.iter().sum::<usize>());
    assert_eq!(shares.iter().sum::<usize>(), PUSHES);
    let least = shares.iter().min().unwrap();
    assert!(
        *least >= PUSHES / 10,
        "of the pushes of {clients} clients each the gateways made {shares:?}"
    );
    let shown = gateways[1].document("alice", "shared").await.unwrap();
    assert_eq!(shown["minutes"], PUSHES, "each counts once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_with_one_client_each_neither_starves() {
    share_a_hot_scope(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_with_many_clients_each_neither_starves() {
    share_a_hot_scope(12).await;
}
