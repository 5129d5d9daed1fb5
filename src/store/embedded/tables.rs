//! The tables of the file and the encodings of their keys.
//!
//! Keys are tuples that sort as their parts do, so that each question is one range. Nothing is read or written here.

use redb::TableDefinition;
use tidegate_core::id::DocumentKey;

/// The format of the tables below. It rises with every change that an older or a newer gateway could not read.
pub(super) const FORMAT_VERSION: u32 = 4;

/// Under `"format"`: [`FORMAT_VERSION`]. Its own shape never changes, so that every version can read it.
pub(super) const FORMAT: TableDefinition<&str, u32> = TableDefinition::new("format");

/// One row: the epoch, the version floor, and how many commits there were.
pub(super) const META: TableDefinition<(), (&str, i32, u64)> = TableDefinition::new("meta");

/// `lead` and `types`, which say which model leads and what it puts in force, and the models by their numbers.
pub(super) const MODELS: TableDefinition<&str, &[u8]> = TableDefinition::new("models");

/// Scope → its head and its floor.
pub(super) const SCOPES: TableDefinition<&str, (i64, i64)> = TableDefinition::new("scopes");

/// Scope → its head when this was written, and the encoded sums of its living documents. A row whose head is not that of
/// the scope counts as none.
pub(super) const SUMS: TableDefinition<&str, (i64, &[u8])> = TableDefinition::new("sums");

/// Scope → its number.
pub(super) const SCOPE_NUMBERS: TableDefinition<&str, u32> = TableDefinition::new("scope_numbers");

/// Number → the scope that has it.
pub(super) const NUMBERED: TableDefinition<u32, &str> = TableDefinition::new("numbered");

/// One row: the secret of checkpoints.
pub(super) const TOKEN_KEY: TableDefinition<(), [u8; 32]> = TableDefinition::new("token_key");

/// (scope, seq) → the type, by which a scan filters without decoding, and the encoded item. The body stands here and
/// not beside the key, so that a pull reads neighbouring pages.
pub(super) const FEED: TableDefinition<(&str, i64), (&str, &[u8])> = TableDefinition::new("feed");

/// (scope, seq) of living documents: the feed without tombstones, markers and withheld records.
pub(super) const LIVING: TableDefinition<(&str, i64), ()> = TableDefinition::new("living");

/// (type, id) → the position of the document's entry.
pub(super) const ENTRIES: TableDefinition<(&str, &str), EntryIndexRow> =
    TableDefinition::new("entries");

/// (scope, type, id) → the seq of the marker there, and when it was written.
pub(super) const MARKERS: TableDefinition<(&str, &str, &str), (i64, i64)> =
    TableDefinition::new("markers");

/// (user, client) → the encoded state.
pub(super) const CLIENTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("clients");

/// (user, client) → the time of the client's last push, while that push can be repeated.
pub(super) const PUSHED: TableDefinition<(&str, &str), i64> = TableDefinition::new("pushed");

/// (user, giver, since, type, id) → the scope that the document opens to the user, and whether for writing. A named role
/// follows the scope, after U+0000. Ordered by giver, the oldest first. A service's giver is the empty name.
pub(super) const GIVEN: TableDefinition<GivenPlace, (&str, bool)> = TableDefinition::new("given");

/// User → the stamp and the declined givers, separated by U+0000.
pub(super) const USERS: TableDefinition<&str, (i64, &str)> = TableDefinition::new("users");

/// (at, scope, seq) of every tombstone and marker, the oldest first, in all scopes.
pub(super) const EXPIRY: TableDefinition<(i64, &str, i64), ()> = TableDefinition::new("expiry");

/// Conflict → the encoded record, open or settled.
pub(super) const CONFLICTS: TableDefinition<&str, &[u8]> = TableDefinition::new("conflicts");

/// (scope, opened at, conflict) of every open conflict, in the order in which the inbox is read.
pub(super) const INBOX: TableDefinition<(&str, i64, &str), ()> = TableDefinition::new("inbox");

/// (type, id, conflict) of every open conflict → its bytes: the conflicts that move with a document.
pub(super) const DISPUTED: TableDefinition<(&str, &str, &str), u64> =
    TableDefinition::new("disputed");

/// (type, id, user, conflict) of every open conflict → its bytes: how much waits of a document and a user.
pub(super) const WAITING: TableDefinition<(&str, &str, &str, &str), u64> =
    TableDefinition::new("waiting");

/// (settled at, conflict) of every settled conflict: the oldest first.
pub(super) const RESOLVED: TableDefinition<(i64, &str), ()> = TableDefinition::new("settled");

/// An entry's scope and seq, the time of deletion of a tombstone, and the user of a membership. With these an entry is
/// replaced without decoding the one before.
pub(super) type EntryIndexRow = (&'static str, i64, Option<i64>, Option<&'static str>);

/// A key of [`GIVEN`].
pub(super) type GivenPlace = (&'static str, &'static str, i64, &'static str, &'static str);

/// A document as keys name it.
pub(super) fn names(key: &DocumentKey) -> (&str, &str) {
    (key.type_name.as_str(), key.id.as_str())
}
