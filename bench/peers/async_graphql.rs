//! An offline-first endpoint as a Rust developer would write it today: async-graphql on axum with MongoDB's driver, typed
//! resolvers, a transaction for each push, and one change stream for all subscriptions.
//!
//! It knows no users and no mutation ids, and it refuses stale changes instead of merging them.
#![expect(
    clippy::print_stdout,
    reason = "the benchmark reads from it where this server listens"
)]

use std::{
    collections::HashMap,
    env,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::{
    Context, Enum, ID, InputObject, InputValueError, InputValueResult, MaybeUndefined, Object,
    Result, Scalar, ScalarType, Schema, SimpleObject, Subscription, Value,
};
use async_graphql_axum::{GraphQL, GraphQLSubscription};
use axum::{Router, routing::post_service};
use futures_util::{Stream, StreamExt, TryStreamExt};
use mongodb::{
    Client, ClientSession, Collection, Database, IndexModel,
    bson::{self, Document, doc},
    error::Result as MongoResult,
    options::{Acknowledgment, ClientOptions, FullDocumentType, WriteConcern},
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync};
use tokio_stream::wrappers::BroadcastStream;

const PAGE_MAX: i64 = 1_000;

/// Changes that a slow subscriber may lag behind.
const LAG_MAX: usize = 1_024;

#[derive(Clone, Copy, Default, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// A date in MongoDB, and text to clients.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct DateTime(bson::DateTime);

#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        Ok(Self(bson::DateTime::parse_rfc3339_str(text)?))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.try_to_rfc3339_string().unwrap_or_default())
    }
}

/// A document as it is stored. `seq` is its place among the changes of its audience.
#[derive(Clone, SimpleObject, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    #[serde(rename = "_id")]
    id: ID,
    audience: String,
    title: String,
    notes: Option<String>,
    done: bool,
    priority: Priority,
    labels: Vec<String>,
    minutes_spent: i32,
    due: Option<DateTime>,
    #[graphql(skip)]
    version: i32,
    #[graphql(skip)]
    seq: i64,
}

/// What a push reads of a document before it writes.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "_id")]
    id: String,
    audience: String,
    version: i32,
}

#[derive(InputObject)]
struct ChangeInput {
    id: ID,
    base_version: Option<i32>,
    create: Option<TaskInput>,
    set: Option<TaskPatch>,
}

#[derive(Clone, InputObject)]
struct TaskInput {
    title: String,
    notes: Option<String>,
    #[graphql(default)]
    done: bool,
    #[graphql(default)]
    priority: Priority,
    #[graphql(default)]
    labels: Vec<String>,
    #[graphql(default)]
    minutes_spent: i32,
    due: Option<DateTime>,
}

#[derive(InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    notes: MaybeUndefined<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes_spent: Option<i32>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    due: MaybeUndefined<DateTime>,
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum Status {
    Applied,
    Conflict,
}

#[derive(SimpleObject)]
struct ChangeResult {
    id: ID,
    version: Option<i32>,
    status: Status,
}

#[derive(SimpleObject)]
struct Page {
    changes: Vec<Change>,
    checkpoint: i64,
    has_more: bool,
}

#[derive(SimpleObject)]
struct Change {
    document_id: ID,
    version: i32,
    document: Task,
}

impl From<Task> for Change {
    fn from(document: Task) -> Self {
        Self {
            document_id: document.id.clone(),
            version: document.version,
            document,
        }
    }
}

/// The database, and the subscribers that wait for it.
struct Tasks {
    client: Client,
    database: Database,
    tasks: Collection<Task>,
    changed: sync::broadcast::Sender<Task>,
    /// Pushes to one scope wait here for each other: in MongoDB they would conflict and be repeated.
    turns: Mutex<HashMap<String, Arc<sync::Mutex<()>>>>,
}

