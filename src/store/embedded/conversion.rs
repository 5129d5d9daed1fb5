//! The conversion of a file of format 3. It is one transaction: a kill leaves the file as it was.
//!
//! Afterwards the file has all tables of format 4, so nothing else knows what older files lack.
//! [`crate::store::conversion`] says what becomes of a record.

use std::{fs, io, path::Path};

use bson::RawDocument;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use tidegate_core::{generation::ModelRecord, inbox::InboxRecord};

use super::{
    EmbeddedOptions, models,
    numbers::NumberTables,
    opening::create_tables,
    tables::{CONFLICTS, DISPUTED, FEED, FORMAT_VERSION, META, SCOPES, USERS, WAITING, names},
};
use crate::store::{
    StoreError, codec,
    conversion::{Converted, Progress, StoredNames},
};

/// The format that a start converts.
pub(super) const FORMAT_BEFORE: u32 = 3;

/// The file beside the store in which the version before noted the model that it served.
const SERVED_MODEL: &str = "served-model.graphql";

/// The file beside the store in which it noted that values in scopes are escaped.
const ESCAPED: &str = "restamped";

/// One row: the commit as of which the index of living documents is current. In the table of users, the row of the empty
/// name says the same of memberships. Versions before that one kept neither.
const LIVING_OF: TableDefinition<(), u64> = TableDefinition::new("living_of");

/// Memberships by user alone.
const MEMBERS: TableDefinition<(&str, &str, &str), (&str, bool)> = TableDefinition::new("members");

/// How many records are passed between two reports.
const REPORTED: u64 = 1_000;

/// Converts the file.
pub(super) fn convert(
    database: &Database,
    path: &Path,
    options: &EmbeddedOptions,
) -> Result<(), StoreError> {
    let before = database.begin_read()?;
    let (names, progress) = (names_in_feed(&before, path)?, &options.conversion);
    let place = path.display();
    tracing::info!("converting {place} from format {FORMAT_BEFORE} to {FORMAT_VERSION}");
    let transaction = database.begin_write()?;
    transaction.delete_table(LIVING_OF)?;
    transaction.delete_table(MEMBERS)?;
    transaction.open_table(USERS)?.remove("")?;
    create_tables(&transaction, options)?;
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
    conversion.scopes()?;
    conversion.models(path)?;
    progress.report(conversion.converted);
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
    if !is_complete(file)? {
        return Err(StoreError::Unsuitable(format!(
            "the store {} was last written by an earlier version; start the version of Tidegate before once more, and then this one",
            path.display()
        )));
    }
    if file.open_table(FEED)?.first()?.is_none() {
        return Ok(StoredNames::default());
    }
    let served = served_text(path)?;
    let is_escaped = path.with_file_name(ESCAPED).exists();
    let place = format!("the store {}", path.display());
    StoredNames::of_served(served.as_deref(), is_escaped, &place)
}

/// Whether the version before has written the file last.
fn is_complete(file: &ReadTransaction) -> Result<bool, StoreError> {
    let commits = file.open_table(META)?.get(())?.map(|row| row.value().2);
    let living = match file.open_table(LIVING_OF) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(false),
        opened => opened?.get(())?.map(|row| row.value()),
    };
    let members = file.open_table(USERS)?.get("")?.map(|row| row.value().0);
    let members = members.map(i64::unsigned_abs);
    Ok(commits.is_some() && [living, members] == [commits; 2])
}

/// The text of the model that gateways of the version before served.
fn served_text(path: &Path) -> Result<Option<String>, StoreError> {
    let note = path.with_file_name(SERVED_MODEL);
    match fs::read_to_string(&note) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::Unavailable(format!(
            "{}: {error}",
            note.display()
        ))),
    }
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
        let mut waiting = self.transaction.open_table(WAITING)?;
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
            let is_counted = waiting.get(share)?.is_some();
            if is_counted {
                waiting.insert(share, bytes)?;
            }
        }
        Ok(())
    }

    /// Numbers the scopes.
    fn scopes(&self) -> Result<(), StoreError> {
        let mut numbers = NumberTables::open(self.transaction)?;
        for row in self.before.open_table(SCOPES)?.iter()? {
            numbers.number(row?.0.value())?;
        }
        Ok(())
    }

    /// The store begins with the model that it was served by.
    fn models(&self, path: &Path) -> Result<(), StoreError> {
        let Some(served) = served_text(path)? else {
            return Ok(());
        };
        let record = ModelRecord::of_served(&served);
        models::write(self.transaction, &ModelRecord::default(), &record)
    }

    fn pass(&mut self) {
        self.converted.passed += 1;
        if self.converted.passed.is_multiple_of(REPORTED) {
            self.progress.report(self.converted);
        }
    }
}
