//! `conflicts` and `resolveConflict`: the part of the inbox that a caller may see, and its live form.
//!
//! Pushes decide what goes into the inbox. The core decides how a conflict is resolved.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{Stream, stream};
use tidegate_core::{
    change::BaseVersion,
    decide::DOCUMENT_BYTES_MAX,
    entry::Entry,
    grant::Grants,
    id::{ConflictId, Scope, Version},
    inbox::{InboxPosition, InboxRecord, OpenConflict},
    model::Model,
    push::{CommitRequest, PushOutcome, PushRefusal, Resolution, ResolutionHash, ResolveRequest},
    value::{Timestamp, document_bytes},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{sleep, timeout},
};

use super::{
    Caller, SyncError, SyncService, in_own_task, in_time,
    live::{EXPIRY_GRACE, SubscriptionHandle},
    scopes_bytes,
};
use crate::{
    quota::Lease,
    store::{InboxRange, Snapshot, StoreError},
};

/// The most conflicts a page may be asked for.
const PAGE_MAX: usize = 100;

/// How many are read at a time, since each may hold three whole documents.
const BATCH: usize = 10;

/// What a batch can come to beyond two bounds of its page, of conflicts and of documents: the conflict that passes the
/// first, the document that passes the second, and one that is read alone.
const BATCH_BYTES_MAX: usize = (3 + 1 + 1) * DOCUMENT_BYTES_MAX;

/// The most conflicts that a page examines, whether the caller may see them or not.
const EXAMINED_MAX: usize = 1_000;

/// The requested part of the inbox.
#[derive(Debug, Clone)]
pub struct InboxRequest {
    first: usize,
    after: Option<InboxPosition>,
}

impl InboxRequest {
    /// Reads what a client sent.
    ///
    /// # Errors
    /// [`SyncError::Limit`] or [`SyncError::Cursor`].
    pub fn new(first: i64, after: Option<&str>) -> Result<Self, SyncError> {
        let after = after.map(|cursor| decode(cursor).ok_or(SyncError::Cursor));
        Ok(Self {
            first: SyncError::bound("first", first, PAGE_MAX)?,
            after: after.transpose()?,
        })
    }
}

/// A resolution, and the fingerprint of what its client sent.
#[derive(Debug, Clone)]
pub struct SentResolution {
    /// The version that it was made on.
    pub base: BaseVersion,
    /// The resolution.
    pub resolution: Resolution,
    /// The fingerprint, by which a retry is recognised.
    pub hash: ResolutionHash,
}

impl From<(BaseVersion, Resolution)> for SentResolution {
    /// A resolution whose fields are what was sent.
    fn from((base, resolution): (BaseVersion, Resolution)) -> Self {
        Self {
            hash: ResolutionHash::of(base, &resolution),
            base,
            resolution,
        }
    }
}

/// A part of the inbox, the oldest conflicts first.
#[derive(Debug, Clone)]
pub struct InboxPage {
    /// The conflicts on the page.
    pub entries: Vec<InboxEntry>,
    /// Whether there may be more after them.
    pub has_more: bool,
    /// The position at which the page ends; `None` if the page is empty and the last.
    pub end: Option<String>,
    /// The scopes whose conflicts the page shows.
    scopes: BTreeSet<Scope>,
    /// Counts what was read for it, until the last copy is dropped.
    _lease: Option<Arc<Lease>>,
}

/// A conflict, and its document as it is now.
#[derive(Debug, Clone)]
pub struct InboxEntry {
    /// The conflict.
    pub conflict: Arc<OpenConflict>,
    /// The document's entry, if it still has one.
    pub entry: Option<Arc<Entry>>,
}

impl InboxEntry {
    /// Its position, for [`InboxRequest::new`].
    pub fn cursor(&self) -> String {
        encode(&InboxPosition::from(self.conflict.as_ref()))
    }

    /// The document's version now, 0 if it has none.
    pub fn version(&self) -> Version {
        let entry = self.entry.as_ref();
        entry.map_or(Version::NONE, |entry| entry.version)
    }

    fn bytes(&self) -> usize {
        let current = self.entry.as_ref().and_then(|entry| entry.body.as_ref());
        self.conflict.bytes() + current.map_or(0, document_bytes)
    }
}

impl SyncService {
    /// The conflicts that the caller may resolve, the oldest first.
    ///
    /// # Errors
    /// The error of a store's failure, or [`SyncError::Busy`].
    pub async fn conflicts(
        &self,
        caller: &Caller,
        request: &InboxRequest,
    ) -> Result<InboxPage, SyncError> {
        self.conflicts_within(caller, request, self.limits.page_bytes)
            .await
    }

