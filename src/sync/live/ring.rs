//! The recent feed writes of one scope, without a gap.
//!
//! Rules.md 6.1 and 6.2 say what it releases, and when it is cut.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, atomic::AtomicUsize},
};

use tidegate_core::{
    checkpoint::Position,
    id::{DocumentKey, Seq, TypeName},
    mutant::{Mutant, is_active},
};

use crate::{store::FeedWrite, sync::StoredChange};

/// The most writes that a ring keeps, and the most that it holds back. A subscriber that lags further reads the store.
const WRITES_MAX: usize = 256;

/// The most bytes that a ring keeps. There is one ring for each scope with a subscriber.
const BYTES_MAX: usize = 1 << 20;

/// The writes above `low`, up to the last one released.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Nothing at or below it is kept; `None` until the first write arrives.
    low: Option<Seq>,
    writes: VecDeque<RingEntry>,
    bytes: usize,
    /// Writes that arrived before an earlier one. That one is on its way, or arrived before the ring began.
    out_of_order: BTreeMap<Seq, RingEntry>,
    out_of_order_bytes: usize,
    /// Whether the gap below them existed at the last sweep.
    was_swept: bool,
}

/// One write, in the form for many readers.
#[derive(Debug)]
struct RingEntry {
    key: DocumentKey,
    item: StoredChange,
    /// Whether a later write of the same document has been released. Readers then take only that one.
    is_replaced: bool,
}

impl Ring {
    /// Takes a write in: released at once if it is the next, held back while an earlier one is on its way. The ring is cut
    /// where the gap does not close. What it keeps is counted in the bytes of all rings.
    pub(super) fn push(&mut self, write: &FeedWrite, rings_bytes: &Arc<AtomicUsize>) {
        let seq = write.item.seq;
        let low = *self.low.get_or_insert(Seq(seq.0 - 1));
        if seq <= self.head(low) {
            return;
        }
        if is_active(Mutant::NoHoldBack) {
            return self.append(RingEntry::of(write, rings_bytes));
        }
        let held = self
            .out_of_order
            .insert(seq, RingEntry::of(write, rings_bytes));
        self.out_of_order_bytes += write.item.bytes();
        self.out_of_order_bytes -= held.map_or(0, |held| held.item.bytes());
        self.release(low);
        self.bound();
    }

    /// The writes of the types that are wanted above the position, the last of each document, and the reader's new position; `None`
    /// if the ring may lack some.
    pub(super) fn read(
        &self,
        position: Position,
        wanted: impl Fn(&TypeName) -> bool,
    ) -> Option<(Vec<StoredChange>, Seq)> {
        let Some(low) = self.low else {
            return Some((Vec::new(), position.seq));
        };
        if position.seq < low || position.seq < position.start {
            return None;
        }
        let head = self.head(low);
        if position.seq > head {
            return Some(self.read_beyond_gap(position.seq, wanted));
        }
        let read = |write: &RingEntry| write.item.seq <= position.seq;
        let unread = self.writes.range(self.writes.partition_point(read)..);
        let items = unread
            .filter(|write| !write.is_replaced && wanted(&write.key.type_name))
            .map(|write| write.item.clone());
        Some((items.collect(), head))
    }

    /// The same for a reader beyond the gap, which has read the missing writes from the store.
    fn read_beyond_gap(
        &self,
        position: Seq,
        wanted: impl Fn(&TypeName) -> bool,
    ) -> (Vec<StoredChange>, Seq) {
        let (mut unread, mut head) = (Vec::new(), position);
        for (seq, write) in self.out_of_order.range(position.next()..) {
            if *seq != head.next() {
                break;
            }
            head = *seq;
            unread.push(write);
        }
        let mut seen = HashSet::new();
        unread.reverse();
        unread.retain(|write| seen.insert(&write.key) && wanted(&write.key.type_name));
        let items = unread.into_iter().rev().map(|write| write.item.clone());
        (items.collect(), head)
    }

    /// Cuts the ring if a gap has stayed since the last sweep. Returns whether it did.
    pub(super) fn drop_stale_gap(&mut self) -> bool {
        let stays = !self.out_of_order.is_empty() && std::mem::replace(&mut self.was_swept, true);
        if stays {
            self.restart_above();
        }
        stays
    }

    fn head(&self, low: Seq) -> Seq {
        self.writes.back().map_or(low, |write| write.item.seq)
    }

    fn release(&mut self, low: Seq) {
        let mut next = self.head(low).next();
        while let Some(write) = self.out_of_order.remove(&next) {
            self.out_of_order_bytes -= write.item.bytes();
            self.append(write);
            next = next.next();
            self.was_swept = false;
        }
    }

