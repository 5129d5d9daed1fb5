//! Cursors: the place of a document in a list, as text. It holds the values by which the list is ordered, so that it stays
//! a place when the document changes or goes. Values that are too long for a request are named by their document instead,
//! and the place is lost when they change.

use std::fmt::Debug;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{ListQuery, key::KeyPart, plan::ListPlan};
use crate::{
    id::{DocumentId, Scope},
    model::{DocumentType, Shape},
    value::Value,
};

/// The most bytes of a place as JSON that a cursor holds itself.
const KEY_BYTES_MAX: usize = 1_024;

/// The first bytes of the hash of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryHash([u8; 8]);

impl QueryHash {
    /// The hash of what is asked, and of how it is read. Other grants of the caller leave it as it is. A field of another
    /// type changes it, since its values have other places in the order.
    pub fn of(
        document_type: &DocumentType,
        query: &ListQuery,
        scope: Option<&Scope>,
        plan: &ListPlan,
    ) -> Self {
        let columns = plan.order.iter();
        let shapes: Vec<Option<&Shape>> = columns
            .map(|column| Some(&document_type.stored_field(column.as_str())?.ty.shape))
            .collect();
        let type_name = &document_type.stored_as;
        let asked: [&dyn Debug; 5] = [type_name, query, &scope, &plan.order, &shapes];
        Self(hash_of(format!("{asked:?}").as_bytes()))
    }
}

/// The first bytes of the hash of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash([u8; 16]);

impl KeyHash {
    /// The hash of the values of a place.
    pub fn of(key: &[KeyPart]) -> Self {
        let mut bytes = Vec::new();
        for part in key {
            part.append_to(&mut bytes);
        }
        Self(hash_of(&bytes))
    }
}

/// The first bytes of a hash.
fn hash_of<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    let hash = Sha256::digest(bytes);
    let mut first = [0; LENGTH];
    first.copy_from_slice(&hash[..LENGTH]);
    first
}

/// The place of a document in the list of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCursor {
    /// The query.
    pub query: QueryHash,
    /// The place.
    pub place: ListPlace,
}

/// A place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ListPlace {
    /// The values by which the list is ordered.
    Key(Vec<KeyPart>),
    /// The place of this document while its values have this hash.
    Document(DocumentId, KeyHash),
}

/// The text is no cursor of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is no cursor of this list")]
pub struct CursorError;

impl ListPlace {
    /// The place of these values, of which the last is the document's id.
    pub fn of(key: &[KeyPart]) -> Self {
        let text = serde_json::to_vec(key).expect("values are JSON");
        let id = match key.last().map(KeyPart::value) {
            Some(Value::String(id)) if text.len() > KEY_BYTES_MAX => DocumentId::new(id).ok(),
            _ => None,
        };
        match id {
            Some(id) => Self::Document(id, KeyHash::of(key)),
            None => Self::Key(key.to_vec()),
        }
    }

    /// Whether it may be a place in a list that is ordered by so many columns.
    fn is_sound(&self, columns: usize) -> bool {
        match self {
            Self::Key(key) => key.len() == columns && key.iter().all(KeyPart::is_sound),
            Self::Document(..) => true,
        }
    }
}

impl ListCursor {
    /// The text.
    pub fn encode(&self) -> String {
        let text = serde_json::to_vec(&(self.query, &self.place));
        URL_SAFE_NO_PAD.encode(text.expect("values are JSON"))
    }

    /// Reads a cursor of a query whose plan orders by so many columns.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn decode(text: &str, query: QueryHash, columns: usize) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let read: Result<(QueryHash, ListPlace), _> = serde_json::from_slice(&bytes);
        let (hash, place) = read.map_err(|_| CursorError)?;
        match hash == query && place.is_sound(columns) {
            true => Ok(Self { query, place }),
            false => Err(CursorError),
        }
    }
}
