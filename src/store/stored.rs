//! Feed items as they are stored. A pull passes them on by the thousand without decoding them.
//!
//! [`super::codec`] knows the meaning of their bytes.

use std::fmt;

use bytes::Bytes;
use tidegate_core::{
    entry::FeedItem,
    id::{Seq, Version},
};

use super::{
    Scan, ScanRange, StoreError, StoredView,
    codec::{self, CodecError},
};
use crate::withheld;

/// One write of a scope's feed, as its store keeps it.
#[derive(Clone)]
pub struct StoredRecord {
    /// Its position in the feed.
    pub seq: Seq,
    /// Whether it stands for a document that a gateway does not show now, and may show later as it is (rules.md 9.10).
    pub is_hidden: bool,
    bytes: Bytes,
}

impl StoredRecord {
    /// An item in the form of the embedded store.
    ///
    /// # Errors
    /// [`StoreError::DecisionFailed`] when the name of a field contains U+0000.
    pub fn encode(item: &FeedItem) -> Result<Self, StoreError> {
        let bytes = codec::encode_item(item)
            .map_err(|error| StoreError::DecisionFailed(error.to_string()))?;
        Ok(Self::kept(item.seq, bytes.into()))
    }

    /// What stands for a document that is not shown now.
    ///
    /// # Errors
    /// [`StoreError::DecisionFailed`] when the name of a field contains U+0000.
    pub fn hidden(item: &FeedItem) -> Result<Self, StoreError> {
        Ok(Self {
            is_hidden: true,
            ..Self::encode(item)?
        })
    }

    /// A record in the form of its store.
    pub(super) fn kept(seq: Seq, bytes: Bytes) -> Self {
        Self {
            seq,
            is_hidden: false,
            bytes,
        }
    }

    /// The decoded item.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decode(&self) -> Result<FeedItem, StoreError> {
        codec::decode_item(&self.bytes).map_err(unreadable)
    }

    /// Its parts; `None`, and a line in the log, if not even its document, version and time can be read.
    pub fn view(&self) -> Option<StoredView<'_>> {
        or_logged(&self.bytes, StoredView::read(&self.bytes))
    }

    /// The bytes in the form of the embedded store.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Shows the content, not the encoding.
impl fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode() {
            Ok(item) => item.fmt(f),
            Err(error) => write!(f, "StoredItem({}: {error})", self.seq.0),
        }
    }
}

/// The items of one scan so far.
#[derive(Debug)]
pub(super) struct ScanBuilder<'s> {
    range: &'s ScanRange,
    scan: Scan,
}

impl<'s> ScanBuilder<'s> {
    pub(super) fn new(range: &'s ScanRange) -> Self {
        Self {
            range,
            scan: Scan::default(),
        }
    }

    /// Adds a record, as the codec writes it. Other fields that a store keeps in it are skipped later. Returns false if
    /// the scan is full without it.
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
        items.push(StoredRecord::kept(seq, record));
        true
    }
}

impl From<ScanBuilder<'_>> for Scan {
    fn from(gathered: ScanBuilder<'_>) -> Self {
        gathered.scan
    }
}

/// What was read of a record; `None`, and a line in the log, if it cannot be read.
pub(super) fn or_logged<T>(record: &[u8], read: Result<T, CodecError>) -> Option<T> {
    let log = |error| {
        let misfit = codec::unreadable(error);
        match codec::whereabouts(record) {
            Ok((key, _)) => withheld::log_key(&key, Version::NONE, &misfit),
            Err(_) => {
                let seq = codec::seq_of(record).unwrap_or_default();
                withheld::log("unknown", &seq.0.to_string(), Version::NONE, &misfit);
            }
        }
    };
    read.map_err(log).ok()
}

fn unreadable(error: CodecError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
