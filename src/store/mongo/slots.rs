//! Lanes: the transactions that this gateway runs at the same time, each with a group number of its own.
//!
//! A transaction writes its number, which shows later whether it was committed (rules.md 5.2).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Random, names::group_id};

use crate::lock::Mutex;

/// All slots of a gateway.
pub(super) struct TransactionSlots {
    free: Arc<Mutex<Vec<SlotState>>>,
    permits: Arc<Semaphore>,
    count: usize,
}

#[derive(Debug)]
struct SlotState {
    /// The key of the slot's group number.
    id: String,
    /// The last number given to a transaction.
    last: i64,
}

/// A slot in use by a commit. Dropping it frees the slot.
pub(super) struct TransactionSlot {
    /// `None` only while dropping.
    state: Option<SlotState>,
    free: Arc<Mutex<Vec<SlotState>>>,
    _permit: OwnedSemaphorePermit,
}

impl TransactionSlots {
    pub(super) fn new(random: &Random, count: usize) -> Self {
        let (gateway, count) = (random(), count.max(1));
        let state = |slot| SlotState {
            id: group_id(gateway, slot),
            last: 0,
        };
        Self {
            free: Arc::new(Mutex::new((0..count).map(state).collect())),
            permits: Arc::new(Semaphore::new(count)),
            count,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits for a free slot.
    pub(super) async fn acquire(&self) -> TransactionSlot {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let state = self.free.lock().pop();
        TransactionSlot {
            state: Some(state.expect("there are as many slots as permits")),
            free: Arc::clone(&self.free),
            _permit: permit,
        }
    }
}

impl TransactionSlot {
    /// The key of the slot's group number.
    pub(super) fn id(&self) -> &str {
        &self.state().id
    }

    /// A number that no transaction of this slot has had.
    pub(super) fn next_number(&mut self) -> i64 {
        let state = self.state.as_mut().expect(STATE_KEPT);
        state.last += 1;
        state.last
    }

    fn state(&self) -> &SlotState {
        self.state.as_ref().expect(STATE_KEPT)
    }
}

const STATE_KEPT: &str = "a slot has its state until it is dropped";

impl Drop for TransactionSlot {
    fn drop(&mut self) {
        self.free.lock().extend(self.state.take());
    }
}
