//! `changes` through the real binary: catch-up and live as one stream without gap or duplicate, and how sockets end.
//!
//! `pull::sight` tests the effect of memberships on an open subscription.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Replica, Server, Socket, answer, create, delete, update};

fn team_task(id: &str) -> Value {
    create(id, json!({"title": id, "audience": "team:demo"}))
}

fn ids(page: &Value) -> Vec<&str> {
    let changes = page["changes"].as_array().unwrap().iter();
    changes
        .map(|change| change["documentId"].as_str().unwrap())
        .collect()
}

fn from(checkpoint: &Value) -> String {
    format!("(checkpoint: {checkpoint})")
}

/// What a subscriber has received: each document's versions in their order.
#[derive(Default)]
struct Received {
    versions: BTreeMap<String, Vec<i64>>,
    replica: Replica,
}

impl Received {
    fn apply(&mut self, page: &Value) {
        for change in page["changes"].as_array().unwrap() {
            let version = change["version"].as_i64().unwrap();
            let versions = self.versions.entry(change["documentId"].to_string());
            versions.or_default().push(version);
        }
        self.replica.apply(page);
    }

    /// Reads until the document arrives that was written last.
    async fn read_until(&mut self, socket: &mut Socket, last: &str) {
        while !self.replica.ids().contains(&last) {
            self.apply(&socket.page().await);
        }
    }

    fn assert_nothing_came_twice(&self) {
        for (id, versions) in &self.versions {
            assert!(versions.is_sorted_by(|a, b| a < b), "{id}: {versions:?}");
        }
    }

    async fn assert_equals_a_fresh_pull(&self, client: &Client) {
        let mut fresh = Replica::default();
        fresh.pull(client).await;
        assert_eq!(self.replica.ids(), fresh.ids());
        for id in fresh.ids() {
            assert_eq!(self.replica.task(id), fresh.task(id));
        }
    }
}

#[tokio::test]
async fn catching_up_and_going_on_are_one_stream_while_two_users_write() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let earlier: Vec<_> = (0..100).map(|n| team_task(&format!("early{n}"))).collect();
    alice.push_all(json!(earlier)).await;
    let write = async |client: &Client, name: &str| {
        for round in 0..25 {
            let mut changes: Vec<_> = (0..9)
                .map(|n| team_task(&format!("{name}{round}-{n}")))
                .collect();
            changes.push(update(&format!("early{round}"), 1, json!({"notes": name})));
            client.push_all(json!(changes)).await;
        }
    };
    let read = async {
        let mut received = Received::default();
        let mut socket = Socket::follow(&bob, "(limit: 7)").await;
        received.read_until(&mut socket, "last").await;
        received
    };
    let write = async {
        tokio::join!(write(&alice, "a"), write(&bob, "b"));
        alice.push_all(json!([team_task("last")])).await;
    };
    let (received, ()) = tokio::join!(read, write);
    received.assert_nothing_came_twice();
    received.assert_equals_a_fresh_pull(&bob).await;
    assert_eq!(received.replica.ids().len(), 100 + 2 * 25 * 9 + 1);
}

#[tokio::test]
async fn the_first_page_comes_at_once_even_if_it_is_empty() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice.push_all(json!([team_task("a")])).await;
    let pulled = alice.pull(None).await;
    let mut socket = Socket::follow(&alice, &from(&pulled["checkpoint"])).await;
    let first = socket.page().await;
    assert_eq!((ids(&first).len(), &first["reset"]), (0, &json!(false)));
    assert_eq!(first["hasMore"], false);

    let mut socket = Socket::follow(&alice, "(from: NOW)").await;
    let first = socket.page().await;
    assert_eq!((ids(&first).len(), &first["reset"]), (0, &json!(false)));
    alice.push_all(json!([team_task("b")])).await;
    let live = socket.page().await;
    assert_eq!(ids(&live), ["b"], "only what came after");
    let pulled = alice.pull(first["checkpoint"].as_str()).await;
    assert_eq!(ids(&pulled), ["b"], "its checkpoint is as good as a pull's");
}

