//! Making a page: from a checkpoint, the caller's grants and one snapshot of the store to the ranges to read, and from
//! the records to the next checkpoint.
//!
//! See rules.md section 2. The store reads, and the caller shows documents to clients.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    checkpoint::{Checkpoint, Position, RequestedTypes, Track},
    entry::ScopeState,
    grant::Grants,
    id::{Epoch, Scope, Seq, TypeName},
    membership::POSITION_BYTES,
    model::Model,
    mutant::{Mutant, is_active},
};

/// More tracks than a client ever has: it gets one each time that it adds types while others still catch up. A token is
/// not signed, and each of its tracks gets a position in every scope, so the number is bounded.
const TRACKS_MAX: usize = 64;

/// The request of a page.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The client's position; without it the page starts again.
    pub checkpoint: Option<Checkpoint>,
    /// The types it wants.
    pub types: RequestedTypes,
}

/// The part of the store that a page depends on, all of one moment.
#[derive(Debug)]
pub struct PageInputs<'a> {
    /// The store's epoch.
    pub epoch: &'a Epoch,
    /// What the caller may see.
    pub grants: &'a Grants,
    /// Heads and floors of all scopes that the caller may see.
    pub scopes: &'a HashMap<Scope, ScopeState>,
    /// Heads by linearizable reads, for the scopes of [`seqs_above_head`].
    pub confirmed: &'a HashMap<Scope, Seq>,
}

impl PageInputs<'_> {
    fn state(&self, scope: &Scope) -> ScopeState {
        self.scopes.get(scope).copied().unwrap_or_default()
    }
}

/// The granted scopes in which the checkpoint is above the head: either the snapshot is late, or the store has another
/// history. A linearizable read decides (rules.md 2.4).
pub fn seqs_above_head(
    checkpoint: &Checkpoint,
    grants: &Grants,
    scopes: &HashMap<Scope, ScopeState>,
) -> BTreeSet<Scope> {
    let head = |scope: &Scope| scopes.get(scope).copied().unwrap_or_default().head;
    positions(checkpoint)
        .filter(|(scope, position)| grants.can_read(scope) && position.seq > head(scope))
        .map(|(scope, _)| scope.clone())
        .collect()
}

/// The granted scopes that the checkpoint does not have.
pub fn added<'g>(checkpoint: &Checkpoint, grants: &'g Grants) -> Vec<&'g Scope> {
    let has = |scope: &Scope| {
        let mut tracks = checkpoint.tracks.iter();
        tracks.any(|track| track.positions.contains_key(scope))
    };
    grants.scopes().filter(|scope| !has(scope)).collect()
}

/// A page in progress.
#[derive(Debug, Clone, PartialEq)]
pub struct PageCursor {
    /// Whether the client must start again.
    pub reset: bool,
    /// Scopes that the client held and may no longer see.
    pub revoked: Vec<Scope>,
    /// The client's position. It moves as scans are recorded.
    pub checkpoint: Checkpoint,
    heads: BTreeMap<Scope, Seq>,
}

/// A range of a feed that a page has to read.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedRange {
    track: usize,
    /// The scope of the feed.
    pub scope: Scope,
    /// The types.
    pub types: RequestedTypes,
    /// Only records above this seq.
    pub after: Seq,
    /// Only records up to and including this seq.
    pub through: Seq,
    /// Whether removals belong on the page too. They do not if the client holds nothing that they could remove.
    pub removals: bool,
}

impl PageCursor {
    /// Continues at the client's checkpoint, or starts again if continuity is broken.
    pub fn resume(model: &Model, request: PageRequest, view: &PageInputs<'_>) -> Self {
        let fresh = PageRequest {
            checkpoint: None,
            types: request.types.clone(),
        };
        let taken_up = Self::take_up(model, request, view);
        if taken_up.checkpoint.tracks.len() == 1
            || positions_bytes(&taken_up.checkpoint) <= view.grants.bounds().positions_bytes()
        {
            return taken_up;
        }
        // It would not fit into a request, because every track names all scopes.
        Self::take_up(model, fresh, view)
    }

    /// Continues for a client that reads the rings, if only its grants may have changed. The page begins the scopes
    /// that were added, and the view needs only their states. In the others the client keeps its position (6.3).
    pub fn regrant(mut checkpoint: Checkpoint, view: &PageInputs<'_>) -> Self {
        let revoked = drop_revoked(&mut checkpoint, view.grants);
        let added = added(&checkpoint, view.grants);
        begin(&mut checkpoint, &added, view);
        Self {
            reset: false,
            revoked,
            checkpoint,
            heads: heads(added, view),
        }
    }

