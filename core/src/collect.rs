//! Collecting old tombstones, markers, settled conflicts and the outcomes of old pushes, and beginning a new epoch: the two
//! commits that are not a push.

use crate::{
    entry::Record,
    id::{Epoch, MutationId},
    mutant::{Mutant, is_active},
    push::ClientState,
    transaction::{ExpiryQuery, Loaded, Reads, Writes},
    value::Timestamp,
};

/// What a collection loads: at most `limit` tombstones and markers older than `before`, and as many conflicts that were
/// settled before then, and as many clients that have not pushed since. Open conflicts stay, however old, and so does
/// each client's last id.
pub fn reads(before: Timestamp, limit: usize) -> Reads {
    Reads {
        expired: Some(ExpiryQuery { before, limit }),
        ..Reads::default()
    }
}

/// Removes what was loaded, and in the same transaction raises each scope's floor to the highest seq and the version floor
/// to the highest version that is removed (rules.md 3.1). So a client that was away for longer resets, and an id that comes
/// back begins above.
pub fn decide(loaded: &Loaded) -> Writes {
    let mut writes = Writes::default();
    let mut version_floor = loaded.version_floor;
    let collectable = loaded
        .expired
        .iter()
        .filter(|item| item.record.is_collectable());
    for item in collectable {
        let floor = writes
            .floors
            .entry(item.record.scope().clone())
            .or_default();
        if !is_active(Mutant::FloorStays) {
            *floor = item.seq.max(*floor);
        }
        if let Record::Entry(tombstone) = &item.record {
            version_floor = version_floor.max(tombstone.version);
        }
        writes.collected.push(item.clone());
    }
    writes.resolutions_removed = loaded.expired_resolutions.clone();
    let idle = loaded.idle.iter();
    writes.clients = idle
        .map(|(key, last)| {
            let last = if is_active(Mutant::LastIdForgotten) {
                MutationId(0)
            } else {
                *last
            };
            (key.clone(), ClientState::forgotten(last))
        })
        .collect();
    writes.version_floor = (version_floor > loaded.version_floor).then_some(version_floor);
    writes
}

/// Begins a new epoch, as after a restore from backup: every client resets.
pub fn rotate(epoch: Epoch) -> Writes {
    Writes {
        epoch: Some(epoch),
        ..Writes::default()
    }
}
