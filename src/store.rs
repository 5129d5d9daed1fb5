//! The contract of a store, in types of the core.
//!
//! All backends pass one contract suite (`tests/it/contract.rs`). Nothing here knows GraphQL or HTTP, and no store
//! decides anything: the core computes what is written from what was loaded.

mod codec;
pub mod collections;
pub mod conversion;
mod decision;
pub mod embedded;
pub mod finding;
pub(crate) mod layered;
mod list;
pub mod models;
pub mod mongo;
mod snapshot;
mod stored;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use thiserror::Error;
use tidegate_core::{
    checkpoint::TokenKey,
    entry::FeedItem,
    generation::{ModelState, Standing},
    id::{DocumentKey, Epoch, Scope, Seq, TypeName, UserId},
    query::IndexDefinition,
    transaction::{DatabaseRefusal, Loaded, Reads, Writes},
    value::Timestamp,
};

pub(crate) use self::decision::ended_early;
pub use self::{
    codec::StoredView,
    snapshot::{
        ClientCount, ConflictWalk, Entries, Found, InboxRange, InboxScan, Listed, Scan, ScanRange,
        Snapshot, WALK_BYTES_MAX,
    },
    stored::StoredRecord,
};
use self::{
    collections::{Collections, ImportProgress},
    models::Models,
    snapshot::{Clients, Conflicts},
    stored::{ScanBuilder, or_logged},
};

/// The pure function that a commit runs. A retried transaction runs it again.
pub type DecideFn = dyn Fn(&Loaded) -> Writes + Send + Sync;

/// A store of entries. It promises `commit`, `snapshot` (which scans and gets), `tail`, and that what it acknowledges
/// is durable. Its methods fail with [`StoreError`].
#[async_trait]
pub trait Store: Send + Sync {
    /// Loads what `reads` names, decides, numbers the feed writes and writes everything in one transaction. Returns
    /// when it is durable. Commits that touch one scope are serialised: its seqs are unique, gap-free and in commit
    /// order.
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Unavailable`] the commit may have been written all the same; only state
    /// written in the same transaction shows whether it was (rules.md 5.2). After any other error, nothing was written.
    /// After [`StoreError::WriteConflict`] the caller repeats the commit.
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError>;

    /// How many commits the store can carry out at a time, if they touch different scopes and clients.
    fn commits_max(&self) -> usize {
        1
    }

    /// Opens a consistent view of all that was committed before the call (rules.md 2.2).
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// The same, with a hint which scopes and which user the snapshot will be asked for. A store may read their states
    /// together with the epoch.
    async fn snapshot_with_heads(
        &self,
        _scopes: &BTreeSet<Scope>,
        _user: Option<&UserId>,
    ) -> Result<Box<dyn Snapshot>, StoreError> {
        self.snapshot().await
    }

    /// Counts the living documents of a scope, if their sums are not kept yet, or in any case. Commits go on meanwhile.
    async fn keep_sums(&self, _scope: &Scope, _again: bool) -> Result<(), StoreError> {
        Ok(())
    }

    /// Builds those of these indexes that are missing, and drops others that no gateway uses. Commits go on meanwhile, and
    /// keep an index that is being built. It may take long, and can be repeated after a failure.
    async fn keep_indexes(&self, _indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Builds those of these indexes by which values are unique, before anything is served. Returns once they are complete.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`] if two documents have the same values.
    async fn build_uniques(&self, _indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        Ok(())
    }

    /// A scope's head by a linearizable read (rules.md 2.4).
    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError>;

    /// The application's own collections, if other services may write them.
    fn collections(&self) -> Option<Arc<dyn Collections>> {
        None
    }

    /// The models that the store is served by.
    fn models(&self) -> Arc<dyn Models>;

    /// What there is in the store, and what its server says of itself. `now` is the clock of the gateway.
    async fn vitals(&self, _now: &Now) -> Result<StoreVitals, StoreError> {
        Ok(StoreVitals::default())
    }

    /// Writes something small, to learn whether the store can be written.
    async fn probe_write(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What is committed from now on. Each feed write arrives soon after its commit, not always in order. The stream
    /// begins with [`TailEvent::Restart`].
    fn tail(&self) -> BoxStream<'static, TailEvent>;
}

/// A clock.
pub type Now = dyn Fn() -> Timestamp + Send + Sync;

/// What is measured of a store. What a store does not have, or does not let its user read, is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreVitals {
    /// How far the clock of the gateway is ahead of the server's, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// The bytes of all that the gateways keep.
    pub bytes: Option<u64>,
    /// How far the server's history reaches back, in seconds.
    pub oplog_window_s: Option<u64>,
    /// How old the importer's position is, in seconds.
    pub import_lag_s: Option<u64>,
    /// How far the import has come.
    pub import: ImportProgress,
    /// Withheld documents, by type and by the BSON type of what does not fit.
    pub withheld: BTreeMap<(TypeName, String), u64>,
    /// Open conflicts, by type.
    pub conflicts: BTreeMap<TypeName, u64>,
}

/// The most records of a kind that [`Store::vitals`] counts. More are a fault that need not be measured exactly.
const COUNTED_MAX: u32 = 10_000;

