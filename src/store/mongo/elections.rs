//! Whether the present primary knows what a majority has. A new one has everything that was acknowledged before it, but
//! shows it to snapshots only once a majority has followed it in a write of its own term.
//!
//! Who is primary is the driver's to find out; what is read is the reader's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mongodb::{
    bson::oid::ObjectId,
    event::{EventHandler, sdam::SdamEvent},
};

/// The last election the driver has heard of, and the last whose primary is known to know.
#[derive(Debug, Default)]
pub(super) struct Elections(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    latest: Option<ObjectId>,
    proved: Option<ObjectId>,
}

/// An election, `None` before the first is heard of.
pub(super) type Election = Option<ObjectId>;

impl Elections {
    /// What has to be called with the driver's events.
    pub(super) fn follow(self: &Arc<Self>) -> EventHandler<SdamEvent> {
        let elections = Arc::clone(self);
        EventHandler::callback(move |event| {
            if let SdamEvent::TopologyDescriptionChanged(changed) = event {
                elections.lock().latest = changed.new_description.max_election_id();
            }
        })
    }

    pub(super) fn latest(&self) -> Election {
        self.lock().latest
    }

    pub(super) fn is_proved(&self, election: Election) -> bool {
        self.lock().proved == election
    }

    /// A majority has followed the primary of this election, or a later one.
    pub(super) fn prove(&self, election: Election) {
        self.lock().proved = election;
    }

    /// A panic while the lock was held leaves two ids all the same.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
