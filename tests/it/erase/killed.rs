//! `erase` that is killed while it works: devices lose nothing that is not erased, and the next run erases the rest.

use std::{process::Stdio, thread::sleep, time::Duration};

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};

use super::{Place, SECRET, created, push};
use crate::harness::{Replica, mongod::until, with_secret};

/// So many that they need several transactions.
const DOCUMENTS: usize = 2_000;
const OF_A_PUSH: usize = 250;

/// Each run lives a little longer than the one before, so that some are killed between two transactions.
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

/// Runs the command again and again, and kills it, until a run comes to its end. `look` sees what each one has left.
async fn killed_until_it_is_done(place: &Place, arguments: &[&str], mut look: impl AsyncFnMut()) {
    let arguments = [&["erase", "--config", "tidegate.toml", "--yes"], arguments].concat();
    for run in 0..RUNS_MAX {
        let mut command = with_secret(place.directory.path(), &arguments);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut erasing = command.spawn().unwrap();
        sleep(run * LONGER);
        erasing.kill().unwrap();
        let ended = erasing.wait().unwrap();
        look().await;
        if ended.success() {
            return;
        }
    }
    panic!("no run has come to its end");
}

async fn a_person(mut place: Place) {
    let mut device = filled(&place).await;
    let before = device.documents().clone();
    place.pause();
    let mut halves = 0;
    killed_until_it_is_done(&place, &["--user", "alice"], async || {
        let left = place.exported("alice").len();
        halves += u32::from(0 < left && left < DOCUMENTS);
        if place.server.is_some() {
            let mut fresh = Replica::default();
            fresh.pull(&place.client("bob")).await;
            assert_eq!(*fresh.documents(), before);
        }
    })
    .await;
    assert!(halves > 0, "some runs are killed in the middle");
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
    let mut halves = 0;
    killed_until_it_is_done(&place, &arguments, async || {
        let Some(database) = &place.database else {
            return;
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
        halves += u32::from(1 < stored && stored < DOCUMENTS as u64);
    })
    .await;
    assert!(
        halves > 0 || place.database.is_none(),
        "some runs are killed in the middle"
    );
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
