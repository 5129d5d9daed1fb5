//! `changesSince` through the real binary: pages without gap or duplicate, and when a client has to reset.
//!
//! [`sight`] tests what a caller may see, and how that changes.

mod sight;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Replica, Server, create, delete, pull_query, tidegate, update};

fn task_in(scope: &str, id: &str) -> Value {
    create(id, json!({"title": id, "audience": scope}))
}

fn project(id: &str) -> Value {
    json!({"project": {"create": {"id": id, "document": {"name": id}}}})
}

fn ids(page: &Value) -> Vec<&str> {
    let changes = page["changes"].as_array().unwrap().iter();
    changes
        .map(|change| change["documentId"].as_str().unwrap())
        .collect()
}

/// Pages from the checkpoint until nothing is left. None before the last may be empty.
async fn pages(client: &Client, checkpoint: &Value, limit: usize) -> Vec<Value> {
    let mut pages: Vec<Value> = Vec::new();
    loop {
        let checkpoint = pages.last().map_or(checkpoint, |page| &page["checkpoint"]);
        let page = client
            .pull_with(json!({"checkpoint": checkpoint, "limit": limit}))
            .await;
        let length = page["changes"].as_array().unwrap().len();
        assert!(length <= limit);
        let more = page["hasMore"] == true;
        assert!(!more || length > 0, "never empty while there is more");
        pages.push(page);
        if !more {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_are_complete_and_repeat_nothing_while_others_write() {
    const SCOPES: [&str; 4] = ["user:alice", "team:a", "team:b", "team:c"];
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client_with("alice", &json!({"teams": ["a", "b", "c"]}));
    let tasks = |round: usize| -> Vec<_> {
        (0..20)
            .map(|n| task_in(SCOPES[n % 4], &format!("{round}-{n}")))
            .collect()
    };
    for (round, limit) in [1, 2, 3, 7, 100].into_iter().enumerate() {
        alice.push_all(json!(tasks(round))).await;
        let write = async {
            for n in 0..10 {
                let id = format!("{round}-late-{n}");
                alice.push_all(json!([task_in(SCOPES[n % 3], &id)])).await;
            }
        };
        let ((), mut read) = tokio::join!(write, pages(&alice, &Value::Null, limit));
        let last = read.last().unwrap()["checkpoint"].clone();
        read.extend(pages(&alice, &last, limit).await);

        let mut seen = BTreeMap::new();
        for change in read
            .iter()
            .flat_map(|page| page["changes"].as_array().unwrap())
        {
            let version = change["version"].as_i64().unwrap();
            let before = seen.insert(change["documentId"].to_string(), version);
            assert!(before.is_none(), "{change} came twice");
        }
        assert_eq!(seen.len(), 30 * (round + 1), "limit {limit}");
        assert_eq!(read[0]["reset"], true);
        assert!(read[1..].iter().all(|page| page["reset"] == false));
    }
}

#[tokio::test]
async fn a_first_pull_names_nothing_that_was_removed_before() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let name = |n: usize| format!("{n:03}");
    let create = |n| task_in("team:demo", &name(n));
    alice
        .push_all(json!((0..90).map(create).collect::<Vec<_>>()))
        .await;
    let remove = |n| match n % 3 {
        0 => delete(&name(n), 1),
        _ => update(&name(n), 1, json!({"audience": "user:alice"})),
    };
    alice
        .push_all(json!((0..88).map(remove).collect::<Vec<_>>()))
        .await;
    let bob = server.client("bob");
    let first = pages(&bob, &Value::Null, 10).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(ids(&first[0]), ["088", "089"]);

    alice.push_all(json!([delete("088", 1)])).await;
    let next = bob.pull(first[0]["checkpoint"].as_str()).await;
    assert_eq!(ids(&next), ["088"]);
    assert_eq!(next["changes"][0]["kind"], "DELETE");
}

#[tokio::test]
async fn a_page_has_only_the_last_state_of_a_document_and_none_twice() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice.push_all(json!([task_in("team:demo", "first")])).await;
    let before = alice.pull(None).await;
    alice
        .push_all(json!([
            task_in("team:demo", "a"),
            update("a", 1, json!({"title": "A"})),
            task_in("team:demo", "b"),
            update("a", 2, json!({"done": true})),
            delete("b", 1),
        ]))
        .await;
    let page = alice.pull(before["checkpoint"].as_str()).await;
    let kinds: BTreeMap<_, _> = page["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["documentId"].to_string(),
                (&change["kind"], &change["version"]),
            )
        })
        .collect();
    assert_eq!(kinds.len(), page["changes"].as_array().unwrap().len());
    assert_eq!(kinds["\"a\""], (&json!("UPSERT"), &json!(3)));
    assert_eq!(kinds["\"b\""], (&json!("DELETE"), &json!(2)));
    let after = alice.pull(page["checkpoint"].as_str()).await;
    assert_eq!(
        (&after["changes"], &after["hasMore"]),
        (&json!([]), &json!(false))
    );
}

