//! How a commit reaches MongoDB, and that it takes effect once whatever happens to the connection.
//!
//! `contention` tests several gateways together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mongodb::bson::{Document, doc};
use serde_json::json;
use tidegate::{store::StoreError, sync::SyncError};
use tidegate_core::outcome::Status::{Applied, Merged};

use super::{
    Mongo,
    gateway::{Gateway, push_of, statuses},
    monitored, options, round_trips_of,
};
use crate::{
    contract::{
        Backend,
        fixture::{entries, entry, scope, task, try_write},
    },
    harness::mongod::{Deployment, Times},
};

#[tokio::test]
async fn a_commit_is_one_transaction_with_its_concerns_said() {
    let mongo = Mongo::start().await;
    let mut options = mongo.options().await;
    let commands = Arc::default();
    options.client.command_event_handler = Some(monitored(&commands));
    let gateway = Gateway::start(&options).await;
    let fields = json!({ "audience": "user:alice", "title": "Tea" });
    gateway
        .push("alice", vec![gateway.create("1", fields)])
        .await;

    let commands = std::mem::take(&mut *commands.lock().unwrap());
    let of_transaction: Vec<Document> = commands
        .into_iter()
        .filter(|command| command.contains_key("autocommit"))
        .collect();
    let (first, last) = (&of_transaction[0], of_transaction.last().unwrap());
    assert!(first.get_bool("startTransaction").unwrap());
    let concern = first.get_document("readConcern").unwrap();
    assert_eq!(concern.get_str("level").unwrap(), "snapshot");
    assert_eq!(last.get_i32("commitTransaction").unwrap(), 1);
    let concern = last.get_document("writeConcern").unwrap();
    assert_eq!(*concern, doc! { "w": "majority", "j": true });
    for command in &of_transaction {
        assert_eq!(command.get("txnNumber"), first.get("txnNumber"));
        assert_eq!(command.get("lsid"), first.get("lsid"));
    }
}

/// Each statement is a round trip to the server. Round trips take most of the time of a small push.
#[tokio::test]
async fn a_push_takes_no_more_round_trips_than_it_must() {
    let mongo = Mongo::start().await;
    let mut options = mongo.options().await;
    let commands = Arc::default();
    options.client.command_event_handler = Some(monitored(&commands));
    let gateway = Gateway::start(&options).await;
    let fields = |audience: &str| json!({ "audience": audience, "title": "Tea" });
    let create = |id: &str| gateway.create(id, fields("user:alice"));
    let hundred = (100..200).map(|id| create(&id.to_string())).collect();
    // Once for each client: how many its user has already.
    let by_new_client = "find state, find state, update state, insert feed, insert tasks, commit";
    let created = "find state, update state, insert feed, insert tasks, commit";
    let written =
        "find state, find feed, find tasks, update state, update feed, update tasks, commit";
    let moved = "find state, find feed, find tasks, update state, delete feed, update feed, update tasks, commit";
    let deleted =
        "find state, find feed, find tasks, update state, update feed, delete tasks, commit";
    let pushes = [
        (
            "a create in a new scope by a new client",
            vec![create("1")],
            by_new_client,
        ),
        ("a create", vec![create("2")], created),
        ("a hundred creates", hundred, created),
        (
            "an update",
            vec![gateway.update("1", 1, json!({ "notes": "x" }))],
            written,
        ),
        (
            "a move",
            vec![gateway.update("1", 2, fields("team:red"))],
            moved,
        ),
        ("a delete", vec![gateway.delete("2", 1)], deleted),
        (
            "an update of nothing",
            vec![gateway.update("0", 1, json!({ "notes": "x" }))],
            "find state, find feed, find tasks, update state, commit",
        ),
    ];
    let mut next = 1;
    for (what, changes, round_trips) in pushes {
        let count = i32::try_from(changes.len()).unwrap();
        let push = gateway.numbered_push("alice", next, changes).await;
        next += count;
        commands.lock().unwrap().clear();
        let pushed = gateway.sync.push(&gateway.caller("alice"), push).await;
        pushed.unwrap();
        let sent = round_trips_of(&commands.lock().unwrap());
        assert_eq!(sent, round_trips, "{what}");
    }
}

/// Each fault hits the commit and the driver's own repetition of it. Whether the transaction was committed then differs
/// from fault to fault; that the counter is one higher does not.
#[tokio::test]
async fn a_push_whose_commit_was_not_answered_takes_effect_once() {
    let deployment = Deployment::replica_set(1).await;
    let gateway = Gateway::start(&options(&deployment, "app").await).await;
    let fields = json!({ "audience": "user:alice", "title": "Tea" });
    gateway
        .numbered("alice", 1, vec![gateway.create("1", fields)])
        .await;
    let write_concern = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let faults = [
        doc! { "closeConnection": true },
        doc! { "errorCode": 91 },
        doc! { "errorCode": 251, "errorLabels": ["TransientTransactionError"] },
        doc! { "errorCode": 50 },
        doc! { "writeConcernError": write_concern },
    ];
    for (fault, count) in faults.into_iter().zip(1..) {
        let mut how = doc! { "failCommands": ["commitTransaction"] };
        how.extend(fault.clone());
        let changes = vec![gateway.count_on("1")];
        let push = gateway.numbered_push("alice", count + 1, changes).await;
        deployment.fail_commands(Times::Next(2), how).await;
        let counted = gateway.sync.push(&gateway.caller("alice"), push).await;
        let counted = counted.unwrap();
        assert!(
            !counted.duplicate,
            "it is settled without being asked again: {fault}"
        );
        let counted = counted.outcomes;
        assert!(matches!(counted[0].status, Applied | Merged), "{fault}");
        assert_eq!(counted[0].version.unwrap().0, count + 1, "{fault}");
        let shown = gateway.document("alice", "1").await.unwrap();
        assert_eq!(shown["minutes"], count, "{fault}");
        deployment.heal_commands().await;
    }
}

