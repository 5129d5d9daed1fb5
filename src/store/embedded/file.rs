//! The open file: its transactions, and opening it again after an IO error, read-only if it cannot be written.
//!
//! [`super::opening`] creates a store. The content of the tables is not known here.

use std::{
    fmt::Display,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::{
    EmbeddedOptions,
    indexes::IndexCache,
    opening::{find_or_create, open_database},
};
use crate::store::{StoreError, models::ModelCache};

/// How the database is opened, and opened again.
type OpenFn = dyn Fn(OpenMode) -> Result<Database, StoreError> + Send + Sync;

/// What the file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    /// Reading and writing.
    Write,
    /// Read-only: not a byte of the file changes.
    Read,
}

/// The file of a store.
pub(super) struct StoreFile {
    open: Box<OpenFn>,
    /// `None` while the file could not be opened again, and once it is closed.
    opened: RwLock<Option<OpenFile>>,
    pub(super) models: ModelCache,
    pub(super) keeps_sums: bool,
    /// Where it is; `None` in tests that have no file.
    path: Option<PathBuf>,
    pub(super) indexes: IndexCache,
}

/// One opening of the file. After an IO error redb refuses all further work on the opening.
struct OpenFile {
    database: Database,
    failed: FileHealth,
    /// Why the file was opened read-only.
    refusal: Option<StoreError>,
}

impl OpenFile {
    fn new(database: Database, refusal: Option<StoreError>) -> Self {
        Self {
            database,
            failed: FileHealth::default(),
            refusal,
        }
    }
}

/// Whether an opening has met an IO error. The flag belongs to the opening: an error that a snapshot of an earlier
/// opening meets is no reason to close the present one.
#[derive(Clone, Default)]
pub(super) struct FileHealth(Arc<AtomicBool>);

impl FileHealth {
    /// Sets the flag if `result` is an error that ends an opening.
    pub(super) fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.as_ref().is_err_and(is_of_the_file) {
            self.0.store(true, Ordering::Release);
        }
        result
    }

    fn has_happened(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Turns a panic into [`StoreError::Corrupt`]. redb trusts a file that was closed in order, and panics if something
/// else has changed it since.
pub(super) fn guard<T>(
    file: impl Display,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Corrupt(format!(
            "{file} is damaged; restore it from a backup"
        )))
    })
}

/// Whether redb refuses all further work after this error.
pub(super) fn is_of_the_file(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(_) | StoreError::NotWritable(_)
    )
}

impl StoreFile {
    /// Opens the store in `directory`, or creates one there.
    pub(super) fn open(directory: &Path, options: &EmbeddedOptions) -> Result<Self, StoreError> {
        let keeps_sums = options.keeps_sums;
        let (path, options) = (find_or_create(directory, options)?, options.clone());
        let place = Some(path.clone());
        let file = Self::over(move |access| open_database(&path, &options, access))?;
        Ok(Self {
            keeps_sums,
            path: place,
            ..file
        })
    }

    /// How large it is on the disk.
    pub(super) fn bytes(&self) -> Option<u64> {
        let file = fs::metadata(self.path.as_ref()?).ok()?;
        Some(file.len())
    }

    /// A start on a file that cannot be written fails. Only a running gateway goes on read-only.
    pub(super) fn over(
        open: impl Fn(OpenMode) -> Result<Database, StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let opened = OpenFile::new(open(OpenMode::Write)?, None);
        Ok(Self {
            open: Box::new(open),
            opened: RwLock::new(Some(opened)),
            models: ModelCache::default(),
            keeps_sums: true,
            path: None,
            indexes: IndexCache::default(),
        })
    }

    /// Whether the file has to be opened again first.
    pub(super) fn has_failed(&self) -> bool {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.as_ref();
        opened.is_none_or(|opened| opened.failed.has_happened())
    }

    /// Why the file was opened read-only, if it was.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref()?.refusal.clone()
    }

    pub(super) fn begin_read(&self) -> Result<(ReadTransaction, FileHealth), StoreError> {
        self.begin(|database| Ok(database.begin_read()?))
    }

    /// A transaction that is durable when its commit returns. The allocator's state is saved with it, at the price of
    /// one more flush; otherwise opening the store after a crash would read all of it.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let (mut transaction, _) = self.begin(|database| Ok(database.begin_write()?))?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// Closes the file and opens it again, read-only if it cannot be written. No write transaction may be open, since
    /// it holds the lock.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut opened = self.closed();
        *opened = Some(match (self.open)(OpenMode::Write) {
            Err(refusal @ StoreError::NotWritable(_)) => {
                OpenFile::new((self.open)(OpenMode::Read)?, Some(refusal))
            }
            database => OpenFile::new(database?, None),
        });
        Ok(())
    }

    /// Closes the file. Open snapshots fail from then on.
    pub(super) fn close(&self) {
        drop(self.closed());
    }

    /// Closing writes to the file. If the file is damaged that may fail; the next opening then repairs it or reports
    /// why not.
    fn closed(&self) -> RwLockWriteGuard<'_, Option<OpenFile>> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let database = opened.take();
        drop(guard("its file", || {
            drop(database);
            Ok(())
        }));
        opened
    }

    fn begin<T>(
        &self,
        begin: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<(T, FileHealth), StoreError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = &*opened else {
            return Err(StoreError::Unavailable("its file is closed".to_owned()));
        };
        let transaction = opened.failed.note(begin(&opened.database))?;
        Ok((transaction, opened.failed.clone()))
    }
}
