//! The tail as a change stream: it continues at its position, or reports that it began again.
//!
//! The contract has what every tail promises.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, stream::BoxStream};
use mongodb::{
    bson::{Bson, Document, doc},
    event::{EventHandler, command::CommandEvent},
};
use serde_json::json;
use tidegate::{
    store::{Store, StoreError, TailEvent, mongo::MongoOptions},
    sync::{PullRequest, Start},
};
use tidegate_core::{
    checkpoint::RequestedTypes,
    transaction::{Loaded, Reads, Writes},
};
use tokio::time::{sleep, timeout};

use super::{CONTRACT, Mongo, gateway::Gateway, open, options};
use crate::{
    contract::{
        Backend,
        fixture::{entries, entry, scope, task, write},
    },
    harness::mongod::{Deployment, Times},
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    deployment: Deployment,
    store: Arc<dyn Store>,
    /// The store of another gateway.
    other: Arc<dyn Store>,
    tail: BoxStream<'static, TailEvent>,
    versions: std::ops::RangeFrom<i32>,
}

/// A server of the test's own, a store on it, its tail, and another gateway's store.
async fn bench(change: impl FnOnce(&mut MongoOptions)) -> Bench {
    bench_on(Deployment::replica_set(1).await, change).await
}

async fn bench_on(deployment: Deployment, change: impl FnOnce(&mut MongoOptions)) -> Bench {
    let others = options(&deployment, "app").await;
    let mut options = others.clone();
    options.client.app_name = Some("the gateway".to_owned());
    change(&mut options);
    let store: Arc<dyn Store> = Arc::new(open(&options, CONTRACT).await);
    let other = Arc::new(open(&others, CONTRACT).await);
    let tail = store.tail();
    let mut bench = Bench {
        deployment,
        store,
        other,
        tail,
        versions: 1..,
    };
    assert!(matches!(bench.next().await, TailEvent::Restart));
    bench
}

impl Bench {
    async fn next(&mut self) -> TailEvent {
        let event = timeout(PATIENCE, self.tail.next()).await;
        event
            .expect("the tail stands still")
            .expect("the tail ended")
    }

    /// The other gateway writes the next version of a document, whose seq is the same number.
    async fn write(&mut self) -> i64 {
        let writes = self.next_writes();
        write(&*self.other, writes).await;
        i64::from(self.versions.start - 1)
    }

    /// The gateway itself does.
    async fn write_own(&mut self) -> i64 {
        let writes = self.next_writes();
        write(&*self.store, writes).await;
        i64::from(self.versions.start - 1)
    }

    /// The gateway writes, and gives the commit up.
    async fn write_and_give_up(&mut self) {
        let writes = self.next_writes();
        let decide = move |_: &Loaded| writes.clone();
        let given_up = self.store.commit(Reads::default(), Arc::new(decide)).await;
        let unavailable = matches!(&given_up, Err(StoreError::Unavailable(_)));
        assert!(unavailable, "{given_up:?}");
    }

    fn next_writes(&mut self) -> Writes {
        let version = self.versions.next().unwrap();
        entries([entry(&task("1"), &scope("a"), version)])
    }

    /// The next seq that the tail reports; `None` if it begins again.
    async fn stated(&mut self) -> Option<i64> {
        match self.next().await {
            TailEvent::Committed(writes) => Some(writes[0].item.seq.0),
            TailEvent::Restart => None,
            other => panic!("no epoch begins here, and no conflict: {other:?}"),
        }
    }

    /// The same beyond a seq: after an unknown outcome writes may be reported twice.
    async fn stated_beyond(&mut self, seq: i64) -> Option<i64> {
        loop {
            let stated = self.stated().await;
            if stated.is_none_or(|stated| stated > seq) {
                return stated;
            }
        }
    }

    async fn fail(&self, times: Times, mut how: Document) {
        how.insert("appName", "the gateway");
        self.deployment.fail_commands(times, how).await;
    }
}

#[tokio::test]
async fn a_tail_whose_connection_breaks_goes_on_without_a_gap() {
    let mut bench = bench(|_| ()).await;
    for how in [
        doc! { "failCommands": ["getMore"], "closeConnection": true },
        doc! { "failCommands": ["getMore", "aggregate"], "closeConnection": true },
        doc! { "failCommands": ["getMore", "aggregate"], "errorCode": 189 },
    ] {
        bench.fail(Times::Next(3), how).await;
        for _ in 0..3 {
            let seq = bench.write().await;
            assert_eq!(bench.stated().await, Some(seq));
        }
        bench.deployment.heal_commands().await;
    }
}

