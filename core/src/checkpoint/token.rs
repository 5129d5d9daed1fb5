//! Checkpoints as opaque tokens (format 2): scopes and types by their numbers, positions as differences, and a message
//! authentication code.
//!
//! A token is verified before any of its numbers are looked up: numbers that a client makes up would reveal the names of
//! scopes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;

use super::{
    Checkpoint, Position, Refreshed, Skipped, Track,
    first_format::{self, FirstFormat},
};
use crate::{
    generation::{ModelState, Term, TypeNumber},
    id::{Epoch, Scope, ScopeNumber, Seq, UserId},
    mutant::{Mutant, is_active},
};

/// The longest token that is read, in bytes.
pub const TOKEN_BYTES_MAX: usize = 1 << 20;

const FORMAT: u8 = 2;

/// Half of an HMAC-SHA-256, which RFC 2104 (section 5) allows.
const CODE_BYTES: usize = 16;

/// The secret of a store, by which its gateways recognise the checkpoints that they gave out.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey(pub [u8; 32]);

/// Leaves out the secret.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

/// A text that is no checkpoint of this store and user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a checkpoint: it must be sent back exactly as it came")]
pub struct CheckpointError;

/// The position of a client, as a request brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A token of format 2. It is not verified yet.
    Sealed(SealedToken),
    /// A token of format 1.
    First(FirstFormat),
    /// A checkpoint that a subscription keeps.
    Kept(Checkpoint),
}

/// The bytes of a token of format 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedToken {
    epoch: Epoch,
    bytes: Vec<u8>,
}

impl Token {
    /// Reads a token, as far as it can be read without the secret.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(CheckpointError);
        }
        let bytes = BASE64.decode(text).map_err(|_| CheckpointError)?;
        match bytes.first() {
            Some(&first_format::FORMAT) => Ok(Self::First(FirstFormat::decode(&bytes)?)),
            Some(&FORMAT) => {
                let (epoch, _) =
                    postcard::take_from_bytes(&bytes[1..]).map_err(|_| CheckpointError)?;
                Ok(Self::Sealed(SealedToken { epoch, bytes }))
            }
            _ => Err(CheckpointError),
        }
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Sealed(token) => token.bytes.len(),
            Self::First(first) => first.bytes,
            Self::Kept(_) => 0,
        }
    }

    /// Verifies it. `None` if it is of another epoch: nothing of it counts then, and a store that was made again has
    /// another secret.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn unseal(
        self,
        epoch: &Epoch,
        key: &TokenKey,
        user: &UserId,
    ) -> Result<Option<UnsealedToken>, CheckpointError> {
        let content = match self {
            Self::Sealed(token) if token.epoch != *epoch && !is_active(Mutant::OtherEpoch) => {
                return Ok(None);
            }
            Self::Sealed(token) => Content::Packed(token.epoch.clone(), token.open(key, user)?),
            Self::First(first) => Content::First(first),
            Self::Kept(checkpoint) => Content::Kept(checkpoint),
        };
        Ok(Some(UnsealedToken(content)))
    }
}

impl SealedToken {
    fn open(&self, key: &TokenKey, user: &UserId) -> Result<Packed, CheckpointError> {
        let (sealed, code) = self
            .bytes
            .split_last_chunk::<CODE_BYTES>()
            .ok_or(CheckpointError)?;
        let mac = mac(key, user, sealed);
        mac.verify_truncated_left(code)
            .map_err(|_| CheckpointError)?;
        let read: Result<(Epoch, Packed), _> = postcard::from_bytes(&sealed[1..]);
        read.map(|(_, packed)| packed).map_err(|_| CheckpointError)
    }
}

fn mac(key: &TokenKey, user: &UserId, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("a key of any length will do");
    let user = user.as_str().as_bytes();
    mac.update(&user.len().to_le_bytes());
    mac.update(user);
    mac.update(bytes);
    mac
}

/// A token that a gateway of the store gave to the user.
#[derive(Debug, Clone)]
pub struct UnsealedToken(Content);

