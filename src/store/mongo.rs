//! The MongoDB store: a feed beside the application's own collections, in one database, for production.
//!
//! It opens the database, holds its bounds and implements [`Store`] with the modules below. It decides nothing.

mod capped;
mod change_stream;
mod clients;
mod collections;
mod commit;
mod commit_thread;
mod conversion;
mod doctor;
mod document;
mod elections;
mod error;
mod foreign_stream;
mod foreign_writes;
mod format;
mod grant_order;
mod inbox;
mod items;
mod layout;
mod lease;
mod legacy_uuids;
mod lists;
mod live;
mod load;
mod local_commits;
mod members;
mod misfits;
mod model_note;
mod models;
mod names;
mod numbers;
mod opening;
mod position;
mod progress;
mod reader;
mod resumable;
mod sample;
mod server;
mod slots;
mod snapshot;
mod state;
mod sums;
mod unfit;
mod uniques;
mod unkeyed;
mod update;
mod upkeep;
mod vitals;
mod walk;
mod write;

use std::{collections::BTreeSet, fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt, future::BoxFuture, stream::BoxStream};
use mongodb::{
    Client, Collection, Database,
    action::Find,
    bson::{Document, RawDocumentBuf, doc},
    options::{ClientOptions, ReadConcern},
};
use serde::de::DeserializeOwned;
use tidegate_core::{
    checkpoint::TokenKey,
    id::{Epoch, Scope, Seq, UserId},
    model::Model,
    query::IndexDefinition,
    transaction::{Fence, Reads},
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    capped::Capped,
    collections::{MongoCollections, SeenCollections},
    commit_thread::CommitThread,
    elections::Elections,
    error::MongoError,
    layout::ModelLayout,
    live::GatewayRecords,
    local_commits::LocalCommits,
    models::MongoModels,
    names::{CollectionNames, scope_id},
    numbers::LeasedNumbers,
    slots::TransactionSlots,
    snapshot::MongoSnapshot,
};
pub use self::{
    model_note::client_options,
    sample::{Listed, Sampler, Unread},
};
use super::{
    Committed, DecideFn, Now, Snapshot, Store, StoreError, StoreVitals, TailEvent,
    collections::Collections,
    conversion::Progress,
    finding::Finding,
    models::{ModelCache, Models},
};

/// A source of unpredictable numbers. `app.rs` provides the real one.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a MongoDB store is opened.
#[derive(Clone)]
pub struct MongoOptions {
    /// How the driver reaches MongoDB. The store sets read and write concerns and the read preference, and time-outs
    /// where none are given.
    pub client: ClientOptions,
    /// The application's database.
    pub database: String,
    /// The prefix of the names of Tidegate's own collections.
    pub prefix: String,
    /// The epoch of a store that is made by this opening.
    pub first_epoch: Epoch,
    /// Names this gateway, and gives collisions different delays.
    pub random: Random,
    /// How many transactions may run at the same time.
    pub transactions_max: usize,
    /// The longest time for one call to MongoDB.
    pub call_max: Duration,
    /// The longest time for which a commit is repeated.
    pub commit_max: Duration,
    /// Whether it keeps the sums of scopes, from which digests are made.
    pub keeps_sums: bool,
    /// Receives how far the conversion of a store of the format before has come.
    pub conversion: Progress,
}

impl MongoOptions {
    /// The defaults: the prefix `tidegate.`, three transactions at a time, 10 seconds for a call and 25 for a commit.
    pub fn new(client: ClientOptions, database: &str, first_epoch: Epoch, random: Random) -> Self {
        Self {
            client,
            database: database.to_owned(),
            prefix: "tidegate.".to_owned(),
            first_epoch,
            random,
            transactions_max: 3,
            call_max: Duration::from_secs(10),
            commit_max: Duration::from_secs(25),
            keeps_sums: true,
            conversion: Progress::default(),
        }
    }
}