    async fn conflicts_within(
        &self,
        caller: &Caller,
        request: &InboxRequest,
        bytes_max: usize,
    ) -> Result<InboxPage, SyncError> {
        let _reserved = caller.reserve(2 * bytes_max + BATCH_BYTES_MAX).await?;
        let page = in_time(async {
            let (mut snapshot, grants) = self.read_snapshot(caller, &BTreeSet::new()).await?;
            let mut reading = InboxReader {
                bytes_left: bytes_max,
                request,
                range: InboxRange {
                    scopes: grants.writable().cloned().collect(),
                    after: request.after.clone(),
                    items_max: BATCH,
                    bytes_max,
                },
                model: &self.model,
                grants: &grants,
                entries: Vec::new(),
            };
            let has_more = reading.read(snapshot.as_mut()).await?;
            Ok::<_, StoreError>(reading.into_page(has_more))
        });
        let page = page.await?;
        let bytes = page.entries.iter().map(InboxEntry::bytes).sum();
        Ok(InboxPage {
            _lease: caller.lease(bytes)?,
            ..page
        })
    }

    /// Resolves a conflict, or returns the result of the same resolution before.
    ///
    /// # Errors
    /// [`SyncError::Push`] with [`PushRefusal::ConflictNotFound`]. A store's failure and [`SyncError::Busy`]: it may
    /// have been resolved; the same request again returns the result.
    pub async fn resolve(
        &self,
        caller: &Caller,
        conflict: ConflictId,
        sent: impl Into<SentResolution>,
    ) -> Result<PushOutcome, SyncError> {
        let resolving = self.resolve_unmeasured(caller, conflict, sent.into());
        self.measured_push(caller, None, resolving).await
    }

    async fn resolve_unmeasured(
        &self,
        caller: &Caller,
        conflict: ConflictId,
        sent: SentResolution,
    ) -> Result<PushOutcome, SyncError> {
        let SentResolution {
            base,
            resolution,
            hash,
        } = sent;
        let record = in_time(async { self.store.snapshot().await?.conflict(&conflict).await });
        let key = record.await?.map(|record| match record {
            InboxRecord::Open(open) => open.key.clone(),
            InboxRecord::Resolved(settled) => settled.key.clone(),
        });
        // A store knows no documents of a type that the model lacks.
        let key = key.filter(|key| self.model.stored_type(&key.type_name).is_some());
        let request = ResolveRequest {
            identity: caller.identity.clone(),
            claim_grants: caller.claim_grants.clone(),
            conflict,
            key: key.ok_or(PushRefusal::ConflictNotFound)?,
            base,
            resolution,
            hash,
        };
        let request = CommitRequest::Resolve(Arc::new(request));
        let resolved = self.commits.send(request, caller.record().cloned()).await;
        Ok(resolved??)
    }

    /// The beginning of the inbox, at once and again whenever its conflicts change. Each time all of it is sent, so its
    /// bytes have the same bound as a live page of changes. The stream ends with the first error.
    pub fn follow_conflicts(
        self: Arc<Self>,
        caller: Caller,
        request: InboxRequest,
    ) -> impl Stream<Item = Result<InboxPage, SyncError>> + Send {
        if let Some(record) = caller.record() {
            record.subscribed();
        }
        let follower = InboxSubscription {
            news: self.live.inboxes(),
            grants: self.live.register(&caller.identity.user),
            sync: self,
            caller,
            request,
            lease: None,
            shown: None,
        };
        stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            let page = follower.next().await;
            let goes_on = page.is_ok();
            Some((page, goes_on.then_some(follower)))
        })
    }
}

/// A page of the inbox during its read.
struct InboxReader<'r> {
    request: &'r InboxRequest,
    model: &'r Model,
    grants: &'r Grants,
    range: InboxRange,
    entries: Vec<InboxEntry>,
    bytes_left: usize,
}

