//! What one commit of a store reads and writes, as data.
//!
//! A store loads a [`Loaded`], hands it to a pure function, and writes the [`Writes`] that come back: atomically,
//! or not at all and then perhaps again. The functions themselves are in [`crate::push`] and [`crate::collect`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexSet;

use crate::{
    change::Rejection,
    entry::{Entry, FeedItem, Marker, Record},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, MutationId, Scope, Seq, UserId, Version},
    inbox::{InboxRecord, Share, Waiting},
    membership::{Bounds, Giving, Memberships, UserChange, UserState},
    mutant::{Mutant, breaks},
    push::{ClientState, MET_BYTES_MAX, PushAnswer},
    value::{Document, Timestamp},
};

/// What a commit has to load before it can decide. The order of documents is that of the pushes that name them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reads {
    /// Entries, tombstones too.
    pub keys: IndexSet<DocumentKey>,
    /// How much of them is loaded, and how much of the conflicts.
    pub bytes_max: LoadBytesMax,
    /// Those of them of which the first that is heard is that they come into being. A store may take them for absent, as
    /// long as it finds out before it commits where they are not.
    pub created: BTreeSet<DocumentKey>,
    /// Scopes whose feeds are likely to be written: their heads may be read with the rest.
    pub scopes: BTreeSet<Scope>,
    /// The state of clients.
    pub clients: BTreeSet<ClientKey>,
    /// Users whose memberships count.
    pub members: BTreeSet<UserId>,
    /// What bounds the memberships that are read.
    pub bounds: Arc<Bounds>,
    /// Users whose state is wanted by itself.
    pub users: BTreeSet<UserId>,
    /// Of these it is counted how many documents the giver gives to the user.
    pub given: BTreeSet<Giving>,
    /// Conflicts, open and settled, in the order of the requests that name them.
    pub inbox: IndexSet<ConflictId>,
    /// Whose conflicts of which documents are counted.
    pub waiting: BTreeSet<Share>,
    /// Old tombstones, markers and settled conflicts, and clients that have not pushed for as long.
    pub expired: Option<Expired>,
}

/// The most bytes of stored documents that a commit loads. Conflicts have as many bytes of their own, and so have the
/// documents that the application keeps elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadBytesMax(pub usize);

/// What one push may meet, and an eighth more for what is stored beside the fields.
impl Default for LoadBytesMax {
    fn default() -> Self {
        Self(MET_BYTES_MAX / 8 * 9)
    }
}

/// Which tombstones, markers and settled conflicts are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Those whose `at` lies before this.
    pub before: Timestamp,
    /// At most so many of each, the oldest first.
    pub limit: usize,
}

/// What was loaded, all in one snapshot. What does not exist is absent.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The store's epoch.
    pub epoch: Epoch,
    /// The highest version that `collect` ever removed.
    pub version_floor: Version,
    /// The entries asked for.
    pub entries: HashMap<DocumentKey, Arc<Entry>>,
    /// The documents for which [`Reads::bytes_max`] had no room: the first of them and all behind it. Nobody has looked at
    /// them. The first document that is there is never one of them.
    pub left_out: HashSet<DocumentKey>,
    /// The conflicts for which there was no room, by the same rule.
    pub conflicts_left_out: HashSet<ConflictId>,
    /// The clients asked for.
    pub clients: HashMap<ClientKey, ClientState>,
    /// The memberships of the users asked for.
    pub memberships: HashMap<UserId, Arc<Memberships>>,
    /// The states of the users asked for by themselves.
    pub users: HashMap<UserId, UserState>,
    /// How many documents the givers asked for give, counted up to [`GIVEN_MAX`](crate::membership::GIVEN_MAX).
    pub given: BTreeMap<Giving, usize>,
    /// What others wrote to the documents asked for, where it is not what the entry says.
    pub foreign: BTreeMap<DocumentKey, Foreign>,
    /// What the inbox has of the conflicts asked for.
    pub inbox: HashMap<ConflictId, InboxRecord>,
    /// How much of the shares asked for waits in the inbox; one of which nothing does may be absent.
    pub waiting: HashMap<Share, Waiting>,
    /// The old tombstones and markers asked for.
    pub expired: Vec<FeedItem>,
    /// The conflicts that were settled as long ago.
    pub forgettable: Vec<ConflictId>,
    /// The clients whose last push was as long ago and can be repeated, and its last id.
    pub idle: Vec<(ClientKey, MutationId)>,
    /// Of how many of a user's clients the last push can be repeated, where a client asked for is none of these.
    pub clients_of: HashMap<UserId, usize>,
}

