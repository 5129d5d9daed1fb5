//! What an importer writes: entries for what others wrote, under a lease (rules.md section 8).

use indexmap::IndexSet;

use super::overlay::TransactionOverlay;
use crate::{
    id::DocumentKey,
    model::Model,
    transaction::{Fence, Loaded, Reads, Writes},
    value::Timestamp,
};

/// What stamping these documents has to load. `lease` is the importer's; without one, the caller is alone.
pub fn stamp_reads(keys: IndexSet<DocumentKey>, lease: Option<Fence>) -> Reads {
    Reads {
        keys,
        lease,
        ..Reads::default()
    }
}

/// Takes over what others wrote to the loaded documents. What the load left out has to be stamped by another commit.
pub fn stamp(model: &Model, now: Timestamp, loaded: &Loaded) -> Writes {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    let misfits = overlay.take_over_all();
    Writes {
        misfits,
        ..overlay.into_writes(now, Vec::new())
    }
}

/// The same, and takes documents that do not fit the model from devices: each gets a version that no reader of the model
/// shows, and gives no access. Its body stays, since the embedded store has it nowhere else.
pub fn stamp_and_withhold(model: &Model, now: Timestamp, loaded: &Loaded) -> Writes {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    let misfits = overlay.take_over_all();
    overlay.withhold_misfits(model, now);
    Writes {
        misfits,
        ..overlay.into_writes(now, Vec::new())
    }
}
