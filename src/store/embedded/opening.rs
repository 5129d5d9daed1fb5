//! Creating a store, opening it, and naming what prevents that.
//!
//! The tables are created empty here. Their content is not known here.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, TableError, WriteTransaction,
    backends::FileBackend,
};

use super::{
    EmbeddedOptions,
    conversion::{FORMAT_BEFORE, convert, records_to_convert},
    file::{OpenMode, guard},
    read_only_file::ReadOnlyFile,
    tables::{
        CLIENTS, CONFLICTS, DISPUTED, ENTRIES, EXPIRY, FEED, FORMAT, FORMAT_VERSION, GIVEN, INBOX,
        LIVING, MARKERS, META, MODELS, NUMBERED, PUSHED, RESOLVED, SCOPE_NUMBERS, SCOPES, SUMS,
        TOKEN_KEY, USERS, WAITING,
    },
};
use crate::{
    files::{open_private, sync_directory},
    store::{StoreError, conversion::announced, finding::Finding},
};

pub(super) const FILE_NAME: &str = "tidegate.redb";

/// The name of a store until its creation is complete. An unfinished store is never opened.
const UNFINISHED_NAME: &str = "tidegate.redb.new";

/// Returns the path of the store's file in `directory`, and creates both where they are missing.
pub(super) fn find_or_create(
    directory: &Path,
    options: &EmbeddedOptions,
) -> Result<PathBuf, StoreError> {
    fs::create_dir_all(directory).map_err(|error| io_error(directory, &error))?;
    let path = directory.join(FILE_NAME);
    let exists = path.try_exists().map_err(|error| io_error(&path, &error))?;
    if !exists {
        create(directory, &path, options)?;
    }
    Ok(path)
}

/// Opens the file if it is a store of this format, or can be converted to it.
pub(super) fn open_database(
    path: &Path,
    options: &EmbeddedOptions,
    access: OpenMode,
) -> Result<Database, StoreError> {
    guard(path.display(), || {
        let mut builder = Builder::new();
        builder.set_cache_size(options.cache_bytes);
        let opened = match access {
            OpenMode::Write => builder.open(path),
            OpenMode::Read => builder.create_with_backend(open_untouched(path)?),
        };
        let database = opened.map_err(|error| open_error(path, error))?;
        match (format(&database, path)?, access) {
            (FORMAT_VERSION, _) => {}
            (FORMAT_BEFORE, OpenMode::Write) => convert(&database, path, options)?,
            (found, _) => return Err(other_format(path, found)),
        }
        Ok(database)
    })
}

/// The lock keeps other processes from opening the file for writing, if they gain that right before this gateway does.
fn open_untouched(path: &Path) -> Result<ReadOnlyFile, StoreError> {
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    lock(path, &file)?;
    ReadOnlyFile::new(file).map_err(|error| io_error(path, &error))
}

/// Creates a whole store under another name and then renames it. The lock on the unfinished file decides between two
/// processes that do so at once: if `path` exists after the lock was taken, the other one was first.
fn create(directory: &Path, path: &Path, options: &EmbeddedOptions) -> Result<(), StoreError> {
    let unfinished = directory.join(UNFINISHED_NAME);
    let file = lock_unfinished(&unfinished)?;
    let exists = path.try_exists().map_err(|error| io_error(path, &error))?;
    if exists {
        return Ok(());
    }
    file.set_len(0)
        .map_err(|error| io_error(&unfinished, &error))?;
    let backend = FileBackend::new(file).map_err(|error| open_error(path, error))?;
    let database = Builder::new()
        .create_with_backend(backend)
        .map_err(|error| open_error(path, error))?;
    let transaction = database.begin_write()?;
    create_tables(&transaction, options)?;
    let first_epoch = options.first_epoch.as_str();
    let mut meta = transaction.open_table(META)?;
    meta.insert((), (first_epoch, 0, 0))?;
    drop(meta);
    transaction.commit()?;
    let renamed = fs::rename(&unfinished, path).and_then(|()| sync_directory(directory));
    renamed.map_err(|error| io_error(path, &error))
}

/// Only the gateway may read the documents.
fn lock_unfinished(path: &Path) -> Result<File, StoreError> {
    let file = open_private(path).map_err(|error| io_error(path, &error))?;
    lock(path, &file)?;
    Ok(file)
}

