//! What an importer needs of the store: the lease, the progress, walks over collections and entries, and what is held
//! or withheld. `following` has the stream.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mongodb::{
    Collection, Database,
    bson::{Binary, Bson, DateTime, Decimal128, Document, doc, oid::ObjectId, spec::BinarySubtype},
};
use tidegate::store::{
    Store, StoreError,
    collections::{
        CollectionId, Collections, HeldType, ImportPosition, ImportProgress, ScanPhase, TypeImport,
        TypeScan, WalkPosition,
    },
    mongo::MongoStore,
};
use tidegate_core::{
    id::{DocumentId, DocumentKey, TypeName},
    model::Model,
    push,
    transaction::{Fence, Loaded},
    value::Timestamp,
};
use tokio::time::sleep;

use super::{CONTRACT, Mongo, open, options};
use crate::{
    contract::{
        Backend,
        fixture::{entries, entry, key, scope, task, tombstone, write},
    },
    harness::mongod::{Deployment, Times},
};

/// A lease lasts six seconds; slow machines need more to look.
const PATIENCE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3_600);

struct Bench {
    mongo: Mongo,
    store: MongoStore,
    collections: Arc<dyn Collections>,
    database: Database,
}

async fn bench() -> Bench {
    let mongo = Mongo::start().await;
    let store = mongo.store(CONTRACT).await;
    Bench {
        collections: store.collections().unwrap(),
        database: mongo.database().await,
        store,
        mongo,
    }
}

impl Bench {
    fn tasks(&self) -> Collection<Document> {
        self.database.collection("tasks")
    }

    fn state(&self) -> Collection<Document> {
        self.database.collection("tidegate.state")
    }

    async fn held_lease(&self) -> Fence {
        self.collections.lease(None).await.unwrap().unwrap()
    }

    async fn lease_until(&self) -> DateTime {
        let lease = self.state().find_one(doc! { "_id": "importer" }).await;
        let lease = lease.unwrap().unwrap();
        *lease.get_datetime("until").unwrap()
    }

    /// Stamps documents as the importer does. Returns what was loaded.
    async fn stamp(&self, keys: &[DocumentKey], lease: Fence) -> Result<Loaded, StoreError> {
        stamp(&self.store, keys, lease).await
    }

    async fn withheld(&self) -> Vec<(String, String, String)> {
        let page = self.collections.withheld(None, 100).await.unwrap();
        let row = |it: tidegate::store::collections::WithheldDocument| {
            (it.id, it.misfit.path, it.misfit.found)
        };
        page.documents.into_iter().map(row).collect()
    }

    /// All of a walk, in parts of this size: its keys, and how many documents it passed.
    async fn walk(&self, limit: usize) -> (Vec<String>, u64) {
        let (mut keys, mut passed, mut after) = (Vec::new(), 0, None);
        let task = task_type();
        for _ in 0..1_000 {
            let walk = self.collections.documents(&task, after.as_ref(), limit);
            let walk = walk.await.unwrap();
            keys.extend(walk.keys.into_iter().map(|key| key.id.as_str().to_owned()));
            passed += walk.passed;
            after = walk.next;
            if after.is_none() {
                return (keys, passed);
            }
        }
        panic!("the walk does not end");
    }
}

async fn stamp(
    store: &dyn Store,
    keys: &[DocumentKey],
    lease: Fence,
) -> Result<Loaded, StoreError> {
    let model = Model::parse("model.graphql", CONTRACT).unwrap();
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    let decide = move |loaded: &Loaded| {
        *seen.lock().unwrap() = Some(loaded.clone());
        push::stamp(&model, Timestamp::EPOCH.plus_ms(1_000_000), loaded)
    };
    let reads = push::stamp_reads(keys.iter().cloned().collect(), Some(lease));
    store.commit(reads, Arc::new(decide)).await?;
    let loaded = last.lock().unwrap().take();
    Ok(loaded.unwrap())
}

fn task_type() -> TypeName {
    TypeName::new("Task").unwrap()
}

