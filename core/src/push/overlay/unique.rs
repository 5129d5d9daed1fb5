//! Who has which unique value: what a change may not take, and what others wrote and may not be shown.
//!
//! A value is free once the entry that had it is written without it, by an earlier change or by what is taken over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::TransactionOverlay;
use crate::{
    change::{Rejection, RejectionCode},
    entry::Entry,
    id::DocumentKey,
    import::ImportResult,
    model::DocumentType,
    mutant::{Mutant, is_active},
    transaction::Misfit,
    unique::UniqueKey,
    value::{Timestamp, Value},
};

/// What others' writes are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum Duplicates {
    /// With what is stored: a push may leave the other document as it is.
    OfWhatIsStored,
    /// With what is stored once all is taken over.
    OfWhatIsTakenOver {
        /// Whether a document is withheld that only its scope makes a duplicate. Its body must then be in the
        /// application's collection. Otherwise it stays in the scope that it is in.
        with_moved: bool,
    },
}

impl<'l> TransactionOverlay<'l> {
    /// Refuses an entry that takes what another document has.
    pub(in crate::push) fn check_unique(&mut self, entry: &Entry) -> Result<(), Rejection> {
        let Some(document_type) = self.unique_type(entry) else {
            return Ok(());
        };
        let before = self.entry(&entry.key);
        let before = before.map(|before| UniqueKey::all_of(document_type, &before));
        for key in UniqueKey::all_of(document_type, entry) {
            let had = before.as_ref().is_some_and(|before| before.contains(&key));
            let is_new = !had && !is_active(Mutant::HoldersUnread);
            let holder = is_new.then(|| self.holder(&key)).flatten();
            if holder.is_some_and(|holder| holder != entry.key) {
                return Err(Rejection {
                    code: RejectionCode::NotUnique,
                    message: reason(document_type, &key),
                    field: names(document_type, &key)
                        .first()
                        .map(|name| (*name).to_owned()),
                });
            }
        }
        Ok(())
    }

    /// Withholds what others wrote where another document has the value already. Of several that come to one value, the
    /// first gets it.
    pub(in crate::push) fn meet_duplicates(&mut self, now: Timestamp, duplicates: Duplicates) {
        let has_none = self.model.types.iter().all(|it| it.uniques.is_empty());
        if has_none || is_active(Mutant::DuplicatesShown) {
            return;
        }
        let keys: Vec<&'l DocumentKey> = self.imports.keys().copied().collect();
        for key in keys {
            let import = Arc::clone(&self.imports[key]);
            let Some(document_type) = self.unique_type(&import) else {
                continue;
            };
            let had = self.stored(key).cloned();
            let had = had.map(|had| UniqueKey::all_of(document_type, &had));
            let comes_to = UniqueKey::all_of(document_type, &import);
            let mut new = comes_to.iter().filter(|value| {
                let had = had.as_ref();
                !had.is_some_and(|had| had.contains(value))
            });
            let twice = new.find(|value| {
                let holder = self.holder(value);
                let holder = holder.filter(|holder| holder != key);
                holder.is_some_and(|holder| !self.leaves(&holder, value, duplicates))
            });
            match twice.cloned() {
                Some(value) => self.withhold_duplicate(now, key, document_type, &value, duplicates),
                None => self
                    .claimed
                    .extend(comes_to.into_iter().map(|value| (value, key))),
            }
        }
    }

    /// The documents that are withheld because another one has the value.
    pub(in crate::push) fn duplicates(&self) -> BTreeMap<DocumentKey, UniqueKey> {
        let duplicates = self.duplicates.iter();
        duplicates
            .map(|(key, value)| ((*key).clone(), value.clone()))
            .collect()
    }

    /// Notes which values the entry leaves and has from now on.
    pub(super) fn hold(&mut self, entry: &Entry) {
        let Some(document_type) = self.unique_type(entry) else {
            return;
        };
        let left = self.entry(&entry.key);
        let left = left.filter(|_| !is_active(Mutant::LeftStaysTaken));
        let left = left.map(|left| UniqueKey::all_of(document_type, &left));
        for value in left.into_iter().flatten() {
            let is_own = self.changed.holders.get(&value);
            if is_own.is_none_or(|holder| holder.as_ref() == Some(&entry.key)) {
                self.changed.holders.insert(value, None);
            }
        }
        for value in UniqueKey::all_of(document_type, entry) {
            self.changed.holders.insert(value, Some(entry.key.clone()));
        }
    }