    fn append(&mut self, write: RingEntry) {
        let mut older = self.writes.iter_mut().rev();
        if let Some(replaced) = older.find(|older| older.key == write.key) {
            replaced.is_replaced = true;
        }
        self.bytes += write.item.bytes();
        self.writes.push_back(write);
    }

    fn bound(&mut self) {
        while self.writes.len() > WRITES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.writes.pop_front() else {
                return;
            };
            self.bytes -= oldest.item.bytes();
            self.low = Some(oldest.item.seq);
        }
        if self.out_of_order.len() > WRITES_MAX || self.out_of_order_bytes > BYTES_MAX {
            self.restart_above();
        }
    }

    /// Begins again above everything seen. Readers below that read the store.
    pub(super) fn restart_above(&mut self) {
        let last = self.out_of_order.last_key_value().map(|(seq, _)| *seq);
        *self = Self {
            low: last.max(self.low.map(|low| self.head(low))),
            ..Self::default()
        };
    }
}

impl RingEntry {
    fn of(write: &FeedWrite, rings_bytes: &Arc<AtomicUsize>) -> Self {
        Self {
            key: write.key.clone(),
            item: StoredChange::from(write.item.clone()).in_ring(rings_bytes),
            is_replaced: false,
        }
    }
}

impl Drop for RingEntry {
    fn drop(&mut self) {
        self.item.leave_ring();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_core::entry::{FeedItem, Record};

    use super::*;
    use crate::fixtures::{entry, key, marker, texts};

    fn item(seq: i64, id: &str) -> FeedItem {
        marker("s", seq, id)
    }

    fn offer(ring: &mut Ring, item: &FeedItem) {
        ring.push(&FeedWrite::encode(item).unwrap(), &Arc::default());
    }

    fn ring(seqs: impl IntoIterator<Item = i64>) -> Ring {
        let mut ring = Ring::default();
        for seq in seqs {
            offer(&mut ring, &item(seq, &seq.to_string()));
        }
        ring
    }

    fn read(ring: &Ring, seq: i64) -> Option<(Vec<i64>, i64)> {
        let position = Position {
            seq: Seq(seq),
            start: Seq(seq),
            number: None,
        };
        let (items, head) = ring.read(position, |_| true)?;
        Some((items.iter().map(|item| item.seq.0).collect(), head.0))
    }

    #[test]
    fn writes_out_of_order_are_held_back_until_the_gap_closes() {
        let mut ring = ring([5, 8, 7]);
        assert_eq!(read(&ring, 4), Some((vec![5], 5)));
        offer(&mut ring, &item(6, "6"));
        assert_eq!(read(&ring, 4), Some((vec![5, 6, 7, 8], 8)));
    }

    #[test]
    fn a_reader_beyond_the_gap_does_not_wait_for_it() {
        let mut ring = ring([5, 8]);
        assert_eq!(read(&ring, 7), Some((vec![8], 8)));
        assert_eq!(read(&ring, 6), Some((vec![], 6)));
        assert_eq!(read(&ring, 5), Some((vec![], 5)));
        offer(&mut ring, &item(9, "8"));
        assert_eq!(read(&ring, 7), Some((vec![9], 9)));
    }

    #[test]
    fn a_gap_that_stays_cuts_the_ring_and_its_readers_go_to_the_store() {
        let mut ring = ring([5, 7]);
        assert!(!ring.drop_stale_gap());
        offer(&mut ring, &item(8, "8"));
        assert_eq!(read(&ring, 5), Some((vec![], 5)));
        assert!(ring.drop_stale_gap());
        assert_eq!(read(&ring, 5), None);
        assert_eq!(read(&ring, 8), Some((vec![], 8)));
        offer(&mut ring, &item(9, "9"));
        assert_eq!(read(&ring, 8), Some((vec![9], 9)));
        assert!(!ring.drop_stale_gap());
    }

    #[test]
    fn the_time_of_a_gap_begins_with_it() {
        let mut ring = ring([5, 7]);
        assert!(!ring.drop_stale_gap());
        offer(&mut ring, &item(6, "6"));
        offer(&mut ring, &item(9, "9"));
        assert!(!ring.drop_stale_gap());
        assert_eq!(read(&ring, 5), Some((vec![6, 7], 7)));
    }

    #[test]
    fn a_gap_behind_which_too_much_is_held_cuts_the_ring() {
        let count = WRITES_MAX as i64;
        let mut ring = ring(std::iter::once(1).chain(3..3 + count));
        assert_eq!(read(&ring, 1), Some((vec![], 1)));
        offer(&mut ring, &item(3 + count, "last"));
        assert_eq!(read(&ring, 1), None);
        assert_eq!(read(&ring, 3 + count), Some((vec![], 3 + count)));
    }

    /// Tries all orders in which the writes of a scope can arrive, and all moments at which a ring and its reader may
    /// begin. The reader gets every write once, in the order of seqs, and has all of them after the last arrival.
    #[test]
    fn no_order_of_telling_leaves_a_reader_behind_or_with_a_gap() {
        const WRITES: i64 = 5;
        let mut seen = 0;
        for order in orders(&(1..=WRITES).collect::<Vec<_>>()) {
            for begins in 0..=WRITES as usize {
                // What has arrived is committed, and may be all that is.
                let reported = order[..begins].iter().max().copied().unwrap_or(0);
                for stands in reported..=WRITES {
                    for reads in 0..1 << (WRITES as usize - begins) {
                        follow(&order[begins..], stands, reads);
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 20_000, "{seen}");
    }

    fn orders(of: &[i64]) -> Vec<Vec<i64>> {
        if of.is_empty() {
            return vec![Vec::new()];
        }
        let begun = of.iter().flat_map(|first| {
            let others: Vec<i64> = of.iter().copied().filter(|seq| seq != first).collect();
            let rests = orders(&others).into_iter();
            rests.map(|rest| [vec![*first], rest].concat())
        });
        begun.collect()
    }

    /// A ring at which these writes arrive, and a reader of the store up to `stands`. The bits of `reads` say after
    /// which arrivals it reads. A wake-up is never lost, so it reads after the last.
    fn follow(reported: &[i64], stands: i64, reads: u32) {
        let (mut ring, mut at) = (Ring::default(), stands);
        for (place, seq) in reported.iter().enumerate() {
            // Two documents, so that later writes replace earlier ones.
            offer(&mut ring, &item(*seq, &(seq % 2).to_string()));
            if reads & (1 << place) == 0 && place + 1 < reported.len() {
                continue;
            }
            match read(&ring, at) {
                Some((items, head)) => {
                    let expected = (at + 1..=head).filter(|seq| seq + 2 > head);
                    assert_eq!(items, expected.collect::<Vec<_>>(), "{reported:?} {stands}");
                    at = head;
                }
                // The store has at least what has arrived.
                None => at = at.max(*reported[..=place].iter().max().unwrap()),
            }
        }
        let last = reported.iter().max().copied().unwrap_or(0);
        assert!(at >= last, "{reported:?} from {stands} ends at {at}");
    }

    #[test]
    fn a_reader_from_before_the_ring_goes_to_the_store() {
        let ring = ring([5]);
        assert_eq!(read(&ring, 3), None);
        assert_eq!(read(&ring, 9), Some((vec![], 9)));
    }

    #[test]
    fn a_scope_is_never_begun_from_a_ring() {
        let ring = ring([1, 2]);
        let beginning = Position {
            seq: Seq(0),
            start: Seq(2),
            number: None,
        };
        assert!(ring.read(beginning, |_| true).is_none());
    }

    #[test]
    fn a_page_carries_only_the_last_write_of_a_document() {
        let mut ring = Ring::default();
        for (seq, id) in [(1, "a"), (2, "b"), (3, "a")] {
            offer(&mut ring, &item(seq, id));
        }
        assert_eq!(read(&ring, 0), Some((vec![2, 3], 3)));
    }

    #[test]
    fn a_ring_is_bounded() {
        let count = WRITES_MAX as i64 + 10;
        let ring = ring(1..=count);
        assert_eq!(read(&ring, 9), None);
        assert_eq!(read(&ring, 10).unwrap().0.len(), WRITES_MAX);
    }

    #[test]
    fn a_ring_of_large_documents_keeps_fewer_and_none_that_is_too_large() {
        let mut ring = Ring::default();
        for (seq, size) in [(1, BYTES_MAX / 2), (2, BYTES_MAX / 2), (3, 1)] {
            offer(&mut ring, &large(seq, size));
        }
        assert_eq!(read(&ring, 0), None);
        assert_eq!(read(&ring, 1), Some((vec![2, 3], 3)));
        offer(&mut ring, &large(4, BYTES_MAX + 1));
        assert_eq!(read(&ring, 3), None);
        assert_eq!(read(&ring, 4), Some((vec![], 4)));
    }

    fn large(seq: i64, size: usize) -> FeedItem {
        let body = texts(&[("text", &"x".repeat(size))]);
        let entry = entry(key("Task", &seq.to_string()), "s", body);
        FeedItem {
            seq: Seq(seq),
            record: Record::Entry(Arc::new(entry)),
        }
    }
}
