//! Reading: one read transaction and its answers.
//!
//! All of it blocks on the file; [`super::snapshot`] takes it off the async threads. Nothing is written here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use redb::{AccessGuard, ReadOnlyTable, ReadTransaction};
use tidegate_core::{
    entry::{Entry, FeedItem, Record, ScopeState},
    id::{DocumentKey, Epoch, Scope, Seq, Version},
    transaction::{ExpiryQuery, Loaded, Reads},
    value::document_bytes,
};

use super::{
    file::{FileHealth, StoreFile, guard},
    living, models, numbers,
    tables::{ENTRIES, EXPIRY, FEED, META, SCOPES, names},
};
use crate::store::{
    Entries, Found, Scan, ScanBuilder, ScanRange, StoreError, StoreState, WALK_BYTES_MAX,
    codec::{self, CodecError},
    or_logged,
};

/// The store as it was at one moment.
pub(super) struct ReadView {
    transaction: ReadTransaction,
    failed: FileHealth,
    pub(super) state: StoreState,
    pub(super) version_floor: Version,
    /// How many commits came before.
    pub(super) commits: u64,
}

impl ReadView {
    pub(super) fn open(file: &StoreFile) -> Result<Self, StoreError> {
        let (transaction, failed) = file.begin_read()?;
        let meta = failed.note(guard("its file", || {
            let meta = read_meta(&transaction)?;
            let models = models::state(&transaction, &file.models)?;
            Ok((meta, models, numbers::token_key(&transaction)?))
        }))?;
        let ((epoch, version_floor, commits), models, token_key) = meta;
        Ok(Self {
            transaction,
            failed,
            state: StoreState {
                epoch,
                standing: models.standing(file.models.own()),
                models,
                token_key,
            },
            version_floor,
            commits,
        })
    }

    /// Loads what a commit decides on.
    pub(super) fn load(&self, reads: &Reads) -> Result<Loaded, StoreError> {
        let members = reads.members.iter();
        let memberships = members.map(|user| {
            let memberships = self.memberships(user, &reads.bounds)?;
            Ok((user.clone(), Arc::new(memberships)))
        });
        let users = reads.users.iter();
        let users = users.map(|user| Ok((user.clone(), self.user(user)?)));
        let entries = self.entries(&reads.keys, reads.bytes_max.0)?;
        let conflicts = self.records(&reads.inbox, reads.bytes_max.0)?;
        let clients = self.clients(&reads.clients, reads.bytes_max.0)?;
        let (expired, expired_resolutions, idle) = match reads.expired {
            Some(expired) => (
                self.expired(expired)?,
                self.forgettable(expired)?,
                self.idle(expired)?,
            ),
            None => Default::default(),
        };
        Ok(Loaded {
            epoch: self.state.epoch.clone(),
            version_floor: self.version_floor,
            models: Arc::clone(&self.state.models),
            standing: self.state.standing,
            entries: entries.found,
            left_out: entries.left_out.into_iter().collect(),
            clients: clients.found,
            clients_left_out: clients.left_out.into_iter().collect(),
            memberships: memberships.collect::<Result<_, StoreError>>()?,
            users: users.collect::<Result<_, StoreError>>()?,
            given: self.given(&reads.given)?,
            holders: BTreeMap::new(),
            foreign: BTreeMap::new(),
            origins: BTreeMap::new(),
            held: BTreeSet::new(),
            misfits: BTreeSet::new(),
            clients_of: self.clients_of(reads)?,
            idle,
            inbox: conflicts.found,
            conflicts_left_out: conflicts.left_out.into_iter().collect(),
            waiting: self.waiting(&reads.waiting)?,
            expired_resolutions,
            expired,
        })
    }