impl InboxReader<'_> {
    /// Reads until the page is full. Returns whether there may be more.
    async fn read(&mut self, snapshot: &mut dyn Snapshot) -> Result<bool, StoreError> {
        for _ in 0..EXAMINED_MAX / BATCH {
            self.range.bytes_max = self.bytes_left;
            let scan = snapshot.conflicts(&self.range).await?;
            let keys = scan.conflicts.iter().map(|open| open.key.clone()).collect();
            let read = snapshot.entries(&keys, self.bytes_left).await?;
            for conflict in scan.conflicts {
                if self.is_full() {
                    return Ok(true);
                }
                let key = &conflict.key;
                let entry = if read.left_out.contains(key) {
                    let alone = snapshot.entries(&[key.clone()].into(), 0).await?;
                    alone.found.into_values().next()
                } else {
                    read.found.get(key).cloned()
                };
                self.examine(conflict, entry);
            }
            self.range.after = scan.end.or_else(|| self.range.after.take());
            if !scan.has_more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.request.first || self.bytes_left == 0
    }

    /// Adds the conflict if the caller may see it. The conflict's scope is where its document was at the last commit;
    /// the entry decides.
    fn examine(&mut self, conflict: Arc<OpenConflict>, entry: Option<Arc<Entry>>) {
        self.range.after = Some(InboxPosition::from(conflict.as_ref()));
        let in_place = entry
            .as_ref()
            .is_none_or(|entry| entry.scope == conflict.scope);
        if in_place && conflict.is_open_to(self.model, self.grants) {
            let entry = InboxEntry { conflict, entry };
            self.bytes_left = self.bytes_left.saturating_sub(entry.bytes());
            self.entries.push(entry);
        }
    }

    fn into_page(self, has_more: bool) -> InboxPage {
        InboxPage {
            entries: self.entries,
            has_more,
            end: self.range.after.as_ref().map(encode),
            scopes: self.range.scopes,
            _lease: None,
        }
    }
}

/// A subscriber of an inbox.
struct InboxSubscription {
    sync: Arc<SyncService>,
    caller: Caller,
    request: InboxRequest,
    news: Receiver<Option<Scope>>,
    /// Wakes the subscriber when the caller's grants may have changed.
    grants: SubscriptionHandle,
    /// Counts what it takes while it waits.
    lease: Option<Lease>,
    /// The page sent last.
    shown: Option<ShownPage>,
}

/// The identity of a page of the inbox, without its documents. A subscriber keeps it while it waits.
#[derive(PartialEq)]
struct ShownPage {
    conflicts: Vec<ConflictId>,
    has_more: bool,
    scopes: BTreeSet<Scope>,
}

impl From<&InboxPage> for ShownPage {
    fn from(page: &InboxPage) -> Self {
        let entries = page.entries.iter();
        Self {
            conflicts: entries.map(|entry| entry.conflict.id.clone()).collect(),
            has_more: page.has_more,
            scopes: page.scopes.clone(),
        }
    }
}

impl InboxSubscription {
    /// The next page that differs from the last.
    async fn next(&mut self) -> Result<InboxPage, SyncError> {
        self.caller.hold(&mut self.lease, 0)?;
        loop {
            if self.shown.is_some() {
                self.news_or_expiry().await?;
            }
            if self.sync.now() >= self.caller.identity.expires_at {
                sleep(EXPIRY_GRACE).await;
                return Err(SyncError::Expired);
            }
            // The next read covers all events up to now, also those during the sending of the last page.
            self.news = self.news.resubscribe();
            let limits = self.sync.limits();
            let bytes_max = limits.live_page_bytes.min(limits.page_bytes);
            let (sync, caller) = (Arc::clone(&self.sync), self.caller.clone());
            let request = self.request.clone();
            let page =
                in_own_task(
                    async move { sync.conflicts_within(&caller, &request, bytes_max).await },
                );
            let page = page.await?;
            self.caller
                .hold(&mut self.lease, scopes_bytes(page.scopes.iter()))?;
            let shown = Some(ShownPage::from(&page));
            if self.shown != shown {
                self.shown = shown;
                return Ok(page);
            }
        }
    }

    /// Waits for news of a scope in which the caller may resolve conflicts, at the longest until its token expires.
    async fn news_or_expiry(&mut self) -> Result<(), SyncError> {
        let left = self.sync.left_of_token(&self.caller);
        let news = async {
            tokio::select! {
                () = self.grants.woken() => Ok(()),
                news = news_for_caller(&mut self.news, self.shown.as_ref()) => news,
            }
        };
        timeout(left, news).await.unwrap_or(Ok(()))
    }
}

async fn news_for_caller(
    news: &mut Receiver<Option<Scope>>,
    shown: Option<&ShownPage>,
) -> Result<(), SyncError> {
    let watches = |scope: &Scope| shown.is_none_or(|shown| shown.scopes.contains(scope));
    loop {
        match news.recv().await {
            Ok(Some(scope)) if !watches(&scope) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return Ok(()),
            Err(RecvError::Closed) => return Err(SyncError::Busy),
        }
    }
}

fn encode(position: &InboxPosition) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", position.opened_at.ms(), position.id))
}

fn decode(cursor: &str) -> Option<InboxPosition> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (at, id) = text.split_once(' ')?;
    Some(InboxPosition {
        opened_at: Timestamp::from_ms(at.parse().ok()?).ok()?,
        id: ConflictId::new(id).ok()?,
    })
}
