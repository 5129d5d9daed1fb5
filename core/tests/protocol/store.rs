//! A store of maps: loads what the core asks for, writes what it decides, and reads the stretches of a page.
//!
//! It keeps no rule of the protocol itself; the people who use it are kept here too, for brevity.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::{
    change::BaseVersion,
    checkpoint::{Checkpoint, Types},
    collect,
    entry::{Entry, FeedItem, Marker, Record, ScopeState},
    grant::{Grants, Identity},
    id::{
        ClientId, ClientKey, ConflictId, DocumentKey, Epoch, MutationId, Scope, Seq, UserId,
        Version,
    },
    inbox::{InboxRecord, OpenConflict, Share, Waiting},
    membership::{self, Bounds, Giving, Memberships, UserState},
    model::Model,
    page::{Cursor, PageRequest, Stretch, View, seqs_above_head},
    push::{
        self, Advice, ClientState, Push, PushAnswer, PushClient, PushHash, PushRequest, Resolution,
        ResolveRequest,
    },
    transaction::{Foreign, Loaded, Reads, Writes},
    value::Timestamp,
};

use crate::{
    bench::identity,
    drafts::{Draft, key, model, start},
    senders::Sender,
};

/// Of so many clients of a user the last push is remembered.
pub(crate) const CLIENTS_MAX: usize = 20;

/// A page as it reaches a client.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) changes: Vec<FeedItem>,
    pub(crate) token: String,
    pub(crate) has_more: bool,
    pub(crate) reset: bool,
    pub(crate) revoked: Vec<String>,
    pub(crate) epoch: Epoch,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) model: Arc<Model>,
    pub(crate) epoch: Epoch,
    pub(crate) version_floor: Version,
    pub(crate) scopes: HashMap<Scope, ScopeState>,
    /// Everything that was ever written, in the order of its writing.
    pub(crate) log: Vec<FeedItem>,
    pub(crate) now: Timestamp,
    entries: BTreeMap<DocumentKey, (Seq, Arc<Entry>)>,
    markers: BTreeMap<(Scope, DocumentKey), (Seq, Marker)>,
    clients: HashMap<ClientKey, ClientState>,
    pub(crate) inbox: BTreeMap<ConflictId, InboxRecord>,
    /// What another service has made of documents that nobody has taken over yet.
    foreign: BTreeMap<DocumentKey, Foreign>,
    users: HashMap<UserId, UserState>,
    pub(crate) bounds: Arc<Bounds>,
    teams: HashMap<&'static str, Vec<&'static str>>,
}

impl Store {
    pub(crate) fn new(rule: &str) -> Self {
        Self::on(model(rule))
    }

    /// On a model of the test's own.
    pub(crate) fn of(model: Model) -> Self {
        Self::on(Arc::new(model))
    }

    fn on(model: Arc<Model>) -> Self {
        Self {
            model,
            epoch: Epoch::new("e1").expect("a short name"),
            version_floor: Version::NONE,
            scopes: HashMap::new(),
            log: Vec::new(),
            now: start(),
            entries: BTreeMap::new(),
            markers: BTreeMap::new(),
            clients: HashMap::new(),
            inbox: BTreeMap::new(),
            foreign: BTreeMap::new(),
            users: HashMap::new(),
            bounds: Arc::default(),
            teams: HashMap::new(),
        }
    }

