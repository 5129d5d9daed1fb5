//! The recent feed writes of one scope, without a gap.
//!
//! Rules.md 6.1 and 6.2: what it releases, and when it is cut.

use std::collections::{BTreeMap, VecDeque};

use tidegate_core::{
    checkpoint::{Position, Types},
    id::{DocumentKey, Seq},
    mutant::{Mutant, breaks},
};

use crate::store::{FeedWrite, StoredItem};

/// The most writes a ring keeps; whoever lags further reads the store.
const WRITES_MAX: usize = 256;

/// The most bytes a ring keeps: there is a ring for each scope that somebody watches.
const BYTES_MAX: usize = 1 << 20;

/// The writes above `low`, up to the last one released.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Nothing at or below it is kept; `None` until the first write is taken.
    low: Option<Seq>,
    /// The transaction that may have been half told when the ring began.
    half_told: Option<u64>,
    /// The last write seen of that transaction; readers below go to the store.
    skipped: Seq,
    writes: VecDeque<Write>,
    bytes: usize,
    /// Writes of `held_of` that came before an earlier one of the same transaction.
    held: BTreeMap<Seq, Write>,
    held_of: u64,
}

/// One write, in the form in which it goes to many readers.
#[derive(Debug)]
struct Write {
    key: DocumentKey,
    item: StoredItem,
    /// A later write of the same document has been released: whoever reads takes that one.
    is_replaced: bool,
}

impl Ring {
    /// A ring that begins now, when the writes told last are of this transaction. It takes none of that: which of them came
    /// before is not known, and a ring that begins below one of those would wait for it for ever.
    pub(super) fn beginning_in(transaction: Option<u64>) -> Self {
        Self {
            half_told: transaction,
            ..Self::default()
        }
    }

    /// Takes a write in: released at once if it is the next, held back while an earlier one of its transaction is on its
    /// way. If another transaction comes first, the gap will not close, and the ring is cut there.
    pub(super) fn offer(&mut self, transaction: u64, write: &FeedWrite) {
        let seq = write.item.seq;
        if self.half_told == Some(transaction) {
            self.skipped = self.skipped.max(seq);
            return;
        }
        if !self.held.is_empty() && self.held_of != transaction {
            self.cut();
        }
        let low = *self.low.get_or_insert(Seq(seq.0 - 1));
        let next = self.head(low).next();
        if seq < next {
            return;
        }
        if breaks(Mutant::NoHoldBack) {
            return self.append(Write::of(write));
        }
        self.held.insert(seq, Write::of(write));
        self.held_of = transaction;
        self.release(next);
    }

    /// The writes above the position of these types, the last of each document, and where the reader then stands;
    /// `None` if some may be missing here.
    pub(super) fn read(&self, position: Position, types: &Types) -> Option<(Vec<StoredItem>, Seq)> {
        let Some(low) = self.low else {
            return (position.seq >= self.skipped).then(|| (Vec::new(), position.seq));
        };
        if position.seq < low || position.seq < position.start {
            return None;
        }
        let read = |write: &Write| write.item.seq <= position.seq;
        let unread = self.writes.range(self.writes.partition_point(read)..);
        let items = unread
            .filter(|write| !write.is_replaced && types.contain(&write.key.type_name))
            .map(|write| write.item.clone());
        Some((items.collect(), self.head(low).max(position.seq)))
    }

    fn head(&self, low: Seq) -> Seq {
        self.writes.back().map_or(low, |write| write.item.seq)
    }

    fn release(&mut self, mut next: Seq) {
        while let Some(write) = self.held.remove(&next) {
            self.append(write);
            next = next.next();
        }
        while self.writes.len() > WRITES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.writes.pop_front() else {
                return;
            };
            self.bytes -= oldest.item.bytes();
            self.low = Some(oldest.item.seq);
        }
    }

    fn append(&mut self, write: Write) {
        let mut older = self.writes.iter_mut().rev();
        if let Some(replaced) = older.find(|older| older.key == write.key) {
            replaced.is_replaced = true;
        }
        self.bytes += write.item.bytes();
        self.writes.push_back(write);
    }

    /// Begins again above everything seen: readers below go to the store.
    fn cut(&mut self) {
        self.low = self
            .held
            .last_key_value()
            .map(|(seq, _)| *seq)
            .max(self.low);
        self.writes.clear();
        self.bytes = 0;
        self.held.clear();
    }
}

