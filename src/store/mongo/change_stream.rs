//! The tail: this gateway's local commits ([`local_commits`](super::local_commits)), and one change stream on the
//! database for what others write to the feed, the inbox and the epoch.
//!
//! Events carry whole records, so that nothing has to be looked up. If continuity is lost, the stream begins again and
//! reports that. To the driver it is an aggregation like any other, and only this module resumes it: the driver's own
//! change stream (3.9) loses its token when a resumption has to be repeated, and silently goes on from the present.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use mongodb::{
    bson::{Bson, Document, RawDocument, doc},
    raw_batch_cursor::{RawBatch, RawBatchCursor},
};
use tidegate_core::id::{Epoch, Scope, UserId};
use tokio::time::{Duration, sleep};

use super::{
    MongoContext,
    error::{MongoError, code},
    names::{EPOCH, STAMPED, StateKey, USERS, USERS_END},
    reader::{document, text},
    within,
};
use crate::store::{FeedWrite, StoredRecord, TailEvent, codec};

/// How long the server waits for events before it returns an empty batch with its position.
const AWAIT: Duration = Duration::from_secs(1);

/// The stream of what is committed, for as long as it is polled.
pub(super) fn tail(context: Arc<MongoContext>) -> BoxStream<'static, TailEvent> {
    // Before the change stream begins, whose first event reports that something may have been missed.
    let own = context.local_commits.follow();
    let others = RemoteChanges {
        context,
        passed_by: Vec::new(),
        open: None,
        token: None,
        read: VecDeque::new(),
        failures: 0,
    };
    let mut others = Box::pin(stream::unfold(others, |mut others| async move {
        let event = others.next().await;
        Some((event, others))
    }));
    let both = async move {
        let begun = others.next().await;
        stream::iter(begun).chain(stream::select(own, others))
    };
    both.flatten_stream().boxed()
}

/// The commits of others.
struct RemoteChanges {
    context: Arc<MongoContext>,
    /// The sessions of this gateway's local commits, which the stream skips.
    passed_by: Vec<Bson>,
    open: Option<RawBatchCursor>,
    /// The resume token; `None` if the stream begins again. It advances in idle times too, or it would become too old.
    token: Option<Document>,
    /// Events before the token that are still to be reported.
    read: VecDeque<TailEvent>,
    /// The number of failures since the last event.
    failures: u32,
}

impl RemoteChanges {
    async fn next(&mut self) -> TailEvent {
        loop {
            if let Some(event) = self.read.pop_front() {
                return event;
            }
            let own = self.context.local_commits.sessions();
            if self.passed_by != own {
                self.exclude_sessions(own);
                continue;
            }
            let Some(open) = &mut self.open else {
                self.open().await;
                continue;
            };
            let batch = within(self.context.call_max + AWAIT, open.try_next());
            match batch
                .await
                .and_then(|batch| self.read_batch(batch.as_ref()))
            {
                Ok(true) => self.failures = 0,
                Ok(false) => self.restart(),
                Err(failure) => self.failed(failure).await,
            }
        }
    }

    /// Opens the stream: at its token, so that nothing is missed, or at the present, which is then reported.
    async fn open(&mut self) {
        match self.opened().await {
            Ok(Some(cursor)) => self.open = Some(cursor),
            Ok(None) => self.restart(),
            Err(failure) => self.failed(failure).await,
        }
    }

    async fn opened(&mut self) -> Result<Option<RawBatchCursor>, MongoError> {
        let context = Arc::clone(&self.context);
        let pipeline = pipeline(&context, &self.passed_by, self.token.as_ref());
        let aggregate = context.database.aggregate(pipeline);
        let mut cursor = context
            .in_time(aggregate.max_await_time(AWAIT).batch())
            .await?;
        if self.token.is_none() {
            // The stream begins after all that the primary has written, also what no majority has yet. Every later read
            // of the store must find that.
            context.linearizable(&context.names.state, EPOCH).await?;
            self.read.push_back(TailEvent::Restart);
        }
        // The answer contains it. It says where the stream begins.
        let first = context.in_time(cursor.try_next()).await?;
        Ok(self.read_batch(first.as_ref())?.then_some(cursor))
    }

    /// Continues at the token and skips commits in these sessions. A majority has what the stream has skipped so far in
    /// a session that is not among them, but perhaps no tail has reported it.
    fn exclude_sessions(&mut self, own: Vec<Bson>) {
        if self.passed_by.iter().any(|session| !own.contains(session)) {
            self.read.push_back(TailEvent::Restart);
        }
        self.passed_by = own;
        self.open = None;
    }