#[derive(Debug, Clone)]
enum Content {
    Packed(Epoch, Packed),
    First(FirstFormat),
    Kept(Checkpoint),
}

impl UnsealedToken {
    /// The numbers of its scopes.
    pub fn numbers(&self) -> BTreeSet<ScopeNumber> {
        match &self.0 {
            Content::Packed(_, packed) => packed.numbers().collect(),
            Content::First(_) | Content::Kept(_) => BTreeSet::new(),
        }
    }

    /// The checkpoint; `None` if a number has no name. The store that gave the number out has lost it then.
    pub fn checkpoint(
        self,
        names: &HashMap<ScopeNumber, Scope>,
        models: &ModelState,
    ) -> Option<Checkpoint> {
        match self.0 {
            Content::Packed(epoch, packed) => packed.unpack(epoch, names),
            Content::First(first) => first.into_checkpoint(models),
            Content::Kept(checkpoint) => Some(checkpoint),
        }
    }
}

impl Checkpoint {
    /// The token for this user.
    pub fn seal(&self, key: &TokenKey, user: &UserId) -> String {
        let content = (&self.epoch, Packed::of(self));
        let mut bytes = postcard::to_extend(&content, Vec::from([FORMAT]))
            .expect("a checkpoint has no values postcard cannot write");
        let code = mac(key, user, &bytes).finalize().into_bytes();
        bytes.extend(&code[..CODE_BYTES]);
        BASE64.encode(bytes)
    }
}

/// The content of a token after its epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Packed {
    /// The numbers of scopes, ascending: the first, and then the differences.
    numbers: Vec<u32>,
    /// Scopes that have no number.
    names: Vec<Scope>,
    tracks: Vec<PackedTrack>,
    skipped: Vec<(u32, PackedSkip)>,
    /// Places of scopes: first those with numbers, then the others.
    turn: Option<u32>,
    /// Ranges of types, and the selection.
    refreshed: (Vec<(u32, u32)>, u64),
}

