//! Checkpoints: a client's positions in the feeds of its scopes.
//!
//! [`crate::page`] makes a page from a client's positions. `token` has the text in which a client keeps them.

mod first_format;
mod token;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    first_format::FirstFormat,
    token::{CheckpointError, SealedToken, TOKEN_BYTES_MAX, Token, TokenKey, UnsealedToken},
};
use crate::{
    generation::{ModelState, Standing, Term, TypeNumber},
    id::{Epoch, Scope, ScopeNumber, Seq, TypeName},
    model::Model,
    mutant::{Mutant, is_active},
};

/// A client's positions (rules.md 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The history its positions belong to.
    pub epoch: Epoch,
    /// One track; more while added types catch up, or while gateways of several models serve the client. A type is in one
    /// of them at most.
    pub tracks: Vec<Track>,
    /// What pages could not show, by scope.
    pub skipped: BTreeMap<Scope, Skipped>,
    /// The scope whose turn it is on the next page.
    pub turn: Option<Scope>,
    /// What the request of this checkpoint wanted from the beginning again. It is not begun again for the same selection
    /// (rules.md 2.5b).
    pub refreshed: Refreshed,
}

/// Types that were begun again, and the selection for which they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// The types.
    pub types: BTreeSet<TypeNumber>,
    /// The fingerprint of the selection.
    pub selection: u64,
}

/// Types that share their positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    /// The types, also some that the gateway at hand does not know.
    pub types: BTreeSet<TypeNumber>,
    /// The position in each scope.
    pub positions: BTreeMap<Scope, Position>,
}

/// A client's place in one scope's feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Everything up to and including this seq has been delivered.
    pub seq: Seq,
    /// The scope's head when the client began it at 0, or the highest seq that was delivered. Removals up to it do not
    /// concern the client. Without it, a first sync of a scope with collected tombstones would never end (rules.md 2.3).
    pub start: Seq,
    /// The number of the scope, if the gateway knows it.
    pub number: Option<ScopeNumber>,
}

impl Position {
    /// Everything up to and including `seq` is delivered now.
    pub fn advance(&mut self, seq: Seq) {
        self.seq = seq;
        self.start = self.start.max(seq);
    }

    /// Goes back to `seq`, if it is beyond that. `start` stays: the client has had all removals up to it (rules.md 2.5b).
    pub(crate) fn go_back(&mut self, seq: Seq, head: Seq) {
        if seq < self.seq {
            self.seq = seq;
            if is_active(Mutant::StartForgotten) {
                self.start = seq;
            } else if is_active(Mutant::StartAtHead) {
                self.start = head;
            }
        }
    }
}

/// Where a client has to come back to in one scope, since pages passed what they could not show (rules.md 2.5a).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Below what a gateway passed that did not lead.
    pub old: Option<Seq>,
    /// Below what a leading gateway passed, and the last term in which one did.
    pub led: Option<(Seq, Term)>,
}

impl Skipped {
    pub(crate) fn is_empty(&self) -> bool {
        self.old.is_none() && self.led.is_none()
    }

    /// Takes the place to which a gateway goes back. Only a leading one does, and not twice in its term.
    pub(crate) fn take_due(&mut self, standing: Standing) -> Option<Seq> {
        if !standing.leads {
            return None;
        }
        let is_due =
            |(_, term): &mut (Seq, Term)| *term < standing.term && !is_active(Mutant::TermIgnored);
        let led = self.led.take_if(is_due).map(|(seq, _)| seq);
        let due = [self.old.take(), led];
        due.into_iter().flatten().min()
    }
}

impl Checkpoint {
    /// The scopes that the client reads.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let tracks = self.tracks.iter();
        tracks.flat_map(|track| track.positions.keys())
    }

    /// Notes that a page passes a document of the scope's feed at `seq` without showing it.
    pub fn skip(&mut self, scope: &Scope, seq: Seq, standing: Standing) {
        if is_active(Mutant::UnreadPassed) {
            return;
        }
        let below = Seq(seq.0 - 1);
        let skipped = self.skipped.entry(scope.clone()).or_default();
        if standing.leads {
            let lowest = skipped.led.map_or(below, |(seq, _)| seq.min(below));
            skipped.led = Some((lowest, standing.term));
        } else {
            skipped.old = Some(skipped.old.map_or(below, |seq| seq.min(below)));
        }
    }
}

/// Types that a client wants from the beginning again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refresh {
    /// The types.
    pub types: BTreeSet<TypeName>,
    /// A fingerprint of what the client selects.
    pub selection: u64,
}

impl Refreshed {
    /// Takes a request, and returns the types that go back to the beginning for it. A request without types ends it.
    pub(crate) fn take_up(
        &mut self,
        refresh: &Refresh,
        known: &KnownTypes,
    ) -> BTreeSet<TypeNumber> {
        let mut asked = known.among(&refresh.types);
        if asked.is_empty() || refresh.selection != self.selection {
            self.types.clear();
        }
        self.selection = refresh.selection;
        asked.retain(|number| self.types.insert(*number));
        asked
    }
}

/// The types a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedTypes {
    /// All types of the model, also when it grows.
    All,
    /// These.
    Only(BTreeSet<TypeName>),
}

impl RequestedTypes {
    /// Whether the type is among them.
    pub fn contain(&self, name: &TypeName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// The types of a gateway's model by their stored names, with their numbers in its store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTypes {
    numbers: BTreeMap<TypeName, TypeNumber>,
    all: BTreeSet<TypeNumber>,
}

impl KnownTypes {
    /// The types of the model. One that is retired, or has no number yet, is not known.
    pub fn of(model: &Model, state: &ModelState) -> Self {
        let in_use = model.types.iter().filter(|of| !of.retired);
        let names = in_use.map(|of| &of.stored_as);
        let numbered = names.filter_map(|name| Some((name.clone(), *state.numbers.get(name)?)));
        let numbers: BTreeMap<_, _> = numbered.collect();
        Self {
            all: numbers.values().copied().collect(),
            numbers,
        }
    }

    /// The number of a type.
    pub fn number(&self, name: &TypeName) -> Option<TypeNumber> {
        self.numbers.get(name).copied()
    }

    /// The names of those types that are known.
    pub fn names(&self, types: &BTreeSet<TypeNumber>) -> BTreeSet<TypeName> {
        let known = self.numbers.iter();
        let named = known.filter(|(_, number)| types.contains(number));
        named.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a page of this gateway reads the track: it knows a type of it.
    pub fn read(&self, track: &Track) -> bool {
        !self.all.is_disjoint(&track.types)
    }

    /// Whether the type is known and one of the track's.
    pub fn cover(&self, track: &Track, name: &TypeName) -> bool {
        let number = self.numbers.get(name);
        number.is_some_and(|number| track.types.contains(number))
    }

    /// All of them.
    pub fn all(&self) -> &BTreeSet<TypeNumber> {
        &self.all
    }

    pub(crate) fn among<'n>(
        &self,
        names: impl IntoIterator<Item = &'n TypeName>,
    ) -> BTreeSet<TypeNumber> {
        let names = names.into_iter();
        names.filter_map(|name| self.number(name)).collect()
    }

    pub(crate) fn requested(&self, types: &RequestedTypes) -> BTreeSet<TypeNumber> {
        match types {
            RequestedTypes::All => self.all.clone(),
            RequestedTypes::Only(names) => self.among(names),
        }
    }
}