impl Tasks {
    async fn open(url: &str) -> MongoResult<Arc<Self>> {
        let mut options = ClientOptions::parse(url).await?;
        let durable = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true);
        options.write_concern = Some(durable.build());
        let client = Client::with_options(options)?;
        let database = client.default_database().expect("the URL names a database");
        let tasks: Collection<Task> = database.collection("tasks");
        let keys = doc! { "audience": 1, "seq": 1 };
        let index = IndexModel::builder().keys(keys).build();
        tasks.create_index(index).await?;
        let tasks = Arc::new(Self {
            client,
            database,
            tasks,
            changed: sync::broadcast::channel(LAG_MAX).0,
            turns: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&tasks).follow());
        Ok(tasks)
    }

    /// Sends every change to all subscribers, also those of other writers. The driver resumes the stream by itself.
    async fn follow(self: Arc<Self>) -> MongoResult<()> {
        let changes = self
            .tasks
            .watch()
            .full_document(FullDocumentType::UpdateLookup);
        let mut changes = changes.await?;
        while let Some(change) = changes.try_next().await? {
            if let Some(task) = change.full_document {
                // There may be no subscribers.
                drop(self.changed.send(task));
            }
        }
        Ok(())
    }

    fn turn(&self, scope: &str) -> Arc<sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(scope.to_owned()).or_default())
    }

    async fn page(&self, scope: &str, after: i64, limit: i64) -> MongoResult<Page> {
        let limit = limit.clamp(1, PAGE_MAX);
        let later = doc! { "audience": scope, "seq": { "$gt": after } };
        let found = self.tasks.find(later).sort(doc! { "seq": 1 }).limit(limit);
        let found = found.batch_size(PAGE_MAX as u32);
        let page: Vec<Task> = found.await?.try_collect().await?;
        Ok(Page {
            checkpoint: page.last().map_or(after, |task| task.seq),
            has_more: page.len() as i64 == limit,
            changes: page.into_iter().map(Change::from).collect(),
        })
    }

    async fn push(&self, scope: &str, changes: &[ChangeInput]) -> MongoResult<Vec<ChangeResult>> {
        let turn = self.turn(scope);
        let _turn = turn.lock().await;
        let mut session = self.client.start_session().await?;
        session
            .start_transaction()
            .and_run(
                (self, scope, changes),
                |session, (tasks, scope, changes)| Box::pin(tasks.write(session, scope, changes)),
            )
            .await
    }

    async fn write(
        &self,
        session: &mut ClientSession,
        scope: &str,
        changes: &[ChangeInput],
    ) -> MongoResult<Vec<ChangeResult>> {
        let first_seq = self.seqs(session, scope, changes.len() as i64).await?;
        let mut stored = self.stored(session, changes).await?;
        let (mut created, mut updates, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (change, seq) in changes.iter().zip(first_seq..) {
            let before = stored.get(change.id.as_str());
            let version = match (before, &change.create, &change.set) {
                (None, Some(input), None) => {
                    created.push(input.clone().into_task(change.id.clone(), scope, seq));
                    Some(1)
                }
                (Some(before), None, Some(patch))
                    if before.audience == scope && Some(before.version) == change.base_version =>
                {
                    let version = before.version + 1;
                    let mut set = bson::serialize_to_document(patch)?;
                    set.extend(doc! { "version": version, "seq": seq });
                    updates.push(doc! { "q": { "_id": &*change.id }, "u": { "$set": set } });
                    Some(version)
                }
                _ => None,
            };
            if let Some(version) = version {
                let (id, audience) = (change.id.to_string(), scope.to_owned());
                let now = Stored {
                    id: id.clone(),
                    audience,
                    version,
                };
                stored.insert(id, now);
            }
            results.push(ChangeResult {
                id: change.id.clone(),
                version,
                status: version.map_or(Status::Conflict, |_| Status::Applied),
            });
        }
        if !created.is_empty() {
            let insert = self.tasks.insert_many(created).session(&mut *session);
            insert.await?;
        }
        if !updates.is_empty() {
            // All in one statement; the driver's `update_one` would take one for each.
            let update = doc! { "update": self.tasks.name(), "updates": updates };
            self.database.run_command(update).session(session).await?;
        }
        Ok(results)
    }

    /// The first of `count` numbers that follow all earlier changes of the scope.
    async fn seqs(&self, session: &mut ClientSession, scope: &str, count: i64) -> MongoResult<i64> {
        let scopes: Collection<Document> = self.database.collection("scopes");
        let next = scopes
            .find_one_and_update(doc! { "_id": scope }, doc! { "$inc": { "seq": count } })
            .upsert(true)
            .session(session);
        let before = next.await?.map_or(Ok(0), |scope| scope.get_i64("seq"));
        Ok(before.map_err(mongodb::error::Error::custom)? + 1)
    }

    /// The stored documents of the changes.
    async fn stored(
        &self,
        session: &mut ClientSession,
        changes: &[ChangeInput],
    ) -> MongoResult<HashMap<String, Stored>> {
        let ids: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
        let tasks = self.tasks.clone_with_type::<Stored>();
        let found = tasks
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "audience": 1, "version": 1 })
            .session(&mut *session);
        let mut found = found.await?;
        let mut stored = HashMap::new();
        while let Some(task) = found.next(session).await.transpose()? {
            stored.insert(task.id.clone(), task);
        }
        Ok(stored)
    }
}

impl TaskInput {
    fn into_task(self, id: ID, scope: &str, seq: i64) -> Task {
        Task {
            id,
            audience: scope.to_owned(),
            title: self.title,
            notes: self.notes,
            done: self.done,
            priority: self.priority,
            labels: self.labels,
            minutes_spent: self.minutes_spent,
            due: self.due,
            version: 1,
            seq,
        }
    }
}

struct Query;

#[Object]
impl Query {
    async fn changes_since(
        &self,
        ctx: &Context<'_>,
        scope: ID,
        #[graphql(default)] after: i64,
        #[graphql(default = 500)] limit: i64,
    ) -> Result<Page> {
        let tasks = ctx.data::<Arc<Tasks>>()?;
        Ok(tasks.page(&scope, after, limit).await?)
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn push_changes(
        &self,
        ctx: &Context<'_>,
        scope: ID,
        changes: Vec<ChangeInput>,
    ) -> Result<Vec<ChangeResult>> {
        let tasks = ctx.data::<Arc<Tasks>>()?;
        Ok(tasks.push(&scope, &changes).await?)
    }
}

struct Subscriptions;

#[Subscription]
impl Subscriptions {
    /// What changes in a scope from now on. It ends for subscribers that lag too far; they pull and subscribe again.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        scope: ID,
    ) -> Result<impl Stream<Item = Change> + use<>> {
        let changed = ctx.data::<Arc<Tasks>>()?.changed.subscribe();
        let changes = BroadcastStream::new(changed)
            .take_while(|task| std::future::ready(task.is_ok()))
            .filter_map(|task| std::future::ready(task.ok()));
        let here = changes.filter(move |task| std::future::ready(task.audience == *scope));
        Ok(here.map(Change::from))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let tasks = Tasks::open(&env::var("MONGODB_URL")?).await?;
    let schema = Schema::build(Query, Mutation, Subscriptions)
        .data(tasks)
        .finish();
    let app = Router::new()
        .route("/", post_service(GraphQL::new(schema.clone())))
        .route_service("/subscriptions", GraphQLSubscription::new(schema));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
