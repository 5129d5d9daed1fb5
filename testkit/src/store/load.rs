//! What a commit loads, and its decision.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use tidegate_core::{
    entry::{Entry, FeedItem},
    id::{ClientKey, ConflictId, DocumentKey, MutationId, UserId},
    inbox::{InboxRecord, PendingUsage, UserAndDocument},
    membership::GiverAndUser,
    push::ClientState,
    transaction::{ExpiryQuery, Loaded, Reads, Writes},
    unique::UniqueKey,
    value::document_bytes,
};

use super::State;

impl State {
    /// Decides over what it loads. It counts what the decision asks for, and decides again.
    pub fn decide(&self, reads: &Reads, decide: &dyn Fn(&Loaded) -> Writes) -> Writes {
        let mut loaded = self.load(reads);
        loop {
            let writes = decide(&loaded);
            if writes.uncounted.is_empty() && writes.unheld.is_empty() {
                return writes;
            }
            loaded.given.extend(self.given(&writes.uncounted));
            loaded.holders.extend(self.holders(&writes.unheld));
        }
    }

    /// All that `reads` names.
    pub fn load(&self, reads: &Reads) -> Loaded {
        let entry = |key: &DocumentKey| Some((key.clone(), Arc::clone(self.entry(key)?)));
        let foreign = |key: &DocumentKey| Some((key.clone(), self.foreign.get(key)?.clone()));
        let marks = |key: &DocumentKey| Some((key.clone(), self.origins.get(key)?.clone()));
        let record = |id: &ConflictId| Some((id.clone(), self.inbox.get(id)?.clone()));
        let client = |key: &ClientKey| Some((key.clone(), self.client(key)?.clone()));
        let state = |user: &UserId| Some((user.clone(), self.users.get(user)?.clone()));
        let memberships = |user: &UserId| {
            let memberships = self.memberships(user, &reads.bounds);
            (user.clone(), Arc::new(memberships))
        };
        let old = reads.expired.as_ref();
        let bytes_max = reads.bytes_max.0;
        let bytes = |key: &DocumentKey| self.entry(key).map_or(0, |entry| bytes_of(entry));
        let left_out = without_room(reads.keys.iter(), bytes_max, bytes);
        let loaded = || reads.keys.iter().filter(|key| !left_out.contains(*key));
        let bytes = |id: &ConflictId| self.inbox.get(id).map_or(0, bytes_of_record);
        let conflicts_left_out = without_room(reads.inbox.iter(), bytes_max, bytes);
        let bytes = |key: &ClientKey| self.client(key).map_or(0, bytes_of_client);
        let clients_left_out = without_room(reads.clients.iter(), bytes_max, bytes);
        let clients = reads.clients.iter();
        let clients = clients.filter(|key| !clients_left_out.contains(*key));
        let conflicts = reads.inbox.iter();
        let conflicts = conflicts.filter(|id| !conflicts_left_out.contains(*id));
        Loaded {
            epoch: self.epoch.clone(),
            version_floor: self.version_floor,
            models: Arc::clone(&self.models.state),
            standing: self.standing(),
            entries: loaded().filter_map(entry).collect(),
            foreign: loaded().filter_map(foreign).collect(),
            origins: loaded().filter_map(marks).collect(),
            held: self.held.clone(),
            misfits: loaded()
                .filter(|key| self.misfits.contains(*key))
                .cloned()
                .collect(),
            clients: clients.filter_map(client).collect(),
            clients_left_out,
            clients_of: self.clients_beside(reads),
            memberships: reads.members.iter().map(memberships).collect(),
            users: reads.users.iter().filter_map(state).collect(),
            given: self.given(&reads.given),
            holders: BTreeMap::new(),
            inbox: conflicts.filter_map(record).collect(),
            waiting: self.waiting(&reads.waiting),
            expired: old.map_or_else(Vec::new, |old| self.expired(old)),
            expired_resolutions: old.map_or_else(Vec::new, |old| self.forgettable(old)),
            idle: old.map_or_else(Vec::new, |old| self.idle(old)),
            left_out,
            conflicts_left_out,
        }
    }

    /// So many bytes have room for any documents of this number.
    pub fn bytes_of_largest(&self, documents: usize) -> usize {
        let mut bytes: Vec<usize> = self.entries().map(|entry| bytes_of(entry)).collect();
        bytes.sort_unstable_by_key(|bytes| Reverse(*bytes));
        bytes.iter().take(documents).sum()
    }