fn lock(path: &Path, file: &File) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_use(path)),
        Err(TryLockError::Error(error)) => Err(io_error(path, &error)),
    }
}

/// Makes all tables that are missing, with the format and the secret.
pub(super) fn create_tables(
    transaction: &WriteTransaction,
    options: &EmbeddedOptions,
) -> Result<(), StoreError> {
    transaction
        .open_table(FORMAT)?
        .insert("format", FORMAT_VERSION)?;
    transaction
        .open_table(TOKEN_KEY)?
        .insert((), options.first_key.0)?;
    transaction.open_table(META)?;
    transaction.open_table(MODELS)?;
    transaction.open_table(SCOPES)?;
    transaction.open_table(SUMS)?;
    transaction.open_table(SCOPE_NUMBERS)?;
    transaction.open_table(NUMBERED)?;
    transaction.open_table(FEED)?;
    transaction.open_table(LIVING)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(MARKERS)?;
    transaction.open_table(CLIENTS)?;
    transaction.open_table(PUSHED)?;
    transaction.open_table(GIVEN)?;
    transaction.open_table(USERS)?;
    transaction.open_table(EXPIRY)?;
    transaction.open_table(CONFLICTS)?;
    transaction.open_table(INBOX)?;
    transaction.open_table(DISPUTED)?;
    transaction.open_table(WAITING)?;
    transaction.open_table(RESOLVED)?;
    Ok(())
}

/// What `check` and `doctor` say of a file that the next start converts; `None` of one that it only opens.
pub(super) fn convertible(path: &Path) -> Result<Option<Finding>, StoreError> {
    guard(path.display(), || {
        let opened = Builder::new().create_with_backend(open_untouched(path)?);
        let database = opened.map_err(|error| open_error(path, error))?;
        match format(&database, path)? {
            FORMAT_VERSION => Ok(None),
            FORMAT_BEFORE => {
                let place = format!("the store {}", path.display());
                let records = records_to_convert(&database, path);
                announced(&place, (FORMAT_BEFORE, FORMAT_VERSION), records).map(Some)
            }
            found => Err(other_format(path, found)),
        }
    })
}

fn format(database: &Database, path: &Path) -> Result<u32, StoreError> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(FORMAT) {
        Err(TableError::TableDoesNotExist(_)) => return Err(no_store(path)),
        opened => opened?,
    };
    let found = table.get("format")?.map(|version| version.value());
    found.ok_or_else(|| no_store(path))
}

fn other_format(path: &Path, found: u32) -> StoreError {
    StoreError::OtherFormat {
        path: path.display().to_string(),
        found,
        known: FORMAT_VERSION,
    }
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    use redb::StorageError::{Corrupted, Io};
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => in_use(path),
        DatabaseError::UpgradeRequired(_) => no_store(path),
        DatabaseError::Storage(Io(error)) if is_about_content(&error) => no_store(path),
        DatabaseError::Storage(Io(error)) => io_error(path, &error),
        DatabaseError::Storage(Corrupted(what)) => {
            let path = path.display();
            StoreError::Corrupt(format!(
                "{path} is damaged ({what}); restore it from a backup"
            ))
        }
        other => StoreError::from(redb::Error::from(other)),
    }
}

fn is_about_content(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof
    )
}

fn no_store(path: &Path) -> StoreError {
    let path = path.display();
    StoreError::Corrupt(format!("{path} is not a Tidegate store, or was cut short"))
}

fn in_use(path: &Path) -> StoreError {
    StoreError::InUse {
        path: path.display().to_string(),
    }
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    let reported = format!("{}: {error}", path.display());
    if is_about_writing(error) {
        StoreError::NotWritable(reported)
    } else {
        StoreError::Unavailable(reported)
    }
}

fn is_about_writing(error: &io::Error) -> bool {
    use ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | FileTooLarge | ReadOnlyFilesystem | PermissionDenied
    )
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if is_about_writing(&error) => {
                Self::NotWritable(error.to_string())
            }
            redb::Error::Io(_)
            | redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_) => Self::Unavailable(error.to_string()),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_redb!(StorageError TableError TransactionError CommitError);
