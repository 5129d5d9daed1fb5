//! What one commit does to the tables: all rows that name a record come and go with it.
//!
//! The writer decides when to commit, and handles a commit that fails.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, Table, WriteTransaction};
use tidegate_core::{
    entry::{Entry, FeedItem, Marker, Record},
    id::{DocumentKey, NameError, Scope, Seq, UserId, Version},
    membership::UserChange,
    transaction::Writes,
    view::RecordHead,
};

use super::{
    file::StoreFile,
    inbox,
    indexes::IndexTables,
    members,
    numbers::NumberTables,
    sums::SumsTable,
    tables::{
        CLIENTS, ENTRIES, EXPIRY, EntryIndexRow, FEED, GIVEN, GivenPlace, LIVING, MARKERS, META,
        PUSHED, SCOPES, USERS, names,
    },
    view::{ReadView, unreadable},
};
use crate::store::{FeedWrite, StoreError, StoredView, codec};

/// The tables of records, open for writing.
struct RecordTables<'t> {
    scopes: Table<'t, &'static str, (i64, i64)>,
    numbers: NumberTables<'t>,
    sums: SumsTable<'t>,
    indexes: IndexTables<'t>,
    feed: Table<'t, (&'static str, i64), (&'static str, &'static [u8])>,
    living: Table<'t, (&'static str, i64), ()>,
    entries: Table<'t, (&'static str, &'static str), EntryIndexRow>,
    markers: Table<'t, (&'static str, &'static str, &'static str), (i64, i64)>,
    given: Table<'t, GivenPlace, (&'static str, bool)>,
    expiry: Table<'t, (i64, &'static str, i64), ()>,
}

/// What the tail reports of a commit.
pub(super) struct CommitEvents {
    /// The feed writes.
    pub(super) feed: Vec<FeedWrite>,
    /// The scopes whose inboxes changed.
    pub(super) conflicts: BTreeSet<Scope>,
}

/// Numbers and writes everything, on top of `before`.
pub(super) fn write(
    transaction: &WriteTransaction,
    before: &ReadView,
    writes: &Writes,
    file: &StoreFile,
) -> Result<CommitEvents, StoreError> {
    write_meta(transaction, before, writes)?;
    write_clients(transaction, writes)?;
    write_users(transaction, before, &writes.users)?;
    let mut tables = RecordTables::open(transaction, before, file)?;
    for item in &writes.collected {
        tables.collect(item)?;
    }
    for (scope, key) in &writes.markers_removed {
        tables.remove_marker(scope, key)?;
    }
    let mut heads = tables.heads(writes)?;
    let items = writes.assign_seqs(&mut heads);
    let feed = items.iter().map(|item| tables.place(item));
    let feed = feed.collect::<Result<_, _>>()?;
    tables.write_scopes(&heads, &writes.floors)?;
    let conflicts = inbox::write(transaction, writes)?;
    Ok(CommitEvents { feed, conflicts })
}

fn write_meta(
    transaction: &WriteTransaction,
    before: &ReadView,
    writes: &Writes,
) -> Result<(), StoreError> {
    let epoch = writes.epoch.as_ref().unwrap_or(&before.state.epoch);
    let version_floor = writes.version_floor.unwrap_or(before.version_floor);
    let commits = before.commits + 1;
    let meta = (epoch.as_str(), version_floor.0, commits);
    transaction.open_table(META)?.insert((), meta)?;
    Ok(())
}

fn write_clients(transaction: &WriteTransaction, writes: &Writes) -> Result<(), StoreError> {
    let mut table = transaction.open_table(CLIENTS)?;
    let mut pushed = transaction.open_table(PUSHED)?;
    for key in &writes.clients_removed {
        let names = (key.user.as_str(), key.client.as_str());
        table.remove(names)?;
        pushed.remove(names)?;
    }
    for (key, state) in &writes.clients {
        let bytes = codec::encode_client(state);
        let names = (key.user.as_str(), key.client.as_str());
        table.insert(names, bytes.as_slice())?;
        match state.at {
            Some(at) => drop(pushed.insert(names, at.ms())?),
            None => drop(pushed.remove(names)?),
        }
    }
    Ok(())
}

