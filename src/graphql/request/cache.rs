//! Keeps documents that have passed the door, so that a text is parsed and validated once.
//! What a document has to pass is decided in `document.rs`.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::document::CheckedDocument;

/// The most recently used documents by text, bounded in number and in bytes of text: memory follows
/// the text, since a parsed document is some tens of times as large.
pub(super) struct DocumentCache {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    documents: LruCache<Box<str>, Arc<CheckedDocument>>,
    bytes: usize,
}

impl DocumentCache {
    pub(super) fn new(documents_max: NonZeroUsize, bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::new(Kept {
                documents: LruCache::new(documents_max),
                bytes: 0,
            }),
        }
    }

    pub(super) fn get(&self, text: &str) -> Option<Arc<CheckedDocument>> {
        self.lock().documents.get(text).cloned()
    }

    pub(super) fn insert(&self, text: &str, document: Arc<CheckedDocument>) {
        let mut kept = self.lock();
        kept.bytes += text.len();
        if let Some((replaced, _)) = kept.documents.push(text.into(), document) {
            kept.bytes -= replaced.len();
        }
        while kept.bytes > self.bytes_max
            && let Some((oldest, _)) = kept.documents.pop_lru()
        {
            kept.bytes -= oldest.len();
        }
    }

    /// A panic elsewhere cannot leave the cache in a state worse than forgetful.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
