//! What MongoDB alone promises of models: what several gateways do to them, and what a change of the lead does to an
//! importer.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use tidegate::{
    store::{
        Store, StoreError,
        collections::{ImportProgress, ScanPhase, TypeImport, TypeScan, WalkPosition},
        mongo::MongoStore,
    },
    sync::LeadWatch,
};
use tidegate_core::{
    generation::{Generation, ModelState, Term},
    id::{TypeName, UserId},
    membership::Bounds,
    model::Model,
    push,
    transaction::{Fence, Loaded, Reads, Writes},
    value::Timestamp,
};

use tokio::time::timeout;

use super::{CONTRACT, Mongo};
use crate::{
    contract::{
        Backend,
        fixture::{entries, entry, key, scope},
    },
    harness::PATIENCE,
};

fn model() -> Model {
    Model::parse("model.graphql", CONTRACT).unwrap()
}

fn task() -> TypeName {
    TypeName::new("Task").unwrap()
}

#[tokio::test]
async fn gateways_that_register_their_models_at_once_get_one_number_for_each() {
    const TEXTS: [&str; 2] = ["a", "b"];
    let mongo = Mongo::start().await;
    let registering = (0..6).map(|gateway| {
        let mongo = &mongo;
        async move {
            let store = mongo.store(CONTRACT).await;
            let text = TEXTS[gateway % TEXTS.len()];
            (text, store.models().register(text, "hash").await.unwrap())
        }
    });
    let numbers = join_all(registering).await;
    let known = mongo
        .store(CONTRACT)
        .await
        .models()
        .record()
        .await
        .unwrap()
        .known;
    assert_eq!(known.len(), TEXTS.len());
    for (text, number) in numbers {
        assert_eq!(known[&number].text, text);
    }
}

#[tokio::test]
async fn a_change_of_the_lead_deposes_the_importer_and_marks_scans_in_one_transaction() {
    let mongo = Mongo::start().await;
    let store = mongo.store(CONTRACT).await;
    let (models, collections) = (store.models(), store.collections().unwrap());
    let fence = collections.lease(None).await.unwrap().unwrap();
    let half_done = TypeImport {
        shape: "of the model before".to_owned(),
        scan: Some(TypeScan {
            phase: ScanPhase::Entries,
            after: Some(WalkPosition(b"half way".to_vec())),
            done: 7,
            total: 14,
        }),
        ..TypeImport::default()
    };
    let saved = |import: &TypeImport| ImportProgress {
        types: [(task(), import.clone())].into(),
        ..ImportProgress::default()
    };
    collections.save(fence, &saved(&half_done)).await.unwrap();

    let change = ModelState::default().led_by(Generation(1), &model(), None);
    assert!(models.take_lead(&change).await.unwrap());
    let marked = TypeImport {
        scan: Some(TypeScan::default()),
        ..half_done.clone()
    };
    let progress = collections.progress().await.unwrap();
    assert_eq!(progress.types[&task()], marked);
    let late = collections.save(fence, &saved(&half_done)).await;
    assert!(matches!(late, Err(StoreError::Deposed)), "{late:?}");

    let other = serving(&mongo, Generation(1)).await;
    let others = other.collections().unwrap();
    let next = others.lease(None).await.unwrap().unwrap();
    assert!(next > fence);
    assert_eq!(collections.lease(Some(fence)).await.unwrap(), None);
    assert!(models.take_lead(&change).await.unwrap(), "it is in force");
    let held = others.lease(Some(next)).await.unwrap();
    assert_eq!(held, Some(next), "a repeated change deposes nobody");
}