fn of_task(import: TypeImport) -> ImportProgress {
    ImportProgress {
        position: None,
        types: [(task_type(), import)].into(),
    }
}

#[tokio::test]
async fn a_silent_importer_is_deposed_and_then_writes_nothing() {
    let bench = bench().await;
    let other = bench.mongo.store(CONTRACT).await;
    let others = other.collections().unwrap();
    let fence = bench.held_lease().await;
    assert_eq!(others.lease(None).await.unwrap(), None);
    assert_eq!(
        bench.collections.lease(Some(fence)).await.unwrap(),
        Some(fence)
    );
    bench
        .tasks()
        .insert_one(doc! { "_id": "1", "audience": "all" })
        .await
        .unwrap();
    let before = bench.lease_until().await;
    bench.stamp(&[task("1")], fence).await.unwrap();
    assert!(
        bench.lease_until().await > before,
        "a stamp renews the lease"
    );

    let begun = Instant::now();
    let taken = loop {
        match others.lease(None).await.unwrap() {
            Some(taken) => break taken,
            None => assert!(begun.elapsed() < PATIENCE, "it is never taken over"),
        }
        sleep(Duration::from_millis(200)).await;
    };
    assert!(taken > fence);
    assert_eq!(bench.collections.lease(Some(fence)).await.unwrap(), None);
    let update = doc! { "$set": { "title": "Coffee" } };
    bench.tasks().update_one(doc! {}, update).await.unwrap();
    let stamped = bench.stamp(&[task("1")], fence).await;
    assert!(matches!(stamped, Err(StoreError::Deposed)), "{stamped:?}");
    let nothing = of_task(TypeImport::default());
    let saved = bench.collections.save(fence, &nothing).await;
    assert!(matches!(saved, Err(StoreError::Deposed)), "{saved:?}");
    assert_eq!(others.progress().await.unwrap(), ImportProgress::default());
    let loaded = stamp(&other, &[task("1")], taken).await.unwrap();
    assert_eq!(
        loaded.entries[&task("1")].version.0,
        1,
        "nothing was stamped"
    );
}

#[tokio::test]
async fn a_lease_that_was_renewed_by_a_clock_far_ahead_is_taken() {
    let bench = bench().await;
    let fence = bench.held_lease().await;
    let ahead = doc! { "$set": { "until": DateTime::now().saturating_add_duration(HOUR) } };
    let lease = doc! { "_id": "importer" };
    bench.state().update_one(lease, ahead).await.unwrap();
    assert!(bench.held_lease().await > fence);
}

/// Otherwise two gateways hold the same number after it.
#[tokio::test]
async fn a_restore_of_an_older_dump_brings_no_number_back() {
    let bench = bench().await;
    let Fence(number) = bench.held_lease().await;
    let older = doc! { "$set": { "fence": number - 1, "until": DateTime::from_millis(0) } };
    let lease = doc! { "_id": "importer" };
    bench.state().update_one(lease, older).await.unwrap();
    assert!(bench.held_lease().await > Fence(number));
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let bench = bench().await;
    let fence = bench.held_lease().await;
    bench.collections.release(fence).await.unwrap();
    let next = bench.held_lease().await;
    assert!(next > fence);
    bench.collections.release(fence).await.unwrap();
    assert_eq!(
        bench.collections.lease(Some(next)).await.unwrap(),
        Some(next),
        "only its holder gives it back"
    );
}

