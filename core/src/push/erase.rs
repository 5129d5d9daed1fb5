//! Erasing: what a store keeps of a person or of a document goes, and what order and at-most-once need stays. Versions
//! and seqs stay, and the last mutation id of each client, under a code that only the store's secret makes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    ClientState,
    overlay::{Duplicates, TransactionOverlay},
};
use crate::{
    checkpoint::TokenKey,
    decide::prune_writers,
    entry::{Entry, Writer},
    id::{ClientId, ClientKey, UserId},
    inbox::InboxRecord,
    model::Model,
    transaction::{Loaded, Writes},
    value::{Timestamp, Value},
};

/// The user under whose name the last ids of erased clients are kept.
const ERASED: &str = "erased clients of Tidegate";

/// Whose traces an entry loses, and how the store keeps the rest.
#[derive(Debug, Clone)]
pub struct Erasure {
    /// The person.
    pub user: UserId,
    /// The store's secret.
    pub secret: TokenKey,
}

impl Erasure {
    /// Whether the entry says that the person wrote it, or gave what it gives, or the gateway has named the person in the
    /// document.
    pub fn is_in_entry(&self, model: &Model, entry: &Entry) -> bool {
        let user = Some(&self.user);
        let giver = entry.membership.as_ref();
        let giver = giver.and_then(|membership| membership.giver.as_ref());
        giver == user
            || entry.writers.values().any(|it| it.user.as_ref() == user)
            || !self.names_in(model, entry).is_empty()
    }

    /// The stored names of the fields in which the gateway has named the person.
    fn names_in(&self, model: &Model, entry: &Entry) -> Vec<String> {
        let document_type = model.stored_type(&entry.key.type_name);
        let Some((document_type, body)) = document_type.zip(entry.body.as_ref()) else {
            return Vec::new();
        };
        let fields = document_type.fields_naming(&self.user, body);
        fields.map(|field| field.stored_as.clone()).collect()
    }

    /// Whether the conflict is one of the person's changes, or was settled by the person.
    pub fn is_in_conflict(&self, record: &InboxRecord) -> bool {
        match record {
            InboxRecord::Open(open) => open.opened_by == self.user,
            InboxRecord::Resolved(settled) => settled.user == self.user,
        }
    }

    /// Removes the person's name from the loaded entries. Their documents and versions stay as they are, with what other
    /// services have written meanwhile. A document in which the gateway has named the person gets a version by nobody that
    /// has null there. Returns also how many entries changed.
    pub fn strike(&self, model: &Model, now: Timestamp, loaded: &Loaded) -> (Writes, usize) {
        rewritten(model, now, loaded, |entry| {
            let is_named = self.is_in_entry(model, entry);
            is_named.then(|| self.unnamed(model, now, self.struck(entry)))
        })
    }

    fn unnamed(&self, model: &Model, now: Timestamp, mut entry: Entry) -> Entry {
        let fields = self.names_in(model, &entry);
        if fields.is_empty() {
            return entry;
        }
        next_version(&mut entry, now);
        for name in fields {
            entry.field_versions.insert(name.clone(), entry.version);
            entry.body.get_or_insert_default().insert(name, Value::Null);
        }
        prune_writers(&mut entry);
        entry
    }

    fn struck(&self, entry: &Entry) -> Entry {
        let mut next = entry.clone();
        for writer in next.writers.values_mut() {
            if writer.user.as_ref() == Some(&self.user) {
                *writer = nobody(writer.edited_at);
            }
        }
        if let Some(membership) = &mut next.membership
            && membership.giver.as_ref() == Some(&self.user)
        {
            membership.giver = Some(self.giver());
        }
        next
    }

    /// Memberships that a person gave still count as those of one giver.
    fn giver(&self) -> UserId {
        let code = code(&self.secret, [self.user.as_str(), ""]);
        UserId::new(&format!("erased:{code}")).expect("a code is a short name")
    }

