//! The service on an embedded store: pushes that share a transaction, and stores that were served with another model.

mod counted;
mod following;
mod forged;
mod inbox;
mod lists;
mod members;
mod skipped;
mod turns;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{
    Stream, StreamExt,
    future::{join_all, poll_immediate},
    stream::BoxStream,
};
use tempfile::TempDir;
use tidegate_core::{
    change::{Action, BaseVersion},
    checkpoint::RequestedTypes,
    grant::Identity,
    id::{ClientId, DocumentKey, Epoch, MutationId, Scope, Seq, TypeName, UserId},
    outcome::Status,
    push::{Push, PushClient, PushHash, PushRefusal, Resolution},
    transaction::{Loaded, Reads, Writes},
    value::Timestamp,
};
use tokio::{sync::Notify, time::timeout};

use super::*;
use crate::{
    fixtures::{self, embedded, texts},
    limits::Limits,
    store::{
        Committed, DecideFn, Snapshot, TailEvent, WriteConflict, embedded::EmbeddedStore,
        models::Models,
    },
};

const MODEL: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @conflict(policy: MANUAL)
{ id: ID! team: String! text: String }
"#;

/// How long the tokens of these tests are valid.
const TOKEN_MS: i64 = 60_000;

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that carries out several commits at a time, except of the document `poison`, and follows a test's script.
struct Scripted {
    inner: EmbeddedStore,
    /// The most changes of a commit. A larger one meets a write conflict.
    changes_max: usize,
    /// Whether the next commit meets a write conflict.
    collides_once: AtomicBool,
    /// The conflict that is then reported.
    conflict: WriteConflict,
    /// The first commit that reads the document `held` reports when it has begun, and continues when it is released.
    was_held: AtomicBool,
    begun: Notify,
    released: Notify,
    /// What each commit wrote.
    carried: Mutex<Vec<Vec<DocumentKey>>>,
    /// Whether reads fail.
    is_down: AtomicBool,
}

impl Scripted {
    fn on(directory: &TempDir) -> Self {
        Self {
            inner: embedded(directory.path()),
            changes_max: usize::MAX,
            was_held: AtomicBool::new(false),
            collides_once: AtomicBool::new(false),
            conflict: WriteConflict {
                heads: BTreeMap::new(),
                backoff: Duration::ZERO,
            },
            begun: Notify::new(),
            released: Notify::new(),
            carried: Mutex::default(),
            is_down: AtomicBool::new(false),
        }
    }

    fn serve(self) -> (Arc<Self>, Arc<SyncService>) {
        self.serve_within(Limits::default())
    }

    fn serve_within(self, limits: Limits) -> (Arc<Self>, Arc<SyncService>) {
        let store = Arc::new(self);
        let sync = start(MODEL, store.clone(), Arc::new(|| Timestamp::EPOCH), limits);
        (store, sync)
    }
}

#[async_trait]
impl Store for Scripted {
    fn commits_max(&self) -> usize {
        3
    }

    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        if reads.keys.contains(&key("poison")) {
            return Err(StoreError::DecisionFailed("poison".to_owned()));
        }
        if reads.keys.contains(&key("held")) && !self.was_held.swap(true, Ordering::Relaxed) {
            self.begun.notify_one();
            self.released.notified().await;
        }
        let changes_max = self.changes_max;
        let collides = Arc::new(AtomicBool::new(
            self.collides_once.swap(false, Ordering::Relaxed),
        ));
        let collided = Arc::clone(&collides);
        let bounded = move |loaded: &Loaded| {
            let writes = decide(loaded);
            collided.fetch_or(writes.entries.len() > changes_max, Ordering::Relaxed);
            match collided.load(Ordering::Relaxed) {
                true => Writes::default(),
                false => writes,
            }
        };
        let committed = self.inner.commit(reads, Arc::new(bounded)).await?;
        if collides.load(Ordering::Relaxed) {
            return Err(StoreError::WriteConflict(self.conflict.clone()));
        }
        let written = committed.writes.entries.iter();
        let written = written.map(|entry| entry.key.clone()).collect();
        self.carried.lock().unwrap().push(written);
        Ok(committed)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("it is down".to_owned()));
        }
        self.inner.snapshot().await
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.inner.confirmed_head(scope).await
    }

    fn models(&self) -> Arc<dyn Models> {
        self.inner.models()
    }

    /// Reports everything except the document `untold`.
    fn tail(&self) -> BoxStream<'static, TailEvent> {
        let is_reported = |event: &TailEvent| match event {
            TailEvent::Committed(writes) => writes.iter().all(|write| write.key != key("untold")),
            _ => true,
        };
        let reported = move |event| std::future::ready(is_reported(&event).then_some(event));
        self.inner.tail().filter_map(reported).boxed()
    }
}

