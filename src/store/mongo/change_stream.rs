//! The tail: this gateway's local commits ([`local_commits`](super::local_commits)), and one change stream on the
//! database for what others write to the feed, the inbox and the epoch.
//!
//! Events carry whole records, so that nothing has to be looked up. If continuity is lost, the stream begins again and
//! reports that.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use mongodb::{
    bson::{Bson, Document, RawDocument, doc},
    raw_batch_cursor::RawBatch,
};
use tidegate_core::id::{Epoch, Scope, UserId};
use tokio::time::{Instant, sleep_until};

use super::{
    MongoContext,
    error::MongoError,
    grant_order::{CommitOrder, LocalCommit, RaisedCounter},
    names::{FORMAT, GRANT_COUNTERS, GRANT_COUNTERS_END, StateKey, USERS, USERS_END},
    reader::{text, unreadable},
    resumable::{Lost, ResumableStream, events},
};
use crate::store::{FeedWrite, StoredRecord, TailEvent, codec};

/// The stream of what is committed, for as long as it is polled.
pub(super) fn tail(context: Arc<MongoContext>) -> BoxStream<'static, TailEvent> {
    // Before the change stream begins, whose first event reports that something may have been missed.
    let own = context.local_commits.follow().boxed();
    let sessions = context.local_commits.sessions();
    let others = RemoteChanges {
        stream: ResumableStream::new(
            Arc::clone(&context),
            stages(&context, &sessions),
            None,
            None,
        ),
        context,
        passed_by: sessions,
        begins: true,
        read: VecDeque::new(),
    };
    let others = stream::unfold(others, |mut others| async move {
        let event = others.next().await;
        Some((event, others))
    });
    let both = JoinedCommits {
        own,
        others: others.boxed(),
        order: CommitOrder::default(),
        ready: VecDeque::new(),
    };
    let both = async move {
        let mut both = both;
        let begun = both.others.next().await;
        both.ready.extend(begun.and_then(RemoteEvent::reported));
        stream::unfold(both, |mut both| async move {
            let event = both.next().await?;
            Some((event, both))
        })
    };
    both.flatten_stream().boxed()
}

/// The commits of this gateway and those of others, in an order that keeps withdrawn grants withdrawn.
struct JoinedCommits {
    own: BoxStream<'static, Option<LocalCommit>>,
    others: BoxStream<'static, RemoteEvent>,
    order: CommitOrder,
    /// Events that are still to be reported.
    ready: VecDeque<TailEvent>,
}

impl JoinedCommits {
    async fn next(&mut self) -> Option<TailEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let deadline = self.order.deadline();
            let late = sleep_until(deadline.unwrap_or_else(Instant::now));
            tokio::select! {
                own = self.own.next() => match own? {
                    Some(commit) => self.ready.extend(self.order.committed(commit)),
                    None => self.report(TailEvent::Restart),
                },
                other = self.others.next() => match other? {
                    RemoteEvent::Raised(raised) => self.ready.extend(self.order.reported(raised)),
                    RemoteEvent::Reported(event) => self.report(event),
                },
                () = late, if deadline.is_some() => self.ready.extend(self.order.release_all()),
            }
        }
    }

    fn report(&mut self, event: TailEvent) {
        let is_restart = matches!(event, TailEvent::Restart);
        self.ready.push_back(event);
        if is_restart {
            self.ready.extend(self.order.restarted());
        }
    }
}

/// What the change stream says.
enum RemoteEvent {
    Reported(TailEvent),
    /// All changes of grants up to this value of a counter were reported.
    Raised(RaisedCounter),
}

impl RemoteEvent {
    fn reported(self) -> Option<TailEvent> {
        match self {
            Self::Reported(event) => Some(event),
            Self::Raised(_) => None,
        }
    }
}

/// The commits of others.
struct RemoteChanges {
    context: Arc<MongoContext>,
    stream: ResumableStream,
    /// The sessions of this gateway's local commits, which the stream skips.
    passed_by: Vec<Bson>,
    /// Whether the next batch is the first since the stream began at the present.
    begins: bool,
    /// Events that are still to be reported.
    read: VecDeque<RemoteEvent>,
}

impl RemoteChanges {
    async fn next(&mut self) -> RemoteEvent {
        loop {
            if let Some(event) = self.read.pop_front() {
                return event;
            }
            let own = self.context.local_commits.sessions();
            if self.passed_by != own {
                self.exclude_sessions(own);
                continue;
            }
            match self.stream.next().await {
                Ok(batch) => self.report(&batch),
                Err(Lost(_)) => self.restart(),
            }
        }
    }

    /// Continues at the token and skips commits in these sessions. A majority has what the stream has skipped so far in
    /// a session that is not among them, but perhaps no tail has reported it.
    fn exclude_sessions(&mut self, own: Vec<Bson>) {
        if self.passed_by.iter().any(|session| !own.contains(session)) {
            self.read
                .push_back(RemoteEvent::Reported(TailEvent::Restart));
        }
        self.stream.set_stages(stages(&self.context, &own));
        self.passed_by = own;
    }

