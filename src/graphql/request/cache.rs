//! A cache for work on documents, so that it is done once. `RequestValidator` and `persisted.rs` decide what is kept,
//! and under which key.

use std::{borrow::Borrow, hash::Hash, num::NonZeroUsize};

use lru::LruCache;

use crate::lock::Mutex;

/// The most recently used items, bounded in number and in bytes of their documents' text. Memory follows the text,
/// since a parsed document is some tens of times as large.
pub(in crate::graphql) struct BoundedCache<K: Hash + Eq, V> {
    bytes_max: usize,
    kept: Mutex<CacheContents<K, V>>,
}

struct CacheContents<K: Hash + Eq, V> {
    items: LruCache<K, CacheEntry<V>>,
    bytes: usize,
}

struct CacheEntry<V> {
    value: V,
    bytes: usize,
}

impl<K: Hash + Eq, V: Clone> BoundedCache<K, V> {
    pub(in crate::graphql) fn new(items_max: NonZeroUsize, bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::new(CacheContents {
                items: LruCache::new(items_max),
                bytes: 0,
            }),
        }
    }

    pub(in crate::graphql) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.kept
            .lock()
            .items
            .get(key)
            .map(|item| item.value.clone())
    }

    /// Keeps `value`, made of a document of this number of bytes.
    pub(in crate::graphql) fn insert(&self, key: K, value: V, bytes: usize) {
        let mut kept = self.kept.lock();
        kept.bytes += bytes;
        if let Some((_, replaced)) = kept.items.push(key, CacheEntry { value, bytes }) {
            kept.bytes -= replaced.bytes;
        }
        while kept.bytes > self.bytes_max
            && let Some((_, oldest)) = kept.items.pop_lru()
        {
            kept.bytes -= oldest.bytes;
        }
    }
}
