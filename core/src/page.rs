//! Making a page: from a checkpoint, the caller's grants and one snapshot of the store to the ranges to read, and from
//! the records to the next checkpoint.
//!
//! See rules.md section 2. The store reads, and the caller shows documents to clients. `tracks` has the rules of types.

mod tracks;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use self::tracks::Tracks;
use crate::{
    checkpoint::{Checkpoint, KnownTypes, Position, Refresh, Refreshed, RequestedTypes, Track},
    entry::ScopeState,
    generation::Standing,
    grant::Grants,
    id::{Epoch, Scope, Seq, TypeName},
    membership::POSITION_BYTES,
    mutant::{Mutant, is_active},
};

/// More tracks than a client ever has: it gets one each time that it adds types while others still catch up. Each of its
/// tracks gets a position in every scope, so the number is bounded.
const TRACKS_MAX: usize = 64;

/// The request of a page.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The client's position; without it the page starts again.
    pub checkpoint: Option<Checkpoint>,
    /// The types it wants.
    pub types: RequestedTypes,
    /// The types that it wants from the beginning again.
    pub refresh: Refresh,
    /// The scopes that it wants to read again as if they had been revoked and granted (rules.md 2.11).
    pub reread: BTreeSet<Scope>,
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
    /// The types of the gateway's model.
    pub known: &'a KnownTypes,
    /// The gateway's model beside the lead.
    pub standing: Standing,
}

impl PageInputs<'_> {
    fn state(&self, scope: &Scope) -> ScopeState {
        self.scopes.get(scope).copied().unwrap_or_default()
    }
}

/// The granted scopes in which the checkpoint is above the head, and its highest seq there: either the snapshot is late, or
/// the store has another history. A linearizable read decides (rules.md 2.4). One scope of another history is enough.
pub fn seqs_above_head(
    checkpoint: &Checkpoint,
    known: &KnownTypes,
    grants: &Grants,
    scopes: &HashMap<Scope, ScopeState>,
) -> BTreeMap<Scope, Seq> {
    let head = |scope: &Scope| scopes.get(scope).copied().unwrap_or_default().head;
    let mut above = BTreeMap::new();
    let read = checkpoint.tracks.iter().filter(|track| known.read(track));
    for (scope, Position { seq, .. }) in read.flat_map(|track| &track.positions) {
        if grants.can_read(scope) && *seq > head(scope) {
            let highest = above.entry(scope.clone()).or_insert(*seq);
            *highest = (*highest).max(*seq);
        }
    }
    above
}

/// The granted scopes that a track lacks.
pub fn added<'g>(track: &Track, grants: &'g Grants) -> Vec<&'g Scope> {
    let lacks = |scope: &&Scope| !track.positions.contains_key(*scope);
    grants.scopes().filter(lacks).collect()
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
    /// The types of the tracks that the page reads. They stand before the tracks of types that the gateway does not know.
    read: Vec<Arc<BTreeSet<TypeName>>>,
    heads: BTreeMap<Scope, Seq>,
    /// Whether the page reads all scopes, and knows all types that the client asks for.
    is_whole: bool,
}

/// A range of a feed that a page has to read.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedRange {
    track: usize,
    /// The scope of the feed.
    pub scope: Scope,
    /// The types.
    pub types: Arc<BTreeSet<TypeName>>,
    /// Only records above this seq.
    pub after: Seq,
    /// Only records up to and including this seq.
    pub through: Seq,
    /// Whether removals belong on the page too. They do not if the client holds nothing that they could remove.
    pub removals: bool,
}

impl PageCursor {
    /// Continues at the client's checkpoint, or starts again if continuity is broken.
    pub fn resume(request: PageRequest, view: &PageInputs<'_>) -> Self {
        let fresh = PageRequest {
            checkpoint: None,
            types: request.types.clone(),
            refresh: request.refresh.clone(),
            reread: BTreeSet::new(),
        };
        let taken_up = Self::take_up(request, view);
        if taken_up.checkpoint.tracks.len() == 1
            || positions_bytes(&taken_up.checkpoint) <= view.grants.bounds().positions_bytes()
        {
            return taken_up;
        }
        // It would not fit into a request, because every track names all scopes.
        Self::take_up(fresh, view)
    }

