//! Other services write past two gateways, whose importer is killed and stopped, whose streams lose their history and
//! whose collections are renamed: clients end with what the collections have.
//!
//! `TIDEGATE_FOLLOWING_OPERATIONS` sets the number of foreign writes, and `TIDEGATE_FOLLOWING_SEED` repeats those of a
//! run.

mod arrival;
mod device;
mod documents;
mod foreign;
mod history;
mod judge;
mod kinds;
mod stage;

use std::{
    env,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use futures_util::{
    FutureExt, TryStreamExt,
    future::{LocalBoxFuture, join},
};
use mongodb::bson::{Document, Timestamp, doc};
use tidegate_testkit::Random;
use tokio::sync::RwLock;

use self::{
    device::{Device, Follows, Person},
    documents::COUNTER,
    foreign::Foreign,
    history::History,
    judge::Versions,
    kinds::Kind,
    stage::Stage,
};
use crate::harness::{expect_no_gap, mongod::Times};

const PEOPLE: [Person; 4] = [
    Person {
        user: "alice",
        teams: &["red", "blue"],
        staff: &["red"],
        follows: Follows::Subscribing,
    },
    Person {
        user: "bob",
        teams: &["red"],
        staff: &[],
        follows: Follows::Subscribing,
    },
    Person {
        user: "carol",
        teams: &["blue", "red"],
        staff: &[],
        follows: Follows::Pulling,
    },
    // A membership that the other service writes and removes gives him red.
    Person {
        user: "dave",
        teams: &["blue"],
        staff: &[],
        follows: Follows::Subscribing,
    },
];

/// What happens while the other service writes.
type Event = for<'a> fn(&'a Stage, &'a RwLock<String>) -> LocalBoxFuture<'a, ()>;

const EVENTS: [(&str, Event); 7] = [
    ("the importer is killed", |stage, _| {
        kill(stage).boxed_local()
    }),
    ("the tasks are away for a while", |stage, tasks| {
        rename_away(stage, tasks).boxed_local()
    }),
    ("the importer is stopped", |stage, _| {
        hang(stage).boxed_local()
    }),
    ("the streams lose their history", |stage, _| {
        fail_streams(stage).boxed_local()
    }),
    (
        "the importer dies with a position that is too old",
        |stage, _| kill_with_old_position(stage).boxed_local(),
    ),
    ("others take the place of the tasks", |stage, tasks| {
        replace_tasks(stage, tasks).boxed_local()
    }),
    ("nothing happens", |_, _| async {}.boxed_local()),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_equal_the_collections_after_all_that_others_and_faults_do() {
    let seed = number("TIDEGATE_FOLLOWING_SEED");
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(()) % 1_000_000);
    let operations = number("TIDEGATE_FOLLOWING_OPERATIONS").unwrap_or(1_000);
    let operations = usize::try_from(operations).unwrap();
    println!("TIDEGATE_FOLLOWING_SEED={seed} repeats what the other service writes");

    let stage = Arc::new(Stage::new().await);
    let mut foreign = Foreign::new(&stage.database, seed, operations);
    let tasks = foreign.tasks();
    fill(&stage, seed).await;
    // What is there before the first gateway is imported too.
    foreign.work(operations / 20).await;
    stage.start(0).await;
    stage.importer().await;
    stage.start(1).await;
    let mut devices = Vec::new();
    for (number, person) in PEOPLE.into_iter().enumerate() {
        let seed = seed.wrapping_add(1 + number as u64);
        devices.push(Device::at(&stage, number % 2, person, seed).await);
    }
    let share = operations * 19 / 20 / EVENTS.len();
    for (what, event) in EVENTS {
        let began = std::time::Instant::now();
        join(foreign.work(share), event(&stage, &tasks)).await;
        println!("{what}: {:?}", began.elapsed());
    }
    assert!(foreign.effective > operations / 3, "most find a document");
    judge(&stage, &foreign, devices).await;
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("it is a number"))
}

/// Documents that are there from the beginning. All but bob see the counter.
async fn fill(stage: &Stage, seed: u64) {
    let mut random = Random::new(seed);
    for kind in [Kind::Task, Kind::Machine] {
        let ids = (0..20).map(|number| documents::id(kind, number));
        let documents: Vec<Document> = ids
            .map(|id| documents::document(kind, id, &mut random))
            .collect();
        stage.stored(kind).insert_many(documents).await.unwrap();
    }
    let counter = doc! {
        "_id": documents::id(Kind::Machine, COUNTER), "audience": "team:blue", "name": "counter", "hours": 0,
    };
    let machines = stage.stored(Kind::Machine);
    machines.insert_one(counter).await.unwrap();
}