    /// Keeps of the loaded clients the last ids alone, under names that only the store's secret makes.
    pub fn forget_clients(&self, loaded: &Loaded) -> Writes {
        let clients = loaded.clients.iter();
        let kept = clients.map(|(key, state)| {
            let name = erased_client(&self.secret, key);
            (name, ClientState::forgotten(state.last))
        });
        Writes {
            clients: kept.collect(),
            clients_removed: loaded.clients.keys().cloned().collect(),
            erasure: Some(self.secret.clone()),
            ..Writes::default()
        }
    }
}

/// The name under which the last id of an erased client is kept. A client without a state of its own may have one there.
pub fn erased_client(secret: &TokenKey, client: &ClientKey) -> ClientKey {
    let code = code(secret, [client.user.as_str(), client.client.as_str()]);
    ClientKey {
        user: UserId::new(ERASED).expect("a short name"),
        client: ClientId::new(&code).expect("a code is a short name"),
    }
}

/// Deletes the loaded documents, and leaves tombstones that name nobody and no field. Returns also how many entries
/// changed.
pub fn erase_documents(model: &Model, now: Timestamp, loaded: &Loaded) -> (Writes, usize) {
    let (mut writes, changed) = rewritten(model, now, loaded, |entry| emptied(entry, now));
    let recorded = loaded.entries.keys().map(|key| (key.clone(), None));
    writes.misfits.extend(recorded);
    (writes, changed)
}

/// `None` if nothing is left to erase.
fn emptied(entry: &Entry, now: Timestamp) -> Option<Entry> {
    let is_tombstone = entry.is_deleted() && !entry.withheld;
    let names_nobody = entry.writers.values().all(|it| it.user.is_none());
    if is_tombstone && names_nobody && entry.field_versions.is_empty() {
        return None;
    }
    let mut next = Entry {
        body: None,
        withheld: false,
        membership: None,
        field_versions: Default::default(),
        ..entry.clone()
    };
    let writers = next.writers.values_mut();
    writers.for_each(|writer| *writer = nobody(writer.edited_at));
    if !is_tombstone {
        next_version(&mut next, now);
    }
    prune_writers(&mut next);
    Some(next)
}

/// Gives an entry a version by nobody.
fn next_version(entry: &mut Entry, now: Timestamp) {
    entry.version = entry.version.next().unwrap_or(entry.version);
    entry.run = entry.version;
    entry.at = now;
    entry.writers.insert(entry.version, nobody(now));
}

/// Takes over what others wrote, as every commit does that writes their documents, and rewrites the entries on top.
fn rewritten(
    model: &Model,
    now: Timestamp,
    loaded: &Loaded,
    rewrite: impl Fn(&Entry) -> Option<Entry>,
) -> (Writes, usize) {
    let mut overlay = TransactionOverlay::new(model, now, loaded);
    overlay.meet_duplicates(now, Duplicates::OfWhatIsTakenOver { with_moved: false });
    let misfits = overlay.take_over_all();
    let mut changed = 0;
    for key in loaded.entries.keys() {
        let Some(entry) = overlay.entry(key) else {
            continue;
        };
        if let Some(next) = rewrite(&entry) {
            overlay.put(next, Some(&entry));
            changed += 1;
        }
    }
    let writes = Writes {
        misfits,
        duplicates: overlay.duplicates(),
        ..overlay.into_writes(now, Vec::new())
    };
    (writes, changed)
}

fn nobody(edited_at: Timestamp) -> Writer {
    Writer {
        user: None,
        client: None,
        edited_at,
        mutation: None,
    }
}

/// A code of names, in hexadecimal. U+0000, which no name contains, ends each of them.
fn code(secret: &TokenKey, names: [&str; 2]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(&secret.0);
    let mut mac = mac.expect("a key of any length will do");
    mac.update(b"erased\0");
    for name in names {
        mac.update(name.as_bytes());
        mac.update(&[0]);
    }
    let code = mac.finalize().into_bytes();
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}