    /// If the server reports that it cannot continue from the token, it never will. Any other failure is transient.
    async fn failed(&mut self, failure: MongoError) {
        self.open = None;
        if is_lost(&failure) {
            self.token = None;
        }
        if self.failures == 0 {
            tracing::warn!(?failure, "the change stream is opened again");
        }
        sleep(self.context.backoff(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
    }

    fn restart(&mut self) {
        self.open = None;
        self.token = None;
    }

    /// Reads the whole batch or nothing: after a failure the stream returns to it. Returns whether the stream
    /// continues; without a batch it has ended.
    fn read_batch(&mut self, batch: Option<&RawBatch>) -> Result<bool, MongoError> {
        let Some(batch) = batch else {
            return Ok(false);
        };
        let cursor = batch.as_raw_document().get_document("cursor")?;
        let token = cursor.get_document("postBatchResumeToken")?.try_into()?;
        let mut read = Vec::new();
        for event in batch.doc_slices()? {
            match self.read(document(event?)?) {
                ChangeEvent::Reported(event) => read.push(event),
                ChangeEvent::Unstamped(event) => read.extend([TailEvent::Grants(None), event]),
                ChangeEvent::Nothing => {}
                ChangeEvent::Broken => {
                    self.read.extend(read);
                    return Ok(false);
                }
            }
        }
        self.read.extend(read);
        self.token = Some(token);
        Ok(true)
    }

    fn read(&mut self, event: &RawDocument) -> ChangeEvent {
        let read = match event.get_str("operationType") {
            Ok("insert" | "replace" | "update" | "delete") => self.read_write(event),
            Ok("drop" | "rename" | "dropDatabase" | "invalidate") => return ChangeEvent::Broken,
            _ => Ok(ChangeEvent::Nothing),
        };
        read.unwrap_or_else(|failure| {
            tracing::error!(?failure, "an event of the feed cannot be read");
            ChangeEvent::Reported(TailEvent::Restart)
        })
    }

    fn read_write(&mut self, event: &RawDocument) -> Result<ChangeEvent, MongoError> {
        let places = &self.context.names;
        let written = event.get_document("fullDocument");
        let namespace = event.get_document("ns").and_then(|ns| ns.get_str("coll"));
        match (namespace, written) {
            (Ok(name), written) if name == places.conflicts => {
                let scope = written.and_then(|written| written.get_str("s"));
                let scope = scope.ok().and_then(|scope| Scope::new(scope).ok());
                Ok(ChangeEvent::Reported(TailEvent::Inbox(scope)))
            }
            (Ok(name), Ok(written)) if name == places.feed => {
                let write = feed_write(written)?;
                let layout = self.context.layout.document_type(&write.key.type_name);
                let may_regrant = layout.is_some_and(|layout| layout.gives);
                let event = TailEvent::Committed(Arc::from([write]));
                Ok(match may_regrant && written.get(STAMPED)?.is_none() {
                    true => ChangeEvent::Unstamped(event),
                    false => ChangeEvent::Reported(event),
                })
            }
            (Ok(name), written) if name == places.state => {
                let key = event.get_document("documentKey")?;
                if let Some(StateKey::User(user)) = StateKey::of(text(key, "_id")?) {
                    let users = UserId::new(user).ok().map(|user| Arc::from([user]));
                    return Ok(ChangeEvent::Reported(TailEvent::Grants(users)));
                }
                let epoch = written
                    .ok()
                    .and_then(|written| written.get_str("epoch").ok());
                Ok(match epoch.and_then(|epoch| Epoch::new(epoch).ok()) {
                    Some(epoch) => ChangeEvent::Reported(TailEvent::Epoch(epoch)),
                    None => ChangeEvent::Reported(TailEvent::Restart),
                })
            }
            // Only Tidegate writes there, and it writes whole documents.
            _ => Ok(ChangeEvent::Reported(TailEvent::Restart)),
        }
    }
}

fn feed_write(record: &RawDocument) -> Result<FeedWrite, MongoError> {
    let record = record.as_bytes();
    let (key, scope) = codec::whereabouts(record)?;
    let item = StoredRecord::kept(codec::seq_of(record)?, Bytes::copy_from_slice(record));
    Ok(FeedWrite { scope, key, item })
}

/// The meaning of an event.
enum ChangeEvent {
    Reported(TailEvent),
    /// The same, from a gateway of an earlier version that may have changed memberships: the event does not name the
    /// users.
    Unstamped(TailEvent),
    Nothing,
    /// The watched database was dropped or replaced: the stream has to begin again.
    Broken,
}

fn pipeline(context: &MongoContext, excluded: &[Bson], token: Option<&Document>) -> [Document; 4] {
    let stream = match token {
        Some(token) => doc! { "resumeAfter": token },
        None => doc! {},
    };
    let places = &context.names;
    let writes = doc! { "$in": ["insert", "replace", "update"] };
    let feed = doc! { "ns.coll": &places.feed, "operationType": writes.clone() };
    let conflicts = doc! { "ns.coll": &places.conflicts };
    let reported = doc! { "$or": [
        { "documentKey._id": EPOCH },
        { "documentKey._id": { "$gt": USERS, "$lt": USERS_END } },
    ] };
    let state = doc! { "ns.coll": &places.state, "operationType": writes, "$and": [reported] };
    let kept = doc! { "$in": [&places.feed, &places.state, &places.conflicts] };
    let gone = doc! { "ns.coll": kept, "operationType": { "$in": ["drop", "rename"] } };
    let whole = doc! { "operationType": { "$in": ["dropDatabase", "invalidate"] } };
    let read = doc! { "operationType": 1, "ns": 1, "documentKey": 1, "fullDocument": 1 };
    [
        doc! { "$changeStream": stream },
        // A stage of its own, and the first: MongoDB then applies it to a whole transaction in the oplog, before
        // unpacking that.
        doc! { "$match": { "lsid.id": { "$nin": excluded } } },
        doc! { "$match": { "$or": [feed, conflicts, state, gone, whole] } },
        doc! { "$project": read },
    ]
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
