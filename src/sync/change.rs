//! A change on its way to clients: a record as its store keeps it, and the texts that its readers share.

use std::{
    any::Any,
    fmt, ptr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tidegate_core::{entry::FeedItem, id::Seq};

use super::SyncError;
use crate::store::StoredItem;

/// The parts of a [`StoredChange`].
pub type ChangeView<'c> = crate::store::StoredView<'c>;

/// One write of a scope's feed.
#[derive(Clone)]
pub struct StoredChange {
    /// Its position in the feed.
    pub seq: Seq,
    item: StoredItem,
    /// Where the change goes to many readers.
    texts: Option<Arc<Mutex<Vec<CachedText>>>>,
}

/// A change as one plan writes it.
struct CachedText {
    plan: Arc<dyn Any + Send + Sync>,
    text: Bytes,
}

/// The most texts kept of a change. The readers of a scope mostly run the same program.
const TEXTS_MAX: usize = 4;

/// Longer texts are not kept, so that the texts stay in proportion to the rings.
const TEXT_BYTES_MAX: usize = 16 << 10;

impl StoredChange {
    /// The same, for many readers: what is written of it for one is kept for the others.
    #[must_use]
    pub(super) fn shared(self) -> Self {
        Self {
            texts: Some(Arc::default()),
            ..self
        }
    }

    /// Its parts.
    ///
    /// # Errors
    /// [`SyncError::Internal`].
    pub fn view(&self) -> Result<ChangeView<'_>, SyncError> {
        Ok(self.item.view()?)
    }

    /// All that it says.
    ///
    /// # Errors
    /// [`SyncError::Internal`].
    pub fn decode(&self) -> Result<FeedItem, SyncError> {
        Ok(self.item.decode()?)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.item.bytes()
    }

    /// Its text under `plan`, if it is kept.
    pub fn text<P: Any + Send + Sync>(&self, plan: &Arc<P>) -> Option<Bytes> {
        let texts = self.texts.as_ref()?;
        let texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = texts.iter().find(|text| text.is_of(plan))?;
        Some(known.text.clone())
    }

    /// Keeps its text under `plan`, where it goes to many readers and there is room.
    pub fn keep_text<P: Any + Send + Sync>(&self, plan: &Arc<P>, text: &[u8]) {
        let Some(texts) = &self.texts else { return };
        let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = texts.len() < TEXTS_MAX && text.len() <= TEXT_BYTES_MAX;
        if has_room && !texts.iter().any(|text| text.is_of(plan)) {
            texts.push(CachedText {
                plan: Arc::clone(plan) as _,
                text: Bytes::copy_from_slice(text),
            });
        }
    }
}

impl CachedText {
    fn is_of<P>(&self, plan: &Arc<P>) -> bool {
        ptr::addr_eq(Arc::as_ptr(&self.plan), Arc::as_ptr(plan))
    }
}

impl From<StoredItem> for StoredChange {
    fn from(item: StoredItem) -> Self {
        Self {
            seq: item.seq,
            item,
            texts: None,
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
    use tidegate_core::{
        entry::{Marker, Record},
        id::{DocumentId, DocumentKey, Scope, TypeName, Version},
        value::Timestamp,
    };

    use super::*;

    fn change() -> StoredChange {
        let record = Record::Marker(Marker {
            key: DocumentKey {
                type_name: TypeName::new("Task").unwrap(),
                id: DocumentId::new("1").unwrap(),
            },
            scope: Scope::new("s").unwrap(),
            version: Version(1),
            at: Timestamp::EPOCH,
        });
        let item = FeedItem {
            seq: Seq(1),
            record,
        };
        StoredChange::from(StoredItem::encode(&item).unwrap()).shared()
    }

    #[test]
    fn the_texts_of_the_first_plans_are_kept_for_all_readers() {
        let change = change();
        let plans: Vec<Arc<usize>> = (0..TEXTS_MAX + 2).map(Arc::new).collect();
        for plan in &plans {
            assert_eq!(change.text(plan), None);
            change.clone().keep_text(plan, plan.to_string().as_bytes());
        }
        let kept = plans.iter().map(|plan| change.clone().text(plan));
        let kept: Vec<Bytes> = kept.flatten().collect();
        assert_eq!(kept, ["0", "1", "2", "3"]);
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let (change, plan) = (change(), Arc::new(1));
        change.keep_text(&plan, &[b'x'; TEXT_BYTES_MAX + 1]);
        assert_eq!(change.text(&plan), None);
        change.keep_text(&plan, &[b'x'; TEXT_BYTES_MAX]);
        assert!(change.text(&plan).is_some());
    }
}