fn model(text: &str) -> Model {
    Model::parse("model.graphql", text).unwrap()
}

fn start(text: &str, store: Arc<dyn Store>, clock: Clock, limits: Limits) -> Arc<SyncService> {
    SyncService::start(
        Arc::new(model(text)),
        store,
        clock,
        limits,
        Webhooks::none(),
    )
}

fn service(directory: &TempDir) -> Arc<SyncService> {
    Scripted::on(directory).serve().1
}

/// The changes that the caller sees, from the beginning.
fn follow(
    sync: &Arc<SyncService>,
    caller: &Caller,
    limit: i64,
) -> Pin<Box<impl Stream<Item = Result<Page, SyncError>> + use<>>> {
    let request = PullRequest::new(None, RequestedTypes::All, limit, sync.limits()).unwrap();
    Box::pin(Arc::clone(sync).subscribe(caller.clone(), request, Start::Checkpoint))
}

fn alice(sync: &SyncService) -> Caller {
    member(sync, "alice", "red")
}

fn member(sync: &SyncService, user: &str, team: impl Into<serde_json::Value>) -> Caller {
    let claims = [("team".to_owned(), team.into())].into_iter().collect();
    let identity = Identity {
        user: UserId::new(user).unwrap(),
        claims,
        expires_at: Timestamp::EPOCH.plus_ms(TOKEN_MS),
    };
    sync.caller(identity).unwrap()
}

fn key(id: &str) -> DocumentKey {
    fixtures::key("Task", id)
}

fn create(id: &str) -> Push {
    create_for("red", id)
}

fn create_for(team: &str, id: &str) -> Push {
    let document = texts(&[("team", team)]);
    let base = None;
    push_of(id, Action::Create { document, base })
}

fn delete(id: &str) -> Push {
    let base = BaseVersion(1);
    push_of(id, Action::Delete { base })
}

fn push_of(id: &str, action: Action) -> Push {
    fixtures::push([(key(id), action)])
}

#[tokio::test]
async fn a_push_that_cannot_be_carried_out_fails_alone() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let caller = alice(&sync);
    let (before, poison, after) = tokio::join!(
        sync.push(&caller, create("before")),
        sync.push(&caller, create("poison")),
        sync.push(&caller, create("after")),
    );
    assert!(matches!(poison, Err(SyncError::Internal(_))));
    for innocent in [before, after] {
        assert_eq!(innocent.unwrap().outcomes[0].status, Status::Applied);
    }
}

#[tokio::test]
async fn a_push_that_an_earlier_release_has_answered_is_a_repeat() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let caller = alice(&sync);
    let push = Push {
        client: Some(PushClient {
            id: ClientId::new("phone").unwrap(),
            first: Some(MutationId(1)),
        }),
        epoch: Some(Epoch::new("e1").unwrap()),
        ..create("a")
    };
    // An earlier release stored the hash of the decoded changes.
    let first = sync.push(&caller, push.clone()).await.unwrap();
    assert!(!first.duplicate);
    let sent = |push| SentPush {
        push,
        hash: PushHash([7; 32]),
    };
    let again = sync.push(&caller, sent(push.clone())).await.unwrap();
    assert!(again.duplicate);
    let other = Push {
        changes: create("b").changes,
        ..push
    };
    let refused = sync.push(&caller, sent(other)).await;
    let reused = SyncError::Push(PushRefusal::MutationIdReused);
    assert_eq!(refused.unwrap_err().to_string(), reused.to_string());
}