#[tokio::test]
async fn only_gateways_of_the_leading_model_import() {
    let mongo = Mongo::start().await;
    let [older, newer] = [
        serving(&mongo, Generation(1)).await,
        serving(&mongo, Generation(2)).await,
    ];
    let change = ModelState::default().led_by(Generation(1), &model(), None);
    assert!(older.models().take_lead(&change).await.unwrap());
    let of = |store: &MongoStore| store.collections().unwrap();
    assert_eq!(of(&newer).lease(None).await.unwrap(), None);
    let fence = of(&older).lease(None).await.unwrap().unwrap();
    stamp(&older, fence).await.unwrap();

    let change = change.state.led_by(Generation(2), &model(), Some(&model()));
    assert_eq!(change.scans, [].into(), "both read alike");
    assert!(newer.models().take_lead(&change).await.unwrap());
    let stamped = stamp(&older, fence).await;
    assert!(matches!(stamped, Err(StoreError::Deposed)), "{stamped:?}");
    for held in [Some(fence), None] {
        assert_eq!(of(&older).lease(held).await.unwrap(), None);
    }
    let fence = of(&newer).lease(None).await.unwrap().unwrap();
    let stamped = stamp(&older, fence).await;
    assert!(matches!(stamped, Err(StoreError::Deposed)), "{stamped:?}");
    stamp(&newer, fence).await.unwrap();
}

/// A push that takes over others' writes alone leaves the document as it is: no event would report it to the next
/// importer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_imports_alone_conflicts_with_a_change_of_the_lead() {
    for (imports_alone, conflicts) in [(true, true), (false, false)] {
        let mongo = Mongo::start().await;
        let [older, newer] = [
            serving(&mongo, Generation(1)).await,
            serving(&mongo, Generation(2)).await,
        ];
        let first = ModelState::default().led_by(Generation(1), &model(), None);
        assert!(older.models().take_lead(&first).await.unwrap());
        let (begins, begun) = mpsc::channel();
        let (goes_on, may_go_on) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        let decide = move |_: &Loaded| {
            begins.send(()).unwrap();
            may_go_on.lock().unwrap().recv().unwrap();
            Writes {
                imports_alone,
                ..entries([entry(&key("Note", "1"), &scope("all"), 1)])
            }
        };
        let push =
            tokio::spawn(async move { older.commit(Reads::default(), Arc::new(decide)).await });
        tokio::task::block_in_place(|| begun.recv().unwrap());
        let second = first.state.led_by(Generation(2), &model(), Some(&model()));
        assert!(newer.models().take_lead(&second).await.unwrap());
        goes_on.send(()).unwrap();
        let written = push.await.unwrap();
        let conflicted = matches!(written, Err(StoreError::WriteConflict(_)));
        assert_eq!(conflicted, conflicts, "{written:?}");
    }
}

#[tokio::test]
async fn a_gateway_of_another_model_counts_as_live_for_the_time_asked_by_the_servers_clock() {
    const MINUTE: Duration = Duration::from_secs(60);
    let mongo = Mongo::start().await;
    let older = serving(&mongo, Generation(1)).await;
    let has_later = async || older.models().has_later(MINUTE).await.unwrap();
    let _same = serving(&mongo, Generation(1)).await;
    assert!(!has_later().await);
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    let beat_at = async |minutes: i32| {
        let at = doc! { "$dateAdd": { "startDate": "$$NOW", "unit": "minute", "amount": minutes } };
        let beat = vec![doc! { "$set": { "generation": 2_i64, "at": at } }];
        let record = state.update_one(doc! { "_id": "live\0dead" }, beat);
        record.upsert(true).await.unwrap();
    };
    for (minutes, is_live) in [(0, true), (-2, false), (2, false)] {
        beat_at(minutes).await;
        assert_eq!(has_later().await, is_live, "{minutes}");
    }
    let newer = serving(&mongo, Generation(2)).await;
    assert!(
        has_later().await,
        "the first heartbeat comes before the lead is taken"
    );
    assert!(!newer.models().has_later(MINUTE).await.unwrap());
}

