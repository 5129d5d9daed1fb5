//! What other services do to the collections, and operators who see to them.

use tidegate::store::collections::ForeignChange;
use tidegate_core::{
    id::{DocumentKey, TypeName},
    transaction::ForeignState,
    value::Document,
};

use super::{Collections, keys_of};
use crate::{oracle::holder_of, people, store::SimStore};

impl SimStore {
    /// Another service makes this of a document, in a collection that it makes if there is none. It cannot write to a
    /// file.
    pub(crate) fn write_elsewhere(&self, key: &DocumentKey, made: Option<Document>) {
        self.lock().elsewhere(|inner, documents| {
            let is_missing = !inner.collections.present.contains_key(&key.type_name);
            if is_missing && made.is_none() {
                return;
            }
            if is_missing {
                inner.make(&key.type_name);
            }
            match made {
                Some(made) => drop(documents.insert(key.clone(), made)),
                None => drop(documents.remove(key)),
            }
            inner.note(ForeignChange::Document(key.clone()));
        });
    }

    /// The events that no importer has seen are lost.
    pub(crate) fn lose_history(&self) {
        let mut inner = self.lock();
        let collections = &mut inner.collections;
        collections.unseen = collections.end();
        collections.log.clear();
        collections.arrivals.notify_waiters();
    }

    /// A collection is dropped.
    pub(crate) fn drop_collection(&self, type_name: &TypeName) {
        self.lock().elsewhere(|inner, documents| {
            if inner.collections.present.remove(type_name).is_none() {
                return;
            }
            let dropped = inner.collections.dropped.entry(type_name.clone());
            let dropped = dropped.or_default();
            for key in keys_of(documents, type_name) {
                dropped.extend(documents.remove_entry(&key));
            }
            let record = inner.collections.progress.types.get(type_name);
            let is_accepted = record.is_some_and(|record| record.accepts_deletes);
            if !is_accepted && inner.collections.held().contains(type_name) {
                inner.collections.lost.insert(type_name.clone());
            }
            inner.note(ForeignChange::Collection(type_name.clone()));
        });
    }

    /// The collections that were dropped come back with the documents that nobody has written since.
    pub(crate) fn bring_back(&self) {
        self.lock().elsewhere(|inner, documents| {
            for (type_name, dropped) in std::mem::take(&mut inner.collections.dropped) {
                if !inner.collections.present.contains_key(&type_name) {
                    inner.make(&type_name);
                }
                for (key, body) in dropped {
                    if !documents.contains_key(&key) {
                        documents.insert(key.clone(), body);
                        inner.note(ForeignChange::Document(key));
                    }
                }
            }
        });
    }

    /// An operator says that what is missing of the held types is deleted.
    pub(crate) fn accept_deletes(&self) {
        self.lock().elsewhere(|inner, _| {
            let Collections { progress, lost, .. } = &mut inner.collections;
            for (type_name, record) in &mut progress.types {
                record.accepts_deletes |= record.held.is_some();
                if record.accepts_deletes {
                    lost.remove(type_name);
                }
            }
        });
    }

    /// The documents of which an importer with the model in force would write an entry. It withholds what does not fit, and
    /// what has a value of another document.
    pub(crate) fn unstamped(&self) -> Vec<DocumentKey> {
        let state = self.now();
        let is_due = |(key, foreign): &(&DocumentKey, &ForeignState)| {
            let is_shown = state.entry(key).is_some_and(|entry| !entry.is_deleted());
            let is_withheld = match foreign {
                ForeignState::Misfit { .. } => true,
                ForeignState::Document(body) => {
                    people::is_order(key) && holder_of(&state, key, body).is_some()
                }
                ForeignState::Gone => false,
            };
            is_shown || !is_withheld
        };
        let due = state.foreign.iter().filter(is_due);
        due.map(|(key, _)| key.clone()).collect()
    }

    /// Whether the importer has nothing left to do.
    pub(crate) fn is_imported(&self) -> bool {
        let is_done = {
            let inner = self.lock();
            let model = inner.model(inner.last().lead());
            let records = inner.collections.progress.types.iter();
            let mut records =
                records.filter(|(name, _)| model.document_type(name.as_str()).is_some());
            records.all(|(_, record)| record.scan.is_none() && record.held.is_none())
        };
        is_done && self.unstamped().is_empty()
    }
}
