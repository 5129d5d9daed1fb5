//! The importer on a database of maps, in virtual time.

mod database;

use std::{collections::BTreeMap, sync::atomic::AtomicU32, sync::atomic::Ordering};

use tidegate_core::{
    id::{DocumentKey, Epoch, TypeName},
    value::{Document, Timestamp},
};
use tokio::time::timeout;

use self::database::Database;
use super::*;
use crate::{
    fixtures::{self, texts},
    store::collections::ImportProgress,
};

const MODEL: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") { id: ID! team: String! title: String! }
type Member @collection(name: "members") @scope(by: "team:{team}") @grants(scope: "team:{team}", to: "{user}", access: "READ") { id: ID! team: String! user: String! }
"#;

/// Longer than all that an importer does by itself.
const LONG: Duration = Duration::from_secs(120);

fn named(name: &str) -> TypeName {
    TypeName::new(name).unwrap()
}

fn key(type_name: &str, id: impl ToString) -> DocumentKey {
    fixtures::key(type_name, &id.to_string())
}

fn document(fields: &[(&str, &str)]) -> Option<Document> {
    Some(texts(fields))
}

fn task(title: &str) -> Option<Document> {
    document(&[("team", "red"), ("title", title)])
}

fn member(user: &str) -> Option<Document> {
    document(&[("team", "red"), ("user", user)])
}

/// A database with so many tasks that another service has written.
fn filled(tasks: usize) -> Database {
    let database = Database::new();
    for id in 0..tasks {
        database.write(&key("Task", format!("{id:05}")), task("before"));
    }
    database
}

fn importer(database: &Database) -> Importer {
    let epochs = AtomicU32::new(1);
    let new_epoch = move || {
        let number = epochs.fetch_add(1, Ordering::Relaxed) + 1;
        Epoch::new(&format!("e{number}")).unwrap()
    };
    Importer::new(
        Arc::new(Model::parse("model.graphql", MODEL).unwrap()),
        Arc::new(database.clone()),
        Arc::new(|| Timestamp::EPOCH),
        Arc::new(new_epoch),
    )
    .unwrap()
}

/// Runs the importer for so long, and stops it as a kill does.
async fn run_for(database: &Database, time: Duration) {
    let importer = importer(database);
    assert!(timeout(time, importer.run()).await.is_err(), "it ended");
    // A gateway that was killed leaves its lease to its end.
    database.look(|inner| inner.lease = None);
}

/// Asserts that the feed says what the collections hold.
fn assert_imported(database: &Database) {
    database.look(|inner| {
        let mut expected = BTreeMap::new();
        for (type_name, collection) in &inner.collections {
            for id in collection.documents.keys() {
                let key = key(type_name.as_str(), id);
                assert!(inner.agrees(&key), "{key} is not imported");
                expected.insert(key, ());
            }
        }
        for entry in inner.feed.entries() {
            let is_living = entry.body.is_some();
            assert!(
                !is_living || expected.contains_key(&entry.key),
                "{} is gone",
                entry.key
            );
        }
        let types = inner.progress.types.values();
        for record in types {
            assert!(record.scan.is_none() && record.held.is_none(), "{record:?}");
        }
    });
}

fn living(database: &Database, type_name: &str) -> usize {
    database.look(|inner| {
        let entries = inner.feed.entries();
        let living = entries.filter(|it| it.key.type_name == named(type_name) && it.body.is_some());
        living.count()
    })
}

fn progress(database: &Database) -> ImportProgress {
    database.look(|inner| inner.progress.clone())
}

#[tokio::test(start_paused = true)]
async fn a_filled_database_is_imported_memberships_first_and_then_followed() {
    let database = filled(1_200);
    database.write(&key("Member", 1), member("alice"));
    let importer = importer(&database);
    let mut running = std::pin::pin!(importer.run());
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 1_200);
    let first = database.look(|inner| inner.stamps.remove(0));
    assert_eq!(first, [key("Member", 1)]);
    database.write(&key("Task", "00007"), task("after"));
    database.write(&key("Task", "00008"), None);
    database.write(&key("Task", "later"), task("new"));
    assert!(
        timeout(Duration::from_millis(10), &mut running)
            .await
            .is_err()
    );
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 1_200);
}

#[tokio::test(start_paused = true)]
async fn the_position_is_saved_with_the_scans_before_anything_is_scanned() {
    let database = filled(10);
    run_for(&database, LONG).await;
    let first = database.look(|inner| inner.saves.remove(0));
    assert!(first.position.is_some());
    assert_eq!(first.types.len(), 2);
    assert!(first.types.values().all(|record| record.scan.is_some()));
}

