//! Stores of an earlier version, which did not escape the values in scopes: what opening changes in them, and what a
//! device gets that had synced before. The same on both stores.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{TryStreamExt, stream::BoxStream};
use mongodb::{
    Database,
    bson::{Document as Bson, doc},
    options::ClientOptions,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tidegate::{
    store::{
        Committed, DecideFn, Snapshot, Store, StoreError, TailEvent,
        embedded::{EmbeddedOptions, EmbeddedStore},
        models::Models,
        mongo::{MongoOptions, MongoStore},
    },
    sync::{self, ModelSurvey},
};
use tidegate_core::{
    checkpoint::TokenKey,
    entry::{Entry, Membership},
    id::{ConflictId, DocumentKey, Epoch, Scope, Seq, Version},
    inbox::{ClientChange, InboxRecord, OpenConflict, PendingConflict},
    model::{Access, Model},
    transaction::{Reads, Writes},
    value::{Document, Timestamp, Value},
};

use crate::{
    contract::fixture::{entries, entry, get, key, scope, user, write},
    harness::{
        CONFIG, Client, Server, answer,
        mongod::{Deployment, fresh_database},
    },
    mongo::random,
};

const MODEL: &str = r#"
extend schema
  @grant(scope: "{org}::{dept}", access: WRITE)
  @grant(scope: "team:{teams}", access: WRITE)
  @grant(scope: "team:{team}:{kind}", access: WRITE)
type Paper @collection(name: "papers") @scope(by: "{org}::{dept}") { id: ID! org: String! dept: String! }
type Plan @collection(name: "plans") @scope(by: "team:{team}") { id: ID! team: String! title: String }
type Secret @collection(name: "secrets") @scope(by: "team:{team}:{kind}") { id: ID! team: String! kind: String! }
type Letter @collection(name: "letters") @scope(by: "{audience}") { id: ID! audience: String! }
type Member @collection(name: "members") @scope(by: "{org}::{dept}") @grants(scope: "team:{team}", to: "{user}", access: "READ") {
  id: ID! org: String! dept: String! team: String! user: String!
}
"#;

/// Where a store is, and the directory of its gateway.
struct Place {
    directory: TempDir,
    /// The name of its database, if it is in MongoDB.
    database: Option<String>,
}

async fn places() -> [Place; 2] {
    Deployment::shared().await;
    [None, Some(fresh_database())].map(|database| {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        Place {
            directory,
            database,
        }
    })
}

impl Place {
    async fn url(&self) -> String {
        match &self.database {
            None => "embedded:data".to_owned(),
            Some(database) => Deployment::shared().await.url(database),
        }
    }

    async fn serve(&self) -> Server {
        Server::dev_with(self.directory.path(), &["--store", &self.url().await])
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    async fn application(&self) -> Option<Database> {
        let client = Deployment::shared().await.client().await;
        Some(client.database(self.database.as_ref()?))
    }

    async fn open(&self) -> Arc<dyn Store> {
        let epoch = Epoch::new("first").unwrap();
        let Some(database) = &self.database else {
            let options = EmbeddedOptions::new(epoch, TokenKey([7; 32]));
            return Arc::new(EmbeddedStore::open(&self.data(), &options).unwrap());
        };
        let client = ClientOptions::parse(self.url().await).await.unwrap();
        let options = MongoOptions::new(client, database, epoch, random());
        Arc::new(MongoStore::open(&options, &model()).await.unwrap())
    }

    /// Makes it a store of the earlier version, which knows nothing of restamping.
    async fn forget(&self) {
        match self.application().await {
            None => std::fs::remove_file(self.data().join("restamped")).unwrap(),
            Some(database) => {
                let state = database.collection::<Bson>("tidegate.state");
                let forgotten = state.delete_one(doc! { "_id": "restamped" }).await.unwrap();
                assert_eq!(forgotten.deleted_count, 1);
            }
        }
    }

    /// All of the application's documents.
    async fn documents(&self) -> Vec<Bson> {
        let Some(database) = self.application().await else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for name in ["papers", "plans", "secrets", "letters", "members"] {
            let found = database.collection::<Bson>(name).find(doc! {}).await;
            all.extend(found.unwrap().try_collect::<Vec<_>>().await.unwrap());
        }
        all
    }
}

fn model() -> Model {
    Model::parse("model.graphql", MODEL).unwrap()
}

/// An entry as the earlier version left it.
fn stamped(type_name: &str, id: &str, stamp: &str, fields: &[(&str, &str)]) -> Entry {
    let fields = fields
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Value::String((*text).to_owned())));
    let mut entry = entry(&key(type_name, id), &scope(stamp), 1);
    entry.field_versions.clear();
    entry.body = Some(Document::from_iter(fields));
    entry
}