/// The resumption of a stream may be repeated below the store. It has to begin at the same position again.
#[tokio::test]
async fn a_tail_that_is_resumed_at_the_second_attempt_goes_on_without_a_gap() {
    let mut bench = bench(|_| ()).await;
    let how = doc! {
        "failCommands": ["getMore", "aggregate"], "closeConnection": true,
        "blockConnection": true, "blockTimeMS": 300,
    };
    bench.fail(Times::Next(2), how).await;
    let mut written = Vec::new();
    for _ in 0..10 {
        written.push(Some(bench.write().await));
        written.push(Some(bench.write_own().await));
        sleep(Duration::from_millis(100)).await;
    }
    let mut stated = Vec::new();
    while stated.len() < written.len() {
        stated.push(bench.stated().await);
    }
    // The gateway's own overtake the others.
    stated.sort_unstable();
    assert_eq!(stated, written);
}

#[tokio::test]
async fn commits_and_the_tail_go_on_after_an_election_without_a_gap() {
    let mut bench = bench_on(Deployment::replica_set(3).await, |_| ()).await;
    for _ in 0..2 {
        let seq = bench.write().await;
        assert_eq!(bench.stated().await, Some(seq));
        bench.deployment.step_down().await;
        let seq = bench.write().await;
        assert_eq!(bench.stated().await, Some(seq));
        bench.deployment.all_follow().await;
    }
}

#[tokio::test]
async fn a_tail_whose_history_is_lost_restarts_and_says_so() {
    let mut bench = bench(|_| ()).await;
    for (times, how) in [
        (1, doc! { "failCommands": ["getMore"], "errorCode": 286 }),
        (
            2,
            doc! { "failCommands": ["getMore", "aggregate"], "errorCode": 286 },
        ),
        (1, doc! { "failCommands": ["getMore"], "errorCode": 10334 }),
    ] {
        bench.fail(Times::Next(times), how).await;
        assert_eq!(bench.stated().await, None);
        bench.deployment.heal_commands().await;
        let seq = bench.write().await;
        assert_eq!(bench.stated().await, Some(seq));
    }
}

#[tokio::test]
async fn a_tail_whose_feed_is_dropped_restarts_and_says_so() {
    let mut bench = bench(|_| ()).await;
    let database = bench.deployment.client().await.database("app");
    database
        .collection::<Document>("tidegate.feed")
        .drop()
        .await
        .unwrap();
    assert_eq!(bench.stated().await, None);
    let seq = bench.write().await;
    assert_eq!(bench.stated().await, Some(seq));
    database.drop().await.unwrap();
    assert_eq!(bench.stated().await, None);
}

/// A token that stayed at the last event of a quiet feed would one day be older than MongoDB's history.
#[tokio::test]
async fn the_token_advances_while_nothing_happens() {
    let resumed: Arc<Mutex<Vec<Option<Bson>>>> = Arc::default();
    let streams = Arc::clone(&resumed);
    let mut bench = bench(|options| {
        options.client.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event
                && let Ok(pipeline) = started.command.get_array("pipeline")
                && let Some(stage) = pipeline.first().and_then(Bson::as_document)
                && let Ok(stream) = stage.get_document("$changeStream")
            {
                streams
                    .lock()
                    .unwrap()
                    .push(stream.get("resumeAfter").cloned());
            }
        }));
    })
    .await;
    let seq = bench.write().await;
    assert_eq!(bench.stated().await, Some(seq));
    let other = bench.deployment.client().await.database("other");
    let mut tokens = Vec::new();
    for round in 0..2 {
        let elsewhere = doc! { "round": round };
        other
            .collection("things")
            .insert_one(elsewhere)
            .await
            .unwrap();
        let quiet = timeout(Duration::from_secs(3), bench.tail.next()).await;
        assert!(
            quiet.is_err(),
            "nothing of other databases is reported: {quiet:?}"
        );
        let how = doc! { "failCommands": ["getMore"], "closeConnection": true };
        bench.fail(Times::Next(1), how).await;
        let quiet = timeout(Duration::from_secs(3), bench.tail.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        tokens.push(resumed.lock().unwrap().last().cloned().flatten());
    }
    assert!(tokens[0].is_some());
    assert_ne!(tokens[0], tokens[1]);
}

