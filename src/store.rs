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
mod stored;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use thiserror::Error;
use tidegate_core::{
    checkpoint::TokenKey,
    digest::ScopeSums,
    entry::{Entry, FeedItem, ScopeState},
    generation::{ModelState, Standing},
    id::{
        ApiHash, ClientId, ClientKey, ConflictId, DocumentId, DocumentKey, Epoch, Scope,
        ScopeNumber, Seq, TypeName, UserId,
    },
    inbox::{InboxPosition, InboxRecord, OpenConflict},
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    query::{IndexDefinition, IndexRead},
    transaction::{DatabaseRefusal, Loaded, Reads, Writes},
    value::Timestamp,
};

pub(crate) use self::decision::ended_early;
pub use self::{codec::StoredView, stored::StoredRecord};
use self::{
    collections::{Collections, ImportProgress},
    models::Models,
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

/// One consistent view: all its answers are of the same moment. Keep it for a short time: a store holds replaced
/// records for minutes only, or cannot reuse their space meanwhile. Its reads fail with [`StoreError`].
#[async_trait]
pub trait Snapshot: Send {
    /// What the store says of itself.
    fn state(&self) -> &StoreState;

    /// Heads, floors and numbers. A scope that was never written has zeros and no number.
    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError>;

    /// The scopes of these numbers, as far as the store has given them out. A checkpoint names its scopes by numbers; this
    /// finds those that the caller may no longer see.
    async fn scopes_numbered(
        &mut self,
        numbers: &BTreeSet<ScopeNumber>,
    ) -> Result<HashMap<ScopeNumber, Scope>, StoreError>;

    /// What is kept of a user. Its stamp says whether memberships that were read before are still current.
    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError>;

    /// What the documents of membership types give to a user, without what declined givers give. At most
    /// [`ROWS_MAX`](tidegate_core::membership::ROWS_MAX): the oldest of services first, then the oldest of others.
    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError>;

    /// A range of one scope's feed, ascending by seq.
    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError>;

    /// Entries by key, tombstones too, as far as their records have room. A store chooses which. At least one has room, if
    /// any exists. One that cannot be read is taken for absent, with a line in the log.
    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError>;

    /// All entries in the order of their keys, tombstones too, for readers that examine everything. Returns at most
    /// `limit` entries at a time, and fewer once their bytes reach [`WALK_BYTES_MAX`].
    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError>;

    /// The sums of the living documents of those among these scopes for which the store keeps them (rules.md 2.10).
    async fn sums(
        &mut self,
        _scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeSums>, StoreError> {
        Ok(HashMap::new())
    }

    /// The sums of a scope's living documents, counted now.
    async fn count(&mut self, _scope: &Scope) -> Result<ScopeSums, StoreError> {
        Ok(ScopeSums::default())
    }

    /// Living documents in a part of an index, in the order of the index. A store without indexes looks at all documents.
    ///
    /// # Errors
    /// [`StoreError::IndexBuilding`] while the store does not have the index.
    async fn list(&mut self, read: &IndexRead) -> Result<Listed, StoreError> {
        list::by_walking(self, read).await
    }

    /// Scopes in an order of the store's, after one of them, at most `limit`.
    async fn scopes_after(
        &mut self,
        _after: Option<&Scope>,
        _limit: usize,
    ) -> Result<Vec<Scope>, StoreError> {
        Ok(Vec::new())
    }

    /// What the inbox holds of a conflict.
    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError>;

    /// Open conflicts of these scopes, in the order of their positions.
    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError>;

    /// What is kept of a client.
    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError>;

    /// The clients of a user that have a state, in the order of their names after one of them, at most `limit`.
    async fn clients_of_user(
        &mut self,
        user: &UserId,
        after: Option<&ClientId>,
        limit: usize,
    ) -> Result<Vec<(ClientKey, ClientState)>, StoreError>;

    /// All that the inbox holds, open and settled, in the order of ids after one of them, at most `limit`. A walk has ended
    /// when it passes nothing more.
    async fn walk_conflicts(
        &mut self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, StoreError>;

    /// Counts the clients whose last push is not older than `since`, by the API that their app was made for. At most
    /// `limit` clients are counted.
    async fn clients_by_api(
        &mut self,
        since: Timestamp,
        limit: usize,
    ) -> Result<ClientCount, StoreError>;
}

/// Clients by the API that their app was made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCount {
    /// How many there are for each API. Those whose app did not say so are under `None`.
    pub by_api: BTreeMap<Option<ApiHash>, usize>,
    /// Whether there are more than were counted.
    pub has_more: bool,
}

impl ClientCount {
    /// Counts one more client if there is room. Otherwise there are more, and the count is complete.
    pub fn add(&mut self, api: Option<ApiHash>, limit: usize) -> bool {
        self.has_more = self.by_api.values().sum::<usize>() >= limit;
        if !self.has_more {
            *self.by_api.entry(api).or_default() += 1;
        }
        !self.has_more
    }
}

/// A walk ends with the entry that brings its stored bytes to this number.
pub const WALK_BYTES_MAX: usize = 8 << 20;

/// What a scan asks for.
#[derive(Debug, Clone)]
pub struct ScanRange {
    /// The scope of the feed.
    pub scope: Scope,
    /// Only records of these types; `None` is all.
    pub types: Option<BTreeSet<TypeName>>,
    /// Whether tombstones, markers and withheld records are wanted too. If not, the scan steps over none of them.
    pub removals: bool,
    /// Only records above this seq.
    pub after: Seq,
    /// Only records up to and including this seq.
    pub through: Seq,
    /// The most records.
    pub items_max: usize,
    /// The scan ends with the record that brings its stored bytes to this number. It yields at least one record if
    /// there is one.
    pub bytes_max: usize,
}

/// Which open conflicts are asked for.
#[derive(Debug, Clone)]
pub struct InboxRange {
    /// Only conflicts of documents that are in one of these scopes now.
    pub scopes: BTreeSet<Scope>,
    /// Only conflicts after this position.
    pub after: Option<InboxPosition>,
    /// The most conflicts.
    pub items_max: usize,
    /// The read ends with the conflict that brings the bytes to this number. It yields at least one conflict if there
    /// is one.
    pub bytes_max: usize,
}

/// What a read of the inbox found.
#[derive(Debug, Clone, Default)]
pub struct InboxScan {
    /// The conflicts, in the order of their positions. One that cannot be read is left out, with a line in the log.
    pub conflicts: Vec<Arc<OpenConflict>>,
    /// How many conflicts it passed, those that it left out too.
    pub passed: usize,
    /// The position of the last of these.
    pub end: Option<InboxPosition>,
    /// Whether there are more after it.
    pub has_more: bool,
}

impl InboxScan {
    /// Takes one more conflict if the range has room for it. Otherwise there are more, and the scan is complete.
    pub fn take(&mut self, range: &InboxRange, conflict: Arc<OpenConflict>) -> bool {
        let bytes: usize = self.conflicts.iter().map(|taken| taken.bytes()).sum();
        let bytes_full = !self.conflicts.is_empty() && bytes >= range.bytes_max;
        self.has_more = bytes_full;
        let is_taken = !bytes_full && self.leave_out(range, InboxPosition::from(&*conflict));
        if is_taken {
            self.conflicts.push(conflict);
        }
        is_taken
    }

    /// Passes a conflict that cannot be read, if the range has room for one more. Otherwise there are more, and the scan
    /// is complete.
    pub fn leave_out(&mut self, range: &InboxRange, at: InboxPosition) -> bool {
        self.has_more = self.passed >= range.items_max;
        if !self.has_more {
            self.passed += 1;
            self.end = Some(at);
        }
        !self.has_more
    }
}

/// Part of a walk over the whole inbox.
#[derive(Debug, Clone, Default)]
pub struct ConflictWalk {
    /// The conflicts. One that cannot be read is left out, with a line in the log.
    pub records: Vec<InboxRecord>,
    /// The last one that was passed; `None` if nothing was.
    pub next: Option<ConflictId>,
}

/// Entries that were asked for by their keys.
pub type Entries = Found<DocumentKey, Arc<Entry>>;

/// Clients that were asked for by their keys.
type Clients = Found<ClientKey, ClientState>;

/// Conflicts that were asked for by their ids.
type Conflicts = Found<ConflictId, InboxRecord>;

/// What was asked for by its keys.
#[derive(Debug)]
pub struct Found<K, V> {
    /// What exists and has room.
    pub found: HashMap<K, V>,
    /// What may exist and has no room.
    pub left_out: BTreeSet<K>,
}

impl<K, V> Default for Found<K, V> {
    fn default() -> Self {
        Self {
            found: HashMap::new(),
            left_out: BTreeSet::new(),
        }
    }
}

/// What a scan found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The records, ascending by seq.
    pub items: Vec<StoredRecord>,
    /// The size of the records in bytes, as stored.
    pub bytes: usize,
    /// Whether the range holds no further records.
    pub complete: bool,
}

impl Scan {
    /// All that the records say.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decoded(&self) -> Result<Vec<FeedItem>, StoreError> {
        self.items.iter().map(StoredRecord::decode).collect()
    }
}

/// An empty scan, of a range without records.
impl Default for Scan {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            complete: true,
        }
    }
}

/// A part of an index.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The documents, unless only ids were asked for. One that cannot be read is its reader's to judge.
    pub records: Vec<StoredRecord>,
    /// The ids, if only these were asked for.
    pub ids: Vec<DocumentId>,
    /// The size of the records in bytes, as stored.
    pub bytes: usize,
    /// Whether a bound on bytes has cut it short.
    pub is_cut: bool,
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
