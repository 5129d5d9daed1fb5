//! What a commit reads before it decides, and what it takes for absent without a read.
//!
//! A created document is taken for absent. Its inserts into the feed and the application's collection prove that, or
//! fail. What the inserts would not prove is read after all.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use tidegate_core::{
    entry::Entry,
    id::DocumentKey,
    transaction::{ForeignState, Loaded, Reads, Writes},
};

use super::{
    error::MongoError,
    foreign_writes::foreign,
    reader::{Parts, ReadBudget, SessionReader},
    state::{CommitState, StateQuery},
    write::CurrentRecords,
};

/// What a commit decides on, and what it replaces.
pub(super) struct LoadedState {
    pub(super) loaded: Loaded,
    pub(super) known: CurrentRecords,
    /// Documents taken for absent: they were not read, though they had room.
    optimistic: BTreeSet<DocumentKey>,
    budgets: ReadBudgets,
}

/// The room for entries, and for the application's documents beside them.
#[derive(Clone, Copy)]
struct ReadBudgets {
    entries: ReadBudget,
    documents: ReadBudget,
}

impl ReadBudgets {
    fn of(bytes: usize) -> Self {
        let (entries, documents) = (ReadBudget::of(bytes), ReadBudget::of(bytes));
        Self { entries, documents }
    }
}

/// How a commit reads.
pub(super) struct LoadPlan<'l> {
    pub(super) reads: &'l Reads,
    /// Whether it takes created documents for absent.
    pub(super) optimistic_inserts: bool,
    /// Whether documents give grants.
    pub(super) has_memberships: bool,
}

impl LoadPlan<'_> {
    /// What the commit reads first.
    pub(super) fn query<'w>(&'w self, slot: Option<&'w str>) -> StateQuery<'w> {
        StateQuery {
            scopes: Some(&self.reads.scopes),
            commit: Some(self.reads),
            users: self.reads.members.union(&self.reads.users).collect(),
            slot,
            token_key: false,
            lease: self.reads.lease.is_some(),
            grants: self.has_memberships || !self.reads.users.is_empty(),
        }
    }

    /// Reads the rest.
    pub(super) async fn load(
        &self,
        reader: &mut SessionReader<'_>,
        state: CommitState,
    ) -> Result<LoadedState, MongoError> {
        let CommitState {
            epoch,
            models,
            found: mut state,
        } = state;
        let reads = self.reads;
        let users = reads.users.iter().filter_map(|user| {
            let state = state.users.get(user)?;
            Some((user.clone(), state.clone()))
        });
        let users = users.collect();
        let (expired, forgettable, idle) = match reads.expired {
            Some(expired) => (
                reader.expired(expired).await?,
                reader.forgettable(expired).await?,
                reader.idle(expired).await?,
            ),
            None => Default::default(),
        };
        let conflicts: Vec<_> = reads.inbox.iter().cloned().collect();
        let conflicts = reader.records(&conflicts, reads.bytes_max.0).await?;
        let mut view = LoadedState {
            loaded: Loaded {
                clients_of: reader.clients_of(reads, &state.clients.found).await?,
                idle,
                epoch,
                version_floor: state.version_floor,
                standing: models.standing(reader.context.models.own()),
                models,
                clients: state.clients.found,
                clients_left_out: state.clients.left_out.into_iter().collect(),
                memberships: reader
                    .memberships(&reads.members, &mut state.users, &reads.bounds)
                    .await?,
                users,
                given: reader.given(&reads.given).await?,
                holders: BTreeMap::new(),
                inbox: conflicts.found,
                conflicts_left_out: conflicts.left_out.into_iter().collect(),
                waiting: match state.has_inbox {
                    true => reader.waiting(&reads.waiting).await?,
                    false => HashMap::new(),
                },
                expired,
                expired_resolutions: forgettable,
                entries: HashMap::new(),
                left_out: HashSet::new(),
                foreign: BTreeMap::new(),
                origins: BTreeMap::new(),
                held: BTreeSet::new(),
                misfits: BTreeSet::new(),
            },
            known: CurrentRecords {
                scopes: state.scopes,
                sums: state.sums,
                has_inbox: state.has_inbox,
                grants: state.grants,
                ..CurrentRecords::default()
            },
            optimistic: BTreeSet::new(),
            budgets: ReadBudgets::of(reads.bytes_max.0),
        };
        if self.optimistic_inserts {
            view.optimistic.clone_from(&reads.created);
        }
        let keys = reads.keys.iter();
        let seen = keys.filter(|key| !view.optimistic.contains(*key)).cloned();
        view.load_records(reader, reads, &seen.collect::<Vec<_>>())
            .await?;
        if reads.lease.is_some() {
            let left_out = &view.loaded.left_out;
            let read = reads.keys.iter().filter(|key| !left_out.contains(*key));
            view.loaded.misfits = reader.misfits(read).await?;
        }
        Ok(view)
    }
}

