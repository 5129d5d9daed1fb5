//! Automatic persisted queries, as Apollo's clients and urql send them: a document is sent together with its hash once,
//! and named by the hash from then on. A hash names a text and nothing else. What a client may query is not decided
//! here.

use std::{num::NonZeroUsize, sync::Arc};

use sha2::{Digest, Sha256};

use super::{RequestError, RequestErrorKind, cache::BoundedCache};

/// The SHA-256 of a document's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryHash([u8; 32]);

impl QueryHash {
    /// Reads 64 hexadecimal digits, bare or after `sha256:`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }

    fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

/// The documents that clients may name by their hash. Clients share them, since a text is no user's data.
pub(super) struct PersistedQueries(BoundedCache<QueryHash, Arc<str>>);

impl PersistedQueries {
    pub(super) fn new(documents_max: NonZeroUsize, bytes_max: usize) -> Self {
        Self(BoundedCache::new(documents_max, bytes_max))
    }

    /// The text of a request: its own, or if it has none, the one of this hash.
    ///
    /// # Errors
    /// If the hash is unknown, or is not that of the text.
    pub(super) fn text(&self, query: String, hash: QueryHash) -> Result<String, RequestError> {
        if query.is_empty() {
            let known = self.0.get(&hash).map(|text| String::from(&*text));
            // Clients check the message as well as the code.
            return known.ok_or_else(|| {
                RequestError::new(
                    RequestErrorKind::PersistedQueryNotFound,
                    "PersistedQueryNotFound",
                )
            });
        }
        if hash == QueryHash::of(&query) {
            return Ok(query);
        }
        let message = "`extensions.persistedQuery.sha256Hash` is not the hash of `query`";
        Err(RequestError::new(
            RequestErrorKind::PersistedQueryMismatch,
            message,
        ))
    }

    /// Keeps a text that has passed validation. A flood of others could evict the useful ones.
    pub(super) fn keep(&self, hash: QueryHash, text: &str) {
        if self.0.get(&hash).is_none() {
            self.0.insert(hash, text.into(), text.len());
        }
    }
}