/// What somebody else made of a document, past the gateway. A store that nobody else writes to has none.
#[derive(Debug, Clone, PartialEq)]
pub enum Foreign {
    /// It is this.
    Document(Document),
    /// It holds what the model cannot hold, and why.
    Misfit(String),
    /// It is gone.
    Gone,
}

/// Why a store could not write a document, though it was decided: a rule of the database's own, such as a unique
/// index, refuses what one of the changes put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The document.
    pub key: DocumentKey,
    /// The fields the rule speaks of, by their names in the model; none if that is not known.
    pub fields: Vec<String>,
    /// Whether it is the removal of the document that is refused, as by a capped collection.
    pub is_of_removal: bool,
    /// What the change is told.
    pub rejection: Rejection,
}

/// What a commit writes, and what it answers once that is durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Writes {
    /// Entries, each once, whole. An entry replaces the one of its key, in whichever scope that stood.
    pub entries: Vec<Arc<Entry>>,
    /// Markers, each replacing the one of its scope and key.
    pub markers: Vec<Marker>,
    /// Markers to take away, where they exist.
    pub markers_removed: Vec<(Scope, DocumentKey)>,
    /// Users whose memberships, or what they decline, change: their stamps rise.
    pub users: BTreeMap<UserId, UserChange>,
    /// What [`Loaded::given`] lacks. If there is any, nothing of this is written: a store counts it and decides again.
    pub uncounted: BTreeSet<Giving>,
    /// Client states, each replacing the one of its key.
    pub clients: Vec<(ClientKey, ClientState)>,
    /// What the inbox has of these conflicts from now on, each replacing what it had.
    pub inbox: Vec<InboxRecord>,
    /// Settled conflicts to forget.
    pub forgotten: Vec<ConflictId>,
    /// Tombstones and markers to take away, exactly these.
    pub collected: Vec<FeedItem>,
    /// Floors to raise.
    pub floors: BTreeMap<Scope, Seq>,
    /// The version floor, if it rises.
    pub version_floor: Option<Version>,
    /// The new epoch, if it changes.
    pub epoch: Option<Epoch>,
    /// What becomes of each push, in the order in which they were handed in.
    pub answers: Vec<PushAnswer>,
}

impl Writes {
    /// The scopes whose feeds are written: their heads must be loaded for [`Writes::number`].
    pub fn scopes(&self) -> BTreeSet<Scope> {
        let entered = self.entries.iter().map(|entry| &entry.scope);
        let left = self.markers.iter().map(|marker| &marker.scope);
        entered.chain(left).cloned().collect()
    }

    /// The documents that enter a scope, and which: their open conflicts go with them. A document may have conflicts and
    /// no entry, if its tombstone has been collected.
    pub fn moves(&self) -> impl Iterator<Item = (&DocumentKey, &Scope)> {
        self.markers_removed.iter().map(|(scope, key)| (key, scope))
    }

    /// Gives each feed write the next seq of its scope and raises `heads` to the last one given. A scope missing
    /// from `heads` has never been written.
    pub fn number(&self, heads: &mut BTreeMap<Scope, Seq>) -> Vec<FeedItem> {
        let entries = self.entries.iter().cloned().map(Record::Entry);
        let markers = self.markers.iter().cloned().map(Record::Marker);
        entries
            .chain(markers)
            .map(|record| {
                let head = heads.entry(record.scope().clone()).or_default();
                if !(breaks(Mutant::SeqTwice) && matches!(record, Record::Marker(_))) {
                    *head = head.next();
                }
                FeedItem { seq: *head, record }
            })
            .collect()
    }
}