impl Write {
    fn of(write: &FeedWrite) -> Self {
        Self {
            key: write.key.clone(),
            item: write.item.clone().shared(),
            is_replaced: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_core::{
        entry::{Entry, FeedItem, Marker, Record},
        id::{DocumentId, DocumentKey, Scope, TypeName, Version},
        value::{Document, Timestamp, Value},
    };

    use super::*;

    fn item(seq: i64, id: &str) -> FeedItem {
        let key = DocumentKey {
            type_name: TypeName::new("Task").unwrap(),
            id: DocumentId::new(id).unwrap(),
        };
        let record = Record::Marker(Marker {
            key,
            scope: Scope::new("s").unwrap(),
            version: Version(1),
            at: Timestamp::EPOCH,
        });
        FeedItem {
            seq: Seq(seq),
            record,
        }
    }

    fn offer(ring: &mut Ring, transaction: u64, item: &FeedItem) {
        ring.offer(transaction, &FeedWrite::encode(item).unwrap());
    }

    fn ring(writes: &[(u64, i64)]) -> Ring {
        let mut ring = Ring::default();
        for (transaction, seq) in writes {
            offer(&mut ring, *transaction, &item(*seq, &seq.to_string()));
        }
        ring
    }

    fn read(ring: &Ring, seq: i64) -> Option<(Vec<i64>, i64)> {
        let position = Position {
            seq: Seq(seq),
            start: Seq(0),
        };
        let (items, head) = ring.read(position, &Types::All)?;
        Some((items.iter().map(|item| item.seq.0).collect(), head.0))
    }

    #[test]
    fn writes_out_of_order_are_held_back_until_the_gap_closes() {
        let mut ring = ring(&[(1, 5), (2, 8), (2, 7)]);
        assert_eq!(read(&ring, 4), Some((vec![5], 5)));
        offer(&mut ring, 2, &item(6, "6"));
        assert_eq!(read(&ring, 4), Some((vec![5, 6, 7, 8], 8)));
    }

    #[test]
    fn a_gap_that_stays_cuts_the_ring_and_its_readers_go_to_the_store() {
        let ring = ring(&[(1, 5), (2, 7), (3, 8)]);
        assert_eq!(read(&ring, 5), None);
        assert_eq!(read(&ring, 7), Some((vec![8], 8)));
    }

    #[test]
    fn a_reader_from_before_the_ring_goes_to_the_store() {
        let ring = ring(&[(1, 5)]);
        assert_eq!(read(&ring, 3), None);
        assert_eq!(read(&ring, 9), Some((vec![], 9)));
    }

    #[test]
    fn a_ring_that_begins_within_a_transaction_takes_nothing_of_it() {
        // 4 was told before the ring began.
        let mut ring = Ring::beginning_in(Some(1));
        offer(&mut ring, 1, &item(3, "3"));
        assert_eq!(read(&ring, 2), None);
        assert_eq!(read(&ring, 4), Some((vec![], 4)));
        offer(&mut ring, 2, &item(5, "5"));
        assert_eq!(read(&ring, 3), None);
        assert_eq!(read(&ring, 4), Some((vec![5], 5)));
    }

    #[test]
    fn a_scope_is_never_begun_from_a_ring() {
        let ring = ring(&[(1, 1), (2, 2)]);
        let beginning = Position {
            seq: Seq(0),
            start: Seq(2),
        };
        assert!(ring.read(beginning, &Types::All).is_none());
    }

    #[test]
    fn a_page_carries_only_the_last_write_of_a_document() {
        let mut ring = Ring::default();
        for (seq, id) in [(1, "a"), (2, "b"), (3, "a")] {
            offer(&mut ring, 1, &item(seq, id));
        }
        assert_eq!(read(&ring, 0), Some((vec![2, 3], 3)));
    }

    #[test]
    fn a_ring_is_bounded() {
        let count = WRITES_MAX as i64 + 10;
        let ring = ring(&(1..=count).map(|seq| (seq as u64, seq)).collect::<Vec<_>>());
        assert_eq!(read(&ring, 9), None);
        assert_eq!(read(&ring, 10).unwrap().0.len(), WRITES_MAX);
    }

    #[test]
    fn a_ring_of_large_documents_keeps_fewer_and_none_that_is_too_large() {
        let mut ring = Ring::default();
        for (seq, size) in [(1, BYTES_MAX / 2), (2, BYTES_MAX / 2), (3, 1)] {
            offer(&mut ring, 1, &large(seq, size));
        }
        assert_eq!(read(&ring, 0), None);
        assert_eq!(read(&ring, 1), Some((vec![2, 3], 3)));
        offer(&mut ring, 2, &large(4, BYTES_MAX + 1));
        assert_eq!(read(&ring, 3), None);
        assert_eq!(read(&ring, 4), Some((vec![], 4)));
    }

    fn large(seq: i64, size: usize) -> FeedItem {
        let Record::Marker(Marker {
            key,
            scope,
            version,
            at,
        }) = item(seq, &seq.to_string()).record
        else {
            unreachable!("items of these tests are markers");
        };
        let text = Value::String("x".repeat(size));
        let entry = Entry {
            key,
            scope,
            version,
            began: version,
            run: version,
            field_versions: Default::default(),
            writers: Default::default(),
            body: Some(Document::from([("text".to_owned(), text)])),
            at,
            membership: None,
            withheld: false,
        };
        FeedItem {
            seq: Seq(seq),
            record: Record::Entry(Arc::new(entry)),
        }
    }
}
