//! The identities of everything: types, documents, scopes, users, clients, positions.
//!
//! Parsing and bounds are here, so no other module checks them again.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::value::unrepresentable::Unrepresentable;

/// The most bytes a document id, a scope or a client id may have (rules.md 3.4).
pub const NAME_BYTES_MAX: usize = 256;

/// Why a string is no identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The empty string names nothing.
    #[error("it is empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("it has {bytes} bytes, more than {NAME_BYTES_MAX}")]
    TooLong {
        /// The number of bytes given.
        bytes: usize,
    },
    /// U+0000 joins the parts of a marker's key and may be in none of them.
    #[error("it contains the character U+0000")]
    Nul,
    /// The text was cut inside a character.
    #[error("it holds half a surrogate pair")]
    HalfPair,
    /// The text is another spelling of an id, which would make two documents of one.
    #[error("it is not in canonical form: {expected}")]
    NotCanonical {
        /// The canonical form.
        expected: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` as it is.
            ///
            /// # Errors
            /// [`NameError`] if it is empty, longer than [`NAME_BYTES_MAX`], or contains U+0000.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text).map(|()| Self(text.into()))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// Reading it from bytes checks the same rules: a checkpoint's token can be forged.
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a model type, equal to its GraphQL `__typename`.
    TypeName
}
name! {
    /// A document's id in its canonical spelling.
    DocumentId
}
name! {
    /// The unit of visibility and ordering, such as `user:alice`; a document is in exactly one at a time.
    Scope
}
name! {
    /// Who acts: the token's user claim.
    UserId
}
name! {
    /// One device or tab of a user.
    ClientId
}
name! {
    /// A conflict in the inbox.
    ConflictId
}
name! {
    /// The identity of a store's history; rotated after a restore from backup.
    Epoch
}

fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    if text.contains('\0') {
        return Err(NameError::Nul);
    }
    if Unrepresentable::find(text).is_some() {
        return Err(NameError::HalfPair);
    }
    Ok(())
}

/// The identity of a document: its type and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentKey {
    /// The model type.
    pub type_name: TypeName,
    /// The id, unique within the type.
    pub id: DocumentId,
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

/// How the ids of a collection are spelled (`@collection(idType)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IdType {
    /// Any text.
    #[default]
    String,
    /// 24 lower-case hexadecimal digits.
    ObjectId,
    /// Lower-case, hyphenated.
    Uuid,
    /// A 64-bit integer in decimal digits.
    Int,
}

impl IdType {
    /// All of them, by their names in a model.
    pub const NAMES: [(&str, Self); 4] = [
        (Self::String.name(), Self::String),
        (Self::ObjectId.name(), Self::ObjectId),
        (Self::Uuid.name(), Self::Uuid),
        (Self::Int.name(), Self::Int),
    ];

    /// Its name in a model.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::ObjectId => "OBJECT_ID",
            Self::Uuid => "UUID",
            Self::Int => "INT",
        }
    }

    /// Reads an id that a client sent.
    ///
    /// # Errors
    /// [`NameError`] when the text is out of bounds or not the one canonical spelling (rules.md 3.4).
    pub fn parse(self, text: &str) -> Result<DocumentId, NameError> {
        let id = DocumentId::new(text)?;
        let (canonical, expected) = match self {
            Self::String => (true, ""),
            Self::ObjectId => (
                text.len() == 24 && text.bytes().all(is_lower_hex),
                "24 lower-case hexadecimal digits",
            ),
            Self::Uuid => (
                is_uuid(text),
                "a lower-case UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
            ),
            Self::Int => (
                text.parse::<i64>().is_ok_and(|n| n.to_string() == text),
                "a 64-bit integer without sign or leading zeros, such as 42",
            ),
        };
        if canonical {
            Ok(id)
        } else {
            Err(NameError::NotCanonical { expected })
        }
    }
}

/// By its name in a model.
impl fmt::Display for IdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// In lower case.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => is_lower_hex(byte),
        })
}

/// The API that an app was made for: a hash of the schema that a gateway generates from its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiHash(pub [u8; 16]);

/// Reads 32 lower-case hexadecimal digits.
impl FromStr for ApiHash {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let number = u128::from_str_radix(text, 16);
        match number {
            Ok(number) if text.len() == 32 && text.bytes().all(is_lower_hex) => {
                Ok(Self(number.to_be_bytes()))
            }
            _ => Err(NameError::NotCanonical {
                expected: "32 lower-case hexadecimal digits",
            }),
        }
    }
}

impl TryFrom<String> for ApiHash {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ApiHash> for String {
    fn from(hash: ApiHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for ApiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A position in one scope's feed: unique, gap-free, equal to commit order within the scope.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl Seq {
    /// Before the first feed write of a scope.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a scope in a store, by which checkpoints name it. It is never given to another scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeNumber(pub u32);

/// A document's own counter: 1 at its creation, +1 with each applied change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub i32);

impl Version {
    /// Below every version of every document.
    pub const NONE: Self = Self(0);

    /// The version after this one, or `None` at `i32::MAX` (rules.md 3.5: never wrapped).
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a client's change. It counts up from 1 without holes for each (user, client), for ever.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MutationId(pub i32);

impl fmt::Display for MutationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a client. The same client id of two users is two clients.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientKey {
    /// The user who pushes.
    pub user: UserId,
    /// The device.
    pub client: ClientId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling_or_are_refused() {
        let cases = [
            (IdType::String, "01", true),
            (IdType::String, "", false),
            (IdType::String, "a\0b", false),
            (IdType::Int, "1", true),
            (IdType::Int, "-7", true),
            (IdType::Int, "01", false),
            (IdType::Int, "+1", false),
            (IdType::Int, "-0", false),
            (IdType::Int, "9223372036854775808", false),
            (IdType::ObjectId, "507f1f77bcf86cd799439011", true),
            (IdType::ObjectId, "507F1F77BCF86CD799439011", false),
            (IdType::Uuid, "0f8fad5b-d9cb-469f-a165-70867728950e", true),
            (IdType::Uuid, "0F8FAD5B-D9CB-469F-A165-70867728950E", false),
            (
                IdType::Uuid,
                "{0f8fad5b-d9cb-469f-a165-70867728950e}",
                false,
            ),
        ];
        for (id_type, text, accepted) in cases {
            assert_eq!(
                id_type.parse(text).is_ok(),
                accepted,
                "{id_type:?} {text:?}"
            );
        }
    }

    #[test]
    fn a_hash_of_an_api_has_one_spelling() {
        let text = "00f8fad5bd9cb469fa16570867728950";
        let hash: ApiHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        let upper = text.to_uppercase();
        let signed = format!("+{}", &text[1..]);
        for other in ["", &text[1..], &upper, &signed, &format!("{text}0")] {
            assert!(other.parse::<ApiHash>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn names_end_at_256_bytes() {
        assert!(Scope::new(&"a".repeat(256)).is_ok());
        assert_eq!(
            Scope::new(&"a".repeat(257)),
            Err(NameError::TooLong { bytes: 257 })
        );
    }

    #[test]
    fn the_last_version_has_no_next() {
        assert_eq!(Version(i32::MAX).next(), None);
        assert_eq!(Version(1).next(), Some(Version(2)));
    }
}
