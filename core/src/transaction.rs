//! What one commit of a store reads and writes, as data.
//!
//! A store loads a [`Loaded`], passes it to a pure function, and writes the returned [`Writes`] atomically or not at
//! all. It may then run the function again. The functions are in [`crate::push`] and [`crate::collect`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    change::Rejection,
    checkpoint::TokenKey,
    entry::{Entry, FeedItem, Marker, Record},
    generation::{ModelState, Standing},
    id::{
        ClientKey, ConflictId, DocumentKey, Epoch, MutationId, Scope, Seq, TypeName, UserId,
        Version,
    },
    inbox::{InboxRecord, PendingUsage, UserAndDocument},
    membership::{Bounds, GiverAndUser, Memberships, UserChange, UserState},
    mutant::{Mutant, is_active},
    push::{CURRENT_BYTES_MAX, ClientState, PushAnswer},
    unique::UniqueKey,
    value::{Document, Timestamp},
};

/// What a commit has to load before it can decide. The documents are in the order of the pushes that name them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reads {
    /// Entries, tombstones too.
    pub keys: IndexSet<DocumentKey>,
    /// The most bytes of them that are loaded, of the clients, and of the conflicts.
    pub bytes_max: LoadBytesMax,
    /// The keys whose first change is a create. A store may take them for absent, if it finds out before it commits
    /// which of them exist.
    pub created: BTreeSet<DocumentKey>,
    /// Scopes whose feeds are likely to be written. A store may read their heads with the rest.
    pub scopes: BTreeSet<Scope>,
    /// The clients of the requests, in their order.
    pub clients: IndexSet<ClientKey>,
    /// Users whose memberships count.
    pub members: BTreeSet<UserId>,
    /// The bounds on the memberships that are read.
    pub bounds: Arc<Bounds>,
    /// Users whose states are read by themselves.
    pub users: BTreeSet<UserId>,
    /// The pairs for which the giver's documents for the user are counted.
    pub given: BTreeSet<GiverAndUser>,
    /// Conflicts, open and settled, in the order of the requests that name them.
    pub inbox: IndexSet<ConflictId>,
    /// The shares whose conflicts are counted.
    pub waiting: BTreeSet<UserAndDocument>,
    /// Old tombstones, markers and settled conflicts, and clients that have not pushed since.
    pub expired: Option<ExpiryQuery>,
    /// The lease under which an importer stamps these documents. The store commits nothing if another gateway holds the
    /// lease by now, and renews it.
    pub lease: Option<Fence>,
}

/// The number of a lease. It rises each time that a gateway takes the lease from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fence(pub i64);

/// The most bytes of stored documents that a commit loads. Clients and conflicts have as many bytes of their own, and
/// so have the documents that the application keeps elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadBytesMax(pub usize);

/// The bytes that one push may meet, and an eighth more for what is stored beside the fields.
impl Default for LoadBytesMax {
    fn default() -> Self {
        Self(CURRENT_BYTES_MAX / 8 * 9)
    }
}

/// Which tombstones, markers and settled conflicts are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryQuery {
    /// Those whose `at` is before this.
    pub before: Timestamp,
    /// The most of each, the oldest first.
    pub limit: usize,
}