#[tokio::test]
async fn a_push_that_nobody_waits_for_is_not_begun() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let caller = alice(&sync);
    let abandoned = poll_immediate(sync.push(&caller, create("abandoned"))).await;
    assert!(
        abandoned.is_none(),
        "it waits in the queue when it is dropped"
    );
    sync.push(&caller, create("kept")).await.unwrap();
    let keys = [key("abandoned"), key("kept")].into();
    let documents = sync.documents(&caller, keys, usize::MAX).await.unwrap();
    let found = documents.found.iter();
    let ids: Vec<&str> = found.map(|entry| entry.key.id.as_str()).collect();
    assert_eq!(ids, ["kept"]);
}

#[tokio::test]
async fn documents_that_other_rules_move_or_open_to_others_are_counted() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let pushed = sync.push(&alice(&sync), create("a")).await.unwrap();
    assert_eq!(pushed.outcomes[0].status, Status::Applied);
    let granting = r#"@grants(scope: "board:{team}", to: "{team}", access: "READ") { id"#;
    for (changed, moves, other_access) in [
        (MODEL.to_owned(), 0, 0),
        (MODEL.replace(r#"(by: "team:"#, r#"(by: "group:"#), 1, 0),
        (MODEL.replace("{ id", granting), 0, 1),
    ] {
        let (before, changed) = (model(MODEL), model(&changed));
        let survey = ModelSurvey::new(&changed, Some(&before));
        let counted = survey.count(sync.store.as_ref(), |_| ()).await.unwrap();
        let of_type = counted.types.values().next().unwrap();
        assert_eq!((of_type.documents, of_type.misfits), (1, 0));
        assert_eq!((of_type.moves, of_type.other_access), (moves, other_access));
    }
}

#[tokio::test]
async fn pushes_and_resolutions_wait_in_so_many_bytes_and_no_more() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        push_queue_bytes: 1_000,
        ..Limits::default()
    };
    let (store, sync) = Scripted::on(&directory).serve_within(limits);
    let (caller, bob) = (alice(&sync), member(&sync, "bob", "red"));
    let conflict = inbox::hold_back(&sync, "disputed").await;
    let mut held = Box::pin(sync.push(&caller, create("held")));
    assert!(poll_immediate(&mut held).await.is_none());
    store.begun.notified().await;
    let refused = sync.push(&caller, create("more")).await;
    assert!(matches!(refused, Err(SyncError::Busy)), "{refused:?}");
    let theirs = || sync.resolve(&bob, conflict.clone(), (BaseVersion(2), Resolution::Theirs));
    let refused = theirs().await;
    assert!(matches!(refused, Err(SyncError::Busy)), "{refused:?}");
    store.released.notify_one();
    assert_eq!(held.await.unwrap().outcomes[0].status, Status::Applied);
    assert_eq!(theirs().await.unwrap().outcomes[0].status, Status::Applied);
    // One larger than the whole room gets all of it.
    let mut large = create("large");
    large.changes.extend(create("too").changes);
    let pushed = sync.push(&caller, large).await.unwrap();
    assert_eq!(pushed.outcomes.len(), 2);
}

#[tokio::test]
async fn pushes_that_touch_nothing_in_common_do_not_wait_for_one_another() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    let (alice, bob, carol) = (
        alice(&sync),
        member(&sync, "bob", "blue"),
        member(&sync, "carol", "red"),
    );
    let mut held = Box::pin(sync.push(&alice, create("held")));
    assert!(poll_immediate(&mut held).await.is_none());
    store.begun.notified().await;
    let blue = sync.push(&bob, create_for("blue", "free")).await.unwrap();
    assert_eq!(blue.outcomes[0].status, Status::Applied);
    let mut red = Box::pin(sync.push(&carol, create("behind")));
    for _ in 0..50 {
        assert!(
            poll_immediate(&mut red).await.is_none(),
            "it shares a scope with the one before"
        );
        tokio::task::yield_now().await;
    }
    store.released.notify_one();
    assert_eq!(held.await.unwrap().outcomes[0].status, Status::Applied);
    assert_eq!(red.await.unwrap().outcomes[0].status, Status::Applied);
}

