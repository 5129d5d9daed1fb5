//! Lanes: the transactions that this gateway runs at the same time, each with a group number of its own.
//!
//! A transaction writes its number, which shows later whether it was committed (rules.md 5.2).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Random, places::group_id};

use crate::lock::Mutex;

/// All lanes of a gateway.
pub(super) struct Lanes {
    free: Arc<Mutex<Vec<State>>>,
    permits: Arc<Semaphore>,
    count: usize,
}

#[derive(Debug)]
struct State {
    /// The key of the lane's group number.
    id: String,
    /// The last number given to a transaction.
    last: i64,
}

/// A lane in use by a commit. Dropping it frees the lane.
pub(super) struct Lane {
    /// `None` only while dropping.
    state: Option<State>,
    free: Arc<Mutex<Vec<State>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    pub(super) fn new(random: &Random, count: usize) -> Self {
        let (gateway, count) = (random(), count.max(1));
        let state = |lane| State {
            id: group_id(gateway, lane),
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

    /// Waits for a free lane.
    pub(super) async fn enter(&self) -> Lane {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let state = self.free.lock().pop();
        Lane {
            state: Some(state.expect("there are as many lanes as permits")),
            free: Arc::clone(&self.free),
            _permit: permit,
        }
    }
}

impl Lane {
    /// The key of the lane's group number.
    pub(super) fn id(&self) -> &str {
        &self.state().id
    }

    /// A number that no transaction of this lane has had.
    pub(super) fn next_number(&mut self) -> i64 {
        let state = self.state.as_mut().expect(HELD);
        state.last += 1;
        state.last
    }

    fn state(&self) -> &State {
        self.state.as_ref().expect(HELD)
    }
}

const HELD: &str = "a lane has its state until it is dropped";

impl Drop for Lane {
    fn drop(&mut self) {
        self.free.lock().extend(self.state.take());
    }
}
