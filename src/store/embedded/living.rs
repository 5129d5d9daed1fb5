//! The index of living documents, for readers that want no removals: reading it, and rebuilding it if it is not
//! current.
//!
//! Each commit keeps it current ([`super::write`]). A gateway without this index writes the feed and leaves the index
//! as it was.

use std::ops::RangeInclusive;

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableError};

use super::{
    tables::{FEED, LIVING, LIVING_OF, META},
    view::{lost, unreadable},
};
use crate::store::{StoreError, codec};

/// A row of the feed: its seq, its type and its record.
pub(super) type TakeRow<'t> = dyn FnMut(i64, (&str, &[u8])) -> Result<bool, StoreError> + 't;

/// Whether the index is current as of this commit.
pub(super) fn is_of(transaction: &ReadTransaction, commits: u64) -> Result<bool, StoreError> {
    match transaction.open_table(LIVING_OF) {
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        table => Ok(table?.get(())?.is_some_and(|of| of.value() == commits)),
    }
}

/// Rebuilds the index from the feed, if it is not of the last commit.
pub(super) fn make_current(database: &Database) -> Result<(), StoreError> {
    let before = database.begin_read()?;
    let meta = before.open_table(META)?.get(())?;
    let Some(commits) = meta.map(|row| row.value().2) else {
        return Ok(());
    };
    if is_of(&before, commits)? {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    transaction.delete_table(LIVING)?;
    {
        let feed = transaction.open_table(FEED)?;
        let mut living = transaction.open_table(LIVING)?;
        for row in feed.iter()? {
            let (place, record) = row?;
            if codec::is_living(record.value().1).map_err(unreadable)? {
                living.insert(place.value(), ())?;
            }
        }
        transaction.open_table(LIVING_OF)?.insert((), commits)?;
    }
    Ok(transaction.commit()?)
}

/// Hands the rows that the index names to `take`, in order, until it has enough. Neighbouring rows are read in one
/// range; a jump is made only over a gap.
pub(super) fn walk(
    transaction: &ReadTransaction,
    feed: &ReadOnlyTable<(&'static str, i64), (&'static str, &'static [u8])>,
    (scope, seqs): (&str, RangeInclusive<i64>),
    take: &mut TakeRow<'_>,
) -> Result<(), StoreError> {
    let end = (scope, *seqs.end());
    let living = transaction.open_table(LIVING)?;
    let mut rows = feed.range((scope, *seqs.start())..=end)?;
    for place in living.range((scope, *seqs.start())..=end)? {
        let (place, _) = place?;
        let (_, seq) = place.value();
        let mut row = rows.next().transpose()?;
        if row.as_ref().is_none_or(|(key, _)| key.value().1 != seq) {
            rows = feed.range((scope, seq)..=end)?;
            row = rows.next().transpose()?;
        }
        let (key, record) = row.ok_or_else(|| lost(scope, seq))?;
        if !take(key.value().1, record.value())? {
            break;
        }
    }
    Ok(())
}
