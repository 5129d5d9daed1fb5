//! Whether the present primary knows what a majority has. A new primary has everything that was acknowledged before its
//! election, but shows it to snapshots only once a majority has replicated a write of its own term.
//!
//! The driver finds the primary; the reader reads.

use std::sync::Arc;

use mongodb::{
    bson::oid::ObjectId,
    event::{EventHandler, sdam::SdamEvent},
};

use crate::lock::Mutex;

/// The last election that the driver reported, and the last one whose primary is known to have a majority.
#[derive(Debug, Default)]
pub(super) struct Elections(Mutex<ElectionState>);

#[derive(Debug, Default)]
struct ElectionState {
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
                elections.0.lock().latest = changed.new_description.max_election_id();
            }
        })
    }

    pub(super) fn latest(&self) -> Election {
        self.0.lock().latest
    }

    pub(super) fn is_confirmed(&self, election: Election) -> bool {
        self.0.lock().proved == election
    }

    /// A majority has replicated a write of this election's primary, or of a later one.
    pub(super) fn confirm(&self, election: Election) {
        self.0.lock().proved = election;
    }
}
