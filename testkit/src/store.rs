//! A store of maps: loads what the core asks for, writes what it decides, and reads the ranges of a page.
//!
//! It has no rule of the protocol. A whole store is one value, so a test can clone it, compare it and put it back. Each
//! test decides how gateways reach it and hear of its commits.

mod load;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::{
    digest::ScopeSums,
    entry::{Entry, FeedItem, Marker, Membership, Record, ScopeState},
    generation::{Generation, LeadChange, ModelRecord, Standing, Term},
    id::{
        ClientKey, ConflictId, DocumentKey, Epoch, Scope, ScopeNumber, Seq, TypeName, UserId,
        Version,
    },
    inbox::{InboxPosition, InboxRecord, OpenConflict},
    membership::{Bounds, Memberships, ROWS_MAX, UserState},
    push::ClientState,
    transaction::ForeignState,
    value::Document,
};

/// All that a store holds at one moment.
#[derive(Debug, Clone)]
pub struct State {
    pub epoch: Epoch,
    pub version_floor: Version,
    pub models: Arc<ModelRecord>,
    /// The generation of the gateway that reads.
    pub serving: Generation,
    pub scopes: HashMap<Scope, ScopeState>,
    /// The sums of each scope's living documents.
    pub sums: HashMap<Scope, ScopeSums>,
    /// Others' writes past the gateway, until a commit takes them over.
    pub foreign: BTreeMap<DocumentKey, ForeignState>,
    /// Marks for what documents hold inside of them and the gateway that reads does not name.
    pub origins: BTreeMap<DocumentKey, Document>,
    /// Types that may have lost documents.
    pub held: BTreeSet<TypeName>,
    /// Documents that are recorded as withheld.
    pub misfits: BTreeSet<DocumentKey>,
    pub inbox: BTreeMap<ConflictId, InboxRecord>,
    entries: BTreeMap<DocumentKey, (Seq, Arc<Entry>)>,
    markers: BTreeMap<(Scope, DocumentKey), (Seq, Marker)>,
    clients: BTreeMap<ClientKey, ClientState>,
    users: HashMap<UserId, UserState>,
}

/// A range of a scope's feed.
#[derive(Debug, Clone, Copy)]
pub struct Range<'r> {
    pub scope: &'r Scope,
    /// Only these types; `None` is all.
    pub types: Option<&'r BTreeSet<TypeName>>,
    /// Whether tombstones, markers and withheld records belong to it.
    pub removals: bool,
    /// Only records above this seq.
    pub after: Seq,
    /// Only records up to and including this seq.
    pub through: Seq,
}

