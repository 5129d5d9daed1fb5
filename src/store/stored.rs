//! Feed items as they are stored, which a pull hands on by the thousand and nobody needs to take apart.
//!
//! What their bytes mean is [`super::codec`]'s. What an answer shows of them, a [`Projection`] says, and [`json`] writes.

mod json;
mod projection;
mod record;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tidegate_core::{entry::FeedItem, id::Seq};

pub use self::{
    json::{Gap, GapReason, PathPart},
    projection::{
        FieldShape, Key, ObjectShape, Part, Projection, Shown, ShownDocument, ValueShape,
    },
};
use super::{
    Scan, ScanRange, StoreError,
    codec::{self, CodecError},
};

/// One write of a scope's feed, as its store keeps it.
#[derive(Clone)]
pub struct StoredItem {
    /// Its position in the feed.
    pub seq: Seq,
    bytes: Bytes,
    /// Kept where the item goes to many readers.
    texts: Option<Arc<Mutex<Vec<Text>>>>,
}

/// An item's JSON under one projection.
#[derive(Debug)]
struct Text {
    projection: Arc<Projection>,
    json: Bytes,
}

/// So many projections of an item are kept: the readers of a scope mostly run the same program.
const TEXTS_MAX: usize = 4;

/// Longer texts are written anew for each reader, so that what is kept stays in proportion to the rings.
const TEXT_BYTES_MAX: usize = 16 << 10;

impl StoredItem {
    /// An item as the embedded store would keep it.
    ///
    /// # Errors
    /// [`StoreError::Undecided`] when the name of a field contains U+0000.
    pub fn encode(item: &FeedItem) -> Result<Self, StoreError> {
        let bytes =
            codec::encode_item(item).map_err(|error| StoreError::Undecided(error.to_string()))?;
        Ok(Self::kept(item.seq, bytes.into()))
    }

    /// A record as a store keeps it.
    pub(super) fn kept(seq: Seq, bytes: Bytes) -> Self {
        Self {
            seq,
            bytes,
            texts: None,
        }
    }

    /// The same, for many readers: what is written of it for one is kept for the others.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.texts = Some(Arc::default());
        self
    }

    /// All that it says.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decode(&self) -> Result<FeedItem, StoreError> {
        codec::decode_item(&self.bytes).map_err(unreadable)
    }

    /// As the embedded store keeps it.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends it to `out` as JSON. What cannot be shown although it must is told in `gaps`, by its path from here.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; `out` then ends with a part of the text.
    pub fn write_json(
        &self,
        projection: &Arc<Projection>,
        out: &mut Vec<u8>,
        gaps: &mut Vec<Gap>,
    ) -> Result<(), StoreError> {
        let Some(texts) = &self.texts else {
            return self.write_anew(projection, out, gaps);
        };
        let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |text: &&Text| Arc::ptr_eq(&text.projection, projection);
        if let Some(text) = texts.iter().find(same) {
            out.extend_from_slice(&text.json);
            return Ok(());
        }
        let (begin, gaps_before) = (out.len(), gaps.len());
        self.write_anew(projection, out, gaps)?;
        let json = &out[begin..];
        if gaps.len() == gaps_before && texts.len() < TEXTS_MAX && json.len() <= TEXT_BYTES_MAX {
            texts.push(Text {
                projection: Arc::clone(projection),
                json: Bytes::copy_from_slice(json),
            });
        }
        Ok(())
    }

    /// Appends the document it carries to `out` as JSON, as the part `key` of an object has it; null if it carries none.
    /// What cannot be shown is told in `gaps`, by its path from that object.
    ///
    /// # Errors
    /// As [`write_json`](Self::write_json).
    pub fn write_document(
        &self,
        key: &Key,
        shapes: &ShownDocument,
        out: &mut Vec<u8>,
        gaps: &mut Vec<Gap>,
    ) -> Result<(), StoreError> {
        json::write_document(&self.bytes, key, shapes, out, gaps).map_err(unreadable)
    }

    fn write_anew(
        &self,
        projection: &Projection,
        out: &mut Vec<u8>,
        gaps: &mut Vec<Gap>,
    ) -> Result<(), StoreError> {
        json::write(&self.bytes, projection, out, gaps).map_err(unreadable)
    }
}

/// Says what it holds, not how that is stored.
impl fmt::Debug for StoredItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode() {
            Ok(item) => item.fmt(f),
            Err(error) => write!(f, "StoredItem({}: {error})", self.seq.0),
        }
    }
}

/// The items of one scan while it is under way.
#[derive(Debug)]
pub(super) struct Gathered<'s> {
    range: &'s ScanRange,
    scan: Scan,
}

impl<'s> Gathered<'s> {
    pub(super) fn new(range: &'s ScanRange) -> Self {
        Self {
            range,
            scan: Scan::default(),
        }
    }

    /// Takes a record in, as the codec writes them; what else a store keeps in it is passed over later. False if the scan
    /// is full without it.
    pub(super) fn take(&mut self, seq: Seq, record: Bytes) -> bool {
        let Scan {
            items,
            bytes,
            complete,
        } = &mut self.scan;
        let bytes_full = !items.is_empty() && *bytes >= self.range.bytes_max;
        if bytes_full || items.len() >= self.range.items_max {
            *complete = false;
            return false;
        }
        *bytes += record.len();
        items.push(StoredItem::kept(seq, record));
        true
    }
}

impl From<Gathered<'_>> for Scan {
    fn from(gathered: Gathered<'_>) -> Self {
        gathered.scan
    }
}

fn unreadable(error: CodecError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use tidegate_core::{
        entry::{Marker, Record},
        id::{DocumentId, DocumentKey, Scope, TypeName, Version},
        value::Timestamp,
    };

    use super::*;

    #[test]
    fn what_is_written_for_one_reader_is_kept_for_the_others() {
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
        let item = StoredItem::encode(&item).unwrap().shared();
        let projection = |key| {
            Arc::new(Projection {
                parts: vec![(Key::new(key), Shown::DocumentId)],
            })
        };
        let projections: Vec<_> = (0..TEXTS_MAX + 2).map(|_| projection("id")).collect();
        for _ in 0..2 {
            for projection in &projections {
                let mut out = Vec::new();
                let other = item.clone();
                other
                    .write_json(projection, &mut out, &mut Vec::new())
                    .unwrap();
                assert_eq!(out, br#"{"id":"1"}"#);
            }
        }
        let texts = item.texts.unwrap();
        let texts = texts.lock().unwrap();
        let kept = texts.iter().map(|text| &text.projection);
        assert!(kept.zip(&projections).all(|(a, b)| Arc::ptr_eq(a, b)));
        assert_eq!(texts.len(), TEXTS_MAX);
    }
}
