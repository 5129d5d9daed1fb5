//! That a stretch of a feed is one walk along the index, however many types it has.

use mongodb::bson::{Bson, Document, doc};
use tidegate::store::ScanRange;

use super::Mongo;
use crate::contract::{
    Backend,
    fixture::{entries, entry, key, scan, scope, whole, write},
};

/// All stages of a plan, the outermost first.
fn stages(plan: &Document) -> Vec<String> {
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
        "no record is looked at in vain"
    );
    assert!(
        !seen.get_bool("hasSortStage").unwrap_or(false),
        "nothing is sorted in memory: {seen}"
    );
    let stages = stages(seen.get_document("execStats").unwrap());
    assert!(stages.contains(&"SORT_MERGE".to_owned()), "{stages:?}");
    assert!(!stages.contains(&"COLLSCAN".to_owned()), "{stages:?}");
}