/// Reading every small commit from the oplog and sending it back to its author is a third of its cost.
#[tokio::test]
async fn local_commits_are_reported_without_the_change_stream() {
    let streamed: Arc<Mutex<usize>> = Arc::default();
    let count = Arc::clone(&streamed);
    let mut bench = bench(|options| {
        options.client.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Succeeded(answered) = event
                && let Ok(cursor) = answered.reply.get_document("cursor")
                && let Ok(events) = cursor.get_array("nextBatch")
            {
                *count.lock().unwrap() += events.len();
            }
        }));
    })
    .await;
    for _ in 0..3 {
        let seq = bench.write_own().await;
        assert_eq!(bench.stated().await, Some(seq));
    }
    let seq = bench.write().await;
    assert_eq!(bench.stated().await, Some(seq));
    assert_eq!(*streamed.lock().unwrap(), 1);
}

/// It may have been committed, and then only the change stream reports it.
#[tokio::test]
async fn a_commit_that_was_given_up_unanswered_restarts_the_tail() {
    let passed_by: Arc<Mutex<Vec<Vec<Bson>>>> = Arc::default();
    let streams = Arc::clone(&passed_by);
    let mut bench = bench(|options| {
        options.commit_max = Duration::from_secs(1);
        // With one session the driver has only the one of unknown outcome to give out next.
        options.transactions_max = 1;
        options.client.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event
                && let Ok(pipeline) = started.command.get_array("pipeline")
                && let Some(own) = pipeline.get(1).and_then(Bson::as_document)
            {
                let ids = own.get_document("$match").unwrap();
                let ids = ids.get_document("lsid.id").unwrap();
                let ids = ids.get_array("$nin").unwrap();
                streams.lock().unwrap().push(ids.clone());
            }
        }));
    })
    .await;
    let seq = bench.write_own().await;
    assert_eq!(bench.stated().await, Some(seq));
    let how = doc! {
        "failCommands": ["commitTransaction"],
        "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" },
    };
    bench.fail(Times::Always, how).await;
    bench.write_and_give_up().await;
    assert_eq!(bench.stated().await, None);
    bench.deployment.heal_commands().await;
    let head = bench.store.confirmed_head(&scope("a")).await.unwrap();
    assert_eq!(head.0, seq + 1, "it was committed");
    let seq = bench.write_own().await;
    assert_eq!(bench.stated_beyond(seq - 1).await, Some(seq));
    let seq = bench.write().await;
    assert_eq!(bench.stated_beyond(seq - 1).await, Some(seq));
    let passed_by = passed_by.lock().unwrap();
    let (first, last) = (&passed_by[0], &passed_by[passed_by.len() - 1]);
    assert_eq!((first.len(), last.len()), (1, 1));
    assert_ne!(first, last, "it writes in another session now");
}

/// The primary has it already, so no stream begins before it, but a majority does not yet, so no reader finds it.
#[tokio::test]
async fn a_commit_of_unknown_outcome_is_reported_once_a_majority_has_it() {
    let commit_max = Duration::from_secs(2);
    let deployment = Deployment::replica_set(3).await;
    let mut bench = bench_on(deployment, |options| options.commit_max = commit_max).await;
    let seq = bench.write_own().await;
    assert_eq!(bench.stated().await, Some(seq));
    let primary = bench.deployment.primary().await;
    bench.deployment.stop_replication(primary).await;
    bench.write_and_give_up().await;
    assert_eq!(bench.stated().await, None);
    bench.deployment.resume_replication(primary).await;
    assert_eq!(bench.stated_beyond(seq).await, Some(seq + 1));
}

#[tokio::test]
async fn subscribers_of_one_gateway_see_what_is_pushed_to_another() {
    let mongo = Mongo::start().await;
    let here = Gateway::start(&mongo.options().await).await;
    let there = Gateway::start(&mongo.options().await).await;
    let request = PullRequest {
        checkpoint: None,
        types: RequestedTypes::All,
        refresh: Default::default(),
        limit: 10,
        reread: Default::default(),
        digests: false,
    };
    let pages = here
        .sync
        .clone()
        .subscribe(here.caller("alice"), request, Start::Checkpoint);
    let mut pages = Box::pin(pages);
    assert!(pages.next().await.unwrap().unwrap().changes.is_empty());
    for id in 1..=3 {
        let fields = json!({ "audience": "team:red", "title": "Tea" });
        there
            .push("bob", vec![there.create(&id.to_string(), fields)])
            .await;
        let page = timeout(PATIENCE, pages.next())
            .await
            .expect("it is reported");
        assert_eq!(page.unwrap().unwrap().changes[0].seq.0, id);
    }
}