    fn restart(&mut self) {
        self.stream.restart();
        self.begins = true;
    }

    fn report(&mut self, batch: &RawBatch) {
        if std::mem::take(&mut self.begins) {
            self.read
                .push_back(RemoteEvent::Reported(TailEvent::Restart));
        }
        let continues = self.read_batch(batch).unwrap_or_else(|failure| {
            tracing::error!(?failure, "a batch of the feed's events cannot be read");
            false
        });
        if !continues {
            self.restart();
        }
    }

    /// Returns whether the stream continues. It begins again if the watched database was dropped or replaced.
    fn read_batch(&mut self, batch: &RawBatch) -> Result<bool, MongoError> {
        for event in events(batch)? {
            let event = event?;
            let read = match event.get_str("operationType") {
                Ok("insert" | "replace" | "update" | "delete") => self.read_write(event),
                Ok("drop" | "rename" | "dropDatabase" | "invalidate") => return Ok(false),
                _ => continue,
            };
            self.read.push_back(read.unwrap_or_else(|failure| {
                tracing::error!(?failure, "an event of the feed cannot be read");
                RemoteEvent::Reported(TailEvent::Restart)
            }));
        }
        Ok(true)
    }

    fn read_write(&self, event: &RawDocument) -> Result<RemoteEvent, MongoError> {
        let places = &self.context.names;
        let written = event.get_document("fullDocument");
        let namespace = event.get_document("ns").and_then(|ns| ns.get_str("coll"));
        match (namespace, written) {
            (Ok(name), written) if name == places.conflicts => {
                let scope = written.and_then(|written| written.get_str("s"));
                let scope = scope.ok().and_then(|scope| Scope::new(scope).ok());
                Ok(RemoteEvent::Reported(TailEvent::Inbox(scope)))
            }
            (Ok(name), Ok(written)) if name == places.feed => {
                let event = TailEvent::Committed(Arc::from([feed_write(written)?]));
                Ok(RemoteEvent::Reported(event))
            }
            (Ok(name), written) if name == places.state => {
                let key = event.get_document("documentKey")?;
                match StateKey::of(text(key, "_id")?) {
                    Some(StateKey::User(user)) => {
                        let users = UserId::new(user).ok().map(|user| Arc::from([user]));
                        return Ok(RemoteEvent::Reported(TailEvent::Grants(users)));
                    }
                    Some(StateKey::Grants(counter)) => {
                        let value = written.map_err(unreadable)?.get_i64("n");
                        let value = value.map_err(unreadable)?;
                        return Ok(RemoteEvent::Raised(RaisedCounter { counter, value }));
                    }
                    _ => {}
                }
                let epoch = written
                    .ok()
                    .and_then(|written| written.get_str("epoch").ok());
                Ok(match epoch.and_then(|epoch| Epoch::new(epoch).ok()) {
                    Some(epoch) => RemoteEvent::Reported(TailEvent::Epoch(epoch)),
                    None => RemoteEvent::Reported(TailEvent::Restart),
                })
            }
            // Only Tidegate writes there, and it writes whole documents.
            _ => Ok(RemoteEvent::Reported(TailEvent::Restart)),
        }
    }
}

fn feed_write(record: &RawDocument) -> Result<FeedWrite, MongoError> {
    let record = record.as_bytes();
    let (key, scope) = codec::whereabouts(record)?;
    let item = StoredRecord::kept(codec::seq_of(record)?, Bytes::copy_from_slice(record));
    Ok(FeedWrite { scope, key, item })
}

fn stages(context: &MongoContext, excluded: &[Bson]) -> Vec<Document> {
    let places = &context.names;
    let writes = doc! { "$in": ["insert", "replace", "update"] };
    let feed = doc! { "ns.coll": &places.feed, "operationType": writes.clone() };
    let conflicts = doc! { "ns.coll": &places.conflicts };
    let reported = doc! { "$or": [
        { "documentKey._id": FORMAT },
        { "documentKey._id": { "$gt": USERS, "$lt": USERS_END } },
        { "documentKey._id": { "$gt": GRANT_COUNTERS, "$lt": GRANT_COUNTERS_END } },
    ] };
    let state = doc! { "ns.coll": &places.state, "operationType": writes, "$and": [reported] };
    let kept = doc! { "$in": [&places.feed, &places.state, &places.conflicts] };
    let gone = doc! { "ns.coll": kept, "operationType": { "$in": ["drop", "rename"] } };
    let whole = doc! { "operationType": { "$in": ["dropDatabase", "invalidate"] } };
    let read = doc! { "operationType": 1, "ns": 1, "documentKey": 1, "fullDocument": 1 };
    vec![
        // A stage of its own, and the first: MongoDB then applies it to a whole transaction in the oplog, before
        // unpacking that.
        doc! { "$match": { "lsid.id": { "$nin": excluded } } },
        doc! { "$match": { "$or": [feed, conflicts, state, gone, whole] } },
        doc! { "$project": read },
    ]
}
