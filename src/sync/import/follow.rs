//! One term of an importer: it follows what others write, between steps of the scans.
//!
//! A position counts as reached once all that came before it is stamped. A term that ends loses nothing: the next one
//! begins at what was saved.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tidegate_core::{
    generation::{self, reading},
    id::TypeName,
    mutant::{Mutant, is_active},
    transaction::Fence,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Importer, ImporterState, LEASE_EVERY, TermEnd,
    arrived::Arrived,
    freed::FreedWatch,
    log::ImportLog,
    plan::{CollectionNow, may_be_back, needs_scan, ranked},
    progress::ProgressKeeper,
    scan::{ActiveScan, CountedCollection, HeldLook},
    throttle::Throttle,
};
use crate::{
    store::{
        StoreError,
        collections::{
            CollectionId, FollowError, ForeignBatch, ImportProgress, ScanPhase, TypeScan,
        },
    },
    sync::{STORE_DEADLINE, rotate_epoch_under},
};

/// How often the importer looks which collections there are, and what operators accepted.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What others write, and where it begins if nothing before is known.
struct Followed {
    stream: BoxStream<'static, Result<ForeignBatch, FollowError>>,
    first: Option<ForeignBatch>,
    /// Whether the history up to its beginning is lost.
    is_after_loss: bool,
}

/// The importer while it holds the lease.
pub(super) struct Term<'i> {
    pub(super) importer: &'i Importer,
    pub(super) fence: Fence,
    pub(super) renewed_at: Instant,
    /// The types in the order in which they are imported, with their shapes.
    types: Vec<(TypeName, String)>,
    pub(super) progress: ProgressKeeper,
    /// How often the lead had changed when the lease was taken. A further change ends the lease.
    pub(super) lead_term: generation::Term,
    /// Types whose documents are not all in the scopes that the leading model gives them.
    pub(super) moving: BTreeSet<TypeName>,
    /// Which collections there were at the last look.
    pub(super) identities: BTreeMap<TypeName, CollectionId>,
    /// When to look for them again.
    look_at: Instant,
    stream: BoxStream<'static, Result<ForeignBatch, FollowError>>,
    arrived: Arrived,
    pub(super) throttle: Throttle,
    pub(super) freed: FreedWatch,
    pub(super) scan: Option<ActiveScan>,
    /// When and on which collections types were held in this term.
    pub(super) held: BTreeMap<TypeName, HeldLook>,
    /// Collections of held types whose number of documents no longer changes.
    pub(super) settled: BTreeMap<TypeName, CountedCollection>,
    pub(super) log: ImportLog,
}

impl<'i> Term<'i> {
    /// Opens the stream and marks the types that need a scan. A position from now and the scans that it needs are saved
    /// in one write, before anything is scanned (rules.md 8.3, 8.4).
    pub(super) async fn begin(
        importer: &'i Importer,
        fence: Fence,
        lost: Option<FollowError>,
    ) -> Result<Self, TermEnd> {
        let collections = importer.collections.as_ref();
        let renewed_at = Instant::now();
        let lead = importer.store.models().record().await?.state;
        let progress = collections.progress().await?;
        let followed = importer.follow(fence, &progress, lost).await?;
        let types = ranked(&importer.model);
        let types = types.map(|it| (it.stored_as.clone(), reading(&importer.model, it)));
        let mut term = Self {
            importer,
            fence,
            renewed_at,
            types: types.collect(),
            progress: ProgressKeeper::new(progress),
            lead_term: lead.term,
            moving: lead.moving.clone(),
            identities: collections.identities().await?,
            look_at: Instant::now() + LOOK_EVERY,
            stream: followed.stream,
            arrived: Arrived::default(),
            throttle: Throttle::new(importer.pushes.counted()),
            freed: FreedWatch::of(&importer.model),
            scan: None,
            held: BTreeMap::new(),
            settled: BTreeMap::new(),
            log: ImportLog::default(),
        };
        importer.metrics.stream_opens.inc();
        importer.enter(ImporterState::Works);
        let is_unscanned = followed.is_after_loss && is_active(Mutant::LostUnscanned);
        term.mark_scans(followed.first.is_some() && !is_unscanned);
        if let Some(first) = followed.first {
            term.progress.advance(first.position.clone(), true);
            term.arrived.take(first);
        }
        if term.progress.due().is_some() {
            term.save().await?;
        }
        term.settle_moved().await?;
        tracing::info!(
            scans = term.scans(),
            "this gateway imports what other services write"
        );
        Ok(term)
    }

    /// Marks the types that need a scan, or all of them. What was held is looked at again.
    fn mark_scans(&mut self, all: bool) {
        for (type_name, shape) in &self.types {
            let (record, present) = (
                self.progress.record(type_name),
                self.identities.get(type_name),
            );
            let is_needed = all || needs_scan(record, present, shape);
            let is_held = record.is_some_and(|record| record.held.is_some());
            if !is_needed && !is_held {
                continue;
            }
            let goes_on = !all && record.is_some_and(|record| record.shape == *shape);
            let record = self.progress.change(type_name);
            record.shape.clone_from(shape);
            if record.collection.is_none() {
                record.collection = present.cloned();
            }
            let scan = record.scan.take().filter(|_| goes_on);
            record.scan = Some(scan.unwrap_or(TypeScan {
                phase: match is_needed {
                    true => ScanPhase::Documents,
                    false => ScanPhase::Count,
                },
                ..TypeScan::default()
            }));
        }
    }