    pub(super) fn scopes(
        &self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(SCOPES)?;
            let numbers = numbers::numbers(transaction, scopes)?;
            let mut states = HashMap::with_capacity(scopes.len());
            for scope in scopes {
                let row = table.get(scope.as_str())?;
                let (head, floor) = row.map_or((0, 0), |row| row.value());
                let state = ScopeState {
                    head: Seq(head),
                    floor: Seq(floor),
                    number: numbers.get(scope).copied(),
                };
                states.insert(scope.clone(), state);
            }
            Ok(states)
        })
    }

    /// Entries in the order of `keys`, as far as their records have room.
    pub(super) fn entries<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        self.entries_by(keys, bytes_max, |record, key| record.entry(key).map(Some))
    }

    /// The same for readers. An entry that cannot be read is taken for absent.
    pub(super) fn readable_entries<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k DocumentKey>,
        bytes_max: usize,
    ) -> Result<Entries, StoreError> {
        self.entries_by(keys, bytes_max, |record, key| {
            let item = or_logged(record.bytes(), codec::decode_item(record.bytes()));
            item.map(|item| record.entry_in(item, key)).transpose()
        })
    }

    fn entries_by<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k DocumentKey>,
        bytes_max: usize,
        read: impl Fn(&RecordAt<'_>, (&str, &str)) -> Result<Option<Arc<Entry>>, StoreError>,
    ) -> Result<Entries, StoreError> {
        self.watched(|transaction| {
            let places = transaction.open_table(ENTRIES)?;
            let feed = transaction.open_table(FEED)?;
            in_order(keys, bytes_max, |key| {
                let Some(place) = places.get(names(key))? else {
                    return Ok(None);
                };
                let record = RecordAt::of(&feed, place.value())?;
                let entry = read(&record, names(key))?;
                Ok(entry.map(|entry| (record.bytes().len(), entry)))
            })
        })
    }

    pub(super) fn walk(
        &self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.watched(|transaction| {
            let places = transaction.open_table(ENTRIES)?;
            let feed = transaction.open_table(FEED)?;
            let after = after.map_or(("", ""), names);
            let mut entries = Vec::new();
            let mut bytes = 0;
            for row in places
                .range((Bound::Excluded(after), Bound::Unbounded))?
                .take(limit)
            {
                let (key, place) = row?;
                let entry = RecordAt::of(&feed, place.value())?.entry(key.value())?;
                let last = entries.last();
                let last = last.map_or(after, |last: &Arc<Entry>| names(&last.key));
                expect_ascending(last < names(&entry.key))?;
                bytes += entry.body.as_ref().map_or(0, document_bytes);
                entries.push(entry);
                if bytes >= WALK_BYTES_MAX {
                    break;
                }
            }
            Ok(entries)
        })
    }

    fn expired(&self, expired: ExpiryQuery) -> Result<Vec<FeedItem>, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(EXPIRY)?;
            let feed = transaction.open_table(FEED)?;
            let old = table.range(..(expired.before.ms(), "", i64::MIN))?;
            old.take(expired.limit)
                .map(|row| {
                    let (key, _) = row?;
                    let (_, scope, seq) = key.value();
                    let row = feed.get((scope, seq))?.ok_or_else(|| lost(scope, seq))?;
                    let (_, bytes) = row.value();
                    decode(bytes)
                })
                .collect()
        })
    }

    /// A record that cannot be read is one of them: its reader leaves it out.
    ///
    /// Types are filtered during the walk: a skipped record costs time, but no memory.
    pub(super) fn scan(&self, range: &ScanRange) -> Result<Scan, StoreError> {
        if range.after >= range.through {
            return Ok(Scan::default());
        }
        let scope = range.scope.as_str();
        self.watched(|transaction| {
            let feed = transaction.open_table(FEED)?;
            let mut gathered = ScanBuilder::new(range);
            let mut last = range.after.0;
            let mut take = |seq: i64, (type_name, bytes): (&str, &[u8])| {
                expect_ascending(last < seq)?;
                last = seq;
                Ok(!is_wanted(range, type_name)
                    || gathered.take(Seq(seq), Bytes::copy_from_slice(bytes)))
            };
            let seqs = range.after.next().0..=range.through.0;
            if !range.removals {
                living::walk(transaction, &feed, (scope, seqs), &mut take)?;
                return Ok(gathered.into());
            }
            for row in feed.range((scope, *seqs.start())..=(scope, *seqs.end()))? {
                let (key, record) = row?;
                if !take(key.value().1, record.value())? {
                    break;
                }
            }
            Ok(gathered.into())
        })
    }

    pub(super) fn watched<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.failed
            .note(guard("its file", || read(&self.transaction)))
    }
}

