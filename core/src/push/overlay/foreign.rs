//! What others wrote to the documents of a transaction: what changes meet, what is taken over, withheld or held.

use std::{collections::BTreeMap, sync::Arc};

use super::TransactionOverlay;
use crate::{
    entry::Entry,
    id::DocumentKey,
    import::{self, ForeignWrite, ImportResult, Withheld},
    membership,
    model::Model,
    mutant::{Mutant, is_active},
    push::PushRefusal,
    transaction::{ForeignState, Misfit},
    value::{
        Document, Timestamp,
        fit::{fit, unfit_as_null},
        origin,
    },
};

impl<'l> TransactionOverlay<'l> {
    /// Takes in others' writes, which came before every push. Changes meet them, and nothing of them is written yet.
    pub(super) fn meet_foreign_writes(&mut self, model: &Model, now: Timestamp) {
        for (key, foreign) in &self.loaded.foreign {
            if self.is_held(key) {
                continue;
            }
            let entry = self.stored(key).cloned();
            let arrival = self.arrival(model, now, key, entry.as_deref());
            let import = import::import(&arrival, foreign);
            self.meet(key, entry.as_deref(), import);
        }
        self.note_unreadable();
    }

    /// Reads the loaded entries by the model. A change may mend one that does not fit, if no other service writes it.
    pub(super) fn read_entries(&mut self, model: &Model) {
        for (key, entry) in &self.loaded.entries {
            if let Some(fitted) = import::fitted(model, entry) {
                self.fitted.insert(key, Arc::new(fitted));
            }
        }
    }

    /// Moves entries whose scope or membership is not what the model makes of their documents, as after a change of its
    /// rules. Nobody else wrote these documents.
    pub(super) fn meet_model(&mut self, model: &Model, now: Timestamp) {
        for key in self.loaded.entries.keys() {
            let is_elsewhere = self.loaded.foreign.contains_key(key);
            let is_withheld = self.withheld.contains_key(key);
            if is_elsewhere || is_withheld || is_active(Mutant::MisplacedStays) {
                continue;
            }
            let entry = self.stored(key).cloned();
            let arrival = self.arrival(model, now, key, entry.as_deref());
            let moved = arrival.moved();
            self.meet(key, entry.as_deref(), moved);
        }
    }

    /// Marks the items of lists whose content is kept elsewhere: in the documents as changes meet them.
    pub(super) fn mark_items(&mut self) {
        let loaded = self.loaded;
        for (key, marks) in &loaded.origins {
            let met = self.imports.get(key);
            let Some(mut marked) = met.or_else(|| self.stored(key)).map(|it| Entry::clone(it))
            else {
                continue;
            };
            if let Some(body) = &mut marked.body {
                origin::mark(marks, body);
            }
            let met = if met.is_some() {
                &mut self.imports
            } else {
                &mut self.fitted
            };
            met.insert(key, Arc::new(marked));
        }
    }

    /// Gives each loaded document that does not fit the model a version of its own, unless it has one of this term.
    pub(in crate::push) fn withhold_misfits(&mut self, model: &Model, now: Timestamp) {
        let term = self.loaded.models.term;
        for (key, entry) in &self.loaded.entries {
            let document_type = model.stored_type(&key.type_name);
            let fits = document_type
                .zip(entry.body.as_ref())
                .is_none_or(|(it, body)| fit(model, &it.fields, body).is_ok());
            let is_foreign = self.loaded.foreign.contains_key(key);
            if fits || is_foreign || import::is_withheld_in(term, entry) {
                continue;
            }
            // A document that moves has a new version already.
            let moved = self.changed.entries.get(key).map(|it| Entry::clone(it));
            let arrival = self.arrival(model, now, key, Some(entry));
            let next = moved.or_else(|| arrival.next_entry(Entry::clone(entry)).entry);
            if let Some(mut next) = next {
                next.membership = None;
                import::mark_withheld_in(term, &mut next);
                self.put(next, Some(entry));
            }
        }
    }

