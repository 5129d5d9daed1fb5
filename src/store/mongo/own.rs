//! What this gateway commits itself: its tails hear of it here, at once, and leave it out of the change stream. Its
//! records bear the gateway's mark, by which MongoDB tells them apart; to take them out of the oplog and send them back is
//! a third of what a small commit costs there.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use futures_util::{Stream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::Random;
use crate::store::{FeedWrite, TailEvent};

/// So many commits a tail may lag behind before it is told to begin anew.
const COMMITS_MAX: usize = 64;

/// The commits of one gateway, for its own tails.
pub(super) struct Own {
    random: Random,
    mark: AtomicI64,
    commits: broadcast::Sender<Arc<[FeedWrite]>>,
}

impl Own {
    pub(super) fn new(random: Random) -> Self {
        Self {
            mark: AtomicI64::new(drawn(&random)),
            random,
            commits: broadcast::Sender::new(COMMITS_MAX),
        }
    }

    /// What its records bear.
    pub(super) fn mark(&self) -> i64 {
        self.mark.load(Ordering::SeqCst)
    }

    /// To be called when it is known that these were committed.
    pub(super) fn committed(&self, writes: Vec<FeedWrite>) {
        if !writes.is_empty() {
            // Nobody may be listening.
            drop(self.commits.send(writes.into()));
        }
    }

    /// Something of its own may have been committed, or may still be, of which it will not learn. With another mark that
    /// is somebody else's: tails begin anew, and the change stream tells of it.
    pub(super) fn doubt(&self) {
        self.mark.store(drawn(&self.random), Ordering::SeqCst);
    }

    /// What is committed from now on.
    pub(super) fn follow(&self) -> impl Stream<Item = TailEvent> + Send + 'static {
        BroadcastStream::new(self.commits.subscribe())
            .map(|commit| commit.map_or(TailEvent::Restart, TailEvent::Committed))
    }
}

fn drawn(random: &Random) -> i64 {
    i64::from_ne_bytes(random().to_ne_bytes())
}
