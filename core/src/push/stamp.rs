//! What an importer writes: entries for what others wrote, under a lease (rules.md section 8).

use indexmap::IndexSet;

use super::overlay::{Duplicates, TransactionOverlay};
use crate::{
    entry::Entry,
    grant,
    id::DocumentKey,
    model::{DocumentType, Model},
    transaction::{Fence, Loaded, Reads, Writes},
    value::{Document, Timestamp},
};

/// What stamping these documents has to load. `lease` is the importer's; without one, the caller is alone.
pub fn stamp_reads(keys: IndexSet<DocumentKey>, lease: Option<Fence>) -> Reads {
    Reads {
        keys,
        lease,
        ..Reads::default()
    }
}

/// Whether an entry is in the scope of its fields, or in nobody's if they form none.
pub fn is_in_its_scope(document_type: &DocumentType, entry: &Entry, body: &Document) -> bool {
    grant::place_of(document_type, &entry.key.id, body) == entry.scope
}

/// Takes over what others wrote to the loaded documents. What the load left out has to be stamped by another commit.
pub fn stamp(model: &Model, now: Timestamp, loaded: &Loaded) -> Writes {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    overlay.meet_duplicates(now, Duplicates::OfWhatIsTakenOver { with_moved: true });
    let misfits = overlay.take_over_all();
    Writes {
        misfits,
        duplicates: overlay.duplicates(),
        ..overlay.into_writes(now, Vec::new())
    }
}

/// The same, and takes documents that do not fit the model from devices: each gets a version that no reader of the model
/// shows, and gives no access. Its body stays, since the embedded store has it nowhere else. It needs no lease: what it
/// writes conflicts with a change of the lead.
pub fn stamp_and_withhold(model: &Model, now: Timestamp, loaded: &Loaded) -> Writes {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    overlay.meet_duplicates(now, Duplicates::OfWhatIsTakenOver { with_moved: false });
    let misfits = overlay.take_over_all();
    overlay.withhold_misfits(model, now);
    let duplicates = overlay.duplicates();
    let writes = overlay.into_writes(now, Vec::new());
    Writes {
        misfits,
        duplicates,
        imports_alone: !writes.entries.is_empty(),
        ..writes
    }
}