#[tokio::test]
async fn progress_is_kept_field_by_field_and_an_operators_word_for_one_hold() {
    let bench = bench().await;
    let fence = bench.held_lease().await;
    let position = doc! { "token": { "_data": "82" } }.to_vec().unwrap();
    let import = TypeImport {
        collection: Some(CollectionId("a".to_owned())),
        shape: "shape".to_owned(),
        scan: Some(TypeScan {
            phase: ScanPhase::Entries,
            after: Some(WalkPosition(b"place".to_vec())),
            done: 7,
            total: 9,
        }),
        held: None,
        accepts_deletes: false,
    };
    let mut whole = of_task(import.clone());
    whole.position = Some(ImportPosition(position));
    bench.collections.save(fence, &whole).await.unwrap();
    assert_eq!(bench.collections.progress().await.unwrap(), whole);

    bench
        .collections
        .accept_deletes(&task_type())
        .await
        .unwrap();
    assert_eq!(
        bench.collections.progress().await.unwrap(),
        whole,
        "nothing is held"
    );
    let held = TypeImport {
        scan: None,
        held: Some(HeldType {
            missing: 5,
            expected: 6,
        }),
        ..import
    };
    bench
        .collections
        .save(fence, &of_task(held.clone()))
        .await
        .unwrap();
    bench
        .collections
        .accept_deletes(&task_type())
        .await
        .unwrap();
    bench
        .collections
        .save(fence, &of_task(held.clone()))
        .await
        .unwrap();
    let read = bench.collections.progress().await.unwrap();
    assert_eq!(read.position, whole.position);
    let accepting = TypeImport {
        accepts_deletes: true,
        ..held.clone()
    };
    assert_eq!(read.types[&task_type()], accepting);
    let done = TypeImport { held: None, ..held };
    bench
        .collections
        .save(fence, &of_task(done.clone()))
        .await
        .unwrap();
    let read = bench.collections.progress().await.unwrap();
    assert_eq!(read.types[&task_type()], done);
}

/// One id of each kind that a collection can have, save the greatest of all, which no bound reaches.
fn mixed_ids() -> Vec<Bson> {
    let binary = |subtype| {
        Bson::Binary(Binary {
            subtype,
            bytes: vec![7; 16],
        })
    };
    vec![
        Bson::MinKey,
        Bson::Null,
        Bson::Int32(-3),
        Bson::Int64(1 << 40),
        Bson::Double(0.5),
        Bson::Double(f64::NAN),
        Bson::Decimal128("7.25".parse::<Decimal128>().unwrap()),
        "a".into(),
        "b".into(),
        Bson::Symbol("c".to_owned()),
        doc! { "a": 1 }.into(),
        doc! { "a": "$b" }.into(),
        binary(BinarySubtype::Generic),
        binary(BinarySubtype::Uuid),
        ObjectId::from_bytes([7; 12]).into(),
        Bson::Boolean(false),
        DateTime::from_millis(7).into(),
        Bson::Timestamp(mongodb::bson::Timestamp {
            time: 7,
            increment: 7,
        }),
    ]
}

#[tokio::test]
async fn a_walk_passes_ids_of_all_types_and_what_a_type_cannot_spell_is_withheld() {
    let bench = bench().await;
    let ids = mixed_ids();
    let documents = ids
        .iter()
        .map(|id| doc! { "_id": id.clone(), "audience": "all" });
    bench.tasks().insert_many(documents).await.unwrap();
    for limit in [1, 2, 5, 17, 18, 100] {
        let (keys, passed) = bench.walk(limit).await;
        assert_eq!(
            (keys.as_slice(), passed),
            (&["a".to_owned(), "b".to_owned()][..], 18)
        );
    }
    let withheld = bench.withheld().await;
    assert_eq!(withheld.len(), 16, "{withheld:?}");
    assert!(withheld.iter().all(|(_, path, _)| path == "id"));
    let found: BTreeSet<&str> = withheld
        .iter()
        .map(|(_, _, found)| found.as_str())
        .collect();
    assert_eq!(found.len(), 13, "{found:?}");
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = bench.collections.withheld(after.as_ref(), 3).await.unwrap();
        pages.extend(page.documents);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages.len(), 16, "each once");
}