/// What a commit did.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// What the commit wrote.
    pub writes: Writes,
    /// The heads of scopes in [`Reads::scopes`] before the commit.
    pub before: BTreeMap<Scope, Seq>,
    /// The heads after it. A store that nobody else writes to reports none.
    pub after: BTreeMap<Scope, Seq>,
}

impl From<Writes> for Committed {
    fn from(writes: Writes) -> Self {
        Self {
            writes,
            ..Self::default()
        }
    }
}

/// Another transaction wrote the same data at the same time. Nothing was written.
#[derive(Debug, Clone)]
pub struct WriteConflict {
    /// The heads that this transaction found of scopes in [`Reads::scopes`]. A head that moves shows that the other
    /// transaction has ended.
    pub heads: BTreeMap<Scope, Seq>,
    /// How long to wait if no head moves. It differs from gateway to gateway.
    pub backoff: Duration,
}

/// What a store says of itself at one moment.
#[derive(Debug, Clone)]
pub struct StoreState {
    /// Its epoch.
    pub epoch: Epoch,
    /// The lead among its models, and what it puts in force.
    pub models: Arc<ModelState>,
    /// The gateway's own model beside it.
    pub standing: Standing,
    /// The secret of its checkpoints.
    pub token_key: TokenKey,
}

/// A feed write as a tail reports it. It stays encoded, since few writes are of interest to a subscriber.
#[derive(Debug, Clone)]
pub struct FeedWrite {
    /// The scope whose feed it is in.
    pub scope: Scope,
    /// The document it writes.
    pub key: DocumentKey,
    /// The record.
    pub item: StoredRecord,
}

impl FeedWrite {
    /// A feed write as the embedded store would keep it.
    ///
    /// # Errors
    /// [`StoreError::DecisionFailed`] when the name of a field contains U+0000.
    pub fn encode(item: &FeedItem) -> Result<Self, StoreError> {
        Ok(Self {
            scope: item.record.scope().clone(),
            key: item.record.key().clone(),
            item: StoredRecord::encode(item)?,
        })
    }
}

/// What a tail reports.
#[derive(Debug, Clone)]
pub enum TailEvent {
    /// Something may have been missed: followers read the store again.
    Restart,
    /// Feed writes of one transaction. Others of it, and others with lower seqs, may follow.
    Committed(Arc<[FeedWrite]>),
    /// Conflicts were opened, settled, or moved with their documents in this scope, or in any scope if none is named.
    Inbox(Option<Scope>),
    /// The memberships or the declined givers of these users changed, or perhaps of any user if none is named. It comes
    /// before the feed writes of its transaction.
    Grants(Option<Arc<[UserId]>>),
    /// The store has a new epoch.
    Epoch(Epoch),
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The store cannot be reached now. Trying again may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The server cannot hold a store: it is no replica set, or too old.
    #[error("{0}")]
    Unsuitable(String),
    /// Another transaction wrote the same data. Trying again helps.
    #[error("another transaction wrote the same at the same time; nothing was written")]
    WriteConflict(WriteConflict),
    /// Another gateway holds the importer's lease. Nothing was written.
    #[error("another gateway imports now; nothing was written")]
    Deposed,
    /// There is no room left to write. Reading still works.
    #[error(
        "the store cannot be written: {0}; make room on its disk, or let Tidegate write its directory and the files in it"
    )]
    NotWritable(String),
    /// Another process has it open.
    #[error(
        "the store at {path} is in use by another process; stop that one first, or use its endpoint"
    )]
    InUse {
        /// Where the store is.
        path: String,
    },
    /// An index is being built. Trying again helps once it is complete.
    #[error("an index is being built")]
    IndexBuilding,
    /// Another document has a value that is unique by a model of the store that the caller does not know. Nothing was
    /// written. Trying again helps at a gateway of that model, or once its index is gone.
    #[error("another model of the store says that a value is unique, and another document has it")]
    ValueTaken,
    /// The decision panicked, or returned what cannot be stored. Trying again does not help.
    #[error("the decision could not be carried out: {0}")]
    DecisionFailed(String),
    /// The store's user lacks a right. Trying again helps once the operator grants it.
    #[error("the store refuses its user: {0}; `tidegate check` names the rights that are missing")]
    NotPermitted(String),
    /// Rules of the database's own, such as a unique index, refuse some documents. The rest can be written by another
    /// decision.
    #[error("the database refuses {} documents", .0.len())]
    Refused(Vec<DatabaseRefusal>),
    /// Another version of Tidegate wrote it.
    #[error("the store at {path} has format {found}, and this Tidegate reads format {known}; {}", what_to_do(*.found, *.known))]
    OtherFormat {
        /// Where the store is.
        path: String,
        /// The format of the store.
        found: u32,
        /// The format this version reads and writes.
        known: u32,
    },
    /// What the store holds cannot be read.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
}

/// What to do about a store of another format.
fn what_to_do(found: u32, known: u32) -> &'static str {
    match found > known {
        true => {
            "a newer version has converted or made it, and there is no way back: start that version, or restore a backup from before it (docs/upgrading.md)"
        }
        false => {
            "only the format before is converted: start the version that wrote it, or begin an empty store, by moving this one away or, on MongoDB, by another store.prefix (docs/upgrading.md)"
        }
    }
}
