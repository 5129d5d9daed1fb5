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
    transaction::{Loaded, Reads, Writes},
};

use super::{
    failure::Failure,
    foreign::foreign,
    reader::{Parts, Reader, Room},
    state::{State, Wanted},
    write::Known,
};

/// What a commit decides on, and what it replaces.
pub(super) struct View {
    pub(super) loaded: Loaded,
    pub(super) known: Known,
    /// Documents taken for absent: they were not read, though they had room.
    presumed: BTreeSet<DocumentKey>,
    room: Rooms,
}

/// The room for entries, and for the application's documents beside them.
#[derive(Clone, Copy)]
struct Rooms {
    entries: Room,
    documents: Room,
}

impl Rooms {
    fn of(bytes: usize) -> Self {
        let (entries, documents) = (Room::of(bytes), Room::of(bytes));
        Self { entries, documents }
    }
}

/// How a commit reads.
pub(super) struct Look<'l> {
    pub(super) reads: &'l Reads,
    /// Whether it takes created documents for absent.
    pub(super) presumes: bool,
}

impl Look<'_> {
    /// What the commit reads first.
    pub(super) fn wanted<'w>(&'w self, lane: Option<&'w str>) -> Wanted<'w> {
        Wanted {
            scopes: Some(&self.reads.scopes),
            clients: Some(&self.reads.clients),
            users: self.reads.members.union(&self.reads.users).collect(),
            lane,
        }
    }

    /// Reads the rest.
    pub(super) async fn load(
        &self,
        reader: &mut Reader<'_>,
        mut state: State,
    ) -> Result<View, Failure> {
        let reads = self.reads;
        let users = reads.users.iter().filter_map(|user| {
            let state = state.users.get(user)?;
            Some((user.clone(), state.clone()))
        });
        let users = users.collect();
        let (expired, forgettable) = match reads.expired {
            Some(expired) => (
                reader.expired(expired).await?,
                reader.forgettable(expired).await?,
            ),
            None => Default::default(),
        };
        let idle = match reads.expired {
            Some(expired) => reader.idle(expired).await?,
            None => Vec::new(),
        };
        let conflicts: Vec<_> = reads.inbox.iter().cloned().collect();
        let conflicts = reader.records(&conflicts, reads.bytes_max.0).await?;
        let mut view = View {
            loaded: Loaded {
                clients_of: reader.clients_of(&reads.clients, &state.clients).await?,
                idle,
                epoch: state.epoch,
                version_floor: state.version_floor,
                clients: state.clients,
                memberships: reader
                    .memberships(&reads.members, &mut state.users, &reads.bounds)
                    .await?,
                users,
                given: reader.given(&reads.given).await?,
                inbox: conflicts.found,
                conflicts_left_out: conflicts.left_out.into_iter().collect(),
                waiting: match state.has_inbox {
                    true => reader.waiting(&reads.waiting).await?,
                    false => HashMap::new(),
                },
                expired,
                forgettable,
                entries: HashMap::new(),
                left_out: HashSet::new(),
                foreign: BTreeMap::new(),
            },
            known: Known {
                scopes: state.scopes,
                has_inbox: state.has_inbox,
                ..Known::default()
            },
            presumed: BTreeSet::new(),
            room: Rooms::of(reads.bytes_max.0),
        };
        if self.presumes {
            view.presumed.clone_from(&reads.created);
        }
        let keys = reads.keys.iter();
        let seen = keys.filter(|key| !view.presumed.contains(*key)).cloned();
        view.look_at(reader, &seen.collect::<Vec<_>>()).await?;
        Ok(view)
    }
}

impl View {
    /// Reads what was taken for absent. If there is no room for it, everything is read again, in its order.
    pub(super) async fn look_closer(
        &mut self,
        reader: &mut Reader<'_>,
        reads: &Reads,
    ) -> Result<(), Failure> {
        let presumed: Vec<_> = std::mem::take(&mut self.presumed).into_iter().collect();
        if self.loaded.left_out.is_empty() && self.has_read(reader, &presumed).await? {
            return Ok(());
        }
        self.loaded.entries.clear();
        self.loaded.foreign.clear();
        self.loaded.left_out.clear();
        self.known.documents.clear();
        self.known.unread.clear();
        self.room = Rooms::of(reads.bytes_max.0);
        let keys: Vec<_> = reads.keys.iter().cloned().collect();
        self.look_at(reader, &keys).await
    }

    /// Reads documents in their order, as far as there is room, and leaves the others out. The first existing one
    /// always has room.
    async fn look_at(
        &mut self,
        reader: &mut Reader<'_>,
        keys: &[DocumentKey],
    ) -> Result<(), Failure> {
        let mut parts = Parts::of(keys);
        while let Some(part) = parts.next() {
            if self.has_read(reader, part).await? {
                parts.advance();
            } else if !parts.shrink() {
                if !self.loaded.entries.is_empty() || !self.known.documents.is_empty() {
                    break;
                }
                self.room = Rooms::of(usize::MAX);
                self.has_read(reader, part).await?;
                self.room = Rooms::of(0);
                parts.advance();
            }
        }
        self.loaded.left_out.extend(parts.rest().iter().cloned());
        Ok(())
    }

    /// Reads these documents, if there is room for all of them.
    async fn has_read(
        &mut self,
        reader: &mut Reader<'_>,
        keys: &[DocumentKey],
    ) -> Result<bool, Failure> {
        let mut room = self.room;
        let Some(entries) = reader.entries(keys, &mut room.entries).await? else {
            return Ok(false);
        };
        let Some(documents) = reader.documents(keys, &mut room.documents).await? else {
            return Ok(false);
        };
        self.room = room;
        let read = keys.iter().filter(|key| !documents.unread.contains(*key));
        let foreign = foreign(&reader.base.layout, read, &entries, &documents.found);
        self.loaded.foreign.extend(foreign);
        self.loaded.entries.extend(entries);
        self.known.add_documents(documents);
        Ok(true)
    }

    /// Whether a document was taken for absent that no insert will prove, for example because its change was refused or
    /// repeated. The answer would then report it as absent.
    pub(super) fn is_unproved(&self, writes: &Writes) -> bool {
        let proves = |entry: &Entry| entry.body.is_some() && !entry.withheld;
        let entries = writes.entries.iter().map(Arc::as_ref);
        let proved = entries
            .filter(|entry| proves(entry) && self.presumed.contains(&entry.key))
            .count();
        proved < self.presumed.len()
    }
}