#[tokio::test]
async fn a_resumed_subscription_misses_nothing_across_a_restart() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice
        .push_all(json!([team_task("a"), team_task("b")]))
        .await;
    let mut received = Received::default();
    let mut socket = Socket::follow(&alice, "").await;
    received.apply(&socket.page().await);
    alice.push_all(json!([team_task("c")])).await;
    received.apply(&socket.page().await);
    drop(socket);

    alice
        .push_all(json!([delete("a", 1), team_task("d")]))
        .await;
    let moved = json!([update("b", 1, json!({"audience": "user:alice"}))]);
    alice.push_all(moved).await;
    server.kill();
    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    let checkpoint = json!(received.replica.checkpoint);
    let mut socket = Socket::follow(&alice, &from(&checkpoint)).await;
    received.apply(&socket.page().await);
    assert_eq!(received.replica.ids(), ["b", "c", "d"]);
    alice.push_all(json!([team_task("e")])).await;
    received.read_until(&mut socket, "e").await;
    received.assert_equals_a_fresh_pull(&alice).await;
}

#[tokio::test]
async fn a_subscription_from_another_epoch_begins_again() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice.push_all(json!([team_task("a")])).await;
    let before = alice.pull(None).await;
    server.stop();
    answer(directory.path(), &["rotate-epoch"]);
    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    let mut socket = Socket::follow(&alice, &from(&before["checkpoint"])).await;
    let page = socket.page().await;
    assert_eq!((&page["reset"], ids(&page)), (&json!(true), vec!["a"]));
    assert_ne!(page["epoch"], before["epoch"]);
    alice.push_all(json!([team_task("b")])).await;
    let page = socket.page().await;
    assert_eq!((&page["reset"], ids(&page)), (&json!(false), vec!["b"]));
}

#[tokio::test]
async fn a_slow_subscriber_misses_nothing() {
    const DOCUMENTS: usize = 300;
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mut socket = Socket::follow(&alice, "(limit: 50)").await;
    let mut received = Received::default();
    received.apply(&socket.page().await);
    let notes = "long ".repeat(4_000);
    let documents: Vec<_> = (0..DOCUMENTS)
        .map(|n| create(&format!("{n}"), json!({"title": "t", "notes": notes})))
        .collect();
    for some in documents.chunks(40) {
        alice.push_all(json!(some)).await;
    }
    alice.push_all(json!([team_task("last")])).await;
    received.read_until(&mut socket, "last").await;
    while received.replica.ids().len() <= DOCUMENTS {
        received.apply(&socket.page().await);
    }
    received.assert_nothing_came_twice();
    received.assert_equals_a_fresh_pull(&alice).await;
}

#[tokio::test]
async fn all_subscribers_get_the_same_change() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    let users = [&alice, &bob];
    let sockets = (0..20).map(|n| async move {
        let mut socket = Socket::follow(users[n % 2], "").await;
        socket.page().await;
        socket
    });
    let mut sockets = join_all(sockets).await;
    alice
        .push_all(json!([
            team_task("a"),
            create("private", json!({"title": "p"}))
        ]))
        .await;
    let changes = join_all(sockets.iter_mut().map(|socket| async {
        let page = socket.page_with(|page| ids(page).contains(&"a")).await;
        let changes = page["changes"].as_array().unwrap().iter();
        changes
            .filter(|change| change["documentId"] == "a")
            .cloned()
            .collect::<Vec<_>>()
    }))
    .await;
    assert!(changes.iter().all(|one| *one == changes[0]));
    assert_eq!(changes[0][0]["document"]["title"], "a");
    alice
        .push_all(json!([update("a", 1, json!({"done": true}))]))
        .await;
    for socket in &mut sockets[1..2] {
        let page = socket.page().await;
        assert_eq!(ids(&page), ["a"], "nothing of Alice's own for Bob");
    }
}