impl State {
    /// An empty store.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            version_floor: Version::NONE,
            models: Arc::default(),
            serving: Generation::default(),
            scopes: HashMap::new(),
            sums: HashMap::new(),
            foreign: BTreeMap::new(),
            origins: BTreeMap::new(),
            held: BTreeSet::new(),
            misfits: BTreeSet::new(),
            inbox: BTreeMap::new(),
            entries: BTreeMap::new(),
            markers: BTreeMap::new(),
            clients: BTreeMap::new(),
            users: HashMap::new(),
        }
    }

    /// The number of a model.
    pub fn register(&mut self, text: &str, api_hash: &str) -> Generation {
        Arc::make_mut(&mut self.models).register(text, Some(api_hash))
    }

    /// Puts another lead in force, if its term follows the present one. Returns whether it is in force.
    pub fn take_lead(&mut self, change: &LeadChange) -> bool {
        Arc::make_mut(&mut self.models).take_lead(change)
    }

    /// All documents of the type are in their scopes.
    pub fn moved(&mut self, term: Term, type_name: &TypeName) {
        Arc::make_mut(&mut self.models).moved(term, type_name);
    }

    /// Of these types all is stamped that gateways wait for.
    pub fn stamped(&mut self, term: Term, types: &BTreeSet<TypeName>) {
        Arc::make_mut(&mut self.models).stamped(term, types);
    }

    /// The model of the gateway that reads beside the lead.
    pub fn standing(&self) -> Standing {
        self.models.state.standing(self.serving)
    }

    /// A scope's counters.
    pub fn scope(&self, scope: &Scope) -> ScopeState {
        self.scopes.get(scope).copied().unwrap_or_default()
    }

    /// The scopes of these numbers.
    pub fn scopes_numbered(&self, numbers: &BTreeSet<ScopeNumber>) -> HashMap<ScopeNumber, Scope> {
        let scopes = self.scopes.iter();
        let numbered = scopes.filter_map(|(scope, state)| Some((state.number?, scope.clone())));
        numbered
            .filter(|(number, _)| numbers.contains(number))
            .collect()
    }

    /// A document's entry.
    pub fn entry(&self, key: &DocumentKey) -> Option<&Arc<Entry>> {
        self.entries.get(key).map(|(_, entry)| entry)
    }

    /// All entries in the order of their keys, tombstones too.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().map(|(_, entry)| entry)
    }

    /// The scopes and documents of all markers.
    pub fn markers(&self) -> impl Iterator<Item = &(Scope, DocumentKey)> {
        self.markers.keys()
    }

    /// What is kept of a client.
    pub fn client(&self, key: &ClientKey) -> Option<&ClientState> {
        self.clients.get(key)
    }

    /// What is kept of all clients.
    pub fn clients(&self) -> impl Iterator<Item = &ClientState> {
        self.clients.values()
    }

    /// What is kept of a user's clients, in the order of their names.
    pub fn clients_named(&self, user: &UserId) -> impl Iterator<Item = (&ClientKey, &ClientState)> {
        let clients = self.clients.iter();
        clients.filter(|(key, _)| key.user == *user)
    }

    /// How many of a user's clients have a last push that is remembered.
    pub fn clients_of(&self, user: &UserId) -> usize {
        let clients = self.clients_named(user);
        clients.filter(|(_, state)| state.at.is_some()).count()
    }

    /// What is kept of a user beside the documents.
    pub fn user(&self, user: &UserId) -> UserState {
        self.users.get(user).cloned().unwrap_or_default()
    }

    /// All open conflicts, in the order of their positions.
    pub fn conflicts(&self) -> Vec<&Arc<OpenConflict>> {
        let mut open: Vec<_> = self.open().collect();
        open.sort_by_key(|open| InboxPosition::from(open.as_ref()));
        open
    }

    fn open(&self) -> impl Iterator<Item = &Arc<OpenConflict>> {
        self.inbox.values().filter_map(|record| match record {
            InboxRecord::Open(open) => Some(open),
            InboxRecord::Resolved(_) => None,
        })
    }

    /// All present feed items.
    pub fn feed(&self) -> impl Iterator<Item = FeedItem> {
        let entry = |(seq, entry): &(Seq, Arc<Entry>)| FeedItem {
            seq: *seq,
            record: Record::Entry(Arc::clone(entry)),
        };
        let marker = |(seq, marker): &(Seq, Marker)| FeedItem {
            seq: *seq,
            record: Record::Marker(marker.clone()),
        };
        let entries = self.entries.values().map(entry);
        entries.chain(self.markers.values().map(marker))
    }

    /// The records of a feed in the range, ascending by seq.
    pub fn scan(&self, range: Range<'_>) -> Vec<FeedItem> {
        let wanted = |item: &FeedItem| {
            *item.record.scope() == *range.scope
                && range
                    .types
                    .is_none_or(|types| types.contains(&item.record.key().type_name))
                && (range.removals || !item.record.is_collectable())
                && range.after < item.seq
                && item.seq <= range.through
        };
        let mut items: Vec<FeedItem> = self.feed().filter(wanted).collect();
        items.sort_by_key(|item| item.seq);
        items
    }

    /// What membership documents give to a user. Of too many, those of services and the oldest.
    pub fn memberships(&self, user: &UserId, bounds: &Bounds) -> Memberships {
        let mut memberships = Memberships {
            state: self.user(user),
            ..Memberships::default()
        };
        for entry in self.entries() {
            let given = entry.membership.iter();
            for membership in given.filter(|membership| membership.user == *user) {
                memberships.insert(entry.key.clone(), membership.clone());
            }
        }
        for key in excess(&memberships, bounds) {
            memberships.rows.remove(&key);
        }
        memberships
    }
}

/// The documents of the memberships that are too many to be read.
fn excess(memberships: &Memberships, bounds: &Bounds) -> BTreeSet<DocumentKey> {
    let is_of_service = |membership: &Membership| {
        let giver = membership.giver.as_ref();
        giver.is_none_or(|giver| bounds.services.contains(giver))
    };
    let mut rows: Vec<_> = memberships.rows.iter().collect();
    rows.sort_by_key(|(_, membership)| (!is_of_service(membership), membership.since));
    let excess = rows.into_iter().skip(ROWS_MAX);
    excess.map(|(key, _)| key.clone()).collect()
}