/// Leaves out the client's options, which hold credentials.
impl fmt::Debug for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoOptions")
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A store in a MongoDB database. Any number of gateways and other services share it.
pub struct MongoStore {
    context: Arc<MongoContext>,
    /// What commits use. They have connections of their own.
    commits: Arc<MongoContext>,
    writer: CommitThread,
    slots: TransactionSlots,
    /// The slot of an importer, which takes none from pushes.
    import_slot: TransactionSlots,
    /// The heartbeats, if it writes.
    _beats: Option<AbortOnDropHandle<()>>,
    findings: Vec<Finding>,
}

/// What all parts of the store need.
#[derive(Clone)]
struct MongoContext {
    client: Client,
    database: Database,
    names: Arc<CollectionNames>,
    layout: Arc<ModelLayout>,
    elections: Arc<Elections>,
    local_commits: Arc<LocalCommits>,
    live: Arc<GatewayRecords>,
    models: Arc<ModelCache>,
    numbers: Arc<LeasedNumbers>,
    /// The secret of checkpoints of a store that has none.
    first_key: TokenKey,
    capped: Arc<Capped>,
    seen: Arc<SeenCollections>,
    /// Whether an insert fails if the collection has the id already. Behind a router a collection may be sharded by
    /// another field; each shard then knows its own documents only.
    optimistic_inserts: bool,
    random: Random,
    call_max: Duration,
    commit_max: Duration,
    keeps_sums: bool,
}

impl MongoStore {
    /// Connects, converts a store of the format before, and creates what is missing: collections, indexes, the first
    /// epoch.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`] if the server is no replica set or older than 6.0, or the user lacks a right,
    /// [`StoreError::OtherFormat`] when another version of Tidegate made the store, [`StoreError::Unavailable`] when
    /// MongoDB cannot be reached.
    pub async fn open(options: &MongoOptions, model: &Model) -> Result<Self, StoreError> {
        let (context, findings) = opening::open(options, ModelLayout::of(model)).await?;
        let store = Self::over(context, findings, options).await?;
        store.living().await
    }

    /// Connects to an existing store, and makes nothing.
    ///
    /// # Errors
    /// As [`MongoStore::open`] has them.
    pub async fn open_existing(options: &MongoOptions, model: &Model) -> Result<Self, StoreError> {
        Self::open_to_read(options, model).await?.living().await
    }

    /// The same, for a process that commits nothing. Other gateways do not see that it lives.
    ///
    /// # Errors
    /// As [`MongoStore::open`] has them.
    pub async fn open_to_read(options: &MongoOptions, model: &Model) -> Result<Self, StoreError> {
        let (context, findings) = opening::connect(options, ModelLayout::of(model)).await?;
        Self::over(context, findings, options).await
    }

