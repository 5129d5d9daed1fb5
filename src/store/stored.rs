//! Feed items as they are stored, which a pull hands on by the thousand and nobody needs to take apart.
//!
//! What their bytes mean is [`super::codec`]'s.

use std::fmt;

use bytes::Bytes;
use tidegate_core::{entry::FeedItem, id::Seq};

use super::{
    Scan, ScanRange, StoreError, StoredView,
    codec::{self, CodecError},
};

/// One write of a scope's feed, as its store keeps it.
#[derive(Clone)]
pub struct StoredItem {
    /// Its position in the feed.
    pub seq: Seq,
    bytes: Bytes,
}

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
        Self { seq, bytes }
    }

    /// All that it says.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decode(&self) -> Result<FeedItem, StoreError> {
        codec::decode_item(&self.bytes).map_err(unreadable)
    }

    /// Its parts.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn view(&self) -> Result<StoredView<'_>, StoreError> {
        StoredView::read(&self.bytes).map_err(unreadable)
    }

    /// As the embedded store keeps it.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
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
