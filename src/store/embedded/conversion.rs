//! The conversion of a file of format 3. It is one transaction: a kill leaves the file as it was.
//!
//! [`crate::store::conversion`] says what becomes of a record.

use std::path::Path;

use bson::RawDocument;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError, WriteTransaction,
};
use tidegate_core::inbox::InboxRecord;

use super::{
    models::{SERVED_MODEL, served_text},
    tables::{CONFLICTS, DISPUTED, FEED, FORMAT, FORMAT_VERSION, WAITING, names},
};
use crate::store::{
    StoreError, codec,
    conversion::{Converted, Progress, StoredNames},
};

/// The format that a start converts.
pub(super) const FORMAT_BEFORE: u32 = 3;

/// The file beside the store in which the version before noted that values in scopes are escaped.
const ESCAPED: &str = "restamped";

/// How many records are passed between two reports.
const REPORTED: u64 = 1_000;

/// Converts the file.
pub(super) fn convert(
    database: &Database,
    path: &Path,
    progress: &Progress,
) -> Result<(), StoreError> {
    let before = database.begin_read()?;
    let names = names_in_feed(&before, path)?;
    let place = path.display();
    tracing::info!("converting {place} from format {FORMAT_BEFORE} to {FORMAT_VERSION}");
    let transaction = database.begin_write()?;
    let mut conversion = Conversion {
        before: &before,
        transaction: &transaction,
        names: &names,
        progress,
        converted: Converted::default(),
    };
    if !names.is_empty() {
        conversion.feed()?;
        conversion.conflicts()?;
    }
    progress.report(conversion.converted);
    let mut format = transaction.open_table(FORMAT)?;
    format.insert("format", FORMAT_VERSION)?;
    drop(format);
    transaction.commit()?;
    tracing::info!("{place} has format {FORMAT_VERSION} now");
    Ok(())
}

/// How many records a conversion would look at, because fields of their types have other stored names.
pub(super) fn records_to_convert(database: &Database, path: &Path) -> Result<u64, StoreError> {
    let file = database.begin_read()?;
    let names = names_in_feed(&file, path)?;
    let mut records = 0;
    if !names.is_empty() {
        for row in file.open_table(FEED)?.iter()? {
            let (_, record) = row?;
            let (type_name, _) = record.value();
            records += u64::from(names.types().any(|name| name.as_str() == type_name));
        }
    }
    Ok(records)
}

/// The stored names of the fields that the records have by their names in the model.
fn names_in_feed(file: &ReadTransaction, path: &Path) -> Result<StoredNames, StoreError> {
    if file.open_table(FEED)?.first()?.is_none() {
        return Ok(StoredNames::default());
    }
    let served = served_text(&path.with_file_name(SERVED_MODEL))?;
    let is_escaped = path.with_file_name(ESCAPED).exists();
    let place = format!("the store {}", path.display());
    StoredNames::of_served(served.as_deref(), is_escaped, &place)
}

struct Conversion<'c> {
    /// The file as it was.
    before: &'c ReadTransaction,
    transaction: &'c WriteTransaction,
    names: &'c StoredNames,
    progress: &'c Progress,
    converted: Converted,
}

impl Conversion<'_> {
    fn feed(&mut self) -> Result<(), StoreError> {
        let mut feed = self.transaction.open_table(FEED)?;
        for row in self.before.open_table(FEED)?.iter()? {
            let (place, record) = row?;
            let (type_name, bytes) = record.value();
            self.pass();
            let raw = RawDocument::from_bytes(bytes).ok();
            if let Some(record) = raw.and_then(|raw| self.names.record(raw)) {
                feed.insert(place.value(), (type_name, record.as_bytes()))?;
                self.converted.rewritten += 1;
            }
        }
        Ok(())
    }

    /// The rows that count the bytes of conflicts follow.
    fn conflicts(&mut self) -> Result<(), StoreError> {
        let mut conflicts = self.transaction.open_table(CONFLICTS)?;
        let mut disputed = self.transaction.open_table(DISPUTED)?;
        let waiting = match self.before.open_table(WAITING) {
            Err(TableError::TableDoesNotExist(_)) => None,
            opened => Some(opened?),
        };
        for row in self.before.open_table(CONFLICTS)?.iter()? {
            let (id, record) = row?;
            self.pass();
            let raw = RawDocument::from_bytes(record.value()).ok();
            let Some(record) = raw.and_then(|raw| self.names.conflict(raw)) else {
                continue;
            };
            conflicts.insert(id.value(), record.as_bytes())?;
            self.converted.rewritten += 1;
            let Ok(InboxRecord::Open(open)) = codec::decode_record(record.as_bytes()) else {
                continue;
            };
            let (type_name, document) = names(&open.key);
            let bytes = u64::try_from(open.bytes()).unwrap_or(u64::MAX);
            disputed.insert((type_name, document, id.value()), bytes)?;
            let share = (type_name, document, open.opened_by.as_str(), id.value());
            if let Some(waiting) = &waiting
                && waiting.get(share)?.is_some()
            {
                self.transaction.open_table(WAITING)?.insert(share, bytes)?;
            }
        }
        Ok(())
    }

    fn pass(&mut self) {
        self.converted.passed += 1;
        if self.converted.passed.is_multiple_of(REPORTED) {
            self.progress.report(self.converted);
        }
    }
}
