//! Where a page leaves its client, and whether it could go on from where it stood.

use tidegate_core::{
    checkpoint::{Checkpoint, Position, RequestedTypes, Track},
    entry::{FeedItem, Record},
    id::{Scope, TypeName},
};
use tidegate_testkit::store::State;

use super::{Judged, Property, expect};
use crate::people::{self, Edition};

/// A client that begins a scope, with this page or before it, gets nothing that was removed there before.
pub(crate) fn judge_no_past(
    from: Option<&Checkpoint>,
    to: &Checkpoint,
    changes: &[FeedItem],
) -> Judged {
    // What is withheld may be so for this gateway alone. The client comes back to it.
    let is_removal = |item: &&FeedItem| match &item.record {
        Record::Entry(entry) => entry.is_deleted() && !entry.withheld,
        Record::Marker(_) => true,
    };
    for item in changes.iter().filter(is_removal) {
        let begun = from.and_then(|from| position(from, &item.record));
        // A client that has reached the start of a scope has raised it since.
        let begins = |begun: &Position| begun.seq < begun.start;
        let begun = begun.or_else(|| position(to, &item.record).filter(begins));
        expect(
            begun.is_none_or(|begun| item.seq > begun.start),
            Property::NoPast,
            || format!("{item:?} stood there when {begun:?} was begun"),
        )?;
    }
    Ok(())
}

/// A page continues at the client's positions, in every scope of each type in both, and leaves out only revoked scopes.
/// In a history of two models it may go back for what a gateway passed over, and remembers where it was.
pub(crate) fn judge_monotone(
    from: &Checkpoint,
    to: &Checkpoint,
    revoked: &[Scope],
    may_go_back: bool,
) -> Judged {
    for type_name in people::types() {
        let (Some(from), Some(to)) = (track(from, &type_name), track(to, &type_name)) else {
            continue;
        };
        let kept = |scope: &&Scope| !revoked.contains(scope);
        for scope in from.positions.keys().filter(kept) {
            let (before, after) = (from.positions[scope].seq, to.positions.get(scope));
            let goes_on = after
                .is_some_and(|after| after.seq >= before || may_go_back && after.start >= before);
            expect(goes_on, Property::Monotone, || {
                format!("{type_name} in {scope} from {before:?} to {after:?}")
            })?;
        }
    }
    Ok(())
}

fn track<'c>(checkpoint: &'c Checkpoint, type_name: &TypeName) -> Option<&'c Track> {
    let mut tracks = checkpoint.tracks.iter();
    tracks.find(|track| track.types.contains(&people::number(type_name)))
}

/// Whether a client could have continued from its checkpoint in this state, in the scopes that it has now. Only positions
/// of types count that the gateway knows and the client wants (rules.md 2.3).
pub(crate) fn is_continuous(
    from: Option<&Checkpoint>,
    given: &Checkpoint,
    (gateway, wanted): (Edition, &RequestedTypes),
    state: &State,
) -> bool {
    let Some(from) = from else { return false };
    let scopes = |scope: &&Scope| {
        given
            .tracks
            .iter()
            .any(|track| track.positions.contains_key(*scope))
    };
    let counts = |track: &&Track| {
        let types = people::types().into_iter();
        let mut types = types.filter(|name| track.types.contains(&people::number(name)));
        types.any(|name| people::knows(gateway, &name) && wanted.contain(&name))
    };
    from.epoch == state.epoch
        && from
            .tracks
            .iter()
            .filter(counts)
            .flat_map(|track| &track.positions)
            .filter(|(scope, _)| scopes(scope))
            .all(|(scope, position)| {
                let now = state.scope(scope);
                position.seq.max(position.start) >= now.floor && position.seq <= now.head
            })
}

pub(super) fn position(checkpoint: &Checkpoint, record: &Record) -> Option<Position> {
    let track = track(checkpoint, &record.key().type_name)?;
    track.positions.get(record.scope()).copied()
}
