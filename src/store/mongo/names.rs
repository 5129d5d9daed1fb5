//! The names of Tidegate's own collections, and the keys in them.
//!
//! U+0000 joins the parts of a key. No part can contain it (rules.md 3.3 and 3.4).

use tidegate_core::{
    entry::Record,
    id::{ClientId, ClientKey, DocumentKey, Scope, TypeName, UserId},
};

/// Tidegate's own collections.
#[derive(Debug)]
pub(super) struct CollectionNames {
    /// Entries and markers.
    pub(super) feed: String,
    /// All else that a commit reads, and writes in one statement: format and epoch, version floor, heads and floors of
    /// scopes, states of clients, group numbers of gateways. Also the models, live gateways, the importer's
    /// lease and its progress.
    pub(super) state: String,
    /// The inbox.
    pub(super) conflicts: String,
    /// Documents that are withheld because they do not fit the model.
    pub(super) misfits: String,
    /// The collection in which stores of format 1 kept their format.
    pub(super) meta_of_format_1: String,
}

/// The keys in `state` that exist once. The others begin with their kind and U+0000.
/// The format and the epoch, so that every read of the epoch sees a conversion.
pub(super) const FORMAT: &str = "format";
pub(super) const VERSION_FLOOR: &str = "versionFloor";
/// The secret of checkpoints.
pub(super) const TOKEN_KEY: &str = "tokenKey";
/// The last number that was given to a scope, or leased for one.
pub(super) const SCOPE_NUMBERS: &str = "scopeNumbers";
/// Which model leads.
pub(super) const MODEL: &str = "model";
/// What the lead says of types.
pub(super) const MODEL_TYPES: &str = "modelTypes";
/// Exists once a conflict has been opened. Before that the inbox need not be read.
pub(super) const INBOX: &str = "inbox";
/// The secret under which last ids of erased clients are kept. It exists once some are.
pub(super) const ERASURE: &str = "erasure";
/// Which gateway imports.
pub(super) const LEASE: &str = "importer";
/// How far the import has come. The number is that of the model's generation.
pub(super) const IMPORT: &str = "progress\u{0}1";

/// What format 2 keeps elsewhere: gateways of that format may run on while a newer one converts their store.
pub(super) mod format_2 {
    pub(in crate::store::mongo) const EPOCH: &str = "epoch";
    pub(in crate::store::mongo) const LEASE: &str = "lease";
    pub(in crate::store::mongo) const IMPORT: &str = "import\u{0}1";
    /// The text of the model that was served last.
    pub(in crate::store::mongo) const SERVED_MODEL: &str = "servedModel";
    /// Exists once values in scopes are escaped.
    pub(in crate::store::mongo) const ESCAPED: &str = "restamped";
}

impl CollectionNames {
    pub(super) fn new(prefix: &str) -> Self {
        let name = |name: &str| format!("{prefix}{name}");
        Self {
            feed: name("feed"),
            state: name("state"),
            conflicts: name("conflicts"),
            misfits: name("misfits"),
            meta_of_format_1: name("meta"),
        }
    }

    pub(super) fn all(&self) -> [&str; 4] {
        [&self.feed, &self.state, &self.conflicts, &self.misfits]
    }
}

/// The key of a document's entry. They sort as document keys do.
pub(super) fn entry_id(key: &DocumentKey) -> String {
    format!("{}\0{}", key.type_name, key.id)
}

/// The key before all records of a type, and the key after them.
pub(super) fn records_of(type_name: &TypeName) -> (String, String) {
    (format!("{type_name}\0"), format!("{type_name}\u{1}"))
}

pub(super) fn marker_id(key: &DocumentKey, scope: &Scope) -> String {
    format!("{}\0{}\0{scope}", key.type_name, key.id)
}

/// The first key of a document's markers, and the key after the last.
pub(super) fn markers_of(key: &DocumentKey) -> (String, String) {
    let entry = entry_id(key);
    (format!("{entry}\0"), format!("{entry}\u{1}"))
}

pub(super) fn record_id(record: &Record) -> String {
    match record {
        Record::Entry(entry) => entry_id(&entry.key),
        Record::Marker(marker) => marker_id(&marker.key, &marker.scope),
    }
}

pub(super) fn scope_id(scope: &Scope) -> String {
    format!("{SCOPE}\0{scope}")
}

pub(super) fn client_id(key: &ClientKey) -> String {
    format!("{CLIENT}\0{}\0{}", key.user, key.client)
}

