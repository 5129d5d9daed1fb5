//! What a pull reads: one walk along the index for a range of a feed, however many types it has, and nothing of feeds
//! without changes.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};
use serde_json::json;
use tidegate::store::ScanRange;

use super::{Mongo, gateway::Gateway, monitored};
use crate::contract::{
    Backend,
    fixture::{entries, entry, key, marker, scan, scope, task, tombstone, whole, write},
};

/// All stages of a plan, the outermost first.
pub(super) fn stages(plan: &Document) -> Vec<String> {
    let inputs = plan.get_array("inputStages").into_iter().flatten();
    let below = inputs.chain(plan.get("inputStage"));
    let below = below.filter_map(Bson::as_document).flat_map(stages);
    let stage = plan.get_str("stage").unwrap().to_owned();
    std::iter::once(stage).chain(below).collect()
}

#[tokio::test]
async fn a_scan_walks_the_index_in_the_order_of_seqs() {
    let mongo = Mongo::start().await;
    let store = mongo.open().await;
    let a = scope("a");
    let written = ["Task", "Member", "Note"].map(|name| entry(&key(name, "1"), &a, 1));
    write(&*store, entries(written)).await;
    let database = mongo.database().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    let types = ["Task", "Note"].map(|name| key(name, "1").type_name);
    let range = ScanRange {
        types: Some(types.into()),
        ..whole(&a)
    };
    assert_eq!(scan(&*store, &range).await.items.len(), 2);
    database.run_command(doc! { "profile": 0 }).await.unwrap();

    let profile = database.collection::<Document>("system.profile");
    let of_scan = doc! { "command.find": "tidegate.feed", "command.sort": { "q": 1 } };
    let seen = profile.find_one(of_scan).await.unwrap().unwrap();
    assert_eq!(
        seen.get_i32("docsExamined").unwrap(),
        2,
        "no record is read without use"
    );
    assert!(
        !seen.get_bool("hasSortStage").unwrap_or(false),
        "nothing is sorted in memory: {seen}"
    );
    let stages = stages(seen.get_document("execStats").unwrap());
    assert!(stages.contains(&"SORT_MERGE".to_owned()), "{stages:?}");
    assert!(!stages.contains(&"COLLSCAN".to_owned()), "{stages:?}");
}

#[tokio::test]
async fn a_scan_without_removals_looks_at_none() {
    let mongo = Mongo::start().await;
    let store = mongo.open().await;
    let a = scope("a");
    let gone = (0..50).map(|id| tombstone(&task(&format!("gone{id}")), &a, 1));
    let mut writes = entries(gone.chain([entry(&task("kept"), &a, 1)]));
    writes.markers = (0..50)
        .map(|id| marker(&task(&format!("left{id}")), &a, 1))
        .collect();
    write(&*store, writes).await;
    let database = mongo.database().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    let range = ScanRange {
        removals: false,
        types: Some([task("1").type_name].into()),
        ..whole(&a)
    };
    assert_eq!(scan(&*store, &range).await.items.len(), 1);
    database.run_command(doc! { "profile": 0 }).await.unwrap();

    let profile = database.collection::<Document>("system.profile");
    let of_scan = doc! { "command.find": "tidegate.feed", "command.sort": { "q": 1 } };
    let seen = profile.find_one(of_scan).await.unwrap().unwrap();
    let examined = ["keysExamined", "docsExamined"].map(|name| seen.get_i32(name).unwrap());
    assert!(examined.iter().all(|count| *count <= 2), "{seen}");
}

#[tokio::test]
async fn a_page_reads_only_the_feeds_whose_heads_moved() {
    let mongo = Mongo::start().await;
    let mut options = mongo.options().await;
    let commands = Arc::default();
    options.client.command_event_handler = Some(monitored(&commands));
    let gateway = Gateway::start(&options).await;
    let create = |id: &str, audience: &str| {
        gateway.create(id, json!({ "audience": audience, "title": "Tea" }))
    };
    let both = vec![create("1", "user:alice"), create("2", "team:red")];
    gateway.push("alice", both).await;
    let page = gateway.pull("alice", None).await;
    gateway.push("bob", vec![create("3", "team:red")]).await;
    let feeds_read = || {
        let commands = std::mem::take(&mut *commands.lock().unwrap());
        let finds = commands.into_iter().filter(|command| {
            command
                .get_str("find")
                .is_ok_and(|name| name == "tidegate.feed")
                && !command.contains_key("autocommit")
        });
        let scopes = finds.map(|find| {
            let filter = find.get_document("filter").unwrap();
            filter.get_str("s").unwrap().to_owned()
        });
        scopes.collect::<Vec<_>>()
    };
    feeds_read();
    let page = gateway.pull("alice", Some(&page.checkpoint)).await;
    assert_eq!(page.changes.len(), 1);
    assert_eq!(feeds_read(), ["team:red"]);
    let page = gateway.pull("alice", Some(&page.checkpoint)).await;
    assert!(page.changes.is_empty());
    assert!(feeds_read().is_empty());
}