    /// The values that nobody has any more.
    pub(super) fn freed(&self) -> BTreeSet<UniqueKey> {
        let holders = self.changed.holders.iter();
        let freed = holders.filter(|(_, holder)| holder.is_none());
        freed.map(|(value, _)| value.clone()).collect()
    }

    /// The entries that leave a value to another one.
    pub(super) fn vacating(&self) -> BTreeSet<DocumentKey> {
        let vacates = |entry: &&Arc<Entry>| {
            let stored = self.stored(&entry.key);
            let held = stored
                .zip(self.unique_type(entry))
                .map(|(stored, document_type)| UniqueKey::all_of(document_type, stored));
            held.into_iter().flatten().any(|value| {
                let holder = self.changed.holders.get(&value);
                holder.is_some_and(|holder| holder.as_ref().is_some_and(|it| *it != entry.key))
            })
        };
        let entries = self.changed.entries.values().filter(vacates);
        entries.map(|entry| entry.key.clone()).collect()
    }

    /// Who has the value as far as the transaction has come. One that was not looked up is taken for free and noted: the
    /// store then decides again.
    fn holder(&mut self, value: &UniqueKey) -> Option<DocumentKey> {
        if let Some(holder) = self.changed.holders.get(value) {
            return holder.clone();
        }
        if let Some(holder) = self.claimed.get(value) {
            return Some((*holder).clone());
        }
        let looked_up = self.loaded.holders.get(value);
        if looked_up.is_none() {
            self.unheld.insert(value.clone());
        }
        looked_up.cloned().flatten()
    }

    /// Whether what is taken over of the document leaves the value.
    fn leaves(&self, holder: &DocumentKey, value: &UniqueKey, duplicates: Duplicates) -> bool {
        let import = self.imports.get(holder);
        let import = import.filter(|_| duplicates != Duplicates::OfWhatIsStored);
        import
            .zip(self.unique_type_of(holder))
            .is_some_and(|(import, document_type)| {
                !UniqueKey::all_of(document_type, import).contains(value)
            })
    }

    fn withhold_duplicate(
        &mut self,
        now: Timestamp,
        key: &'l DocumentKey,
        document_type: &'l DocumentType,
        value: &UniqueKey,
        duplicates: Duplicates,
    ) {
        let Some(import) = self.imports.remove(key) else {
            return;
        };
        let is_moved = !self.loaded.foreign.contains_key(key);
        let with_moved = Duplicates::OfWhatIsTakenOver { with_moved: true };
        if is_moved && duplicates != with_moved {
            return;
        }
        let body = import.body.clone().unwrap_or_default();
        let found = value.fields.first().and_then(|field| body.get(field));
        let misfit = Misfit {
            path: names(document_type, value)
                .first()
                .copied()
                .unwrap_or_default()
                .to_owned(),
            found: found.map_or("missing", Value::bson_type).to_owned(),
            problem: reason(document_type, value),
        };
        let entry = self.stored(key).cloned();
        let arrival = self.arrival(self.model, now, key, entry.as_deref());
        let ImportResult { entry, withheld } = arrival.withhold(document_type, misfit, &body);
        if let Some(entry) = entry {
            self.imports.insert(key, Arc::new(entry));
        }
        if let Some(withheld) = withheld {
            self.withheld.insert(key, withheld);
        }
        self.duplicates.insert(key, value.clone());
    }

    fn unique_type(&self, entry: &Entry) -> Option<&'l DocumentType> {
        self.unique_type_of(&entry.key)
    }

    fn unique_type_of(&self, key: &DocumentKey) -> Option<&'l DocumentType> {
        let found = self.model.stored_type(&key.type_name);
        found.map(AsRef::as_ref).filter(|it| !it.uniques.is_empty())
    }
}

/// It names the fields, and neither the other document nor its scope.
fn reason(document_type: &DocumentType, key: &UniqueKey) -> String {
    let within = match key.scope {
        Some(_) => " in this scope",
        None => "",
    };
    let names = names(document_type, key);
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "another document{within} has the same {}",
        names.join(" and ")
    )
}

/// The names of the fields in the model.
fn names<'t>(document_type: &'t DocumentType, key: &'t UniqueKey) -> Vec<&'t str> {
    let fields = key.fields.iter();
    fields
        .map(|field| document_type.field_name(field))
        .collect()
}
