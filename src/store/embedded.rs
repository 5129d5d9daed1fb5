//! The embedded store: one `redb` file in a directory, for laptops, tests and small single-node installs.
//!
//! It opens the file, holds its bounds and implements [`Store`] with the modules below. It decides nothing.

mod clients;
mod conversion;
mod doctor;
mod file;
mod inbox;
mod indexes;
mod living;
mod members;
mod models;
mod numbers;
mod opening;
mod read_only_file;
mod snapshot;
mod sums;
mod tables;
mod view;
mod write;
mod writer;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate_core::{
    checkpoint::TokenKey,
    id::{Epoch, Scope, Seq},
    query::IndexDefinition,
    transaction::Reads,
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::BroadcastStream;

use self::{
    file::StoreFile,
    models::EmbeddedModels,
    snapshot::{EmbeddedSnapshot, SnapshotOpener, off_the_async_threads},
    sums::SumsWork,
    writer::{WriterJob, WriterThread, ask, writer_gone},
};
use super::{
    Committed, DecideFn, Now, Snapshot, Store, StoreError, StoreVitals, TailEvent,
    conversion::Progress, finding::Finding, models::Models,
};

/// How many commits may wait for the writer. Further callers wait until there is room.
const JOBS_MAX: usize = 64;

/// How an embedded store is opened.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The epoch of a store that is made by this opening.
    pub first_epoch: Epoch,
    /// The secret of checkpoints of a store that is made or converted by this opening.
    pub first_key: TokenKey,
    /// How much of the file the cache may hold.
    pub cache_bytes: usize,
    /// How many events a follower of the tail may lag behind before it has to restart.
    pub tail_events_max: usize,
    /// Whether it keeps the sums of scopes, from which digests are made.
    pub keeps_sums: bool,
    /// Receives how far the conversion of a file of the format before has come.
    pub conversion: Progress,
}

impl EmbeddedOptions {
    /// The defaults: 16 MiB of cache and 256 events of tail.
    pub fn new(first_epoch: Epoch, first_key: TokenKey) -> Self {
        Self {
            first_epoch,
            first_key,
            cache_bytes: 16 << 20,
            tail_events_max: 256,
            keeps_sums: true,
            conversion: Progress::default(),
        }
    }
}

/// A store in one file of this machine, locked by this process. Dropping it finishes the commits that have begun and
/// closes the file. A snapshot keeps the pages it can see from being reused, so it must be short-lived.
pub struct EmbeddedStore {
    file: Arc<StoreFile>,
    tail: broadcast::Sender<TailEvent>,
    /// `None` only while dropping: the writer ends when all senders are gone.
    jobs: Option<mpsc::Sender<WriterJob>>,
    writer: Option<JoinHandle<()>>,
    models: Arc<EmbeddedModels>,
}

impl EmbeddedStore {
    /// Opens the store in `directory`, or creates one there. Converts a file of the format before. This blocks.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::OtherFormat`] and [`StoreError::Corrupt`]
    /// when the file is no store of this version, [`StoreError::NotWritable`] when it may not be written.
    pub fn open(directory: &Path, options: &EmbeddedOptions) -> Result<Self, StoreError> {
        Self::run(
            StoreFile::open(directory, options)?,
            options.tail_events_max,
        )
    }

    /// What the next start converts of the store in `directory`; `None` if it has this format. Nothing is written.
    ///
    /// # Errors
    /// Those of [`EmbeddedStore::open`].
    pub fn convertible(directory: &Path) -> Result<Option<Finding>, StoreError> {
        opening::convertible(&directory.join(opening::FILE_NAME))
    }

    fn run(file: StoreFile, tail_events_max: usize) -> Result<Self, StoreError> {
        let file = Arc::new(file);
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let (tail, _) = broadcast::channel(tail_events_max.max(1));
        let writer = WriterThread {
            file: Arc::clone(&file),
            tail: tail.clone(),
        };
        let models = EmbeddedModels {
            reader: SnapshotOpener {
                file: Arc::clone(&file),
                jobs: jobs.downgrade(),
            },
        };
        let thread = thread::Builder::new().name("tidegate-store".to_owned());
        let writer = thread
            .spawn(move || writer.run(waiting))
            .map_err(|error| StoreError::Unavailable(format!("no thread to write: {error}")))?;
        Ok(Self {
            file,
            tail,
            jobs: Some(jobs),
            writer: Some(writer),
            models: Arc::new(models),
        })
    }

    fn reader(&self) -> SnapshotOpener {
        self.models.reader.clone()
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(writer_gone)?;
        let committed = ask(jobs, move |writer| writer.commit(&reads, &*decide));
        committed.await.map(Committed::from)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let snapshot = EmbeddedSnapshot::open(self.reader()).await?;
        Ok(Box::new(snapshot))
    }

    async fn keep_indexes(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        let wanted = indexes.iter().map(|index| IndexDefinition::clone(index));
        self.make_indexes(wanted.collect()).await
    }

    async fn build_uniques(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        match indexes.iter().any(|index| index.unique.is_some()) {
            true => self.keep_indexes(indexes).await,
            false => Ok(()),
        }
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let states = snapshot.scopes(&BTreeSet::from([scope.clone()])).await?;
        Ok(states.get(scope).map_or(Seq::START, |state| state.head))
    }

    async fn keep_sums(&self, scope: &Scope, again: bool) -> Result<(), StoreError> {
        if !self.file.keeps_sums {
            return Ok(());
        }
        let first = match again {
            true => SumsWork::Restart,
            false => SumsWork::Begin,
        };
        self.complete_sums(scope, first).await
    }

    fn models(&self) -> Arc<dyn Models> {
        self.models.clone()
    }

    async fn vitals(&self, _now: &Now) -> Result<StoreVitals, StoreError> {
        let view = self.reader().view().await?;
        Ok(StoreVitals {
            bytes: self.file.bytes(),
            conflicts: off_the_async_threads(move || view.open_conflicts()).await?,
            ..StoreVitals::default()
        })
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(writer_gone)?;
        ask(jobs, WriterThread::probe).await
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        let events = BroadcastStream::new(self.tail.subscribe());
        let events = events.map(|event| event.unwrap_or(TailEvent::Restart));
        let restart = stream::iter([TailEvent::Restart]);
        restart.chain(events).boxed()
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already reported its panic.
            drop(writer.join());
        }
        self.file.close();
    }
}

#[cfg(test)]
mod tests;
