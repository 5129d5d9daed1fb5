//! The tracks of a checkpoint at a gateway: those that it reads, and those of types that it does not know, which stay
//! where they are (rules.md 2.5).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::PageInputs;
use crate::{
    checkpoint::{KnownTypes, Position, Track},
    generation::TypeNumber,
    id::{Scope, Seq, TypeName},
    mutant::{Mutant, is_active},
};

/// All tracks of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// Those of types that the gateway knows.
    pub(super) read: Vec<Track>,
    /// Those of other types.
    pub(super) unknown: Vec<Track>,
}

impl Tracks {
    /// Divides tracks by what the gateway knows.
    pub(super) fn of(tracks: Vec<Track>, known: &KnownTypes) -> Self {
        let mut divided = Self::default();
        for mut track in tracks {
            let is_known = |number: &TypeNumber| known.all().contains(number);
            let (inside, outside): (BTreeSet<_>, BTreeSet<_>) =
                track.types.iter().partition(|number| is_known(number));
            if is_active(Mutant::UnknownTypesPassed) && !inside.is_empty() {
                divided.read.push(track);
                continue;
            }
            if !outside.is_empty() {
                divided.unknown.push(Track {
                    types: outside,
                    positions: track.positions.clone(),
                });
            }
            if !inside.is_empty() {
                track.types = inside;
                divided.read.push(track);
            }
        }
        divided
    }

    /// Forgets scopes in which nothing was written when the client began them. It has nothing of them, so they begin
    /// again. A token does not even name them.
    pub(super) fn forget_unwritten(&mut self) {
        for track in self.read.iter_mut().chain(&mut self.unknown) {
            let is_written = |position: &Position| position.seq.max(position.start) > Seq::START;
            track.positions.retain(|_, position| is_written(position));
        }
    }

    pub(super) fn into_list(self) -> Vec<Track> {
        let mut list = self.read;
        list.extend(self.unknown);
        list
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        self.read.iter_mut().chain(&mut self.unknown)
    }

    /// The names of the types of each track that is read.
    pub(super) fn names(&self, known: &KnownTypes) -> Vec<Arc<BTreeSet<TypeName>>> {
        let types = self.read.iter().map(|track| &track.types);
        types.map(|types| Arc::new(known.names(types))).collect()
    }

    /// Drops all types but these.
    pub(super) fn narrow(&mut self, wanted: &BTreeSet<TypeNumber>) {
        for track in self.all_mut() {
            track.types.retain(|number| wanted.contains(number));
        }
        self.read.retain(|track| !track.types.is_empty());
        self.unknown.retain(|track| !track.types.is_empty());
    }

    /// A revoked scope is reported once and leaves the checkpoint, so a later grant starts it again (2.6). So does one that
    /// the client rereads (2.11).
    pub(super) fn drop_revoked(&mut self, is_kept: impl Fn(&Scope) -> bool) -> Vec<Scope> {
        let mut revoked = BTreeSet::new();
        for track in self.all_mut() {
            track.positions.retain(|scope, _| {
                let is_kept = is_kept(scope);
                if !is_kept {
                    revoked.insert(scope.clone());
                }
                is_kept || is_active(Mutant::RevokedScopeKept)
            });
        }
        revoked.into_iter().collect()
    }

    /// Goes back in one scope (2.5a). All types go: some that the gateway does not know may have been passed as well.
    pub(super) fn go_back(&mut self, scope: &Scope, seq: Seq, view: &PageInputs<'_>) {
        let head = view.state(scope).head;
        for track in self.all_mut() {
            if let Some(position) = track.positions.get_mut(scope) {
                position.go_back(seq, head);
            }
        }
    }

    /// Goes back to the beginning for these types.
    pub(super) fn refresh(&mut self, types: &BTreeSet<TypeNumber>, view: &PageInputs<'_>) {
        let mut again = Vec::new();
        for track in &mut self.read {
            let back: BTreeSet<_> = track.types.intersection(types).copied().collect();
            if back.is_empty() {
                continue;
            }
            track.types.retain(|number| !back.contains(number));
            let mut positions = track.positions.clone();
            for (scope, position) in &mut positions {
                position.go_back(Seq::START, view.state(scope).head);
            }
            again.push(Track {
                types: back,
                positions,
            });
        }
        self.read.retain(|track| !track.types.is_empty());
        self.read.extend(again);
    }

    /// Begins a track for those of the wanted types that are in none (2.5).
    pub(super) fn add(&mut self, wanted: BTreeSet<TypeNumber>) {
        let covers = |number: &TypeNumber| {
            let mut tracks = self.read.iter().chain(&self.unknown);
            tracks.any(|track| track.types.contains(number))
        };
        let types: BTreeSet<_> = wanted.into_iter().filter(|it| !covers(it)).collect();
        match self.read.first_mut() {
            Some(first) if is_active(Mutant::AddedTypes) => first.types.extend(types),
            _ if types.is_empty() => {}
            _ => self.read.push(Track {
                types,
                positions: BTreeMap::new(),
            }),
        }
    }

    /// Begins the scopes at 0 in which a track that is read has no position yet, and numbers the others.
    pub(super) fn begin(&mut self, scopes: &BTreeSet<&Scope>, view: &PageInputs<'_>) {
        let begin = |scope: &Scope| Position {
            seq: Seq::START,
            start: if is_active(Mutant::NoStart) {
                Seq::START
            } else {
                view.state(scope).head
            },
            number: None,
        };
        for track in &mut self.read {
            for scope in scopes {
                let positions = &mut track.positions;
                let position = positions.entry(Scope::clone(scope));
                position.or_insert_with(|| begin(scope));
            }
        }
        for (scope, position) in self.all_mut().flat_map(|track| &mut track.positions) {
            let state = view.scopes.get(scope);
            position.number = state.and_then(|state| state.number).or(position.number);
        }
    }

    /// A late snapshot shows what was removed between its heads and the start. The client stores it, so it needs these
    /// removals later (2.8).
    pub(super) fn lower_starts(&mut self, heads: &BTreeMap<Scope, Seq>) {
        let positions = self.read.iter_mut().flat_map(|track| &mut track.positions);
        for (scope, position) in positions {
            let late = heads.get(scope).filter(|head| position.seq < **head);
            position.start = late.map_or(position.start, |head| position.start.min(*head));
        }
    }

    /// Joins tracks that stand together.
    pub(super) fn join(&mut self) {
        join(&mut self.read);
        join(&mut self.unknown);
    }
}

fn join(tracks: &mut Vec<Track>) {
    let mut joined: Vec<Track> = Vec::with_capacity(tracks.len());
    for track in tracks.drain(..) {
        let mut others = joined.iter_mut();
        match others.find(|other| other.positions == track.positions) {
            Some(other) => other.types.extend(track.types),
            None => joined.push(track),
        }
    }
    *tracks = joined;
}