    pub(super) fn arrival<'a>(
        &self,
        model: &'a Model,
        now: Timestamp,
        key: &'a DocumentKey,
        entry: Option<&'a Entry>,
    ) -> ForeignWrite<'a> {
        ForeignWrite {
            model,
            now,
            version_floor: self.loaded.version_floor,
            key,
            entry,
        }
    }

    fn meet(&mut self, key: &'l DocumentKey, entry: Option<&Entry>, import: ImportResult) {
        if let Some(mut imported) = import.entry {
            let before = entry.and_then(|entry| entry.membership.as_ref());
            imported.membership = membership::signed(&imported, before);
            self.imports.insert(key, Arc::new(imported));
        }
        if let Some(withheld) = import.withheld {
            self.withheld.insert(key, withheld);
        }
    }

    /// A store that finds nothing foreign to a withheld document cannot read what it holds.
    fn note_unreadable(&mut self) {
        let entries = self.loaded.entries.iter();
        let withheld = entries
            .filter(|(key, entry)| entry.withheld && !self.loaded.foreign.contains_key(*key));
        for (key, entry) in withheld {
            let misfit = Misfit {
                path: String::new(),
                found: "unknown".to_owned(),
                problem: "it cannot be read".to_owned(),
            };
            let scope = Some(entry.scope.clone());
            self.withheld.insert(key, Withheld { misfit, scope });
        }
    }

    /// Why the document is withheld, if it is.
    pub(in crate::push) fn withheld(&self, key: &DocumentKey) -> Option<&Withheld> {
        self.withheld.get(key)
    }

    /// Whether the document is missing, and may not have been deleted (rules.md 8.6).
    pub(in crate::push) fn is_held(&self, key: &DocumentKey) -> bool {
        !is_active(Mutant::NothingHeld)
            && self.loaded.held.contains(&key.type_name)
            && self.loaded.foreign.get(key) == Some(&ForeignState::Gone)
    }

    /// Refuses to decide about a document that may not have been deleted.
    pub(in crate::push) fn refuse_held<'k>(
        &self,
        model: &Model,
        mut keys: impl Iterator<Item = &'k DocumentKey>,
    ) -> Result<(), PushRefusal> {
        let mut waits = |key: &&DocumentKey| model.is_in_use(&key.type_name) && self.is_held(key);
        let Some(DocumentKey { type_name, .. }) = keys.find(&mut waits) else {
            return Ok(());
        };
        let document_type = model.stored_type(type_name);
        let type_name = document_type.map_or(type_name, |document_type| &document_type.name);
        Err(PushRefusal::Held {
            type_name: type_name.clone(),
        })
    }

    /// Takes over others' writes to the document, for a change that passes rules.md 4.6. Returns whether there were
    /// any.
    pub(in crate::push) fn take_over(&mut self, key: &DocumentKey) -> bool {
        let Some((key, _)) = self.imports.get_key_value(key) else {
            return false;
        };
        let key = *key;
        let is_first = self.taken_over.insert(key);
        if is_first {
            self.write_import(key);
        }
        is_first
    }

    /// Takes over all that others wrote, as an importer does. Returns which documents are withheld, and which no longer
    /// are. It says nothing of documents that were left out, or that may not have been deleted.
    pub(in crate::push) fn take_over_all(&mut self) -> BTreeMap<DocumentKey, Option<Misfit>> {
        let keys: Vec<_> = self.imports.keys().copied().collect();
        for key in keys {
            self.take_over(key);
        }
        let recorded = self.loaded.misfits.iter();
        let recorded = recorded.filter(|key| !self.is_left_out(key) && !self.is_held(key));
        let mended = recorded.filter(|key| !self.withheld.contains_key(*key));
        let mended = mended.map(|key| (key.clone(), None));
        let withheld = self.withheld.iter();
        let found = withheld.filter(|(key, _)| {
            self.loaded.foreign.contains_key(**key) || self.duplicates.contains_key(*key)
        });
        let found = found.map(|(key, it)| ((*key).clone(), Some(it.misfit.clone())));
        mended.chain(found).collect()
    }

    pub(super) fn write_import(&mut self, key: &'l DocumentKey) {
        if let Some(import) = self.imports.get(key) {
            let import = Entry::clone(import);
            self.write(import, self.loaded.entries.get(key).map(Arc::as_ref));
        }
    }
}

/// Puts back what the entry before had and the model shows as null because it does not fit. A change that names the field
/// has put a value in its place, and another incarnation begins without it.
pub(super) fn with_unfit_values(
    model: &Model,
    before: Option<&Arc<Entry>>,
    entry: Arc<Entry>,
) -> Arc<Entry> {
    let document_type = model.stored_type(&entry.key.type_name);
    let before = before.filter(|before| before.began == entry.began);
    let (Some(document_type), Some(before), Some(body)) = (
        document_type.filter(|it| it.nulls_misfits),
        before.and_then(|before| before.body.as_ref()),
        &entry.body,
    ) else {
        return entry;
    };
    let fields = document_type.fields.iter();
    let unfit = fields.filter(|field| {
        !body.contains_key(&field.stored_as) && unfit_as_null(model, field, before).is_some()
    });
    let unfit = unfit.filter_map(|field| {
        let earlier = field.earlier_name(&document_type.fields);
        let value = before.get_key_value(&field.stored_as);
        let (name, value) = value.or_else(|| before.get_key_value(earlier?))?;
        Some((name.clone(), value.clone()))
    });
    let unfit: Document = unfit.collect();
    if unfit.is_empty() {
        return entry;
    }
    let mut entry = Entry::clone(&entry);
    entry.body.get_or_insert_default().extend(unfit);
    Arc::new(entry)
}
