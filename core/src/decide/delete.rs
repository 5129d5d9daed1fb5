//! What a delete does to an entry.

use super::{Context, Decision, Standing, hold, prune_writers};
use crate::{
    change::{BaseVersion, Change, Rejection},
    entry::Entry,
    inbox::Mine,
    model::Overlap,
    outcome::Status,
};

pub(super) fn decide(
    context: &Context<'_>,
    entry: Option<&Entry>,
    change: &Change,
    base: BaseVersion,
) -> Result<Decision, Rejection> {
    let entry = context.writable(entry)?;
    let overlap = context.whole_overlap();
    let applies = match context.standing(entry, base)? {
        Standing::Clean => true,
        Standing::OfDeleted => false,
        Standing::Stale(_) if overlap == Overlap::Manual => {
            return hold::whole(context, entry, change, Mine::Deleted, None);
        }
        Standing::Stale(base) => context.wins_whole(overlap, change, entry, base),
    };
    if applies {
        tombstone(context, entry, change)
    } else {
        Ok(Decision::keep(Status::Conflict, None))
    }
}

/// A delete applies whole or not at all, so it is APPLIED even if it was stale.
fn tombstone(context: &Context<'_>, entry: &Entry, change: &Change) -> Result<Decision, Rejection> {
    let (version, run) = context.next_version(entry)?;
    let previous = entry
        .writers
        .values()
        .max_by_key(|writer| writer.lateness());
    let mut next = Entry {
        version,
        run,
        at: context.now,
        field_versions: Default::default(),
        body: None,
        membership: None,
        ..entry.clone()
    };
    next.writers
        .insert(version, context.writer(change, previous));
    prune_writers(&mut next);
    Ok(Decision::write(Status::Applied, next, None))
}