/// Looks for things in their order, as far as there is room for their bytes. The first one that exists always has room.
pub(super) fn in_order<'k, K: Clone + Eq + Hash + Ord + 'k, V>(
    keys: impl IntoIterator<Item = &'k K>,
    bytes_max: usize,
    mut look: impl FnMut(&K) -> Result<Option<(usize, V)>, StoreError>,
) -> Result<Found<K, V>, StoreError> {
    let (mut all, mut bytes_left) = (Found::default(), bytes_max);
    let mut keys = keys.into_iter();
    for key in keys.by_ref() {
        let Some((bytes, value)) = look(key)? else {
            continue;
        };
        if bytes > bytes_left && !all.found.is_empty() {
            all.left_out.insert(key.clone());
            break;
        }
        bytes_left = bytes_left.saturating_sub(bytes);
        all.found.insert(key.clone(), value);
    }
    all.left_out.extend(keys.cloned());
    Ok(all)
}

fn read_meta(transaction: &ReadTransaction) -> Result<(Epoch, Version, u64), StoreError> {
    let table = transaction.open_table(META)?;
    let row = table.get(())?;
    let row = row.ok_or_else(|| StoreError::Corrupt("it has no epoch".to_owned()))?;
    let (epoch, version_floor, commits) = row.value();
    let epoch = Epoch::new(epoch).map_err(unreadable)?;
    Ok((epoch, Version(version_floor), commits))
}

fn is_wanted(range: &ScanRange, type_name: &str) -> bool {
    let types = range.types.as_ref();
    types.is_none_or(|types| types.iter().any(|wanted| wanted.as_str() == type_name))
}

/// The record at a position in [`ENTRIES`].
struct RecordAt<'p> {
    place: (&'p str, i64),
    row: AccessGuard<'static, (&'static str, &'static [u8])>,
}

impl<'p> RecordAt<'p> {
    fn of(
        feed: &ReadOnlyTable<(&'static str, i64), (&'static str, &'static [u8])>,
        (scope, seq, ..): (&'p str, i64, Option<i64>, Option<&str>),
    ) -> Result<Self, StoreError> {
        let row = feed.get((scope, seq))?.ok_or_else(|| lost(scope, seq))?;
        let place = (scope, seq);
        Ok(Self { place, row })
    }

    fn bytes(&self) -> &[u8] {
        self.row.value().1
    }

    fn entry(&self, key: (&str, &str)) -> Result<Arc<Entry>, StoreError> {
        self.entry_in(decode(self.bytes())?, key)
    }

    fn entry_in(&self, item: FeedItem, key: (&str, &str)) -> Result<Arc<Entry>, StoreError> {
        match item.record {
            Record::Entry(entry) if names(&entry.key) == key => Ok(entry),
            _ => Err(lost(self.place.0, self.place.1)),
        }
    }
}

/// In a damaged tree a page may be its own descendant. A walk through it would not end.
pub(super) fn expect_ascending(ascends: bool) -> Result<(), StoreError> {
    if ascends {
        Ok(())
    } else {
        Err(StoreError::Corrupt("its keys are out of order".to_owned()))
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<FeedItem, StoreError> {
    codec::decode_item(bytes).map_err(unreadable)
}

pub(super) fn unreadable(error: impl Into<CodecError>) -> StoreError {
    StoreError::Corrupt(error.into().to_string())
}

pub(super) fn lost(scope: &str, seq: i64) -> StoreError {
    StoreError::Corrupt(format!("nothing stands at {seq} in the feed of {scope}"))
}