/// What was loaded, all in one snapshot. What does not exist is absent.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The store's epoch.
    pub epoch: Epoch,
    /// The highest version that `collect` ever removed.
    pub version_floor: Version,
    /// The lead among the store's models, and what it puts in force.
    pub models: Arc<ModelState>,
    /// The gateway's own model beside it.
    pub standing: Standing,
    /// The entries asked for.
    pub entries: HashMap<DocumentKey, Arc<Entry>>,
    /// The documents for which [`Reads::bytes_max`] had no room: the first of them and all after it. They were not
    /// read. The first existing document is never one of them.
    pub left_out: HashSet<DocumentKey>,
    /// The conflicts for which there was no room, by the same rule.
    pub conflicts_left_out: HashSet<ConflictId>,
    /// The clients asked for.
    pub clients: HashMap<ClientKey, ClientState>,
    /// The clients for which there was no room, by the same rule.
    pub clients_left_out: HashSet<ClientKey>,
    /// The memberships of the users asked for.
    pub memberships: HashMap<UserId, Arc<Memberships>>,
    /// The states of the users asked for by themselves.
    pub users: HashMap<UserId, UserState>,
    /// How many documents the givers asked for give, counted up to [`GIVEN_MAX`](crate::membership::GIVEN_MAX).
    pub given: BTreeMap<GiverAndUser, usize>,
    /// The documents that have the values asked for ([`Writes::unheld`]); `None` for a value that no document has. A
    /// tombstone has none.
    pub holders: BTreeMap<UniqueKey, Option<DocumentKey>>,
    /// Others' writes to the requested documents, where they differ from the entry.
    pub foreign: BTreeMap<DocumentKey, ForeignState>,
    /// Marks for the requested documents that hold, in embedded documents or in items of lists, content that the model does
    /// not name and that a store keeps elsewhere ([`origin::mark`](crate::value::origin::mark)), with others' writes.
    pub origins: BTreeMap<DocumentKey, Document>,
    /// Types whose collection is missing, or is another one than was imported. What is missing there may not have been
    /// deleted (rules.md 8.6).
    pub held: BTreeSet<TypeName>,
    /// The documents that are recorded as withheld, of those that an importer stamps.
    pub misfits: BTreeSet<DocumentKey>,
    /// The inbox's records of the requested conflicts.
    pub inbox: HashMap<ConflictId, InboxRecord>,
    /// How much of the requested shares waits. A share without waiting changes may be absent.
    pub waiting: HashMap<UserAndDocument, PendingUsage>,
    /// The old tombstones and markers asked for.
    pub expired: Vec<FeedItem>,
    /// The conflicts that were settled as long ago.
    pub expired_resolutions: Vec<ConflictId>,
    /// The clients whose last push was as long ago and can be repeated, with its last id.
    pub idle: Vec<(ClientKey, MutationId)>,
    /// The number of a user's clients whose last push can be repeated, for each user of a requested client that cannot.
    pub clients_of: HashMap<UserId, usize>,
}

/// What another service wrote to a document past the gateway. A store that nothing else writes to has none.
#[derive(Debug, Clone, PartialEq)]
pub enum ForeignState {
    /// It is this document.
    Document(Document),
    /// It holds a value that the model cannot hold.
    Misfit {
        /// The first such value.
        misfit: Misfit,
        /// The fields that can be read, each by itself. They say whose document it is.
        readable: Document,
    },
    /// It does not exist any more.
    Gone,
}

/// Why a document does not fit the model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}{}{problem}", if .path.is_empty() { "" } else { ": " })]
pub struct Misfit {
    /// The path of the value, by the model's names, such as `lines[2].price`; empty if nothing can be read.
    pub path: String,
    /// The BSON type of what is there, by MongoDB's name for it, such as `objectId`; `missing` if nothing is, `unknown`
    /// if it cannot be read.
    pub found: String,
    /// What is wrong and what was expected, in a sentence without its subject.
    pub problem: String,
}

impl Misfit {
    /// The same, inside the field `name`.
    #[must_use]
    pub fn inside(self, name: &str) -> Self {
        let dot = match self.path.chars().next() {
            None | Some('[') => "",
            Some(_) => ".",
        };
        let path = format!("{name}{dot}{}", self.path);
        Self { path, ..self }
    }

    /// The same, in the item of a list.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.inside(&format!("[{index}]"))
    }
}

/// Why a database refused a decided document: a rule of its own, such as a unique index, rejects what one of the
/// changes put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRefusal {
    /// The document.
    pub key: DocumentKey,
    /// The stored names of the fields of the rule; empty if unknown.
    pub fields: Vec<String>,
    /// Whether the database refuses the removal of the document, as a capped collection does.
    pub is_of_removal: bool,
    /// The rejection that the change gets.
    pub rejection: Rejection,
}

