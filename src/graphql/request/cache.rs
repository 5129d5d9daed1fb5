//! Keeps what has been worked out for a document, so that it is done once. What is kept, and under what name, is for
//! `Door` and `persisted.rs`.

use std::{
    borrow::Borrow,
    hash::Hash,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

/// The most recently used items, bounded in number and in bytes of their documents' text: memory follows the text, since
/// a parsed document is some tens of times as large.
pub(super) struct BoundedCache<K: Hash + Eq, V> {
    bytes_max: usize,
    kept: Mutex<Kept<K, V>>,
}

struct Kept<K: Hash + Eq, V> {
    items: LruCache<K, Item<V>>,
    bytes: usize,
}

struct Item<V> {
    value: V,
    bytes: usize,
}

impl<K: Hash + Eq, V: Clone> BoundedCache<K, V> {
    pub(super) fn new(items_max: NonZeroUsize, bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::new(Kept {
                items: LruCache::new(items_max),
                bytes: 0,
            }),
        }
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.lock().items.get(key).map(|item| item.value.clone())
    }

    /// Keeps `value`, made of a document of that many bytes.
    pub(super) fn insert(&self, key: K, value: V, bytes: usize) {
        let mut kept = self.lock();
        kept.bytes += bytes;
        if let Some((_, replaced)) = kept.items.push(key, Item { value, bytes }) {
            kept.bytes -= replaced.bytes;
        }
        while kept.bytes > self.bytes_max
            && let Some((_, oldest)) = kept.items.pop_lru()
        {
            kept.bytes -= oldest.bytes;
        }
    }

    /// A panic elsewhere cannot leave the cache in a state worse than forgetful.
    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
