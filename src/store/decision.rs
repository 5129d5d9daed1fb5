//! Running a decision, and judging its writes. Every store uses it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tidegate_core::transaction::{Loaded, Writes};
use tokio::task::JoinError;

use super::{DecideFn, StoreError};

/// Runs the decision. A panic fails this commit, not the store.
///
/// # Errors
/// [`StoreError::DecisionFailed`] when it panics.
pub(super) fn run_decision(decide: &DecideFn, loaded: &Loaded) -> Result<Writes, StoreError> {
    catch_unwind(AssertUnwindSafe(|| decide(loaded)))
        .map_err(|panic| StoreError::DecisionFailed(panic_message(&*panic)))
}

/// The message of a panic, if it is a constant of this program. A formatted message may hold a value.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&'static str>().copied();
    literal.unwrap_or("it panicked").to_owned()
}

/// Why a task ended early. The text of its panic may hold a value.
pub(crate) fn ended_early(ended: &JoinError) -> StoreError {
    let how = match ended.is_panic() {
        true => "a task panicked",
        false => "a task was given up",
    };
    StoreError::Unavailable(how.to_owned())
}

/// Whether a commit of `writes` would change anything.
pub(super) fn changes_nothing(writes: &Writes) -> bool {
    let Writes {
        entries,
        markers,
        markers_removed,
        users,
        uncounted: _,
        unheld: _,
        freed: _,
        vacating: _,
        duplicates: _,
        clients,
        clients_removed,
        erasure,
        inbox,
        resolutions_removed: forgotten,
        conflicts_removed: erased,
        collected,
        floors,
        version_floor,
        epoch,
        misfits,
        imports_alone: _,
        answers: _,
    } = writes;
    let no_records = entries.is_empty() && markers.is_empty() && markers_removed.is_empty();
    let no_clients = clients.is_empty() && clients_removed.is_empty() && erasure.is_none();
    let no_states = no_clients && users.is_empty() && collected.is_empty() && floors.is_empty();
    let no_conflicts = inbox.is_empty() && forgotten.is_empty() && erased.is_empty();
    no_records
        && no_states
        && no_conflicts
        && misfits.is_empty()
        && version_floor.is_none()
        && epoch.is_none()
}