    fn take_up(model: &Model, request: PageRequest, view: &PageInputs<'_>) -> Self {
        let PageRequest { checkpoint, types } = request;
        let kept = checkpoint.filter(|checkpoint| is_continuous(checkpoint, view));
        let reset = kept.is_none();
        let mut checkpoint = kept.unwrap_or_else(|| Checkpoint {
            epoch: view.epoch.clone(),
            types: types.clone(),
            tracks: Vec::new(),
            turn: None,
        });
        let revoked = drop_revoked(&mut checkpoint, view.grants);
        update_tracks(model, &mut checkpoint, types);
        let granted: Vec<&Scope> = view.grants.scopes().collect();
        begin(&mut checkpoint, &granted, view);
        let heads = heads(granted, view);
        lower_starts(&mut checkpoint, &heads);
        Self {
            reset,
            revoked,
            checkpoint,
            heads,
        }
    }

    /// The ranges that the page has to read, in order: only scopes that moved, beginning with the one whose turn it is.
    pub fn ranges(&self) -> Vec<FeedRange> {
        let turn = self.checkpoint.turn.as_ref();
        let later = self
            .heads
            .iter()
            .filter(|(scope, _)| turn.is_none_or(|turn| *scope >= turn));
        let earlier = self
            .heads
            .iter()
            .filter(|(scope, _)| turn.is_some_and(|turn| *scope < turn));
        later
            .chain(earlier)
            .flat_map(|(scope, head)| {
                self.checkpoint
                    .tracks
                    .iter()
                    .enumerate()
                    .flat_map(move |(track, on)| {
                        let position = on.positions.get(scope).copied();
                        let halves = position.map(|position| halves(position, *head));
                        halves.into_iter().flatten().map(move |half| FeedRange {
                            track,
                            scope: scope.clone(),
                            types: on.types.clone(),
                            after: half.after,
                            through: half.through,
                            removals: half.removals,
                        })
                    })
            })
            .collect()
    }

    /// Records that a range was read up to and including `seq`, which is its end if nothing was left out.
    pub fn advance(&mut self, range: &FeedRange, seq: Seq) {
        if let Some(position) = self.checkpoint.tracks[range.track]
            .positions
            .get_mut(&range.scope)
        {
            position.seq = seq;
        }
    }

    /// Ends the page: gives the turn to the scope after `filled`, the one that filled it, and joins the tracks once
    /// nothing is left. Returns whether there is more.
    pub fn finish(&mut self, filled: Option<&Scope>) -> bool {
        let has_more = !self.ranges().is_empty() && !is_active(Mutant::NoMore);
        self.checkpoint.turn = filled.filter(|_| has_more).and_then(|filled| {
            self.heads
                .keys()
                .find(|scope| *scope > filled)
                .or_else(|| self.heads.keys().next())
                .cloned()
        });
        if !has_more {
            merge_tracks(&mut self.checkpoint);
        }
        has_more
    }
}

/// A part of the rest of a scope.
struct TrackPart {
    after: Seq,
    through: Seq,
    removals: bool,
}

/// The rest of a scope, on both sides of the head at which the client began it (rules.md 2.8). The client held nothing
/// of the scope then, so it needs no removals from before.
fn halves(Position { seq, start }: Position, head: Seq) -> impl Iterator<Item = TrackPart> {
    let start = if is_active(Mutant::PastSent) {
        Seq::START
    } else if is_active(Mutant::RemovalsSparedToHead) && seq < start {
        head
    } else {
        start.min(head)
    };
    let past = TrackPart {
        after: seq,
        through: start,
        removals: false,
    };
    let since = TrackPart {
        after: seq.max(start),
        through: head,
        removals: !is_active(Mutant::RemovalsSparedAlways),
    };
    [past, since]
        .into_iter()
        .filter(|half| half.after < half.through)
}

fn positions(checkpoint: &Checkpoint) -> impl Iterator<Item = (&Scope, &Position)> {
    checkpoint.tracks.iter().flat_map(|track| &track.positions)
}

/// The most bytes of the positions of all tracks in a checkpoint.
fn positions_bytes(checkpoint: &Checkpoint) -> usize {
    positions(checkpoint)
        .map(|(scope, _)| scope.as_str().len() + POSITION_BYTES)
        .sum()
}

