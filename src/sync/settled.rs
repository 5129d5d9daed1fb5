//! The store without what a gateway must not show: at a leading one, documents that are still in another scope than their
//! fields make (docs/rules.md 9.10), and at another one, those that have a value under a name of the lead (9.6). While
//! memberships still say what an earlier model made of them, a leading gateway serves nothing (9.11).
//!
//! Everything that the service reads passes here: pages, rings, outcomes, the inbox, and documents by their keys. Only
//! types that move, or that the lead stores under other names, cost anything.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    generation::{ModelState, Standing},
    id::{DocumentId, DocumentKey, Scope, Seq, TypeName, UserId},
    model::{Model, plan::StoredRename},
    mutant::{Mutant, is_active},
    push,
    query::{IndexDefinition, IndexRead},
    transaction::{Loaded, Reads, Writes},
    view::RecordHead,
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::commit::commit_noting;
use crate::{
    lock::Mutex,
    store::{
        Committed, DecideFn, Entries, FeedWrite, InboxRange, InboxScan, Listed, Scan, Snapshot,
        Store, StoreError, StoredRecord, TailEvent,
        collections::Collections,
        layered::{LayeredSnapshot, ReadLayer},
        models::Models,
    },
};

/// A store, and what is hidden in it.
pub(super) struct SettledStore {
    inner: Arc<dyn Store>,
    view: Arc<View>,
}

/// What the gateway of a model shows.
struct View {
    model: Arc<Model>,
    /// The lead as the last commit or snapshot read it.
    seen: Mutex<(Option<Standing>, Option<Arc<Hidden>>)>,
    /// Another lead hides something: rings have what was shown before.
    begun: broadcast::Sender<()>,
}

/// Which documents a gateway does not show.
#[derive(PartialEq, Eq)]
enum Hidden {
    /// It leads, and documents of these types may be in other scopes than their fields make.
    Moving(BTreeSet<TypeName>),
    /// It does not lead. These names of the lead it does not read.
    Unread(BTreeMap<TypeName, Vec<StoredRename>>),
}

impl Hidden {
    /// Whether documents of this type may be hidden.
    fn concerns(&self, type_name: &TypeName) -> bool {
        match self {
            Self::Moving(types) => types.contains(type_name),
            Self::Unread(unread) => unread.contains_key(type_name),
        }
    }
}

impl SettledStore {
    pub(super) fn over(model: Arc<Model>, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        let view = View {
            model,
            seen: Mutex::default(),
            begun: broadcast::Sender::new(1),
        };
        Arc::new(Self {
            inner,
            view: Arc::new(view),
        })
    }
}

impl View {
    /// Takes note of the lead. Returns what is hidden under it.
    fn note(&self, models: &ModelState, standing: Standing) -> Option<Arc<Hidden>> {
        let mut seen = self.seen.lock();
        let hidden = match &*seen {
            (Some(known), hidden) if *known == standing && !standing.leads => hidden.clone(),
            _ => self.hidden(models, standing).map(Arc::new),
        };
        if seen.0.is_none_or(|known| standing.term >= known.term) {
            let is_new = seen.0.is_none_or(|known| standing != known);
            *seen = (Some(standing), hidden.clone());
            if is_new && hidden.is_some() {
                // The tail may have no followers.
                drop(self.begun.send(()));
            }
        }
        hidden
    }

    fn hidden(&self, models: &ModelState, standing: Standing) -> Option<Hidden> {
        if standing.leads {
            let moves = !models.moving.is_empty() && !is_active(Mutant::MovingShown);
            return moves.then(|| Hidden::Moving(models.moving.clone()));
        }
        let unread = self.model.types.iter().filter_map(|of| {
            let in_force = models.shapes.get(&of.stored_as)?;
            let unread = StoredRename::unread(&self.model, of, in_force);
            (!unread.is_empty()).then(|| (of.stored_as.clone(), unread))
        });
        let unread: BTreeMap<_, _> = unread.collect();
        (!unread.is_empty()).then_some(Hidden::Unread(unread))
    }

