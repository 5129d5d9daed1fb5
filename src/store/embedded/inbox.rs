//! The inbox in the file: one row for each conflict, and rows that name the open ones by scope and by document.
//!
//! The core decides what a conflict is and when it is settled.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use redb::{ReadableTable, Table, WriteTransaction};
use tidegate_core::{
    id::{ConflictId, DocumentKey, Scope, TypeName},
    inbox::{InboxPosition, InboxRecord, OpenConflict, PendingUsage, UserAndDocument},
    transaction::{ExpiryQuery, Writes},
    value::Timestamp,
};

use super::{
    tables::{CONFLICTS, DISPUTED, INBOX, RESOLVED, WAITING, names},
    view::{ReadView, expect_ascending, in_order, unreadable},
};
use crate::store::{
    COUNTED_MAX, ConflictWalk, Conflicts, InboxRange, InboxScan, StoreError, codec, or_logged,
};

impl ReadView {
    pub(super) fn conflict(&self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        Ok(self.records([id], 0)?.found.remove(id))
    }

    /// Conflicts in the order of `ids`, as far as their records have room.
    pub(super) fn records<'i>(
        &self,
        ids: impl IntoIterator<Item = &'i ConflictId>,
        bytes_max: usize,
    ) -> Result<Conflicts, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(CONFLICTS)?;
            in_order(ids, bytes_max, |id| {
                let row = table.get(id.as_str())?;
                let record = row.map(|row| Ok((row.value().len(), decode(row.value())?)));
                record.transpose()
            })
        })
    }

    pub(super) fn conflicts(&self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        let mut places = BTreeSet::new();
        for scope in &range.scopes {
            places.extend(self.places(scope, range)?);
            while places.len() > range.items_max.saturating_add(1) {
                places.pop_last();
            }
        }
        let mut scan = InboxScan::default();
        for place in places {
            let goes_on = match self.readable_conflict(&place.id)? {
                Some(open) => scan.take(range, open),
                None => scan.leave_out(range, place),
            };
            if !goes_on {
                break;
            }
        }
        Ok(scan)
    }

    /// A conflict that the inbox names; `None`, and a line in the log, if it cannot be read.
    fn readable_conflict(&self, id: &ConflictId) -> Result<Option<Arc<OpenConflict>>, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(CONFLICTS)?;
            let row = table.get(id.as_str())?.ok_or_else(|| lost(id))?;
            match or_logged(row.value(), codec::decode_record(row.value())) {
                Some(InboxRecord::Open(open)) => Ok(Some(open)),
                Some(InboxRecord::Resolved(_)) => Err(lost(id)),
                None => Ok(None),
            }
        })
    }

    /// How much waits of each of these shares.
    pub(super) fn waiting(
        &self,
        shares: &BTreeSet<UserAndDocument>,
    ) -> Result<HashMap<UserAndDocument, PendingUsage>, StoreError> {
        let mut found: HashMap<UserAndDocument, PendingUsage> = HashMap::new();
        self.watched(|transaction| {
            let table = transaction.open_table(WAITING)?;
            for share @ (key, user) in shares {
                let ((type_name, id), user) = (names(key), user.as_str());
                let mut last = String::new();
                for row in table.range((type_name, id, user, "")..)? {
                    let (place, bytes) = row.map(|(place, bytes)| (place, bytes.value()))?;
                    let (of_type, of_id, of_user, conflict) = place.value();
                    if (of_type, of_id, of_user) != (type_name, id, user) {
                        break;
                    }
                    expect_ascending(*last < *conflict)?;
                    conflict.clone_into(&mut last);
                    let waiting = found.entry(share.clone()).or_default();
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    waiting.conflicts += 1;
                    waiting.bytes = waiting.bytes.saturating_add(bytes);
                }
            }
            Ok(found)
        })
    }

    /// How many conflicts are open, by type.
    pub(super) fn open_conflicts(&self) -> Result<BTreeMap<TypeName, u64>, StoreError> {
        self.watched(|transaction| {
            let mut open: BTreeMap<TypeName, u64> = BTreeMap::new();
            let table = transaction.open_table(DISPUTED)?;
            for row in table.iter()?.take(COUNTED_MAX as usize) {
                let (place, _) = row?;
                let type_name = TypeName::new(place.value().0).map_err(unreadable)?;
                *open.entry(type_name).or_default() += 1;
            }
            Ok(open)
        })
    }

    /// The first conflicts of one scope after the reader's position.
    fn places(&self, scope: &Scope, range: &InboxRange) -> Result<Vec<InboxPosition>, StoreError> {
        let scope = scope.as_str();
        self.watched(|transaction| {
            let table = transaction.open_table(INBOX)?;
            let start = match &range.after {
                Some(after) => Bound::Excluded((scope, after.opened_at.ms(), after.id.as_str())),
                None => Bound::Included((scope, i64::MIN, "")),
            };
            let mut places: Vec<InboxPosition> = Vec::new();
            let one_more = range.items_max.saturating_add(1);
            for row in table.range((start, Bound::Unbounded))?.take(one_more) {
                let (key, ()) = row.map(|(key, value)| (key, value.value()))?;
                let (of_scope, at, id) = key.value();
                if of_scope != scope {
                    break;
                }
                let place = InboxPosition {
                    opened_at: Timestamp::from_ms(at).map_err(unreadable)?,
                    id: ConflictId::new(id).map_err(unreadable)?,
                };
                expect_ascending(places.last().is_none_or(|last| *last < place))?;
                places.push(place);
            }
            Ok(places)
        })
    }

    /// All conflicts in the order of their ids.
    pub(super) fn walk_conflicts(
        &self,
        after: Option<&ConflictId>,
        limit: usize,
    ) -> Result<ConflictWalk, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(CONFLICTS)?;
            let after = after.map_or("", ConflictId::as_str);
            let mut walk = ConflictWalk::default();
            for row in table
                .range::<&str>((Bound::Excluded(after), Bound::Unbounded))?
                .take(limit)
            {
                let (id, bytes) = row?;
                let id = ConflictId::new(id.value()).map_err(unreadable)?;
                let record = or_logged(bytes.value(), codec::decode_record(bytes.value()));
                walk.records.extend(record);
                walk.next = Some(id);
            }
            Ok(walk)
        })
    }

    pub(super) fn forgettable(&self, expired: ExpiryQuery) -> Result<Vec<ConflictId>, StoreError> {
        self.watched(|transaction| {
            let table = transaction.open_table(RESOLVED)?;
            let old = table.range(..(expired.before.ms(), ""))?;
            old.take(expired.limit)
                .map(|row| {
                    let (key, _) = row?;
                    let (_, id) = key.value();
                    ConflictId::new(id).map_err(unreadable)
                })
                .collect()
        })
    }
}

