//! The seam between the sync rules and the world: what a store promises, in data of the core.
//!
//! Every backend passes one contract suite (`tests/it/contract.rs`). Nothing here knows GraphQL or HTTP, and no
//! store decides anything: what is written is computed by the core from what was loaded.

mod codec;
mod decision;
pub mod embedded;
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
    entry::{Entry, FeedItem, ScopeState},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, Scope, Seq, TypeName, UserId},
    inbox::{InboxPosition, InboxRecord, OpenConflict},
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    transaction::{Loaded, Reads, Refusal, Writes},
};

pub use self::{codec::StoredView, stored::StoredItem};
use self::{decision::ended_early, stored::Gathered};

/// The pure function a commit runs, once or, when the transaction is retried, again.
pub type Decide = dyn Fn(&Loaded) -> Writes + Send + Sync;

/// A store of entries, and its four promises: `commit`, `snapshot` (which scans and gets), `tail`, and that what it
/// acknowledged is durable.
#[async_trait]
pub trait Store: Send + Sync {
    /// Loads what `reads` names, decides, numbers the feed writes and writes everything in one transaction; returns
    /// when it is durable. Commits that touch one scope are serialised: its seqs are unique, gap-free and in commit
    /// order.
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Unavailable`] it may have been written all the same, and only what was
    /// written with it tells (rules.md 5.2); after any other, nothing of it was. After [`StoreError::WriteConflict`] the
    /// caller repeats it.
    async fn commit(&self, reads: Reads, decide: Arc<Decide>) -> Result<Committed, StoreError>;

    /// How many commits it can carry out at a time, if they touch different scopes and clients.
    fn commits_max(&self) -> usize {
        1
    }

    /// Opens a consistent view of all that was committed before the call (rules.md 2.2).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// The same where it is foreseen of which scopes and which user it will be asked: a store may read their states with
    /// the epoch.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot_of(
        &self,
        _scopes: &BTreeSet<Scope>,
        _user: Option<&UserId>,
    ) -> Result<Box<dyn Snapshot>, StoreError> {
        self.snapshot().await
    }

    /// A scope's head by a linearizable read (rules.md 2.4).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError>;

    /// What is committed from now on: every feed write soon after its commit, though one may overtake another. Begins with
    /// [`TailEvent::Restart`].
    fn tail(&self) -> BoxStream<'static, TailEvent>;
}

/// What a commit did.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// What it wrote.
    pub writes: Writes,
    /// The heads that it found of scopes in [`Reads::scopes`],
    pub before: BTreeMap<Scope, Seq>,
    /// and those that it left. A store that nobody else writes to reports none.
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

/// Another transaction wrote the same at the same time. Nothing was written.
#[derive(Debug, Clone)]
pub struct WriteConflict {
    /// The heads that this one found of scopes in [`Reads::scopes`]: one that moves shows that the other is over.
    pub heads: BTreeMap<Scope, Seq>,
    /// How long to wait where no head moves. It differs from gateway to gateway.
    pub backoff: Duration,
}

/// One consistent view: all its answers are of the same moment. It is to be short-lived: a store keeps what has been
/// replaced since for minutes only, or cannot use its room again meanwhile.
#[async_trait]
pub trait Snapshot: Send {
    /// The store's epoch.
    fn epoch(&self) -> &Epoch;

    /// Heads and floors; a scope that was never written has zeros.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError>;

    /// What is kept of a user: the stamp says whether memberships that were read before are those of this moment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError>;

    /// What the documents of membership types give to a user, without what declined givers give: at most
    /// [`ROWS_MAX`](tidegate_core::membership::ROWS_MAX), first the oldest of services, then the oldest of others.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError>;

    /// A stretch of one scope's feed, ascending by seq.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError>;

    /// Entries by key, tombstones too, as far as their records have room. A store chooses which. At least one has room, if
    /// any exists.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError>;

    /// All entries in the order of their keys, tombstones too, for those who have to look at everything: at most `limit` at
    /// a time, and fewer once they have [`WALK_BYTES_MAX`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError>;

    /// What the inbox has of a conflict.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError>;

    /// Open conflicts of these scopes, in the order of their positions.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError>;

    /// What is remembered of a client.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError>;
}

/// A walk ends with the entry that brings its stored bytes to this.
pub const WALK_BYTES_MAX: usize = 8 << 20;

/// What a scan asks for.
#[derive(Debug, Clone)]
pub struct ScanRange {
    /// Whose feed.
    pub scope: Scope,
    /// Only records of these types; `None` is all.
    pub types: Option<BTreeSet<TypeName>>,
    /// Whether tombstones, markers and what is withheld are wanted too. Where they are not, none is walked over.
    pub removals: bool,
    /// Records above this seq,
    pub after: Seq,
    /// up to and with this one.
    pub through: Seq,
    /// At most so many records.
    pub items_max: usize,
    /// The scan ends with the record that brings its stored bytes to this; it yields at least one if there is one.
    pub bytes_max: usize,
}

/// Which open conflicts are asked for.
#[derive(Debug, Clone)]
pub struct InboxRange {
    /// Those of documents that are in one of these scopes now,
    pub scopes: BTreeSet<Scope>,
    /// behind this one,
    pub after: Option<InboxPosition>,
    /// at most so many.
    pub items_max: usize,
    /// The reading ends with the conflict that brings their bytes to this; it yields at least one if there is one.
    pub bytes_max: usize,
}

/// What was found of an inbox.
#[derive(Debug, Clone, Default)]
pub struct InboxScan {
    /// The conflicts, in the order of their positions.
    pub conflicts: Vec<Arc<OpenConflict>>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl InboxScan {
    /// Takes one more conflict, where the range has room for it; else there are more, and this is all.
    pub fn take(&mut self, range: &InboxRange, conflict: Arc<OpenConflict>) -> bool {
        let bytes: usize = self.conflicts.iter().map(|taken| taken.bytes()).sum();
        let bytes_full = !self.conflicts.is_empty() && bytes >= range.bytes_max;
        self.has_more = bytes_full || self.conflicts.len() >= range.items_max;
        if !self.has_more {
            self.conflicts.push(conflict);
        }
        !self.has_more
    }
}

/// Entries that were asked for by their keys.
#[derive(Debug, Default)]
pub struct Entries {
    /// Those that exist and have room.
    pub found: HashMap<DocumentKey, Arc<Entry>>,
    /// Those that may exist and have no room.
    pub left_out: BTreeSet<DocumentKey>,
}

/// What a scan found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The records, ascending by seq.
    pub items: Vec<StoredItem>,
    /// Their stored size.
    pub bytes: usize,
    /// Whether nothing in the range was left out.
    pub complete: bool,
}

impl Scan {
    /// All that the records say.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decoded(&self) -> Result<Vec<FeedItem>, StoreError> {
        self.items.iter().map(StoredItem::decode).collect()
    }
}

/// Nothing, of a range in which there is nothing.
impl Default for Scan {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            complete: true,
        }
    }
}

/// A feed write as a tail tells it: stored, since few of them are of interest to anybody.
#[derive(Debug, Clone)]
pub struct FeedWrite {
    /// The scope whose feed it is in.
    pub scope: Scope,
    /// Of which document it speaks.
    pub key: DocumentKey,
    /// What it says.
    pub item: StoredItem,
}

impl FeedWrite {
    /// A feed write as the embedded store would keep it.
    ///
    /// # Errors
    /// [`StoreError::Undecided`] when the name of a field contains U+0000.
    pub fn encode(item: &FeedItem) -> Result<Self, StoreError> {
        Ok(Self {
            scope: item.record.scope().clone(),
            key: item.record.key().clone(),
            item: StoredItem::encode(item)?,
        })
    }
}

/// What a tail tells.
#[derive(Debug, Clone)]
pub enum TailEvent {
    /// Something may have been missed: whoever follows reads the store again.
    Restart,
    /// Feed writes of one transaction; others of it, and others with lower seqs, may follow.
    Committed(Arc<[FeedWrite]>),
    /// In this scope, or where none is named in any, conflicts were opened, settled, or came with their documents.
    Inbox(Option<Scope>),
    /// The memberships of these users changed, or what they decline; where none are named, perhaps those of anybody. It
    /// comes before the feed writes of its transaction.
    Grants(Option<Arc<[UserId]>>),
    /// The store has a new epoch.
    Epoch(Epoch),
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// It cannot be reached, or not now; trying again may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is there can hold no store: no replica set, or too old a version.
    #[error("{0}")]
    Unsuitable(String),
    /// Another transaction wrote the same; trying again helps.
    #[error("another transaction wrote the same at the same time; nothing was written")]
    WriteConflict(WriteConflict),
    /// There is no room left to write; reading still works.
    #[error(
        "the store cannot be written: {0}; make room on its disk, or let Tidegate write its directory and the files in it"
    )]
    NotWritable(String),
    /// Another process has it open.
    #[error(
        "the store at {path} is in use by another process; stop that one first, or use its endpoint"
    )]
    InUse {
        /// Where it is.
        path: String,
    },
    /// The decision panicked, or gave what cannot be stored; trying again does not help.
    #[error("the decision could not be carried out: {0}")]
    Undecided(String),
    /// The store's user may not do what was asked of it; trying again helps once its operator grants it.
    #[error("the store refuses its user: {0}; `tidegate check` names the rights that are missing")]
    NotPermitted(String),
    /// Rules of the database's own, such as a unique index, refuse some documents; decided otherwise, the rest can be
    /// written.
    #[error("the database refuses {} documents", .0.len())]
    Refused(Vec<Refusal>),
    /// Another version of Tidegate wrote it.
    #[error(
        "the store at {path} has format {found}, and this Tidegate reads format {known} and converts none: use the version that wrote it, or begin an empty store, by moving this one away or, on MongoDB, by another store.prefix"
    )]
    OtherFormat {
        /// Where it is.
        path: String,
        /// The format it has.
        found: u32,
        /// The format this version reads and writes.
        known: u32,
    },
    /// What it holds cannot be read.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
}