#[tokio::test]
async fn deletes_and_moves_come_live() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let (alice, bob) = (server.client("alice"), server.client("bob"));
    alice
        .push_all(json!([team_task("a"), team_task("b")]))
        .await;
    let mut socket = Socket::follow(&bob, "").await;
    socket.page().await;
    let kinds = |page: &Value| -> Vec<String> {
        let changes = page["changes"].as_array().unwrap().iter();
        changes
            .map(|change| format!("{} {}", change["documentId"], change["kind"]))
            .collect()
    };
    alice
        .push_all(json!([
            update("a", 1, json!({"done": true})),
            delete("a", 2)
        ]))
        .await;
    assert_eq!(kinds(&socket.page().await), [r#""a" "DELETE""#]);
    let moved = json!([update("b", 1, json!({"audience": "user:alice"}))]);
    alice.push_all(moved).await;
    let page = socket.page().await;
    assert_eq!(kinds(&page), [r#""b" "REVOKE""#]);
    assert!(!page["changes"].to_string().contains("user:alice"));
}

#[tokio::test]
async fn subscriptions_on_one_socket_are_apart_and_each_has_its_types() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mut socket = Socket::connect(&alice).await;
    for name in ["Task", "Project"] {
        let field = format!("changes(types: [{name}]) {{ changes {{ documentId }} }}");
        socket.subscribe(name, &field).await;
    }
    let first: BTreeSet<_> = [socket.next().await, socket.next().await]
        .map(|message| message["id"].to_string())
        .into();
    assert_eq!(first.len(), 2, "a first page for each");
    let project = json!({"project": {"create": {"id": "p", "document": {"name": "p"}}}});
    alice.push_all(json!([team_task("t"), project])).await;
    for _ in 0..2 {
        let message = socket.next().await;
        let page = &message["payload"]["data"]["changes"];
        let expected = if message["id"] == "Task" { "t" } else { "p" };
        assert_eq!(ids(page), [expected]);
    }
    socket
        .send(json!({"type": "complete", "id": "Project"}))
        .await;
    alice.push_all(json!([team_task("t2")])).await;
    let message = socket.next().await;
    assert_eq!(message["id"], "Task");
    assert_eq!(ids(&message["payload"]["data"]["changes"]), ["t2"]);
}

#[tokio::test]
async fn a_subscription_that_cannot_be_is_an_error_and_the_socket_goes_on() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mut socket = Socket::connect(&alice).await;
    for (arguments, code) in [
        ("(limit: 0)", "BAD_LIMIT"),
        ("(limit: 5001)", "BAD_LIMIT"),
        ("(checkpoint: \"rubbish\")", "BAD_CHECKPOINT"),
        ("(from: YESTERDAY)", "GRAPHQL_VALIDATION_FAILED"),
        ("(types: [Nothing])", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let field = format!("changes{arguments} {{ hasMore }}");
        socket.subscribe("1", &field).await;
        let message = socket.next().await;
        let errors = match &message["type"] {
            kind if kind == "error" => &message["payload"],
            _ => &message["payload"]["errors"],
        };
        assert_eq!(errors[0]["extensions"]["code"], code, "{message}");
        if message["type"] == "next" {
            assert_eq!(socket.next().await["type"], "complete");
        }
    }
    socket.subscribe("1", "changes { hasMore }").await;
    assert_eq!(socket.page().await, json!({"hasMore": false}));
}

#[tokio::test]
async fn a_socket_without_a_good_token_ends() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    for payload in [
        Value::Null,
        json!({}),
        json!({"Authorization": "Bearer rubbish"}),
        json!({"Authorization": "Basic YWxpY2U6c2VjcmV0"}),
    ] {
        let mut socket = Socket::open(&server.url).await;
        socket
            .send(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.close_code().await, 4403, "{payload}");
    }
}

#[tokio::test]
async fn a_gateway_that_stops_says_goodbye_to_its_sockets() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mut busy = Socket::follow(&alice, "").await;
    busy.page().await;
    let mut idle = Socket::connect(&alice).await;
    let stopping = tokio::task::spawn_blocking(|| server.stop());
    let codes = tokio::join!(busy.close_code(), idle.close_code());
    assert_eq!(codes, (1001, 1001));
    stopping.await.expect("it stops in good order");
}
