//! `changesSince`: one page, read in one snapshot of the store.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::{
    checkpoint::{Checkpoint, RequestedTypes},
    decide::DOCUMENT_BYTES_MAX,
    entry::FeedItem,
    id::{Epoch, Scope, TypeName},
    page::{self, PageCursor, PageInputs, PageRequest},
};

use super::{Caller, StoredChange, SyncError, SyncService, in_time};
use crate::{
    limits::Limits,
    quota::Lease,
    store::{ScanRange, Snapshot, StoreError},
};

/// The request of a client.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The client's position; `None` begins at the start.
    pub checkpoint: Option<Checkpoint>,
    /// The types that it wants.
    pub types: RequestedTypes,
    /// The most changes on the page.
    pub limit: usize,
}

impl PullRequest {
    /// Reads what a client sent.
    ///
    /// # Errors
    /// [`SyncError::Checkpoint`] or [`SyncError::Limit`].
    pub fn new(
        checkpoint: Option<&str>,
        types: RequestedTypes,
        limit: i64,
        limits: &Limits,
    ) -> Result<Self, SyncError> {
        let max = limits.page_changes;
        let limit = usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or(SyncError::Limit {
                argument: "limit",
                limit,
                max,
            })?;
        let checkpoint = checkpoint.map(Checkpoint::decode).transpose()?;
        Ok(Self {
            checkpoint,
            types,
            limit,
        })
    }
}

/// The answer to a client.
#[derive(Debug, Clone)]
pub struct Page {
    /// The changes in order, only the last of each document in its scope.
    pub changes: Vec<StoredChange>,
    /// The client's position after the page.
    pub checkpoint: Arc<Checkpoint>,
    /// Whether there is more to read now.
    pub has_more: bool,
    /// Whether the client must drop what it held.
    pub reset: bool,
    /// Scopes that the client held and may no longer see.
    pub revoked: Vec<Scope>,
    /// Counts what was read for it, until the last copy is dropped.
    pub(super) _lease: Option<Arc<Lease>>,
}

impl Page {
    /// The epoch its versions belong to.
    pub fn epoch(&self) -> &Epoch {
        &self.checkpoint.epoch
    }

    /// The decoded changes.
    ///
    /// # Errors
    /// [`SyncError::Internal`].
    pub fn decoded(&self) -> Result<Vec<FeedItem>, SyncError> {
        self.changes.iter().map(StoredChange::decode).collect()
    }

    /// An empty page, for a client at this position.
    pub(super) fn empty(checkpoint: Arc<Checkpoint>) -> Self {
        Self {
            changes: Vec::new(),
            checkpoint,
            has_more: false,
            reset: false,
            revoked: Vec::new(),
            _lease: None,
        }
    }

    fn counted_for(self, caller: &Caller) -> Result<Self, SyncError> {
        let bytes = self.changes.iter().map(StoredChange::bytes).sum();
        Ok(Self {
            _lease: caller.lease(bytes)?,
            ..self
        })
    }

    /// Whether the page changes anything for the client.
    pub(super) fn is_news(&self) -> bool {
        !self.changes.is_empty() || self.reset || !self.revoked.is_empty()
    }
}

impl SyncService {
    /// The limits of all operations.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// One page.
    ///
    /// # Errors
    /// The error of a store's failure, [`SyncError::Busy`] or [`SyncError::Exhausted`].
    pub async fn pull(&self, caller: &Caller, request: PullRequest) -> Result<Page, SyncError> {
        self.pull_within(caller, request, self.limits.page_bytes)
            .await
    }

    /// The same. The page ends with the change that brings its stored bytes to `bytes_max`.
    pub(super) async fn pull_within(
        &self,
        caller: &Caller,
        request: PullRequest,
        bytes_max: usize,
    ) -> Result<Page, SyncError> {
        let limit = request.limit;
        let _reserved = caller.reserve(page_bytes(limit, bytes_max)).await?;
        let page = in_time(async {
            let mut reading = self.read(caller, request).await?;
            let filled = self.fill(&mut reading, limit, bytes_max).await?;
            Ok(reading.into_page(filled.as_ref()))
        });
        page.await?.counted_for(caller)
    }