/// Whether a client can continue from its position (rules.md 2.3 and 2.4).
fn is_continuous(checkpoint: &Checkpoint, view: &PageInputs<'_>) -> bool {
    let on_course = |(scope, position): (&Scope, &Position)| {
        if !view.grants.can_read(scope) {
            return true;
        }
        let state = view.state(scope);
        let head = view
            .confirmed
            .get(scope)
            .map_or(state.head, |confirmed| state.head.max(*confirmed));
        let above_floor = position.seq.max(position.start) >= state.floor;
        (above_floor || is_active(Mutant::BelowTheFloor)) && position.seq <= head
    };
    (checkpoint.epoch == *view.epoch || is_active(Mutant::OtherEpoch))
        && checkpoint.tracks.len() <= TRACKS_MAX
        && positions(checkpoint).all(on_course)
}

/// Begins the scopes at 0 in which a track has no position yet.
fn begin(checkpoint: &mut Checkpoint, scopes: &[&Scope], view: &PageInputs<'_>) {
    for track in &mut checkpoint.tracks {
        for scope in scopes {
            let begin = || Position {
                seq: Seq::START,
                start: if is_active(Mutant::NoStart) {
                    Seq::START
                } else {
                    view.state(scope).head
                },
            };
            let positions = &mut track.positions;
            positions.entry(Scope::clone(scope)).or_insert_with(begin);
        }
    }
}

fn heads(scopes: Vec<&Scope>, view: &PageInputs<'_>) -> BTreeMap<Scope, Seq> {
    let scopes = scopes.into_iter();
    scopes
        .map(|scope| (scope.clone(), view.state(scope).head))
        .collect()
}

/// A late snapshot shows what was removed between its heads and the start. The client stores it, so it needs these removals
/// later (2.8).
fn lower_starts(checkpoint: &mut Checkpoint, heads: &BTreeMap<Scope, Seq>) {
    for (scope, position) in checkpoint.tracks.iter_mut().flat_map(|t| &mut t.positions) {
        let late = heads.get(scope).filter(|head| position.seq < **head);
        position.start = late.map_or(position.start, |head| position.start.min(*head));
    }
}

/// A revoked scope is reported once and leaves the checkpoint, so a later grant starts it again (2.6).
fn drop_revoked(checkpoint: &mut Checkpoint, grants: &Grants) -> Vec<Scope> {
    let revoked: BTreeSet<Scope> = positions(checkpoint)
        .map(|(scope, _)| scope)
        .filter(|scope| !grants.can_read(scope))
        .cloned()
        .collect();
    for track in &mut checkpoint.tracks {
        track
            .positions
            .retain(|scope, _| !revoked.contains(scope) || is_active(Mutant::RevokedScopeKept));
    }
    revoked.into_iter().collect()
}

/// Makes the tracks cover the requested types. Fewer types need no change; added ones begin a track at 0 (2.5).
fn update_tracks(model: &Model, checkpoint: &mut Checkpoint, types: RequestedTypes) {
    if let RequestedTypes::Only(wanted) = &types {
        for track in &mut checkpoint.tracks {
            track.types = match &track.types {
                RequestedTypes::All => types.clone(),
                RequestedTypes::Only(names) => {
                    RequestedTypes::Only(names.intersection(wanted).cloned().collect())
                }
            };
        }
        checkpoint
            .tracks
            .retain(|track| track.types != RequestedTypes::Only(BTreeSet::new()));
    }
    let covered = |name: &TypeName| {
        checkpoint
            .tracks
            .iter()
            .any(|track| track.types.contain(name))
    };
    let added: BTreeSet<TypeName> = model
        .types
        .iter()
        .map(|document_type| &document_type.name)
        .filter(|name| types.contain(name) && !covered(name))
        .cloned()
        .collect();
    if checkpoint.tracks.is_empty() {
        checkpoint.tracks.push(Track {
            types: types.clone(),
            positions: BTreeMap::new(),
        });
    } else if !added.is_empty() && !is_active(Mutant::AddedTypes) {
        checkpoint.tracks.push(Track {
            types: RequestedTypes::Only(added),
            positions: BTreeMap::new(),
        });
    }
    checkpoint.types = types;
}

/// Joins tracks that have all caught up. They are at the same heads, except for one that was above a late snapshot. The
/// others have read nothing beyond the snapshot, so the lower position counts.
fn merge_tracks(checkpoint: &mut Checkpoint) {
    let mut tracks = std::mem::take(&mut checkpoint.tracks).into_iter();
    let Some(mut joined) = tracks.next() else {
        return;
    };
    for (scope, position) in tracks.flat_map(|track| track.positions) {
        let held = joined.positions.entry(scope).or_insert(position);
        held.seq = held.seq.min(position.seq);
        held.start = held.start.max(position.start);
    }
    joined.types = checkpoint.types.clone();
    checkpoint.tracks = vec![joined];
}