async fn judge(stage: &Stage, foreign: &Foreign, mut devices: Vec<Device>) {
    let mut versions = Versions::default();
    let mut counted = foreign.counted;
    for device in &mut devices {
        let outcomes = device.stop_pushing().await;
        counted += outcomes.counted;
        versions.take_outcomes(&outcomes);
    }
    let history = History::read(stage).await;
    judge::expect_equal(stage, &history, &devices).await;
    for device in devices {
        let person = device.person;
        let replica = device.end();
        assert_eq!(replica.resets, 1, "continuity was never broken");
        versions.expect_order(&history, &person, &replica.taken);
    }
    let counter = (Kind::Machine, foreign::counter_id().to_hex());
    let counter = &history.end()[&counter];
    assert_eq!(counter.fields["hours"], counted, "each count once");
    assert!(history.by_gateways > 0, "gateways wrote too");
    expect_no_gap(&stage.database, stage.began).await;
}

/// Another gateway goes on with the import.
async fn kill(stage: &Stage) {
    let killed = stage.importer().await;
    stage.kill(killed);
    stage.importer_after(Some(killed)).await;
    stage.start(killed).await;
}

/// The importer stands still until another has taken over, and then finds itself deposed.
async fn hang(stage: &Stage) {
    let stopped = stage.importer().await;
    stage.signal(stopped, "STOP");
    stage.importer_after(Some(stopped)).await;
    stage.signal(stopped, "CONT");
}

/// The collection is back before anything is deleted from devices.
async fn rename_away(stage: &Stage, tasks: &RwLock<String>) {
    let _nobody_creates = stage.creating.write().await;
    move_tasks(stage, tasks, "tasks_away").await;
    stage
        .until_type(Kind::Task, "held type", |task| task.contains_key("held"))
        .await;
    move_tasks(stage, tasks, Kind::Task.collection()).await;
    stage
        .until_type(Kind::Task, "end of the hold", |task| {
            !task.contains_key("held")
        })
        .await;
}

/// The other service writes to the tasks where they are.
async fn move_tasks(stage: &Stage, tasks: &RwLock<String>, to: &str) {
    let mut tasks = tasks.write().await;
    rename(stage, &tasks, to, false).await;
    to.clone_into(&mut tasks);
}

async fn fail_streams(stage: &Stage) {
    let how = doc! {"failCommands": ["getMore"], "errorCode": 286, "appName": "tidegate"};
    stage.set.fail_commands(Times::Always, how).await;
    stage
        .until_type(Kind::Task, "scan", |task| task.contains_key("scan"))
        .await;
    stage.set.heal_commands().await;
}

/// The position is one that the oplog does not have any more.
async fn kill_with_old_position(stage: &Stage) {
    let killed = stage.importer().await;
    stage.kill(killed);
    let position = stage
        .progress()
        .await
        .get_document("position")
        .unwrap()
        .clone();
    let token = position
        .get_document("token")
        .unwrap()
        .get_str("_data")
        .unwrap();
    // A token begins with one byte for the type of its first value, a time. The rest of it can be any.
    let time = "0000000100000001";
    let token = format!("{}{time}{}", &token[..2], &token[2 + time.len()..]);
    let old = Timestamp {
        time: 1,
        increment: 1,
    };
    let changes = doc! {"position.token._data": token, "position.at": old};
    stage.change_progress(doc! {"$set": changes}).await;
    stage.importer_after(Some(killed)).await;
    stage.start(killed).await;
}

/// A changed copy of the tasks takes their place. Some are missing in it, fewer than would hold the type.
async fn replace_tasks(stage: &Stage, tasks: &RwLock<String>) {
    let mut copies: Vec<Document> = {
        let stored = stage.stored(Kind::Task).find(doc! {}).await.unwrap();
        stored.try_collect().await.unwrap()
    };
    copies.retain(|copy| copy.get_str("_id").is_ok_and(|id| !id.ends_with("11")));
    for copy in copies.iter_mut().step_by(2) {
        copy.insert("notes", "from the copy");
        copy.insert(foreign::BY, "the copy");
    }
    stage.create_collection("tasks_new").await;
    let new = stage.database.collection::<Document>("tasks_new");
    new.insert_many(copies).await.unwrap();
    let tasks = tasks.write().await;
    rename(stage, "tasks_new", &tasks, true).await;
}

async fn rename(stage: &Stage, from: &str, to: &str, drop_target: bool) {
    let name = |collection: &str| format!("{}.{collection}", stage.database.name());
    let rename = doc! {"renameCollection": name(from), "to": name(to), "dropTarget": drop_target};
    let admin = stage.set.client().await.database("admin");
    admin.run_command(rename).await.unwrap();
}
