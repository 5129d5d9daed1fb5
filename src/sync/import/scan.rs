//! Scans: a collection is compared with the feed, and the feed with the collection (rules.md 8.5). A scan only proposes
//! which documents to stamp.
//!
//! Its second part first counts what is missing in the collection. If that is doubtful, the type is held, and nothing is
//! deleted (rules.md 8.6).

use std::time::Duration;

use tidegate_core::{
    id::{DocumentId, DocumentKey, TypeName},
    mutant::{Mutant, is_active},
};
use tokio::time::Instant;

use super::{
    Importer, TermEnd,
    follow::Term,
    plan::{CollectionNow, MISSING_MAX, Verdict, judge},
    throttle::DOCUMENTS_MAX,
};
use crate::store::{
    StoreError,
    collections::{CollectionId, HeldType, ScanPhase, TypeImport, TypeScan, WalkPosition},
};

/// The fewest documents that a step of a walk reads, however few a transaction stamps.
const WALK_MIN: usize = 50;

/// How often a collection that lost documents is counted, in case they are back. One that was made again is settled if
/// its number of documents stays the same for so long.
const COUNT_EVERY: Duration = Duration::from_secs(20);

/// The scan under way.
pub(super) struct ActiveScan {
    pub(super) type_name: TypeName,
    /// The collection that is scanned, if there is one.
    pub(super) collection: Option<CollectionId>,
    /// What the part `Count` has found.
    found: HeldType,
    /// The documents that are missing, as long as they are at most [`MISSING_MAX`].
    missing: Vec<DocumentKey>,
}

/// A collection and the number of its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountedCollection {
    pub(super) collection: Option<CollectionId>,
    pub(super) documents: u64,
}

/// The collection of a held type at the last count.
pub(super) struct HeldLook {
    pub(super) counted: CountedCollection,
    counted_at: Instant,
}

impl HeldLook {
    /// Whether its documents may be counted again.
    pub(super) fn is_due(&self) -> bool {
        self.counted_at.elapsed() >= COUNT_EVERY
    }

    /// Takes a new count. Returns whether it is the same as before.
    pub(super) fn count(&mut self, documents: u64) -> bool {
        self.counted_at = Instant::now();
        std::mem::replace(&mut self.counted.documents, documents) == documents
    }
}

