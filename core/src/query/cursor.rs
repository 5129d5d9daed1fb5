//! Cursors: the place of a document in a list, as text. It holds the values by which the list is ordered, so that it stays
//! a place when the document changes or goes.

use std::fmt::Debug;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{ListQuery, key::KeyPart, plan::ListPlan};
use crate::id::{Scope, TypeName};

/// The first bytes of the hash of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryHash([u8; 8]);

impl QueryHash {
    /// The hash of what is asked, and of how it is read. Other grants of the caller leave it as it is.
    pub fn of(
        type_name: &TypeName,
        query: &ListQuery,
        scope: Option<&Scope>,
        plan: &ListPlan,
    ) -> Self {
        let asked: [&dyn Debug; 4] = [type_name, query, &scope, &plan.order];
        let hash = Sha256::digest(format!("{asked:?}").as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Self(first)
    }
}

/// The place of a document in the list of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCursor {
    /// The query.
    pub query: QueryHash,
    /// The values by which it is ordered.
    pub key: Vec<KeyPart>,
}

/// The text is no cursor of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is no cursor of this list")]
pub struct CursorError;

impl ListCursor {
    /// The text.
    pub fn encode(&self) -> String {
        let text = serde_json::to_vec(&(self.query.0, &self.key));
        URL_SAFE_NO_PAD.encode(text.expect("values are JSON"))
    }

    /// Reads a cursor of a query whose plan orders by so many columns.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn decode(text: &str, query: QueryHash, columns: usize) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let read: Result<([u8; 8], Vec<KeyPart>), _> = serde_json::from_slice(&bytes);
        let (hash, key) = read.map_err(|_| CursorError)?;
        match hash == query.0 && key.len() == columns && key.iter().all(KeyPart::is_sound) {
            true => Ok(Self { query, key }),
            false => Err(CursorError),
        }
    }
}