/// What a commit writes, and its answers once that is durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Writes {
    /// Entries, each once, whole. An entry replaces the one of its key, in whichever scope that was.
    pub entries: Vec<Arc<Entry>>,
    /// Markers, each replacing the one of its scope and key.
    pub markers: Vec<Marker>,
    /// Markers to remove, if they exist.
    pub markers_removed: Vec<(Scope, DocumentKey)>,
    /// Users whose memberships or declined givers change. Their stamps rise.
    pub users: BTreeMap<UserId, UserChange>,
    /// What [`Loaded::given`] lacks. If there is any, nothing of this is written: a store counts it and decides again.
    pub uncounted: BTreeSet<GiverAndUser>,
    /// What [`Loaded::holders`] lacks. If there is any, nothing of this is written: a store looks them up and decides again.
    pub unheld: BTreeSet<UniqueKey>,
    /// The values that were unique and that no document has from now on. Documents that are withheld for one of them are
    /// proposed again.
    pub freed: BTreeSet<UniqueKey>,
    /// Entries that leave a unique value to another entry of this commit. A store with a unique index takes their records
    /// out before it writes any.
    pub vacating: BTreeSet<DocumentKey>,
    /// Client states, each replacing the one of its key.
    pub clients: Vec<(ClientKey, ClientState)>,
    /// Clients whose states are removed.
    pub clients_removed: Vec<ClientKey>,
    /// The secret under which last ids of erased clients are kept, if some are from now on. Then a commit looks there for
    /// the requested clients that have no state ([`erased_client`](crate::push::erased_client)).
    pub erasure: Option<TokenKey>,
    /// The new records of these conflicts, each replacing the one before.
    pub inbox: Vec<InboxRecord>,
    /// Settled conflicts to remove.
    pub resolutions_removed: Vec<ConflictId>,
    /// Conflicts to remove, open or settled, because what is kept of a person or a document is erased.
    pub conflicts_removed: Vec<ConflictId>,
    /// Tombstones and markers to remove, exactly these.
    pub collected: Vec<FeedItem>,
    /// Floors to raise.
    pub floors: BTreeMap<Scope, Seq>,
    /// The version floor, if it rises.
    pub version_floor: Option<Version>,
    /// The new epoch, if it changes.
    pub epoch: Option<Epoch>,
    /// Whether something that others wrote is taken over while the application's document stays as it is. Then nothing
    /// else may conflict with a change of the lead: a store makes the transaction conflict with it (rules.md 9.6).
    pub imports_alone: bool,
    /// Documents to record as withheld, and documents that no longer are.
    pub misfits: BTreeMap<DocumentKey, Option<Misfit>>,
    /// Of the documents to record as withheld, those that are so because another one has this value.
    pub duplicates: BTreeMap<DocumentKey, UniqueKey>,
    /// The answers to the requests, in their order.
    pub answers: Vec<PushAnswer>,
}

impl Writes {
    /// The scopes whose feeds are written: their heads must be loaded for [`Writes::assign_seqs`].
    pub fn scopes(&self) -> BTreeSet<Scope> {
        let entered = self.entries.iter().map(|entry| &entry.scope);
        let left = self.markers.iter().map(|marker| &marker.scope);
        entered.chain(left).cloned().collect()
    }

    /// The documents that enter a scope, with that scope. Their open conflicts go with them. A document may have
    /// conflicts and no entry, if its tombstone has been collected.
    pub fn moves(&self) -> impl Iterator<Item = (&DocumentKey, &Scope)> {
        self.markers_removed.iter().map(|(scope, key)| (key, scope))
    }

    /// Gives each feed write the next seq of its scope and raises `heads` to the last one given. A scope missing
    /// from `heads` has never been written.
    pub fn assign_seqs(&self, heads: &mut BTreeMap<Scope, Seq>) -> Vec<FeedItem> {
        let entries = self.entries.iter().cloned().map(Record::Entry);
        let markers = self.markers.iter().cloned().map(Record::Marker);
        entries
            .chain(markers)
            .map(|record| {
                let head = heads.entry(record.scope().clone()).or_default();
                if !(is_active(Mutant::SeqTwice) && matches!(record, Record::Marker(_))) {
                    *head = head.next();
                }
                FeedItem { seq: *head, record }
            })
            .collect()
    }
}