impl LoadedState {
    /// Reads what was taken for absent. If there is no room for it, everything is read again, in its order.
    pub(super) async fn load_optimistic(
        &mut self,
        reader: &mut SessionReader<'_>,
        reads: &Reads,
    ) -> Result<(), MongoError> {
        let optimistic: Vec<_> = std::mem::take(&mut self.optimistic).into_iter().collect();
        for key in &optimistic {
            self.loaded.foreign.remove(key);
        }
        if self.loaded.left_out.is_empty() && self.has_read(reader, &optimistic).await? {
            return self.load_held(reader, reads).await;
        }
        self.loaded.entries.clear();
        self.loaded.foreign.clear();
        self.loaded.left_out.clear();
        self.known.documents.clear();
        self.known.unread.clear();
        self.budgets = ReadBudgets::of(reads.bytes_max.0);
        let keys: Vec<_> = reads.keys.iter().cloned().collect();
        self.load_records(reader, reads, &keys).await
    }

    /// Reads documents in their order, as far as there is room, and leaves the others out. The first existing one
    /// always has room.
    async fn load_records(
        &mut self,
        reader: &mut SessionReader<'_>,
        reads: &Reads,
        keys: &[DocumentKey],
    ) -> Result<(), MongoError> {
        let mut parts = Parts::of(keys);
        while let Some(part) = parts.next() {
            if self.has_read(reader, part).await? {
                parts.advance();
            } else if !parts.shrink() {
                if !self.loaded.entries.is_empty() || !self.known.documents.is_empty() {
                    break;
                }
                self.budgets = ReadBudgets::of(usize::MAX);
                self.has_read(reader, part).await?;
                self.budgets = ReadBudgets::of(0);
                parts.advance();
            }
        }
        self.loaded.left_out.extend(parts.rest().iter().cloned());
        self.load_held(reader, reads).await
    }

    /// Looks which missing documents may not have been deleted. Documents to be created count as missing while their
    /// collection is: an insert would make it again, and a rename back would fail.
    async fn load_held(
        &mut self,
        reader: &mut SessionReader<'_>,
        reads: &Reads,
    ) -> Result<(), MongoError> {
        let created = reads.created.iter().map(|key| &key.type_name).collect();
        let missing = reader.missing_collections(created).await?;
        let created = reads.created.iter();
        let unmade = created.filter(|key| missing.contains(&key.type_name));
        let unmade = unmade.map(|key| (key.clone(), ForeignState::Gone));
        self.loaded.foreign.extend(unmade);
        let documents = &self.known.documents;
        let created = reads.created.iter();
        let absent = created.filter(|key| !documents.contains_key(*key));
        let legacy = reader.legacy_uuids(absent).await?;
        self.loaded.foreign.extend(legacy);
        let foreign = self.loaded.foreign.iter();
        let gone = foreign.filter(|(_, state)| matches!(state, ForeignState::Gone));
        let types = gone.map(|(key, _)| key.type_name.clone()).collect();
        self.loaded.held = reader.held(types).await?;
        Ok(())
    }

    /// Reads these documents, if there is room for all of them.
    async fn has_read(
        &mut self,
        reader: &mut SessionReader<'_>,
        keys: &[DocumentKey],
    ) -> Result<bool, MongoError> {
        let mut budget = self.budgets;
        let Some(entries) = reader.entries(keys, &mut budget.entries).await? else {
            return Ok(false);
        };
        let Some(documents) = reader.documents(keys, &mut budget.documents).await? else {
            return Ok(false);
        };
        self.budgets = budget;
        let layout = &reader.context.layout;
        let read = keys.iter().filter(|key| !documents.unread.contains(*key));
        let foreign = foreign(layout, read, &entries, &documents.found);
        let marks = documents.found.iter().filter_map(|(key, document)| {
            let marks = layout
                .items(&layout.document_type(&key.type_name)?.fields, document)
                .marks;
            (!marks.is_empty()).then(|| (key.clone(), marks))
        });
        self.loaded.origins.extend(marks);
        self.loaded.foreign.extend(foreign);
        self.loaded.entries.extend(entries);
        self.known.add_documents(documents);
        Ok(true)
    }

    /// Whether a document was taken for absent that no insert will prove, for example because its change was refused or
    /// repeated. The answer would then report it as absent.
    pub(super) fn has_unverified_inserts(&self, writes: &Writes) -> bool {
        let proves = |entry: &Entry| entry.body.is_some() && !entry.withheld;
        let entries = writes.entries.iter().map(Arc::as_ref);
        let proved = entries
            .filter(|entry| proves(entry) && self.optimistic.contains(&entry.key))
            .count();
        proved < self.optimistic.len()
    }
}
