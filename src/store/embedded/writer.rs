//! The one writer: a thread that commits, reports to the tail, and opens the file again after an IO error.
//!
//! There is only one, so nothing is written between its read and its write. [`super::write`] changes the tables.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use redb::WriteTransaction;
use tidegate_core::{
    generation::ModelRecord,
    id::Scope,
    transaction::{Reads, Writes},
};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{
    file::{StoreFile, is_of_the_file},
    indexes::{self, IndexWork, IndexesLeft},
    models,
    sums::{self, SumsWork},
    view::ReadView,
    write::{CommitEvents, write},
};
use crate::store::{
    DecideFn, StoreError, TailEvent,
    decision::{changes_nothing, panic_message, run_decision},
};

/// Work for the writer's thread.
pub(super) type WriterJob = Box<dyn FnOnce(&WriterThread) + Send>;

/// Has the writer do this work, and waits for the result.
pub(super) async fn ask<T: Send + 'static>(
    jobs: &mpsc::Sender<WriterJob>,
    work: impl FnOnce(&WriterThread) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    let job = move |writer: &WriterThread| {
        // The caller may have gone: what was done stands.
        drop(reply.send(writer.catch_panic(|| work(writer))));
    };
    let sent = jobs.send(Box::new(job)).await;
    sent.map_err(|_| writer_gone())?;
    answer.await.map_err(|_| writer_gone())?
}

pub(super) fn writer_gone() -> StoreError {
    StoreError::Unavailable("its writer has ended".to_owned())
}

/// The state of the writer's thread.
pub(super) struct WriterThread {
    pub(super) file: Arc<StoreFile>,
    pub(super) tail: broadcast::Sender<TailEvent>,
}

impl WriterThread {
    /// Works until all senders are gone.
    pub(super) fn run(self, mut jobs: mpsc::Receiver<WriterJob>) {
        while let Some(job) = jobs.blocking_recv() {
            job(&self);
        }
    }

    /// redb may panic on a file that something else has changed. Without a writer nothing could be written any more,
    /// while reads would succeed as before.
    fn catch_panic<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            // A failure or panic here is retried before the next job.
            drop(catch_unwind(AssertUnwindSafe(|| self.reopen())));
            let panic = panic_message(&*panic);
            Err(StoreError::Unavailable(format!(
                "{panic}; whether it was written is not known yet"
            )))
        })
    }

    pub(super) fn commit(&self, reads: &Reads, decide: &DecideFn) -> Result<Writes, StoreError> {
        let before = self.writable()?;
        let mut loaded = before.load(reads)?;
        let mut writes = run_decision(decide, &loaded)?;
        // Each count and each value is asked for once.
        while !writes.uncounted.is_empty() || !writes.unheld.is_empty() {
            loaded.given.extend(before.given(&writes.uncounted)?);
            loaded.holders.extend(before.holders(&writes.unheld)?);
            writes = run_decision(decide, &loaded)?;
        }
        if changes_nothing(&writes) {
            return Ok(writes);
        }
        let written = self.write_durably(&before, &writes, |_| Ok(()))?;
        self.publish_commit(written, &writes);
        Ok(writes)
    }

    pub(super) fn change_models(
        &self,
        change: impl FnOnce(&mut ModelRecord),
    ) -> Result<ModelRecord, StoreError> {
        let before = self.writable()?;
        let stored = before.model_record()?;
        let mut record = stored.clone();
        change(&mut record);
        if record != stored {
            self.write_durably(&before, &Writes::default(), |transaction| {
                models::write(transaction, &stored, &record)
            })?;
        }
        Ok(record)
    }

    pub(super) fn work_on_sums(&self, scope: &Scope, work: &SumsWork) -> Result<(), StoreError> {
        let before = self.writable()?;
        let written = self.write_durably(&before, &Writes::default(), |transaction| {
            sums::write(transaction, scope, work)
        });
        written.map(drop)
    }

    /// A transaction that changes nothing but the number of commits.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        let before = self.writable()?;
        let written = self.write_durably(&before, &Writes::default(), |_| Ok(()));
        written.map(drop)
    }

    pub(super) fn work_on_indexes(&self, work: &IndexWork) -> Result<IndexesLeft, StoreError> {
        let before = self.writable()?;
        let mut left = IndexesLeft::default();
        self.file.indexes.clear();
        let written = self.write_durably(&before, &Writes::default(), |transaction| {
            left = indexes::write(transaction, before.commits, work)?;
            Ok(())
        });
        self.file.indexes.clear();
        written.map(|_| left)
    }

    /// What is stored, in a file that can be written. Nothing is acknowledged from a file that is opened read-only, not
    /// even a push that was stored before: what the file shows may not be on the disk.
    fn writable(&self) -> Result<ReadView, StoreError> {
        if self.file.has_failed() || self.file.refusal().is_some() {
            self.reopen()?;
        }
        self.file.refusal().map_or(Ok(()), Err)?;
        ReadView::open(&self.file)
    }

    /// Writes both in one transaction.
    fn write_durably(
        &self,
        before: &ReadView,
        writes: &Writes,
        others: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<CommitEvents, StoreError> {
        let transaction = self.file.begin_write()?;
        let written =
            others(&transaction).and_then(|()| write(&transaction, before, writes, &self.file));
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                self.file.indexes.clear();
                drop(transaction);
                self.reopen_after(&error);
                return Err(error);
            }
        };
        match transaction.commit() {
            Ok(()) => Ok(written),
            Err(error) => self
                .resolve_unknown_commit(before, error.into())
                .map(|()| written),
        }
    }

    /// A failed commit may be in the file all the same. Only the file shows whether it is. Opening the file for writing
    /// flushes what it shows; opened read-only, it may show what is not on the disk.
    fn resolve_unknown_commit(
        &self,
        before: &ReadView,
        error: StoreError,
    ) -> Result<(), StoreError> {
        let reopened = self.reopen().and_then(|()| ReadView::open(&self.file));
        match reopened {
            Ok(now) if now.commits == before.commits => Err(error),
            Ok(_) if self.file.refusal().is_none() => Ok(()),
            _ => Err(StoreError::Unavailable(format!(
                "{error}; whether it was written is not known yet"
            ))),
        }
    }

    /// Opens the file again, if an IO error requires it.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        if self.file.has_failed() {
            self.reopen()?;
        }
        Ok(())
    }

    /// Opens the file again, so that reads succeed as far as the disk lets them. A failure here is retried before the
    /// next job.
    fn reopen_after(&self, error: &StoreError) {
        if is_of_the_file(error) {
            drop(self.reopen());
        }
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.file.reopen()?;
        self.publish(TailEvent::Restart);
        Ok(())
    }

    fn publish_commit(&self, written: CommitEvents, writes: &Writes) {
        if let Some(epoch) = &writes.epoch {
            self.publish(TailEvent::Epoch(epoch.clone()));
        }
        if !writes.users.is_empty() {
            let users = writes.users.keys().cloned().collect();
            self.publish(TailEvent::Grants(Some(users)));
        }
        if !written.feed.is_empty() {
            self.publish(TailEvent::Committed(written.feed.into()));
        }
        for scope in written.conflicts {
            self.publish(TailEvent::Inbox(Some(scope)));
        }
    }

    /// Sending fails only when the tail has no followers.
    fn publish(&self, event: TailEvent) {
        drop(self.tail.send(event));
    }
}