/// The key before all clients of a user and after this one, and the key after them.
pub(super) fn clients_of(user: &UserId, after: Option<&ClientId>) -> (String, String) {
    let after = after.map_or("", ClientId::as_str);
    let first = format!("{CLIENT}\0{user}\0{after}");
    (first, format!("{CLIENT}\0{user}\u{1}"))
}

pub(super) fn user_id(user: &UserId) -> String {
    format!("{USERS}{user}")
}

pub(super) fn grants_id(counter: usize) -> String {
    format!("{GRANT_COUNTERS}{counter}")
}

pub(super) fn group_id(gateway: u64, slot: usize) -> String {
    format!("{GROUPS}{gateway:016x}\0{slot}")
}

pub(super) fn live_id(gateway: u64) -> String {
    format!("{LIVE}{gateway:016x}")
}

/// The keys of models sort by their numbers.
pub(super) fn model_id(generation: u32) -> String {
    format!("{MODELS}{generation:010}")
}

/// The meaning of a key of `state`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StateKey<'k> {
    Scope(&'k str),
    Client {
        user: &'k str,
        client: &'k str,
    },
    User(&'k str),
    Group,
    /// A counter of changed grants, by its number.
    Grants(usize),
    /// A key that exists once.
    Single(&'k str),
}

impl<'k> StateKey<'k> {
    /// Reads a key; `None` if it has another form.
    pub(super) fn of(id: &'k str) -> Option<Self> {
        let Some((kind, name)) = id.split_once('\0') else {
            return Some(Self::Single(id));
        };
        match kind {
            SCOPE => Some(Self::Scope(name)),
            CLIENT => {
                let (user, client) = name.split_once('\0')?;
                Some(Self::Client { user, client })
            }
            USER => Some(Self::User(name)),
            GRANTS => name.parse().ok().map(Self::Grants),
            _ => id.starts_with(GROUPS).then_some(Self::Group),
        }
    }
}

const SCOPE: &str = "scope";
const CLIENT: &str = "client";
const USER: &str = "user";
const GRANTS: &str = "grants";

/// The prefix of the keys of scopes.
pub(super) const SCOPES: &str = "scope\0";

/// The key after all of them.
pub(super) const SCOPES_END: &str = "scope\u{1}";

/// The prefix of the keys of users.
pub(super) const USERS: &str = "user\0";
/// The key after all of them.
pub(super) const USERS_END: &str = "user\u{1}";

/// The prefix of the keys of the counters of changed grants, and the key after all of them.
pub(super) const GRANT_COUNTERS: &str = "grants\0";
pub(super) const GRANT_COUNTERS_END: &str = "grants\u{1}";

/// The prefix of the keys of group numbers.
pub(super) const GROUPS: &str = "gateway\0";

/// The key after all of them.
pub(super) const GROUPS_END: &str = "gateway\u{1}";

/// The prefix of the keys of models.
pub(super) const MODELS: &str = "model\0";

/// The key after all of them.
pub(super) const MODELS_END: &str = "model\u{1}";

/// The prefix of the keys of live gateways.
pub(super) const LIVE: &str = "live\0";

/// The key after all of them.
pub(super) const LIVE_END: &str = "live\u{1}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_one_kind_is_one_of_another() {
        let scope = scope_id(&Scope::new("client").unwrap());
        assert_eq!(StateKey::of(&scope), Some(StateKey::Scope("client")));
        let client = client_id(&ClientKey {
            user: UserId::new("scope").unwrap(),
            client: ClientId::new("epoch").unwrap(),
        });
        let (user, client_name) = ("scope", "epoch");
        let read = StateKey::Client {
            user,
            client: client_name,
        };
        assert_eq!(StateKey::of(&client), Some(read));
        let user = user_id(&UserId::new("scope").unwrap());
        assert_eq!(StateKey::of(&user), Some(StateKey::User("scope")));
        assert!(*USERS < *user && *user < *USERS_END);
        let grants = grants_id(3);
        assert_eq!(StateKey::of(&grants), Some(StateKey::Grants(3)));
        assert!(*GRANT_COUNTERS < *grants && *grants < *GRANT_COUNTERS_END);
        let group = group_id(7, 1);
        assert_eq!(StateKey::of(&group), Some(StateKey::Group));
        assert!(*GROUPS < *group && *group < *GROUPS_END);
        assert_eq!(StateKey::of(FORMAT), Some(StateKey::Single(FORMAT)));
        assert_eq!(StateKey::of(LEASE), Some(StateKey::Single(LEASE)));
        assert_eq!(StateKey::of(IMPORT), None);
        assert_eq!(StateKey::of("other\0key"), None);
    }
}
