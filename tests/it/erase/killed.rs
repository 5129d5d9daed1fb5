//! `erase` that is killed while it works: devices lose nothing that is not erased, and the next run erases the rest.

use std::{
    fs,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use mongodb::{
    ClientSession, Database,
    bson::{Document, doc},
};
use serde_json::{Value, json};

use super::{Place, SECRET, created, push};
use crate::harness::{Replica, mongod::until, with_secret};

/// So many that they need several transactions.
const DOCUMENTS: usize = 2_000;
const OF_A_PUSH: usize = 250;

/// On MongoDB each run lives a little longer than the one before.
const LONGER: Duration = Duration::from_millis(100);
const RUNS_MAX: u32 = 200;

fn id(number: usize) -> String {
    format!("d{number}")
}

/// alice writes all documents, and a device of bob has them.
async fn filled(place: &Place) -> Replica {
    let alice = place.client("alice");
    for first in (0..DOCUMENTS).step_by(OF_A_PUSH) {
        let numbers = first..(first + OF_A_PUSH).min(DOCUMENTS);
        let changes = numbers.map(|number| created(&id(number), SECRET));
        let next = i64::try_from(first + 1).unwrap();
        let answer = push(&alice, next, changes.collect()).await;
        let last = &answer["data"]["pushChanges"]["lastMutationId"];
        assert_eq!(last, &json!(first + OF_A_PUSH), "{answer}");
    }
    let mut device = Replica::default();
    device.pull(&place.client("bob")).await;
    assert_eq!(device.documents().len(), DOCUMENTS);
    device
}

fn run(place: &Place, arguments: &[&str]) -> Child {
    let arguments = [&["erase", "--config", "tidegate.toml", "--yes"], arguments].concat();
    let mut command = with_secret(place.directory.path(), &arguments);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A transaction of another program that has written a late record, so that no other transaction can.
async fn held(database: &Database) -> ClientSession {
    let mut session = database.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let feed = database.collection::<Document>("tidegate.feed");
    let held = feed.update_one(doc! {"_id": "Task\0d999"}, doc! {"$set": {"held": 1}});
    let held = held.session(&mut session).await.unwrap();
    assert_eq!(held.modified_count, 1);
    session
}

/// Lets a run live a little longer than the one before, so that some are killed between two transactions. On the embedded
/// store it lives until the file has changed so many times.
fn wait(erasing: &mut Child, place: &Place, nth: u32) {
    if place.database.is_some() {
        return sleep(nth * LONGER);
    }
    let file = place.directory.path().join("data/tidegate.redb");
    let changed_at = || fs::metadata(&file).unwrap().modified().unwrap();
    let mut last = changed_at();
    let mut changes = 0;
    while changes < nth && erasing.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
        let now = changed_at();
        changes += u32::from(now != last);
        last = now;
    }
}

/// Runs the command again and again, and kills it, until a run comes to its end. `is_half` checks what each one has left,
/// and says whether it is a part of the work. It is at least once.
async fn killed_until_it_is_done(
    place: &Place,
    arguments: &[&str],
    mut is_half: impl AsyncFnMut() -> bool,
) {
    let mut halves = 0;
    if let Some(database) = &place.database {
        let mut session = held(database).await;
        let mut erasing = run(place, arguments);
        until("part of the work", async || is_half().await.then_some(())).await;
        erasing.kill().unwrap();
        assert!(!erasing.wait().unwrap().success());
        session.abort_transaction().await.unwrap();
        halves += 1;
    }
    for nth in 0..RUNS_MAX {
        let mut erasing = run(place, arguments);
        wait(&mut erasing, place, nth);
        erasing.kill().unwrap();
        let ended = erasing.wait().unwrap();
        halves += u32::from(is_half().await);
        if ended.success() {
            assert!(halves > 0, "some runs are killed in the middle");
            return;
        }
    }
    panic!("no run has come to its end");
}

async fn a_person(mut place: Place) {
    let mut device = filled(&place).await;
    let before = device.documents().clone();
    place.pause();
    killed_until_it_is_done(&place, &["--user", "alice"], async || {
        if place.server.is_some() {
            let mut fresh = Replica::default();
            fresh.pull(&place.client("bob")).await;
            assert_eq!(*fresh.documents(), before);
        }
        (1..DOCUMENTS).contains(&place.exported("alice").len())
    })
    .await;
    assert_eq!(place.exported("alice"), [Value::Null; 0]);
    assert!(!place.kept().await.contains("alice"));
    place.go_on();
    let repeated = push(&place.client("alice"), 1, json!([created("d0", SECRET)])).await;
    let code = &repeated["errors"][0]["extensions"]["code"];
    assert_eq!(code, "MUTATION_ID_REUSED", "{repeated}");
    device.pull(&place.client("bob")).await;
    assert_eq!(*device.documents(), before);
}

async fn documents(mut place: Place) {
    let mut device = filled(&place).await;
    place.pause();
    let erased: Vec<String> = (0..DOCUMENTS - 1)
        .map(|n| format!("Task/{}", id(n)))
        .collect();
    let arguments: Vec<&str> = erased.iter().flat_map(|it| ["--document", it]).collect();
    killed_until_it_is_done(&place, &arguments, async || {
        let Some(database) = &place.database else {
            let left = place.exported("alice");
            let documents = left.iter().filter(|it| it["kind"] == "document");
            return (2..DOCUMENTS).contains(&documents.count());
        };
        // What is gone for devices is gone in the collection, and the other way round.
        let tasks = database.collection::<Document>("tasks");
        let stored = until("the last transaction", async || {
            let mut fresh = Replica::default();
            fresh.pull(&place.client("bob")).await;
            let stored = tasks.count_documents(doc! {}).await.unwrap();
            (fresh.documents().len() as u64 == stored).then_some(stored)
        })
        .await;
        (2..DOCUMENTS as u64).contains(&stored)
    })
    .await;
    place.go_on();
    device.pull(&place.client("bob")).await;
    assert_eq!(device.documents().len(), 1);
    let kept = place.kept().await;
    assert_eq!(
        kept.matches(SECRET).count(),
        usize::from(place.database.is_some())
    );
}

mod embedded {
    use super::super::Place;

    #[tokio::test]
    async fn a_person_is_erased_by_a_command_that_is_killed() {
        super::a_person(Place::embedded()).await;
    }

    #[tokio::test]
    async fn documents_are_erased_by_a_command_that_is_killed() {
        super::documents(Place::embedded()).await;
    }
}

mod mongodb_runs {
    use super::super::Place;

    #[tokio::test]
    async fn a_person_is_erased_by_a_command_that_is_killed() {
        super::a_person(Place::mongodb().await).await;
    }

    #[tokio::test]
    async fn documents_are_erased_by_a_command_that_is_killed() {
        super::documents(Place::mongodb().await).await;
    }
}
