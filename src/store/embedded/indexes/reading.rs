//! Reading an index: ranges of rows, merged in the order of their keys.

use std::{cmp::Ordering, collections::BinaryHeap, ops::Bound};

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableError};
use tidegate_core::{
    id::{DocumentId, Seq},
    query::{IndexDefinition, IndexRead, KeyPart, NextColumn},
};

use super::{INDEXED_AT, INDEXES, ROWS, prefix_of, text_of};
use crate::store::{
    Listed, StoreError, StoredView,
    embedded::{
        tables::{ENTRIES, FEED},
        view::{ReadView, lost, unreadable},
    },
    list::ListBuilder,
};

/// Ranges of rows that are merged: where the merged part of a key begins, and the bounds.
struct RowRange {
    prefix: usize,
    from: Vec<u8>,
    /// The first key after it.
    to: Vec<u8>,
}

/// The ranges of a read.
fn ranges(number: u32, read: &IndexRead) -> Vec<RowRange> {
    let scopes = read.scopes.iter();
    let mut prefixes: Vec<Vec<u8>> = scopes
        .map(|scope| prefix_of(number, scope.as_str()))
        .collect();
    for values in &read.points {
        let longer = prefixes.iter().flat_map(|prefix| {
            let with = |value: &KeyPart| with_part(prefix, value);
            values.iter().map(with).collect::<Vec<_>>()
        });
        prefixes = longer.collect();
    }
    let ranges = prefixes.iter().flat_map(|prefix| {
        let whole = |from: Vec<u8>| RowRange {
            prefix: prefix.len(),
            to: following(&from),
            from,
        };
        match &read.next {
            NextColumn::All => vec![whole(prefix.clone())],
            NextColumn::Points(values) => {
                let values = values.iter().map(|value| whole(with_part(prefix, value)));
                values.collect()
            }
            NextColumn::Range(range) => {
                let of_rank = [prefix.as_slice(), &[range.rank as u8]].concat();
                let bound = |bound: &Option<(KeyPart, bool)>, is_end: bool| {
                    bound.as_ref().map(|(value, inclusive)| {
                        let at = with_part(prefix, value);
                        match is_end == *inclusive {
                            true => following(&at),
                            false => at,
                        }
                    })
                };
                vec![RowRange {
                    prefix: prefix.len(),
                    from: bound(&range.from, false).unwrap_or_else(|| of_rank.clone()),
                    to: bound(&range.to, true).unwrap_or_else(|| following(&of_rank)),
                }]
            }
        }
    });
    ranges.filter(|range| range.from < range.to).collect()
}

fn with_part(prefix: &[u8], value: &KeyPart) -> Vec<u8> {
    let mut longer = prefix.to_vec();
    value.append_to(&mut longer);
    longer
}

/// The first bytes after all that begin so. The number of an index is never the last of all.
fn following(prefix: &[u8]) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            break;
        }
    }
    bytes
}

/// The next row of a range. The greatest of several is the one that comes first.
struct NextRow {
    key: Vec<u8>,
    id: String,
    range: usize,
    /// Where the merged part of the key begins.
    prefix: usize,
    descending: bool,
}

impl Ord for NextRow {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.key[self.prefix..].cmp(&other.key[other.prefix..]);
        match self.descending {
            true => ascending,
            false => ascending.reverse(),
        }
    }
}

impl PartialOrd for NextRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for NextRow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for NextRow {}

/// Merges ranges of rows in the order of their keys behind the prefixes. Hands over ids until `each` has enough.
fn merge(
    rows: &impl ReadableTable<&'static [u8], &'static str>,
    ranges: &[RowRange],
    descending: bool,
    mut each: impl FnMut(&str) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut readers = Vec::with_capacity(ranges.len());
    for range in ranges {
        let bounds = (
            Bound::Included(range.from.as_slice()),
            Bound::Excluded(range.to.as_slice()),
        );
        readers.push(rows.range::<&[u8]>(bounds)?);
    }
    let mut advance = |range: usize| -> Result<Option<NextRow>, StoreError> {
        let row = match descending {
            true => readers[range].next_back(),
            false => readers[range].next(),
        };
        Ok(row.transpose()?.map(|(key, id)| NextRow {
            key: key.value().to_vec(),
            id: id.value().to_owned(),
            range,
            prefix: ranges[range].prefix,
            descending,
        }))
    };
    let mut heap = BinaryHeap::with_capacity(ranges.len());
    for range in 0..ranges.len() {
        heap.extend(advance(range)?);
    }
    while let Some(next) = heap.pop() {
        if !each(&next.id)? {
            break;
        }
        heap.extend(advance(next.range)?);
    }
    Ok(())
}

/// The complete index of this definition in a view of the file.
fn number_of(
    file: &ReadTransaction,
    commits: u64,
    definition: &IndexDefinition,
) -> Result<u32, StoreError> {
    let table = match file.open_table(INDEXES) {
        Err(TableError::TableDoesNotExist(_)) => return Err(StoreError::IndexBuilding),
        opened => opened?,
    };
    let at = file.open_table(INDEXED_AT)?.get(())?.map(|at| at.value());
    let row = table.get(text_of(definition).as_str())?;
    let row = row.map(|row| row.value()).filter(|_| at == Some(commits));
    match row {
        Some((number, true)) => Ok(number),
        _ => Err(StoreError::IndexBuilding),
    }
}

impl ReadView {
    pub(in crate::store::embedded) fn list(&self, read: &IndexRead) -> Result<Listed, StoreError> {
        self.watched(|file| {
            let number = number_of(file, self.commits, &read.index)?;
            let rows = file.open_table(ROWS)?;
            let (entries, feed) = (file.open_table(ENTRIES)?, file.open_table(FEED)?);
            let type_name = read.index.type_name.as_str();
            let mut list = ListBuilder::new(read);
            let by_ids = read.ids().is_some();
            let mut take = |id: &str| -> Result<bool, StoreError> {
                if !list.has_room() {
                    return Ok(false);
                }
                if read.ids_only && !by_ids {
                    list.take_id(DocumentId::new(id).map_err(unreadable)?);
                    return Ok(true);
                }
                let Some(place) = entries.get((type_name, id))? else {
                    return if by_ids {
                        Ok(true)
                    } else {
                        Err(lost(type_name, 0))
                    };
                };
                let (scope, seq, ..) = place.value();
                let record = feed.get((scope, seq))?.ok_or_else(|| lost(scope, seq))?;
                let (_, bytes) = record.value();
                if by_ids && !StoredView::read(bytes).is_ok_and(|view| read.contains(&view)) {
                    return Ok(true);
                }
                if read.ids_only {
                    list.take_id(DocumentId::new(id).map_err(unreadable)?);
                    return Ok(true);
                }
                Ok(list.take(Seq(seq), Bytes::copy_from_slice(bytes)))
            };
            match read.ids() {
                None => merge(&rows, &ranges(number, read), read.descending, take)?,
                Some(ids) => {
                    let mut ids: Vec<&str> =
                        ids.iter().filter_map(|it| it.value().as_str()).collect();
                    if read.descending {
                        ids.reverse();
                    }
                    for id in ids {
                        if !take(id)? {
                            break;
                        }
                    }
                }
            }
            Ok(list.into())
        })
    }
}