    /// One page that begins the scopes which grants add to a client's position, and reports those they no longer hold.
    /// It reads no other scope. `None` if the client's epoch has ended.
    pub(super) async fn pull_added(
        &self,
        caller: &Caller,
        at: &Checkpoint,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Option<Page>, SyncError> {
        let _reserved = caller.reserve(page_bytes(limit, bytes_max)).await?;
        let page = in_time(async {
            let (mut snapshot, grants) = self.read_snapshot(caller, &BTreeSet::new()).await?;
            let epoch = snapshot.epoch().clone();
            if epoch != at.epoch {
                return Ok(None);
            }
            let added = page::added(at, &grants).into_iter().cloned().collect();
            let scopes = snapshot.scopes(&added).await?;
            let view = PageInputs {
                epoch: &epoch,
                grants: &grants,
                scopes: &scopes,
                confirmed: &HashMap::new(),
            };
            let cursor = PageCursor::regrant(at.clone(), &view);
            let mut reading = PageReader::new(snapshot, cursor);
            let filled = self.fill(&mut reading, limit, bytes_max).await?;
            Ok(Some(reading.into_page(filled.as_ref())))
        });
        let page = page.await?;
        page.map(|page| page.counted_for(caller)).transpose()
    }

    /// The position of a client that has everything up to now.
    ///
    /// # Errors
    /// The error of a store's failure, or [`SyncError::Busy`].
    pub(super) async fn current_position(
        &self,
        caller: &Caller,
        types: RequestedTypes,
    ) -> Result<Page, SyncError> {
        in_time(async {
            let request = PullRequest {
                checkpoint: None,
                types,
                limit: 1,
            };
            let mut reading = self.read(caller, request).await?;
            for feed_range in reading.cursor.ranges() {
                reading.cursor.advance(&feed_range, feed_range.through);
            }
            Ok(Page {
                reset: false,
                ..reading.into_page(None)
            })
        })
        .await
    }

    /// Opens a snapshot and resumes at the client's position.
    async fn read(&self, caller: &Caller, request: PullRequest) -> Result<PageReader, StoreError> {
        let claimed = caller.claim_grants.scopes().cloned().collect();
        let (mut snapshot, grants) = self.read_snapshot(caller, &claimed).await?;
        let scopes = snapshot.scopes(&grants.scopes().cloned().collect()).await?;
        let mut confirmed = HashMap::new();
        if let Some(checkpoint) = &request.checkpoint {
            for scope in page::seqs_above_head(checkpoint, &grants, &scopes) {
                let head = self.store.confirmed_head(&scope).await?;
                confirmed.insert(scope, head);
            }
        }
        let epoch = snapshot.epoch().clone();
        let view = PageInputs {
            epoch: &epoch,
            grants: &grants,
            scopes: &scopes,
            confirmed: &confirmed,
        };
        let request = PageRequest {
            checkpoint: request.checkpoint,
            types: request.types,
        };
        let cursor = PageCursor::resume(&self.model, request, &view);
        Ok(PageReader::new(snapshot, cursor))
    }

    /// Reads range after range until the page is full. Returns the scope that filled it.
    async fn fill(
        &self,
        reading: &mut PageReader,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Option<Scope>, StoreError> {
        for feed_range in reading.cursor.ranges() {
            let range = ScanRange {
                scope: feed_range.scope.clone(),
                types: Some(self.known(&feed_range.types)),
                removals: feed_range.removals,
                after: feed_range.after,
                through: feed_range.through,
                items_max: limit - reading.changes.len(),
                bytes_max: bytes_max.saturating_sub(reading.bytes),
            };
            let scan = reading.snapshot.scan(&range).await?;
            let last = scan.items.last().map_or(feed_range.after, |item| item.seq);
            reading.cursor.advance(
                &feed_range,
                if scan.complete {
                    feed_range.through
                } else {
                    last
                },
            );
            reading.bytes += scan.bytes;
            reading
                .changes
                .extend(scan.items.into_iter().map(StoredChange::from));
            let full = reading.changes.len() >= limit || reading.bytes >= bytes_max;
            if full || !scan.complete {
                return Ok(Some(feed_range.scope));
            }
        }
        Ok(None)
    }

    /// The requested types that clients see. The store may hold documents of types that the model has retired or no longer
    /// has.
    fn known(&self, types: &RequestedTypes) -> BTreeSet<TypeName> {
        let in_use = self.model.types.iter().filter(|it| !it.retired);
        let names = in_use.map(|document_type| &document_type.stored_as);
        names.filter(|name| types.contain(name)).cloned().collect()
    }
}

/// The most bytes of a page's documents: it ends with the one that brings it to `bytes_max`.
fn page_bytes(limit: usize, bytes_max: usize) -> usize {
    let documents = limit.saturating_mul(DOCUMENT_BYTES_MAX);
    documents.min(bytes_max + DOCUMENT_BYTES_MAX)
}

/// A page during its read.
struct PageReader {
    snapshot: Box<dyn Snapshot>,
    cursor: PageCursor,
    changes: Vec<StoredChange>,
    bytes: usize,
}

impl PageReader {
    fn new(snapshot: Box<dyn Snapshot>, cursor: PageCursor) -> Self {
        Self {
            snapshot,
            cursor,
            changes: Vec::new(),
            bytes: 0,
        }
    }

    fn into_page(mut self, filled: Option<&Scope>) -> Page {
        let has_more = self.cursor.finish(filled);
        let PageCursor {
            reset,
            revoked,
            checkpoint,
            ..
        } = self.cursor;
        Page {
            changes: self.changes,
            checkpoint: Arc::new(checkpoint),
            has_more,
            reset,
            revoked,
            _lease: None,
        }
    }
}