/// Raises stamps, and writes whom users decline.
fn write_users(
    transaction: &WriteTransaction,
    before: &ReadView,
    users: &BTreeMap<UserId, UserChange>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(USERS)?;
    for (user, change) in users {
        let state = before.user(user)?;
        let declined = change.declined.as_ref().unwrap_or(&state.declined);
        let declined: Vec<&str> = declined.iter().map(UserId::as_str).collect();
        let row = (state.stamp + 1, declined.join("\0"));
        table.insert(user.as_str(), (row.0, row.1.as_str()))?;
    }
    Ok(())
}

impl<'t> RecordTables<'t> {
    fn open(
        transaction: &'t WriteTransaction,
        before: &ReadView,
        file: &StoreFile,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            scopes: transaction.open_table(SCOPES)?,
            numbers: NumberTables::open(transaction)?,
            sums: SumsTable::open(transaction, file.keeps_sums)?,
            indexes: IndexTables::open(transaction, &file.indexes, before.commits)?,
            feed: transaction.open_table(FEED)?,
            living: transaction.open_table(LIVING)?,
            entries: transaction.open_table(ENTRIES)?,
            markers: transaction.open_table(MARKERS)?,
            given: transaction.open_table(GIVEN)?,
            expiry: transaction.open_table(EXPIRY)?,
        })
    }

    fn heads(&self, writes: &Writes) -> Result<BTreeMap<Scope, Seq>, StoreError> {
        let scopes = writes.scopes().into_iter();
        scopes
            .map(|scope| {
                let (head, _) = self.scope_row(&scope)?;
                Ok((scope, Seq(head)))
            })
            .collect()
    }

    fn scope_row(&self, scope: &Scope) -> Result<(i64, i64), StoreError> {
        let row = self.scopes.get(scope.as_str())?;
        Ok(row.map_or((0, 0), |row| row.value()))
    }

    fn write_scopes(
        &mut self,
        heads: &BTreeMap<Scope, Seq>,
        floors: &BTreeMap<Scope, Seq>,
    ) -> Result<(), StoreError> {
        for (scope, head) in heads {
            let (before, floor) = self.scope_row(scope)?;
            self.sums.advance(scope, Seq(before), *head)?;
            self.scopes.insert(scope.as_str(), (head.0, floor))?;
            self.numbers.number(scope.as_str())?;
        }
        for (scope, raised) in floors {
            let (head, floor) = self.scope_row(scope)?;
            self.scopes
                .insert(scope.as_str(), (head, floor.max(raised.0)))?;
            self.numbers.number(scope.as_str())?;
        }
        Ok(())
    }

    fn place(&mut self, item: &FeedItem) -> Result<FeedWrite, StoreError> {
        match &item.record {
            Record::Entry(entry) => self.place_entry(item.seq, entry)?,
            Record::Marker(marker) => self.place_marker(item.seq, marker)?,
        }
        let place = (item.record.scope().as_str(), item.seq.0);
        let type_name = item.record.key().type_name.as_str();
        let write = FeedWrite::encode(item)?;
        self.feed
            .insert(place, (type_name, write.item.as_bytes()))?;
        if item.record.is_collectable() {
            let (scope, seq) = place;
            self.expiry
                .insert((item.record.at().ms(), scope, seq), ())?;
        } else {
            self.living.insert(place, ())?;
        }
        Ok(write)
    }

    fn place_entry(&mut self, seq: Seq, entry: &Entry) -> Result<(), StoreError> {
        let before = self.remove_entry(&entry.key)?;
        let before = before.as_ref().map(|(scope, version)| (scope, *version));
        self.sums.changes.replace(before, entry);
        self.indexes.insert(entry)?;
        let (type_name, id) = names(&entry.key);
        let member = entry.membership.as_ref();
        if let Some(member) = member {
            let (opened, may_write) = members::opens(member);
            self.given
                .insert(members::place(&entry.key, member), (&*opened, may_write))?;
        }
        let deleted_at = entry.is_deleted().then_some(entry.at.ms());
        let user = member.map(|member| member.user.as_str());
        let place = (entry.scope.as_str(), seq.0, deleted_at, user);
        self.entries.insert((type_name, id), place)?;
        Ok(())
    }

    /// Returns the scope and the version of a living document.
    fn remove_entry(&mut self, key: &DocumentKey) -> Result<Option<(Scope, Version)>, StoreError> {
        let (type_name, id) = names(key);
        let Some(place) = self.entries.remove((type_name, id))? else {
            return Ok(None);
        };
        let (scope, seq, deleted_at, user) = place.value();
        let stored = self.feed.remove((scope, seq))?;
        let living = stored.as_ref().filter(|_| deleted_at.is_none());
        if let Some(stored) = living {
            self.indexes.remove(stored.value().1)?;
        }
        let living = living
            .map(|stored| version_of(stored.value().1))
            .transpose()?;
        let living = living.map(|version| Ok((Scope::new(scope)?, version)));
        let living = living
            .transpose()
            .map_err(|error: NameError| unreadable(error))?;
        match deleted_at {
            Some(at) => drop(self.expiry.remove((at, scope, seq))?),
            None => drop(self.living.remove((scope, seq))?),
        }
        if user.is_some() {
            let stored = stored.map(|stored| codec::decode_item(stored.value().1));
            let stored = stored.transpose().map_err(unreadable)?;
            if let Some(Record::Entry(entry)) = stored.map(|item| item.record)
                && let Some(member) = &entry.membership
            {
                self.given.remove(members::place(key, member))?;
            }
        }
        Ok(living)
    }

    fn place_marker(&mut self, seq: Seq, marker: &Marker) -> Result<(), StoreError> {
        self.remove_marker(&marker.scope, &marker.key)?;
        let (type_name, id) = names(&marker.key);
        let place = (seq.0, marker.at.ms());
        self.markers
            .insert((marker.scope.as_str(), type_name, id), place)?;
        Ok(())
    }

    fn remove_marker(&mut self, scope: &Scope, key: &DocumentKey) -> Result<(), StoreError> {
        let (type_name, id) = names(key);
        let scope = scope.as_str();
        let Some(place) = self.markers.remove((scope, type_name, id))? else {
            return Ok(());
        };
        let (seq, at) = place.value();
        self.feed.remove((scope, seq))?;
        self.expiry.remove((at, scope, seq))?;
        Ok(())
    }

    /// Removes a record if it still stands where it was found. A newer record of its document stays.
    fn collect(&mut self, item: &FeedItem) -> Result<(), StoreError> {
        if !self.stands(item)? {
            return Ok(());
        }
        match &item.record {
            Record::Entry(entry) => self.remove_entry(&entry.key).map(drop),
            Record::Marker(marker) => self.remove_marker(&marker.scope, &marker.key),
        }
    }

    fn stands(&self, item: &FeedItem) -> Result<bool, StoreError> {
        let (type_name, id) = names(item.record.key());
        let scope = item.record.scope().as_str();
        Ok(match &item.record {
            Record::Entry(_) => self.entries.get((type_name, id))?.is_some_and(|place| {
                let (stands_in, seq, ..) = place.value();
                (stands_in, seq) == (scope, item.seq.0)
            }),
            Record::Marker(_) => self
                .markers
                .get((scope, type_name, id))?
                .is_some_and(|place| {
                    let (seq, _) = place.value();
                    seq == item.seq.0
                }),
        })
    }
}

fn version_of(record: &[u8]) -> Result<Version, StoreError> {
    let view = StoredView::read(record).map_err(unreadable)?;
    Ok(view.version())
}