#[tokio::test]
async fn ids_too_long_to_be_kept_do_not_stop_a_walk() {
    let bench = bench().await;
    let long = |letter: &str| letter.repeat(5_000);
    let mut ids = vec!["a".to_owned(), "z".to_owned()];
    ids.extend(["b", "c", "d", "e", "f"].map(long));
    let documents = ids.iter().map(|id| doc! { "_id": id, "audience": "all" });
    bench.tasks().insert_many(documents).await.unwrap();
    for limit in [1, 2, 3] {
        let (keys, passed) = bench.walk(limit).await;
        let keys: BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(keys, BTreeSet::from(["a".to_owned(), "z".to_owned()]));
        assert!(passed >= 7, "{passed}");
    }
    assert_eq!(bench.withheld().await, []);
    let state = bench
        .collections
        .documents(&task_type(), None, 1)
        .await
        .unwrap();
    assert!(state.next.unwrap().0.len() < 1_100);
}

#[tokio::test]
async fn entries_that_expect_a_document_and_documents_that_are_missing_are_found() {
    let bench = bench().await;
    let home = scope("all");
    let mut withheld = tombstone(&task("3"), &home, 1);
    withheld.withheld = true;
    let written = [
        entry(&task("1"), &home, 1),
        tombstone(&task("2"), &home, 1),
        withheld,
        entry(&task("4"), &home, 1),
        entry(&key("Member", "1"), &home, 1),
    ];
    write(&bench.store, entries(written)).await;
    bench.tasks().delete_one(doc! { "_id": "4" }).await.unwrap();
    let mut found = Vec::new();
    let (types, mut after) = (task_type(), None::<DocumentId>);
    loop {
        let part = bench.collections.expected(&types, after.as_ref(), 2).await;
        let part = part.unwrap();
        let Some(last) = part.last() else { break };
        after = Some(last.id.clone());
        found.extend(part);
    }
    assert_eq!(found, [task("1"), task("3"), task("4")]);
    found.push(key("Member", "1"));
    let missing: BTreeSet<_> = bench
        .collections
        .missing(&found)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(missing, BTreeSet::from([task("3"), task("4")]));
    assert_eq!(bench.collections.count(&task_type()).await.unwrap(), 1);
}

