//! `changesSince`: one page, read in one snapshot of the store.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::{
    checkpoint::{Checkpoint, KnownTypes, Refresh, RequestedTypes, Token},
    decide::DOCUMENT_BYTES_MAX,
    digest::ScopeSums,
    entry::ScopeState,
    generation::{Generation, ModelState},
    grant::Grants,
    id::{Scope, Seq},
    page::{self, PageCursor, PageInputs, PageRequest},
};

use super::{
    Caller, StoredChange, SyncError, SyncService, in_time,
    measured::PageSource,
    page::{Page, PageReader},
};
use crate::{
    limits::Limits,
    store::{ScanRange, Snapshot, StoreError},
};

/// The request of a client.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The client's position; `None` begins at the start.
    pub checkpoint: Option<Token>,
    /// The types that it wants.
    pub types: RequestedTypes,
    /// The types that it wants from the beginning again.
    pub refresh: Refresh,
    /// The scopes that it drops, and wants from the beginning again.
    pub reread: BTreeSet<Scope>,
    /// Whether it wants the digests of scopes.
    pub digests: bool,
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
        let limit = SyncError::bound("limit", limit, limits.page_changes)?;
        Ok(Self {
            checkpoint: checkpoint.map(Token::parse).transpose()?,
            ..Self::from_start(types, limit)
        })
    }

    fn from_start(types: RequestedTypes, limit: usize) -> Self {
        Self {
            checkpoint: None,
            types,
            refresh: Refresh::default(),
            reread: BTreeSet::new(),
            digests: false,
            limit,
        }
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
        let page_bytes = self.limits.page_bytes;
        let page = self.pull_within(caller, request, page_bytes).await?;
        self.measure_page(PageSource::Pull, &page);
        Ok(page)
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
            let asks_digests = request.digests;
            let mut reading = self.read(caller, request).await?;
            let filled = self.fill(&mut reading, limit, bytes_max).await?;
            let sums = match asks_digests {
                true => Some(self.sums(&mut reading).await?),
                false => None,
            };
            let page = reading.into_page(filled.as_ref());
            Ok::<_, SyncError>(Page { sums, ..page })
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
            if snapshot.state().epoch != at.epoch {
                return Ok(None);
            }
            let reader = self.reader(caller, &*snapshot);
            let read = at.tracks.iter().filter(|track| reader.known.read(track));
            let added = read.flat_map(|track| page::added(track, &grants));
            let added = added.cloned().collect();
            let scopes = snapshot.scopes(&added).await?;
            let confirmed = HashMap::new();
            let view = inputs(&*snapshot, &reader, &grants, (&scopes, &confirmed));
            let cursor = PageCursor::regrant(at.clone(), &view);
            let mut reading = Reading::new(snapshot, reader, cursor);
            let filled = self.fill(&mut reading, limit, bytes_max).await?;
            Ok::<_, StoreError>(Some(reading.into_page(filled.as_ref())))
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
            let request = PullRequest::from_start(types, 1);
            let mut reading = self.read(caller, request).await?;
            for feed_range in reading.cursor.ranges() {
                reading.cursor.advance(&feed_range, feed_range.through);
            }
            Ok::<_, SyncError>(Page {
                reset: false,
                ..reading.into_page(None)
            })
        })
        .await
    }

    /// Opens a snapshot and resumes at the client's position.
    async fn read(&self, caller: &Caller, request: PullRequest) -> Result<Reading, SyncError> {
        let claimed = caller.claim_grants.scopes().cloned().collect();
        let (mut snapshot, grants) = self.read_snapshot(caller, &claimed).await?;
        let scopes = snapshot.scopes(&grants.scopes().cloned().collect()).await?;
        let reader = self.reader(caller, &*snapshot);
        let checkpoint = match request.checkpoint {
            Some(token) => opened(token, &reader, &mut *snapshot, &scopes).await?,
            None => None,
        };
        let mut confirmed = HashMap::new();
        if let Some(checkpoint) = &checkpoint {
            let above = page::seqs_above_head(checkpoint, &reader.known, &grants, &scopes);
            for (scope, seq) in above {
                let head = self.store.confirmed_head(&scope).await?;
                confirmed.insert(scope, head);
                // The page is a reset then. Anybody can write a token of format 1 that is above all heads.
                if head < seq {
                    break;
                }
            }
        }
        let view = inputs(&*snapshot, &reader, &grants, (&scopes, &confirmed));
        let request = PageRequest {
            checkpoint,
            types: request.types,
            refresh: request.refresh,
            reread: request.reread,
        };
        let cursor = PageCursor::resume(request, &view);
        Ok(Reading::new(snapshot, reader, cursor))
    }

    /// The sums of the scopes in which the client has everything, by the types of the page.
    async fn sums(&self, reading: &mut Reading) -> Result<BTreeMap<Scope, ScopeSums>, StoreError> {
        let scopes = reading.cursor.caught_up();
        if scopes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let types = reading.cursor.types();
        let mut sums = self.counter.sums(&mut *reading.snapshot, &scopes).await?;
        sums.values_mut().for_each(|sums| sums.retain(&types));
        Ok(sums)
    }

    /// What pages of the snapshot are made with.
    fn reader(&self, caller: &Caller, snapshot: &dyn Snapshot) -> Arc<PageReader> {
        let state = snapshot.state();
        Arc::new(PageReader {
            key: state.token_key.clone(),
            user: caller.identity.user.clone(),
            known: self.known_types(&state.models),
            standing: state.standing,
        })
    }

    /// The numbers of the model's types. They are computed again when the models of the store change.
    fn known_types(&self, models: &Arc<ModelState>) -> Arc<KnownTypes> {
        let mut known = self.known.lock();
        match &*known {
            Some((of, known)) if Arc::ptr_eq(of, models) => Arc::clone(known),
            _ => {
                // Before the first lead, a store has the types of the gateway that asks.
                let own =
                    (models.lead == Generation::default()).then(|| ModelState::of(&self.model));
                let numbered = own.as_ref().unwrap_or(models);
                let computed = Arc::new(KnownTypes::of(&self.model, numbered));
                *known = Some((Arc::clone(models), Arc::clone(&computed)));
                computed
            }
        }
    }

    /// Reads range after range until the page is full. Returns the scope that filled it.
    async fn fill(
        &self,
        reading: &mut Reading,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Option<Scope>, StoreError> {
        for feed_range in reading.cursor.ranges() {
            let range = ScanRange {
                scope: feed_range.scope.clone(),
                types: Some(BTreeSet::clone(&feed_range.types)),
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
}

/// What the core makes a page of: the states of scopes, and heads that were confirmed.
fn inputs<'i>(
    snapshot: &'i dyn Snapshot,
    reader: &'i PageReader,
    grants: &'i Grants,
    (scopes, confirmed): (&'i HashMap<Scope, ScopeState>, &'i HashMap<Scope, Seq>),
) -> PageInputs<'i> {
    PageInputs {
        epoch: &snapshot.state().epoch,
        grants,
        scopes,
        confirmed,
        known: &reader.known,
        standing: reader.standing,
    }
}

/// The checkpoint of a token; `None` if the client has to start again. Names of scopes that the caller may no longer see
/// are looked up, since the page reports them.
async fn opened(
    token: Token,
    reader: &PageReader,
    snapshot: &mut dyn Snapshot,
    scopes: &HashMap<Scope, ScopeState>,
) -> Result<Option<Checkpoint>, SyncError> {
    let Some(token) = token.unseal(&snapshot.state().epoch, &reader.key, &reader.user)? else {
        return Ok(None);
    };
    let mut numbers = token.numbers();
    let granted = scopes.iter();
    let mut names: HashMap<_, _> = granted
        .filter_map(|(scope, state)| Some((state.number?, scope.clone())))
        .collect();
    numbers.retain(|number| !names.contains_key(number));
    if !numbers.is_empty() {
        names.extend(snapshot.scopes_numbered(&numbers).await?);
    }
    Ok(token.checkpoint(&names, &snapshot.state().models))
}

/// The most bytes of a page's documents: it ends with the one that brings it to `bytes_max`.
fn page_bytes(limit: usize, bytes_max: usize) -> usize {
    let documents = limit.saturating_mul(DOCUMENT_BYTES_MAX);
    documents.min(bytes_max + DOCUMENT_BYTES_MAX)
}

/// A page during its read.
struct Reading {
    snapshot: Box<dyn Snapshot>,
    reader: Arc<PageReader>,
    cursor: PageCursor,
    changes: Vec<StoredChange>,
    bytes: usize,
}

impl Reading {
    fn new(snapshot: Box<dyn Snapshot>, reader: Arc<PageReader>, cursor: PageCursor) -> Self {
        Self {
            snapshot,
            reader,
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
            has_more,
            reset,
            revoked,
            ..Page::empty(Arc::new(checkpoint), self.reader)
        }
    }
}
