//! The index of living documents, for readers that want no removals. Each commit keeps it current ([`super::write`]).

use std::ops::RangeInclusive;

use redb::{ReadOnlyTable, ReadTransaction};

use super::{tables::LIVING, view::lost};
use crate::store::StoreError;

/// A row of the feed: its seq, its type and its record.
pub(super) type TakeRow<'t> = dyn FnMut(i64, (&str, &[u8])) -> Result<bool, StoreError> + 't;

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
