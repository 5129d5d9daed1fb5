//! The tail: one change stream on the database, of what is written to the feed, to the inbox and to the epoch.
//!
//! Events carry whole records, so that nothing has to be looked up. Where continuity is lost the stream begins anew, and
//! says so.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use mongodb::{
    bson::{Document, RawDocument, RawDocumentBuf, doc, raw::RawBsonRef},
    change_stream::{ChangeStream, event::ResumeToken},
    error::ErrorKind,
};
use tidegate_core::id::{Epoch, Scope};
use tokio::time::{Duration, sleep};

use super::{
    Base,
    failure::{Failure, code},
    places::EPOCH,
    within,
};
use crate::store::{FeedWrite, StoreError, StoredItem, TailEvent, codec};

/// How long the server waits for news before it says that there are none, and where it stands.
const AWAIT: Duration = Duration::from_secs(1);

/// The stream of what is committed, for as long as somebody listens.
pub(super) fn tail(base: Arc<Base>) -> BoxStream<'static, TailEvent> {
    let tail = Tail {
        base,
        open: None,
        token: None,
        transaction: Transaction::default(),
        failures: 0,
    };
    stream::unfold(tail, |mut tail| async move {
        let event = tail.next().await;
        Some((event, tail))
    })
    .boxed()
}

struct Tail {
    base: Arc<Base>,
    open: Option<ChangeStream<RawDocumentBuf>>,
    /// Where it goes on; none where it begins anew. It advances while nothing happens, or it would grow too old.
    token: Option<ResumeToken>,
    transaction: Transaction,
    /// So often it has failed since it last heard something.
    failures: u32,
}

impl Tail {
    async fn next(&mut self) -> TailEvent {
        loop {
            let Some(open) = &mut self.open else {
                match self.open().await {
                    Some(restart) => return restart,
                    None => continue,
                }
            };
            let next = within(self.base.call_max + AWAIT, open.next_if_any());
            match next.await {
                Ok(news) => {
                    self.failures = 0;
                    self.token = open.resume_token();
                    let ended = news.is_none() && !open.is_alive();
                    match news.map(|event| self.read(&event)) {
                        Some(Event::Told(event)) => return event,
                        Some(Event::Broken) => self.begin_anew(),
                        None if ended => self.begin_anew(),
                        Some(Event::Nothing) | None => {}
                    }
                }
                Err(failure) => self.failed(failure).await,
            }
        }
    }

    /// Opens the stream: where it was, and then nothing was missed; or anew, and then that is told.
    async fn open(&mut self) -> Option<TailEvent> {
        let base = Arc::clone(&self.base);
        let watch = base
            .database
            .watch()
            .pipeline(pipeline(&base))
            .max_await_time(AWAIT)
            .resume_after(self.token.clone());
        match base.in_time(watch).await {
            Ok(stream) => {
                let anew = self.token.is_none();
                self.token = stream.resume_token().or(self.token.take());
                self.open = Some(stream.with_type());
                anew.then_some(TailEvent::Restart)
            }
            Err(failure) => {
                self.failed(failure).await;
                None
            }
        }
    }

    /// Where the server says that it cannot go on from the token, it never will; anything else passes.
    async fn failed(&mut self, failure: Failure) {
        self.open = None;
        if is_lost(&failure) {
            self.token = None;
        }
        if self.failures == 0 {
            let error = StoreError::from(failure);
            tracing::warn!(%error, "the change stream is opened again");
        }
        sleep(self.base.pause(self.failures)).await;
        self.failures = self.failures.saturating_add(1);
    }

    fn begin_anew(&mut self) {
        self.open = None;
        self.token = None;
    }

    fn read(&mut self, event: &RawDocument) -> Event {
        let read = match event.get_str("operationType") {
            Ok("insert" | "replace" | "update" | "delete") => self.read_write(event),
            Ok("drop" | "rename" | "dropDatabase" | "invalidate") => return Event::Broken,
            _ => Ok(Event::Nothing),
        };
        read.unwrap_or_else(|failure| {
            let error = StoreError::from(failure);
            tracing::error!(%error, "an event of the feed cannot be read");
            Event::Told(TailEvent::Restart)
        })
    }