    /// A type that waits for no scan has been scanned under this lead, by a gateway that died before it said so.
    async fn settle_moved(&mut self) -> Result<(), TermEnd> {
        let moving = self.moving.iter();
        let moved = moving.filter(|name| !self.is_scanned(name));
        for type_name in moved.cloned().collect::<Vec<_>>() {
            self.moved(&type_name).await?;
        }
        Ok(())
    }

    /// All documents of the type have been compared under the leading model.
    pub(super) async fn moved(&mut self, type_name: &TypeName) -> Result<(), TermEnd> {
        if self.moving.remove(type_name) {
            let models = self.importer.store.models();
            models.moved(self.lead_term, type_name).await?;
        }
        Ok(())
    }

    /// How many types wait for a scan.
    fn scans(&self) -> usize {
        let names = self.types.iter().map(|(name, _)| name);
        names.filter(|name| self.is_scanned(name)).count()
    }

    fn is_scanned(&self, type_name: &TypeName) -> bool {
        let record = self.progress.record(type_name);
        record.is_some_and(|record| record.scan.is_some())
    }

    /// The type whose scan goes on.
    pub(super) fn next_scan(&self) -> Option<TypeName> {
        let mut names = self.types.iter().map(|(name, _)| name);
        names.find(|name| self.is_scanned(name)).cloned()
    }

    /// Goes on until the lease is lost or something fails.
    pub(super) async fn run(mut self) -> Result<Infallible, TermEnd> {
        loop {
            self.renew_if_due().await?;
            self.look_if_due().await?;
            let is_deaf = is_active(Mutant::PositionAfterScan) && self.next_scan().is_some();
            let has_followed = !is_deaf && self.stamp_arrived().await?;
            let has_freed = self.stamp_freed().await?;
            let has_scanned = self.scan_step().await?;
            if is_deaf && self.next_scan().is_none() {
                self.follow_from_now().await?;
            }
            self.save_if_due().await?;
            if !has_followed && !has_freed && !has_scanned {
                self.wait().await?;
            }
        }
    }

    pub(super) async fn renew_if_due(&mut self) -> Result<(), TermEnd> {
        if self.renewed_at.elapsed() < LEASE_EVERY {
            return Ok(());
        }
        let renewed_at = Instant::now();
        if self.importer.renew().await? != self.fence {
            let reason = "the lease had ended, and was taken again";
            return Err(StoreError::Unavailable(reason.to_owned()).into());
        }
        self.renewed_at = renewed_at;
        Ok(())
    }

    /// Stamps what the stream has brought. Returns whether that was anything.
    async fn stamp_arrived(&mut self) -> Result<bool, TermEnd> {
        while !self.arrived.is_full() {
            match self.stream.next().now_or_never() {
                Some(batch) => self.arrived.take(batch.ok_or_else(ended)??),
                None => break,
            }
        }
        let arrived = std::mem::take(&mut self.arrived);
        let Some(position) = arrived.position else {
            return Ok(false);
        };
        if is_active(Mutant::PositionBeforeStamps) {
            self.progress.advance(position.clone(), true);
            self.save().await?;
        }
        let has_writes = !arrived.keys.is_empty() || !arrived.collections.is_empty();
        self.stamp(arrived.keys).await?;
        for type_name in &arrived.collections {
            self.scan_again(type_name);
            self.look_at = Instant::now();
        }
        self.progress.advance(position, has_writes);
        Ok(has_writes)
    }

    /// Begins the scan of a type, or begins it again.
    pub(super) fn scan_again(&mut self, type_name: &TypeName) {
        self.scan = self.scan.take().filter(|scan| scan.type_name != *type_name);
        self.held.remove(type_name);
        self.importer.enter(ImporterState::Works);
        let present = self.identities.get(type_name);
        let record = self.progress.change(type_name);
        record.scan = Some(TypeScan::default());
        if record.collection.is_none() {
            record.collection = present.cloned();
        }
    }

    /// Looks for collections that were dropped, made or renamed, and for what an operator accepted.
    async fn look_if_due(&mut self) -> Result<(), TermEnd> {
        if Instant::now() < self.look_at {
            return Ok(());
        }
        let collections = self.importer.collections.as_ref();
        self.identities = collections.identities().await?;
        if self.progress.has_held() {
            let stored = collections.progress().await?;
            self.progress.accept_deletes(&stored);
        }
        for (type_name, shape) in self.types.clone() {
            if self.is_outdated(&type_name, &shape).await? {
                self.scan_again(&type_name);
            }
        }
        self.look_at = Instant::now() + LOOK_EVERY;
        Ok(())
    }