    /// Refuses to serve while something is not stamped that the gateways of the lead wait for.
    fn expect_stamped(&self, models: &ModelState, standing: Standing) -> Result<(), StoreError> {
        let mut types = models.unstamped.iter();
        let waits = standing.leads && types.any(|name| self.model.stored_type(name).is_some());
        match waits && !is_active(Mutant::MovingShown) {
            true => Err(StoreError::Unavailable(
                "memberships are brought in step with the model".to_owned(),
            )),
            false => Ok(()),
        }
    }

    fn is_hidden(&self, hidden: &Hidden, entry: &Entry) -> bool {
        let type_name = &entry.key.type_name;
        let Some(body) = &entry.body else {
            return false;
        };
        match hidden {
            Hidden::Moving(types) => {
                let document_type = self.model.stored_type(type_name);
                let moving = document_type.filter(|_| types.contains(type_name));
                moving.is_some_and(|of| !push::is_in_its_scope(of, entry, body))
            }
            Hidden::Unread(unread) => {
                let mut unread = unread.get(type_name).into_iter().flatten();
                unread.any(|rename| rename.hides(&self.model, type_name, body))
            }
        }
    }

    /// The record as it is shown. One that cannot be read is its reader's to judge.
    fn shown(&self, hidden: &Hidden, record: StoredRecord) -> StoredRecord {
        let Ok(item) = record.decode() else {
            return record;
        };
        let Record::Entry(entry) = &item.record else {
            return record;
        };
        if !self.is_hidden(hidden, entry) {
            return record;
        }
        let withheld = Entry {
            body: None,
            withheld: true,
            ..Entry::clone(entry)
        };
        let item = FeedItem {
            seq: item.seq,
            record: Record::Entry(Arc::new(withheld)),
        };
        StoredRecord::hidden(&item).unwrap_or(record)
    }

    /// Leaves out of answers what may not be shown yet.
    fn settle_answers(&self, hidden: &Hidden, writes: &mut Writes) {
        let answers = writes.answers.iter_mut().flatten();
        for outcome in answers.flat_map(|answer| &mut answer.outcomes) {
            let document = outcome.document.as_deref();
            if document.is_some_and(|entry| self.is_hidden(hidden, entry)) {
                (outcome.document, outcome.conflict) = (None, None);
            }
        }
    }

    fn reported(&self, event: TailEvent) -> TailEvent {
        let hidden = self.seen.lock().1.clone();
        match (event, hidden) {
            (TailEvent::Committed(writes), Some(hidden)) => {
                let writes = writes.iter().cloned().map(|write| FeedWrite {
                    item: self.shown(&hidden, write.item),
                    ..write
                });
                TailEvent::Committed(writes.collect())
            }
            (event, _) => event,
        }
    }

    fn over(self: &Arc<Self>, inner: Box<dyn Snapshot>) -> Result<Box<dyn Snapshot>, StoreError> {
        let state = inner.state();
        let hidden = self.note(&state.models, state.standing);
        self.expect_stamped(&state.models, state.standing)?;
        let Some(hidden) = hidden else {
            return Ok(inner);
        };
        let view = Arc::clone(self);
        let layer = Arc::new(Hiding { hidden, view });
        Ok(Box::new(LayeredSnapshot { inner, layer }))
    }
}

#[async_trait]
impl Store for SettledStore {
    async fn commit(&self, reads: Reads, decide: Arc<DecideFn>) -> Result<Committed, StoreError> {
        let view = Arc::clone(&self.view);
        let is_stamp = reads.lease.is_some();
        let settled = move |loaded: &Loaded| {
            let hidden = view.note(&loaded.models, loaded.standing);
            let stamped = view.expect_stamped(&loaded.models, loaded.standing);
            if stamped.is_err() && !is_stamp {
                return (Writes::default(), stamped);
            }
            let mut writes = decide(loaded);
            if let Some(hidden) = hidden {
                view.settle_answers(&hidden, &mut writes);
            }
            (writes, Ok(()))
        };
        let (committed, stamped) = commit_noting(self.inner.as_ref(), reads, settled).await?;
        stamped.map(|()| committed)
    }

    fn commits_max(&self) -> usize {
        self.inner.commits_max()
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.view.over(self.inner.snapshot().await?)
    }