    /// How many clients each user has, if a requested one would be one more.
    fn clients_beside(&self, reads: &Reads) -> HashMap<UserId, usize> {
        let is_counted = |key: &&ClientKey| self.client(key).is_some_and(|it| it.at.is_some());
        let users = reads.clients.iter().filter(|key| !is_counted(key));
        let users = users.map(|key| &key.user);
        users
            .map(|user| (user.clone(), self.clients_of(user)))
            .collect()
    }

    fn given(&self, givings: &BTreeSet<GiverAndUser>) -> BTreeMap<GiverAndUser, usize> {
        let count = |giving: &GiverAndUser| {
            let given = self.entries().filter_map(|it| it.membership.as_ref());
            let given = given.filter(|it| GiverAndUser::of(it).as_ref() == Some(giving));
            (giving.clone(), given.count())
        };
        givings.iter().map(count).collect()
    }

    /// Who has each of these values.
    fn holders(&self, keys: &BTreeSet<UniqueKey>) -> BTreeMap<UniqueKey, Option<DocumentKey>> {
        let holder = |key: &UniqueKey| {
            let has = |entry: &&Arc<Entry>| key.is_of(entry);
            let holder = self.entries().find(has).map(|entry| entry.key.clone());
            (key.clone(), holder)
        };
        keys.iter().map(holder).collect()
    }

    /// How much of each share waits in the inbox.
    pub fn waiting(
        &self,
        shares: &BTreeSet<UserAndDocument>,
    ) -> HashMap<UserAndDocument, PendingUsage> {
        let mut waiting: HashMap<UserAndDocument, PendingUsage> = HashMap::new();
        for open in self.open().filter(|open| shares.contains(&open.share())) {
            let waiting = waiting.entry(open.share()).or_default();
            waiting.conflicts += 1;
            waiting.bytes += open.bytes();
        }
        waiting
    }

    fn expired(&self, old: &ExpiryQuery) -> Vec<FeedItem> {
        let is_old =
            |item: &FeedItem| item.record.is_collectable() && item.record.at() < old.before;
        let items = self.feed().filter(is_old).collect();
        oldest(items, old, |item: &FeedItem| item.record.at())
    }

    fn forgettable(&self, old: &ExpiryQuery) -> Vec<ConflictId> {
        let settled = self.inbox.values().filter_map(|record| match record {
            InboxRecord::Resolved(settled) if settled.at < old.before => Some(settled),
            _ => None,
        });
        let settled = oldest(settled.collect(), old, |settled| settled.at);
        settled.iter().map(|settled| settled.id.clone()).collect()
    }

    fn idle(&self, old: &ExpiryQuery) -> Vec<(ClientKey, MutationId)> {
        let is_idle = |state: &ClientState| state.at.is_some_and(|at| at < old.before);
        let idle = self.clients.iter().filter(|(_, state)| is_idle(state));
        let idle = oldest(idle.collect(), old, |(_, state)| state.at);
        let idle = idle.into_iter();
        idle.map(|(key, state)| (key.clone(), state.last)).collect()
    }
}

/// The room that an entry takes: its fields, and a part for what stands beside them. Returns the first that has no
/// room, and all after it.
fn without_room<'k, K: Clone + Eq + Hash + 'k>(
    keys: impl Iterator<Item = &'k K> + Clone,
    bytes_max: usize,
    bytes_of: impl Fn(&K) -> usize,
) -> HashSet<K> {
    let mut bytes = 0;
    let has_no_room = |key: &K| {
        let is_first = bytes == 0;
        bytes += bytes_of(key);
        !is_first && bytes > bytes_max
    };
    let fitting = keys.clone().position(has_no_room);
    keys.skip(fitting.unwrap_or(usize::MAX)).cloned().collect()
}

fn bytes_of_record(record: &InboxRecord) -> usize {
    match record {
        InboxRecord::Open(open) => open.bytes(),
        InboxRecord::Resolved(_) => 0,
    }
}

fn bytes_of_client(client: &ClientState) -> usize {
    let errors = client.outcomes.iter().filter_map(|it| it.error.as_ref());
    let texts = errors.map(|it| it.message.len() + it.field.as_ref().map_or(0, String::len));
    100 + texts.sum::<usize>()
}

fn bytes_of(entry: &Entry) -> usize {
    100 + entry.body.as_ref().map_or(0, document_bytes)
}

/// The oldest of them, as many as are asked for.
fn oldest<T, At: Ord>(mut items: Vec<T>, asked: &ExpiryQuery, at: impl Fn(&T) -> At) -> Vec<T> {
    items.sort_by_key(at);
    items.truncate(asked.limit);
    items
}