    /// Whether the type has to be scanned from the beginning.
    async fn is_outdated(&mut self, type_name: &TypeName, shape: &str) -> Result<bool, TermEnd> {
        let present = self.identities.get(type_name);
        let record = self.progress.record(type_name);
        if record.is_some_and(|record| record.scan.is_some()) {
            let active = self.scan.as_ref();
            let active = active.filter(|scan| scan.type_name == *type_name);
            return Ok(active.is_some_and(|scan| scan.collection.as_ref() != present));
        }
        let Some((record, held)) = record.and_then(|record| Some((record, record.held?))) else {
            return Ok(needs_scan(record, present, shape));
        };
        let look = self.held.get_mut(type_name);
        let Some(look) = look.filter(|look| look.counted.collection.as_ref() == present) else {
            return Ok(true);
        };
        if record.accepts_deletes || present.is_none() || !look.is_due() {
            return Ok(record.accepts_deletes);
        }
        let now = CollectionNow::of(record.collection.as_ref(), present);
        let documents = self.importer.collections.count(type_name).await?;
        let is_settled = look.count(documents);
        if is_settled {
            self.settled.insert(type_name.clone(), look.counted.clone());
        }
        let may_be_filled = now == CollectionNow::Another && !is_settled;
        Ok(!may_be_filled && may_be_back(documents, held, now))
    }

    async fn save_if_due(&mut self) -> Result<(), TermEnd> {
        match self.progress.due() {
            Some(due) if due <= Instant::now() => self.save().await,
            _ => Ok(()),
        }
    }

    /// Saves what is true by now.
    pub(super) async fn save(&mut self) -> Result<(), TermEnd> {
        let collections = self.importer.collections.as_ref();
        self.progress.save(collections, self.fence).await
    }

    /// Waits for what others write, or until something else is due.
    async fn wait(&mut self) -> Result<(), TermEnd> {
        let renewal = self.renewed_at + LEASE_EVERY;
        let due = renewal.min(self.look_at);
        let due = self.freed.due().map_or(due, |look| look.min(due));
        let due = self.progress.due().map_or(due, |save| save.min(due));
        self.importer.enter(ImporterState::Follows);
        if let Ok(batch) = timeout_at(due, self.stream.next()).await {
            self.arrived.take(batch.ok_or_else(ended)??);
        }
        Ok(())
    }

    /// Forgets what others wrote up to now.
    async fn follow_from_now(&mut self) -> Result<(), TermEnd> {
        let (stream, first) = self.importer.follow_now().await?;
        self.stream = stream;
        self.progress.advance(first.position, true);
        Ok(())
    }
}

fn ended() -> FollowError {
    StoreError::Unavailable("the stream of others' writes ended".to_owned()).into()
}

impl Importer {
    /// Follows from the position that was saved. Without one, or if the history since then is lost, it follows from now.
    async fn follow(
        &self,
        fence: Fence,
        progress: &ImportProgress,
        lost: Option<FollowError>,
    ) -> Result<Followed, TermEnd> {
        let lost = match (&progress.position, lost) {
            (Some(position), None) => match self.collections.follow(Some(position)).await {
                Ok(stream) => {
                    return Ok(Followed {
                        stream,
                        first: None,
                        is_after_loss: false,
                    });
                }
                Err(FollowError::Store(error)) => return Err(error.into()),
                Err(lost) => Some(lost),
            },
            (_, lost) => lost,
        };
        if let Some(lost) = &lost {
            self.note_lost(fence, lost).await?;
        }
        let (stream, first) = self.follow_now().await?;
        Ok(Followed {
            stream,
            first: Some(first),
            is_after_loss: lost.is_some(),
        })
    }

    async fn follow_now(
        &self,
    ) -> Result<
        (
            BoxStream<'static, Result<ForeignBatch, FollowError>>,
            ForeignBatch,
        ),
        TermEnd,
    > {
        let mut stream = self.collections.follow(None).await?;
        let first = timeout(STORE_DEADLINE, stream.next()).await;
        let first = first.ok().flatten().ok_or_else(ended)??;
        Ok((stream, first))
    }

    /// Says what is lost and what follows from it. A store that was restored or replaced gets a new epoch, before the
    /// position in it is saved: a term that ends between the two makes another epoch, and none is missed.
    async fn note_lost(&self, fence: Fence, lost: &FollowError) -> Result<(), TermEnd> {
        match lost {
            FollowError::Replaced(reason) => {
                tracing::warn!(
                    reason,
                    "the store was restored or replaced: all clients reset, and all collections are compared with the feed"
                );
                let epoch = (self.new_epoch)();
                Ok(rotate_epoch_under(self.store.as_ref(), epoch, Some(fence)).await?)
            }
            lost => {
                tracing::warn!(
                    reason = %lost,
                    "what other services wrote meanwhile cannot be followed: all collections are compared with the feed; give MongoDB a longer oplog if this happens again"
                );
                Ok(())
            }
        }
    }
}
