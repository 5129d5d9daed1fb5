//! Checkpoints: a client's positions in the feeds of its scopes, as an opaque token.
//!
//! [`crate::page`] makes a page from a client's positions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{Epoch, Scope, Seq, TypeName};

/// The longest token that is read, in bytes: enough for some thousand scopes.
pub const TOKEN_BYTES_MAX: usize = 1 << 20;

/// A client's positions (rules.md 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The history its positions belong to.
    pub epoch: Epoch,
    /// The types it was made for.
    pub types: RequestedTypes,
    /// One track; more while added types catch up. Each has types of its own.
    pub tracks: Vec<Track>,
    /// The scope whose turn it is on the next page.
    pub turn: Option<Scope>,
}

/// The types a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Types that share their positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The types.
    pub types: RequestedTypes,
    /// The position in each scope.
    pub positions: BTreeMap<Scope, Position>,
}

/// A client's place in one scope's feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Everything up to and including this seq has been delivered.
    pub seq: Seq,
    /// The scope's head when the client began it at 0. Without it, a first sync of a scope with collected tombstones
    /// would never end (rules.md 2.3).
    pub start: Seq,
}

/// The secret of a store, by which its gateways recognise the checkpoints that they gave out.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey(pub [u8; 32]);

/// Leaves out the secret.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

/// A text that is no checkpoint of this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a checkpoint: it must be sent back exactly as it came")]
pub struct CheckpointError;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

impl Checkpoint {
    /// The token: a format byte, the fields, and a checksum against mangling, in URL-safe base64.
    pub fn encode(&self) -> String {
        let mut bytes = postcard::to_extend(self, Vec::from([FORMAT]))
            .expect("a checkpoint has no values postcard cannot write");
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        BASE64.encode(bytes)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`CheckpointError`] for anything that [`Checkpoint::encode`] did not write.
    pub fn decode(token: &str) -> Result<Self, CheckpointError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(CheckpointError);
        }
        let bytes = BASE64.decode(token).map_err(|_| CheckpointError)?;
        let (checked, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(CheckpointError)?;
        if crc32fast::hash(checked).to_le_bytes() != *checksum {
            return Err(CheckpointError);
        }
        let [FORMAT, fields @ ..] = checked else {
            return Err(CheckpointError);
        };
        let checkpoint: Self = postcard::from_bytes(fields).map_err(|_| CheckpointError)?;
        // Postcard also reads numbers of more bytes than needed, lists with repeated keys, and trailing bytes.
        if checkpoint.encode() == token {
            Ok(checkpoint)
        } else {
            Err(CheckpointError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Checkpoint {
        let position = Position {
            seq: Seq(7),
            start: Seq(3),
        };
        Checkpoint {
            epoch: Epoch::new("e1").unwrap(),
            types: RequestedTypes::Only([TypeName::new("Task").unwrap()].into()),
            tracks: vec![Track {
                types: RequestedTypes::All,
                positions: [(Scope::new("user:alice").unwrap(), position)].into(),
            }],
            turn: None,
        }
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        assert_eq!(Checkpoint::decode(&example().encode()), Ok(example()));
    }

    #[test]
    fn rubbish_is_refused() {
        let token = example().encode();
        for bad in [
            "",
            "x",
            "AAAA",
            "%%%",
            &token[1..],
            &format!("{token}AAAA"),
            &"A".repeat(2_000_000),
        ] {
            assert_eq!(Checkpoint::decode(bad), Err(CheckpointError));
        }
        for i in 0..token.len() {
            let mut mangled = token.clone().into_bytes();
            mangled[i] = if mangled[i] == b'A' { b'B' } else { b'A' };
            let mangled = String::from_utf8(mangled).unwrap();
            assert_eq!(
                Checkpoint::decode(&mangled),
                Err(CheckpointError),
                "byte {i}"
            );
        }
    }
}