#[tokio::test]
async fn entries_behind_more_tombstones_than_a_search_passes_in_its_time_are_found() {
    let deployment = Deployment::replica_set(1).await;
    let mut own = options(&deployment, "app").await;
    own.client.app_name = Some("the importer".to_owned());
    let store = open(&own, CONTRACT).await;
    let feed = deployment.client().await.database("app");
    let feed = feed.collection::<Document>("tidegate.feed");
    let record = |id: String| doc! { "_id": format!("Task\0{id}"), "t": "Task", "i": id };
    let tombstones = (0..25_000).map(|n| record(format!("{n:05}")));
    feed.insert_many(tombstones).await.unwrap();
    for id in ["x", "y"] {
        let mut living = record(id.to_owned());
        living.insert("b", doc! {});
        feed.insert_one(living).await.unwrap();
    }
    let how = doc! {
        "failCommands": ["find"], "errorCode": 50, "appName": "the importer",
        "namespace": "app.tidegate.feed",
    };
    let collections = store.collections().unwrap();
    for (after, expected) in [(None, vec![task("x"), task("y")]), (Some("y"), vec![])] {
        deployment.fail_commands(Times::Next(1), how.clone()).await;
        let after = after.map(|id| DocumentId::new(id).unwrap());
        let found = collections.expected(&task_type(), after.as_ref(), 10).await;
        assert_eq!(found.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_stamp_records_what_is_withheld_and_removes_the_record_of_what_is_mended_or_deleted() {
    let bench = bench().await;
    let fence = bench.held_lease().await;
    let keys = [task("1"), task("2"), task("3")];
    let documents = ["1", "2", "3"].map(|id| doc! { "_id": id, "audience": "all", "title": 5 });
    bench.tasks().insert_many(documents).await.unwrap();
    for _ in 0..2 {
        bench.stamp(&keys, fence).await.unwrap();
        let row = |id: &str| (id.to_owned(), "title".to_owned(), "int".to_owned());
        assert_eq!(bench.withheld().await, ["1", "2", "3"].map(row));
    }
    let mended = doc! { "$set": { "title": "Tea" } };
    bench
        .tasks()
        .update_one(doc! { "_id": "1" }, mended)
        .await
        .unwrap();
    bench.tasks().delete_one(doc! { "_id": "2" }).await.unwrap();
    let loaded = bench.stamp(&keys, fence).await.unwrap();
    assert_eq!(loaded.misfits, keys.iter().cloned().collect());
    let left: Vec<_> = bench
        .withheld()
        .await
        .into_iter()
        .map(|(id, _, _)| id)
        .collect();
    assert_eq!(left, ["3"]);
    let mended = bench.stamp(&[task("1")], fence).await.unwrap();
    assert_eq!(mended.entries[&task("1")].version.0, 1);
}

/// Its deletion is lost with the history.
#[tokio::test]
async fn a_walk_removes_the_records_of_documents_that_do_not_exist_any_more() {
    let bench = bench().await;
    let fence = bench.held_lease().await;
    let misfit = |id: &str| doc! { "_id": id, "audience": "all", "title": 5 };
    let mut documents: Vec<Document> = ["a", "b", "c", "d"].map(misfit).into();
    let others = [
        Bson::Int32(7),
        Bson::Int32(8),
        doc! { "x": 1 }.into(),
        true.into(),
    ];
    let others = others.map(|id| doc! { "_id": id, "audience": "all" });
    documents.extend(others);
    bench.tasks().insert_many(documents).await.unwrap();
    bench.walk(2).await;
    let keys = ["a", "b", "c", "d"].map(task);
    bench.stamp(&keys, fence).await.unwrap();
    let withheld = bench.withheld().await;
    assert_eq!(withheld.len(), 8);
    for limit in [1, 2, 100] {
        bench.walk(limit).await;
        assert_eq!(bench.withheld().await, withheld, "all of them exist");
    }
    let some = doc! { "_id": { "$in": ["a", "c", 8, true] } };
    bench.tasks().delete_many(some).await.unwrap();
    bench.walk(3).await;
    let left: Vec<_> = bench
        .withheld()
        .await
        .into_iter()
        .map(|(id, ..)| id)
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(
        ["7", "b", "d"]
            .iter()
            .all(|id| left.contains(&(*id).to_owned()))
    );
    bench.tasks().delete_many(doc! {}).await.unwrap();
    bench.walk(3).await;
    assert_eq!(bench.withheld().await, []);
}

#[tokio::test]
async fn what_is_missing_from_another_collection_than_was_imported_is_held() {
    let bench = bench().await;
    let fence = bench.held_lease().await;
    write(&bench.store, entries([entry(&task("1"), &scope("all"), 1)])).await;
    let imported = bench.collections.identities().await.unwrap();
    let import = TypeImport {
        collection: imported.get(&task_type()).cloned(),
        ..TypeImport::default()
    };
    bench
        .collections
        .save(fence, &of_task(import.clone()))
        .await
        .unwrap();
    let held = BTreeSet::from([task_type()]);
    bench.tasks().drop().await.unwrap();
    assert!(
        !bench
            .collections
            .identities()
            .await
            .unwrap()
            .contains_key(&task_type())
    );
    let loaded = bench.stamp(&[task("1")], fence).await.unwrap();
    assert_eq!(loaded.held, held, "the collection is missing");
    bench.database.create_collection("tasks").await.unwrap();
    let other = bench.collections.identities().await.unwrap()[&task_type()].clone();
    assert_ne!(import.collection, Some(other.clone()));
    let loaded = bench.stamp(&[task("1")], fence).await.unwrap();
    assert_eq!(loaded.held, held, "the collection is another one");
    assert_eq!(
        loaded.entries[&task("1")].version.0,
        1,
        "nothing was deleted"
    );

    let scanned = TypeImport {
        collection: Some(other),
        ..import
    };
    bench
        .collections
        .save(fence, &of_task(scanned))
        .await
        .unwrap();
    let loaded = bench.stamp(&[task("1")], fence).await.unwrap();
    assert!(loaded.held.is_empty());
    let loaded = bench.stamp(&[task("1")], fence).await.unwrap();
    assert!(loaded.entries[&task("1")].is_deleted());
}
