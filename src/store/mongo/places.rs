//! The names of Tidegate's own collections, and the keys of what stands in them.
//!
//! The parts of a key are joined by U+0000, which none of them can contain (rules.md 3.3 and 3.4).

use tidegate_core::{
    entry::Record,
    id::{ClientKey, DocumentKey, Scope},
};

/// Tidegate's own collections.
#[derive(Debug)]
pub(super) struct Places {
    /// Entries and markers.
    pub(super) feed: String,
    /// Heads and floors.
    pub(super) scopes: String,
    /// What is remembered of clients, and the group numbers of gateways.
    pub(super) clients: String,
    /// The inbox.
    pub(super) conflicts: String,
    /// Format, epoch and version floor, and the model last served.
    pub(super) meta: String,
}

/// The keys in `meta`.
pub(super) const FORMAT: &str = "format";
pub(super) const EPOCH: &str = "epoch";
pub(super) const VERSION_FLOOR: &str = "versionFloor";
pub(super) const SERVED_MODEL: &str = "servedModel";

impl Places {
    pub(super) fn new(prefix: &str) -> Self {
        let name = |name: &str| format!("{prefix}{name}");
        Self {
            feed: name("feed"),
            scopes: name("scopes"),
            clients: name("clients"),
            conflicts: name("conflicts"),
            meta: name("meta"),
        }
    }

    pub(super) fn all(&self) -> [&str; 5] {
        [
            &self.feed,
            &self.scopes,
            &self.clients,
            &self.conflicts,
            &self.meta,
        ]
    }
}

/// The key of a document's entry. They sort as document keys do.
pub(super) fn entry_id(key: &DocumentKey) -> String {
    format!("{}\0{}", key.type_name, key.id)
}

pub(super) fn marker_id(key: &DocumentKey, scope: &Scope) -> String {
    format!("{}\0{}\0{scope}", key.type_name, key.id)
}

pub(super) fn record_id(record: &Record) -> String {
    match record {
        Record::Entry(entry) => entry_id(&entry.key),
        Record::Marker(marker) => marker_id(&marker.key, &marker.scope),
    }
}

pub(super) fn client_id(key: &ClientKey) -> String {
    format!("{}\0{}", key.user, key.client)
}

/// What the keys of group numbers begin with: no user has an empty name.
pub(super) const GROUPS: &str = "\0gateway\0";

/// After all of them.
pub(super) const GROUPS_END: &str = "\0gateway\u{1}";

pub(super) fn group_id(gateway: u64, lane: usize) -> String {
    format!("{GROUPS}{gateway:016x}\0{lane}")
}