#[tokio::test(start_paused = true)]
async fn an_import_that_is_killed_at_any_call_goes_on_and_loses_nothing() {
    for calls in 1..90 {
        let database = filled(100);
        database.look(|inner| inner.calls_left = calls);
        run_for(&database, LONG).await;
        database.write(&key("Task", "00003"), task("between"));
        database.write(&key("Task", "00099"), None);
        database.look(|inner| inner.calls_left = calls);
        run_for(&database, LONG).await;
        database.write(&key("Task", "00000"), None);
        database.look(|inner| inner.calls_left = usize::MAX);
        run_for(&database, LONG).await;
        assert_imported(&database);
        assert_eq!(living(&database, "Task"), 98, "killed after {calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_scan_goes_on_where_it_was_killed() {
    let database = filled(400);
    // Each call takes time, so that progress is saved between two steps.
    database.look(|inner| inner.latency = Duration::from_millis(300));
    run_for(&database, Duration::from_secs(6)).await;
    let first = database.look(|inner| std::mem::take(&mut inner.stamps));
    assert!(
        !first.is_empty() && living(&database, "Task") < 400,
        "it was killed on its way"
    );
    database.look(|inner| inner.latency = Duration::ZERO);
    run_for(&database, LONG).await;
    assert_imported(&database);
    let again = database
        .look(|inner| std::mem::take(&mut inner.stamps))
        .concat();
    let twice = first.concat().into_iter().filter(|key| again.contains(key));
    assert!(
        twice.count() <= 2 * 40,
        "only what came after the last save"
    );
    assert!(!again.contains(&first[0][0]));
}

#[tokio::test(start_paused = true)]
async fn lost_history_leads_to_one_scan_both_ways_and_no_reset() {
    let database = filled(50);
    run_for(&database, LONG).await;
    database.write(&key("Task", "00001"), None);
    database.write(&key("Task", "00002"), task("unseen"));
    database.lose_history();
    database.look(|inner| inner.saves.clear());
    run_for(&database, LONG).await;
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 49);
    database.look(|inner| {
        assert_eq!(inner.feed.epoch.as_str(), "e1");
        let repair = inner.saves.remove(0);
        assert!(repair.position.is_some());
        assert!(repair.types.values().all(|record| record.scan.is_some()));
        let begun = inner.saves.iter().flat_map(|save| save.types.values());
        let again = begun.filter(|record| record.scan.as_ref().is_some_and(|scan| scan.done == 0));
        assert_eq!(again.count(), 0, "the repair is not repeated");
    });
}

#[tokio::test(start_paused = true)]
async fn history_that_is_lost_while_the_importer_runs_is_repaired_too() {
    let database = filled(50);
    let importer = importer(&database);
    let mut running = std::pin::pin!(importer.run());
    assert!(timeout(LONG, &mut running).await.is_err());
    database.write(&key("Task", "00001"), None);
    database.lose_history();
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 49);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_replaced_gets_a_new_epoch_and_is_scanned() {
    let database = filled(50);
    run_for(&database, LONG).await;
    database.write(&key("Task", "00001"), None);
    database.replace();
    run_for(&database, LONG).await;
    assert_imported(&database);
    assert_eq!(
        database.look(|inner| inner.feed.epoch.clone()).as_str(),
        "e2"
    );
    run_for(&database, LONG).await;
    assert_eq!(
        database.look(|inner| inner.feed.epoch.clone()).as_str(),
        "e2"
    );
}

#[tokio::test(start_paused = true)]
async fn documents_of_a_missing_collection_are_held_until_it_is_back() {
    let database = filled(30);
    let importer = importer(&database);
    let mut running = std::pin::pin!(importer.run());
    assert!(timeout(LONG, &mut running).await.is_err());
    let collection = database.take(&named("Task"));
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_eq!(living(&database, "Task"), 30, "nothing is deleted");
    let held = progress(&database).types[&named("Task")].held.unwrap();
    assert_eq!((held.missing, held.expected), (30, 30));
    database.bring(&named("Task"), collection);
    database.write(&key("Task", "00003"), None);
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 29);
}