/// Moves, writes and removes conflicts as a commit says. Returns the scopes whose inboxes changed.
pub(super) fn write(
    transaction: &WriteTransaction,
    writes: &Writes,
) -> Result<BTreeSet<Scope>, StoreError> {
    let mut tables = InboxTables {
        conflicts: transaction.open_table(CONFLICTS)?,
        inbox: transaction.open_table(INBOX)?,
        disputed: transaction.open_table(DISPUTED)?,
        waiting: transaction.open_table(WAITING)?,
        resolved: transaction.open_table(RESOLVED)?,
        touched: BTreeSet::new(),
    };
    for (key, scope) in writes.moves() {
        tables.move_all(key, scope)?;
    }
    for record in &writes.inbox {
        tables.remove(record.id())?;
        tables.place(record)?;
    }
    let removed = writes.resolutions_removed.iter();
    for id in removed.chain(&writes.conflicts_removed) {
        tables.remove(id)?;
    }
    Ok(tables.touched)
}

struct InboxTables<'t> {
    conflicts: Table<'t, &'static str, &'static [u8]>,
    inbox: Table<'t, (&'static str, i64, &'static str), ()>,
    disputed: Table<'t, (&'static str, &'static str, &'static str), u64>,
    waiting: Table<'t, (&'static str, &'static str, &'static str, &'static str), u64>,
    resolved: Table<'t, (i64, &'static str), ()>,
    /// The scopes in which an open conflict came or went.
    touched: BTreeSet<Scope>,
}

