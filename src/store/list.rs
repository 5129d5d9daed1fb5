//! Lists of documents as stores return them: documents within the bounds of a read.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::{DocumentId, Seq},
    query::IndexRead,
};

use super::{Listed, Snapshot, StoreError, StoredRecord};

/// How many entries are read at a time where all are looked at.
const WALKED_AT_A_TIME: usize = 1_000;

/// The documents of one read so far.
pub(super) struct ListBuilder<'r> {
    read: &'r IndexRead,
    listed: Listed,
}

impl<'r> ListBuilder<'r> {
    pub(super) fn new(read: &'r IndexRead) -> Self {
        Self {
            read,
            listed: Listed::default(),
        }
    }

    /// Whether another document has room.
    pub(super) fn has_room(&self) -> bool {
        self.listed.records.len() + self.listed.ids.len() < self.read.items_max
    }

    /// Adds a document. Returns false if the list is full without it.
    pub(super) fn take(&mut self, seq: Seq, record: Bytes) -> bool {
        let Listed {
            records,
            bytes,
            is_cut,
            ..
        } = &mut self.listed;
        if !records.is_empty() && *bytes >= self.read.bytes_max {
            *is_cut = true;
            return false;
        }
        *bytes += record.len();
        records.push(StoredRecord::kept(seq, record));
        true
    }

    /// Adds an id.
    pub(super) fn take_id(&mut self, id: DocumentId) {
        self.listed.ids.push(id);
    }
}

impl From<ListBuilder<'_>> for Listed {
    fn from(built: ListBuilder<'_>) -> Self {
        built.listed
    }
}

/// Looks at all entries.
pub(super) async fn by_walking<S: Snapshot + ?Sized>(
    snapshot: &mut S,
    read: &IndexRead,
) -> Result<Listed, StoreError> {
    let (mut within, mut after) = (Vec::new(), None);
    loop {
        let entries = snapshot.walk(after.as_ref(), WALKED_AT_A_TIME).await?;
        let Some(last) = entries.last() else {
            break;
        };
        after = Some(last.key.clone());
        within.extend(
            entries
                .into_iter()
                .filter(|entry| read.contains(entry.as_ref())),
        );
    }
    within.sort_by_cached_key(|entry| read.order_key(entry.as_ref()));
    if read.descending {
        within.reverse();
    }
    bounded(read, within)
}

fn bounded(read: &IndexRead, within: Vec<Arc<Entry>>) -> Result<Listed, StoreError> {
    let mut list = ListBuilder::new(read);
    for entry in within {
        if !list.has_room() {
            break;
        }
        if read.ids_only {
            list.take_id(entry.key.id.clone());
            continue;
        }
        let item = FeedItem {
            seq: Seq::START,
            record: Record::Entry(entry),
        };
        let record = StoredRecord::encode(&item)?;
        if !list.take(item.seq, Bytes::copy_from_slice(record.as_bytes())) {
            break;
        }
    }
    Ok(list.into())
}
