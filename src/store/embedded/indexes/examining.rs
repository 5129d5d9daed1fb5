//! What `doctor` says of the indexes.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable, TableError};

use super::{INDEXED_AT, INDEXES, KeptIndex, ROWS, kept_in, number_in, rows_of};
use crate::store::{
    StoreError, StoredView,
    embedded::tables::{FEED, META},
    finding::{Finding, Topic},
};

/// Each living document has its rows in each complete index, and there are no others.
pub(in crate::store::embedded) fn examine(
    file: &ReadTransaction,
) -> Result<Vec<Finding>, StoreError> {
    let table = match file.open_table(INDEXES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        opened => opened?,
    };
    let commits = file.open_table(META)?.get(())?.map(|row| row.value().2);
    let at = file.open_table(INDEXED_AT)?.get(())?.map(|at| at.value());
    if at != commits {
        let message = "the indexes of lists are not of the last commit; a start builds them again";
        return Ok(vec![Finding::warning(Topic::Indexes, message)]);
    }
    let kept = kept_in(&table)?;
    let complete: Vec<KeptIndex> = kept.iter().filter(|it| it.is_complete).cloned().collect();
    let rows = file.open_table(ROWS)?;
    let feed = file.open_table(FEED)?;
    let (mut expected, mut missing) = (BTreeMap::<u32, u64>::new(), 0_u64);
    for row in feed.iter()? {
        let (_, record) = row?;
        let Ok(view) = StoredView::read(record.value().1) else {
            continue;
        };
        for row in rows_of(&complete, &view) {
            *expected.entry(number_in(&row)).or_default() += 1;
            missing += u64::from(rows.get(row.as_slice())?.is_none());
        }
    }
    let mut surplus = 0_u64;
    for index in &complete {
        let (begin, end) = (index.number.to_be_bytes(), (index.number + 1).to_be_bytes());
        let found = rows
            .range::<&[u8]>(begin.as_slice()..end.as_slice())?
            .count() as u64;
        let expected = expected.get(&index.number).copied().unwrap_or_default();
        surplus += (found + missing).saturating_sub(expected);
    }
    let building = kept.len() - complete.len();
    Ok(vec![match (missing, surplus, building) {
        (0, 0, 0) => Finding::good(
            Topic::Indexes,
            format!(
                "{} indexes of lists, each with its documents",
                complete.len()
            ),
        ),
        (0, 0, building) => Finding::warning(
            Topic::Indexes,
            format!("{building} indexes of lists are not complete; a running gateway builds them"),
        ),
        _ => Finding::problem(
            Topic::Indexes,
            format!(
                "the indexes of lists lack {missing} documents, and have {surplus} too many; restore the file from a backup, then run `tidegate rotate-epoch`"
            ),
        ),
    }])
}