    async fn snapshot_with_heads(
        &self,
        scopes: &BTreeSet<Scope>,
        user: Option<&UserId>,
    ) -> Result<Box<dyn Snapshot>, StoreError> {
        let inner = self.inner.snapshot_with_heads(scopes, user).await?;
        self.view.over(inner)
    }

    async fn keep_sums(&self, scope: &Scope, again: bool) -> Result<(), StoreError> {
        self.inner.keep_sums(scope, again).await
    }

    async fn keep_indexes(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        self.inner.keep_indexes(indexes).await
    }

    async fn build_uniques(&self, indexes: &[Arc<IndexDefinition>]) -> Result<(), StoreError> {
        self.inner.build_uniques(indexes).await
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.inner.confirmed_head(scope).await
    }

    fn collections(&self) -> Option<Arc<dyn Collections>> {
        self.inner.collections()
    }

    fn models(&self) -> Arc<dyn Models> {
        self.inner.models()
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        let view = Arc::clone(&self.view);
        let begun = BroadcastStream::new(view.begun.subscribe());
        let restarts = begun.map(|_| TailEvent::Restart);
        let events = self.inner.tail().map(move |event| view.reported(event));
        stream::select(events, restarts).boxed()
    }
}

/// What a snapshot hides.
struct Hiding {
    hidden: Arc<Hidden>,
    view: Arc<View>,
}

impl Hiding {
    fn is_hidden(&self, entry: &Entry) -> bool {
        self.view.is_hidden(&self.hidden, entry)
    }
}

/// Sums count what is hidden. Pages that hide something say so in their checkpoints, and have no digest then.
#[async_trait]
impl ReadLayer for Hiding {
    fn scanned(&self, scan: Scan) -> Result<Scan, StoreError> {
        let shown = scan.items.into_iter();
        let shown = shown.map(|record| self.view.shown(&self.hidden, record));
        Ok(Scan {
            items: shown.collect(),
            ..scan
        })
    }

    /// Hidden documents are counted as they are listed: by their content.
    fn listing(&self, read: &IndexRead) -> Option<IndexRead> {
        let counts_hidden = read.ids_only && self.hidden.concerns(&read.index.type_name);
        counts_hidden.then(|| IndexRead {
            ids_only: false,
            bytes_max: usize::MAX,
            ..read.clone()
        })
    }

    /// A hidden document keeps its content, which says where its place is. Its reader leaves it out.
    fn listed(&self, read: &IndexRead, mut listed: Listed) -> Result<Listed, StoreError> {
        for record in &mut listed.records {
            record.is_hidden = self.view.shown(&self.hidden, record.clone()).is_hidden;
        }
        if read.ids_only {
            let records = std::mem::take(&mut listed.records);
            listed.is_cut |= records.len() >= read.items_max;
            let shown = records.into_iter().filter(|record| !record.is_hidden);
            let ids = shown.filter_map(|record| DocumentId::new(record.view()?.id()).ok());
            listed.ids.extend(ids);
        }
        Ok(listed)
    }

    fn found(&self, mut entries: Entries) -> Result<Entries, StoreError> {
        entries.found.retain(|_, entry| !self.is_hidden(entry));
        Ok(entries)
    }

    /// Leaves out conflicts of documents that are hidden.
    async fn inbox(
        &self,
        below: &mut dyn Snapshot,
        range: &InboxRange,
        mut scan: InboxScan,
    ) -> Result<InboxScan, StoreError> {
        let keys = scan.conflicts.iter().map(|open| open.key.clone());
        let mut unread: BTreeSet<DocumentKey> = keys.collect();
        let mut hidden = HashSet::new();
        while !unread.is_empty() {
            let read = below.entries(&unread, range.bytes_max).await?;
            let entries = read.found.into_values();
            let others = entries.filter(|entry| self.is_hidden(entry));
            hidden.extend(others.map(|entry| entry.key.clone()));
            unread = read.left_out;
        }
        scan.conflicts.retain(|open| !hidden.contains(&open.key));
        Ok(scan)
    }
}

#[cfg(test)]
mod tests;
