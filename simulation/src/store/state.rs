//! All that a store holds at one moment, in maps.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::{
    entry::{Entry, FeedItem, Marker, Record, ScopeState},
    id::{ClientKey, ConflictId, DocumentKey, Epoch, MutationId, Scope, Seq, UserId, Version},
    inbox::{InboxPosition, InboxRecord, OpenConflict, Share, Waiting},
    membership::{Giving, Memberships, UserState},
    push::ClientState,
    transaction::{Loaded, Reads, Writes},
    value::Timestamp,
};

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) version_floor: Version,
    pub(crate) scopes: BTreeMap<Scope, ScopeState>,
    entries: BTreeMap<DocumentKey, (Seq, Arc<Entry>)>,
    markers: BTreeMap<(Scope, DocumentKey), (Seq, Marker)>,
    clients: HashMap<ClientKey, ClientState>,
    inbox: BTreeMap<ConflictId, InboxRecord>,
    users: HashMap<UserId, UserState>,
}

impl State {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            version_floor: Version::NONE,
            scopes: BTreeMap::new(),
            entries: BTreeMap::new(),
            markers: BTreeMap::new(),
            clients: HashMap::new(),
            inbox: BTreeMap::new(),
            users: HashMap::new(),
        }
    }

    pub(crate) fn scope(&self, scope: &Scope) -> ScopeState {
        self.scopes.get(scope).copied().unwrap_or_default()
    }

    pub(crate) fn entry(&self, key: &DocumentKey) -> Option<&Arc<Entry>> {
        self.entries.get(key).map(|(_, entry)| entry)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().map(|(_, entry)| entry)
    }

    pub(crate) fn client(&self, key: &ClientKey) -> Option<&ClientState> {
        self.clients.get(key)
    }

    pub(crate) fn conflict(&self, id: &ConflictId) -> Option<&InboxRecord> {
        self.inbox.get(id)
    }

    /// All open conflicts, in the order of their positions.
    pub(crate) fn conflicts(&self) -> Vec<&Arc<OpenConflict>> {
        let open = self.inbox.values().filter_map(|record| match record {
            InboxRecord::Open(open) => Some(open),
            InboxRecord::Settled(_) => None,
        });
        let mut open: Vec<_> = open.collect();
        open.sort_by_key(|open| InboxPosition::from(open.as_ref()));
        open
    }

    fn waiting(&self, shares: &BTreeSet<Share>) -> HashMap<Share, Waiting> {
        let mut waiting: HashMap<Share, Waiting> = HashMap::new();
        let conflicts = self.conflicts().into_iter();
        for open in conflicts.filter(|open| shares.contains(&open.share())) {
            let waiting = waiting.entry(open.share()).or_default();
            waiting.conflicts += 1;
            waiting.bytes += open.bytes();
        }
        waiting
    }

    fn settled_before(&self, before: Timestamp) -> Vec<ConflictId> {
        let old = self.inbox.values().filter_map(|record| match record {
            InboxRecord::Settled(settled) if settled.at < before => Some(settled.id.clone()),
            _ => None,
        });
        old.collect()
    }

    /// Everything that stands in a feed now.
    pub(crate) fn feed(&self) -> impl Iterator<Item = FeedItem> {
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

    pub(super) fn user(&self, user: &UserId) -> UserState {
        self.users.get(user).cloned().unwrap_or_default()
    }

    pub(crate) fn memberships(&self, user: &UserId) -> Memberships {
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
        memberships
    }

    pub(super) fn given(&self, givings: &BTreeSet<Giving>) -> BTreeMap<Giving, usize> {
        let count = |giving: &Giving| {
            let given = self.entries().filter_map(|it| it.membership.as_ref());
            let given = given.filter(|it| Giving::of(it).as_ref() == Some(giving));
            given.count()
        };
        let givings = givings.iter();
        givings
            .map(|giving| (giving.clone(), count(giving)))
            .collect()
    }

    pub(super) fn load(&self, reads: &Reads) -> Loaded {
        let entry = |key: &DocumentKey| Some((key.clone(), Arc::clone(self.entry(key)?)));
        let record = |id: &ConflictId| Some((id.clone(), self.conflict(id)?.clone()));
        let client = |key: &ClientKey| Some((key.clone(), self.client(key)?.clone()));
        let expired = |item: &FeedItem| {
            let before = reads.expired.map(|expired| expired.before);
            item.record.is_collectable() && before.is_some_and(|before| item.record.at() < before)
        };
        Loaded {
            epoch: self.epoch.clone(),
            version_floor: self.version_floor,
            entries: reads.keys.iter().filter_map(entry).collect(),
            clients: reads.clients.iter().filter_map(client).collect(),
            memberships: reads
                .members
                .iter()
                .map(|user| (user.clone(), Arc::new(self.memberships(user))))
                .collect(),
            users: reads
                .users
                .iter()
                .filter_map(|user| Some((user.clone(), self.users.get(user)?.clone())))
                .collect(),
            given: self.given(&reads.given),
            expired: self.feed().filter(expired).collect(),
            foreign: BTreeMap::new(),
            inbox: reads.inbox.iter().filter_map(record).collect(),
            waiting: self.waiting(&reads.waiting),
            forgettable: reads
                .expired
                .map_or_else(Vec::new, |expired| self.settled_before(expired.before)),
            idle: self.idle(reads),
            clients_of: HashMap::new(),
            conflicts: 0,
        }
    }

    fn idle(&self, reads: &Reads) -> Vec<(ClientKey, MutationId)> {
        let Some(expired) = reads.expired else {
            return Vec::new();
        };
        let is_idle = |state: &ClientState| state.at.is_some_and(|at| at < expired.before);
        let idle = self.clients.iter().filter(|(_, state)| is_idle(state));
        idle.map(|(key, state)| (key.clone(), state.last)).collect()
    }

    /// Writes what was decided; returns the feed writes.
    pub(super) fn write(&mut self, writes: &Writes) -> Vec<FeedItem> {
        let mut heads: BTreeMap<Scope, Seq> = writes
            .scopes()
            .into_iter()
            .map(|scope| (scope.clone(), self.scope(&scope).head))
            .collect();
        let items = writes.number(&mut heads);
        for key in &writes.markers_removed {
            self.markers.remove(key);
        }
        for FeedItem { seq, record } in items.iter().cloned() {
            match record {
                Record::Entry(entry) => drop(self.entries.insert(entry.key.clone(), (seq, entry))),
                Record::Marker(marker) => {
                    let place = (marker.scope.clone(), marker.key.clone());
                    self.markers.insert(place, (seq, marker));
                }
            }
        }
        for (scope, head) in heads {
            self.scopes.entry(scope).or_default().head = head;
        }
        self.clients.extend(writes.clients.iter().cloned());
        for (user, change) in &writes.users {
            let state = self.users.entry(user.clone()).or_default();
            state.stamp += 1;
            if let Some(declined) = &change.declined {
                state.declined.clone_from(declined);
            }
        }
        self.write_inbox(writes);
        for item in &writes.collected {
            self.remove(&item.record);
        }
        for (scope, floor) in &writes.floors {
            let state = self.scopes.entry(scope.clone()).or_default();
            state.floor = state.floor.max(*floor);
        }
        self.version_floor = writes.version_floor.unwrap_or(self.version_floor);
        if let Some(epoch) = &writes.epoch {
            self.epoch = epoch.clone();
        }
        items
    }

    fn write_inbox(&mut self, writes: &Writes) {
        for (key, scope) in writes.moves() {
            for record in self.inbox.values_mut() {
                if let InboxRecord::Open(open) = record
                    && open.key == *key
                {
                    Arc::make_mut(open).scope = scope.clone();
                }
            }
        }
        let records = writes.inbox.iter();
        self.inbox
            .extend(records.map(|record| (record.id().clone(), record.clone())));
        for id in &writes.forgotten {
            self.inbox.remove(id);
        }
    }

    fn remove(&mut self, record: &Record) {
        let key = record.key().clone();
        match record {
            Record::Entry(_) => drop(self.entries.remove(&key)),
            Record::Marker(marker) => drop(self.markers.remove(&(marker.scope.clone(), key))),
        }
    }
}
