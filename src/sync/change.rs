//! A change on its way to clients: a record in the form of its store, and texts that its readers share.

use std::{
    any::Any,
    fmt, ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tidegate_core::{entry::FeedItem, id::Seq};
use tokio::time::Instant;

use super::SyncError;
use crate::{lock::Mutex, store::StoredRecord};

/// The parts of a [`StoredChange`].
pub type ChangeView<'c> = crate::store::StoredView<'c>;

/// One write of a scope's feed.
#[derive(Clone)]
pub struct StoredChange {
    /// Its position in the feed.
    pub seq: Seq,
    item: StoredRecord,
    /// `Some` if the change goes to many readers.
    shared: Option<Arc<Shared>>,
}

/// What the readers of a change in a ring share.
struct Shared {
    texts: Mutex<Texts>,
    /// The bytes of all changes in rings, with their texts.
    rings_bytes: Arc<AtomicUsize>,
    /// When it came into its ring, just after its commit.
    since: Instant,
}

#[derive(Default)]
struct Texts {
    kept: Vec<CachedText>,
    /// How many bytes are counted for the change in all rings; `None` when it has left its ring.
    counted: Option<usize>,
}

impl Shared {
    fn count(&self, texts: &mut Texts, bytes: usize) {
        *texts.counted.get_or_insert_default() += bytes;
        self.rings_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A change as text, rendered by one plan.
struct CachedText {
    plan: Arc<dyn Any + Send + Sync>,
    text: ChangeText,
}

/// The text of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeText {
    /// The JSON.
    pub json: Bytes,
    /// Whether the change is withheld: its document could not be shown (rules.md 8.8).
    pub is_withheld: bool,
}

/// The most texts kept of a change. The readers of a scope mostly send the same query.
const TEXTS_MAX: usize = 4;

/// What a change takes in a ring besides its own bytes and those of its texts, rounded up.
const OVERHEAD_BYTES: usize = 512;

/// The most bytes of a kept text, so that texts stay in proportion to the rings.
const TEXT_BYTES_MAX: usize = 16 << 10;

impl StoredChange {
    /// The same in a ring, for many readers: what is written of it for one is kept for the others. It is counted in
    /// `rings_bytes` until it leaves the ring.
    #[must_use]
    pub(super) fn in_ring(self, rings_bytes: &Arc<AtomicUsize>) -> Self {
        let shared = Shared {
            texts: Mutex::default(),
            rings_bytes: Arc::clone(rings_bytes),
            since: Instant::now(),
        };
        shared.count(&mut shared.texts.lock(), OVERHEAD_BYTES + self.bytes());
        Self {
            shared: Some(Arc::new(shared)),
            ..self
        }
    }

    /// It is not counted any more, and no further text of it is kept.
    pub(super) fn leave_ring(&self) {
        if let Some(shared) = &self.shared {
            let counted = shared.texts.lock().counted.take().unwrap_or_default();
            shared.rings_bytes.fetch_sub(counted, Ordering::Relaxed);
        }
    }

    /// When it came into a ring, if it is from one.
    pub(super) fn in_ring_since(&self) -> Option<Instant> {
        self.shared.as_ref().map(|shared| shared.since)
    }

    /// Its parts; `None`, and a line in the log, if not even its document, version and time can be read.
    pub fn view(&self) -> Option<ChangeView<'_>> {
        self.item.view()
    }

    /// Whether it stands for a document that is not shown now, and may be shown later as it is (rules.md 9.10).
    pub(super) fn is_hidden(&self) -> bool {
        self.item.is_hidden
    }

    /// The decoded change.
    ///
    /// # Errors
    /// [`SyncError::Internal`].
    pub fn decode(&self) -> Result<FeedItem, SyncError> {
        Ok(self.item.decode()?)
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.item.bytes()
    }

    /// Its text under `plan`, if it is kept.
    pub fn text<P: Any + Send + Sync>(&self, plan: &Arc<P>) -> Option<ChangeText> {
        let texts = self.shared.as_ref()?.texts.lock();
        let known = texts.kept.iter().find(|text| text.is_of(plan))?;
        Some(known.text.clone())
    }

    /// Keeps its text under `plan`, if it is in a ring and there is room.
    pub fn keep_text<P: Any + Send + Sync>(&self, plan: &Arc<P>, json: &[u8], is_withheld: bool) {
        let Some(shared) = &self.shared else { return };
        let mut texts = shared.texts.lock();
        let is_read = texts.counted.is_some();
        let has_room = texts.kept.len() < TEXTS_MAX && json.len() <= TEXT_BYTES_MAX;
        if is_read && has_room && !texts.kept.iter().any(|text| text.is_of(plan)) {
            shared.count(&mut texts, json.len());
            let json = Bytes::copy_from_slice(json);
            texts.kept.push(CachedText {
                plan: Arc::clone(plan) as _,
                text: ChangeText { json, is_withheld },
            });
        }
    }
}

impl CachedText {
    fn is_of<P>(&self, plan: &Arc<P>) -> bool {
        ptr::addr_eq(Arc::as_ptr(&self.plan), Arc::as_ptr(plan))
    }
}

impl From<StoredRecord> for StoredChange {
    fn from(item: StoredRecord) -> Self {
        Self {
            seq: item.seq,
            item,
            shared: None,
        }
    }
}

impl fmt::Debug for StoredChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::marker;

    fn change() -> StoredChange {
        StoredChange::from(StoredRecord::encode(&marker("s", 1, "1")).unwrap())
    }

    #[test]
    fn a_change_and_its_texts_are_counted_until_it_leaves_its_ring() {
        let rings_bytes = Arc::default();
        let change = change().in_ring(&rings_bytes);
        let counted = || rings_bytes.load(Ordering::Relaxed);
        let bytes = OVERHEAD_BYTES + change.bytes();
        assert_eq!(counted(), bytes);
        let (reader, plan) = (change.clone(), Arc::new(1));
        reader.keep_text(&plan, b"seven b", true);
        assert_eq!(counted(), bytes + 7);
        change.leave_ring();
        assert_eq!(counted(), 0);
        let kept = reader.text(&plan).unwrap();
        assert_eq!((&*kept.json, kept.is_withheld), (&b"seven b"[..], true));
        reader.keep_text(&Arc::new(2), b"of a reader who was late", false);
        assert_eq!(counted(), 0);
    }

    #[test]
    fn the_texts_of_the_first_plans_are_kept_for_all_readers() {
        let change = change().in_ring(&Arc::default());
        let plans: Vec<Arc<usize>> = (0..TEXTS_MAX + 2).map(Arc::new).collect();
        for plan in &plans {
            assert_eq!(change.text(plan), None);
            change
                .clone()
                .keep_text(plan, plan.to_string().as_bytes(), false);
        }
        let kept = plans.iter().map(|plan| change.clone().text(plan));
        let kept: Vec<Bytes> = kept.flatten().map(|text| text.json).collect();
        assert_eq!(kept, ["0", "1", "2", "3"]);
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let (change, plan) = (change().in_ring(&Arc::default()), Arc::new(1));
        change.keep_text(&plan, &[b'x'; TEXT_BYTES_MAX + 1], false);
        assert_eq!(change.text(&plan), None);
        change.keep_text(&plan, &[b'x'; TEXT_BYTES_MAX], false);
        assert!(change.text(&plan).is_some());
    }
}