impl Term<'_> {
    /// Takes one step of the first scan that is not done. Returns whether there was one.
    pub(super) async fn scan_step(&mut self) -> Result<bool, TermEnd> {
        let Some(type_name) = self.next_scan() else {
            return Ok(false);
        };
        let active = self.scan.take().filter(|scan| scan.type_name == type_name);
        let active = match active {
            Some(active) => active,
            None => self.begin_scan(type_name.clone()).await?,
        };
        self.scan = match self.scan_of(&type_name).phase {
            ScanPhase::Documents => self.walk_documents(active).await?,
            ScanPhase::Count => self.count_entries(active).await?,
            ScanPhase::Entries => self.walk_entries(active).await?,
        };
        self.log
            .progress(&type_name, self.progress.record(&type_name));
        Ok(true)
    }

    /// Goes on where an earlier term stopped, if that was in the same collection. What was counted has to be counted
    /// again.
    async fn begin_scan(&mut self, type_name: TypeName) -> Result<ActiveScan, TermEnd> {
        let collection = self.identities.get(&type_name).cloned();
        let documents = match &collection {
            Some(_) => self.importer.collections.count(&type_name).await?,
            None => 0,
        };
        let record = self.progress.change(&type_name);
        let (is_same, accepts_deletes) = (record.collection == collection, record.accepts_deletes);
        let scan = record.scan.get_or_insert_default();
        let phase = match scan.phase {
            _ if collection.is_none() => ScanPhase::Count,
            _ if !is_same => ScanPhase::Documents,
            ScanPhase::Entries if !accepts_deletes => ScanPhase::Count,
            phase => phase,
        };
        if !is_same || phase != scan.phase || phase == ScanPhase::Count {
            *scan = TypeScan {
                phase,
                ..TypeScan::default()
            };
        }
        scan.total = documents.saturating_mul(2).max(scan.done);
        self.log.begins(&type_name, documents);
        Ok(ActiveScan {
            type_name,
            collection,
            found: HeldType {
                missing: 0,
                expected: 0,
            },
            missing: Vec::new(),
        })
    }

    fn scan_of(&mut self, type_name: &TypeName) -> &mut TypeScan {
        let record = self.progress.change(type_name);
        record.scan.get_or_insert_default()
    }

    /// From the collection to the feed.
    async fn walk_documents(&mut self, active: ActiveScan) -> Result<Option<ActiveScan>, TermEnd> {
        let type_name = active.type_name.clone();
        let limit = self.throttle.documents().max(WALK_MIN);
        let after = self.scan_of(&type_name).after.clone();
        let collections = self.importer.collections.as_ref();
        let walk = collections
            .documents(&type_name, after.as_ref(), limit)
            .await?;
        if is_active(Mutant::CursorBeforeStamps) {
            self.scan_of(&type_name).after.clone_from(&walk.next);
            self.save().await?;
        }
        self.stamp(walk.keys).await?;
        let scan = self.scan_of(&type_name);
        scan.done += walk.passed;
        scan.total = scan.total.max(scan.done);
        scan.after = walk.next;
        if scan.after.is_some() {
            return Ok(Some(active));
        }
        scan.phase = ScanPhase::Count;
        match is_active(Mutant::ScanOneWay) {
            true => self.finish(active).await,
            false => Ok(Some(active)),
        }
    }

    /// From the feed to the collection, without deleting.
    async fn count_entries(
        &mut self,
        mut active: ActiveScan,
    ) -> Result<Option<ActiveScan>, TermEnd> {
        let Some(missing) = self.next_missing(&active.type_name).await? else {
            return self.conclude(active).await;
        };
        let found = &mut active.found;
        found.expected += missing.looked_at;
        found.missing += missing.keys.len() as u64;
        if found.missing <= MISSING_MAX {
            active.missing.extend(missing.keys);
        }
        Ok(Some(active))
    }

    /// The same, and deletes what is missing.
    async fn walk_entries(&mut self, active: ActiveScan) -> Result<Option<ActiveScan>, TermEnd> {
        match self.next_missing(&active.type_name).await? {
            Some(missing) => {
                self.stamp(missing.keys).await?;
                Ok(Some(active))
            }
            None => self.finish(active).await,
        }
    }

    /// Reads the next entries, and which of their documents are missing; `None` at the end.
    async fn next_missing(&mut self, type_name: &TypeName) -> Result<Option<Missing>, TermEnd> {
        let after = self
            .scan_of(type_name)
            .after
            .as_ref()
            .map(id_of)
            .transpose()?;
        let collections = self.importer.collections.as_ref();
        let expected = collections
            .expected(type_name, after.as_ref(), DOCUMENTS_MAX)
            .await?;
        let Some(last) = expected.last() else {
            return Ok(None);
        };
        let keys = collections.missing(&expected).await?;
        let looked_at = expected.len() as u64;
        let scan = self.scan_of(type_name);
        scan.done += looked_at;
        scan.total = scan.total.max(scan.done);
        scan.after = Some(WalkPosition(last.id.as_str().into()));
        Ok(Some(Missing { keys, looked_at }))
    }

    /// Decides what becomes of the documents that are missing, by how the collections are now.
    async fn conclude(&mut self, active: ActiveScan) -> Result<Option<ActiveScan>, TermEnd> {
        let type_name = active.type_name.clone();
        let collections = self.importer.collections.as_ref();
        self.identities = collections.identities().await?;
        if self.identities.get(&type_name) != active.collection.as_ref() {
            self.scan_again(&type_name);
            return Ok(None);
        }
        self.progress.accept_deletes(&collections.progress().await?);
        let record = self.progress.change(&type_name);
        let now = CollectionNow::of(record.collection.as_ref(), active.collection.as_ref());
        let accepts_deletes = record.accepts_deletes;
        let counted = self.importer.count(&active).await?;
        let is_settled = self.settled.get(&type_name) == Some(&counted);
        match judge(active.found, now, is_settled, accepts_deletes) {
            Verdict::Hold => self.hold(active, counted, now).await,
            Verdict::Delete => self.delete_missing(active).await,
        }
    }

    /// Deletes what is missing. From now on it is missing in the collection that was imported, so it is not held.
    async fn delete_missing(
        &mut self,
        mut active: ActiveScan,
    ) -> Result<Option<ActiveScan>, TermEnd> {
        let record = self.progress.change(&active.type_name);
        record.collection.clone_from(&active.collection);
        record.held = None;
        let scan = self.scan_of(&active.type_name);
        (scan.phase, scan.after) = (ScanPhase::Entries, None);
        if active.found.missing == 0 {
            return self.finish(active).await;
        }
        self.save().await?;
        if active.found.missing > MISSING_MAX {
            return Ok(Some(active));
        }
        self.stamp(std::mem::take(&mut active.missing)).await?;
        self.finish(active).await
    }

    async fn hold(
        &mut self,
        active: ActiveScan,
        counted: CountedCollection,
        now: CollectionNow,
    ) -> Result<Option<ActiveScan>, TermEnd> {
        let record = self.progress.change(&active.type_name);
        record.scan = None;
        record.held = Some(active.found);
        self.save().await?;
        let name = self.importer.model.type_name(active.type_name.as_str());
        self.log.held(name, active.found, now);
        let look = HeldLook {
            counted,
            counted_at: Instant::now(),
        };
        self.held.insert(active.type_name, look);
        Ok(None)
    }

    async fn finish(&mut self, active: ActiveScan) -> Result<Option<ActiveScan>, TermEnd> {
        let record = self.progress.change(&active.type_name);
        let scan = record.scan.take().unwrap_or_default();
        *record = TypeImport {
            collection: active.collection,
            shape: std::mem::take(&mut record.shape),
            ..TypeImport::default()
        };
        self.save().await?;
        self.moved(&active.type_name).await?;
        self.log.finished(&active.type_name, &scan);
        Ok(None)
    }
}

impl Importer {
    /// Counts the documents of the collection that was scanned.
    async fn count(&self, active: &ActiveScan) -> Result<CountedCollection, TermEnd> {
        let documents = match &active.collection {
            Some(_) => self.collections.count(&active.type_name).await?,
            None => 0,
        };
        Ok(CountedCollection {
            collection: active.collection.clone(),
            documents,
        })
    }
}

/// Documents that entries expect and the collection does not have.
struct Missing {
    keys: Vec<DocumentKey>,
    /// How many entries were looked at.
    looked_at: u64,
}

/// A walk over entries stands behind an id.
fn id_of(position: &WalkPosition) -> Result<DocumentId, StoreError> {
    let text = std::str::from_utf8(&position.0).ok();
    let id = text.and_then(|text| DocumentId::new(text).ok());
    id.ok_or_else(|| StoreError::Corrupt("the place of a scan is no id".to_owned()))
}
