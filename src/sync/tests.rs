//! The service on an embedded store: pushes that share a transaction, and stores that were served with another model.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use futures_util::{StreamExt, future::poll_immediate, stream::BoxStream};
use tempfile::TempDir;
use tidegate_core::{
    change::{Action, Change, Submission},
    checkpoint::Types,
    grant::Identity,
    id::{DocumentId, DocumentKey, Epoch, Scope, Seq, TypeName, UserId},
    outcome::Status,
    push::Push,
    transaction::{Reads, Writes},
    value::{Document, Timestamp, Value},
};

use super::*;
use crate::{
    store::{
        Decide, Snapshot, TailEvent,
        embedded::{EmbeddedOptions, EmbeddedStore},
    },
    sync::SyncLimits,
};

const MODEL: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") { id: ID! team: String! }
"#;

/// A store that cannot carry out what touches the document `poison`.
struct Poisoned(EmbeddedStore);

#[async_trait]
impl Store for Poisoned {
    async fn commit(&self, reads: Reads, decide: Arc<Decide>) -> Result<Writes, StoreError> {
        if reads.keys.contains(&key("poison")) {
            return Err(StoreError::Undecided("poison".to_owned()));
        }
        self.0.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.0.snapshot().await
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.0.confirmed_head(scope).await
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        self.0.tail()
    }
}

fn model(text: &str) -> Model {
    Model::parse("model.graphql", text).unwrap()
}

fn service(directory: &TempDir) -> Arc<SyncService> {
    service_at(directory, Arc::new(|| Timestamp::EPOCH))
}

fn service_at(directory: &TempDir, clock: Clock) -> Arc<SyncService> {
    let options = EmbeddedOptions::new(Epoch::new("e1").unwrap());
    let store = EmbeddedStore::open(directory.path(), &options).unwrap();
    SyncService::start(
        Arc::new(model(MODEL)),
        Arc::new(Poisoned(store)),
        clock,
        SyncLimits::default(),
    )
}

fn alice(sync: &SyncService) -> Caller {
    let claims = [("team".to_owned(), "red".into())].into_iter().collect();
    let identity = Identity {
        user: UserId::new("alice").unwrap(),
        claims,
        expires_at: Timestamp::EPOCH.plus_ms(1),
    };
    sync.caller(identity).unwrap()
}

fn key(id: &str) -> DocumentKey {
    DocumentKey {
        type_name: TypeName::new("Task").unwrap(),
        id: DocumentId::new(id).unwrap(),
    }
}

fn create(id: &str) -> Push {
    let team = ("team".to_owned(), Value::String("red".to_owned()));
    let change = Change {
        key: key(id),
        action: Action::Create {
            document: Document::from([team]),
            base: None,
        },
        changed_at: None,
    };
    Push {
        client: None,
        changes: vec![Submission {
            type_name: change.key.type_name.clone(),
            id: id.to_owned(),
            change: Ok(change),
        }],
        atomic: false,
        policy: None,
        epoch: None,
    }
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
    assert!(matches!(
        poison,
        Err(SyncError::Store(StoreError::Undecided(_)))
    ));
    for innocent in [before, after] {
        assert_eq!(innocent.unwrap().outcomes[0].status, Status::Applied);
    }
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
    let documents = sync.documents(&caller, &keys).await.unwrap();
    let ids: Vec<&str> = documents
        .iter()
        .map(|entry| entry.key.id.as_str())
        .collect();
    assert_eq!(ids, ["kept"]);
}

#[tokio::test]
async fn a_store_is_not_served_with_rules_that_would_leave_documents_open_to_others() {
    let directory = TempDir::new().unwrap();
    let sync = service(&directory);
    let pushed = sync.push(&alice(&sync), create("a")).await.unwrap();
    assert_eq!(pushed.outcomes[0].status, Status::Applied);
    let granting = r#"@grants(scope: "board:{team}", to: "{team}", access: "READ") { id"#;
    for (changed, count) in [
        (MODEL.to_owned(), 0),
        (MODEL.replace(r#"(by: "team:"#, r#"(by: "group:"#), 1),
        (MODEL.replace("{ id", granting), 1),
    ] {
        let survey = survey(&model(&changed), sync.store.as_ref(), |_| ())
            .await
            .unwrap();
        assert_eq!(survey.misfits, count, "{changed}");
    }
}

#[tokio::test]
async fn a_subscription_that_waits_ends_with_its_token() {
    let directory = TempDir::new().unwrap();
    let now_ms = Arc::new(AtomicI64::new(0));
    let clock: Clock = {
        let now_ms = now_ms.clone();
        Arc::new(move || Timestamp::EPOCH.plus_ms(now_ms.load(Ordering::Relaxed)))
    };
    let sync = service_at(&directory, clock);
    let request = PullRequest::new(None, Types::All, 10, sync.limits()).unwrap();
    let caller = alice(&sync);
    let mut pages = Box::pin(sync.subscribe(caller, request, Start::Checkpoint));
    assert!(
        pages.next().await.unwrap().unwrap().reset,
        "the first page comes at once"
    );
    now_ms.store(1, Ordering::Relaxed);
    tokio::time::pause();
    assert!(matches!(pages.next().await, Some(Err(SyncError::Expired))));
    assert!(pages.next().await.is_none());
}