#[tokio::test]
async fn a_busy_scope_starves_no_other() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let busy: Vec<_> = (0..40)
        .map(|n| task_in("team:demo", &format!("busy{n}")))
        .collect();
    alice.push_all(json!(busy)).await;
    alice
        .push_all(json!([task_in("user:alice", "quiet")]))
        .await;
    let read = pages(&alice, &Value::Null, 4).await;
    let at = read.iter().position(|page| ids(page).contains(&"quiet"));
    assert!(at.is_some_and(|at| at <= 2), "it came on page {at:?}");
}

#[tokio::test]
async fn limits_and_checkpoints_that_are_none_have_codes() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    for limit in [0, -1, 5001, i32::MAX] {
        let answer = alice.send(&pull_query(), json!({"limit": limit})).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(*extensions, json!({"code": "BAD_LIMIT", "max": 5000}));
    }
    assert_eq!(alice.pull_with(json!({"limit": 5000})).await["reset"], true);
    let good = alice.pull(None).await;
    let good = good["checkpoint"].as_str().unwrap();
    let cut = &good[..good.len() / 2];
    for rubbish in [
        "",
        "rubbish",
        "🦀",
        "AAAA",
        "e30",
        cut,
        &good.repeat(2),
        &"A".repeat(100_000),
    ] {
        let code = alice
            .code(&pull_query(), json!({"checkpoint": rubbish}))
            .await;
        assert_eq!(code, "BAD_CHECKPOINT", "{rubbish:.40}");
    }
}

#[tokio::test]
async fn a_checkpoint_from_the_future_of_a_restored_store_resets() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice.push_all(json!([task_in("team:demo", "kept")])).await;
    let at_backup = alice.pull(None).await["checkpoint"].clone();
    server.stop();
    let (data, backup) = (
        directory.path().join(".tidegate"),
        directory.path().join("backup"),
    );
    copy(&data, &backup);

    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    alice.push_all(json!([task_in("team:demo", "lost")])).await;
    let mut replica = Replica::default();
    replica.pull(&alice).await;
    assert_eq!(replica.ids(), ["kept", "lost"]);
    server.stop();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    assert_eq!(replica.pull(&alice).await, 1, "one reset");
    assert_eq!(replica.ids(), ["kept"]);
    let page = alice.pull(at_backup.as_str()).await;
    assert_eq!(
        page["reset"], false,
        "the backup continues what it knows of"
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn growing_types_catch_up_the_new_type_alone() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    alice
        .push_all(json!([task_in("user:alice", "t1"), project("p1")]))
        .await;
    let pull = async |checkpoint: &Value, types: Value| {
        let arguments = json!({"checkpoint": checkpoint, "types": types});
        alice.pull_with(arguments).await
    };
    let projects = pull(&Value::Null, json!(["Project"])).await;
    assert_eq!(ids(&projects), ["p1"]);
    alice.push_all(json!([task_in("user:alice", "t2")])).await;
    let quiet = pull(&projects["checkpoint"], json!(["Project"])).await;
    assert_eq!(ids(&quiet), [""; 0], "tasks are not asked for");

    alice.push_all(json!([project("p2")])).await;
    let both = pull(&quiet["checkpoint"], json!(["Project", "Task"])).await;
    assert_eq!(both["reset"], false);
    let got: BTreeSet<_> = ids(&both).into_iter().collect();
    assert_eq!(got, BTreeSet::from(["t1", "t2", "p2"]));
    let all = pull(&both["checkpoint"], Value::Null).await;
    assert_eq!(ids(&all), [""; 0], "all is what it has");

    let fewer = pull(&all["checkpoint"], json!(["Task"])).await;
    assert_eq!((&fewer["reset"], ids(&fewer).len()), (&json!(false), 0));
    alice
        .push_all(json!([project("p3"), task_in("user:alice", "t3")]))
        .await;
    let fewer = pull(&fewer["checkpoint"], json!(["Task"])).await;
    assert_eq!(ids(&fewer), ["t3"]);
    let regrown = pull(&fewer["checkpoint"], Value::Null).await;
    assert!(ids(&regrown).contains(&"p3"), "what was missed comes");
}