#[tokio::test(start_paused = true)]
async fn documents_of_a_missing_collection_are_deleted_once_an_operator_accepts_that() {
    let database = filled(30);
    run_for(&database, LONG).await;
    drop(database.take(&named("Task")));
    run_for(&database, LONG).await;
    database.accept_deletes(&named("Task")).await.unwrap();
    run_for(&database, LONG).await;
    assert_eq!(living(&database, "Task"), 0);
    assert_imported(&database);
    // It was for once.
    database.write(&key("Task", 1), task("again"));
    run_for(&database, LONG).await;
    drop(database.take(&named("Task")));
    run_for(&database, LONG).await;
    assert!(progress(&database).types[&named("Task")].held.is_some());
    assert_eq!(living(&database, "Task"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_lost_more_than_a_thousand_and_a_tenth_is_held_and_fewer_are_deleted() {
    for (tasks, lost, is_held) in [
        (1_500, 1_001, true),
        (1_500, 1_000, false),
        (11_000, 1_050, false),
    ] {
        let database = filled(tasks);
        run_for(&database, LONG).await;
        for id in 0..lost {
            database.write(&key("Task", format!("{id:05}")), None);
        }
        database.lose_history();
        run_for(&database, LONG).await;
        assert_eq!(
            progress(&database).types[&named("Task")].held.is_some(),
            is_held
        );
        let expected = if is_held { tasks } else { tasks - lost };
        assert_eq!(living(&database, "Task"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_that_was_made_again_is_scanned_and_held_if_it_lost_much() {
    let database = filled(1_200);
    run_for(&database, LONG).await;
    drop(database.take(&named("Task")));
    database.write(&key("Task", "new"), task("new"));
    run_for(&database, LONG).await;
    assert_eq!(
        living(&database, "Task"),
        1_201,
        "what is there is imported"
    );
    assert!(progress(&database).types[&named("Task")].held.is_some());
    // Its documents come back one by one: nobody has to accept anything.
    for id in 0..1_150 {
        database.write(&key("Task", format!("{id:05}")), task("before"));
    }
    run_for(&database, LONG * 2).await;
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 1_151);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_while_a_collection_that_was_made_again_is_still_being_filled() {
    let database = filled(1_000);
    run_for(&database, LONG).await;
    drop(database.take(&named("Task")));
    let task_of = |id: u32| (key("Task", format!("{id:05}")), task("before"));
    for id in 0..930 {
        let (key, task) = task_of(id);
        database.write(&key, task);
    }
    let importer = importer(&database);
    let mut running = std::pin::pin!(importer.run());
    // Slowly, and beyond what may be missing without a question.
    for id in 930..990 {
        assert!(timeout(Duration::from_secs(5), &mut running).await.is_err());
        assert_eq!(living(&database, "Task"), 1_000, "after {id} documents");
        let (key, task) = task_of(id);
        database.write(&key, task);
    }
    assert!(timeout(LONG * 2, &mut running).await.is_err());
    assert_eq!(living(&database, "Task"), 990, "nobody fills it any more");
    assert_imported(&database);
}

#[tokio::test(start_paused = true)]
async fn an_importer_that_lost_its_lease_writes_nothing_and_takes_it_again_when_it_is_free() {
    let database = filled(10);
    let importer = importer(&database);
    let mut running = std::pin::pin!(importer.run());
    assert!(timeout(LONG, &mut running).await.is_err());
    let stamps = database.look(|inner| {
        inner.lease = Some(Fence(1_000));
        inner.stamps.len()
    });
    database.write(&key("Task", "later"), task("new"));
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_eq!(database.look(|inner| inner.stamps.len()), stamps);
    database.look(|inner| inner.lease = None);
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_imported(&database);
    importer.release().await;
    assert_eq!(database.look(|inner| inner.lease), None);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_withheld_and_one_bad_document_stops_nothing() {
    let database = filled(90);
    database.write(&key("Task", "00004"), document(&[("team", "red")]));
    database.look(|inner| inner.poison = Some(key("Task", "00050")));
    let importer = importer(&database);
    let mut running = std::pin::pin!(importer.run());
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_eq!(living(&database, "Task"), 88);
    database.look(|inner| {
        assert!(inner.feed.misfits.contains(&key("Task", "00004")));
        inner.poison = None;
    });
    database.write(&key("Task", "00004"), task("mended"));
    database.write(&key("Task", "00050"), task("mended"));
    assert!(timeout(LONG, &mut running).await.is_err());
    assert_imported(&database);
    assert_eq!(living(&database, "Task"), 90);
    database.look(|inner| assert!(inner.feed.misfits.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn write_conflicts_are_repeated_with_fewer_documents_until_they_end() {
    let database = filled(40);
    database.look(|inner| inner.conflicts = 20);
    run_for(&database, LONG).await;
    assert_imported(&database);
    database.look(|inner| {
        assert_eq!(inner.conflicts, 0);
        assert_eq!(inner.stamps[0].len(), 1, "halved each time");
    });
}

#[tokio::test(start_paused = true)]
async fn a_transaction_has_at_most_500_documents_however_many_wake_ups_wait() {
    let database = filled(0);
    database.write(&key("Task", "first"), task("first"));
    run_for(&database, LONG).await;
    for id in 0..3_000 {
        database.write(&key("Task", id % 1_500), task("x"));
    }
    database.look(|inner| inner.stamps.clear());
    run_for(&database, LONG).await;
    assert_imported(&database);
    database.look(|inner| {
        let stamps = &inner.stamps;
        assert!(stamps.iter().all(|keys| keys.len() <= 500));
        let stamped: usize = stamps.iter().map(Vec::len).sum();
        assert_eq!(
            stamped, 3_000,
            "wake-ups of one document are joined where they meet"
        );
    });
}