/// MongoDB would keep its locks for a minute, which is longer than any other push is repeated.
#[tokio::test]
async fn a_commit_that_is_given_up_unanswered_leaves_no_locks_behind() {
    let deployment = Deployment::replica_set(1).await;
    let mut impatient = options(&deployment, "app").await;
    impatient.commit_max = Duration::from_secs(1);
    impatient.client.app_name = Some("impatient".to_owned());
    let impatient = Gateway::start(&impatient).await;
    let other = Gateway::start(&options(&deployment, "app").await).await;
    let fields = json!({ "audience": "user:alice", "title": "Tea" });
    other
        .numbered("alice", 1, vec![other.create("1", fields)])
        .await;
    let push = other
        .numbered_push("alice", 2, vec![other.count_on("1")])
        .await;
    let how =
        doc! { "failCommands": ["commitTransaction"], "errorCode": 91, "appName": "impatient" };
    deployment.fail_commands(Times::Always, how).await;
    let caller = impatient.caller("alice");
    let given_up = impatient.sync.push(&caller, push.clone()).await;
    let unavailable = matches!(&given_up, Err(SyncError::Unavailable(_)));
    assert!(unavailable, "{given_up:?}");
    let counted = other.sync.push(&caller, push).await.unwrap();
    assert_eq!(counted.outcomes[0].version.unwrap().0, 2);
    let shown = other.document("alice", "1").await.unwrap();
    assert_eq!(shown["minutes"], 1);
}

#[tokio::test]
async fn a_transaction_that_is_broken_off_is_repeated_whole() {
    let deployment = Deployment::replica_set(1).await;
    let gateway = Gateway::start(&options(&deployment, "app").await).await;
    let faults = [
        doc! { "failCommands": ["insert"], "closeConnection": true },
        doc! { "failCommands": ["update"], "errorCode": 112, "errorLabels": ["TransientTransactionError"] },
        doc! { "failCommands": ["find"], "errorCode": 10107, "errorLabels": ["TransientTransactionError"] },
    ];
    for (how, id) in faults.into_iter().zip(1..) {
        let fields = json!({ "audience": "user:alice", "title": "Tea" });
        let changes = vec![gateway.create(&id.to_string(), fields)];
        let push = gateway.numbered_push("alice", id, changes).await;
        deployment.fail_commands(Times::Next(2), how.clone()).await;
        let created = gateway.sync.push(&gateway.caller("alice"), push).await;
        assert_eq!(statuses(&created.unwrap().outcomes), [Applied], "{how}");
    }
    assert_eq!(gateway.pull("alice", None).await.changes.len(), 3);
}

/// A server that accepts connections and never answers.
#[tokio::test]
async fn a_hung_server_is_not_waited_for_beyond_the_limit() {
    let deployment = Deployment::replica_set(1).await;
    let mut options = options(&deployment, "app").await;
    options.call_max = Duration::from_millis(500);
    options.commit_max = Duration::from_secs(2);
    options.client.server_selection_timeout = Some(Duration::from_millis(500));
    let gateway = Gateway::start(&options).await;
    let fields = json!({ "audience": "user:alice", "title": "Tea" });
    gateway
        .push("alice", vec![gateway.create("1", fields)])
        .await;
    deployment.pause(0);
    let began = Instant::now();
    let push = push_of(None, vec![gateway.update("1", 1, json!({ "notes": "x" }))]);
    let unanswered = gateway.sync.push(&gateway.caller("alice"), push).await;
    let unavailable = matches!(&unanswered, Err(SyncError::Unavailable(_)));
    assert!(unavailable, "{unanswered:?}");
    let a = scope("a");
    let snapshot = gateway.store.snapshot().await.map(drop);
    assert!(
        matches!(snapshot, Err(StoreError::Unavailable(_))),
        "{snapshot:?}"
    );
    let head = gateway.store.confirmed_head(&a).await;
    assert!(matches!(head, Err(StoreError::Unavailable(_))), "{head:?}");
    let written = try_write(&*gateway.store, entries([entry(&task("x"), &a, 1)])).await;
    assert!(
        matches!(written, Err(StoreError::Unavailable(_))),
        "{written:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    deployment.resume(0);
    let again = async {
        while gateway.store.snapshot().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again)
        .await
        .expect("it goes on");
    let edited = gateway
        .push(
            "alice",
            vec![gateway.update("1", 1, json!({ "notes": "x" }))],
        )
        .await;
    assert_eq!(statuses(&edited), [Applied]);
}