impl InboxTables<'_> {
    /// Moves a document's open conflicts with it.
    fn move_all(&mut self, key: &DocumentKey, scope: &Scope) -> Result<(), StoreError> {
        for id in self.disputes_of(key)? {
            if let Some(InboxRecord::Open(open)) = self.remove(&id)? {
                let moved = OpenConflict {
                    scope: scope.clone(),
                    ..OpenConflict::clone(&open)
                };
                self.place(&InboxRecord::Open(moved.into()))?;
            }
        }
        Ok(())
    }

    fn disputes_of(&self, key: &DocumentKey) -> Result<Vec<ConflictId>, StoreError> {
        let (type_name, id) = names(key);
        let mut conflicts = Vec::new();
        for row in self.disputed.range((type_name, id, "")..)? {
            let (key, _) = row?;
            let (of_type, of_id, conflict) = key.value();
            if (of_type, of_id) != (type_name, id) {
                break;
            }
            let conflict = ConflictId::new(conflict).map_err(unreadable)?;
            expect_ascending(conflicts.last().is_none_or(|last| *last < conflict))?;
            conflicts.push(conflict);
        }
        Ok(conflicts)
    }

    fn place(&mut self, record: &InboxRecord) -> Result<(), StoreError> {
        let bytes = codec::encode_record(record);
        let bytes = bytes.map_err(|error| StoreError::DecisionFailed(error.to_string()))?;
        let id = record.id().as_str();
        self.conflicts.insert(id, bytes.as_bytes())?;
        match record {
            InboxRecord::Open(open) => {
                let (type_name, document) = names(&open.key);
                self.inbox
                    .insert((open.scope.as_str(), open.opened_at.ms(), id), ())?;
                let bytes = u64::try_from(open.bytes()).unwrap_or(u64::MAX);
                self.disputed.insert((type_name, document, id), bytes)?;
                let user = open.opened_by.as_str();
                self.waiting
                    .insert((type_name, document, user, id), bytes)?;
                self.touched.insert(open.scope.clone());
            }
            InboxRecord::Resolved(settled) => {
                self.resolved.insert((settled.at.ms(), id), ())?;
            }
        }
        Ok(())
    }

    /// Removes a conflict with every row that names it.
    fn remove(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        let row = self.conflicts.remove(id.as_str())?;
        let Some(record) = row.map(|row| decode(row.value())).transpose()? else {
            return Ok(None);
        };
        match &record {
            InboxRecord::Open(open) => {
                let (type_name, document) = names(&open.key);
                let place = (open.scope.as_str(), open.opened_at.ms(), id.as_str());
                self.inbox.remove(place)?;
                self.disputed.remove((type_name, document, id.as_str()))?;
                let user = open.opened_by.as_str();
                self.waiting
                    .remove((type_name, document, user, id.as_str()))?;
                self.touched.insert(open.scope.clone());
            }
            InboxRecord::Resolved(settled) => {
                self.resolved.remove((settled.at.ms(), id.as_str()))?;
            }
        }
        Ok(Some(record))
    }
}

fn decode(bytes: &[u8]) -> Result<InboxRecord, StoreError> {
    codec::decode_record(bytes).map_err(unreadable)
}

fn lost(id: &ConflictId) -> StoreError {
    StoreError::Corrupt(format!(
        "the inbox names {id}, and there is no such conflict"
    ))
}