#[tokio::test]
async fn growing_types_page_by_page_miss_nothing() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mixed: Vec<_> = (0..10)
        .flat_map(|n| {
            [
                task_in("team:demo", &format!("t{n}")),
                project(&format!("p{n}")),
            ]
        })
        .collect();
    alice.push_all(json!(mixed)).await;
    let first = alice
        .pull_with(json!({"types": ["Project"], "limit": 4}))
        .await;
    assert_eq!(first["hasMore"], true);
    let rest = pages(&alice, &first["checkpoint"], 3).await;
    let all: Vec<_> = [&first].into_iter().chain(&rest).flat_map(ids).collect();
    assert_eq!(all.len(), 20, "nothing twice");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test]
async fn a_client_that_missed_collected_tombstones_resets_and_a_fresh_sync_ends() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let tasks = ["a", "b", "c"].map(|id| task_in("team:demo", id));
    alice.push_all(json!(tasks)).await;
    let mut away = Replica::default();
    away.pull(&alice).await;
    alice
        .push_all(json!([
            delete("a", 1),
            update("b", 1, json!({"audience": "user:alice"}))
        ]))
        .await;
    let mut present = away.clone();
    present.pull(&alice).await;
    server.stop();
    let collect = tidegate(directory.path(), &["collect", "--older-than", "0s"]);
    let said = String::from_utf8(collect.stderr).unwrap();
    assert!(collect.status.success(), "{said}");
    assert!(said.contains("collected 2"), "{said}");

    let server = Server::dev(&directory);
    let alice = alice.at(&server);
    assert_eq!(present.pull(&alice).await, 0, "who saw them goes on");
    assert_eq!(away.pull(&alice).await, 1, "who was away resets");
    assert_eq!(
        (away.ids(), present.ids()),
        (vec!["b", "c"], vec!["b", "c"])
    );
    let fresh = pages(&alice, &Value::Null, 1).await;
    let resets = fresh.iter().filter(|page| page["reset"] == true);
    assert_eq!(resets.count(), 1, "a fresh sync ends");

    let late = &alice
        .push_all(json!([update("a", 1, json!({"title": "x"}))]))
        .await[0];
    assert_eq!(
        late["error"]["code"], "NOT_FOUND",
        "an edit revives nothing"
    );
    let reborn = &alice.push_all(json!([task_in("team:demo", "a")])).await[0];
    assert_eq!(reborn["status"], "APPLIED");
    assert!(
        reborn["version"].as_i64() > Some(2),
        "above all that was collected"
    );
}

#[tokio::test]
async fn an_answer_has_its_fields_in_the_order_of_the_operation() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let query = "{ last: changesSince { hasMore } viewer { id } first: changesSince { hasMore } __typename }";
    let text = server.client("alice").text(query, json!({})).await.unwrap();
    let places =
        ["last", "viewer", "first", "__typename"].map(|key| text.find(&format!("\"{key}\":")));
    assert!(places.is_sorted() && places[0].is_some(), "{text}");
}
