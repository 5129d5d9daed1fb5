//! Whether the present primary knows what a majority has. A new primary has everything that was acknowledged before its
//! election, but shows it to snapshots only once a majority has replicated a write of its own term.
//!
//! The driver finds the primary; the reader reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mongodb::{
    bson::oid::ObjectId,
    event::{EventHandler, sdam::SdamEvent},
};

/// The last election that the driver reported, and the last one whose primary is known to have a majority.
#[derive(Debug, Default)]
pub(super) struct Elections(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    latest: Option<ObjectId>,
    proved: Option<ObjectId>,
}

/// An election; `None` before the driver reports one.
pub(super) type Election = Option<ObjectId>;

impl Elections {
    /// The handler of the driver's events.
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

    /// A majority has replicated a write of this election's primary, or of a later one.
    pub(super) fn prove(&self, election: Election) {
        self.lock().proved = election;
    }

    /// After a panic under the lock both ids are still valid.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
