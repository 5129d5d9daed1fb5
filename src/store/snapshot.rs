//! What a store answers at one moment, and what its reads ask for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use tidegate_core::{
    digest::ScopeSums,
    entry::{Entry, FeedItem, ScopeState},
    id::{
        ApiHash, ClientId, ClientKey, ConflictId, DocumentId, DocumentKey, Scope, ScopeNumber, Seq,
        TypeName, UserId,
    },
    inbox::{InboxPosition, InboxRecord, OpenConflict},
    membership::{Bounds, Memberships, UserState},
    push::ClientState,
    query::IndexRead,
    value::Timestamp,
};

use super::{StoreError, StoreState, StoredRecord, list};

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
pub(super) type Clients = Found<ClientKey, ClientState>;

/// Conflicts that were asked for by their ids.
pub(super) type Conflicts = Found<ConflictId, InboxRecord>;

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