    /// Takes the importer's lease, even from a gateway that lives. It has to be given back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn seize_lease(&self) -> Result<Fence, StoreError> {
        Ok(self.context.seize_lease().await?)
    }

    async fn over(
        context: MongoContext,
        findings: Vec<Finding>,
        options: &MongoOptions,
    ) -> Result<Self, StoreError> {
        let writer = CommitThread::start();
        let writer = writer.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let commits = opening::with_other_connections(context.clone(), options.clone());
        let commits = Arc::new(writer.run(commits).await?);
        let context = Arc::new(context);
        Ok(Self {
            _beats: None,
            commits,
            context,
            writer,
            slots: TransactionSlots::new(&options.random, options.transactions_max),
            import_slot: TransactionSlots::new(&options.random, 1),
            findings,
        })
    }

    /// The same store, with heartbeats. The first comes before the first transaction, whose locks may have to be ended.
    async fn living(self) -> Result<Self, StoreError> {
        self.context.beat().await?;
        let beats = tokio::spawn(live::beat(Arc::clone(&self.context)));
        Ok(Self {
            _beats: Some(AbortOnDropHandle::new(beats)),
            ..self
        })
    }

    /// What was found when it was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl MongoContext {
    /// Bounds one call to MongoDB. The driver itself waits without limit for an answer that never comes.
    fn in_time<'c, T>(
        &self,
        call: impl IntoFuture<Output = mongodb::error::Result<T>, IntoFuture: Send + 'c>,
    ) -> BoxFuture<'c, Result<T, MongoError>> {
        within(self.call_max, call.into_future())
    }

    async fn all<T: DeserializeOwned + Send + Sync>(
        &self,
        find: Find<'_, T>,
    ) -> Result<Vec<T>, MongoError> {
        self.in_time(async { find.await?.try_collect().await })
            .await
    }

    fn state(&self) -> Collection<Document> {
        self.database.collection(&self.names.state)
    }

    /// Reads one document as of a moment after the call: the server confirms with a majority that it is the primary.
    async fn linearizable(
        &self,
        name: &str,
        id: &str,
    ) -> Result<Option<RawDocumentBuf>, MongoError> {
        let collection = self.database.collection::<RawDocumentBuf>(name);
        let find = collection
            .find_one(doc! { "_id": id })
            .read_concern(ReadConcern::linearizable())
            .max_time(self.call_max);
        self.in_time(find).await
    }

    /// A back-off that grows with the attempts up to half a second, and differs from gateway to gateway.
    fn backoff(&self, attempt: u32) -> Duration {
        const FIRST_US: u64 = 5_000;
        const LONGEST_US: u64 = 500_000;
        let longest = (FIRST_US << attempt.min(10)).min(LONGEST_US);
        Duration::from_micros((self.random)() % longest)
    }
}

fn within<'c, T>(
    limit: Duration,
    call: impl Future<Output = mongodb::error::Result<T>> + Send + 'c,
) -> BoxFuture<'c, Result<T, MongoError>> {
    let answered = tokio::time::timeout(limit, call);
    let answer = answered.map(|answered| match answered {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(MongoError::Late),
    });
    answer.boxed()
}

#[async_trait]
impl Store for MongoStore {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        let slots = match reads.lease {
            Some(_) => &self.import_slot,
            None => &self.slots,
        };
        let slot = slots.acquire().await;
        let context = Arc::clone(&self.commits);
        let commit = async move { commit::commit(&context, slot, &reads, decide).await };
        self.writer.run(commit).await
    }

    fn commits_max(&self) -> usize {
        self.slots.count()
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.snapshot_with_heads(&BTreeSet::new(), None).await
    }

    async fn snapshot_with_heads(
        &self,
        scopes: &BTreeSet<Scope>,
        user: Option<&UserId>,
    ) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(
            MongoSnapshot::open(&self.context, scopes, user).await?,
        ))
    }

    async fn keep_sums(&self, scope: &Scope, again: bool) -> Result<(), StoreError> {
        match self.context.keeps_sums {
            true => self.context.keep_sums(scope, again).await,
            false => Ok(()),
        }
    }

    async fn keep_indexes(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        Ok(self.context.keep_indexes(indexes).await?)
    }

    async fn build_uniques(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        self.context.build_uniques(indexes).await
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        let context = &self.context;
        let id = scope_id(scope);
        let found = context.linearizable(&context.names.state, &id).await?;
        let state = found.map(|found| state::scope_state(&found)).transpose()?;
        Ok(state.unwrap_or_default().head)
    }

    fn collections(&self) -> Option<Arc<dyn Collections>> {
        Some(Arc::new(MongoCollections(Arc::clone(&self.context))))
    }

    fn models(&self) -> Arc<dyn Models> {
        Arc::new(MongoModels(Arc::clone(&self.context)))
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        change_stream::tail(Arc::clone(&self.context))
    }

    async fn vitals(&self, now: &Now) -> Result<StoreVitals, StoreError> {
        Ok(self.context.vitals(now).await?)
    }

    /// A heartbeat on the connections of commits.
    async fn probe_write(&self) -> Result<(), StoreError> {
        let context = Arc::clone(&self.commits);
        let beat = async move { Ok(context.beat().await?) };
        self.writer.run(beat).await
    }
}
