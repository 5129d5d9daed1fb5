//! The indexes of documents in the file. Each has a row for each of its keys, and a commit changes rows with their documents.
//!
//! An index names the commit that it is of. A gateway of an earlier version keeps no indexes, so that after its commits they
//! count as none, and are built again.

mod building;
mod examining;
mod holding;
mod reading;

use std::sync::Arc;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use tidegate_core::{
    entry::Entry,
    query::{IndexDefinition, KeyPart, scope_bytes},
    view::RecordView,
};

pub(super) use self::{
    building::{IndexWork, IndexesLeft, write},
    examining::examine,
};
use crate::{
    lock::Mutex,
    store::{StoreError, StoredView},
};

/// Definition as JSON → the number of the index, and whether it is complete.
const INDEXES: TableDefinition<&str, (u32, bool)> = TableDefinition::new("indexes");

/// One row: how many commits there were when the rows of all indexes were written.
const INDEXED_AT: TableDefinition<(), u64> = TableDefinition::new("indexed_at");

/// (index, scope, values, id) as bytes that sort as they do → the id.
const ROWS: TableDefinition<&[u8], &str> = TableDefinition::new("index_rows");

/// An index of the file.
#[derive(Debug, Clone)]
struct KeptIndex {
    definition: IndexDefinition,
    number: u32,
    is_complete: bool,
}

/// The indexes that each commit keeps, as the last one read them.
#[derive(Default)]
pub(super) struct IndexCache(Mutex<Option<Arc<[KeptIndex]>>>);

impl IndexCache {
    /// Has the next commit read them again.
    pub(super) fn clear(&self) {
        *self.0.lock() = None;
    }

    fn get(
        &self,
        transaction: &WriteTransaction,
        commits: u64,
    ) -> Result<Arc<[KeptIndex]>, StoreError> {
        if let Some(kept) = &*self.0.lock() {
            return Ok(Arc::clone(kept));
        }
        forget_others_work(transaction, commits)?;
        let kept: Arc<[KeptIndex]> = kept_in(&transaction.open_table(INDEXES)?)?.into();
        *self.0.lock() = Some(Arc::clone(&kept));
        Ok(kept)
    }
}

/// Drops all indexes if a gateway that does not keep them has written since.
fn forget_others_work(transaction: &WriteTransaction, commits: u64) -> Result<(), StoreError> {
    let at = transaction
        .open_table(INDEXED_AT)?
        .get(())?
        .map(|at| at.value());
    if at.is_some_and(|at| at != commits) {
        transaction.delete_table(INDEXES)?;
        transaction.delete_table(INDEXED_AT)?;
        transaction.delete_table(ROWS)?;
    }
    Ok(())
}

fn kept_in(
    table: &impl ReadableTable<&'static str, (u32, bool)>,
) -> Result<Vec<KeptIndex>, StoreError> {
    let mut kept = Vec::new();
    for row in table.iter()? {
        let (text, state) = row?;
        // A definition that this version cannot read is of a later one. It is dropped with those that nobody uses.
        let Ok(definition) = serde_json::from_str(text.value()) else {
            continue;
        };
        let (number, is_complete) = state.value();
        kept.push(KeptIndex {
            definition,
            number,
            is_complete,
        });
    }
    Ok(kept)
}

fn text_of(definition: &IndexDefinition) -> String {
    serde_json::to_string(definition).expect("names are JSON")
}

/// The indexes, open for writing.
pub(super) struct IndexTables<'t> {
    kept: Arc<[KeptIndex]>,
    rows: Option<Table<'t, &'static [u8], &'static str>>,
}

impl<'t> IndexTables<'t> {
    /// Opens them for the commit after so many.
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        cache: &IndexCache,
        commits: u64,
    ) -> Result<Self, StoreError> {
        let kept = cache.get(transaction, commits)?;
        let rows = match kept.is_empty() {
            true => None,
            false => {
                transaction
                    .open_table(INDEXED_AT)?
                    .insert((), commits + 1)?;
                Some(transaction.open_table(ROWS)?)
            }
        };
        Ok(Self { kept, rows })
    }

    /// The rows of a document come.
    pub(super) fn insert(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let Some(table) = &mut self.rows else {
            return Ok(());
        };
        for row in rows_of(&self.kept, entry) {
            table.insert(row.as_slice(), entry.key.id.as_str())?;
        }
        Ok(())
    }

    /// The rows of a document go. A record that cannot be read has none.
    pub(super) fn remove(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let (Some(table), Ok(view)) = (&mut self.rows, StoredView::read(record)) else {
            return Ok(());
        };
        for row in rows_of(&self.kept, &view) {
            table.remove(row.as_slice())?;
        }
        Ok(())
    }
}

/// The rows of a record in these indexes.
fn rows_of<'k, R: RecordView>(
    kept: &'k [KeptIndex],
    record: &'k R,
) -> impl Iterator<Item = Vec<u8>> + 'k {
    let indexes = kept.iter();
    let indexes = indexes.filter(|index| index.definition.type_name.as_str() == record.type_name());
    indexes.flat_map(move |index| {
        let keys = index.definition.keys(record).into_iter();
        keys.map(move |key| {
            let mut row = prefix_of(index.number, scope_in(&index.definition, record.scope()));
            let id = KeyPart::text(record.id());
            key.iter()
                .chain([&id])
                .for_each(|part| part.append_to(&mut row));
            row
        })
    })
}

/// The scope in the rows of an index.
fn scope_in<'s>(definition: &IndexDefinition, scope: &'s str) -> &'s str {
    let unique = definition.unique.as_ref();
    match unique.is_some_and(|unique| unique.across_scopes) {
        true => "",
        false => scope,
    }
}

fn prefix_of(number: u32, scope: &str) -> Vec<u8> {
    let mut prefix = number.to_be_bytes().to_vec();
    prefix.extend(scope_bytes(scope));
    prefix
}

/// The number of the index that a row is of.
fn number_in(row: &[u8]) -> u32 {
    let number = row.first_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(number)
}
