//! Several gateways on one MongoDB: what they write to one scope at the same time stays whole, and so do collections
//! and restores.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, future::join_all};
use serde_json::json;
use tidegate::{
    store::TailEvent,
    sync::{Page, collect, rotate_epoch},
};
use tidegate_core::{
    checkpoint::Checkpoint,
    entry::Record,
    id::{DocumentKey, Epoch, Version},
    outcome::Status::{Applied, Merged},
    value::Timestamp,
};

use super::{
    Mongo,
    gateway::{Gateway, key_of},
};
use crate::{
    contract::{Backend, fixture::scope},
    harness::mongod::Backup,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_on_one_hot_scope_lose_nothing_and_starve_nobody() {
    const CLIENTS: usize = 6;
    const PUSHES: i32 = 5;
    let mongo = Mongo::start().await;
    let gateways = [
        Gateway::start(&mongo.options().await).await,
        Gateway::start(&mongo.options().await).await,
    ];
    let mut tail = gateways[0].store.tail();
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    let fields = json!({ "audience": "team:red", "title": "Tea" });
    gateways[0]
        .push("alice", vec![gateways[0].create("shared", fields)])
        .await;
    let clients = (0..2 * CLIENTS).map(|client| {
        let gateway = &gateways[client % 2];
        async move {
            for id in 1..=PUSHES {
                let own = json!({ "audience": "team:red", "title": "own" });
                let own = gateway.create(&format!("{client}-{id}"), own);
                let user = format!("user-{client}");
                let changes = vec![gateway.count_on("shared"), own];
                let outcomes = gateway.numbered(&user, 2 * id - 1, changes).await;
                assert!(
                    outcomes
                        .iter()
                        .all(|o| matches!(o.status, Applied | Merged))
                );
            }
        }
    });
    join_all(clients).await;
    let pushes = 2 * CLIENTS as i32 * PUSHES;
    let shown = gateways[1].document("alice", "shared").await.unwrap();
    assert_eq!(shown["minutes"], pushes);
    let head = gateways[0]
        .store
        .confirmed_head(&scope("team:red"))
        .await
        .unwrap()
        .0;
    let mut reported = Vec::new();
    while reported.len() < usize::try_from(head).unwrap() {
        if let Some(TailEvent::Committed(writes)) = tail.next().await {
            reported.extend(writes.iter().map(|write| write.item.seq.0));
        }
    }
    reported.sort_unstable();
    assert!(
        reported.into_iter().eq(1..=head),
        "no seq is without its write"
    );
}

/// The documents of a client that applies page after page by the protocol.
#[derive(Default)]
struct Replica {
    checkpoint: Option<Checkpoint>,
    held: BTreeMap<DocumentKey, Version>,
    resets: usize,
}

impl Replica {
    async fn follow(&mut self, gateway: &Gateway) {
        loop {
            // Small pages, so that others write and collect between them.
            let page = gateway.page("alice", self.checkpoint.as_ref(), 3).await;
            let has_more = page.has_more;
            self.apply(page);
            if !has_more {
                return;
            }
        }
    }

    fn apply(&mut self, page: Page) {
        if page.reset {
            self.held.clear();
            self.resets += 1;
        }
        for item in page.decoded().unwrap() {
            let key = item.record.key().clone();
            match &item.record {
                Record::Entry(entry) if !entry.is_deleted() => {
                    self.held.insert(key, entry.version);
                }
                _ => {
                    self.held.remove(&key);
                }
            }
        }
        self.checkpoint = Some(Arc::unwrap_or_clone(page.checkpoint));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_misses_nothing_while_writers_write_and_tombstones_are_collected() {
    let mongo = Mongo::start().await;
    let gateways = [
        Gateway::start(&mongo.options().await).await,
        Gateway::start(&mongo.options().await).await,
    ];
    let write = async {
        for round in 1..=12 {
            let gateway = &gateways[round % 2];
            let task = format!("{round}");
            let number = format!("ByInt/{round}");
            let fields = json!({ "audience": "user:alice", "title": "Tea" });
            let audience = json!({ "audience": "user:alice" });
            let creates = vec![
                gateway.create(&task, fields),
                gateway.create(&number, audience),
            ];
            gateway.push("alice", creates).await;
            let deleted = if round % 3 == 0 { &task } else { &number };
            gateway
                .push("alice", vec![gateway.delete(deleted, -1)])
                .await;
        }
    };
    let collections = async {
        for _ in 0..6 {
            let before = Timestamp::EPOCH.plus_ms(i64::MAX);
            collect(&*gateways[1].store, before, |_| ()).await.unwrap();
        }
    };
    let mut replica = Replica::default();
    let read = async {
        for _ in 0..20 {
            replica.follow(&gateways[0]).await;
        }
    };
    tokio::join!(write, collections, read);
    replica.follow(&gateways[0]).await;
    let mut fresh = Replica::default();
    fresh.follow(&gateways[1]).await;
    assert_eq!(replica.held, fresh.held);
    assert!(!fresh.held.is_empty());
}

#[tokio::test]
async fn tombstones_are_collected_and_epochs_begun_under_running_gateways() {
    let mongo = Mongo::start().await;
    let here = Gateway::start(&mongo.options().await).await;
    let there = Gateway::start(&mongo.options().await).await;
    let fields = || json!({ "audience": "user:alice", "title": "Tea" });
    here.push(
        "alice",
        vec![here.create("1", fields()), here.create("2", fields())],
    )
    .await;
    let mut offline = Replica::default();
    offline.follow(&here).await;
    here.push("alice", vec![here.delete("1", 1)]).await;
    let before = Timestamp::EPOCH.plus_ms(i64::MAX);
    let collected = collect(&*there.store, before, |_| ()).await.unwrap();
    assert_eq!(collected.records, 1);
    assert_eq!(
        collect(&*here.store, before, |_| ()).await.unwrap().records,
        0
    );
    offline.follow(&here).await;
    assert_eq!(
        (offline.resets, offline.held.len()),
        (2, 1),
        "it was away for too long"
    );
    let created = here.push("alice", vec![here.create("1", fields())]).await;
    assert_eq!(
        created[0].version.unwrap().0,
        3,
        "above every version that was collected"
    );

    rotate_epoch(&*there.store, Epoch::new("the-second").unwrap())
        .await
        .unwrap();
    offline.follow(&here).await;
    assert_eq!((offline.resets, offline.held.len()), (3, 2));
    assert_eq!(offline.checkpoint.unwrap().epoch.as_str(), "the-second");
}

#[tokio::test]
async fn after_a_restore_clients_from_the_future_reset_and_with_a_new_epoch_all_do() {
    let mongo = Mongo::start().await;
    let gateway = Gateway::start(&mongo.options().await).await;
    let database = mongo.database().await;
    let fields = || json!({ "audience": "user:alice", "title": "Tea" });
    gateway
        .push("alice", vec![gateway.create("1", fields())])
        .await;
    let mut early = Replica::default();
    early.follow(&gateway).await;
    let backup = Backup::of(&database).await;
    gateway
        .push(
            "alice",
            vec![
                gateway.create("2", fields()),
                gateway.update("1", 1, json!({ "notes": "x" })),
            ],
        )
        .await;
    let mut late = Replica::default();
    late.follow(&gateway).await;
    assert_eq!(late.held.len(), 2);

    backup.restore(&database).await;
    late.follow(&gateway).await;
    assert_eq!(late.resets, 2, "it stood above the head");
    assert_eq!(late.held, [(key_of("1"), Version(1))].into());
    early.follow(&gateway).await;
    assert_eq!(early.resets, 1, "nothing that it knows has changed");

    let rotated = Epoch::new("after-the-restore").unwrap();
    rotate_epoch(&*gateway.store, rotated).await.unwrap();
    for replica in [&mut early, &mut late] {
        let resets = replica.resets;
        replica.follow(&gateway).await;
        assert_eq!(replica.resets, resets + 1);
        assert_eq!(replica.held, [(key_of("1"), Version(1))].into());
    }
}