    fn read_write(&mut self, event: &RawDocument) -> Result<Event, Failure> {
        let places = &self.base.places;
        let written = event.get_document("fullDocument");
        let namespace = event.get_document("ns").and_then(|ns| ns.get_str("coll"));
        match (namespace, written) {
            (Ok(name), written) if name == places.conflicts => {
                let scope = written.and_then(|written| written.get_str("s"));
                let scope = scope.ok().and_then(|scope| Scope::new(scope).ok());
                Ok(Event::Told(TailEvent::Inbox(scope)))
            }
            (Ok(name), Ok(written)) if name == places.feed => {
                let writes = Arc::from([feed_write(written)?]);
                let transaction = self.transaction.number(event);
                Ok(Event::Told(TailEvent::Committed {
                    transaction,
                    writes,
                }))
            }
            (Ok(name), Ok(written)) if name == places.state => {
                let epoch = written.get_str("epoch").ok();
                Ok(match epoch.and_then(|epoch| Epoch::new(epoch).ok()) {
                    Some(epoch) => Event::Told(TailEvent::Epoch(epoch)),
                    None => Event::Told(TailEvent::Restart),
                })
            }
            // Nobody but Tidegate writes there, and Tidegate writes whole documents.
            _ => Ok(Event::Told(TailEvent::Restart)),
        }
    }
}

fn feed_write(record: &RawDocument) -> Result<FeedWrite, Failure> {
    let record = record.as_bytes();
    let (key, scope) = codec::whereabouts(record)?;
    let item = StoredItem::kept(codec::seq_of(record)?, Bytes::copy_from_slice(record));
    Ok(FeedWrite { scope, key, item })
}

/// What an event amounts to.
enum Event {
    Told(TailEvent),
    Nothing,
    /// What is watched is gone, or another: the stream has to begin anew.
    Broken,
}

fn pipeline(base: &Base) -> [Document; 2] {
    let places = &base.places;
    let writes = doc! { "$in": ["insert", "replace", "update"] };
    let feed = doc! { "ns.coll": &places.feed, "operationType": writes.clone() };
    let conflicts = doc! { "ns.coll": &places.conflicts };
    let epoch =
        doc! { "ns.coll": &places.state, "documentKey._id": EPOCH, "operationType": writes };
    let own = doc! { "$in": [&places.feed, &places.state, &places.conflicts] };
    let own = doc! { "ns.coll": own, "operationType": { "$in": ["drop", "rename"] } };
    let whole = doc! { "operationType": { "$in": ["dropDatabase", "invalidate"] } };
    let kept = doc! { "operationType": 1, "ns": 1, "fullDocument": 1, "lsid": 1, "txnNumber": 1 };
    [
        doc! { "$match": { "$or": [feed, conflicts, epoch, own, whole] } },
        doc! { "$project": kept },
    ]
}

/// Whether the server itself says that what came next is lost, or too large to be told.
fn is_lost(failure: &Failure) -> bool {
    const HISTORY_LOST: i32 = 286;
    const FATAL: i32 = 280;
    const INVALID_TOKEN: i32 = 260;
    const TOO_LARGE: i32 = 10_334;
    match failure {
        Failure::Driver(error) => {
            let codes = [HISTORY_LOST, FATAL, INVALID_TOKEN, TOO_LARGE];
            let named = code(error).is_some_and(|code| codes.contains(&code));
            named || matches!(*error.kind, ErrorKind::MissingResumeToken)
        }
        _ => false,
    }
}

/// Tells transactions apart: their events follow one another, with one session and one number.
#[derive(Default)]
struct Transaction {
    session: Option<Vec<u8>>,
    txn_number: Option<i64>,
    count: u64,
}

impl Transaction {
    /// The number of the event's transaction within this tail. What was written outside of any is alone.
    fn number(&mut self, event: &RawDocument) -> u64 {
        let session = event
            .get_document("lsid")
            .ok()
            .map(|lsid| lsid.as_bytes().to_vec());
        let number = event
            .get("txnNumber")
            .ok()
            .flatten()
            .and_then(RawBsonRef::as_i64);
        if session.is_none() || (&session, number) != (&self.session, self.txn_number) {
            self.count += 1;
        }
        (self.session, self.txn_number) = (session, number);
        self.count
    }
}