#[tokio::test]
async fn a_newer_model_leads_at_once_and_an_older_one_when_no_newer_was_live_for_a_minute() {
    let mongo = Mongo::start().await;
    let older = watch(&mongo, OLDER).await;
    assert!(older.look().await.unwrap().leads, "nothing leads yet");
    let newer = watch(&mongo, CONTRACT).await;
    let standing = newer.look().await.unwrap();
    assert_eq!((standing.leads, standing.term), (true, Term(2)));
    assert!(!older.look().await.unwrap().leads);
    let both = tokio::join!(newer.look(), newer.look());
    assert_eq!(
        (both.0.unwrap(), both.1.unwrap()),
        (standing, standing),
        "nothing changes"
    );

    // The newer gateway is stopped: its heartbeat grows old.
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    let two_minutes_ago =
        doc! { "$dateSubtract": { "startDate": "$$NOW", "unit": "minute", "amount": 2 } };
    let silent = vec![doc! { "$set": { "at": two_minutes_ago } }];
    state
        .update_many(doc! { "generation": 2_i64 }, silent)
        .await
        .unwrap();
    let standing = older.look().await.unwrap();
    assert_eq!((standing.leads, standing.term), (true, Term(3)));
    let record = mongo.store(CONTRACT).await.models().record().await.unwrap();
    assert_eq!(record.state.lead, Generation(1));

    // It wakes up.
    let standing = newer.look().await.unwrap();
    assert_eq!((standing.leads, standing.term), (true, Term(4)));
}

/// Each change of the lead scans what the models read differently, also on the way back.
#[tokio::test]
async fn a_rollback_scans_the_types_that_are_read_differently() {
    let mongo = Mongo::start().await;
    let older = watch(&mongo, OLDER).await;
    older.look().await.unwrap();
    let store = mongo.store(CONTRACT).await;
    let collections = store.collections().unwrap();
    let forget = async || {
        let state = mongo
            .database()
            .await
            .collection::<Document>("tidegate.state");
        let scans = doc! { "$unset": { "types.Task.scan": "", "types.Member.scan": "" } };
        state
            .update_one(doc! { "_id": "progress\u{0}1" }, scans)
            .await
            .unwrap();
    };
    let marked = async || {
        let types = collections.progress().await.unwrap().types;
        let marked = types
            .into_iter()
            .filter(|(_, import)| import.scan.is_some());
        marked.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    forget().await;
    watch(&mongo, CONTRACT).await.look().await.unwrap();
    assert_eq!(marked().await, ["Task"], "of Member both say the same");
    forget().await;
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    let gone = doc! { "generation": 2_i64 };
    state.delete_many(gone).await.unwrap();
    assert!(older.look().await.unwrap().leads);
    assert_eq!(marked().await, ["Task"]);
}

/// Members of a room, whose access the rule gives.
fn members(access: &str) -> String {
    format!(
        r#"
extend schema @grant(scope: "public", access: WRITE)
type Member @collection(name: "members") @scope(by: "public") @grants(scope: "room:{{room}}", to: "{{user}}", access: "{access}") {{
  id: ID! room: String! user: String! level: String
}}
"#
    )
}

/// A gateway that takes the lead while it runs stamps memberships as a start does. It does not wait for an importer.
#[tokio::test]
async fn memberships_follow_the_rule_of_a_lead_that_changes_without_a_start() {
    let mongo = Mongo::start().await;
    let (reading, by_level) = (members("READ"), members("{level}"));
    let older = watch(&mongo, &reading).await;
    older.look().await.unwrap();
    let bob = doc! { "_id": "1", "room": "a", "user": "bob", "level": "NONE" };
    let database = mongo.database().await;
    let collection = database.collection::<Document>("members");
    collection.insert_one(bob).await.unwrap();
    let store = mongo.store(&reading).await;
    store.models().serve_as(Generation(1)).await.unwrap();
    let collections = store.collections().unwrap();
    let fence = collections.lease(None).await.unwrap().unwrap();
    let first = Model::parse("model.graphql", &reading).unwrap();
    let reads = push::stamp_reads([key("Member", "1")].into(), Some(fence));
    let stamp = move |loaded: &Loaded| push::stamp(&first, Timestamp::EPOCH, loaded);
    store.commit(reads, Arc::new(stamp)).await.unwrap();
    let opens = async || {
        let mut snapshot = store.snapshot().await.unwrap();
        let bob = UserId::new("bob").unwrap();
        let given = snapshot.memberships(&bob, &Bounds::default()).await;
        given.unwrap().rows.len()
    };
    assert_eq!(opens().await, 1);

    let newer = watch(&mongo, &by_level).await;
    assert!(newer.look().await.unwrap().leads);
    assert_eq!(opens().await, 0);
    let live = database.collection::<Document>("tidegate.state");
    let gone = doc! { "generation": 2_i64 };
    live.delete_many(gone).await.unwrap();
    assert!(older.look().await.unwrap().leads);
    assert_eq!(opens().await, 1);
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.state().models.unstamped, [].into());
    let seat = TypeName::new("Member").unwrap();
    assert_eq!(
        snapshot.state().models.moving,
        [seat].into(),
        "the scan is the importer's"
    );

    // Another gateway took the lead and was killed, while an importer holds the lease.
    let state = &snapshot.state().models;
    let model = Model::parse("model.graphql", &by_level).unwrap();
    let before = Model::parse("model.graphql", &reading).unwrap();
    let change = state.led_by(Generation(2), &model, Some(&before));
    assert!(store.models().take_lead(&change).await.unwrap());
    let importer = mongo.store(&by_level).await;
    importer.models().serve_as(Generation(2)).await.unwrap();
    let held = importer.collections().unwrap().lease(None).await.unwrap();
    assert!(held.is_some());
    assert_eq!(opens().await, 1);
    let look = timeout(PATIENCE, newer.look()).await;
    assert!(look.expect("it does not wait for the lease").unwrap().leads);
    assert_eq!(opens().await, 0);
}