    /// Continues for a client that reads the rings, if only its grants may have changed. The page begins the scopes
    /// that were added, and the view needs only their states. In the others the client keeps its position (6.3).
    pub fn regrant(checkpoint: Checkpoint, view: &PageInputs<'_>) -> Self {
        let Checkpoint {
            epoch,
            tracks,
            mut skipped,
            turn,
            refreshed,
        } = checkpoint;
        let mut tracks = Tracks::of(tracks, view.known);
        let revoked = tracks.drop_revoked(|scope| view.grants.can_read(scope));
        skipped.retain(|scope, _| view.grants.can_read(scope));
        let lacking = tracks
            .read
            .iter()
            .flat_map(|track| added(track, view.grants));
        let added: BTreeSet<&Scope> = lacking.collect();
        tracks.begin(&added, view);
        Self {
            reset: false,
            revoked,
            heads: heads(added, view),
            read: tracks.names(view.known),
            is_whole: false,
            checkpoint: Checkpoint {
                epoch,
                tracks: tracks.into_list(),
                skipped,
                turn,
                refreshed,
            },
        }
    }

    fn take_up(request: PageRequest, view: &PageInputs<'_>) -> Self {
        let PageRequest {
            checkpoint,
            types,
            refresh,
            reread,
        } = request;
        let wanted = view.known.requested(&types);
        let knows_all = match &types {
            RequestedTypes::All => true,
            RequestedTypes::Only(names) => names.len() == wanted.len(),
        };
        let kept = checkpoint.and_then(|mut checkpoint| {
            let held = std::mem::take(&mut checkpoint.tracks);
            let mut tracks = Tracks::of(held, view.known);
            tracks.forget_unwritten();
            if types != RequestedTypes::All {
                tracks.narrow(&wanted);
            }
            is_continuous(&checkpoint, &tracks, view).then_some((checkpoint, tracks))
        });
        let reset = kept.is_none();
        let (mut checkpoint, mut tracks) = kept.unwrap_or_else(|| {
            let fresh = Checkpoint {
                epoch: view.epoch.clone(),
                tracks: Vec::new(),
                skipped: BTreeMap::new(),
                turn: None,
                refreshed: Refreshed::default(),
            };
            (fresh, Tracks::default())
        });
        let is_kept = |scope: &Scope| view.grants.can_read(scope) && !reread.contains(scope);
        let mut revoked = tracks.drop_revoked(is_kept);
        let begun = |scope: &Scope| view.grants.can_read(scope) && !revoked.contains(scope);
        let unheld: Vec<_> = reread.iter().filter(|it| begun(it)).cloned().collect();
        revoked.extend(unheld);
        checkpoint.skipped.retain(|scope, _| is_kept(scope));
        for (scope, skipped) in &mut checkpoint.skipped {
            if let Some(seq) = skipped.take_due(view.standing) {
                tracks.go_back(scope, seq, view);
            }
        }
        checkpoint.skipped.retain(|_, skipped| !skipped.is_empty());
        let due = checkpoint.refreshed.take_up(&refresh, view.known);
        tracks.refresh(&due, view);
        tracks.add(wanted);
        let granted: BTreeSet<&Scope> = view.grants.scopes().collect();
        tracks.begin(&granted, view);
        let heads = heads(granted, view);
        tracks.lower_starts(&heads);
        tracks.join();
        Self {
            reset,
            revoked,
            heads,
            read: tracks.names(view.known),
            is_whole: knows_all && tracks.unknown.is_empty(),
            checkpoint: Checkpoint {
                tracks: tracks.into_list(),
                ..checkpoint
            },
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
                let tracks = self.checkpoint.tracks.iter().zip(&self.read);
                tracks.enumerate().flat_map(move |(track, (on, types))| {
                    let position = on.positions.get(scope).copied();
                    let halves = position.map(|position| halves(position, *head));
                    halves.into_iter().flatten().map(move |half| FeedRange {
                        track,
                        scope: scope.clone(),
                        types: Arc::clone(types),
                        after: half.after,
                        through: half.through,
                        removals: half.removals,
                    })
                })
            })
            .collect()
    }

    /// The scopes of which the page may have a digest: those of which the client then has everything. There are none
    /// before the end of a catch-up, or if the client may hold types that the page does not speak of (rules.md 2.10).
    pub fn caught_up(&self) -> BTreeSet<Scope> {
        let is_early = !self.ranges().is_empty() && !is_active(Mutant::DigestEarly);
        if !self.is_whole || is_early {
            return BTreeSet::new();
        }
        let Checkpoint {
            tracks, skipped, ..
        } = &self.checkpoint;
        let is_at = |scope: &Scope, head: &Seq| {
            let mut positions = tracks.iter().map(|track| track.positions.get(scope));
            positions.all(|position| position.is_some_and(|position| position.seq == *head))
        };
        // A late snapshot does not know where the client's documents are by now.
        let late = self.heads.iter().any(|(scope, head)| {
            let mut positions = tracks.iter().filter_map(|track| track.positions.get(scope));
            positions.any(|position| position.seq > *head)
        });
        let heads = self.heads.iter().filter(|(scope, head)| {
            !late && **head > Seq::START && !skipped.contains_key(*scope) && is_at(scope, head)
        });
        heads.map(|(scope, _)| scope.clone()).collect()
    }

    /// The types of the page.
    pub fn types(&self) -> BTreeSet<TypeName> {
        self.read
            .iter()
            .flat_map(|types| types.iter())
            .cloned()
            .collect()
    }

    /// Records that a range was read up to and including `seq`, which is its end if nothing was left out.
    pub fn advance(&mut self, range: &FeedRange, seq: Seq) {
        if let Some(position) = self.checkpoint.tracks[range.track]
            .positions
            .get_mut(&range.scope)
        {
            position.advance(seq);
        }
    }

    /// Ends the page: gives the turn to the scope after `filled`, the one that filled it, and joins tracks that have come
    /// to stand together. Returns whether there is more.
    pub fn finish(&mut self, filled: Option<&Scope>) -> bool {
        let has_more = !self.ranges().is_empty() && !is_active(Mutant::NoMore);
        self.checkpoint.turn = filled.filter(|_| has_more).and_then(|filled| {
            self.heads
                .keys()
                .find(|scope| *scope > filled)
                .or_else(|| self.heads.keys().next())
                .cloned()
        });
        let mut read = std::mem::take(&mut self.checkpoint.tracks);
        let unknown = read.split_off(self.read.len());
        let mut tracks = Tracks { read, unknown };
        tracks.join();
        self.checkpoint.tracks = tracks.into_list();
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
fn halves(Position { seq, start, .. }: Position, head: Seq) -> impl Iterator<Item = TrackPart> {
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

/// The most bytes of the positions of all tracks in a token. A scope without a number stands there once by its name.
fn positions_bytes(checkpoint: &Checkpoint) -> usize {
    let positions = checkpoint.tracks.iter().flat_map(|track| &track.positions);
    let bytes = positions.map(|(scope, position)| match position.number {
        Some(_) => POSITION_BYTES,
        None => POSITION_BYTES + scope.as_str().len(),
    });
    bytes.sum()
}

/// Whether a client can continue from its position (rules.md 2.3 and 2.4). Types that the gateway does not know do not
/// count: it does not read them.
fn is_continuous(checkpoint: &Checkpoint, tracks: &Tracks, view: &PageInputs<'_>) -> bool {
    let on_course = |(scope, position): (&Scope, &Position)| {
        if !view.grants.can_read(scope) {
            return true;
        }
        let state = view.state(scope);
        let head = view
            .confirmed
            .get(scope)
            .map_or(state.head, |confirmed| state.head.max(*confirmed));
        let above_floor = position.start >= state.floor;
        (above_floor || is_active(Mutant::BelowTheFloor)) && position.seq <= head
    };
    let counted = tracks.unknown.iter();
    let counted = counted.filter(|_| is_active(Mutant::UnknownBelowTheFloor));
    let mut counted = counted.chain(&tracks.read);
    (checkpoint.epoch == *view.epoch || is_active(Mutant::OtherEpoch))
        && tracks.read.len() + tracks.unknown.len() <= TRACKS_MAX
        && counted.all(|track| track.positions.iter().all(on_course))
}

fn heads(scopes: BTreeSet<&Scope>, view: &PageInputs<'_>) -> BTreeMap<Scope, Seq> {
    let scopes = scopes.into_iter();
    scopes
        .map(|scope| (scope.clone(), view.state(scope).head))
        .collect()
}