#[tokio::test]
async fn a_document_nobody_has_seen_is_looked_for_where_its_user_wrote_last() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    let (alice, bob) = (alice(&sync), member(&sync, "bob", vec!["red", "blue"]));
    sync.push(&bob, create_for("blue", "seen")).await.unwrap();
    let mut held = Box::pin(sync.push(&alice, create("held")));
    assert!(poll_immediate(&mut held).await.is_none());
    store.begun.notified().await;
    let elsewhere = timeout(PATIENCE, sync.push(&bob, delete("unseen"))).await;
    let elsewhere = elsewhere.expect("it does not wait for its other scope");
    assert_eq!(elsewhere.unwrap().outcomes[0].status, Status::Rejected);
    store.released.notify_one();
    assert_eq!(held.await.unwrap().outcomes[0].status, Status::Applied);
}

#[tokio::test]
async fn a_group_that_meets_others_again_and_again_is_halved() {
    let directory = TempDir::new().unwrap();
    let mut store = Scripted::on(&directory);
    store.changes_max = 2;
    let (store, sync) = store.serve();
    let caller = alice(&sync);
    let ids: Vec<String> = (0..8).map(|id| id.to_string()).collect();
    let pushes = ids.iter().map(|id| sync.push(&caller, create(id)));
    for pushed in join_all(pushes).await {
        assert_eq!(pushed.unwrap().outcomes[0].status, Status::Applied);
    }
    let carried = store.carried.lock().unwrap().clone();
    assert_eq!(carried.iter().map(Vec::len).sum::<usize>(), 8);
    assert!(carried.iter().all(|keys| keys.len() <= 2), "{carried:?}");
}

#[tokio::test]
async fn a_group_that_met_another_gateway_begins_when_that_one_is_heard_of_and_newcomers_join_it() {
    let directory = TempDir::new().unwrap();
    let mut store = Scripted::on(&directory);
    store.collides_once = AtomicBool::new(true);
    store.conflict = WriteConflict {
        heads: BTreeMap::from([(Scope::new("team:red").unwrap(), Seq(0))]),
        // Longer than any push waits.
        backoff: Duration::from_secs(3_600),
    };
    let (store, sync) = store.serve();
    let (alice, bob, carol) = (
        alice(&sync),
        member(&sync, "bob", "blue"),
        member(&sync, "carol", "red"),
    );
    let mut collided = Box::pin(sync.push(&alice, create("collided")));
    while store.collides_once.load(Ordering::Relaxed) {
        assert!(poll_immediate(&mut collided).await.is_none());
        tokio::task::yield_now().await;
    }
    let elsewhere = sync.push(&bob, create_for("blue", "elsewhere")).await;
    assert_eq!(elsewhere.unwrap().outcomes[0].status, Status::Applied);
    let mut newcomer = Box::pin(sync.push(&carol, create("newcomer")));
    for _ in 0..50 {
        assert!(poll_immediate(&mut newcomer).await.is_none());
        assert!(poll_immediate(&mut collided).await.is_none());
        tokio::task::yield_now().await;
    }
    // The other gateway commits past this service.
    let entry = Entry {
        key: key("other"),
        scope: Scope::new("team:red").unwrap(),
        ..Entry::clone(
            &sync
                .documents(&bob, [key("elsewhere")].into(), usize::MAX)
                .await
                .unwrap()
                .found[0],
        )
    };
    let writes = Writes {
        entries: vec![Arc::new(entry)],
        ..Writes::default()
    };
    let other = move |_: &Loaded| writes.clone();
    let other = store.inner.commit(Reads::default(), Arc::new(other));
    other.await.unwrap();
    for pushed in join_all([collided, newcomer]).await {
        assert_eq!(pushed.unwrap().outcomes[0].status, Status::Applied);
    }
    let carried = store.carried.lock().unwrap().last().cloned();
    assert_eq!(carried.unwrap(), [key("collided"), key("newcomer")]);
}
