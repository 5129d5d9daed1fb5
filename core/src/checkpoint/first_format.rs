//! Tokens of format 1, which earlier releases gave out: scopes and types by their names, and no proof of their origin.
//!
//! They are read only. What a forged one brings is bounded here or is compared with the store, as in those releases.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Checkpoint, Position, Refreshed, Track, token::CheckpointError};
use crate::{
    generation::ModelState,
    id::{Epoch, Scope, Seq, TypeName},
};

pub(super) const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

/// More than any feed has.
const SEQ_MAX: Seq = Seq(1 << 53);

/// The content of a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FirstFormat {
    pub(super) epoch: Epoch,
    /// The types it was made for. The tracks name them as well.
    _types: Types,
    tracks: Vec<NamedTrack>,
    turn: Option<Scope>,
    /// The bytes of the token.
    #[serde(skip)]
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
enum Types {
    All,
    Only(BTreeSet<TypeName>),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct NamedTrack {
    types: Types,
    positions: BTreeMap<Scope, (Seq, Seq)>,
}

impl FirstFormat {
    /// Reads the bytes of a token.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (checked, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(CheckpointError)?;
        if crc32fast::hash(checked).to_le_bytes() != *checksum {
            return Err(CheckpointError);
        }
        let mut first: Self = postcard::from_bytes(&checked[1..]).map_err(|_| CheckpointError)?;
        first.bytes = bytes.len();
        let mut positions = first
            .tracks
            .iter()
            .flat_map(|track| track.positions.values());
        let is_seq = |seq: &Seq| (Seq::START..=SEQ_MAX).contains(seq);
        match positions.all(|(seq, start)| is_seq(seq) && is_seq(start)) {
            true => Ok(first),
            false => Err(CheckpointError),
        }
    }

    /// The same positions today. "All" types were those of the first model; `None` if the store does not know that one.
    pub(super) fn into_checkpoint(self, models: &ModelState) -> Option<Checkpoint> {
        let is_of_all = |track: &NamedTrack| track.types == Types::All;
        if self.tracks.iter().any(is_of_all) && models.first_types().next().is_none() {
            return None;
        }
        let mut taken = BTreeSet::new();
        let mut numbered = |types: Types| -> BTreeSet<_> {
            let numbers: BTreeSet<_> = match types {
                Types::All => models.first_types().collect(),
                Types::Only(names) => {
                    let names = names.iter();
                    names
                        .filter_map(|name| models.numbers.get(name).copied())
                        .collect()
                }
            };
            let free = numbers.into_iter().filter(|number| taken.insert(*number));
            free.collect()
        };
        let track = |track: NamedTrack| Track {
            types: numbered(track.types),
            positions: track.positions.into_iter().map(position).collect(),
        };
        let tracks = self.tracks.into_iter().map(track);
        Some(Checkpoint {
            epoch: self.epoch,
            tracks: tracks.filter(|track| !track.types.is_empty()).collect(),
            skipped: BTreeMap::new(),
            turn: self.turn,
            refreshed: Refreshed::default(),
        })
    }
}

fn position((scope, (seq, start)): (Scope, (Seq, Seq))) -> (Scope, Position) {
    let position = Position {
        seq,
        start: start.max(seq),
        number: None,
    };
    (scope, position)
}