fn of_the_version_before() -> Writes {
    let member = [
        ("org", "1"),
        ("dept", "2"),
        ("team", "42:SECRET"),
        ("user", "carol"),
    ];
    let mut member = stamped("Member", "member", "1::2", &member);
    member.membership = Some(Membership {
        user: user("carol"),
        scope: scope("team:42:SECRET"),
        access: Access::Read,
        giver: None,
        since: Timestamp::EPOCH,
    });
    let long = ":".repeat(100);
    entries([
        stamped(
            "Plan",
            "plan",
            "team:42:SECRET",
            &[("team", "42:SECRET"), ("title", "T")],
        ),
        stamped(
            "Secret",
            "secret",
            "team:42:SECRET",
            &[("team", "42"), ("kind", "SECRET")],
        ),
        stamped("Paper", "paper", "1:::2", &[("org", "1:"), ("dept", "2")]),
        stamped(
            "Paper",
            "percent",
            "50%::2",
            &[("org", "50%"), ("dept", "2")],
        ),
        stamped("Paper", "plain", "1::2", &[("org", "1"), ("dept", "2")]),
        stamped("Plan", "long", &format!("team:{long}"), &[("team", &long)]),
        stamped("Letter", "lone", "user:a:b", &[("audience", "user:a:b")]),
        stamped("Letter", "odd", "100%", &[("audience", "100%")]),
        member,
    ])
}