/// What is under `old` and under `led`.
type PackedSkip = (Option<Seq>, Option<(Seq, Term)>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PackedTrack {
    /// Ranges of numbers: the first, and how many follow it.
    types: Vec<(u32, u32)>,
    /// For each scope in its place [`ABSENT`], [`SAME`], or seq * 4 + [`AT`]. With [`BEFORE`] in place of [`AT`] the
    /// distance from seq to `start` follows.
    positions: Vec<u64>,
}

/// The track has no position in the scope.
const ABSENT: u64 = 0;
/// It has that of the track before it.
const SAME: u64 = 1;
/// The start is the seq.
const AT: u64 = 2;
/// The start is above the seq.
const BEFORE: u64 = 3;

impl Packed {
    fn of(checkpoint: &Checkpoint) -> Self {
        let mut by_number = BTreeMap::new();
        let mut by_name = BTreeSet::new();
        for (scope, position) in checkpoint.tracks.iter().flat_map(|track| &track.positions) {
            match position.number {
                Some(number) => drop(by_number.insert(number, scope)),
                // A client that comes back without a position begins the scope again, and has nothing to lose.
                None if position.start == Seq::START => {}
                None => drop(by_name.insert(scope)),
            }
        }
        let scopes: Vec<&Scope> = by_number.values().chain(&by_name).copied().collect();
        let places: HashMap<&Scope, u32> = scopes.iter().copied().zip(0..).collect();
        let skipped = checkpoint
            .skipped
            .iter()
            .filter_map(|(scope, skipped)| Some((*places.get(scope)?, (skipped.old, skipped.led))));
        let mut before = None;
        let tracks = checkpoint.tracks.iter().map(|track| {
            let packed = PackedTrack::of(track, before, &scopes);
            before = Some(track);
            packed
        });
        Self {
            numbers: differences(by_number.keys().map(|ScopeNumber(number)| *number)),
            names: by_name.iter().copied().cloned().collect(),
            tracks: tracks.collect(),
            skipped: skipped.collect(),
            turn: checkpoint
                .turn
                .as_ref()
                .and_then(|turn| places.get(turn).copied()),
            refreshed: (
                ranges(&checkpoint.refreshed.types),
                checkpoint.refreshed.selection,
            ),
        }
    }

    fn numbers(&self) -> impl Iterator<Item = ScopeNumber> {
        let mut number = 0_u32;
        self.numbers.iter().map(move |difference| {
            number = number.wrapping_add(*difference);
            ScopeNumber(number)
        })
    }

    fn unpack(self, epoch: Epoch, names: &HashMap<ScopeNumber, Scope>) -> Option<Checkpoint> {
        let numbered = self
            .numbers()
            .map(|number| Some((names.get(&number)?.clone(), Some(number))));
        let named = self.names.iter().map(|name| Some((name.clone(), None)));
        let scopes: Vec<(Scope, Option<ScopeNumber>)> =
            numbered.chain(named).collect::<Option<_>>()?;
        let mut tracks: Vec<Track> = Vec::new();
        for packed in self.tracks {
            let track = packed.unpack(tracks.last(), &scopes)?;
            tracks.push(track);
        }
        let (types, selection) = self.refreshed;
        let types = numbers(types);
        let refreshed = Refreshed { types, selection };
        let scope = |place: u32| Some(scopes.get(place as usize)?.0.clone());
        let skipped = self.skipped.into_iter();
        let skipped =
            skipped.map(|(place, (old, led))| Some((scope(place)?, Skipped { old, led })));
        Some(Checkpoint {
            epoch,
            tracks,
            skipped: skipped.collect::<Option<_>>()?,
            turn: self.turn.and_then(scope),
            refreshed,
        })
    }
}

impl PackedTrack {
    fn of(track: &Track, before: Option<&Track>, scopes: &[&Scope]) -> Self {
        let mut positions = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let place = |track: &Track| track.positions.get(*scope).map(|it| (it.seq, it.start));
            let at = place(track);
            match at {
                None => positions.push(ABSENT),
                Some(_) if before.and_then(place) == at => positions.push(SAME),
                Some((seq, start)) if start <= seq => positions.push(four_times(seq) + AT),
                Some((seq, start)) => {
                    positions.push(four_times(seq) + BEFORE);
                    positions.push(start.0.abs_diff(seq.0));
                }
            }
        }
        Self {
            types: ranges(&track.types),
            positions,
        }
    }

    fn unpack(
        self,
        before: Option<&Track>,
        scopes: &[(Scope, Option<ScopeNumber>)],
    ) -> Option<Track> {
        let mut track = Track {
            types: numbers(self.types),
            positions: BTreeMap::new(),
        };
        let mut words = self.positions.into_iter();
        for (scope, number) in scopes {
            let word = words.next()?;
            let seq = Seq(i64::try_from(word / 4).ok()?);
            let start = match word % 4 {
                ABSENT => continue,
                SAME => {
                    let position = before?.positions.get(scope)?;
                    track.positions.insert(scope.clone(), *position);
                    continue;
                }
                BEFORE => Seq(seq.0.checked_add_unsigned(words.next()?)?),
                _ => seq,
            };
            let number = *number;
            track
                .positions
                .insert(scope.clone(), Position { seq, start, number });
        }
        Some(track)
    }
}

fn four_times(seq: Seq) -> u64 {
    u64::try_from(seq.0).unwrap_or_default().saturating_mul(4)
}

fn differences(ascending: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut last = 0;
    let difference = |number: u32| number - std::mem::replace(&mut last, number);
    ascending.map(difference).collect()
}

/// The numbers of [`ranges`].
fn numbers(ranges: Vec<(u32, u32)>) -> BTreeSet<TypeNumber> {
    let ranges = ranges.into_iter();
    let numbers = ranges.flat_map(|(first, more)| first..=first.saturating_add(more));
    numbers.map(TypeNumber).collect()
}

/// Consecutive numbers as ranges.
fn ranges(numbers: &BTreeSet<TypeNumber>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for TypeNumber(number) in numbers {
        match ranges.last_mut() {
            Some((first, more)) if *first + *more + 1 == *number => *more += 1,
            _ => ranges.push((*number, 0)),
        }
    }
    ranges
}