    /// From now on the user's token names these teams.
    pub(crate) fn teams(&mut self, user: &'static str, teams: &[&'static str]) {
        self.teams.insert(user, teams.to_vec());
    }

    /// Another service writes a document, past the gateway.
    pub(crate) fn elsewhere(&mut self, document: &Draft) {
        let body = document.fields(&self.model);
        self.foreign.insert(document.key(), Foreign::Document(body));
    }

    /// What a document's entry is now.
    pub(crate) fn entry(&self, key: &DocumentKey) -> Option<&Arc<Entry>> {
        self.entries.get(key).map(|(_, entry)| entry)
    }

    /// The entry of a task.
    pub(crate) fn task(&self, id: &str) -> &Arc<Entry> {
        self.entry(&key("Task", id)).expect("the task has an entry")
    }

    /// All living entries.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries
            .values()
            .map(|(_, entry)| entry)
            .filter(|entry| !entry.is_deleted())
    }

    /// The scopes in which a task left a marker.
    pub(crate) fn markers(&self, id: &str) -> Vec<&str> {
        let markers = self.markers.keys().filter(|(_, at)| *at == key("Task", id));
        markers.map(|(scope, _)| scope.as_str()).collect()
    }

    /// A scope's counters.
    pub(crate) fn scope(&self, scope: &str) -> ScopeState {
        self.scopes
            .get(&Scope::new(scope).expect("a short name"))
            .copied()
            .unwrap_or_default()
    }

    /// One push in a transaction of its own.
    pub(crate) fn push(&mut self, sender: &Sender, changes: &[Draft]) -> PushAnswer {
        let mut answers = self.group(&[(sender, changes)]);
        answers.remove(0)
    }

    /// Several pushes in one transaction, a second after the last one.
    pub(crate) fn group(&mut self, pushes: &[(&Sender, &[Draft])]) -> Vec<PushAnswer> {
        self.now = self.now.plus_ms(1_000);
        let requests: Vec<PushRequest> = pushes
            .iter()
            .map(|(sender, changes)| self.request(sender, changes))
            .collect();
        self.transact(&requests)
    }

    fn transact(&mut self, requests: &[PushRequest]) -> Vec<PushAnswer> {
        let loaded = self.load(&push::reads(&self.model, requests));
        let writes = self.counted(loaded, |loaded| {
            push::decide(&self.model, self.now, requests, &[], loaded)
        });
        let answers = writes.answers.clone();
        self.write(writes);
        answers
    }

    /// Decides again with what was counted.
    fn counted(&self, mut loaded: Loaded, decide: impl Fn(&Loaded) -> Writes) -> Writes {
        loop {
            let writes = decide(&loaded);
            if writes.uncounted.is_empty() {
                return writes;
            }
            let counted = writes.uncounted.iter();
            loaded
                .given
                .extend(counted.map(|giving| (giving.clone(), self.count(giving))));
        }
    }

    /// Declines what these users give to another, or takes it back.
    pub(crate) fn decline(&mut self, user: &str, givers: &[&str], decline: bool) {
        let user = UserId::new(user).expect("a short name");
        let givers = givers
            .iter()
            .map(|it| UserId::new(it).expect("a short name"));
        let loaded = self.load(&Reads {
            users: [user.clone()].into(),
            ..Reads::default()
        });
        let (declined, writes) = membership::decline(&user, &givers.collect(), decline, &loaded);
        declined.expect("few givers");
        self.write(writes);
    }

    /// How often a user's memberships, or what the user declines, have changed.
    pub(crate) fn stamp(&self, user: &str) -> i64 {
        let user = UserId::new(user).expect("a short name");
        self.users.get(&user).map_or(0, |state| state.stamp)
    }

    /// A push that does not say which epoch its versions belong to.
    pub(crate) fn without_epoch(&mut self, sender: &Sender, changes: &[Draft]) -> PushAnswer {
        let mut request = self.request(sender, changes);
        request.push.epoch = None;
        self.transact(&[request]).remove(0)
    }

    /// A push to which the application has answered.
    pub(crate) fn advised(
        &mut self,
        sender: &Sender,
        changes: &[Draft],
        advice: &[Advice],
    ) -> PushAnswer {
        let mut request = self.request(sender, changes);
        request.advice = advice.to_vec();
        self.transact(&[request]).remove(0)
    }

    /// The only conflict that is open.
    pub(crate) fn conflict(&self) -> &OpenConflict {
        let open: Vec<_> = self.conflicts().collect();
        assert_eq!(open.len(), 1, "{open:#?}");
        open[0]
    }

    /// All conflicts that are open.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = &OpenConflict> {
        self.inbox.values().filter_map(|record| match record {
            InboxRecord::Open(open) => Some(open.as_ref()),
            InboxRecord::Settled(_) => None,
        })
    }

    /// Resolves a conflict, a second after the last push.
    pub(crate) fn resolve(
        &mut self,
        user: &'static str,
        conflict: &ConflictId,
        base: i32,
        resolution: Resolution,
    ) -> PushAnswer {
        self.now = self.now.plus_ms(1_000);
        let identity = identity(user, self.teams_of(user));
        let request = ResolveRequest {
            claim_grants: Arc::new(self.claims(&identity)),
            identity: Arc::new(identity),
            conflict: conflict.clone(),
            base: BaseVersion(base),
            resolution,
        };
        let key = match self.inbox.get(conflict) {
            Some(InboxRecord::Open(open)) => open.key.clone(),
            Some(InboxRecord::Settled(settled)) => settled.key.clone(),
            None => key("Task", "none"),
        };
        let loaded = self.load(&push::resolve_reads(&request, &key));
        let mut writes = self.counted(loaded, |loaded| {
            push::resolve(&self.model, self.now, &request, None, loaded)
        });
        let answer = writes.answers.remove(0);
        self.write(writes);
        answer
    }

    fn request(&self, sender: &Sender, changes: &[Draft]) -> PushRequest {
        let epoch = sender
            .epoch
            .as_ref()
            .map(|epoch| Epoch::new(epoch).expect("a short name"));
        let push = Push {
            client: sender.client.as_ref().map(|client| PushClient {
                id: ClientId::new(client).expect("a short name"),
                first: sender.first.map(MutationId),
            }),
            changes: changes
                .iter()
                .map(|draft| draft.submission(&self.model))
                .collect(),
            atomic: sender.atomic,
            policy: sender.policy,
            epoch: epoch.or_else(|| sender.first.map(|_| self.epoch.clone())),
        };
        let identity = identity(sender.user, self.teams_of(sender.user));
        PushRequest {
            claim_grants: Arc::new(self.claims(&identity)),
            identity: Arc::new(identity),
            hash: PushHash::of(&push),
            push,
            advice: Vec::new(),
            clients_max: CLIENTS_MAX,
        }
    }

    /// Collects every tombstone and marker there is.
    pub(crate) fn collect(&mut self) {
        self.collect_where(|_| true);
    }

    /// Collects those of one scope, as if all others were younger.
    pub(crate) fn collect_only(&mut self, scope: &str) {
        self.collect_where(|item| item.record.scope().as_str() == scope);
    }

    fn collect_where(&mut self, is_old: impl Fn(&FeedItem) -> bool) {
        let mut loaded = self.load(&collect::reads(self.now.plus_ms(1), usize::MAX));
        loaded.expired.retain(is_old);
        loaded.idle.clear();
        self.write(collect::decide(&loaded));
    }

    /// Collects what can be repeated of all clients, as if the retention had passed since they pushed.
    pub(crate) fn collect_clients(&mut self) {
        let loaded = self.load(&collect::reads(self.now.plus_ms(1), usize::MAX));
        self.write(collect::decide(&loaded));
    }

    /// Begins another epoch.
    pub(crate) fn rotate(&mut self, epoch: &str) {
        self.write(collect::rotate(Epoch::new(epoch).expect("a short name")));
    }

    /// A page of all types.
    pub(crate) fn page(&self, user: &str, token: Option<&str>, limit: usize) -> Page {
        self.page_of(user, token, Types::All, limit)
    }

    pub(crate) fn page_of(
        &self,
        user: &str,
        token: Option<&str>,
        types: Types,
        limit: usize,
    ) -> Page {
        let checkpoint = token.map(|token| Checkpoint::decode(token).expect("it came from a page"));
        let grants = self.grants(user);
        let above = checkpoint
            .as_ref()
            .map(|c| seqs_above_head(c, &grants, &self.scopes));
        let confirm = |scope: Scope| (scope.clone(), self.scope(scope.as_str()).head);
        let confirmed = above.unwrap_or_default().into_iter().map(confirm).collect();
        let view = View {
            epoch: &self.epoch,
            grants: &grants,
            scopes: &self.scopes,
            confirmed: &confirmed,
        };
        let mut cursor = Cursor::resume(&self.model, PageRequest { checkpoint, types }, &view);
        let (changes, filled) = self.fill(&mut cursor, limit);
        Page {
            changes,
            has_more: cursor.finish(filled.as_ref()),
            reset: cursor.reset,
            revoked: cursor.revoked.iter().map(ToString::to_string).collect(),
            epoch: cursor.checkpoint.epoch.clone(),
            token: cursor.checkpoint.encode(),
        }
    }

    fn fill(&self, cursor: &mut Cursor, limit: usize) -> (Vec<FeedItem>, Option<Scope>) {
        let mut changes: Vec<FeedItem> = Vec::new();
        for stretch in cursor.stretches() {
            let mut items = self.scan(&stretch);
            let room = limit - changes.len();
            if items.len() <= room {
                cursor.advance(&stretch, stretch.through);
                changes.extend(items);
                continue;
            }
            items.truncate(room);
            if let Some(last) = items.last() {
                cursor.advance(&stretch, last.seq);
            }
            changes.extend(items);
            return (changes, Some(stretch.scope));
        }
        (changes, None)
    }

    fn scan(&self, stretch: &Stretch) -> Vec<FeedItem> {
        let mut items: Vec<FeedItem> = self
            .feed()
            .filter(|item| *item.record.scope() == stretch.scope)
            .filter(|item| stretch.types.contain(&item.record.key().type_name))
            .filter(|item| stretch.after < item.seq && item.seq <= stretch.through)
            .filter(|item| stretch.removals || !item.record.is_collectable())
            .collect();
        items.sort_by_key(|item| item.seq);
        items
    }

    fn feed(&self) -> impl Iterator<Item = FeedItem> {
        let entry = |(seq, entry): &(Seq, Arc<Entry>)| FeedItem {
            seq: *seq,
            record: Record::Entry(entry.clone()),
        };
        let marker = |(seq, marker): &(Seq, Marker)| FeedItem {
            seq: *seq,
            record: Record::Marker(marker.clone()),
        };
        self.entries
            .values()
            .map(entry)
            .chain(self.markers.values().map(marker))
    }

    fn claims(&self, identity: &Identity) -> Grants {
        Grants::of_claims_within(&self.model, identity, &self.bounds).expect("few scopes")
    }

    pub(crate) fn grants(&self, user: &str) -> Grants {
        let identity = identity(user, self.teams_of(user));
        self.claims(&identity)
            .with(&self.memberships(&identity.user))
    }

    fn teams_of(&self, user: &str) -> &[&'static str] {
        self.teams.get(user).map_or(&[], Vec::as_slice)
    }

    fn memberships(&self, user: &UserId) -> Memberships {
        let mut memberships = Memberships {
            state: self.users.get(user).cloned().unwrap_or_default(),
            ..Memberships::default()
        };
        for entry in self.living() {
            let given = entry.membership.iter();
            for membership in given.filter(|it| it.user == *user) {
                memberships.insert(entry.key.clone(), membership.clone());
            }
        }
        memberships
    }

    fn count(&self, giving: &Giving) -> usize {
        let given = self.living().filter_map(|it| it.membership.as_ref());
        let given = given.filter(|it| Giving::of(it).as_ref() == Some(giving));
        given.count()
    }

    fn load(&self, reads: &Reads) -> Loaded {
        let entry = |key: &DocumentKey| Some((key.clone(), self.entry(key)?.clone()));
        let client = |key: &ClientKey| Some((key.clone(), self.clients.get(key)?.clone()));
        let record = |id: &ConflictId| Some((id.clone(), self.inbox.get(id)?.clone()));
        let foreign = |key: &DocumentKey| Some((key.clone(), self.foreign.get(key)?.clone()));
        let expired = |item: &FeedItem| {
            reads.expired.is_some_and(|expired| {
                item.record.is_collectable() && item.record.at() < expired.before
            })
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
            foreign: reads.keys.iter().filter_map(foreign).collect(),
            users: reads
                .users
                .iter()
                .filter_map(|user| Some((user.clone(), self.users.get(user)?.clone())))
                .collect(),
            given: BTreeMap::new(),
            expired: self.feed().filter(expired).collect(),
            inbox: reads.inbox.iter().filter_map(record).collect(),
            waiting: self.waiting(&reads.waiting),
            forgettable: reads
                .expired
                .map_or_else(Vec::new, |expired| self.settled_before(expired.before)),
            idle: self.idle(reads),
            clients_of: self.clients_of(reads),
            conflicts: 0,
        }
    }

    fn waiting(&self, shares: &BTreeSet<Share>) -> HashMap<Share, Waiting> {
        let mut waiting: HashMap<Share, Waiting> = HashMap::new();
        for open in self
            .conflicts()
            .filter(|open| shares.contains(&open.share()))
        {
            let waiting = waiting.entry(open.share()).or_default();
            waiting.conflicts += 1;
            waiting.bytes += open.bytes();
        }
        waiting
    }

    fn idle(&self, reads: &Reads) -> Vec<(ClientKey, MutationId)> {
        let Some(expired) = reads.expired else {
            return Vec::new();
        };
        let is_idle = |state: &ClientState| state.at.is_some_and(|at| at < expired.before);
        let idle = self.clients.iter().filter(|(_, state)| is_idle(state));
        idle.map(|(key, state)| (key.clone(), state.last)).collect()
    }

    fn clients_of(&self, reads: &Reads) -> HashMap<UserId, usize> {
        let of = |user: &UserId| {
            let clients = self.clients.iter();
            clients
                .filter(|(key, state)| key.user == *user && state.at.is_some())
                .count()
        };
        let users = reads.clients.iter().map(|key| &key.user);
        users.map(|user| (user.clone(), of(user))).collect()
    }

    fn settled_before(&self, before: Timestamp) -> Vec<ConflictId> {
        let old = self.inbox.values().filter_map(|record| match record {
            InboxRecord::Settled(settled) if settled.at < before => Some(settled.id.clone()),
            _ => None,
        });
        old.collect()
    }

    fn write(&mut self, writes: Writes) {
        self.move_conflicts(&writes);
        for record in &writes.inbox {
            self.inbox.insert(record.id().clone(), record.clone());
        }
        for id in &writes.forgotten {
            self.inbox.remove(id);
        }
        let mut heads: BTreeMap<Scope, Seq> = writes
            .scopes()
            .into_iter()
            .map(|scope| (scope.clone(), self.scope(scope.as_str()).head))
            .collect();
        let items = writes.number(&mut heads);
        for key in &writes.markers_removed {
            self.markers.remove(key);
        }
        for FeedItem { seq, record } in items.iter().cloned() {
            match record {
                Record::Entry(entry) => {
                    self.foreign.remove(&entry.key);
                    drop(self.entries.insert(entry.key.clone(), (seq, entry)));
                }
                Record::Marker(marker) => {
                    drop(
                        self.markers
                            .insert((marker.scope.clone(), marker.key.clone()), (seq, marker)),
                    );
                }
            }
        }
        self.log.extend(items);
        for (scope, head) in heads {
            self.scopes.entry(scope).or_default().head = head;
        }
        self.clients.extend(writes.clients);
        for (user, change) in writes.users {
            let state = self.users.entry(user).or_default();
            state.stamp += 1;
            state.declined = change.declined.unwrap_or_else(|| state.declined.clone());
        }
        self.remove(&writes.collected);
        for (scope, floor) in writes.floors {
            let state = self.scopes.entry(scope).or_default();
            state.floor = state.floor.max(floor);
        }
        self.version_floor = writes.version_floor.unwrap_or(self.version_floor);
        self.epoch = writes.epoch.unwrap_or_else(|| self.epoch.clone());
    }

    fn move_conflicts(&mut self, writes: &Writes) {
        for (key, scope) in writes.moves() {
            for record in self.inbox.values_mut() {
                if let InboxRecord::Open(open) = record
                    && open.key == *key
                {
                    Arc::make_mut(open).scope = scope.clone();
                }
            }
        }
    }

    fn remove(&mut self, collected: &[FeedItem]) {
        for item in collected {
            let key = item.record.key().clone();
            match &item.record {
                Record::Entry(_) => drop(self.entries.remove(&key)),
                Record::Marker(marker) => drop(self.markers.remove(&(marker.scope.clone(), key))),
            }
        }
    }
}

/// The names in a set of types.
pub(crate) fn only(names: &[&str]) -> Types {
    let names: BTreeSet<_> = names.iter().map(|name| key(name, "x").type_name).collect();
    Types::Only(names)
}