/// A change of the plan that waits for a member of its team.
fn waiting() -> OpenConflict {
    let plan = Document::from([
        ("team".to_owned(), Value::String("42:SECRET".to_owned())),
        ("title".to_owned(), Value::String("T".to_owned())),
    ]);
    let title = Document::from([("title".to_owned(), Value::String("U".to_owned()))]);
    OpenConflict {
        id: ConflictId::new("waiting").unwrap(),
        key: key("Plan", "plan"),
        scope: scope("team:42:SECRET"),
        shown_in: BTreeSet::from([scope("team:42:SECRET")]),
        opened_at: Timestamp::EPOCH,
        opened_by: user("dan"),
        client: None,
        mutation: None,
        version: Version(1),
        pending: PendingConflict {
            fields: vec!["title".to_owned()],
            base: None,
            mine: ClientChange::Changed(title),
            enters: Some(scope("team:42:SECRET")),
        },
        theirs: Some(plan),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_waits_goes_with_its_document_and_is_shown_to_those_who_see_it() {
    for place in places().await {
        let (store, model) = (place.open().await, Arc::new(model()));
        let opened = Writes {
            inbox: vec![InboxRecord::Open(Arc::new(waiting()))],
            ..of_the_version_before()
        };
        write(store.as_ref(), opened).await;
        let clock: sync::Clock = Arc::new(|| Timestamp::EPOCH);
        let restamped = sync::restamp(&model, store.as_ref(), &clock, |_| ()).await;
        assert_eq!(restamped.unwrap(), 5);
        let mut snapshot = store.snapshot().await.unwrap();
        let found = snapshot.conflict(&waiting().id).await.unwrap();
        let moved = scope("team:42%3ASECRET");
        let expected = OpenConflict {
            scope: moved.clone(),
            shown_in: BTreeSet::from([moved.clone()]),
            pending: PendingConflict {
                enters: Some(moved),
                ..waiting().pending
            },
            ..waiting()
        };
        assert_eq!(found, Some(InboxRecord::Open(Arc::new(expected))));
    }
}

/// The page after a checkpoint, and its own checkpoint.
async fn pull(client: &Client, checkpoint: &Json) -> (Json, Json) {
    let query = "query($checkpoint: Checkpoint) { changesSince(checkpoint: $checkpoint) { changes { kind documentId version scope } revokedScopes checkpoint hasMore reset } }";
    let page = client.data(query, json!({"checkpoint": checkpoint})).await["changesSince"].take();
    assert_eq!(page["hasMore"], false);
    let changes = page["changes"].as_array().unwrap().iter().map(|change| {
        let part = |name: &str| change[name].as_str().unwrap().to_owned();
        let (kind, id, scope) = (part("kind"), part("documentId"), part("scope"));
        format!("{kind} {id} {} {scope}", change["version"])
    });
    let seen =
        json!({"changes": changes.collect::<BTreeSet<_>>(), "revoked": page["revokedScopes"]});
    (seen, page["checkpoint"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_the_version_before_is_restamped_at_opening_and_devices_follow() {
    for place in places().await {
        place.serve().await.stop();
        let store = place.open().await;
        write(store.as_ref(), of_the_version_before()).await;
        drop(store);

        // The earlier version shows a secret's readers a plan of a team with their name.
        let server = place.serve().await;
        let eve = server.client_with("eve", &json!({"team": "42", "kind": "SECRET"}));
        let carol = server.client_with("carol", &json!({}));
        let (seen, of_eve) = pull(&eve, &Json::Null).await;
        let both = [
            "UPSERT plan 1 team:42:SECRET",
            "UPSERT secret 1 team:42:SECRET",
        ];
        assert_eq!(seen["changes"], json!(both));
        let (seen, of_carol) = pull(&carol, &Json::Null).await;
        assert_eq!(seen["changes"], json!(both));
        server.stop();
        // Another service writes, and the document has not been pushed to since.
        if let Some(database) = place.application().await {
            let plans = database.collection::<Bson>("plans");
            let edit = doc! { "$set": { "title": "Foreign" } };
            plans
                .update_one(doc! { "_id": "plan" }, edit)
                .await
                .unwrap();
        }
        let documents = place.documents().await;
        place.forget().await;

        let server = place.serve().await;
        let moved = "UPSERT plan 2 team:42%3ASECRET";
        let (seen, of_eve) = pull(&eve.at(&server), &of_eve).await;
        let left = "REVOKE plan 2 team:42:SECRET";
        assert_eq!(seen, json!({"changes": [left], "revoked": []}));
        let (seen, of_carol) = pull(&carol.at(&server), &of_carol).await;
        assert_eq!(
            seen,
            json!({"changes": [moved], "revoked": ["team:42:SECRET"]})
        );
        for (claims, changes) in [
            (json!({"teams": ["42:SECRET"]}), vec![moved]),
            (
                json!({"org": "1:", "dept": "2"}),
                vec!["UPSERT paper 2 1%3A::2"],
            ),
            (json!({"org": "1", "dept": ":2"}), vec![]),
            (
                json!({"org": "50%", "dept": "2"}),
                vec!["UPSERT percent 2 50%25::2"],
            ),
            (
                json!({"org": "1", "dept": "2"}),
                vec!["UPSERT member 2 1::2", "UPSERT plain 1 1::2"],
            ),
        ] {
            let (seen, _) = pull(&server.client_with("dan", &claims), &Json::Null).await;
            assert_eq!(seen["changes"], json!(changes), "{claims}");
        }
        if place.database.is_some() {
            assert_eq!(
                place.documents().await,
                documents,
                "the application's documents stay"
            );
        }
        server.stop();

        let nothing = json!({"changes": [], "revoked": []});
        let again = place.serve().await;
        assert_eq!(pull(&eve.at(&again), &of_eve).await.0, nothing);
        assert_eq!(pull(&carol.at(&again), &of_carol).await.0, nothing);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_counts_what_will_be_restamped_and_names_what_nobody_can_see() {
    for place in places().await {
        let (store, model) = (place.open().await, Arc::new(model()));
        write(store.as_ref(), of_the_version_before()).await;
        let survey = ModelSurvey::new(&model, None);
        let looked = survey.count(store.as_ref(), |_| ()).await.unwrap();
        assert_eq!((looked.unescaped, looked.misfits.count), (5, 0));
        assert!(looked.types.values().all(|of_type| of_type.moves == 0));
        let lone = ["\"Letter/lone\"", "\"Letter/odd\""];
        assert_eq!(looked.out_of_reach.first, lone);
        assert_eq!(
            version(store.as_ref(), &key("Plan", "plan")).await,
            1,
            "a look"
        );

        let clock: sync::Clock = Arc::new(|| Timestamp::EPOCH);
        let restamped = sync::restamp(&model, store.as_ref(), &clock, |_| ()).await;
        assert_eq!(restamped.unwrap(), 5);
        // With its values escaped its scope would be too long: it goes to a scope that is never granted.
        let long = get(store.as_ref(), &key("Plan", "long")).await.unwrap();
        assert_eq!((long.scope.as_str(), long.version.0), ("%", 2));
        assert!(long.body.is_some());
        let again = sync::restamp(&model, store.as_ref(), &clock, |_| ()).await;
        assert_eq!(again.unwrap(), 0);
    }
}

#[tokio::test]
async fn check_says_what_the_next_start_restamps() {
    let [place, _] = places().await;
    let store = place.open().await;
    write(store.as_ref(), of_the_version_before()).await;
    drop(store);
    let config = CONFIG.replace(
        "[auth]",
        "[auth]\nsecret = \"a secret that is long enough for HS256\"",
    );
    let directory: &Path = place.directory.path();
    std::fs::write(directory.join("tidegate.toml"), config).unwrap();
    let said = answer(directory, &["check"]);
    assert!(
        said.contains("the next start gives 5 documents another text"),
        "{said}"
    );
    assert!(
        said.contains("2 documents name a scope that no rule"),
        "{said}"
    );
    assert!(said.contains("\"Letter/odd\""), "{said}");
}

/// A store whose gateway is killed after some commits.
struct Killed {
    store: Arc<dyn Store>,
    commits_left: AtomicUsize,
}

#[async_trait]
impl Store for Killed {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        let left = self.commits_left.load(Ordering::SeqCst);
        let left = left.checked_sub(1);
        let left = left.ok_or_else(|| StoreError::Unavailable("killed".to_owned()))?;
        self.commits_left.store(left, Ordering::SeqCst);
        self.store.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.store.snapshot().await
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.store.confirmed_head(scope).await
    }

    fn models(&self) -> Arc<dyn Models> {
        self.store.models()
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        self.store.tail()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restamping_that_is_killed_goes_on_and_restamps_nothing_twice() {
    const DOCUMENTS: usize = 1_100;
    for place in places().await {
        let (store, model) = (place.open().await, Arc::new(model()));
        let keys: Vec<DocumentKey> = (0..DOCUMENTS)
            .map(|number| key("Plan", &format!("plan-{number:04}")))
            .collect();
        for keys in keys.chunks(400) {
            let stale = keys.iter().map(|key| {
                let id = key.id.as_str();
                stamped(
                    "Plan",
                    id,
                    &format!("team:{id}:x"),
                    &[("team", &format!("{id}:x"))],
                )
            });
            write(store.as_ref(), entries(stale)).await;
        }
        let clock: sync::Clock = Arc::new(|| Timestamp::EPOCH);
        let killed = Killed {
            store: Arc::clone(&store),
            commits_left: AtomicUsize::new(1),
        };
        let stopped = sync::restamp(&model, &killed, &clock, |_| ()).await;
        assert!(
            matches!(stopped, Err(StoreError::Unavailable(_))),
            "{stopped:?}"
        );
        let mut restamped = 0;
        for key in &keys {
            restamped += usize::from(version(store.as_ref(), key).await == 2);
        }
        assert_eq!(restamped, 500, "one transaction");

        let rest = sync::restamp(&model, store.as_ref(), &clock, |_| ()).await;
        assert_eq!(rest.unwrap(), DOCUMENTS - restamped);
        for key in &keys {
            let entry = get(store.as_ref(), key).await.unwrap();
            let stands = (entry.version.0, entry.scope.as_str());
            assert_eq!(stands, (2, &*format!("team:{}%3Ax", key.id)));
        }
    }
}

async fn version(store: &dyn Store, key: &DocumentKey) -> i32 {
    get(store, key).await.unwrap().version.0
}

/// What is loaded decides, not what was seen before: two gateways may restamp at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_that_restamp_at_once_restamp_everything_once() {
    for place in places().await {
        let (store, model) = (place.open().await, Arc::new(model()));
        write(store.as_ref(), of_the_version_before()).await;
        let clock: sync::Clock = Arc::new(|| Timestamp::EPOCH);
        let pass = || sync::restamp(&model, store.as_ref(), &clock, |_| ());
        let (one, other) = tokio::join!(pass(), pass());
        assert_eq!(one.unwrap() + other.unwrap(), 5);
        assert_eq!(version(store.as_ref(), &key("Plan", "plan")).await, 2);
    }
}
