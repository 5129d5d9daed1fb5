//! What a commit looks at before it decides, and what it takes for absent without a look.
//!
//! A created document is presumed not to exist: its inserts prove that, as entry and in the application's collection,
//! or fail. Whatever they would not prove is looked at after all.

use std::{
    collections::{BTreeSet, HashMap},
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
    reader::Reader,
    state::{State, Wanted},
    write::Known,
};

/// What a commit decides on, and what it writes over.
pub(super) struct View {
    pub(super) loaded: Loaded,
    pub(super) known: Known,
    /// Documents that nobody has looked for.
    presumed: BTreeSet<DocumentKey>,
}

/// How a commit looks.
pub(super) struct Look<'l> {
    pub(super) reads: &'l Reads,
    /// Whether it takes created documents for absent.
    pub(super) presumes: bool,
}

impl Look<'_> {
    /// What it wants to know first.
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
                inbox: reader.records(&reads.inbox).await?,
                waiting: match state.has_inbox {
                    true => reader.waiting(&reads.waiting).await?,
                    false => HashMap::new(),
                },
                expired,
                forgettable,
                entries: HashMap::new(),
                foreign: Default::default(),
            },
            known: Known {
                scopes: state.scopes,
                has_inbox: state.has_inbox,
                ..Known::default()
            },
            presumed: BTreeSet::new(),
        };
        if self.presumes {
            view.presumed.clone_from(&reads.created);
            let seen = reads.keys.difference(&reads.created).cloned();
            view.look_at(reader, &seen.collect()).await?;
        } else {
            view.look_at(reader, &reads.keys).await?;
        }
        Ok(view)
    }
}

impl View {
    /// Looks at what was presumed.
    pub(super) async fn look_closer(&mut self, reader: &mut Reader<'_>) -> Result<(), Failure> {
        let presumed = std::mem::take(&mut self.presumed);
        self.look_at(reader, &presumed).await
    }

    async fn look_at(
        &mut self,
        reader: &mut Reader<'_>,
        keys: &BTreeSet<DocumentKey>,
    ) -> Result<(), Failure> {
        let entries = reader.entries(keys).await?;
        let documents = reader.documents(keys).await?;
        let read = keys.iter().filter(|key| !documents.unread.contains(key));
        let read = read.cloned().collect();
        let foreign = foreign(&reader.base.layout, &read, &entries, &documents.found);
        self.loaded.foreign.extend(foreign);
        self.loaded.entries.extend(entries);
        self.known.add_documents(documents);
        Ok(())
    }

    /// Whether something was presumed that no insert will prove: the change was refused or repeated, say, and whoever is
    /// answered would be told that there is nothing.
    pub(super) fn is_unproved(&self, writes: &Writes) -> bool {
        let proves = |entry: &Entry| entry.body.is_some() && !entry.withheld;
        let entries = writes.entries.iter().map(Arc::as_ref);
        let proved = entries
            .filter(|entry| proves(entry) && self.presumed.contains(&entry.key))
            .count();
        proved < self.presumed.len()
    }
}
