//! What a delete does to an entry.

use super::{Decision, DecisionContext, Rebase, Staleness, prune_writers};
use crate::{
    change::{BaseVersion, Change, Rejection},
    entry::Entry,
    inbox::ClientChange,
    model::Overlap,
    outcome::Status,
};

pub(super) fn decide(
    context: &DecisionContext<'_>,
    entry: Option<&Entry>,
    change: &Change,
    base: BaseVersion,
) -> Result<Decision, Rejection> {
    let entry = context.visible(entry)?;
    context.check_delete(entry)?;
    let rebase = Rebase {
        context,
        entry,
        change,
    };
    let applies = match context.staleness(entry, base)? {
        Staleness::Clean => true,
        Staleness::OfDeleted => false,
        Staleness::Stale(_) if context.overlap_for_whole_change() == Overlap::Manual => {
            return rebase.defer_change(ClientChange::Deleted, None);
        }
        Staleness::Stale(base) => rebase.wins(base),
    };
    // It applies whole or not at all, so it is APPLIED even if it was stale.
    if !applies {
        return Ok(Decision::keep(Status::Conflict, None));
    }
    let (version, run) = context.next_version(entry)?;
    let previous = entry.writers.values().max_by_key(|writer| writer.order());
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