/// Says less of tasks than [`CONTRACT`], and the same of members.
const OLDER: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{audience}") { id: ID! audience: String! title: String }
type Member @collection(name: "members") @scope(by: "{audience}") { id: ID! audience: String! title: String }
"#;

async fn watch(mongo: &Mongo, text: &str) -> LeadWatch {
    let store = mongo.store(text).await;
    let generation = store.models().register(text, "hash").await.unwrap();
    store.models().serve_as(generation).await.unwrap();
    let model = Model::parse("model.graphql", text).unwrap();
    LeadWatch::new(
        Arc::new(model),
        Arc::new(store),
        Arc::new(|| Timestamp::EPOCH),
        generation,
    )
}

async fn serving(mongo: &Mongo, generation: Generation) -> MongoStore {
    let store = mongo.store(CONTRACT).await;
    store.models().serve_as(generation).await.unwrap();
    store
}

async fn stamp(store: &MongoStore, lease: Fence) -> Result<(), StoreError> {
    let reads = push::stamp_reads([key("Task", "1")].into(), Some(lease));
    let stamped = store.commit(reads, Arc::new(|_: &Loaded| Writes::default()));
    stamped.await.map(drop)
}

/// A dump that was restored under a running gateway may have the same term and another lead.
#[tokio::test]
async fn a_gateway_takes_no_record_of_types_for_another() {
    let mongo = Mongo::start().await;
    let store = mongo.store(CONTRACT).await;
    let models = store.models();
    let change = ModelState::default().led_by(Generation(1), &model(), None);
    assert!(models.take_lead(&change).await.unwrap());
    assert_eq!(
        *store.snapshot().await.unwrap().state().models,
        change.state
    );
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    for id in ["model", "modelTypes"] {
        state.delete_one(doc! { "_id": id }).await.unwrap();
    }
    let smaller = Model::parse(
        "model.graphql",
        r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "{audience}") { id: ID! audience: String! }
"#,
    );
    let other = ModelState::default().led_by(Generation(1), &smaller.unwrap(), None);
    let second = mongo.store(CONTRACT).await;
    assert!(second.models().take_lead(&other).await.unwrap());
    assert_eq!(*store.snapshot().await.unwrap().state().models, other.state);
}
