//! A change stream on the database that resumes itself where it broke off. What its events mean is not known here.
//!
//! To the driver it is an aggregation like any other. The driver's own change stream (3.9) loses its token when a
//! resumption has to be repeated, and silently goes on from the present.

use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, RawDocument, doc},
    raw_batch_cursor::{RawBatch, RawBatchCursor},
};
use tokio::time::{Duration, sleep};

use super::{
    MongoContext,
    error::{MongoError, code},
    names::FORMAT,
    reader::document,
    within,
};
use crate::store::StoreError;

/// How long the server waits for events before it returns an empty batch with its position.
const AWAIT: Duration = Duration::from_secs(1);

/// How often the server refuses a token before the token is suspected.
const REFUSALS_MIN: u32 = 2;

/// A change stream that resumes itself.
pub(super) struct ResumableStream {
    context: Arc<MongoContext>,
    /// The stages after `$changeStream`.
    stages: Vec<Document>,
    /// The most events of a batch; `None` leaves it to the server.
    batch_size: Option<u32>,
    open: Option<RawBatchCursor>,
    /// The resume token; `None` if the stream begins at the present. It advances in idle times too, or it would become
    /// too old.
    token: Option<Document>,
    /// Whether the next batch is the one that opening the stream has brought.
    is_fresh: bool,
    /// The number of failures since the last batch after the first.
    failures: u32,
}

/// The stream cannot continue from its token: the next events are lost, or the database was dropped.
pub(super) struct Lost(pub(super) String);

impl ResumableStream {
    pub(super) fn new(
        context: Arc<MongoContext>,
        stages: Vec<Document>,
        batch_size: Option<u32>,
        token: Option<Document>,
    ) -> Self {
        Self {
            context,
            stages,
            batch_size,
            open: None,
            token,
            is_fresh: false,
            failures: 0,
        }
    }

    /// Goes on at the token with other stages.
    pub(super) fn set_stages(&mut self, stages: Vec<Document>) {
        self.stages = stages;
        self.open = None;
    }

    /// Begins again at the present.
    pub(super) fn restart(&mut self) {
        self.open = None;
        self.token = None;
    }

    /// The next batch, which may be empty. The first one comes at once. Tries again after failures that pass.
    pub(super) async fn next(&mut self) -> Result<RawBatch, Lost> {
        loop {
            match self.receive().await {
                Ok(Some(batch)) => {
                    // Opening may succeed each time, and reading on fail.
                    if !std::mem::take(&mut self.is_fresh) {
                        self.failures = 0;
                    }
                    return Ok(batch);
                }
                Ok(None) => return Err(Lost("the change stream has ended".to_owned())),
                Err(failure) => {
                    let lost = is_lost(&failure) || self.is_token_refused(&failure).await;
                    self.pause(&failure).await;
                    if lost {
                        return Err(Lost(StoreError::from(failure).to_string()));
                    }
                }
            }
        }
    }

    /// Reads a batch and moves the token behind it. Without a batch the stream has ended.
    async fn receive(&mut self) -> Result<Option<RawBatch>, MongoError> {
        let patience = self.context.call_max + AWAIT;
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let token = self.token.clone();
                let opened = self.opened(token).await?;
                self.is_fresh = true;
                self.open.insert(opened)
            }
        };
        let Some(batch) = within(patience, open.try_next()).await? else {
            return Ok(None);
        };
        let cursor = batch.as_raw_document().get_document("cursor")?;
        let token = cursor.get_document("postBatchResumeToken")?;
        self.token = Some(token.try_into()?);
        Ok(Some(batch))
    }

    /// Opens the stream: at its token, so that nothing is missed, or at the present.
    async fn opened(&mut self, token: Option<Document>) -> Result<RawBatchCursor, MongoError> {
        let context = Arc::clone(&self.context);
        let is_at_present = token.is_none();
        let from = match token {
            Some(token) => doc! { "resumeAfter": token },
            None => doc! {},
        };
        let mut pipeline = vec![doc! { "$changeStream": from }];
        pipeline.extend(self.stages.iter().cloned());
        let mut aggregate = context.database.aggregate(pipeline).max_await_time(AWAIT);
        if let Some(batch_size) = self.batch_size {
            aggregate = aggregate.batch_size(batch_size);
        }
        let cursor = context.in_time(aggregate.batch()).await?;
        if is_at_present {
            // The stream begins after all that the primary has written, also what no majority has yet. Every later read
            // of the store must find that.
            context.linearizable(&context.names.state, FORMAT).await?;
        }
        Ok(cursor)
    }

    /// Whether the server refuses the token for a reason without a code of its own, such as one that it cannot read. It
    /// has refused it several times, and opens the stream without it.
    async fn is_token_refused(&mut self, failure: &MongoError) -> bool {
        let is_suspect = self.open.is_none() && self.token.is_some();
        is_suspect
            && self.failures >= REFUSALS_MIN
            && failure.is_refused_command()
            && self.opened(None).await.is_ok()
    }

    async fn pause(&mut self, failure: &MongoError) {
        self.open = None;
        if self.failures == 0 {
            tracing::warn!(?failure, "the change stream is opened again");
        }
        sleep(self.context.backoff(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
    }
}

/// The events of a batch.
pub(super) fn events(
    batch: &RawBatch,
) -> Result<impl Iterator<Item = Result<&RawDocument, MongoError>>, MongoError> {
    let events = batch.doc_slices()?.into_iter();
    Ok(events.map(|event| document(event?)))
}

/// Whether the server reports that the next events are lost, or too large.
fn is_lost(failure: &MongoError) -> bool {
    const HISTORY_LOST: i32 = 286;
    const FATAL: i32 = 280;
    const INVALID_TOKEN: i32 = 260;
    const TOO_LARGE: i32 = 10_334;
    match failure {
        MongoError::Driver(error) => {
            let codes = [HISTORY_LOST, FATAL, INVALID_TOKEN, TOO_LARGE];
            code(error).is_some_and(|code| codes.contains(&code))
        }
        _ => false,
    }
}
